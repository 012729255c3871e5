//! One file: its text, its value, and where each part of the value stands in the text.

use super::{Finding, Findings, MAX_BYTES, Severity, Source, json, places::Places, yaml};
use serde_json::Value;
use std::{io::Read, ops::Range, path::Path, sync::Arc};

/// A parsed file.
#[derive(Debug, Clone)]
pub struct Document {
    source: Arc<Source>,
    value: Value,
    places: Places,
}

impl Document {
    /// Reads a file, `-` for standard input.
    ///
    /// # Errors
    /// When it cannot be read, is too large, is not UTF-8, or is neither strict YAML nor strict JSON.
    pub fn read(path: &Path) -> Result<Self, Findings> {
        let (name, text) = read_text(path)?;
        Self::parse(&name, text)
    }

    /// Parses a text that came from `name`. Text that begins with `{` or `[` and is JSON is read as JSON, whose escapes
    /// are not quite YAML's.
    ///
    /// # Errors
    /// When it is neither strict YAML nor strict JSON.
    pub fn parse(name: &str, text: String) -> Result<Self, Findings> {
        let source = Arc::new(Source::new(name.to_owned(), text));
        let is_json = name.ends_with(".json") || serde_json::from_str::<serde::de::IgnoredAny>(&source.text).is_ok();
        let (value, places) = if is_json { json::parse(&source) } else { yaml::parse(&source) }?;
        Ok(Self { source, value, places })
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
    pub(super) fn places(&self) -> &Places {
        &self.places
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
        let exact = self.places.get(pointer).is_some();
        match self.places.nearest(pointer) {
            Some(place) => match &place.key {
                Some(key) if by_key || place.container || !exact => key.clone(),
                Some(_) | None if place.container => place.value.start..(place.value.start + 1).min(place.value.end),
                Some(_) | None => self.without_comment(place.value.clone()),
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
        self.source.text.get(self.places.get(pointer)?.key.clone()?)
    }

    /// A scalar as it stands in the file, quotes included.
    pub(super) fn raw_value(&self, pointer: &str) -> Option<&str> {
        let place = self.places.get(pointer).filter(|place| !place.container)?;
        self.source.text.get(place.value.clone())
    }

    /// The bytes of the value itself.
    pub(super) fn value_range(&self, pointer: &str) -> Range<usize> {
        self.places.nearest(pointer).map_or(0..0, |place| place.value.clone())
    }
}

/// The name to show and the text of a file, `-` for standard input.
///
/// # Errors
/// When it cannot be read, is too large, or is not UTF-8.
pub fn read_text(path: &Path) -> Result<(String, String), Findings> {
    let stdin = path.as_os_str() == "-";
    let name = if stdin { "<stdin>".to_owned() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let result = if stdin {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    if let Err(error) = result {
        return Err(Finding::about_file(&name, format!("cannot be read: {error}"), None).into());
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Finding::about_file(&name, "is larger than 64 MiB", Some("is this the right file?")).into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let valid = String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default());
            let source = Arc::new(Source::new(name, valid.into_owned()));
            let end = source.text.len();
            let message = "is not UTF-8 from here on".to_owned();
            Err(Finding { severity: Severity::Error, source, range: Some(end..end), pointer: String::new(), message, help: None }
                .into())
        }
    }
}
