//! Which VM and which plugin of Envoy the policy of a file runs in: what an open stream is found again by when the file is replaced.

use super::{Finding, PolicyDocument};
use serde_json::Value;

/// A name, and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Empty where the file has none: to Envoy that is a name as good as any.
    pub name: String,
    /// The JSON pointer into the file.
    pub(super) pointer: String,
}

/// What Envoy tells one plugin from another by. A bare policy has nothing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Shared data and endings live under it. Istio gives all its plugins one, which no manifest can choose.
    pub vm_id: Option<Named>,
    /// The plugin's name.
    pub plugin: Option<Named>,
    /// The name by which a listener asks for the resource by ECDS.
    pub resource: Option<Named>,
}

impl PolicyDocument {
    /// Where the policy of this file runs.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let Some(plugin) = self.plugin_pointer() else { return Identity::default() };
        let file = self.carrier().file.value();
        if self.is_istio() {
            let spec = plugin.strip_suffix("/wasm").unwrap_or(&plugin);
            let object = spec.strip_suffix("/spec").unwrap_or(spec);
            return Identity { plugin: object_name(file, object, "."), ..Identity::default() };
        }
        if let Some((object, _)) = plugin.split_once("/spec/wasm/") {
            // Envoy Gateway makes the `vm_id` of the object and of the place in its list.
            let vm_id =
                object_name(file, object, "/").map(|named| Named { name: plugin.replacen(object, &named.name, 1), ..named });
            return Identity { vm_id, plugin: Some(named(file, format!("{plugin}/name"))), resource: None };
        }
        // Protobuf's JSON has two spellings for each name.
        let camel = format!("{plugin}/vmConfig/vmId");
        let vm_id = if file.pointer(&camel).is_some() { camel } else { format!("{plugin}/vm_config/vm_id") };
        let resource = plugin.strip_suffix("/typed_config/config").filter(|resource| resource.contains("/resources/"));
        Identity {
            vm_id: Some(named(file, vm_id)),
            plugin: Some(named(file, format!("{plugin}/name"))),
            resource: resource.map(|resource| named(file, format!("{resource}/name"))),
        }
    }

    /// A mistake at a name of this file.
    #[must_use]
    pub fn finding_at(&self, named: &Named, message: impl Into<String>, help: Option<String>) -> Finding {
        self.finding_around(&named.pointer, message, help)
    }
}

fn named(file: &Value, pointer: String) -> Named {
    Named { name: file.pointer(&pointer).and_then(Value::as_str).unwrap_or_default().to_owned(), pointer }
}

/// Namespace and name of an object of Kubernetes.
fn object_name(file: &Value, object: &str, between: &str) -> Option<Named> {
    let pointer = format!("{object}/metadata/name");
    let name = file.pointer(&pointer)?.as_str()?;
    let namespace = file.pointer(&format!("{object}/metadata/namespace")).and_then(Value::as_str).unwrap_or("default");
    Some(Named { name: format!("{namespace}{between}{name}"), pointer })
}
