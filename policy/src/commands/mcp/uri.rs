//! Whether the URI of a resource has one reading.

use std::str;

use crate::primitives::ascii::hex;
use crate::primitives::limits;

/// Is this URI safe to be matched by a pattern with a `*`? What it names must be beneath what the pattern's text names, to every
/// server, whatever that one decodes, folds or takes off. It is what RFC 3986 has, in the one spelling of its §6.2.2:
///
/// - a scheme, and behind it `//AUTHORITY`, which may be empty, a path, or both; no user, and no address in brackets;
/// - segments that are neither empty nor dots and spaces alone, also before a `;`. So there is no slash at the end: what it names is
///   a folder to one server, and the same without it to another;
/// - escapes in upper case, of UTF-8, and only of what cannot stand there itself. So none is of a letter, a dot, a slash, a
///   backslash, a NUL or a `%`, and no second decoding finds anything; what compatibility forms (NFKC) make one of them is no better;
/// - no query and no fragment: to a server they are parts of the name or not, and a pattern was written for paths.
///
/// What is not plain can be named exactly, which needs no reading.
pub(crate) fn uri_is_plain(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    if uri.len() > limits::URI_BYTES || !is_scheme(scheme) || !rest.bytes().all(is_allowed) {
        return false;
    }
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
            let named = authority.is_empty() || is_segment(authority);
            if !named || authority.contains('@') || (authority.is_empty() && path.is_none()) {
                return false;
            }
            path
        }
        None => Some(rest.strip_prefix('/').unwrap_or(rest)),
    };
    path.is_none_or(|path| path.split('/').all(is_segment))
}

/// RFC 3986 §3.1, in its canonical case.
fn is_scheme(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(good)
}

/// What may be in a path (`pchar`), its slashes and escapes.
fn is_allowed(byte: u8) -> bool {
    byte == b'/' || byte == b'%' || stands_itself(byte)
}

fn stands_itself(byte: u8) -> bool {
    let marks = b"-._~!$&'()*+,;=:@";
    byte.is_ascii_alphanumeric() || marks.contains(&byte)
}

fn is_segment(text: &str) -> bool {
    let Some(decoded) = decode(text) else { return false };
    let Ok(decoded) = str::from_utf8(&decoded) else { return false };
    // Windows takes dots and spaces off the end of a name, and some servers what follows a `;`.
    let name = decoded.split(';').next().unwrap_or_default();
    let named = !name.trim_matches(['.', ' ']).is_empty();
    named && !decoded.chars().any(|character| character.is_control() || is_compatible(character))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().filter(|digit| !digit.is_ascii_lowercase()).and_then(hex);
        let byte = digit()? << 4 | digit()?;
        if stands_itself(byte) || matches!(byte, b'/' | b'\\' | b'%' | b'?' | b'#') || byte.is_ascii_control() {
            return None;
        }
        decoded.push(byte);
    }
    Some(decoded)
}

