//! Reading a parsed document member by member, so that every mistake keeps its place.

use super::location::Location;
use crate::source::{Document, Finding, push_index, push_member, seconds};
use chaperone_policy::{json_kind, nearest_name};
use jiff::Timestamp;
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap};

/// What is wrong so far. Reading goes on after a mistake, so that an author sees all of them at once.
pub(super) struct Errors<'d> {
    document: &'d Document,
    list: RefCell<Vec<Finding>>,
}

impl<'d> Errors<'d> {
    pub(super) fn new(document: &'d Document) -> Self {
        Self { document, list: RefCell::default() }
    }

    pub(super) fn add(&self, pointer: &str, message: impl Into<String>, help: Option<String>) {
        self.push(self.document.finding(pointer, message, help));
    }

    pub(super) fn push(&self, finding: Finding) {
        // The same row of a table may be read once for each use of what it is like.
        let mut list = self.list.borrow_mut();
        if !list.contains(&finding) {
            list.push(finding);
        }
    }

    pub(super) fn location(&self, pointer: &str) -> Location {
        let finding = self.document.finding(pointer, "", None);
        let (line, column) = finding.line_column().unwrap_or((1, 1));
        Location { file: finding.source.name.clone(), line, column }
    }

    pub(super) fn into_list(self) -> Vec<Finding> {
        self.list.into_inner()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }
}

/// A value and where it is.
#[derive(Debug, Clone)]
pub(super) struct Node<'v> {
    pub(super) value: &'v Value,
    pub(super) pointer: String,
}

/// The members of an object, by name.
pub(super) type Members<'v> = BTreeMap<&'v str, Node<'v>>;

impl<'v> Node<'v> {
    pub(super) fn root(value: &'v Value) -> Self {
        Self { value, pointer: String::new() }
    }

    pub(super) fn wrong(&self, errors: &Errors<'_>, message: impl Into<String>, help: &str) {
        errors.add(&self.pointer, message, (!help.is_empty()).then(|| help.to_owned()));
    }

    /// The members of an object, whatever their names.
    pub(super) fn any_members(&self, errors: &Errors<'_>) -> Option<Members<'v>> {
        let Some(object) = self.value.as_object() else {
            self.wrong(errors, format!("must be an object, and this is {}", json_kind(self.value)), "");
            return None;
        };
        Some(object.iter().map(|(name, value)| (name.as_str(), self.member(name, value))).collect())
    }

    /// The members of an object that may have only these.
    pub(super) fn members(&self, errors: &Errors<'_>, known: &[&str]) -> Option<Members<'v>> {
        let members = self.any_members(errors)?;
        for (name, node) in &members {
            if !known.contains(name) {
                let help = nearest_name(name, known.iter().copied())
                    .map_or_else(|| format!("one of: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
                node.wrong(errors, format!("unknown member `{name}`"), &help);
            }
        }
        Some(members)
    }

    fn member(&self, name: &str, value: &'v Value) -> Self {
        let mut pointer = self.pointer.clone();
        push_member(&mut pointer, name);
        Node { value, pointer }
    }

    pub(super) fn items(&self, errors: &Errors<'_>) -> Option<Vec<Self>> {
        let Some(items) = self.value.as_array() else {
            self.wrong(errors, format!("must be a list, and this is {}", json_kind(self.value)), "");
            return None;
        };
        let item = |(index, value)| {
            let mut pointer = self.pointer.clone();
            push_index(&mut pointer, index);
            Node { value, pointer }
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self, errors: &Errors<'_>) -> Option<&'v str> {
        let text = self.value.as_str();
        if text.is_none() {
            let help = if self.value.is_number() || self.value.is_boolean() { "put it in quotes" } else { "" };
            self.wrong(errors, format!("must be a string, and this is {}", json_kind(self.value)), help);
        }
        text
    }

    pub(super) fn whole_number(&self, errors: &Errors<'_>, from: u64, to: u64) -> Option<u64> {
        let number = self.value.as_u64().filter(|n| (from..=to).contains(n));
        if number.is_none() {
            self.wrong(errors, format!("must be a whole number from {from} to {to}"), "");
        }
        number
    }

    /// A signed number of seconds, written `10m` or `-5s`.
    pub(super) fn duration(&self, errors: &Errors<'_>) -> Option<i64> {
        let seconds = self.value.as_str().and_then(seconds);
        if seconds.is_none() {
            self.wrong(errors, "must be a duration", "a whole number and a unit: `30s`, `10m`, `-5m`, `8h` or `1d`");
        }
        seconds
    }

    /// RFC 3339, or a duration after `base`.
    pub(super) fn instant(&self, errors: &Errors<'_>, base: Timestamp) -> Option<Timestamp> {
        let text = self.value.as_str();
        let found = text.and_then(|text| match seconds(text) {
            Some(offset) => base.as_second().checked_add(offset).and_then(|at| Timestamp::from_second(at).ok()),
            None => text.parse().ok(),
        });
        if found.is_none() {
            self.wrong(errors, "must be an instant", "a time after the file's `at` (`16m`), or RFC 3339: `2026-11-23T10:00:00Z`");
        }
        found
    }
}

/// Replaces each `${name}` by what `find` says; a name that it does not know is given back as the error.
pub(super) fn expand(text: &str, find: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after.split_once('}').ok_or_else(|| after.to_owned())?;
        out.push_str(before);
        out.push_str(&find(name).ok_or_else(|| name.to_owned())?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// The instant that `${…}` names: `at`, `at+10m`, `at-5m`.
pub(super) fn instant_named(name: &str, at: Timestamp) -> Option<Timestamp> {
    let offset = match name.strip_prefix("at")? {
        "" => 0,
        rest => seconds(rest.strip_prefix('+').unwrap_or(rest))?,
    };
    Timestamp::from_second(at.as_second().checked_add(offset)?).ok()
}

/// Each `${at…}` as Unix seconds; anything else after `${` is a mistake.
pub(super) fn unix_seconds(node: &Node<'_>, text: &str, at: Timestamp, errors: &Errors<'_>) -> Option<String> {
    let find = |name: &str| instant_named(name, at).map(|instant| instant.as_second().to_string());
    expand(text, find).map_err(|name| no_instant(node, &name, errors)).ok()
}

/// Each `${at…}` in the strings of a value as RFC 3339. Other `${…}` stay: a policy has its own.
pub(super) fn rfc3339(value: &Value, at: Timestamp) -> Value {
    match value {
        Value::String(text) => {
            let find = |name: &str| Some(instant_named(name, at).map_or_else(|| format!("${{{name}}}"), |i| i.to_string()));
            Value::String(expand(text, find).unwrap_or_else(|_| text.clone()))
        }
        Value::Array(items) => items.iter().map(|item| rfc3339(item, at)).collect(),
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), rfc3339(member, at))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn no_instant(node: &Node<'_>, name: &str, errors: &Errors<'_>) {
    node.wrong(errors, format!("`${{{name}}}` is no instant"), "`${at}`, `${at+10m}` or `${at-5m}`");
}

/// A reference to something that the file does not define.
pub(super) fn unknown_name<'n>(
    node: &Node<'_>,
    errors: &Errors<'_>,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'n str>,
) {
    let known: Vec<&str> = known.collect();
    let help = match nearest_name(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("the file has no {what}s"),
        None => format!("one of: {}", known.join(", ")),
    };
    // What a stream is called stands in a key, everything else in a value: the message decides which of them is shown.
    let message = if what == "stream" { "unknown stream" } else { &format!("there is no {what}") };
    node.wrong(errors, format!("{message} `{name}`"), &help);
}
