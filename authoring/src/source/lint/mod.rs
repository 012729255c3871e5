//! What the filter takes, and a reviewer would ask about: each lint has a stable name, a place, a reason and a way out.

mod against;
mod allowed;
mod bodies;
mod commands;
mod endings;
mod fetched;
mod grants;
mod issuers;
mod manifest;
mod name;
mod naming;
mod repeated;
mod revoked;
mod session;
mod structs;
mod ways_round;
mod wiring;

pub use name::Lint;
pub(super) use ways_round::CODE as WAY_ROUND;
pub(super) use wiring::wiring_alone;

use super::{Finding, Findings, PolicyDocument, Severity};
use chaperone_policy::{Pattern, Policy};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

/// What the policy is for, where that has limits of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Envoy with a file of its own, which carries the policy as a text.
    Envoy,
    /// Istio, which carries it as a `Struct` in a Kubernetes object.
    Istio,
    /// Envoy Gateway, which carries it as JSON in a Kubernetes object.
    EnvoyGateway,
}

/// Findings of one lint that are shown one by one; the rest is counted.
const SHOWN_OF_A_KIND: usize = 10;

/// A document being looked at, and what was found so far.
struct Linter<'d> {
    document: &'d PolicyDocument,
    policy: &'d Value,
    target: Target,
    now: Timestamp,
    found: Vec<Finding>,
}

impl PolicyDocument {
    /// Compiles the policy as the filter will and reads it as a reviewer would; in the order of the file. Without a
    /// `target` it is what its manifest is for, else Envoy. `now` tells which revocations can still name a live session.
    #[must_use]
    pub fn check(&self, target: Option<Target>, now: Timestamp) -> (Option<Policy>, Option<Findings>) {
        let (policy, mut list) = match self.compile() {
            Ok(policy) => (Some(policy), Vec::new()),
            Err(findings) => (None, findings.list().to_vec()),
        };
        let mut warnings = self.warnings(target, now);
        // Where a mistake stands, what seems to follow from it is no second one.
        warnings.retain(|finding| policy.is_some() || !finding.severity.needs_a_valid_policy());
        list.append(&mut warnings);
        list.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
        (policy, Findings::new(list))
    }

    /// What the filter takes, and a reviewer would ask about.
    fn warnings(&self, target: Option<Target>, now: Timestamp) -> Vec<Finding> {
        let target = target.unwrap_or_else(|| self.target());
        let mut linter = Linter { document: self, policy: self.value(), target, now, found: Vec::new() };
        linter.commands();
        linter.grants();
        linter.session();
        linter.issuers();
        linter.endings();
        linter.fetched();
        linter.revoked();
        linter.manifest();
        linter.structs();
        linter.repeated();
        linter.ways_round();
        let mut found = linter.found;
        found.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
        allowed::apply(self.file(), &mut found);
        summarise(found)
    }
}

impl Linter<'_> {
    /// Something at this pointer into the policy.
    fn warn(&mut self, lint: Lint, pointer: &str, message: impl Into<String>, help: impl Into<String>) {
        self.find(Severity::Warning(lint), pointer, message, help);
    }

    /// The same, as bad as this.
    fn find(&mut self, severity: Severity, pointer: &str, message: impl Into<String>, help: impl Into<String>) {
        let finding = self.document.finding(pointer, message, Some(help.into()));
        self.found.push(Finding { severity, ..finding });
    }

    /// Something at this pointer into what carries the policy.
    fn warn_around(&mut self, lint: Lint, pointer: &str, message: impl Into<String>, help: impl Into<String>) {
        let finding = self.document.finding_around(pointer, message, Some(help.into()));
        self.found.push(Finding { severity: Severity::Warning(lint), ..finding });
    }
}

/// Ten of a kind make the point; of a hundred thousand nobody would see the others.
fn summarise(found: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    for lint in Lint::ALL {
        let severity = Severity::Warning(lint);
        let of_a_kind = found.iter().filter(|finding| finding.severity == severity);
        let left_out = of_a_kind.clone().count().saturating_sub(SHOWN_OF_A_KIND);
        kept.extend(of_a_kind.take(SHOWN_OF_A_KIND).cloned());
        if let Some(last) = kept.last_mut().filter(|_| left_out > 0) {
            last.message.push_str(&format!(" (and {left_out} more like this)"));
        }
    }
    kept.extend(found.into_iter().filter(|finding| finding.severity == Severity::Note));
    kept
}

/// The items of a list member, by pointer.
fn items<'v>(policy: &'v Value, pointer: &'v str) -> impl Iterator<Item = (String, &'v Value)> {
    let list = policy.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    list.enumerate().map(move |(index, item)| (format!("{pointer}/{index}"), item))
}

/// The patterns in a list; what is none is a mistake, and not for a lint to say.
fn patterns(list: Option<&Value>) -> Vec<Pattern> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(|text| Pattern::parse(text.as_str()?)).collect()
}

/// The names of all commands, in order.
fn names(policy: &Value) -> Vec<&str> {
    let commands = policy.get("commands").and_then(Value::as_object).into_iter().flatten();
    let mut names: Vec<&str> = commands.map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names
}

/// Those of the sorted names that one of the patterns names. What begins alike stands together.
fn named_by<'n>(names: &[&'n str], patterns: &[Pattern]) -> BTreeSet<&'n str> {
    let named = patterns.iter().flat_map(|pattern| {
        let beginning = beginning(pattern);
        let from = names.partition_point(|name| *name < beginning);
        let alike = names.iter().skip(from).take_while(move |name| name.starts_with(beginning));
        alike.filter(|name| pattern.matches(name)).copied()
    });
    named.collect()
}

/// The text before the `*` of a pattern, or all of it: whatever it covers begins so.
fn beginning(pattern: &Pattern) -> &str {
    let (Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Across(text)) = pattern;
    text
}

/// All that a pattern can begin with which covers what begins with this text.
fn beginnings(text: &str) -> impl Iterator<Item = &str> {
    (0..=text.len()).filter_map(|length| text.get(..length))
}

/// `a`, `a and b`, `a, b and c`.
fn and(words: &[impl AsRef<str>]) -> String {
    match words {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [front @ .., last] => {
            let front: Vec<&str> = front.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", front.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests;