/// Characters that NFKC makes, or that code pages with a "best fit" make, a dot, a slash, a backslash, a `%`, `?` or `#`.
fn is_compatible(character: char) -> bool {
    matches!(
        character,
        '\u{2024}'
            ..='\u{2026}'
                | '\u{2044}'
                | '\u{2048}'
                | '\u{2049}'
                | '\u{2047}'
                | '\u{2215}'
                | '\u{2216}'
                | '\u{fe16}'
                | '\u{fe19}'
                | '\u{fe30}'
                | '\u{fe52}'
                | '\u{fe56}'
                | '\u{fe5f}'
                | '\u{fe68}'
                | '\u{fe6a}'
                | '\u{ff03}'
                | '\u{ff05}'
                | '\u{ff0e}'
                | '\u{ff0f}'
                | '\u{ff1f}'
                | '\u{ff3c}'
                | '\u{ff61}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uri_is_plain_or_its_twin_is_not() {
        for (plain, twin) in [
            ("docs://handbook/a", "docs://handbook/../a"),
            ("docs://handbook/a.b", "docs://handbook/."),
            ("docs://handbook/..a", "docs://handbook/.."),
            ("docs://handbook/a", "docs://handbook/%2e%2e/a"),
            ("docs://handbook/%C3%A9", "docs://handbook/%2E%2E/a"),
            ("docs://handbook/%E4%B8%96", "docs://handbook/.%2E/a"),
            ("docs://handbook/a", "docs://handbook/%252E%252E/a"),
            ("docs://handbook/a/b", "docs://handbook/a%2Fb"),
            ("docs://handbook/a/b", "docs://handbook/a%252Fb"),
            ("docs://handbook/a/b", "docs://handbook/a\\b"),
            ("docs://handbook/a/b", "docs://handbook/a%5Cb"),
            ("docs://handbook/a%20b", "docs://handbook/a b"),
            ("docs://handbook/a%20b", "docs://handbook/a%00b"),
            ("docs://handbook/a%20b", "docs://handbook/a%0Ab"),
            ("docs://handbook/a%7Cb", "docs://handbook/a|b"),
            ("docs://handbook/%C3%A9", "docs://handbook/%c3%a9"),
            ("docs://handbook/%C3%A9", "docs://handbook/\u{e9}"),
            ("docs://handbook/%C3%A9", "docs://handbook/%C0%AE%C0%AE"),
            ("docs://handbook/%C3%A9", "docs://handbook/%C2%85"),
            ("docs://handbook/%EF%BC%81", "docs://handbook/%EF%BC%8E%EF%BC%8E"),
            ("docs://handbook/%EF%BC%81", "docs://handbook/a%EF%BC%8Fb"),
            ("docs://handbook/a", "docs://handbook/%61"),
            ("docs://handbook/100", "docs://handbook/100%"),
            ("docs://handbook/100", "docs://handbook/100%2"),
            ("docs://handbook/100", "docs://handbook/100%ZZ"),
            ("docs://handbook/a", "docs://handbook//a"),
            ("docs://handbook/a", "docs://handbook/a/"),
            ("docs://handbook", "docs://handbook/"),
            ("docs://handbook/a", "docs://handbook/a?b"),
            ("docs://handbook/a", "docs://handbook/a#b"),
            ("docs://handbook/a;v=1", "docs://handbook/..;v=1/a"),
            ("docs://handbook/a;v=1", "docs://handbook/;/a"),
            ("docs://handbook/a...", "docs://handbook/..."),
            ("docs://handbook/a%20", "docs://handbook/..%20"),
            ("docs://handbook/page", "docs://handbook/{page}"),
            ("docs://handbook:1/a", "docs://you@handbook/a"),
            ("docs://handbook/a@b", "docs://[::1]/a"),
            ("docs://a/b", "docs://../b"),
            ("docs://a", "docs://"),
            ("file:///a", "file:///"),
            ("file:///a", "file:////a"),
            ("file:///a", "file:///a/../b"),
            ("file:///C:/a", "FILE:///C:/a"),
            ("urn:isbn:0", "urn:"),
            ("urn:a/b", "urn:a//b"),
            ("x:/a/b", "x:/"),
            ("x:/a/b", "/a/b"),
            ("x-1.y+z:a", "1x:a"),
            ("x:a", ":a"),
            ("x:a", "a"),
            ("x:a", ""),
        ] {
            assert!(uri_is_plain(plain), "{plain}");
            assert!(!uri_is_plain(twin), "{twin}");
        }
        let long = |bytes: usize| format!("x:{}", "a".repeat(bytes - 2));
        assert!(uri_is_plain(&long(limits::URI_BYTES)) && !uri_is_plain(&long(limits::URI_BYTES + 1)));
    }

    #[test]
    fn of_the_escapes_of_single_bytes_none_is_of_what_stands_itself_or_has_a_meaning() {
        let taken: Vec<char> = (0..=255_u8).filter(|byte| uri_is_plain(&format!("x:a%{byte:02X}"))).map(char::from).collect();
        assert_eq!(taken, [' ', '"', '<', '>', '[', ']', '^', '`', '{', '|', '}']);
    }

    fn decoded(text: &str) -> String {
        let mut out = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let pair = after.get(..2).and_then(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok());
            match (first, pair) {
                (b'%', Some(byte)) => {
                    out.push(byte);
                    rest = &after[2..];
                }
                (byte, _) => {
                    out.push(*byte);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// However often it is decoded, a plain URI never leaves the segments that it has.
        #[test]
        fn decoding_finds_no_further_segment(uri in r"docs://h(/(a|\.|%2[0EeFf5]|%5[Cc]|%C3%A9|;|%25|[a-z]){0,4}){0,4}") {
            if uri_is_plain(&uri) {
                let once = decoded(&uri);
                let twice = decoded(&once);
                for reading in [&once, &twice] {
                    prop_assert_eq!(reading.matches('/').count(), uri.matches('/').count());
                    prop_assert!(!reading.contains('\\') && !reading.split('/').any(|part| part == "." || part == ".."));
                }
                prop_assert_eq!(once, twice);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            uri_is_plain(&text);
        }
    }
}
