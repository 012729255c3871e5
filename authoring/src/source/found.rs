//! What in a file may be the policy, and how surely: other plugins have configurations, and other documents stand beside it.

use super::{
    Document, Documents, Finding, Findings, PolicyDocument,
    envoy::{self, Found},
    kubernetes,
    policy::{Inside, relocated},
};
use serde_json::Value;

/// What every policy has, and hardly another configuration two of.
const TELLING: [&str; 4] = ["tokens", "session", "commands", "grants"];
/// All that a policy can have.
pub(super) const MEMBERS: [&str; 15] = [
    "version",
    "name",
    "generation",
    "mode",
    "observe",
    "tokens",
    "session",
    "commands",
    "unmediated",
    "grants",
    "revoked",
    "end_session_when",
    "upstream",
    "limits",
    "audit",
];
/// Where the objects of a mesh, and Envoy's plugins, say which filter they run.
const IMAGES: [&str; 6] = [
    "/url",
    "/code/image/url",
    "/code/http/url",
    "/vm_config/code/local/filename",
    "/vmConfig/code/local/filename",
    "/vm_config/code/remote/http_uri/uri",
];

/// How surely something is a policy of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Likeness {
    /// Another plugin's configuration, another document.
    Foreign,
    /// Something that a policy could have is in it, or it cannot be read: meant where there is nothing better.
    Perhaps,
    /// It runs this filter, or has what policies have.
    Policy,
}

/// Something that may be the policy.
pub(super) struct Candidate {
    pub(super) likeness: Likeness,
    /// Where it stands, if it can be read.
    pub(super) policy: Result<PolicyDocument, Findings>,
    /// The object of Kubernetes that it is in, if that has a name.
    pub(super) object: Option<kubernetes::ObjectName>,
}

/// Is this a document that stands around policies rather than being one?
pub(super) fn is_around_policies(value: &Value) -> bool {
    kubernetes::is_manifest(value) || envoy::is_envoy(value)
}

/// The configurations of plugins in a document around policies.
pub(super) fn configurations(value: &Value) -> Vec<Found> {
    if kubernetes::is_manifest(value) { kubernetes::find(value) } else { envoy::find(value) }
}

/// Everything in these documents that may be a policy, in their order. Texts of ConfigMaps are looked into once.
pub(super) fn candidates(documents: &[Document], texts: bool) -> Vec<Candidate> {
    let filled = |document: &&Document| !document.value().is_null();
    let alone = documents.iter().filter(filled).count() == 1;
    let mut list = Vec::new();
    for (index, document) in documents.iter().enumerate().filter(|(_, document)| filled(document)) {
        let value = document.value();
        if !is_around_policies(value) {
            let likeness = if alone { Likeness::Policy } else { likeness(value) };
            let policy = PolicyDocument::new(document.clone(), index, Inside::Node(String::new()));
            list.push(Candidate { likeness, policy: Ok(policy), object: None });
            continue;
        }
        for found in configurations(value) {
            let object = |pointer: &str| kubernetes::object_around(value, pointer);
            match found {
                Found::Struct(pointer) => {
                    let likeness = at(value, &pointer, value.pointer(&pointer));
                    let object = object(&pointer);
                    list.push(Candidate {
                        likeness,
                        policy: Ok(PolicyDocument::new(document.clone(), index, Inside::Node(pointer))),
                        object,
                    });
                }
                Found::Text(pointer) => {
                    let text = value.pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
                    // Envoy hands the text over as it is, and the filter reads JSON only.
                    let inner = Document::parse("policy.json", text.to_owned());
                    let likeness = match &inner {
                        // One with a mistake in it must not give way to a copy that stands elsewhere.
                        Err(_) if is_telling(|name| text.contains(&format!("\"{name}\""))) => Likeness::Policy,
                        inner => at(value, &pointer, inner.as_ref().ok().map(Document::value)),
                    };
                    let object = object(&pointer);
                    let policy = inner.map_err(|findings| relocated(document, &pointer, &findings));
                    let policy =
                        policy.map(|inner| PolicyDocument::new(document.clone(), index, Inside::Text { pointer, inner }));
                    list.push(Candidate { likeness, policy, object });
                }
                Found::File(pointer) if texts => list.extend(file(document, index, &pointer)),
                Found::File(_) => {}
            }
        }
    }
    list
}

