//! The one kind of pattern that documents and tokens know: a text, or a beginning followed by `*`, or in documents `**`.

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
    /// It names whatever begins with this, beyond any `/`: the text before the `**`.
    Across(String),
}

impl Pattern {
    /// Reads a pattern of texts that may have a `/`, as documents write it: besides what [`Self::parse`] reads, a beginning
    /// and `**`. `None` when it is neither, and for `**` alone: that would be everybody, and nobody in particular.
    #[must_use]
    pub fn parse_across(text: &str) -> Option<Self> {
        let Some(beginning) = text.strip_suffix("**") else { return Self::parse(text) };
        let good = !beginning.is_empty() && !beginning.contains('*') && text.len() <= limits::IDENTIFIER_BYTES;
        good.then(|| Self::Across(beginning.to_owned()))
    }

    /// Reads a pattern without `**`, as tokens and lists of commands write it; `None` when the text is empty or longer than
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
            Self::Across(beginning) => text.starts_with(beginning.as_str()),
        }
    }

    /// The part of this text that its `*` stands for, up to the `/` that stops it; `None` when no `/` does.
    #[must_use]
    pub fn stopped_after<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Self::Prefix(beginning) => Some(text.strip_prefix(beginning.as_str())?.split_once('/')?.0),
            Self::Exact(_) | Self::Across(_) => None,
        }
    }

    /// Says whether it names whatever `narrow` names.
    #[must_use]
    pub fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Exact(_), Self::Prefix(_) | Self::Across(_)) | (Self::Prefix(_), Self::Across(_)) => false,
            (_, Self::Exact(text))
            | (Self::Prefix(_) | Self::Across(_), Self::Prefix(text))
            | (Self::Across(_), Self::Across(text)) => self.matches(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => f.write_str(exact),
            Self::Prefix(beginning) => write!(f, "{beginning}*"),
            Self::Across(beginning) => write!(f, "{beginning}**"),
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
    fn two_stars_reach_across_slashes_and_never_stand_alone() {
        let pattern = |text| Pattern::parse_across(text).unwrap();
        assert!(pattern("repo:a/b:**").matches("repo:a/b:ref:refs/heads/main"));
        assert!(!pattern("repo:a/b:**").matches("repo:a/bc:x"));
        assert!(!pattern("repo:a/b:*").matches("repo:a/b:ref:refs/heads/main"));
        assert_eq!(pattern("repo:a/b:*").stopped_after("repo:a/b:ref:refs/heads/main"), Some("ref:refs"));
        assert_eq!(pattern("repo:a/b:*").stopped_after("repo:a/b:x"), None);
        assert_eq!(pattern("repo:a/b:*").stopped_after("repo:c/b:x/y"), None);
        assert_eq!(pattern("a**").to_string(), "a**");
        let long = format!("{}**", "a".repeat(255));
        for wrong in ["", "**", "***", "a***", "*a**", "a**b", "a*b**", "**a", &long] {
            assert_eq!(Pattern::parse_across(wrong), None, "{wrong}");
        }
        assert_eq!(Pattern::parse("a**"), None);
    }

    #[test]
    fn a_wide_pattern_covers_narrow_ones() {
        let covers =
            |wide: &str, narrow: &str| Pattern::parse_across(wide).unwrap().covers(&Pattern::parse_across(narrow).unwrap());
        for (wide, narrow) in
            [("a*", "a*"), ("a*", "ab*"), ("a*", "ab"), ("a", "a"), ("*", "x"), ("a**", "a/b*"), ("a**", "a/**"), ("a**", "a")]
        {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in
            [("ab*", "a*"), ("a", "a*"), ("a*", "a/b"), ("a*", "a/*"), ("a", "b"), ("a*", "a**"), ("a", "a**"), ("ab**", "a**")]
        {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }
}
