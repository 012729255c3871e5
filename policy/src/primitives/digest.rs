//! SHA-256 over several parts, and the first bytes of it where those are only compared.

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

/// The SHA-256 of a text, in hex.
pub(crate) fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
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
