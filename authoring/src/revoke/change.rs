//! A change of `revoked` on the document's value: the model that the edited text must agree with.

use super::{Entry, Selectors};
use crate::source::seconds;
use jiff::Timestamp;
use serde_json::{Value, json};

/// What is to become of `revoked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// One more entry.
    Add(Entry),
    /// All of these that are not revoked already.
    AddAll(Vec<Entry>),
    /// The entries with exactly these selectors go.
    Undo(Selectors),
    /// The entries go that cannot name a live session any more.
    Prune,
}

/// The change as positions: what is added at the end, what is taken out, and the document's next `generation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) add: Vec<Entry>,
    /// In ascending order.
    pub(super) remove: Vec<usize>,
    pub(super) generation: u64,
}

/// A `generation` that no earlier delivery had: the current second, or one more than the present one, whichever is later.
#[must_use]
pub fn next_generation(present: u64, now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0).max(present.saturating_add(1))
}

impl Plan {
    /// The policy as it must be afterwards.
    pub(super) fn apply(&self, policy: &mut Value) {
        let Value::Object(members) = policy else { return };
        members.insert("generation".to_owned(), json!(self.generation));
        let revoked = members.entry("revoked").or_insert_with(|| json!([]));
        let Value::Array(entries) = revoked else { return };
        let mut index = 0;
        entries.retain(|_| {
            let kept = self.remove.binary_search(&index).is_err();
            index += 1;
            kept
        });
        entries.extend(self.add.iter().map(Entry::value));
    }
}

/// The entries that cannot matter any more: whatever began before `issued_before` has reached the longest lifetime by now.
pub(super) fn past(policy: &Value, now: Timestamp) -> Vec<usize> {
    indices(policy, |entry| is_past(policy, entry, now))
}

/// Can this entry of the policy's not matter any more?
pub(crate) fn is_past(policy: &Value, entry: &Value, now: Timestamp) -> bool {
    let Some(before) = Selectors::of(entry).issued_before else { return false };
    let Some(longest) = longest(policy) else { return false };
    // In whole seconds, as tokens have them: rounding up errs on the side of keeping.
    before.as_second().saturating_add(1).saturating_add(longest) <= now.as_second()
}

/// How long a token can still be good after it was issued, in seconds; `None` where the policy does not say.
pub(crate) fn longest(policy: &Value) -> Option<i64> {
    let duration = |pointer: &str| policy.pointer(pointer).and_then(Value::as_str).and_then(seconds);
    Some(duration("/session/max_lifetime")?.saturating_add(duration("/session/clock_skew").unwrap_or(0)))
}

/// The entries of `revoked` for which this holds.
pub(super) fn indices(policy: &Value, holds: impl Fn(&Value) -> bool) -> Vec<usize> {
    let entries = policy.get("revoked").and_then(Value::as_array).into_iter().flatten();
    entries.enumerate().filter(|(_, entry)| holds(entry)).map(|(index, _)| index).collect()
}
