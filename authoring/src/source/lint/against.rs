//! What is lost when this file takes the place of another one: said before it happens.

use super::{Lint, allowed, and, summarise};
use crate::{
    revoke::{Entry, Selectors, entries, is_past},
    source::{Finding, Findings, Named, PolicyDocument, Severity},
};
use chaperone_policy::limits;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;

struct Against<'d> {
    new: &'d PolicyDocument,
    old: &'d PolicyDocument,
    now: Timestamp,
    found: Vec<Finding>,
}

impl PolicyDocument {
    /// What is lost when this file takes the place of `old`, in the order of this file: open streams that nothing newer judges,
    /// sessions that come back. Both are valid.
    #[must_use]
    pub fn against(&self, old: &Self, now: Timestamp) -> Option<Findings> {
        let mut against = Against { new: self, old, now, found: Vec::new() };
        against.names();
        against.revocations();
        against.generation();
        let mut found = against.found;
        allowed::permit(self.file(), &mut found);
        found = summarise(found);
        found.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
        Findings::new(found)
    }
}

impl Against<'_> {
    fn warn(&mut self, lint: Lint, finding: Finding) {
        self.found.push(Finding { severity: Severity::Warning(lint), ..finding });
    }

    /// What open streams and ended sessions are found again by.
    fn names(&mut self) {
        let (new, old) = (self.new.identity(), self.old.identity());
        let name = |document: &PolicyDocument| text(document, "/name").unwrap_or_default().to_owned();
        let renamed = name(self.new) != name(self.old);
        let moved = changed(&new.vm_id, &old.vm_id);
        if let Some((new, old)) = &moved {
            let message = self.orphaned(&format!("another `vm_id` than `{}`", old.name));
            let help = format!("keep `vm_id: {}`: a new filter, environment or plugin name needs no new one", old.name);
            self.warn(Lint::StreamsOrphaned, self.new.finding_at(new, message, Some(help)));
            self.endings(new);
        }
        if renamed {
            let was = name(self.old);
            let message = self.orphaned(&format!("the policy was called `{was}`"));
            let help = format!("keep `name: {was}`");
            self.warn(Lint::StreamsOrphaned, self.new.finding("/name", message, Some(help)));
        }
    }

    /// What becomes of the streams that are open.
    fn orphaned(&self, change: &str) -> String {
        let default = || format!("{}s", limits::ORPHANED_STREAMS.as_secs());
        let bound = text(self.old, "/session/orphaned_streams").map_or_else(default, str::to_owned);
        format!("{change}: streams that are open now end within {bound}, whatever this policy says of them")
    }

    /// What sessions have done to end lives in the proxy's memory, under the `vm_id`.
    fn endings(&mut self, at: &Named) {
        let ways = [("/end_session_when", "`end_session_when`"), ("/session/idle_timeout", "`session.idle_timeout`")];
        let ways: Vec<&str> =
            ways.into_iter().filter(|(pointer, _)| self.old.value().pointer(pointer).is_some()).map(|(_, name)| name).collect();
        if ways.is_empty() {
            return;
        }
        let message =
            format!("the proxies forget what was ended by {}: those sessions come back until their tokens end", and(&ways));
        let help = format!(
            "keep the `vm_id`; or write them down first, by `policy-host revoke --from-log ACCESS_LOG FILE`, and `# check: allow {}` beside it",
            Lint::EndingsLost.code()
        );
        self.warn(Lint::EndingsLost, self.new.finding_at(at, message, Some(help)));
    }

    fn revocations(&mut self) {
        let reach = Reach::of(entries(self.new.value()));
        let policy = self.old.value();
        let help =
            "render it with `--keep-revoked FILE` of the file in force; `policy-host revoke --undo` takes out what is to go";
        // The same place for all of them: it is looked for once, as there may be 100,000.
        let place = Finding {
            severity: Severity::Warning(Lint::RevocationsLost),
            ..self.new.finding("/revoked", "", Some(help.to_owned()))
        };
        for entry in entries(policy) {
            if !is_past(policy, entry, self.now) && !reach.covers(&Selectors::of(entry)) {
                let named = Entry { because: None, ..Entry::from(entry) };
                let message = format!("`{named}` is not revoked any more: its sessions come back");
                self.found.push(Finding { message, ..place.clone() });
            }
        }
    }

    /// Of a file that a proxy takes: what is still to be rendered gets its generation then.
    fn generation(&mut self) {
        let (new, old) = (self.new.value(), self.old.value());
        let of = |policy: &Value| policy.get("generation").and_then(Value::as_u64).unwrap_or(0);
        let delivered = !self.new.is_whole_document() || new.get("generation").is_some();
        if delivered && new != old && of(new) <= of(old) {
            let message = format!(
                "`generation` is not above the {} of the other file: Envoy may not tell the filter, and the older one may go on",
                of(old)
            );
            let help = format!("write `generation: {}`, or let `policy-host render` write it", of(old).saturating_add(1));
            self.warn(Lint::GenerationNotRaised, self.new.finding("/generation", message, Some(help)));
        }
    }
}

/// Both, where both files have the name and it is another.
fn changed<'n>(new: &'n Option<Named>, old: &'n Option<Named>) -> Option<(&'n Named, &'n Named)> {
    new.as_ref().zip(old.as_ref()).filter(|(new, old)| new.name != old.name)
}

fn text<'d>(document: &'d PolicyDocument, pointer: &str) -> Option<&'d str> {
    document.value().pointer(pointer).and_then(Value::as_str)
}

/// What a list of revocations ends, by selectors without their instant; the latest instant, or none where there is no bound.
/// Looked up and not searched for: both lists may have 100,000 entries.
struct Reach(HashMap<Selectors, Option<Timestamp>>);

impl Reach {
    fn of(entries: &[Value]) -> Self {
        let mut reach: HashMap<Selectors, Option<Timestamp>> = HashMap::new();
        for selectors in entries.iter().map(Selectors::of) {
            let until = selectors.issued_before;
            let longest = reach.entry(Selectors { issued_before: None, ..selectors }).or_insert(until);
            *longest = longest.zip(until).map(|(one, other)| one.max(other));
        }
        Self(reach)
    }

    /// Does an entry end all that these name? It has to name some of the same, and nothing else.
    fn covers(&self, wanted: &Selectors) -> bool {
        // From all of them, which is the usual case, to none.
        (0_u8..32).rev().any(|kept| {
            let keep = |bit: u8, text: &Option<String>| text.clone().filter(|_| kept & (1 << bit) != 0);
            let Selectors { session, subject, agent, token, issuer, issued_before } = wanted;
            let wider = Selectors {
                session: keep(0, session),
                subject: keep(1, subject),
                agent: keep(2, agent),
                token: keep(3, token),
                issuer: keep(4, issuer),
                issued_before: None,
            };
            match self.0.get(&wider) {
                None => false,
                Some(None) => true,
                Some(Some(until)) => issued_before.is_some_and(|wanted| wanted <= *until),
            }
        })
    }
}

#[cfg(test)]
mod tests;
