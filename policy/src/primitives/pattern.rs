//! The one kind of pattern that documents and tokens know: a text, or a beginning followed by `*`.

use std::fmt;

use crate::primitives::limits;

/// An exact text, or all texts with a beginning. The `*` never reaches across a `/`, so that `spiffe://org/ns/a*` does
/// not name what lies in another namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(String),
    Prefix(String),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (beginning, open) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        if text.is_empty() || text.len() > limits::IDENTIFIER_BYTES || beginning.contains('*') {
            return None;
        }
        Some(if open { Self::Prefix(beginning.to_owned()) } else { Self::Exact(beginning.to_owned()) })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Prefix(beginning) => text.strip_prefix(beginning.as_str()).is_some_and(|rest| !rest.contains('/')),
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
}
