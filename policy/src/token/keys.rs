//! Keys that verify tokens: each bound to one algorithm when the policy loads, so that no token can choose.

mod algorithm;
mod der;
mod jwk;
mod known_answers;
mod roca;
mod set;
mod thumbprint;

use std::fmt;
use std::rc::Rc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use serde_json::Value;

use crate::document::{At, Errors, each, one_of, string};

pub use algorithm::UnknownAlgorithm;
pub use known_answers::{KnownAnswer, known_answers};
pub(crate) use set::KeySet;
pub use set::{DroppedKey, KeyNote, key_notes};
pub use thumbprint::thumbprint;

/// A signature algorithm of RFC 7518 §3.1 or RFC 8037 that a policy can accept. There is no `none` and no HMAC to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
}

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
    // RFC 9864 §2.2: the same algorithm, fully specified.
    ("Ed25519", Algorithm::EdDsa),
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
];

impl Algorithm {
    /// All of them are here, those whose keys are cheap to make first.
    pub const ALL: [Self; 9] =
        [Self::Es256, Self::Es384, Self::EdDsa, Self::Rs256, Self::Rs384, Self::Rs512, Self::Ps256, Self::Ps384, Self::Ps512];

    /// Returns the algorithm with this name in a JWS header, `None` when it is none of ours; names are case-sensitive (RFC 7515
    /// §4.1.1).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    /// Returns its name in a JWS header.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.jsonwebtoken().0
    }

    fn is_rsa(self) -> bool {
        match self {
            Self::Es256 | Self::Es384 | Self::EdDsa => false,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => true,
        }
    }

    fn jsonwebtoken(self) -> (&'static str, jsonwebtoken::Algorithm) {
        use jsonwebtoken::Algorithm as Theirs;
        match self {
            Self::Es256 => ("ES256", Theirs::ES256),
            Self::Es384 => ("ES384", Theirs::ES384),
            Self::EdDsa => ("EdDSA", Theirs::EdDSA),
            Self::Rs256 => ("RS256", Theirs::RS256),
            Self::Rs384 => ("RS384", Theirs::RS384),
            Self::Rs512 => ("RS512", Theirs::RS512),
            Self::Ps256 => ("PS256", Theirs::PS256),
            Self::Ps384 => ("PS384", Theirs::PS384),
            Self::Ps512 => ("PS512", Theirs::PS512),
        }
    }
}

/// SHA-256 over a key's algorithm and public material: two keys are the same key exactly when these are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyFingerprint([u8; 32]);

/// A public key and the one algorithm that it may verify.
pub struct VerificationKey {
    id: Option<String>,
    algorithm: Algorithm,
    fingerprint: KeyFingerprint,
    key: DecodingKey,
    spki: Option<Vec<u8>>,
}

/// The fingerprint covers the algorithm.
impl PartialEq for VerificationKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl VerificationKey {
    /// Returns the algorithm that the key is bound to.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Writes the key as a DER `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), for a verifier that is not ours. An Ed25519 key has
    /// none here: nobody who asks could use it.
    #[must_use]
    pub fn spki(&self) -> Option<&[u8]> {
        self.spki.as_deref()
    }

    /// Is this its `kid`?
    pub(crate) fn is_called(&self, id: Option<&str>) -> bool {
        id.is_some() && self.id.as_deref() == id
    }

    pub(crate) fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// A key that comes with what it signs, for the one algorithm that is said there. As strict as for keys of a policy.
    pub(crate) fn embedded(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        jwk::read(jwk, &Accepted { algorithms: [algorithm].into(), key_use: KeyUse::Signature }).ok()
    }
}

/// Which keys of a set are taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Accepted {
    /// The issuer's algorithms.
    pub algorithms: Rc<[Algorithm]>,
    /// What its keys say that they are for.
    pub key_use: KeyUse,
}

/// What the keys that verify tokens have for a `use` (RFC 7517 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// `sig`, or none.
    #[default]
    Signature,
    /// `jwt-svid`, and never none: the set is a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4.2.2).
    JwtSvid,
}

impl KeyUse {
    pub(crate) const WORDS: [(&str, Self); 2] = [("sig", Self::Signature), ("jwt-svid", Self::JwtSvid)];

    /// Returns the use with this name in a JWK, `None` when it is none of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(known, _)| *known == name).map(|(_, key_use)| key_use)
    }

    /// Returns its name in a JWK.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "sig",
            Self::JwtSvid => "jwt-svid",
        }
    }
}

/// Registered, and not ours: no name of ours is what their author meant.
const UNSUPPORTED: [&str; 3] = ["ES512", "ES256K", "Ed448"];

pub(crate) fn read_algorithms(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Vec<Algorithm>> {
    let named = each(value, at, errors, |value, at, errors| {
        let text = string(value, at, errors)?;
        if text.starts_with("HS") || text.eq_ignore_ascii_case("none") {
            errors.add_with_help(
                at,
                format!("`{text}` is never accepted"),
                "use a public-key algorithm such as ES256: a shared secret in a proxy is a standing credential",
            );
            return None;
        }
        if UNSUPPORTED.contains(&text) {
            errors.add_with_help(
                at,
                format!("`{text}` is not supported"),
                "have the issuer sign with ES256, ES384, EdDSA or RSA, and list that",
            );
            return None;
        }
        one_of(value, at, errors, ALGORITHMS)
    })?;
    let mut algorithms = Vec::with_capacity(named.len());
    // One algorithm has two names.
    named.into_iter().for_each(|algorithm| {
        if !algorithms.contains(&algorithm) {
            algorithms.push(algorithm);
        }
    });
    Some(algorithms)
}

/// Checks one signature. A trait, for a proxy may have faster crypto than pure Rust.
pub trait VerifySignature {
    /// Is `signature` (raw, as in the JWS: r‖s for ECDSA) a signature over `message` by `key`?
    fn verify(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> bool;
}

/// Signatures in pure Rust, through `jsonwebtoken`'s RustCrypto provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct RustCrypto;

impl VerifySignature for RustCrypto {
    fn verify(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> bool {
        let (_, algorithm) = key.algorithm.jsonwebtoken();
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key.key)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

#[cfg(test)]
mod tests;
