//! One mistake in a file, with its line and column and what to write instead.

use super::{Lint, lint::WAY_ROUND, masked::masked};
use serde_json::{Value, json};
use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// A file's name and text.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path as the user wrote it, or `<stdin>`.
    pub name: String,
    /// The whole text.
    pub text: String,
    masked: OnceLock<String>,
    /// Where each line begins: looked for once, as a long file may have many findings.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    /// A file's name and text.
    #[must_use]
    pub const fn new(name: String, text: String) -> Self {
        Self { name, text, masked: OnceLock::new(), lines: OnceLock::new() }
    }

    /// Line and column of a byte, from 1; columns count characters.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let offset = if self.text.is_char_boundary(offset) { offset } else { self.text.len() };
        let lines = self.lines();
        let line = lines.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|above| lines.get(above)).copied().unwrap_or(0);
        (line, self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1)
    }

    /// The lines around these bytes, with this many before and after them: the bytes from which to which they reach, and the first
    /// one's number from 1.
    #[must_use]
    pub fn lines_around(&self, range: Range<usize>, before: usize, after: usize) -> (Range<usize>, usize) {
        let lines = self.lines();
        let line_of = |offset: usize| lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let first = line_of(range.start).saturating_sub(before);
        let end = lines.get(line_of(range.end) + after + 1).copied().unwrap_or(self.text.len());
        (lines.get(first).copied().unwrap_or(0)..end, first + 1)
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The text as it may be shown: what would be a secret in it is masked, byte for byte.
    #[must_use]
    pub fn masked(&self) -> &str {
        self.masked.get_or_init(|| masked(&self.text))
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is taken, and probably not meant so.
    Warning(Lint),
    /// The document is taken; a way round the session that it leaves open.
    Note,
}

impl Severity {
    /// The stable name of a warning, or of a note.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::Error => None,
            Self::Warning(lint) => Some(lint.code()),
            Self::Note => Some(WAY_ROUND),
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub source: Arc<Source>,
    /// The bytes that are wrong; `None` when the file could not be read at all.
    pub range: Option<Range<usize>>,
    /// The JSON pointer (RFC 6901) of the node, empty for the root or when there is none.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Finding {
    /// A mistake about a file as a whole: it is missing, or unreadable.
    #[must_use]
    pub fn about_file(name: &str, message: impl Into<String>, help: Option<&str>) -> Self {
        let source = Arc::new(Source::new(name.to_owned(), String::new()));
        Self {
            severity: Severity::Error,
            source,
            range: None,
            pointer: String::new(),
            message: message.into(),
            help: help.map(str::to_owned),
        }
    }

    /// `file:line:column`, or the file alone.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line_column() {
            Some((line, column)) => format!("{}:{line}:{column}", self.source.name),
            None => self.source.name.clone(),
        }
    }

    /// Line and column, from 1.
    #[must_use]
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.range.as_ref().map(|range| self.source.line_column(range.start))
    }

    fn json(&self) -> Value {
        let (line, column) = self.line_column().unzip();
        json!({
            "file": self.source.name, "line": line, "column": column, "pointer": self.pointer,
            "severity": match self.severity { Severity::Error => "error", Severity::Warning(_) => "warning", Severity::Note => "note" },
            "code": self.severity.code(),
            "message": self.message, "help": self.help,
        })
    }
}

/// At least one mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// `None` when the list is empty: no mistake is no findings.
    #[must_use]
    pub fn new(list: Vec<Finding>) -> Option<Self> {
        (!list.is_empty()).then_some(Self(list))
    }

    /// These and others of the same file, in its order.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self.0.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
        self
    }

    /// What is left without notes.
    #[must_use]
    pub fn without_notes(mut self) -> Option<Self> {
        self.0.retain(|finding| finding.severity != Severity::Note);
        Self::new(self.0)
    }

    /// Each of them, in the order of the document.
    #[must_use]
    pub fn list(&self) -> &[Finding] {
        &self.0
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// How many of them are warnings.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.0.iter().filter(|finding| matches!(finding.severity, Severity::Warning(_))).count()
    }

    /// For programs: a list of `{file, line, column, pointer, severity, code, message, help}`; `code` is a warning's name.
    #[must_use]
    pub fn json(&self) -> Value {
        self.0.iter().map(Finding::json).collect()
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Self {
        Self(vec![finding])
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {}", finding.place(), finding.message)?;
            if let Some(help) = &finding.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}
