//! Where the policy is inside an Envoy file: the `configuration` of a wasm plugin.

use super::{push_index, push_member};
use serde_json::Value;

/// What may be a policy, found in an Envoy file or a manifest, by JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A StringValue that holds JSON: what `render` writes.
    Text(String),
    /// A Struct that is the policy.
    Struct(String),
    /// A text that is a file with a policy in it.
    File(String),
}

/// Is this Envoy's rather than a policy? A policy has none of these members.
pub(super) fn is_envoy(value: &Value) -> bool {
    ["@type", "resources", "static_resources", "typed_config"].iter().any(|name| value.get(name).is_some())
}

/// Is the policy at this pointer what Istio itself takes (WasmPlugin, TrafficExtension)?
pub(super) fn is_istio(pointer: &str) -> bool {
    pointer.ends_with("/pluginConfig")
}

/// Is the policy at this pointer what Envoy Gateway takes (EnvoyExtensionPolicy)?
pub(super) fn is_envoy_gateway(pointer: &str) -> bool {
    pointer.ends_with("/config")
}

/// The plugin that has its policy at this pointer, in Envoy's own resources and in Kubernetes'.
pub(super) fn plugin(pointer: &str) -> Option<&str> {
    let ends = ["/configuration/value", "/pluginConfig", "/config"];
    ends.iter().find_map(|end| pointer.strip_suffix(end))
}

/// Every plugin configuration in the file.
pub(super) fn find(value: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    walk(value, &mut String::new(), &mut found);
    found
}

fn walk(value: &Value, pointer: &mut String, found: &mut Vec<Found>) {
    let length = pointer.len();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                // `vm_config.configuration` is the VM's, and not a policy.
                if name == "vm_config" {
                    continue;
                }
                push_member(pointer, name);
                match (name.as_str(), configuration(member)) {
                    ("configuration", Some(kind)) => {
                        push_member(pointer, "value");
                        found.push(kind(pointer.clone()));
                    }
                    _ => walk(member, pointer, found),
                }
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                push_index(pointer, index);
                walk(item, pointer, found);
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
