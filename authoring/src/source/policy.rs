//! A policy wherever it is written: a file of its own, or inside an Envoy resource.

use super::{
    Document, Finding, Findings,
    envoy::{self, Found},
    kubernetes,
};
use chaperone_policy::{DocumentError, Policy};
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// A policy and the file that it came from.
#[derive(Debug, Clone)]
pub struct PolicyDocument {
    pub(super) file: Document,
    pub(super) inside: Inside,
}

#[derive(Debug, Clone)]
pub(super) enum Inside {
    /// The file is the policy, or this node of the file is.
    Node(String),
    /// The policy is JSON text in this node.
    Text { pointer: String, inner: Document },
}

impl PolicyDocument {
    /// Finds the policy in a parsed file: the file is one, or an Envoy file (ECDS, bootstrap, a plain resource) or a manifest of
    /// Kubernetes with one in it.
    ///
    /// # Errors
    /// When the file holds no policy or several.
    pub fn find(file: Document) -> Result<Self, Findings> {
        let manifest = kubernetes::is_manifest(file.value());
        let Some(found) = found(&file) else {
            return Ok(Self { file, inside: Inside::Node(String::new()) });
        };
        match found.as_slice() {
            [] if manifest => Err(file
                .finding(
                    "",
                    "a manifest without a policy in it",
                    Some("a policy is the `pluginConfig` of a WasmPlugin, the `config` of an EnvoyExtensionPolicy, or in an EnvoyFilter".to_owned()),
                )
                .into()),
            [] => Err(file
                .finding(
                    "",
                    "an Envoy file without a policy in it",
                    Some("a policy is the `configuration` of a wasm plugin: a google.protobuf.StringValue whose `value` is the policy as JSON".to_owned()),
                )
                .into()),
            [Found::Struct(pointer)] => {
                let inside = Inside::Node(pointer.clone());
                Ok(Self { file, inside })
            }
            [Found::Text(pointer)] => {
                let pointer = pointer.clone();
                let text = file.value().pointer(&pointer).and_then(Value::as_str).unwrap_or_default();
                // Envoy hands the text over as it is, and the filter reads JSON only.
                match Document::parse("policy.json", text.to_owned()) {
                    Ok(inner) => Ok(Self { file, inside: Inside::Text { pointer, inner } }),
                    Err(findings) => {
                        let list = findings.list().iter().map(|inner| relocate(&file, &pointer, inner)).collect();
                        Err(Findings::new(list).unwrap_or_else(|| file.finding(&pointer, "not JSON", None).into()))
                    }
                }
            }
            [_, others @ ..] => Err(others
                .iter()
                .map(|(Found::Text(pointer) | Found::Struct(pointer))| {
                    file.finding(pointer, "a second plugin configuration: which one is meant?", Some("keep one policy a file".to_owned()))
                })
                .next()
                .unwrap_or_else(|| file.finding("", "several policies", None))
                .into()),
        }
    }

    /// Is this an Envoy file or a manifest with no policy in it?
    #[must_use]
    pub fn is_missing(file: &Document) -> bool {
        found(file).is_some_and(|found| found.is_empty())
    }

    /// The policy.
    #[must_use]
    pub fn value(&self) -> &Value {
        match &self.inside {
            Inside::Node(pointer) => self.file.value().pointer(pointer).unwrap_or(&Value::Null),
            Inside::Text { inner, .. } => inner.value(),
        }
    }

    /// Is the file nothing but the policy?
    pub(super) fn is_whole_file(&self) -> bool {
        self.pointer().is_empty()
    }

    /// Is it what Istio itself takes?
    pub(super) fn is_istio(&self) -> bool {
        envoy::is_istio(self.pointer())
    }

    /// Does it travel as a Struct, written in the manifest's own YAML?
    pub(super) fn is_struct(&self) -> bool {
        matches!(&self.inside, Inside::Node(pointer) if !pointer.is_empty())
    }

    /// Is this node of the file the policy?
    pub(super) fn holds_policy(&self, pointer: &str) -> bool {
        !self.is_whole_file() && self.pointer() == pointer
    }

    /// The wasm plugin around the policy, by its pointer into the file.
    pub(super) fn plugin_pointer(&self) -> Option<String> {
        envoy::plugin(self.pointer()).map(str::to_owned)
    }

    /// A member's name as it stands in the file, quotes included.
    pub(super) fn raw_key(&self, pointer: &str) -> Option<&str> {
        match &self.inside {
            Inside::Node(prefix) => self.file.raw_key(&format!("{prefix}{pointer}")),
            Inside::Text { .. } => None,
        }
    }

    /// A scalar as it stands in the file, quotes included.
    pub(super) fn raw_value(&self, pointer: &str) -> Option<&str> {
        match &self.inside {
            Inside::Node(prefix) => self.file.raw_value(&format!("{prefix}{pointer}")),
            Inside::Text { .. } => None,
        }
    }

