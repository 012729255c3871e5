//! What agents are told of a tool, cut down to what the policy takes of it.

use serde_json::{Map, Value, json};

use super::{Node, Rules, Schema, Types, equal};

impl Schema {
    /// The schema that a server advertises for a tool, made narrower by this one where the two can be merged. Never wider: agents
    /// are spared calls that would be denied, and what decides is [`Schema::check`].
    ///
    /// At the top nothing is combined by `allOf`, which the models' interfaces do not take there; and what is annotated stays where it
    /// is, as `x-mcp-header` means something on a chain of `properties` alone.
    pub(crate) fn narrow(&self, advertised: &Value) -> Value {
        match (&self.node, advertised) {
            // What nothing keeps to would be no schema to some, and the whole list no list.
            (Node::Rules(ours), Value::Object(theirs)) => {
                merge(ours, theirs, true).map_or_else(|| advertised.clone(), Value::Object)
            }
            (Node::Any | Node::Never, _) | (Node::Rules(_), _) => advertised.clone(),
        }
    }
}

/// The same within another schema, where everything can be said.
pub(super) fn narrowed(ours: &Node, theirs: &Value) -> Value {
    match (ours, theirs) {
        (Node::Any, _) => theirs.clone(),
        (Node::Never, _) | (_, Value::Bool(false)) => Value::Bool(false),
        (Node::Rules(ours), Value::Object(theirs)) => merge(ours, theirs, false).map_or(Value::Bool(false), Value::Object),
        (Node::Rules(ours), Value::Bool(true)) => ours.source.clone(),
        // Of another draft.
        (Node::Rules(_), other) => other.clone(),
    }
}

/// `top`: nothing may be combined by `allOf`. `None`: nothing keeps to both.
fn merge(ours: &Rules, theirs: &Map<String, Value>, top: bool) -> Option<Map<String, Value>> {
    // What stands elsewhere cannot be merged in its place, and what is added here would count as evaluated there.
    let others = ["$ref", "$dynamicRef", "unevaluatedProperties", "unevaluatedItems"];
    if others.iter().any(|name| theirs.contains_key(*name)) {
        return Some(if top { theirs.clone() } else { both(theirs, ours) });
    }
    let mut merged = theirs.clone();
    let mut rest = !(ours.all.is_empty() && ours.any.is_empty() && ours.one.is_empty() && ours.not.is_none());
    types(ours, &mut merged)?;
    values(ours, &mut merged)?;
    let numbers = &ours.numbers;
    let mut tighten = |name: &str, bound: Option<f64>, least: bool| {
        let Some(bound) = bound else { return };
        let known = theirs.get(name).and_then(Value::as_f64);
        if known.is_none_or(|known| if least { known < bound } else { known > bound })
            && let Some(written) = ours.source.get(name)
        {
            merged.insert(name.to_owned(), written.clone());
        }
    };
    tighten("minimum", numbers.least, true);
    tighten("maximum", numbers.most, false);
    tighten("exclusiveMinimum", numbers.above, true);
    tighten("exclusiveMaximum", numbers.below, false);
    #[expect(clippy::cast_precision_loss, reason = "bounds on lengths are small")]
    let float = |bound: Option<usize>| bound.map(|bound| bound as f64);
    for (name, bound, least) in [
        ("minLength", ours.texts.least, true),
        ("maxLength", ours.texts.most, false),
        ("minItems", ours.lists.least, true),
        ("maxItems", ours.lists.most, false),
        ("minProperties", ours.objects.least, true),
        ("maxProperties", ours.objects.most, false),
    ] {
        tighten(name, float(bound), least);
    }
    for name in ["multipleOf", "pattern"] {
        let Some(written) = ours.source.get(name) else { continue };
        rest |= merged.insert(name.to_owned(), written.clone()).is_some_and(|known| known != *written);
        if let Some(known) = theirs.get(name).filter(|known| *known != written) {
            merged.insert(name.to_owned(), known.clone());
        }
    }
    if ours.lists.unique {
        merged.insert("uniqueItems".to_owned(), true.into());
    }
    match (&ours.lists.items, theirs.get("items"), ours.lists.first.is_empty() && !theirs.contains_key("prefixItems")) {
        (None, _, true) => {}
        (Some(items), known, true) => {
            merged.insert("items".to_owned(), narrowed(items, known.unwrap_or(&Value::Bool(true))));
        }
        (_, _, false) => rest |= !ours.lists.first.is_empty() || ours.lists.items.is_some(),
    }
    members(ours, theirs, &mut merged);
    Some(if rest && !top { both(&merged, ours) } else { merged })
}

