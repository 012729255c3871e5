//! What aliases and merge keys stand for. A policy has none; the manifest around it may, and is read as Kubernetes would.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// The key whose value's members become the object's own (YAML 1.1's merge type, which Kubernetes' readers know).
pub(super) const MERGE: &str = "<<";

/// The most that anchors keep and aliases repeat in one file, in nodes and bytes of text: a few hundred times what manifests
/// have, and far from what aliases of aliases could make of a few lines.
const MAX_REPEATED: usize = 4 << 20;

/// The anchors of a document.
#[derive(Default)]
pub(super) struct Anchors {
    values: HashMap<usize, Kept>,
    used: usize,
}

enum Kept {
    Value { value: Value, weight: usize, depth: usize },
    TooLarge,
}

impl Anchors {
    /// Keeps the finished node of this anchor.
    pub(super) fn define(&mut self, anchor: usize, value: &Value) {
        let (weight, depth) = weight(value);
        let kept = if self.spend(weight) { Kept::Value { value: value.clone(), weight, depth } } else { Kept::TooLarge };
        self.values.insert(anchor, kept);
    }

    /// The node of this anchor, at most so many levels deep, or why there is none.
    pub(super) fn repeat(&mut self, anchor: usize, deepest: usize) -> Result<Value, &'static str> {
        const TOO_MUCH: &str = "an alias (`*name`) that repeats too much";
        let Self { values, used } = self;
        match values.get(&anchor) {
            Some(Kept::Value { depth, .. }) if *depth > deepest => Err("an alias (`*name`) that nests too deeply"),
            Some(Kept::Value { value, weight, .. }) => {
                *used = used.saturating_add(*weight);
                if *used > MAX_REPEATED { Err(TOO_MUCH) } else { Ok(value.clone()) }
            }
            Some(Kept::TooLarge) => Err(TOO_MUCH),
            None => Err("an alias (`*name`) of nothing that ended before it in its document"),
        }
    }

    /// Anchors are their document's own; what they have cost stays.
    pub(super) fn forget(&mut self) {
        self.values.clear();
    }

    fn spend(&mut self, weight: usize) -> bool {
        self.used = self.used.saturating_add(weight);
        self.used <= MAX_REPEATED
    }
}

/// Nodes and bytes, and levels. No value here is deeper than a document may be.
fn weight(value: &Value) -> (usize, usize) {
    let sum = |parts: &mut dyn Iterator<Item = (usize, usize)>| {
        parts.fold((1, 0), |(weight, depth), (more, deeper)| (weight + more, depth.max(deeper)))
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => (1, 0),
        Value::String(text) => (1 + text.len(), 0),
        Value::Array(items) => {
            let (weight, depth) = sum(&mut items.iter().map(weight));
            (weight, depth + 1)
        }
        Value::Object(members) => {
            let (weight, depth) = sum(&mut members.iter().map(|(name, member)| {
                let (weight, depth) = weight(member);
                (weight + name.len(), depth)
            }));
            (weight, depth + 1)
        }
    }
}

/// The members with those that a merge key brings; the object's own, and earlier ones, come first.
pub(super) fn merged(mut members: Map<String, Value>) -> Map<String, Value> {
    let brought = match members.get(MERGE) {
        Some(Value::Object(_) | Value::Array(_)) => members.remove(MERGE).unwrap_or_default(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => return members,
    };
    let list = if let Value::Array(list) = brought { list } else { vec![brought] };
    for (name, member) in
        list.into_iter().filter_map(|item| if let Value::Object(item) = item { Some(item) } else { None }).flatten()
    {
        members.entry(name).or_insert(member);
    }
    members
}
