//! Which bytes of the text each node came from, found by JSON pointer (RFC 6901).

use std::{collections::HashMap, ops::Range};

/// Where a node stands: its key, if it is a member, and its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NodeSpan {
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Range<usize>,
    /// Objects and lists span lines: their key is the better thing to point at.
    pub(super) container: bool,
}

/// The spans of all nodes of a document.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeSpans(HashMap<String, NodeSpan>);

impl NodeSpans {
    pub(super) fn insert(&mut self, pointer: String, span: NodeSpan) {
        self.0.insert(pointer, span);
    }

    pub(super) fn get(&self, pointer: &str) -> Option<&NodeSpan> {
        self.0.get(pointer)
    }

    /// The span of this node, or of the nearest one above it that is in the text: a missing member points at the
    /// object that lacks it.
    pub(super) fn nearest(&self, pointer: &str) -> Option<&NodeSpan> {
        let mut pointer = pointer;
        loop {
            if let Some(span) = self.0.get(pointer) {
                return Some(span);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }
}

/// Appends a member's name to a pointer.
pub(crate) fn push_member(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// Appends an item's index to a pointer.
pub(crate) fn push_index(pointer: &mut String, index: usize) {
    pointer.push('/');
    pointer.push_str(&index.to_string());
}