/// What cannot be merged stands side by side.
fn both(theirs: &Map<String, Value>, ours: &Rules) -> Map<String, Value> {
    let mut merged = theirs.clone();
    let mut all = match merged.remove("allOf") {
        Some(Value::Array(all)) => all,
        Some(_) | None => Vec::new(),
    };
    all.push(ours.source.clone());
    merged.insert("allOf".to_owned(), all.into());
    merged
}

fn types(ours: &Rules, merged: &mut Map<String, Value>) -> Option<()> {
    let Some(mine) = ours.types else { return Some(()) };
    let named = |value: &Value| Types::NAMES.into_iter().find(|(name, _)| value == *name).map(|(_, types)| types);
    let known = match merged.get("type") {
        None => None,
        Some(Value::Array(several)) => Some(Types(several.iter().filter_map(named).fold(0, |all, types| all | types.0))),
        Some(one) => named(one),
    };
    let words = known.map_or(mine, |known| known.and(mine)).words();
    let value = match words.as_slice() {
        [] => return None,
        [one] => json!(one),
        several => json!(several),
    };
    merged.insert("type".to_owned(), value);
    Some(())
}

fn values(ours: &Rules, merged: &mut Map<String, Value>) -> Option<()> {
    let Some(mine) = &ours.values else { return Some(()) };
    let mut known = match (merged.remove("const"), merged.get("enum")) {
        (Some(one), Some(Value::Array(several))) if !several.iter().any(|other| equal(other, &one)) => return None,
        (Some(one), _) => Some(vec![one]),
        (None, Some(Value::Array(several))) => Some(several.clone()),
        (None, _) => None,
    };
    if let Some(known) = &mut known {
        known.retain(|value| mine.iter().any(|mine| equal(mine, value)));
    }
    let left = known.unwrap_or_else(|| mine.clone());
    (!left.is_empty()).then(|| drop(merged.insert("enum".to_owned(), left.into())))
}

fn members(ours: &Rules, theirs: &Map<String, Value>, merged: &mut Map<String, Value>) {
    let objects = &ours.objects;
    if objects.properties.is_empty() && objects.required.is_empty() && objects.additional.is_none() {
        return;
    }
    let additional = theirs.get("additionalProperties");
    let mut properties = match theirs.get("properties") {
        Some(Value::Object(properties)) => properties.clone(),
        Some(_) | None => Map::new(),
    };
    for (name, node) in &objects.properties {
        match (properties.get(name), node) {
            // Gone altogether: an agent that does not see it does not try it.
            (_, Node::Never) => drop(properties.remove(name)),
            (Some(known), _) => {
                let both = narrowed(node, known);
                properties.insert(name.clone(), both);
            }
            (None, _) if additional == Some(&Value::Bool(false)) => {}
            (None, node) => {
                properties.insert(name.clone(), narrowed(node, additional.unwrap_or(&Value::Bool(true))));
            }
        }
    }
    match &objects.additional {
        Some(Node::Never) => {
            properties.retain(|name, _| objects.properties.contains_key(name));
            merged.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        Some(node) => {
            for (name, known) in &mut properties {
                if !objects.properties.contains_key(name) {
                    *known = narrowed(node, known);
                }
            }
            merged.insert("additionalProperties".to_owned(), narrowed(node, additional.unwrap_or(&Value::Bool(true))));
        }
        None => {}
    }
    // What was taken out must not come back as one of the others.
    if merged.get("additionalProperties") != Some(&Value::Bool(false)) {
        let forbidden = objects.properties.iter().filter(|(_, node)| matches!(node, Node::Never));
        properties.extend(forbidden.map(|(name, _)| (name.clone(), Value::Bool(false))));
    }
    let mut required: Vec<Value> = match theirs.get("required") {
        Some(Value::Array(required)) => required.clone(),
        Some(_) | None => Vec::new(),
    };
    required.extend(objects.required.iter().filter(|name| !theirs_requires(theirs, name)).map(|name| json!(name)));
    if !required.is_empty() {
        merged.insert("required".to_owned(), required.into());
    }
    merged.insert("properties".to_owned(), properties.into());
}

fn theirs_requires(theirs: &Map<String, Value>, name: &str) -> bool {
    theirs.get("required").and_then(Value::as_array).is_some_and(|known| known.iter().any(|known| known == name))
}
