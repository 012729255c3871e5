//! What is around the policy in an Envoy file or a Kubernetes manifest.

use super::{Lint, Linter, Target, wiring::wiring};
use crate::source::{
    envoy::{self, Found},
    found::configurations,
    policy::places_of_variables,
    push_index, push_member,
};
use serde_json::Value;
use std::collections::HashSet;

/// Where objects of the Kubernetes API end: etcd takes requests of 1.5 MiB, in which an object stands with its managed fields.
const OBJECT_BYTES: usize = 1 << 20;

/// The policy, and the plugins of a file that are not around it.
fn others(file: &Value, policy: &str) -> HashSet<String> {
    let found = configurations(file).into_iter();
    let plugins = found.filter_map(|(Found::Text(pointer) | Found::Struct(pointer) | Found::File(pointer))| {
        envoy::plugin(&pointer).filter(|_| pointer != policy).map(str::to_owned)
    });
    plugins.chain([policy.to_owned()]).collect()
}

impl Linter<'_> {
    pub(super) fn manifest(&mut self) {
        if self.target != Target::Envoy {
            self.size();
        }
        if self.document.is_whole_document() {
            return;
        }
        let carrier = self.document.carrier();
        let file = carrier.file().value().clone();
        self.walk(&file, &mut String::new(), &others(&file, carrier.pointer()));
        self.found.extend(wiring(carrier.file()).into_iter().map(|finding| self.document.in_file(finding)));
        if let Some(plugin) = self.document.plugin_pointer() {
            self.environment(&file, &plugin);
        }
    }

    fn size(&mut self) {
        let bytes = self.document.json().len();
        if bytes > OBJECT_BYTES / 10 * 9 {
            self.warn(
                Lint::ObjectSize,
                if self.policy.get("revoked").is_some() { "/revoked" } else { "" },
                format!("the policy has {bytes} bytes of JSON, and an object in the mesh ends near {OBJECT_BYTES}"),
                "take out revocations whose sessions have reached session.max_lifetime; revoke by `issued_before` rather than one by one",
            );
        }
    }

    /// Everything but the policy itself, which has its own lints, and `others`, which are none of our business.
    fn walk(&mut self, value: &Value, pointer: &mut String, others: &HashSet<String>) {
        let length = pointer.len();
        match value {
            Value::Object(members) => {
                self.image(members, pointer);
                for (name, member) in members {
                    push_member(pointer, name);
                    let opens = match (name.as_str(), member) {
                        ("failure_policy" | "failurePolicy" | "failStrategy", Value::String(text)) => text == "FAIL_OPEN",
                        ("fail_open" | "failOpen", Value::Bool(open)) => *open,
                        _ => false,
                    };
                    if opens {
                        self.fail_open(name, pointer);
                    }
                    if !others.contains(pointer) {
                        self.walk(member, pointer, others);
                    }
                    pointer.truncate(length);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    push_index(pointer, index);
                    if !others.contains(pointer) {
                        self.walk(item, pointer, others);
                    }
                    pointer.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn fail_open(&mut self, name: &str, pointer: &str) {
        let instead = match name {
            "failStrategy" | "failure_policy" | "failurePolicy" => format!("write `{name}: FAIL_RELOAD`"),
            _ => format!("write `{name}: false`"),
        };
        self.warn_around(
            Lint::FailOpen,
            pointer,
            "when the filter is down or cannot be fetched, every request goes through",
            format!("{instead}: closed while it is down, and back after a moment"),
        );
    }

    /// A module by `url` is what its digest says; without one it is whatever the registry holds that day.
    fn image(&mut self, members: &serde_json::Map<String, Value>, pointer: &str) {
        let Some(url) = members.get("url").and_then(Value::as_str) else { return };
        // Istio's and Envoy Gateway's objects; Envoy's own `http_uri` is refused without a digest by Envoy itself.
        let is_module =
            ["pluginConfig", "failStrategy", "imagePullPolicy", "phase"].iter().any(|name| members.contains_key(*name))
                || pointer.ends_with("/code/image")
                || pointer.ends_with("/code/http");
        let pinned = members.get("sha256").is_some() || url.contains("@sha256:");
        if is_module && !pinned && !url.starts_with("file://") {
            self.warn_around(
                Lint::ImageNotPinned,
                &format!("{pointer}/url"),
                "a tag can be moved to another filter",
                "add `sha256:` with the digest of the image, or write the url with `@sha256:...`",
            );
        }
    }

    /// The credential's variables must reach the VM, by name: Envoy passes on nothing by itself.
    fn environment(&mut self, file: &Value, plugin: &str) {
        let Some(plugin_value) = file.pointer(plugin) else { return };
        let at = |paths: &[&str]| paths.iter().find_map(|path| plugin_value.pointer(path));
        let by_name: Vec<&str> = [
            at(&["/vm_config/environment_variables/host_env_keys", "/vmConfig/environmentVariables/hostEnvKeys"]),
            at(&["/env/hostKeys"]),
        ]
        .into_iter()
        .flatten()
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str)
        .collect();
        let values = at(&["/vm_config/environment_variables/key_values", "/vmConfig/environmentVariables/keyValues"]);
        let listed = at(&["/vmConfig/env"]).and_then(Value::as_array);
        for (name, stands) in places_of_variables(self.policy) {
            let name = name.as_str();
            let entry = listed.into_iter().flatten().position(|entry| entry.get("name").and_then(Value::as_str) == Some(name));
            let inline = values.is_some_and(|values| values.get(name).is_some())
                || entry.is_some_and(|at| listed.and_then(|list| list.get(at)).is_some_and(|entry| entry.get("value").is_some()));
            if inline {
                let place = entry.map_or_else(|| plugin.to_owned(), |at| format!("{plugin}/vmConfig/env/{at}/value"));
                self.warn_around(
                    Lint::CredentialInline,
                    &place,
                    format!("the credential `{name}` stands in the manifest, for everybody who can read it"),
                    "name the variable only (`valueFrom: HOST`, `host_env_keys`) and give it to the proxy",
                );
            } else if entry.is_none() && !by_name.contains(&name) {
                self.warn(
                    Lint::CredentialEnvironment,
                    &stands,
                    format!(
                        "the filter does not get the variable `{name}`: whatever is allowed would be `credential_unavailable`"
                    ),
                    self.how_to_pass(name),
                );
            }
        }
    }

    fn how_to_pass(&self, name: &str) -> String {
        match self.target {
            Target::Istio => format!("add `{{name: {name}, valueFrom: HOST}}` to `vmConfig.env`"),
            Target::EnvoyGateway => format!("add `{name}` to `env.hostKeys`"),
            Target::Envoy => format!("add `{name}` to `vm_config.environment_variables.host_env_keys`"),
        }
    }
}
