//! Where the policy is inside a manifest of Kubernetes: Istio's WasmPlugin, TrafficExtension and EnvoyFilter, Envoy Gateway's
//! EnvoyExtensionPolicy, a ConfigMap that holds a file, and lists of them.

use super::{
    envoy::{self, Found},
    found::is_telling,
    push_index, push_member,
};
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
        Some("ConfigMap") => {
            for (name, file) in value.get("data").and_then(Value::as_object).into_iter().flatten() {
                if file.as_str().is_some_and(mentions_policy) {
                    let mut file = format!("{pointer}/data");
                    push_member(&mut file, name);
                    found.push(Found::File(file));
                }
            }
        }
        // `List`, as kubectl prints it, and `WasmPluginList`, as the API server answers.
        Some(kind) if kind.ends_with("List") && value.get("items").is_some() => {
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
            Found::File(inner) => Found::File(format!("{pointer}{inner}")),
        })),
    }
}

/// May this text hold a policy? Most of what ConfigMaps hold need not even be parsed.
fn mentions_policy(text: &str) -> bool {
    is_telling(|name| text.contains(name))
}

/// What an object is called.
pub(super) struct ObjectName {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// The object that this node of a manifest is in; `None` when it has no name.
pub(super) fn object_around(manifest: &Value, pointer: &str) -> Option<ObjectName> {
    let mut object = manifest;
    let mut rest = pointer;
    while let Some(item) = rest.strip_prefix("/items/") {
        let (index, inside) = item.split_once('/')?;
        object = object.pointer(&format!("/items/{index}"))?;
        rest = item.get(item.len() - inside.len() - 1..)?;
    }
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    Some(ObjectName {
        kind: text("/kind")?,
        namespace: text("/metadata/namespace").unwrap_or_else(|| "default".to_owned()),
        name: text("/metadata/name")?,
    })
}

fn member(value: &Value, pointer: &str, inner: &str, found: &mut Vec<Found>) {
    if value.pointer(inner).is_some_and(Value::is_object) {
        found.push(Found::Struct(format!("{pointer}{inner}")));
    }
}

#[cfg(test)]
mod tests {
    use crate::source::{Document, PolicyDocument};
    use serde_json::json;

    fn find(text: &str) -> Result<PolicyDocument, String> {
        let file = Document::parse("m.yaml", text.to_owned()).unwrap();
        PolicyDocument::find(file).map_err(|findings| findings.to_string())
    }

    #[test]
    fn a_policy_is_found_in_each_kind_of_object_and_errors_point_into_it() {
        let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  pluginConfig:\n    name: p\n";
        let extension =
            "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nspec:\n  wasm:\n    pluginConfig: {name: p}\n";
        let gateway = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nspec:\n  wasm:\n  - code: {}\n    config: {name: p}\n";
        let filter = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec:\n  configPatches:\n  - patch:\n      value:\n        config:\n          configuration:\n            '@type': type.googleapis.com/google.protobuf.StringValue\n            value: '{\"name\": \"p\"}'\n";
        let list = format!("apiVersion: v1\nkind: List\nitems:\n- kind: Service\n- {}", plugin.replace('\n', "\n  "));
        for (text, place) in [
            (plugin, "m.yaml:5:11"),
            (extension, "m.yaml:5:26"),
            (gateway, "m.yaml:6:20"),
            (filter, "m.yaml:10:30"),
            (&list, "m.yaml:9:13"),
        ] {
            let policy = find(text).unwrap();
            assert_eq!(policy.value(), &json!({"name": "p"}));
            assert_eq!(policy.finding("/name", "wrong", None).place(), place, "{text}");
        }
    }

    #[test]
    fn no_policy_or_two_are_one_error() {
        assert!(
            find("apiVersion: v1\nkind: ConfigMap\ndata: {policy: x}\n")
                .unwrap_err()
                .contains("a manifest without a policy in it")
        );
        let two = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\nspec: {wasm: [{config: {name: a}}, {config: {name: b}}]}\n";
        let said = find(two).unwrap_err();
        assert!(said.contains("m.yaml:3:52: a second policy: 2 are in this file"), "{said}");
        assert!(said.contains("`--policy-name NAME`: `a` (line 3), `b` (line 3)"), "{said}");
    }
}
