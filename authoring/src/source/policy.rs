//! A policy wherever it is written: a document of its own, inside a manifest or an Envoy resource, or in a ConfigMap's file.

use super::{Document, Documents, Finding, Findings, Target, block::Block, envoy};
use chaperone_policy::{DocumentError, Policy};
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// A policy and the file that it came from.
#[derive(Debug, Clone)]
pub struct PolicyDocument {
    pub(super) file: Document,
    /// Which of the file's documents that is, from 0.
    pub(super) index: usize,
    pub(super) inside: Inside,
}

#[derive(Debug, Clone)]
pub(super) enum Inside {
    /// The document is the policy, or this node of it is.
    Node(String),
    /// The policy is JSON text in this node.
    Text { pointer: String, inner: Document },
    /// A whole file with the policy in it is the text of this node.
    File { pointer: String, inner: Box<PolicyDocument> },
}

impl PolicyDocument {
    /// Reads a file that came from `name` and finds the policy in it: see [`Documents::policy`].
    ///
    /// # Errors
    /// When the text cannot be parsed, or has no policy, or several that `policy_name` does not tell apart.
    pub fn read(name: &str, text: String, policy_name: Option<&str>) -> Result<Self, Findings> {
        Documents::parse(name, text)?.policy(policy_name)
    }

    /// Finds the policy in a parsed document.
    ///
    /// # Errors
    /// When it holds no policy or several.
    pub fn find(file: Document) -> Result<Self, Findings> {
        Documents::from(file).policy(None)
    }

    pub(super) fn new(file: Document, index: usize, inside: Inside) -> Self {
        Self { file, index, inside }
    }

    /// The same, if nothing in it is what two readers would see differently.
    pub(super) fn strict(self) -> Result<Self, Findings> {
        let mut mistakes = self.file.mistakes_within(self.pointer());
        if let Inside::File { pointer, inner } = &self.inside
            && let Err(findings) = inner.as_ref().clone().strict()
        {
            mistakes.extend(relocated(&self.file, pointer, &findings).list().iter().cloned());
        }
        Findings::new(mistakes).map_or(Ok(self), Err)
    }

    /// The policy.
    #[must_use]
    pub fn value(&self) -> &Value {
        match &self.inside {
            Inside::Node(pointer) => self.file.value().pointer(pointer).unwrap_or(&Value::Null),
            Inside::Text { inner, .. } => inner.value(),
            Inside::File { inner, .. } => inner.value(),
        }
    }

    /// Do both stand at the same place of their files?
    pub(super) fn is_at_the_place_of(&self, other: &Self) -> bool {
        let inner = match (&self.inside, &other.inside) {
            (Inside::File { inner, .. }, Inside::File { inner: others, .. }) => inner.is_at_the_place_of(others),
            (Inside::Node(_), Inside::Node(_)) | (Inside::Text { .. }, Inside::Text { .. }) => true,
            (Inside::Node(_) | Inside::Text { .. } | Inside::File { .. }, _) => false,
        };
        inner && self.index == other.index && self.pointer() == other.pointer()
    }

    /// What carries the policy: this, or in a ConfigMap the file that its text is.
    pub(super) fn carrier(&self) -> &Self {
        match &self.inside {
            Inside::Node(_) | Inside::Text { .. } => self,
            Inside::File { inner, .. } => inner.carrier(),
        }
    }

    /// Is the document nothing but the policy?
    pub(super) fn is_whole_document(&self) -> bool {
        self.carrier().pointer().is_empty()
    }

    /// Is it what Istio itself takes?
    pub(super) fn is_istio(&self) -> bool {
        envoy::is_istio(self.carrier().pointer())
    }

    /// What it is for, by what carries it.
    pub(super) fn target(&self) -> Target {
        if self.is_istio() {
            Target::Istio
        } else if envoy::is_envoy_gateway(self.carrier().pointer()) {
            Target::EnvoyGateway
        } else {
            Target::Envoy
        }
    }

    /// Does it travel as a Struct, written in the manifest's own YAML?
    pub(super) fn is_struct(&self) -> bool {
        matches!(&self.inside, Inside::Node(pointer) if !pointer.is_empty())
    }