    fn pointer(&self) -> &str {
        match &self.inside {
            Inside::Node(pointer) | Inside::Text { pointer, .. } => pointer,
        }
    }

    /// The file's name as the user wrote it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file.source().name
    }

    /// The whole file.
    #[must_use]
    pub fn file_text(&self) -> &str {
        &self.file.source().text
    }

    /// The policy as the filter gets it.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        self.value().to_string().into_bytes()
    }

    /// Compiles the policy as the filter will.
    ///
    /// # Errors
    /// All its mistakes, each with its place in the file.
    pub fn compile(&self) -> Result<Policy, Findings> {
        Policy::compile(&self.json()).map_err(|errors| {
            let finding = |e: &DocumentError| self.finding(&e.pointer, e.message.clone(), e.help.clone());
            let mut list: Vec<Finding> = errors.errors().iter().map(finding).collect();
            drop_echoes(&mut list);
            // The core reads members in its own order; people read from the top.
            list.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
            Findings::new(list).unwrap_or_else(|| self.finding("", "not a policy", None).into())
        })
    }

    /// A mistake at this pointer into the policy.
    #[must_use]
    pub fn finding(&self, pointer: &str, message: impl Into<String>, help: Option<String>) -> Finding {
        match &self.inside {
            Inside::Node(prefix) => {
                Finding { pointer: pointer.to_owned(), ..self.file.finding(&format!("{prefix}{pointer}"), message, help) }
            }
            Inside::Text { pointer: outer, inner } => relocate(&self.file, outer, &inner.finding(pointer, message, help)),
        }
    }
}

/// The policies in an Envoy file or a manifest; nothing where the file is to be the policy itself.
fn found(file: &Document) -> Option<Vec<Found>> {
    let value = file.value();
    if kubernetes::is_manifest(value) {
        return Some(kubernetes::find(value));
    }
    envoy::is_envoy(value).then(|| envoy::find(value))
}

/// A misspelt member is one mistake, not two: where `metods` probably means `methods`, `methods` is not missing.
fn drop_echoes(list: &mut Vec<Finding>) {
    let meant: Vec<(String, String)> = list
        .iter()
        .filter_map(|finding| {
            let name = finding.help.as_deref()?.strip_prefix("did you mean `")?.strip_suffix("`?")?;
            let (parent, _) = finding.pointer.rsplit_once('/')?;
            Some((parent.to_owned(), format!("`{name}` is missing")))
        })
        .collect();
    list.retain(|finding| !meant.iter().any(|(parent, message)| finding.pointer == *parent && finding.message == *message));
}

/// Moves a mistake in an embedded text to the place in the file that holds the text.
fn relocate(file: &Document, pointer: &str, inner: &Finding) -> Finding {
    let outer = file.value_range(pointer);
    let range = inner.range.clone().and_then(|range| within(file, &outer, inner, range));
    Finding { source: Arc::clone(file.source()), range: Some(range.unwrap_or(outer)), ..inner.clone() }
}

/// The bytes of the file that hold `range` of the embedded text: at once when the text stands in the file unchanged
/// (one line in single quotes), else line by line (a block under `|`); `None` when escapes moved things about.
fn within(file: &Document, outer: &Range<usize>, inner: &Finding, range: Range<usize>) -> Option<Range<usize>> {
    let raw = file.source().text.get(outer.clone())?;
    let text = inner.source.text.trim_end();
    if let Some(start) = raw.find(text) {
        return Some(outer.start + start + range.start..outer.start + start + range.end);
    }
    let mut offset = outer.start;
    let rows: Vec<(usize, &str)> = raw
        .split_inclusive('\n')
        .map(|row| {
            let start = offset;
            offset += row.len();
            (start, row.trim_end())
        })
        .collect();
    let (line, column) = inner.source.line_column(range.start);
    let wanted = text.lines().nth(line - 1)?.trim_end();
    let first_line = text.lines().next()?.trim();
    let first = rows.iter().position(|(_, row)| row.trim() == first_line)?;
    let (start, row) = rows.get(first + line - 1)?;
    let indent = row.strip_suffix(wanted)?.len();
    let from = start + indent + wanted.char_indices().nth(column - 1).map_or(wanted.len(), |(at, _)| at);
    Some(from..(from + range.len()).min(start + row.len()).max(from))
}

/// `NAME` of each `${env:NAME}` in the policy's credential.
#[must_use]
pub fn credential_variables(policy: &Value) -> Vec<String> {
    let value = policy.pointer("/upstream/credential/value").and_then(Value::as_str).unwrap_or_default();
    let names = value.split("${env:").skip(1).filter_map(|rest| rest.split_once('}'));
    names.map(|(name, _)| name.to_owned()).collect()
}
