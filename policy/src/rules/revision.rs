//! The revision of a policy.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::primitives::json;

/// SHA-256 over a canonical form that survives Envoy's `Struct`: members sorted, every number a double. `generation` is not
/// part of it: it changes so that Envoy takes an update, not because the rules do.
pub(crate) fn revision(document: &Value) -> String {
    let mut canonical = String::new();
    canonicalise(document, true, &mut canonical);
    let digest = Sha256::digest(canonical.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut hex, byte| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn canonicalise(value: &Value, root: bool, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push('{');
            let mut members: Vec<_> = members.iter().filter(|(name, _)| !(root && name.as_str() == "generation")).collect();
            members.sort_by_key(|(name, _)| *name);
            for (name, member) in members {
                json::push_string(name, out);
                out.push(':');
                canonicalise(member, false, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonicalise(item, false, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Number(number) => out.push_str(&number.as_f64().unwrap_or_default().to_string()),
        Value::String(text) => json::push_string(text, out),
        Value::Null | Value::Bool(_) => out.push_str(&value.to_string()),
    }
}
