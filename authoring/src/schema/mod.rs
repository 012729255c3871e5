//! JSON Schema (draft 2020-12) of what authors write, so that an editor completes and checks it. The core and the readers here
//! decide; a schema says beforehand what it can of that, and a test holds the two together.

mod cases;
mod policy;

use chaperone_policy::Reason;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Value, json};

/// The schema of the policy document.
#[must_use]
pub fn policy() -> Value {
    of::<policy::Policy>("Chaperone policy")
}

/// The schema of a cases file.
#[must_use]
pub fn cases() -> Value {
    let mut schema = of::<cases::Cases>("Chaperone cases");
    cases::with_requests_members(&mut schema);
    schema
}

fn of<T: JsonSchema>(title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    without_null(&mut value);
    if let Value::Object(members) = &mut value {
        members.insert("title".to_owned(), json!(title));
    }
    value
}

/// What may be left out is not null: the readers here refuse that.
fn without_null(value: &mut Value) {
    let Value::Object(members) = value else {
        if let Value::Array(items) = value {
            items.iter_mut().for_each(without_null);
        }
        return;
    };
    members.values_mut().for_each(without_null);
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            members.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            members.remove("anyOf");
            members.extend(only);
        }
    }
}

/// The reasons, or those that `observe` may name.
fn reasons(schema: &mut Schema, observable: bool) {
    let codes = Reason::ALL.into_iter().filter(|reason| !observable || reason.can_be_observed()).map(Reason::code);
    schema.insert("enum".to_owned(), codes.collect());
}
