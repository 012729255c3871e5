//! The claim `cnf` (RFC 7800 §3): what whoever presents the token must show.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// SHA-256 of a certificate or of a key.
pub(crate) type Thumbprint = [u8; 32];

/// A `cnf`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    /// `x5t#S256` (RFC 8705 §3.1).
    pub(crate) certificate: Option<Thumbprint>,
    /// `jkt` (RFC 9449 §6.1).
    pub(crate) key: Option<Thumbprint>,
    /// It is empty, or something in it is none of these.
    unreadable: bool,
}

impl Confirmation {
    /// `None` where the token has none. One that cannot be read is there all the same: nothing can satisfy it.
    pub(crate) fn read(claims: &Map<String, Value>) -> Option<Self> {
        let value = claims.get("cnf")?;
        let mut read = Self { certificate: None, key: None, unreadable: false };
        let members = value.as_object().filter(|members| !members.is_empty());
        read.unreadable = members.is_none();
        for (name, value) in members.into_iter().flatten() {
            let thumbprint = value.as_str().and_then(thumbprint);
            read.unreadable |= thumbprint.is_none();
            match name.as_str() {
                "x5t#S256" => read.certificate = thumbprint,
                "jkt" => read.key = thumbprint,
                _ => read.unreadable = true,
            }
        }
        Some(read)
    }

    pub(crate) fn is_readable(&self) -> bool {
        !self.unreadable
    }
}

/// Base64url without padding and without loose bits, of 32 bytes.
fn thumbprint(text: &str) -> Option<Thumbprint> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
