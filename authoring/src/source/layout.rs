//! Which bytes a node of a file has for itself, for those who change a file and keep the rest of it.

use super::{Document, PolicyDocument, policy::Inside, push_index, push_member};
use serde_json::Value;
use std::ops::Range;

/// Where a policy is held in its file.
#[derive(Debug)]
pub(crate) enum Held<'d> {
    /// At this node of the document.
    Node(&'d str),
    /// As JSON in the text at this node.
    Text {
        /// The text's pointer into the file.
        pointer: &'d str,
        /// The text, parsed.
        inner: &'d Document,
    },
    /// In a file that is the text at this node.
    File {
        /// The text's pointer into the document.
        pointer: &'d str,
        /// The policy in that file.
        inner: &'d PolicyDocument,
    },
}

impl PolicyDocument {
    /// The document of the file that it is in.
    pub(crate) fn file(&self) -> &Document {
        &self.file
    }

    /// Which of the file's documents that is, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Where in its document the policy is.
    pub(crate) fn held(&self) -> Held<'_> {
        match &self.inside {
            Inside::Node(pointer) => Held::Node(pointer),
            Inside::Text { pointer, inner } => Held::Text { pointer, inner },
            Inside::File { pointer, inner } => Held::File { pointer, inner },
        }
    }
}

impl Document {
    /// The bytes of a member's key.
    pub(crate) fn key_span(&self, pointer: &str) -> Option<Range<usize>> {
        self.spans().get(pointer)?.key.clone()
    }

    /// The bytes of a node's value: a container ends with what closes it, or with its last leaf, before blank lines and comments. Of
    /// a scalar under `|` or `>` it is the lines, without the header.
    pub(crate) fn span(&self, pointer: &str) -> Option<Range<usize>> {
        let span = self.spans().get(pointer)?;
        let Range { start, end } = span.value.clone();
        if span.container {
            let leaf = self.children(pointer).iter().filter_map(|child| Some(self.span(child)?.end)).max();
            let end = if self.is_flow(pointer) { self.closer(leaf.unwrap_or(start + 1))? + 1 } else { leaf? };
            return Some(start..end);
        }
        // A block reaches to where the next thing begins.
        let written = self.source().text.get(start..end)?.trim_end();
        match &span.key {
            // Nothing is written: the value ends with its key.
            Some(key) if written.is_empty() => Some(key.end..key.end),
            Some(_) | None => Some(start..start + written.len()),
        }
    }

    /// The bracket or brace that comes next, after blanks, commas and comments.
    fn closer(&self, from: usize) -> Option<usize> {
        let mut in_comment = false;
        let rest = self.source().text.bytes().enumerate().skip(from);
        for (at, byte) in rest {
            match byte {
                b'\n' => in_comment = false,
                _ if in_comment => {}
                b'#' => in_comment = true,
                b'}' | b']' => return Some(at),
                b',' | b' ' | b'\t' | b'\r' => {}
                _ => return None,
            }
        }
        None
    }

    /// Is this container written in braces or brackets?
    pub(crate) fn is_flow(&self, pointer: &str) -> bool {
        let start = |pointer: &str| self.spans().get(pointer).map(|span| span.value.start);
        let first = start(pointer).and_then(|start| self.source().text.as_bytes().get(start));
        // A list whose dashes are no further from the margin than its key begins with its first item, which may be in braces.
        let begins_with_item =
            self.spans().get(&format!("{pointer}/0")).is_some_and(|item| Some(item.value.start) == start(pointer));
        matches!(first, Some(b'{' | b'[')) && !begins_with_item
    }

    /// The pointers of a container's members or items, in the order of the text.
    pub(crate) fn children(&self, pointer: &str) -> Vec<String> {
        let child = |push: &dyn Fn(&mut String)| {
            let mut child = pointer.to_owned();
            push(&mut child);
            child
        };
        let mut list: Vec<String> = match self.value().pointer(pointer) {
            Some(Value::Object(members)) => members.keys().map(|name| child(&|p| push_member(p, name))).collect(),
            Some(Value::Array(items)) => (0..items.len()).map(|index| child(&|p| push_index(p, index))).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => Vec::new(),
        };
        list.sort_by_key(|child| self.spans().get(child).map(|span| span.value.start));
        list
    }
}

#[cfg(test)]
mod tests {
    use crate::source::Document;

    #[test]
    fn spans_end_with_what_is_written() {
        let text = "a: 1   # one\nblock: |\n  x\n  y\n\n# c\nlist:\n  - {b: 2}  # two\n  -\n    c: [1,\n      2]\n  - >-\n    folded\n    too\n\n# end\nlast: 'q'\nmore:\n- [1] # x\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n"), text.replace("one", "öné"), format!("---\n{text}...\n")] {
            let document = Document::parse("f.yaml", text.clone()).unwrap();
            let span = |pointer: &str| text.get(document.span(pointer).unwrap()).unwrap().replace("\r\n", "\n");
            assert_eq!(span("/a"), "1");
            assert_eq!(span("/block"), "x\n  y", "of a block, the lines under its header");
            assert_eq!(span("/list"), "- {b: 2}  # two\n  -\n    c: [1,\n      2]\n  - >-\n    folded\n    too");
            assert_eq!(span("/list/0"), "{b: 2}");
            assert_eq!(span("/list/1"), "c: [1,\n      2]");
            assert_eq!(span("/list/2"), "folded\n    too");
            assert_eq!(span("/last"), "'q'");
            assert_eq!(text.get(document.key_span("/list").unwrap()), Some("list"));
            assert!(document.is_flow("/list/0") && !document.is_flow("/list"));
            assert!(document.is_flow("/more/0") && !document.is_flow("/more"));
            assert_eq!(span("/more"), "[1]");
        }
    }
}
