//! Where the policy is inside an Envoy file or a Kubernetes manifest: the configuration of a wasm plugin.

use super::{push_index, push_member};
use serde_json::Value;

/// A policy found in a file, by JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A text that holds JSON: what `render` writes for Envoy.
    Text(String),
    /// A Struct that is the policy.
    Struct(String),
}

/// Is this Envoy's or Kubernetes' rather than a policy? A policy has none of these members.
pub(super) fn is_envoy(value: &Value) -> bool {
    let kubernetes = value.get("apiVersion").is_some() && value.get("kind").is_some();
    kubernetes || ["@type", "resources", "static_resources", "typed_config"].iter().any(|name| value.get(name).is_some())
}

/// Is the policy at this pointer what Istio itself takes (WasmPlugin, TrafficExtension)?
pub(super) fn is_istio(pointer: &str) -> bool {
    pointer.ends_with("/pluginConfig")
}

/// Every plugin configuration in the file.
pub(super) fn find(value: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    walk(value, None, &mut String::new(), &mut found);
    found
}

/// The plugin that has its policy at this pointer.
pub(super) fn plugin(pointer: &str) -> Option<&str> {
    let ends = ["/configuration/value", "/pluginConfig", "/config"];
    ends.iter().find_map(|end| pointer.strip_suffix(end))
}

fn walk(value: &Value, kind: Option<&str>, pointer: &mut String, found: &mut Vec<Found>) {
    let length = pointer.len();
    let kind = value.get("kind").and_then(Value::as_str).filter(|_| value.get("apiVersion").is_some()).or(kind);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                // `vm_config.configuration` is the VM's, and not a policy.
                if matches!(name.as_str(), "vm_config" | "vmConfig") {
                    continue;
                }
                push_member(pointer, name);
                match (name.as_str(), kind, configuration(member)) {
                    ("configuration", _, Some(make)) => {
                        push_member(pointer, "value");
                        found.push(make(pointer.clone()));
                    }
                    ("pluginConfig", Some("WasmPlugin" | "TrafficExtension"), _) => found.push(Found::Struct(pointer.clone())),
                    // Envoy Gateway hands over an object as its JSON.
                    ("config", Some("EnvoyExtensionPolicy"), _) if member.is_string() => found.push(Found::Text(pointer.clone())),
                    ("config", Some("EnvoyExtensionPolicy"), _) => found.push(Found::Struct(pointer.clone())),
                    _ => walk(member, kind, pointer, found),
                }
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push_index(pointer, index);
                walk(item, kind, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn configuration(value: &Value) -> Option<fn(String) -> Found> {
    match (value.get("@type")?.as_str()?, value.get("value")?) {
        ("type.googleapis.com/google.protobuf.StringValue", Value::String(_)) => Some(Found::Text),
        ("type.googleapis.com/google.protobuf.Struct", Value::Object(_)) => Some(Found::Struct),
        _ => None,
    }
}
