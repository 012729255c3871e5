//! Documents that no filter may take.

use crate::scenario::Scenario;
use serde_json::{Value, json};

/// Each with what is wrong with it, made from the scenario's policy of this generation.
///
/// # Panics
/// When the scenario's policy no longer has a member that is bent here.
#[must_use]
pub fn broken(scenario: &Scenario, generation: u64) -> Vec<(&'static str, Value)> {
    let good = scenario.revoking(generation, &json!([]));
    let with = |pointer: &str, value: Value| {
        let mut policy = good.clone();
        *policy.pointer_mut(pointer).expect("a member of the scenario's policy") = value;
        policy
    };
    let text = good.to_string();
    let mut unknown = good.clone();
    unknown["grantz"] = json!([]);
    vec![
        ("truncated JSON", json!(text.split_at(text.len() / 2).0)),
        ("no JSON", json!("mode: enforce")),
        ("nothing", json!("")),
        ("an array", json!("[]")),
        ("a member twice", json!(text.replacen("\"version\":1", "\"version\":1,\"version\":1", 1))),
        ("an unknown member", unknown),
        ("an unknown version", with("/version", json!(2))),
        ("no audience", with("/tokens/issuers/0/audiences", json!([]))),
        ("a shared secret's algorithm", with("/tokens/issuers/0/algorithms", json!(["HS256"]))),
        ("a grant of an unknown command", with("/grants/0/allow", json!(["orders.lost"]))),
        ("an empty condition", with("/grants/0/when", json!({}))),
        ("a revocation of nothing", with("/revoked", json!([{}]))),
    ]
}
