//! From a file and a change to the file's new text, which is nothing but the old one with the change.

use super::{
    Entry, Selectors,
    change::{Change, Plan, indices, next_generation, past},
    embedded,
    splice::{self, Splice},
    text,
};
use crate::source::{Documents, Findings, Held, PolicyDocument};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;

/// The largest `generation` that every reader of JSON keeps exactly, and the filter takes.
const LARGEST_GENERATION: u64 = 1 << 53;

/// A changed file.
#[derive(Debug, Clone)]
pub struct Revision {
    /// The file's whole new text.
    pub text: String,
    /// The policy in it.
    pub policy: Value,
    /// The entries that are new.
    pub added: Vec<Value>,
    /// The entries that are gone.
    pub removed: Vec<Value>,
    /// The document's new `generation`.
    pub generation: u64,
    /// `name@` and the first 12 digits of the new revision.
    pub label: String,
}

/// Why there is nothing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nothing {
    /// This entry ends all that the new one would.
    Covered(Value),
    /// All of the new ones are revoked already.
    AllCovered,
    /// No entry has exactly these selectors; these others end what they name.
    NotThere(Vec<Value>),
    /// Every entry may still matter.
    NothingPast,
}

/// The entries of a policy.
#[must_use]
pub fn entries(policy: &Value) -> &[Value] {
    policy.get("revoked").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Changes the file's text. The file itself stays as it is.
///
/// # Errors
/// When its policy is not valid, before or after the change, or stands in a form that cannot be edited.
pub fn revise(document: &PolicyDocument, change: &Change, now: Timestamp) -> Result<Result<Revision, Nothing>, Findings> {
    let compiled = document.compile()?;
    let policy = document.value();
    let (add, remove) = match change {
        Change::Add(entry) => match entries(policy).iter().find(|old| Selectors::of(old).covers(&entry.selectors)) {
            Some(old) => return Ok(Err(Nothing::Covered(old.clone()))),
            None => (vec![entry.clone()], Vec::new()),
        },
        Change::AddAll(list) => match uncovered(policy, list) {
            new if new.is_empty() => return Ok(Err(Nothing::AllCovered)),
            new => (new, Vec::new()),
        },
        Change::Undo(selectors) => {
            let exactly = indices(policy, |entry| Selectors::of(entry) == *selectors);
            if exactly.is_empty() {
                let others = entries(policy).iter().filter(|entry| Selectors::of(entry).covers(selectors));
                return Ok(Err(Nothing::NotThere(others.cloned().collect())));
            }
            (Vec::new(), exactly)
        }
        Change::Prune => match past(policy, now) {
            past if past.is_empty() => return Ok(Err(Nothing::NothingPast)),
            past => (Vec::new(), past),
        },
    };
    let generation = next_generation(compiled.generation(), now);
    if generation > LARGEST_GENERATION {
        let help = "set it to a smaller number by hand, and deliver that first".to_owned();
        return Err(document.finding("/generation", "is as large as it can be", Some(help)).into());
    }
    let plan = Plan { add, remove, generation };
    carry_out(document, &plan).map(Ok)
}

/// Those that no entry of the policy ends already, and none before them in the list. Each is compared with the few that could:
/// a log may name as many sessions as the policy has entries.
fn uncovered(policy: &Value, list: &[Entry]) -> Vec<Entry> {
    let mut known: HashMap<Option<String>, Vec<Selectors>> = HashMap::new();
    for selectors in entries(policy).iter().map(Selectors::of) {
        known.entry(selectors.session.clone()).or_default().push(selectors);
    }
    let mut new = Vec::new();
    for entry in list {
        let wanted = &entry.selectors;
        let candidates = [Some(&None), wanted.session.is_some().then_some(&wanted.session)];
        let mut candidates = candidates.into_iter().flatten().filter_map(|session| known.get(session)).flatten();
        if !candidates.any(|old| old.covers(wanted)) {
            known.entry(wanted.session.clone()).or_default().push(wanted.clone());
            new.push(entry.clone());
        }
    }
    new
}

fn carry_out(document: &PolicyDocument, plan: &Plan) -> Result<Revision, Findings> {
    let policy = document.value();
    let source = document.file().source();
    let unsafe_to_edit = || -> Findings {
        let help = "write `revoked` as a list of plain lines, or change it by hand";
        document.finding("/revoked", "stands in a form that cannot be changed safely", Some(help.to_owned())).into()
    };
    let text = splices(document, plan).and_then(|splices| splice::apply(&source.text, splices)).ok_or_else(unsafe_to_edit)?;
    let new =
        Documents::parse(&source.name, text.clone()).and_then(|new| new.same_place(document)).map_err(|_| unsafe_to_edit())?;
    let mut expected = policy.clone();
    plan.apply(&mut expected);
    if *new.value() != expected || around(&new).is_none_or(|new| Some(new) != around(document)) {
        return Err(unsafe_to_edit());
    }
    // What the filter would refuse must not replace what it takes. The new text has no name of its own to show mistakes in.
    let compiled = new.compile()?;
    let revision = compiled.revision().and_then(|revision| revision.get(..12)).unwrap_or_default();
    Ok(Revision {
        text,
        added: plan.add.iter().map(Entry::value).collect(),
        removed: plan.remove.iter().filter_map(|index| entries(policy).get(*index).cloned()).collect(),
        generation: plan.generation,
        label: format!("{}@{revision}", compiled.name().unwrap_or_default()),
        policy: expected,
    })
}

/// What changes the document's file.
fn splices(document: &PolicyDocument, plan: &Plan) -> Option<Vec<Splice>> {
    let file = document.file();
    match document.held() {
        Held::Node(pointer) => text::edit(file, pointer, plan),
        Held::Text { pointer, inner } => embedded::embed(file, pointer, &inner.source().text, text::edit(inner, "", plan)?),
        Held::File { pointer, inner } => embedded::embed(file, pointer, inner.file_text(), splices(inner, plan)?),
    }
}

/// The values of all documents of the file without the policy; `None` when the file cannot be read.
fn around(document: &PolicyDocument) -> Option<Vec<Value>> {
    let source = document.file().source();
    let file = Documents::parse(&source.name, source.text.clone()).ok()?;
    let mut values: Vec<Value> = file.documents().iter().map(|document| document.value().clone()).collect();
    let (Held::Node(pointer) | Held::Text { pointer, .. } | Held::File { pointer, .. }) = document.held();
    if let Some(policy) = values.get_mut(document.index()).and_then(|value| value.pointer_mut(pointer)) {
        *policy = Value::Null;
    }
    if let Held::File { inner, .. } = document.held() {
        values.extend(around(inner)?);
    }
    Some(values)
}
