//! One file: its text, its value, and where each part of the value stands in the text.

use super::{Finding, Findings, Severity, Source, json, node_spans::NodeSpans, yaml};
use serde_json::Value;
use std::{ops::Range, sync::Arc};

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Document {
    source: Arc<Source>,
    value: Value,
    spans: NodeSpans,
}

impl Document {
    /// Parses a text that came from `name`. Text that begins with `{` or `[` and is JSON is read as JSON, whose escapes
    /// are not quite YAML's.
    ///
    /// # Errors
    /// When it is neither strict YAML nor strict JSON.
    pub fn parse(name: &str, text: String) -> Result<Self, Findings> {
        let source = Arc::new(Source::new(name.to_owned(), text));
        let is_json = name.ends_with(".json") || serde_json::from_str::<serde::de::IgnoredAny>(&source.text).is_ok();
        let (value, spans) = if is_json { json::parse(&source) } else { yaml::parse(&source) }?;
        Ok(Self { source, value, spans })
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
                Some(_) | None if span.container => span.value.start..(span.value.start + 1).min(span.value.end),
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