    /// The wasm plugin around the policy, by its pointer into what carries it.
    pub(super) fn plugin_pointer(&self) -> Option<String> {
        envoy::plugin(self.carrier().pointer()).map(str::to_owned)
    }

    /// A member's name as it stands in the file, quotes included.
    pub(super) fn raw_key(&self, pointer: &str) -> Option<&str> {
        match &self.inside {
            Inside::Node(prefix) => self.file.raw_key(&format!("{prefix}{pointer}")),
            Inside::Text { .. } | Inside::File { .. } => None,
        }
    }

    /// A scalar as it stands in the file, quotes included.
    pub(super) fn raw_value(&self, pointer: &str) -> Option<&str> {
        match &self.inside {
            Inside::Node(prefix) => self.file.raw_value(&format!("{prefix}{pointer}")),
            Inside::Text { .. } | Inside::File { .. } => None,
        }
    }

    /// Where in its document it is.
    pub(super) fn pointer(&self) -> &str {
        match &self.inside {
            Inside::Node(pointer) | Inside::Text { pointer, .. } | Inside::File { pointer, .. } => pointer,
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
            Inside::File { pointer: outer, inner } => relocate(&self.file, outer, &inner.finding(pointer, message, help)),
        }
    }

    /// A mistake at this pointer into what carries the policy.
    pub(super) fn finding_around(&self, pointer: &str, message: impl Into<String>, help: Option<String>) -> Finding {
        self.in_file(self.carrier().file.finding(pointer, message, help))
    }

    /// What is found in what carries the policy, at its place in the file.
    pub(super) fn in_file(&self, finding: Finding) -> Finding {
        match &self.inside {
            Inside::Node(_) | Inside::Text { .. } => finding,
            Inside::File { pointer, inner } => relocate(&self.file, pointer, &inner.in_file(finding)),
        }
    }
}

/// A misspelt member is one mistake, not two: where `metods` probably means `methods`, `methods` is not missing, and where `argument`
/// probably means `arguments`, `narrow` beside it does not lack them.
fn drop_echoes(list: &mut Vec<Finding>) {
    const UNKNOWN: &str = "unknown member ";
    let meant: Vec<(String, String)> = list
        .iter()
        .filter(|finding| finding.message.starts_with(UNKNOWN))
        .filter_map(|finding| {
            let name = finding.help.as_deref()?.strip_prefix("did you mean `")?.strip_suffix("`?")?;
            let (parent, _) = finding.pointer.rsplit_once('/')?;
            Some((parent.to_owned(), name.to_owned()))
        })
        .collect();
    let is_echo = |finding: &Finding, (parent, name): &(String, String)| {
        // At the object itself or a member of it, of which the misspelt one is none that is known.
        let beside =
            finding.pointer.strip_prefix(parent.as_str()).is_some_and(|member| member.rfind('/').is_none_or(|at| at == 0));
        let texts = [Some(finding.message.as_str()), finding.help.as_deref()];
        let names = |text: &str| text.contains(&format!("`{name}`")) || text.contains(&format!("`{name}: "));
        beside && !finding.message.starts_with(UNKNOWN) && texts.into_iter().flatten().any(names)
    };
    list.retain(|finding| !meant.iter().any(|meant| is_echo(finding, meant)));
}

/// Moves mistakes in an embedded text to the place in the file that holds the text.
pub(super) fn relocated(file: &Document, pointer: &str, inner: &Findings) -> Findings {
    let list = inner.list().iter().map(|finding| relocate(file, pointer, finding)).collect();
    Findings::new(list).unwrap_or_else(|| file.finding(pointer, "cannot be read", None).into())
}

fn relocate(file: &Document, pointer: &str, inner: &Finding) -> Finding {
    let outer = file.value_range(pointer);
    let range = inner.range.clone().and_then(|range| within(file, pointer, &outer, inner, range));
    Finding { source: Arc::clone(file.source()), range: Some(range.unwrap_or(outer)), ..inner.clone() }
}

