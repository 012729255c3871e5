//! Dictionaries of Strings in a header field (RFC 9651 §3.2 and §3.3.3), as `audit.headers: combined` writes one.

/// Reads the members of a Dictionary in their order, each as it was said; `None` for what is no Dictionary, or has members that are
/// anything but Strings.
#[must_use]
pub fn strings(field: &str) -> Option<Vec<(&str, String)>> {
    let mut members = Vec::new();
    let mut rest = field.trim_matches(' ');
    while !rest.is_empty() {
        let ends = rest.find(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | '*'))?;
        let (key, after) = rest.split_at_checked(ends)?;
        if !key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*') {
            return None;
        }
        let (value, after) = string(after.strip_prefix('=')?)?;
        members.push((key, value));
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.strip_prefix(',') {
            // A comma has a member behind it.
            Some(more) => Some(more.trim_start_matches([' ', '\t'])).filter(|more| !more.is_empty())?,
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(members)
}

/// A String at the start of a text, and what is behind it.
fn string(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, inner.get(at + 1..)?)),
            '\\' => value.push(characters.next().map(|(_, next)| next).filter(|next| matches!(next, '"' | '\\'))?),
            ' '..='~' => value.push(character),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::strings;

    #[test]
    fn members_are_read_as_the_grammar_has_them() {
        let read = |field: &str| strings(field).map(|all| all.into_iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>());
        assert_eq!(read(r#"a="1", b-c="x\"y\\z, d=\"2",e="""#).unwrap(), ["a:1", r#"b-c:x"y\z, d="2"#, "e:"]);
        assert_eq!(read(r#"  a="1" , a="2" "#).unwrap(), ["a:1", "a:2"], "the one who reads sees what is said twice");
        assert!(read("").unwrap().is_empty());
        for bad in [
            "a",
            "a=1",
            "a=?1",
            r#"a="1"#,
            r#"a="1","#,
            r#"a="1" b="2""#,
            r#"A="1""#,
            r#"="1""#,
            "a=\"\\n\"",
            "a=\"\u{e9}\"",
            r#"a="1";q"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
