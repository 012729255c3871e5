//! The revocations alone, as a server-side-apply patch: whoever applies it owns these two members and no others, so that what
//! delivers the rest of the manifest does not take a revocation back.

use super::Revision;
use crate::source::{Findings, Held, PolicyDocument};
use serde_json::{Map, Value, json};

/// The patch that makes a manifest's revocations those of `revision`.
///
/// # Errors
/// When the file is no manifest, or one whose policy can only be applied as a whole.
pub fn patch(document: &PolicyDocument, revision: &Revision) -> Result<Value, Findings> {
    let refuse = |message: &str, help: &str| Err(document.finding("", message, Some(help.to_owned())).into());
    let pointer = match document.held() {
        Held::Node(pointer) if pointer.ends_with("/pluginConfig") => pointer,
        Held::Node("") | Held::Text { .. } | Held::File { .. } => {
            return refuse(
                "has no policy that can be patched in part",
                "a patch is for the WasmPlugin of Istio; without --emit the file itself is changed",
            );
        }
        Held::Node(_) => {
            return refuse(
                "is a manifest whose policy can only be applied as a whole",
                "its list of extensions is one value to Kubernetes; without --emit the file itself is changed",
            );
        }
    };
    let Some((object, inside)) = pointer.split_once("/spec/") else {
        return refuse("has no `spec` around its policy", "this is not a WasmPlugin");
    };
    let object = document.file().value().pointer(object).unwrap_or(&Value::Null);
    let revoked = revision.policy.get("revoked").cloned().unwrap_or_else(|| json!([]));
    let mut spec = json!({"generation": revision.generation, "revoked": revoked});
    for name in inside.split('/').rev() {
        spec = json!({ name: spec });
    }
    let identity = |name: &str| object.pointer(&format!("/metadata/{name}")).map(|value| (name.to_owned(), value.clone()));
    // With the version that was read, the API server refuses the patch when somebody else's has come between.
    let metadata: Map<String, Value> = ["name", "namespace", "resourceVersion"].into_iter().filter_map(identity).collect();
    Ok(json!({"apiVersion": object.get("apiVersion"), "kind": object.get("kind"), "metadata": metadata, "spec": spec}))
}
