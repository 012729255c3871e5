//! `config:` in a step: the policy as an operator would change it while it is in use.

use super::read::{Errors, Node, rfc3339};
use crate::source::push_member;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Changes the policy as `{add: …}` and `{set: …}` say. `${at-5m}` in a text is that instant in RFC 3339.
pub(super) fn apply(policy: &mut Value, node: &Node<'_>, at: Timestamp, errors: &Errors<'_>) -> Option<()> {
    let members = node.members(errors, &["add", "set"])?;
    if members.is_empty() {
        node.wrong(errors, "changes nothing", "`add:` appends to lists, `set:` replaces");
        return None;
    }
    if let Some(top) = members.get("set") {
        set(policy, &rfc3339(top.value, at));
    }
    if let Some(top) = members.get("add") {
        add(policy, &rfc3339(top.value, at), &top.pointer, errors)?;
    }
    Some(())
}

/// Lists grow, objects gain members; what has a value already is not replaced.
fn add(base: &mut Value, top: &Value, pointer: &str, errors: &Errors<'_>) -> Option<()> {
    match (base, top) {
        (Value::Array(base), Value::Array(top)) => base.extend(top.iter().cloned()),
        (Value::Object(base), Value::Object(top)) => {
            for (name, value) in top {
                let mut pointer = pointer.to_owned();
                push_member(&mut pointer, name);
                match base.get_mut(name) {
                    Some(base) => add(base, value, &pointer, errors)?,
                    None => {
                        base.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        _ => {
            errors.add(pointer, "is there already, and `add` does not replace", Some("use `set`".to_owned()));
            return None;
        }
    }
    Some(())
}

/// RFC 7396 (JSON Merge Patch): objects are merged, null removes, everything else is replaced.
fn set(base: &mut Value, top: &Value) {
    let Value::Object(top) = top else {
        *base = top.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let Value::Object(base) = base else { return };
    for (name, value) in top {
        if value.is_null() {
            base.remove(name);
        } else {
            set(base.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The policy with another `generation`: Envoy may not tell a filter about bytes that it has seen before.
#[must_use]
pub fn with_generation(policy_json: &[u8], generation: u64) -> Vec<u8> {
    match serde_json::from_slice::<Value>(policy_json) {
        Ok(Value::Object(mut members)) => {
            members.insert("generation".to_owned(), json!(generation));
            Value::Object(members).to_string().into_bytes()
        }
        Ok(_) | Err(_) => policy_json.to_vec(),
    }
}
