//! Keys and session tokens for testing: made, signed and looked at on a laptop.
//!
//! Nothing here verifies. Verification is the filter's work, and only its verdict counts.

mod der;
pub mod inspect;
mod jwk;
mod run_keys;
mod sign;
mod status_list;

pub use run_keys::{RunKeys, carrier};
pub(crate) use run_keys::{accepted, find, header_for, preferred};
pub use sign::{hs256, unsigned};
pub use status_list::{packed, status_list};

use chaperone_policy::{Algorithm, KeyUse};
use jsonwebtoken::EncodingKey;
use serde_json::{Map, Value, json};
use std::fmt;

/// A private key that signs tokens for testing. Its `Debug` shows the algorithm and the `kid`, never the key.
#[derive(Clone)]
pub struct TestKey {
    alg: Algorithm,
    kid: String,
    /// The public JWK members (`kty` and the key's own), without `kid`, `alg` and `use`.
    public: Map<String, Value>,
    /// The private JWK members alone.
    private: Map<String, Value>,
    encoding: EncodingKey,
}

impl TestKey {
    /// A new random key. RSA keys have 2048 bits and take a moment; the others are instant.
    ///
    /// # Errors
    /// When the operating system yields no randomness.
    pub fn generate(alg: Algorithm) -> Result<Self, KeyError> {
        der::generate(alg)
    }

    /// The algorithm that this key signs with.
    #[must_use]
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// The key's id: the RFC 7638 thumbprint, unless the JWK that it was read from said otherwise.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK (RFC 7517), ready for an issuer's `keys.jwks.keys`.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public_jwk_for(KeyUse::Signature)
    }

    /// The same with this `use`.
    pub(crate) fn public_jwk_for(&self, key_use: KeyUse) -> Value {
        let mut jwk = self.public.clone();
        jwk.insert("kid".to_owned(), json!(self.kid));
        jwk.insert("alg".to_owned(), json!(self.alg.name()));
        jwk.insert("use".to_owned(), json!(key_use.name()));
        Value::Object(jwk)
    }

    /// The whole key as a JWK: a secret, to be kept in a file that only its owner reads.
    #[must_use]
    pub fn private_jwk(&self) -> Value {
        let mut jwk = self.public_jwk();
        if let Value::Object(members) = &mut jwk {
            members.extend(self.private.clone());
        }
        jwk
    }
}

/// The public halves of these keys as a JWK Set (RFC 7517 §5).
#[must_use]
pub fn jwks<'a>(keys: impl IntoIterator<Item = &'a TestKey>) -> Value {
    jwks_for(keys, KeyUse::Signature)
}

/// The same with this `use`.
pub(crate) fn jwks_for<'a>(keys: impl IntoIterator<Item = &'a TestKey>, key_use: KeyUse) -> Value {
    json!({ "keys": keys.into_iter().map(|key| key.public_jwk_for(key_use)).collect::<Vec<_>>() })
}

impl fmt::Debug for TestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestKey").field("alg", &self.alg).field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyError {
    /// The operating system gave no randomness.
    NoRandomness,
    /// The JWK lacks this member, or it is not what RFC 7518 asks for.
    Member(&'static str),
    /// The JWK's `kty`, `crv` and `alg` name no algorithm that we know, or do not go together.
    UnknownKind,
    /// The JWK is a public key: it cannot sign.
    PublicOnly,
    /// The members are there, but they are no valid key.
    Invalid,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRandomness => f.write_str("the operating system gave no randomness"),
            Self::Member(name) => write!(f, "the JWK's `{name}` is missing or malformed"),
            Self::UnknownKind => write!(
                f,
                "the JWK's `kty`, `crv` and `alg` name no supported algorithm ({})",
                Algorithm::ALL.map(Algorithm::name).join(", ")
            ),
            Self::PublicOnly => f.write_str("this JWK is a public key, and only a private one can sign"),
            Self::Invalid => f.write_str("the JWK's numbers are no valid key"),
        }
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests;
