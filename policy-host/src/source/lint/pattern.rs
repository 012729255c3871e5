//! Patterns of policies (a text, or a beginning and `*` that never reaches across a `/`), compared with each other.

/// Does the pattern name this text?
pub(super) fn names(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.strip_prefix(beginning).is_some_and(|rest| !rest.contains('/')),
        None => pattern == text,
    }
}

/// Does `wide` name whatever `narrow` names?
pub(super) fn covers(wide: &str, narrow: &str) -> bool {
    match (wide.strip_suffix('*'), narrow.strip_suffix('*')) {
        (Some(_), Some(beginning)) => names(wide, beginning),
        (None, Some(_)) => false,
        (Some(_) | None, None) => names(wide, narrow),
    }
}

/// Does the pattern name nobody in particular? A text does, and so does a beginning that ends where a word does:
/// `agent-*`, `spiffe://shop/ns/web/*`; `a*` and `agent*` name whoever happens to be called so.
pub(super) fn is_bare(pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        None => false,
        Some(beginning) => beginning.len() < 3 || beginning.ends_with(|last: char| last.is_alphanumeric()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_pattern_covers_narrow_ones() {
        for (wide, narrow) in [("a*", "a*"), ("a*", "ab*"), ("a*", "ab"), ("a", "a"), ("*", "x")] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [("ab*", "a*"), ("a", "a*"), ("a*", "a/b"), ("a*", "a/*"), ("a", "b")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn a_beginning_that_ends_with_a_word_names_somebody() {
        for bare in ["*", "a*", "a-*", "agent*"] {
            assert!(is_bare(bare), "{bare}");
        }
        for named in ["agent-*", "agent-7", "spiffe://shop/ns/web/*", "x"] {
            assert!(!is_bare(named), "{named}");
        }
    }
}