/// The policies of the file that this text of a ConfigMap is.
fn file(document: &Document, index: usize, pointer: &str) -> Vec<Candidate> {
    let value = document.value();
    let text = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let object = || kubernetes::object_around(value, pointer);
    match Documents::parse(name, text.to_owned()) {
        Err(findings) => {
            let policy = Err(relocated(document, pointer, &findings));
            vec![Candidate { likeness: Likeness::Perhaps, policy, object: object() }]
        }
        Ok(file) => candidates(file.documents(), false)
            .into_iter()
            .map(|candidate| {
                // A file that is one document need not be a policy here.
                let likeness = candidate.policy.as_ref().map_or(candidate.likeness, |policy| likeness(policy.value()));
                let policy = candidate.policy.map_err(|findings| relocated(document, pointer, &findings));
                let inside = |inner| Inside::File { pointer: pointer.to_owned(), inner: Box::new(inner) };
                let policy = policy.map(|inner| PolicyDocument::new(document.clone(), index, inside(inner)));
                Candidate { likeness, policy, object: object() }
            })
            .collect(),
    }
}

/// How surely the configuration at this pointer is ours; `None` is one that cannot be read.
fn at(file: &Value, pointer: &str, configuration: Option<&Value>) -> Likeness {
    let plugin = envoy::plugin(pointer).and_then(|plugin| file.pointer(plugin));
    let image = |place: &&str| plugin.and_then(|plugin| plugin.pointer(place)).and_then(Value::as_str);
    if IMAGES.iter().filter_map(image).any(|image| image.contains("chaperone")) {
        return Likeness::Policy;
    }
    configuration.map_or(Likeness::Perhaps, likeness)
}

/// How surely this value is a policy, by its members.
fn likeness(value: &Value) -> Likeness {
    let has = |name: &str| value.get(name).is_some();
    if is_telling(has) {
        Likeness::Policy
    } else if MEMBERS.into_iter().any(has) {
        Likeness::Perhaps
    } else {
        Likeness::Foreign
    }
}

/// Is it a policy's, what has these members?
pub(super) fn is_telling(has: impl Fn(&str) -> bool) -> bool {
    TELLING.into_iter().filter(|name| has(name)).count() >= 2
}

/// Why there is no policy in these documents.
pub(super) fn none(documents: &[Document], candidates: &[Candidate]) -> Finding {
    const MANIFEST: &str = "a policy is the `pluginConfig` of a WasmPlugin, the `config` of an EnvoyExtensionPolicy, in an EnvoyFilter or in a ConfigMap";
    const ENVOY: &str =
        "a policy is the `configuration` of a wasm plugin: a google.protobuf.StringValue whose `value` is the policy as JSON";
    let filled: Vec<&Document> = documents.iter().filter(|document| !document.value().is_null()).collect();
    let (what, help) = match filled.as_slice() {
        [only] if kubernetes::is_manifest(only.value()) => ("a manifest".to_owned(), MANIFEST),
        [_] => ("an Envoy file".to_owned(), ENVOY),
        several => (format!("{} documents", several.len()), MANIFEST),
    };
    let foreign =
        candidates.iter().filter_map(|candidate| candidate.policy.as_ref().ok()).find(|policy| !policy.is_whole_document());
    match (foreign, filled.first().or(documents.first().as_ref())) {
        (Some(foreign), _) => {
            let message = format!("{what} without a policy in it: this configuration is another plugin's");
            foreign.finding("", message, Some(help.to_owned()))
        }
        (None, Some(first)) => first.finding(
            "",
            format!("{what} without a policy in {}", if filled.len() > 1 { "them" } else { "it" }),
            Some(help.to_owned()),
        ),
        (None, None) => Finding::about_file("", "is empty", None),
    }
}
