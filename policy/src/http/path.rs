//! The path of a request in canonical form (RFC 3986 §6.2.2), or refused because two servers could read it differently.
//!
//! A path is never repaired: what a proxy would rewrite and an upstream would not (or the other way round) is the attack.

use std::borrow::Cow;

use crate::primitives::ascii::{hex, upper_escape};
use crate::primitives::limits;

/// Spellings that are refused unless the command that the request matches permits them in its captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spellings(u8);

impl Spellings {
    /// An encoded `/`, `?` or `#`.
    pub(crate) const ENCODED_SLASH: Self = Self(1);
    pub(crate) const SEMICOLON: Self = Self(2);
    pub(crate) const DOUBLE_SLASH: Self = Self(4);
    pub(crate) const DOUBLE_ENCODING: Self = Self(8);

    pub(crate) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Are all of these among `permitted`?
    pub(crate) fn within(self, permitted: Self) -> bool {
        self.0 & !permitted.0 == 0
    }
}

/// One segment between slashes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Segment<'p> {
    /// Unreserved characters decoded, other escapes kept in upper case.
    pub(crate) canonical: Cow<'p, [u8]>,
    /// Every escape decoded once: what an upstream's router may see.
    pub(crate) decoded: Cow<'p, [u8]>,
    pub(crate) spellings: Spellings,
}

/// A path that has one reading, but for the spellings that it is marked with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CanonicalPath<'p> {
    pub(crate) segments: Vec<Segment<'p>>,
}

/// Why a path has no single reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous;

impl<'p> CanonicalPath<'p> {
    /// Reads `:path`; the query takes no part but for a raw `#`, which some servers cut at.
    pub(crate) fn parse(raw: &'p [u8]) -> Result<Self, Ambiguous> {
        if raw.len() > limits::PATH_BYTES || !raw.iter().all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#') {
            return Err(Ambiguous);
        }
        let path = raw.split(|byte| *byte == b'?').next().unwrap_or_default();
        let inner = path.strip_prefix(b"/").ok_or(Ambiguous)?;
        let mut segments = Vec::with_capacity(8);
        let mut parts = inner.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            // An empty segment is a trailing slash at the end and `//` anywhere else.
            if part.is_empty() && parts.peek().is_some() {
                return Err(Ambiguous);
            }
            segments.push(Segment::parse(part)?);
        }
        Ok(Self { segments })
    }

    pub(crate) fn spellings(&self) -> Spellings {
        let mut all = Spellings::default();
        for segment in &self.segments {
            all.add(segment.spellings);
        }
        all
    }
}

impl<'p> Segment<'p> {
    fn parse(raw: &'p [u8]) -> Result<Self, Ambiguous> {
        let mut spellings = Spellings::default();
        if !raw.contains(&b'%') {
            // Without escapes there is one reading, and it is the text itself.
            judge(raw, &mut spellings)?;
            return Ok(Self { canonical: Cow::Borrowed(raw), decoded: Cow::Borrowed(raw), spellings });
        }
        let mut canonical = Vec::with_capacity(raw.len());
        let mut decoded = Vec::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            if byte != b'%' {
                canonical.push(byte);
                decoded.push(byte);
                continue;
            }
            let (value, after) = hex_pair(rest).ok_or(Ambiguous)?;
            rest = after;
            decoded.push(value);
            if is_unreserved(value) {
                canonical.push(value);
            } else {
                canonical.extend_from_slice(&upper_escape(value));
            }
        }
        if has_delimiter(&decoded) {
            spellings.add(Spellings::ENCODED_SLASH);
        }
        judge(&decoded, &mut spellings)?;
        // A server behind a decoding proxy decodes once more: that reading must be as harmless. A third level is refused.
        if let Some(twice) = decode_again(&decoded) {
            spellings.add(Spellings::DOUBLE_ENCODING);
            if has_delimiter(&twice) {
                spellings.add(Spellings::ENCODED_SLASH);
            }
            judge(&twice, &mut spellings)?;
            if decode_again(&twice).is_some() {
                return Err(Ambiguous);
            }
        }
        Ok(Self { canonical: canonical.into(), decoded: decoded.into(), spellings })
    }
}

/// Would the path end or be cut here, once somebody has decoded it and another reads it again?
fn has_delimiter(reading: &[u8]) -> bool {
    reading.iter().any(|byte| matches!(byte, b'/' | b'?' | b'#'))
}

