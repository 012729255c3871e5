//! One document of a file: its value, and where each part of the value stands in the file's text.

use super::{Finding, Findings, MAX_FINDINGS, Severity, Source, json, node_spans::NodeSpans, yaml};
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// A parsed document: a file, or one of several in a file. A copy costs little.
#[derive(Debug, Clone)]
pub struct Document {
    source: Arc<Source>,
    value: Arc<Value>,
    spans: Arc<NodeSpans>,
    /// What is a mistake in a policy, and may stand around one: anchors, aliases, tags, `0644`.
    loose: Arc<[Finding]>,
    start: Range<usize>,
}

impl Document {
    /// Parses a text that came from `name`, and is one document. Text that is JSON is read as JSON, whose escapes are not quite
    /// YAML's.
    ///
    /// # Errors
    /// When it is neither strict YAML nor strict JSON.
    pub fn parse(name: &str, text: String) -> Result<Self, Findings> {
        let mut documents = Self::all(name, text)?.into_iter();
        let only = documents.next().ok_or_else(|| Finding::about_file(name, "is empty", None))?;
        let mut wrong = only.loose.to_vec();
        if let Some(second) = documents.next() {
            let help = Some("keep one document a file, without `---` between".to_owned());
            wrong.push(Finding { range: Some(second.start), ..only.finding("", "a second document in one file", help) });
        }
        wrong.truncate(MAX_FINDINGS);
        Findings::new(wrong).map_or(Ok(only), Err)
    }

    /// Every document of a text, strict but for what others may write around a policy.
    ///
    /// # Errors
    /// When it is empty, or neither YAML nor JSON; what is loose is left for whoever knows where the policy is.
    pub(super) fn all(name: &str, text: String) -> Result<Vec<Self>, Findings> {
        let source = Arc::new(Source::new(name.to_owned(), text));
        let is_json = name.ends_with(".json") || serde_json::from_str::<serde::de::IgnoredAny>(&source.text).is_ok();
        let parsed = if is_json { json::parse(&source).map(|json| vec![json]) } else { yaml::parse(&source) }?;
        let documents = parsed.into_iter().map(|yaml::Parsed { value, spans, loose, start }| Self {
            source: Arc::clone(&source),
            value: Arc::new(value),
            spans: Arc::new(spans),
            loose: loose.into(),
            start,
        });
        let documents: Vec<Self> = documents.collect();
        if documents.is_empty() {
            let empty = Finding { range: Some(0..0), ..Finding::about_file(name, "is empty", None) };
            return Err(Finding { source, ..empty }.into());
        }
        Ok(documents)
    }

    /// What is loose in this node, which must be strict; and that it comes from an alias, where it does not stand in the text.
    pub(super) fn mistakes_within(&self, pointer: &str) -> Vec<Finding> {
        let within = |finding: &&Finding| {
            finding.pointer.strip_prefix(pointer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut mistakes: Vec<Finding> = self.loose.iter().filter(within).take(MAX_FINDINGS).cloned().collect();
        if self.spans.get(pointer).is_none() {
            let help = Some("write the policy out where it is used".to_owned());
            mistakes.push(self.finding(pointer, "a policy that comes from an alias (`*name`)", help));
        }
        mistakes
    }

    /// The document's value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The file.
    #[must_use]
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Where each node stands.
    pub(super) fn spans(&self) -> &NodeSpans {
        &self.spans
    }

    /// A mistake at this JSON pointer, or at the nearest node above it that exists.
    #[must_use]
    pub fn finding(&self, pointer: &str, message: impl Into<String>, help: Option<String>) -> Finding {
        let message = message.into();
        // A name that is wrong is shown by its key, a value that is wrong by itself.
        let range = self.range(pointer, message.starts_with("unknown ") || message.contains("not supported"));
        Finding {
            severity: Severity::Error,
            source: Arc::clone(&self.source),
            range: Some(range),
            pointer: pointer.to_owned(),
            message,
            help,
        }
    }

    /// The bytes to point at for this node.
    pub(super) fn range(&self, pointer: &str, by_key: bool) -> Range<usize> {
        let exact = self.spans.get(pointer).is_some();
        match self.spans.nearest(pointer) {
            Some(span) => match &span.key {
                Some(key) if by_key || span.container || !exact => key.clone(),
                Some(_) | None if span.container => {
                    let first = self.source.text.get(span.value.clone()).and_then(|text| text.chars().next());
                    span.value.start..span.value.start + first.map_or(0, char::len_utf8)
                }
                Some(_) | None => self.without_comment(span.value.clone()),
            },
            None => 0..0,
        }
    }

    /// The YAML reader counts a comment on the line of a quoted text with it.
    fn without_comment(&self, value: Range<usize>) -> Range<usize> {
        let raw = self.source.text.get(value.clone()).unwrap_or_default();
        let Some(quote) = raw.bytes().next().filter(|first| matches!(first, b'"' | b'\'')) else { return value };
        let mut escaped = false;
        let last = raw.bytes().skip(1).position(|byte| {
            let closes = byte == quote && !escaped;
            escaped = quote == b'"' && byte == b'\\' && !escaped;
            closes
        });
        // `''` within single quotes only draws a shorter line.
        last.map_or(value.clone(), |last| value.start..value.start + last + 2)
    }

    /// A member's name as it stands in the file, quotes included.
    pub(super) fn raw_key(&self, pointer: &str) -> Option<&str> {
        self.source.text.get(self.spans.get(pointer)?.key.clone()?)
    }

    /// A scalar as it stands in the file, quotes included.
    pub(super) fn raw_value(&self, pointer: &str) -> Option<&str> {
        let span = self.spans.get(pointer).filter(|span| !span.container)?;
        self.source.text.get(span.value.clone())
    }

    /// The bytes of the value itself.
    pub(super) fn value_range(&self, pointer: &str) -> Range<usize> {
        self.spans.nearest(pointer).map_or(0..0, |span| span.value.clone())
    }
}
