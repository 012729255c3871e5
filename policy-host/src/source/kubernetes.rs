//! Where the policy is inside a manifest of Kubernetes: Istio's WasmPlugin, TrafficExtension and EnvoyFilter, Envoy Gateway's
//! EnvoyExtensionPolicy, and lists of them.

use super::{envoy, envoy::Found, push_index, push_member};
use serde_json::Value;

/// Every object of Kubernetes says its `apiVersion` and `kind`; a policy has neither.
pub(super) fn is_manifest(value: &Value) -> bool {
    value.get("apiVersion").is_some() && value.get("kind").is_some()
}

/// Every policy in the manifest.
pub(super) fn find(value: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    object(value, &mut String::new(), &mut found);
    found
}

fn object(value: &Value, pointer: &mut String, found: &mut Vec<Found>) {
    match value.get("kind").and_then(Value::as_str) {
        Some("WasmPlugin") => member(value, pointer, "/spec/pluginConfig", found),
        Some("TrafficExtension") => member(value, pointer, "/spec/wasm/pluginConfig", found),
        Some("EnvoyExtensionPolicy") => {
            let extensions = value.pointer("/spec/wasm").and_then(Value::as_array).map_or(0, Vec::len);
            (0..extensions).for_each(|index| member(value, pointer, &format!("/spec/wasm/{index}/config"), found));
        }
        Some("List") => {
            let length = pointer.len();
            for (index, item) in value.get("items").and_then(Value::as_array).into_iter().flatten().enumerate() {
                push_member(pointer, "items");
                push_index(pointer, index);
                object(item, pointer, found);
                pointer.truncate(length);
            }
        }
        // An EnvoyFilter holds Envoy's own resources.
        Some(_) | None => found.extend(envoy::find(value).into_iter().map(|kind| match kind {
            Found::Text(inner) => Found::Text(format!("{pointer}{inner}")),
            Found::Struct(inner) => Found::Struct(format!("{pointer}{inner}")),
        })),
    }
}

fn member(value: &Value, pointer: &str, inner: &str, found: &mut Vec<Found>) {
    if value.pointer(inner).is_some_and(Value::is_object) {
        found.push(Found::Struct(format!("{pointer}{inner}")));
    }
}
