//! SHA-256 over several parts, and the first bytes of it where those are only compared; that of a text, as others write it.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The first half of a SHA-256. Compared only.
pub(crate) type Half = [u8; 16];

/// A SHA-256 over the parts, each with its length: nobody can make two lists alike.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The SHA-256 of a text, written as 64 hex digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextSha256([u8; 32]);

impl TextSha256 {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Reads it in the one spelling that it has; `None` for any other.
    pub(crate) fn parse(written: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let (pairs, []) = written.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != bytes.len() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }
}

fn digit(written: u8) -> Option<u8> {
    match written {
        b'0'..=b'9' => Some(written - b'0'),
        b'a'..=b'f' => Some(written - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for TextSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first half of such a hash.
pub(crate) fn digest(parts: &[&[u8]]) -> Half {
    beginning(&hash(parts))
}

pub(crate) fn beginning<const SIZE: usize>(whole: &[u8; 32]) -> [u8; SIZE] {
    let mut first = [0; SIZE];
    first.iter_mut().zip(whole).for_each(|(to, from)| *to = *from);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha256_has_one_spelling() {
        // FIPS 180-4, of the empty text.
        let written = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(TextSha256::of("").to_string(), written);
        assert_eq!(TextSha256::parse(written), Some(TextSha256::of("")));
        let upper = written.to_uppercase();
        let (long, short, odd) = (format!("{written}00"), written.replacen("e3", "", 1), written.replacen('e', "", 1));
        let mixed = written.replace('e', "g");
        let wide = written.replacen("e3", "é", 1);
        for other in ["", &odd, &short, &long, &upper, &mixed, &wide, &written.replacen('e', "+", 1)] {
            assert_eq!(TextSha256::parse(other), None, "{other}");
        }
    }
}
