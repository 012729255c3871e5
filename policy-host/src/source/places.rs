//! Which bytes of the text each node came from, found by JSON pointer (RFC 6901).

use std::{collections::HashMap, ops::Range};

/// Where a node stands: its key, if it is a member, and its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Range<usize>,
    /// Objects and lists span lines: their key is the better thing to point at.
    pub(super) container: bool,
}

/// The places of all nodes of a document.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(HashMap<String, Place>);

impl Places {
    pub(super) fn insert(&mut self, pointer: String, place: Place) {
        self.0.insert(pointer, place);
    }

    pub(super) fn get(&self, pointer: &str) -> Option<&Place> {
        self.0.get(pointer)
    }

    /// The place of this node, or of the nearest one above it that is in the text: a missing member points at the
    /// object that lacks it.
    pub(super) fn nearest(&self, pointer: &str) -> Option<&Place> {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.0.get(pointer) {
                return Some(place);
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

/// The known name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