/// The bytes of the file that hold `range` of the embedded text: at once when the text stands in the file unchanged
/// (one line in single quotes), else line by line (a block under `|`); `None` when escapes moved things about.
fn within(file: &Document, pointer: &str, outer: &Range<usize>, inner: &Finding, range: Range<usize>) -> Option<Range<usize>> {
    let text = inner.source.text.trim_end();
    if !text.contains('\n')
        && let Some(start) = file.source().text.get(outer.clone())?.find(text)
    {
        return Some(outer.start + start + range.start..outer.start + start + range.end);
    }
    let block = Block::of(file, pointer)?;
    let ((from, end_of_line), (to, end_of_its)) = (block.place(range.start)?, block.place(range.end)?);
    Some(from..if end_of_its == end_of_line { to } else { end_of_line })
}

/// The commands that are looked for in bodies, each with its kind: their heads are held until the body is whole.
pub fn commands_in_bodies(policy: &Value) -> impl Iterator<Item = (&str, &'static str)> {
    let commands = policy.get("commands").and_then(Value::as_object).into_iter().flatten();
    commands.filter_map(|(name, matchers)| {
        let all = matchers.as_array().map_or(std::slice::from_ref(matchers), Vec::as_slice);
        let kind = ["mcp", "sql"].into_iter().find(|kind| all.iter().any(|matcher| matcher.get(kind).is_some()))?;
        Some((name.as_str(), kind))
    })
}

/// The credentials of a policy and of its grants, each with its pointer.
pub fn credentials(policy: &Value) -> impl Iterator<Item = (String, &Value)> {
    let grants = policy.get("grants").and_then(Value::as_array).into_iter().flatten().enumerate();
    let of_grants = grants.filter_map(|(index, grant)| Some((format!("/grants/{index}/credential"), grant.get("credential")?)));
    let all =
        policy.pointer("/upstream/credential").map(|one| ("/upstream/credential".to_owned(), one)).into_iter().chain(of_grants);
    all.flat_map(|(pointer, one)| match one.as_array() {
        Some(several) => several.iter().enumerate().map(|(index, one)| (format!("{pointer}/{index}"), one)).collect::<Vec<_>>(),
        None => vec![(pointer, one)],
    })
}

/// What of a policy's credentials is had for the session's token, each with its pointer.
pub fn exchanges(policy: &Value) -> impl Iterator<Item = (String, &Value)> {
    credentials(policy).filter_map(|(pointer, credential)| Some((format!("{pointer}/exchange"), credential.get("exchange")?)))
}

/// `NAME` of each `${env:NAME}` in the policy, once: of its credentials, and of what the proxy itself shows to whom it asks.
#[must_use]
pub fn credential_variables(policy: &Value) -> Vec<String> {
    places_of_variables(policy).into_iter().map(|(name, _)| name).collect()
}

/// The same, with a pointer to where it stands.
pub(super) fn places_of_variables(policy: &Value) -> Vec<(String, String)> {
    const OF_CREDENTIALS: [&str; 5] =
        ["/value", "/basic/user", "/basic/password", "/exchange/client/secret", "/exchange/client/private_key"];
    let issuers = policy.pointer("/tokens/issuers").and_then(Value::as_array).into_iter().flatten().enumerate();
    let of_issuers = issuers.map(|(index, issuer)| (format!("/tokens/issuers/{index}"), issuer, &["/events/token"][..]));
    let of_credentials = credentials(policy).map(|(pointer, credential)| (pointer, credential, &OF_CREDENTIALS[..]));
    let mut variables: Vec<(String, String)> = Vec::new();
    for (pointer, holder, texts) in of_credentials.chain(of_issuers) {
        for text in texts {
            let value = holder.pointer(text).and_then(Value::as_str).unwrap_or_default();
            for (name, _) in value.split("${env:").skip(1).filter_map(|rest| rest.split_once('}')) {
                if variables.iter().all(|(known, _)| known != name) {
                    variables.push((name.to_owned(), format!("{pointer}{text}")));
                }
            }
        }
    }
    variables
}
