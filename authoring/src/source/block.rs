//! A literal block (`|`) as its lines: where each byte of the text stands in the file, which YAML has indented.

use super::Document;
use serde_json::Value;
use std::ops::Range;

/// The lines of a block.
#[derive(Debug)]
pub(crate) struct Block {
    lines: Vec<Line>,
    /// How many spaces stand before each line.
    pub(crate) indent: usize,
}

#[derive(Debug)]
struct Line {
    /// Where it begins in the text.
    text: usize,
    /// Where it begins in the file, before its indentation.
    row: usize,
    /// Where it begins in the file, after that: a blank line may have less.
    start: usize,
    /// Where it ends in the file, before its line break.
    end: usize,
}

impl Block {
    /// The block that is this member's value; `None` when the value has another form.
    pub(crate) fn of(file: &Document, pointer: &str) -> Option<Self> {
        let Value::String(text) = file.value().pointer(pointer)? else { return None };
        let key = file.key_span(pointer)?.end;
        let header = file.source().text.get(key..)?.split_inclusive('\n').next()?;
        if !header.trim_start().strip_prefix(':')?.trim_start().starts_with('|') {
            return None;
        }
        let mut row = key + header.len();
        let mut rows = file.source().text.get(row..)?.split_inclusive('\n');
        let mut at = 0;
        let mut block = Self { lines: Vec::new(), indent: 0 };
        let mut indents = None;
        for line in text.split_inclusive('\n') {
            let written = rows.next()?;
            let (content, line_text) = (written.trim_end_matches(['\n', '\r']), line.trim_end_matches('\n'));
            let indent = if line_text.is_empty() { content } else { content.strip_suffix(line_text)? };
            if !indent.bytes().all(|byte| byte == b' ') {
                return None;
            }
            if !line_text.is_empty() && *indents.get_or_insert(indent.len()) != indent.len() {
                return None;
            }
            block.lines.push(Line { text: at, row, start: row + indent.len(), end: row + content.len() });
            at += line.len();
            row += written.len();
        }
        block.indent = indents?;
        if text.ends_with('\n') {
            block.lines.push(Line { text: at, row, start: row, end: row });
        }
        Some(block)
    }

    /// Where this byte of the text stands in the file, and the end of its line there.
    pub(crate) fn place(&self, at: usize) -> Option<(usize, usize)> {
        let line = self.line(at)?;
        Some(((line.start + (at - line.text)).min(line.end), line.end))
    }

    /// The bytes of the file for these of the text; whole lines with their indentation.
    pub(crate) fn range(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let (first, last) = (self.line(range.start)?, self.line(range.end)?);
        if range.start == first.text && range.end == last.text && range.start < range.end {
            return Some(first.row..last.row);
        }
        Some(self.place(range.start)?.0..self.place(range.end)?.0)
    }

    fn line(&self, at: usize) -> Option<&Line> {
        self.lines.get(self.lines.partition_point(|line| line.text <= at).checked_sub(1)?)
    }
}
