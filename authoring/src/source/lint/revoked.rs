//! Revocations that end nothing, or more than was meant.

use super::{Lint, Linter, items};
use crate::revoke::longest;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// An entry by its place, and until when issued tokens it names; `None` for all.
type Reach = (String, Option<Timestamp>);

impl Linter<'_> {
    pub(super) fn revoked(&mut self) {
        let issuers: HashSet<&str> =
            items(self.policy, "/tokens/issuers").filter_map(|(_, i)| i.get("issuer")?.as_str()).collect();
        let longest = longest(self.policy);
        let mut seen: HashMap<Vec<(&str, &str)>, Reach> = HashMap::new();
        for (pointer, entry) in items(self.policy, "/revoked") {
            let Some(members) = entry.as_object() else { continue };
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            if let Some(issuer) = text("issuer").filter(|issuer| !issuers.contains(issuer)) {
                self.warn(
                    Lint::RevokedIssuerUnknown,
                    &format!("{pointer}/issuer"),
                    format!("`{issuer}` is not an issuer of this policy: its tokens are refused anyway"),
                    "remove the entry, or correct the issuer's name",
                );
            }
            let before = text("issued_before").and_then(|text| text.parse::<Timestamp>().ok());
            self.instant(&pointer, before, longest);
            if text("because").is_none() {
                self.warn(
                    Lint::RevokedWithoutBecause,
                    &pointer,
                    "nobody will know why this was revoked, or when it may go",
                    "add `because: \"INC-42: what happened\"`",
                );
            }
            let selectors = ["issuer", "session", "subject", "agent", "token"];
            let selectors: Vec<_> = selectors.into_iter().filter_map(|name| Some((name, text(name)?))).collect();
            match seen.get(&selectors) {
                // An entry without an instant reaches furthest; of two with one the later.
                Some((first, reach)) if reach.is_none() || before.is_some_and(|before| *reach >= Some(before)) => {
                    let (line, _) = self.document.finding(first, "", None).line_column().unwrap_or_default();
                    self.warn(
                        Lint::RevokedRepeated,
                        &pointer,
                        format!("the entry on line {line} revokes all of this"),
                        "remove one of them",
                    );
                }
                Some(_) | None => drop(seen.insert(selectors, (pointer, before))),
            }
        }
    }

    fn instant(&mut self, pointer: &str, before: Option<Timestamp>, longest: Option<i64>) {
        let Some(before) = before else { return };
        let now = self.now;
        let pointer = format!("{pointer}/issued_before");
        if longest.is_some_and(|longest| before.as_second().saturating_add(longest) <= now.as_second()) {
            self.warn(
                Lint::RevokedExpired,
                &pointer,
                "whatever was issued before then has reached session.max_lifetime: this ends nothing any more",
                "remove the entry",
            );
        } else if before > now {
            self.warn(
                Lint::RevokedFuture,
                &pointer,
                "until then new sessions are revoked, too",
                "write the instant of the incident, which has passed",
            );
        }
    }
}
