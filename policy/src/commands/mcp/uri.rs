//! Whether the URI of a resource has one reading: only such a one is matched by its beginning.

/// Says whether servers can read it in one way alone: visible ASCII, a scheme, no fragment, no empty or dot segment, and nothing
/// escaped, at one or two levels of encoding, that divides, ends or escapes. Names that are matched whole need none of that.
pub(crate) fn uri_is_plain(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let good = |byte: u8| {
        byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme || !rest.bytes().all(good) || !escapes_are_plain(rest) {
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
