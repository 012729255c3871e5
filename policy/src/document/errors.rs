//! What is wrong with a document, each error with the JSON pointer of its place.

use std::fmt;

use super::read::At;
use crate::primitives::limits;

/// One mistake in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// Where: a JSON pointer (RFC 6901) into the document.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where we know.
    pub help: Option<String>,
}

/// All mistakes found in a document, in the order in which it was read; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentErrors(Vec<DocumentError>);

impl DocumentErrors {
    /// Returns the mistakes, in the order in which they were found.
    #[must_use]
    pub fn errors(&self) -> &[DocumentError] {
        &self.0
    }
}

impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let place = if error.pointer.is_empty() { "/" } else { &error.pointer };
            write!(f, "{place}: {}", error.message)?;
            if let Some(help) = &error.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for DocumentErrors {}

/// Collects mistakes while a document is read.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<DocumentError>);

impl Errors {
    pub(crate) fn add(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    pub(crate) fn add_with_help(&mut self, at: &At<'_>, message: impl Into<String>, help: impl Into<String>) {
        self.push(at, message.into(), Some(help.into()));
    }

    fn push(&mut self, at: &At<'_>, message: String, help: Option<String>) {
        if self.0.len() < limits::DOCUMENT_ERRORS {
            self.0.push(DocumentError { pointer: at.pointer(), message, help });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_document_errors(self) -> DocumentErrors {
        DocumentErrors(self.0)
    }
}