/// Judges one decoded reading of a segment.
fn judge(reading: &[u8], spellings: &mut Spellings) -> Result<(), Ambiguous> {
    // Overlong UTF-8 (`%c0%af` for `/`) is an escape past every check that looks at ASCII; control characters end lines and
    // strings of whoever writes the decoded path somewhere.
    if std::str::from_utf8(reading).is_err() || reading.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\') {
        return Err(Ambiguous);
    }
    if reading.contains(&b';') {
        spellings.add(Spellings::SEMICOLON);
    }
    let mut parts = 0;
    let mut empty = false;
    for part in reading.split(|byte| *byte == b'/') {
        // `..;x` is `..` to a server that takes path parameters off first.
        let name = part.split(|byte| *byte == b';').next().unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return Err(Ambiguous);
        }
        empty |= part.is_empty();
        parts += 1;
    }
    if empty && parts > 1 {
        spellings.add(Spellings::DOUBLE_SLASH);
    }
    Ok(())
}

/// Decodes the escapes that one decoding left; `None` when there are none.
fn decode_again(once: &[u8]) -> Option<Vec<u8>> {
    let mut twice = Vec::with_capacity(once.len());
    let mut found = false;
    let mut rest = once;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match hex_pair(rest).filter(|_| byte == b'%') {
            Some((value, after)) => {
                twice.push(value);
                rest = after;
                found = true;
            }
            None => twice.push(byte),
        }
    }
    found.then_some(twice)
}

fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = bytes.split_first_chunk::<2>()?;
    Some((hex(high)? << 4 | hex(low)?, rest))
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Option<String> {
        let path = CanonicalPath::parse(raw.as_bytes()).ok()?;
        Some(path.segments.iter().map(|s| format!("/{}", String::from_utf8_lossy(&s.canonical))).collect())
    }

    #[test]
    fn equivalent_paths_have_one_form() {
        for (raw, form) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/%61/%7e%2D", "/a/~-"),
            ("/A/%c3%a9", "/A/%C3%A9"),
            ("/a?b=/../c", "/a"),
            ("/a+b/c:d@e,f", "/a+b/c:d@e,f"),
            ("/a%2bb", "/a%2Bb"),
            ("/100%25", "/100%25"),
            ("/...", "/..."),
            ("/.hidden", "/.hidden"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Some(form), "{raw}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for raw in [
            "",
            "a",
            "*",
            "Svc/Method",
            "http://h/a",
            "//",
            "//admin",
            "/a//b",
            "/a/../admin",
            "/a/.",
            "/..",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e",
            "/%252e%252e/a",
            "/%252e",
            "/a\\b",
            "/a%5cb",
            "/a%5Cb",
            "/a%255cb",
            "/a%00",
            "/a%2500",
            "/a#b",
            "/a?b#c",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%u002f",
            "/a b",
            "/a\tb",
            "/\u{e9}",
            "/%c0%af",
            "/%c0%ae%c0%ae",
            "/%ff",
            "/..;/a",
            "/..;x=y/a",
            "/%2e%2e%3b/a",
            "/a%2f..%2fb",
            "/%25252f",
            "/a%2f.%2fb",
            "/%252f..%252f",
        ] {
            assert_eq!(canonical(raw), None, "{raw}");
        }
        assert!(CanonicalPath::parse(&[b"/".as_slice(), &[b'a'; limits::PATH_BYTES]].concat()).is_err());
        assert!(CanonicalPath::parse(&[b"/".as_slice(), &[b'a'; limits::PATH_BYTES - 1]].concat()).is_ok());
    }

    #[test]
    fn doubtful_spellings_are_marked() {
        for (raw, marks) in [
            ("/a", 0),
            ("/a%2fb", 1),
            ("/a%2Fb", 1),
            ("/a%3Fb", 1),
            ("/a%23b", 1),
            ("/a;x=y", 2),
            ("/a%3bx", 2),
            ("/a%2f%2fb", 1 | 4),
            ("/%2fa", 1 | 4),
            ("/a%2541", 8),
            ("/a%252fb", 8 | 1),
            ("/a%253bb", 8 | 2),
        ] {
            assert_eq!(CanonicalPath::parse(raw.as_bytes()).unwrap().spellings().0, marks, "{raw}");
        }
    }
}
