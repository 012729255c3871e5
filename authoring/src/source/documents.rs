//! A file as the documents in it: what `helm template`, kustomize and `kubectl get` print, with the policy among them.

use super::{
    Document, Finding, Findings, PolicyDocument,
    found::{self, Candidate, Likeness},
    lint, template,
};
use serde_json::Value;
use std::collections::HashSet;

/// Policies that an error names one by one; the rest is counted.
const NAMED: usize = 10;

/// The documents of a file, in its order.
#[derive(Debug, Clone)]
pub struct Documents(Vec<Document>);

impl Documents {
    /// Parses a text that came from `name`: YAML documents, or one of JSON. Outside of the policy, anchors, aliases, tags and what
    /// else readers differ about are let be.
    ///
    /// # Errors
    /// When it is empty, neither YAML nor JSON, a template that is still to be rendered, or more than 10,000 documents.
    pub fn parse(name: &str, text: String) -> Result<Self, Findings> {
        let documents = Document::all(name, text)?;
        match documents.as_slice() {
            [first, ..] if documents.iter().all(|document| document.value().is_null()) => {
                Err(Finding { range: Some(0..0), ..first.finding("", "is empty", None) }.into())
            }
            _ => Ok(Self(documents)),
        }
    }

    /// The file's name as the user wrote it.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.first().map_or("", |first| &first.source().name)
    }

    pub(crate) fn documents(&self) -> &[Document] {
        &self.0
    }

    /// The policy among these documents: a document that is one, or the configuration of a plugin in a manifest or an Envoy file, or
    /// a file in a ConfigMap. With a `name` it is the one of this name, or the one in the object of this name (`name` or
    /// `namespace/name`).
    ///
    /// # Errors
    /// When there is none, or several that are not told apart by the name; they are listed then.
    pub fn policy(&self, name: Option<&str>) -> Result<PolicyDocument, Findings> {
        let mut candidates = self.candidates()?;
        let meant: Vec<usize> = match name {
            None => (0..candidates.len()).collect(),
            Some(name) => {
                let is_meant = |(index, candidate): (usize, &Candidate)| is_called(candidate, name).then_some(index);
                candidates.iter().enumerate().filter_map(is_meant).collect()
            }
        };
        match (meant.as_slice(), name) {
            ([only], _) => candidates.swap_remove(*only).policy.and_then(PolicyDocument::strict),
            ([], name) => Err(self.not_there(name.unwrap_or_default(), &candidates).into()),
            ([_, second, ..], name) => Err(self.several(name, &candidates, &meant, *second)),
        }
    }

    /// The policy of this file that stands where `other` stands in its own.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn same_place(&self, other: &PolicyDocument) -> Result<PolicyDocument, Findings> {
        let candidates = found::candidates(&self.0, true).into_iter();
        let mut policies = candidates.filter_map(|candidate| candidate.policy.ok());
        let same = policies.find(|policy| policy.is_at_the_place_of(other));
        same.ok_or_else(|| Findings::from(other.finding("", "is not there any more", None)))?.strict()
    }

    /// What this file wires, where it is nothing but wiring: its policy comes from elsewhere.
    ///
    /// `None` when it wires no wasm filter, or has a policy.
    #[must_use]
    pub fn wiring_alone(&self) -> Option<Option<Findings>> {
        let found: Vec<Option<Findings>> = self.0.iter().filter_map(lint::wiring_alone).collect();
        let has_policy = || found::candidates(&self.0, true).iter().any(|candidate| candidate.likeness > Likeness::Foreign);
        if found.is_empty() || has_policy() {
            return None;
        }
        Some(found.into_iter().flatten().reduce(Findings::and))
    }

    /// What is meant to be a policy: where something surely is one, nothing else is.
    fn candidates(&self) -> Result<Vec<Candidate>, Findings> {
        let mut candidates = found::candidates(&self.0, true);
        let best = candidates.iter().map(|candidate| candidate.likeness).max().unwrap_or(Likeness::Foreign);
        if best == Likeness::Foreign {
            let mut none = found::none(&self.0, &candidates);
            // The policy may be what a template would put there.
            if template::action(&none.source.text).is_some() {
                none.help = none.help.map(|help| format!("{help}; if this is a template, {}", template::RENDER));
            }
            return Err(none.into());
        }
        candidates.retain(|candidate| candidate.likeness == best);
        Ok(candidates)
    }

    fn not_there(&self, name: &str, candidates: &[Candidate]) -> Finding {
        let help = format!("it has {}", listed(candidates.iter()));
        let message = format!("has no policy `{name}`");
        match self.0.first() {
            Some(first) => Finding { range: Some(0..0), ..first.finding("", message, Some(help)) },
            None => Finding::about_file("", message, Some(&help)),
        }
    }

    /// Several policies, of which this is the second; at its place.
    fn several(&self, name: Option<&str>, candidates: &[Candidate], meant: &[usize], second: usize) -> Findings {
        let list = listed(meant.iter().filter_map(|index| candidates.get(*index)));
        let (message, help) = match name {
            None => (
                format!("a second policy: {} are in this file", meant.len()),
                if are_told_apart(candidates) {
                    format!("say which one is meant by `--policy-name NAME`: {list}")
                } else {
                    format!("give each a name of its own, and say which one is meant by `--policy-name NAME`: {list}")
                },
            ),
            Some(name) => (
                format!("a second policy `{name}`: {} are called so in this file", meant.len()),
                format!("give each a name of its own, or name its object: {list}"),
            ),
        };
        match candidates.get(second).map(|candidate| &candidate.policy) {
            Some(Ok(policy)) => policy.finding("/name", message, Some(help)).into(),
            Some(Err(findings)) => findings.clone(),
            None => Finding::about_file("", message, Some(&help)).into(),
        }
    }
}

impl From<Document> for Documents {
    fn from(document: Document) -> Self {
        Self(vec![document])
    }
}

/// Is this the policy's name, or that of the object around it?
fn is_called(candidate: &Candidate, name: &str) -> bool {
    let object = candidate.object.as_ref();
    policy_name(candidate) == Some(name)
        || object.is_some_and(|object| object.name == name || name.split_once('/') == Some((&object.namespace, &object.name)))
}

/// Does each have a name, or an object, that no other has?
fn are_told_apart(candidates: &[Candidate]) -> bool {
    let object = |candidate: &Candidate| candidate.object.as_ref().map(|object| (object.namespace.clone(), object.name.clone()));
    let mut seen = HashSet::new();
    candidates.iter().all(|candidate| seen.insert((policy_name(candidate), object(candidate))))
}

fn policy_name(candidate: &Candidate) -> Option<&str> {
    candidate.policy.as_ref().ok()?.value().get("name").and_then(Value::as_str)
}

/// Names, objects and lines.
fn listed<'c>(candidates: impl Iterator<Item = &'c Candidate> + Clone) -> String {
    let described = |candidate: &Candidate| {
        let name = policy_name(candidate).map_or_else(|| "one without a name".to_owned(), |name| format!("`{name}`"));
        let place = match &candidate.policy {
            Ok(policy) => policy.finding("/name", "", None).line_column(),
            Err(findings) => findings.list().first().and_then(Finding::line_column),
        };
        let line = place.map_or_else(String::new, |(line, _)| format!(" (line {line})"));
        let object = candidate.object.as_ref();
        let object =
            object.map_or_else(String::new, |object| format!(" in {} {}/{}", object.kind, object.namespace, object.name));
        format!("{name}{object}{line}")
    };
    let more = candidates.clone().skip(NAMED).count();
    let mut list: Vec<String> = candidates.take(NAMED).map(described).collect();
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests;
