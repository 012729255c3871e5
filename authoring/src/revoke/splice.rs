//! Replacements of bytes in a text, and what is asked about lines on the way.

use std::ops::Range;

/// These bytes become this text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

impl Splice {
    pub(super) fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { range: at..at, text: text.into() }
    }

    pub(super) fn replace(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { range, text: text.into() }
    }

    pub(super) fn remove(range: Range<usize>) -> Self {
        Self { range, text: String::new() }
    }
}

/// The text with all of them made; those at one place in the order of the list. `None` when they are not within the text.
pub(super) fn apply(text: &str, mut splices: Vec<Splice>) -> Option<String> {
    splices.sort_by_key(|splice| splice.range.start);
    let mut out = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for Splice { range, text: new } in splices {
        // Removals of neighbouring lines may share a line break.
        out.push_str(text.get(at..range.start.max(at))?);
        out.push_str(&new);
        at = range.end.max(at);
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// The line breaks of this text.
pub(super) fn line_break(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Where the line of this byte begins.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |found| found + 1)
}

/// Where the line of this byte ends, before its line break.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let line = rest.split_inclusive('\n').next().unwrap_or_default();
    at + line.trim_end_matches(['\n', '\r']).len()
}

/// What stands before this byte on its line.
pub(super) fn before(text: &str, at: usize) -> &str {
    text.get(line_start(text, at)..at).unwrap_or_default()
}

/// The lines from the one of the range's start to the one of its end, with their line breaks.
pub(super) fn whole_lines(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = line_start(text, range.start);
    match text.get(range.end..).and_then(|rest| rest.find('\n')) {
        Some(found) => start..range.end + found + 1,
        // The last line has no line break: the one before it goes.
        None => {
            let shorter = text.get(..start).map_or(start, |before| before.trim_end_matches(['\n', '\r']).len());
            shorter..text.len()
        }
    }
}
