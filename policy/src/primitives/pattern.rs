//! The one kind of pattern that documents and tokens know: a text, or a beginning followed by `*`.

use std::fmt;

use crate::primitives::limits;

/// An exact text, or all texts with a beginning. The `*` never reaches across a `/`, so that `spiffe://org/ns/a*` does
/// not name what lies in another namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// It names this text alone.
    Exact(String),
    /// It names whatever begins with this and has no `/` after it: the text before the `*`.
    Prefix(String),
}

impl Pattern {
    /// Reads a pattern as documents and tokens write it; `None` when the text is empty or longer than
    /// [`limits::IDENTIFIER_BYTES`], or has a `*` before its end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (beginning, open) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        if text.is_empty() || text.len() > limits::IDENTIFIER_BYTES || beginning.contains('*') {
            return None;
        }
        Some(if open { Self::Prefix(beginning.to_owned()) } else { Self::Exact(beginning.to_owned()) })
    }

    /// Says whether it names this text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Prefix(beginning) => text.strip_prefix(beginning.as_str()).is_some_and(|rest| !rest.contains('/')),
        }
    }

    /// Says whether it names whatever `narrow` names.
    #[must_use]
    pub fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Exact(_), Self::Prefix(_)) => false,
            (Self::Exact(_) | Self::Prefix(_), Self::Exact(text)) | (Self::Prefix(_), Self::Prefix(text)) => self.matches(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Prefix(beginning) => write!(f, "{beginning}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_star_stands_at_the_end_and_stays_within_a_segment() {
        let pattern = |text| Pattern::parse(text).unwrap();
        assert!(pattern("agent-*").matches("agent-7"));
        assert!(!pattern("agent-*").matches("agent-7/x"));
        assert!(!pattern("agent-*").matches("Agent-7"));
        assert!(pattern("agent-7").matches("agent-7"));
        assert!(!pattern("agent-7").matches("agent-77"));
        for wrong in ["", "*-agent", "a*b", "**"] {
            assert_eq!(Pattern::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wide_pattern_covers_narrow_ones() {
        let covers = |wide: &str, narrow: &str| Pattern::parse(wide).unwrap().covers(&Pattern::parse(narrow).unwrap());
        for (wide, narrow) in [("a*", "a*"), ("a*", "ab*"), ("a*", "ab"), ("a", "a"), ("*", "x")] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("ab*", "a*"), ("a", "a*"), ("a*", "a/b"), ("a*", "a/*"), ("a", "b")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}
