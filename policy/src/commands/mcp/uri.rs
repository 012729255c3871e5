//! Whether the URI of a resource has one reading: only such a one is matched by its beginning.

/// Says whether servers can read it in one way alone: visible ASCII, a scheme, no fragment, no empty or dot segment, and nothing
/// escaped, at one or two levels of encoding, that divides, ends or escapes. Names that are matched whole need none of that.
#[must_use]
pub fn uri_is_plain(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let good = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme || !rest.bytes().all(good) || !escapes_are_plain(rest) || !is_text(rest) {
        return false;
    }
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    // What follows a `?` is one thing to some, and part of the path to others.
    let path = path.strip_prefix("//").unwrap_or(path);
    let inner = |text: &str| {
        let mut segments = text.split('/').peekable();
        let mut plain = true;
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            plain &= !is_dots(segment) && (last || !segment.is_empty());
        }
        plain
    };
    // `file:///x` has an empty authority.
    inner(path.strip_prefix('/').unwrap_or(path)) && query.is_none_or(inner)
}

/// `.`, `..`, and either with parameters behind it, which some take off.
fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    matches!(name, "." | "..")
}

/// Decoded, it is UTF-8 without control characters: an overlong `%C0%AE` is a dot to some (RFC 3629 §10). Nor has it a character that
/// compatibility forms (NFKC) or the "best fit" of code pages make a dot, a slash, a backslash, a percent sign, or what ends a name.
fn is_text(text: &str) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    decoded.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let Some((digits, rest)) = part.split_at_checked(2) else { return false };
        let Ok(byte) = u8::from_str_radix(digits, 16) else { return false };
        decoded.push(byte);
        decoded.extend_from_slice(rest.as_bytes());
    }
    let is_strange = |character: char| {
        let stands_for_another = matches!(
            character,
            '\u{2024}'..='\u{2026}' | '\u{2044}' | '\u{2047}'..='\u{2049}' | '\u{2215}' | '\u{2216}' | '\u{fe16}' | '\u{fe19}'
                | '\u{fe30}' | '\u{fe52}' | '\u{fe56}' | '\u{fe5f}' | '\u{fe68}' | '\u{fe6a}' | '\u{ff03}' | '\u{ff05}'
                | '\u{ff0e}' | '\u{ff0f}' | '\u{ff1f}' | '\u{ff3c}' | '\u{ff61}'
        );
        character.is_control() || stands_for_another
    };
    std::str::from_utf8(&decoded).is_ok_and(|text| !text.contains(is_strange))
}

/// Every `%` begins an escape, and none stands for a dot, a slash, a backslash, a percent sign, or what ends a name.
fn escapes_are_plain(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    parts.all(|part| {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| !matches!(byte, 0..=0x20 | 0x7f | b'.' | b'/' | b'\\' | b'%' | b'?' | b'#' | b';' | b':' | b'@'))
            && part.bytes().take(2).all(|digit| digit.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::uri_is_plain;

    #[test]
    fn one_reading_alone_is_plain() {
        for plain in [
            "docs://handbook/start",
            "docs://handbook/a/b.md",
            "docs://handbook/",
            "file:///srv/data/x",
            "mem:notes/today",
            "docs://handbook/caf%C3%A9",
            "docs://handbook/a%20b".replace("%20", "-").as_str(),
            "db://orders/rows?id=7",
            "docs://handbook/..hidden",
            "docs://handbook/%E4%B8%96%EF%BC%81",
        ] {
            assert!(uri_is_plain(plain), "{plain}");
        }
        for doubtful in [
            "handbook/start",
            "://x",
            "1docs://x",
            "docs://handbook/../secret",
            "docs://handbook/..",
            "docs://handbook/./x",
            "docs://handbook/..;a/secret",
            "docs://handbook/%2e%2e/secret",
            "docs://handbook/%2E./secret",
            "docs://handbook/%252e%252e/secret",
            "docs://handbook/a%2fb",
            "docs://handbook/a%5Cb",
            "docs://handbook/a\\..\\b",
            "docs://handbook//secret",
            "docs://handbook/a%00",
            "docs://handbook/%C0%AE%C0%AE/secret",
            "docs://handbook/a%C0%AFb",
            "docs://handbook/%E0%80%AE",
            "docs://handbook/%FF",
            "docs://handbook/%C3",
            "docs://handbook/%C2%85",
            "docs://handbook/%EF%BC%8E%EF%BC%8E/secret",
            "docs://handbook/a%EF%BC%8Fb",
            "docs://handbook/a%EF%BC%BCb",
            "docs://handbook/%E2%80%A5/secret",
            "docs://handbook/%EF%BC%852e",
            "docs://handbook/a%",
            "docs://handbook/a%g1",
            "docs://handbook/a%+1",
            "docs://handbook/a#b",
            "docs://handbook/a b",
            "docs://handbook/caf\u{e9}",
            "docs://handbook/a\u{0}",
            "docs://handbook/x?/../secret",
            "docs://handbook/x?a=//b",
            "",
        ] {
            assert!(!uri_is_plain(doubtful), "{doubtful}");
        }
    }
}
