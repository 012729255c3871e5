//! Keys that verify tokens: each bound to one algorithm when the policy loads, so that no token can choose.

mod algorithm;
mod der;
mod known_answers;
mod thumbprint;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::document::{At, Errors, Object, each, one_of, string};
use crate::primitives::limits;

pub use algorithm::UnknownAlgorithm;
pub use known_answers::{KnownAnswer, known_answers};
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

    pub(crate) fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }

    /// A key that comes with what it signs, for the one algorithm that is said there. As strict as for keys of a policy.
    pub(crate) fn embedded(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        let mut errors = Errors::default();
        Self::read(jwk, &At::ROOT, &mut errors, &[algorithm]).filter(|_| errors.is_empty())
    }

    /// Reads one JWK (RFC 7517 §4), bound to its `alg` or, without one, to the only algorithm of `accepted` that fits.
    fn read(value: &Value, at: &At<'_>, errors: &mut Errors, accepted: &[Algorithm]) -> Option<Self> {
        let members = value.as_object();
        let Some(members) = members else {
            errors.add(at, "must be a JWK: an object");
            return None;
        };
        let member = |name: &str| members.get(name).and_then(Value::as_str);
        if let Some(secret) = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().find(|name| members.contains_key(**name)) {
            errors.add_with_help(
                &at.member(secret),
                "private or symmetric key material in a policy",
                "put only the public key here, and replace this key: whoever read this file can sign with it",
            );
            return None;
        }
        if members.get("use").is_some_and(|key_use| key_use != "sig") {
            errors.add(&at.member("use"), "a key that is not for signatures (`use` must be `sig`, RFC 7517 §4.2)");
            return None;
        }
        let may_verify = |operations: &Value| operations.as_array().is_some_and(|list| list.iter().any(|op| op == "verify"));
        if members.get("key_ops").is_some_and(|operations| !may_verify(operations)) {
            errors.add(&at.member("key_ops"), "a key that may not verify (`key_ops` must hold `verify`, RFC 7517 §4.3)");
            return None;
        }
        let id = match members.get("kid") {
            None => None,
            Some(Value::String(id)) if !id.is_empty() && id.len() <= limits::KEY_ID_BYTES => Some(id.clone()),
            Some(_) => {
                errors.add(&at.member("kid"), format!("must be a string of at most {} bytes", limits::KEY_ID_BYTES));
                return None;
            }
        };
        let fitting: Vec<Algorithm> = match (member("kty"), member("crv")) {
            (Some("EC"), Some("P-256")) => vec![Algorithm::Es256],
            (Some("EC"), Some("P-384")) => vec![Algorithm::Es384],
            (Some("OKP"), Some("Ed25519")) => vec![Algorithm::EdDsa],
            (Some("RSA"), None) => Algorithm::ALL.into_iter().filter(|algorithm| algorithm.is_rsa()).collect(),
            (kind, curve) => {
                errors.add_with_help(
                    at,
                    format!("a key of kind {} cannot be used", curve.or(kind).unwrap_or("unknown")),
                    "use EC (P-256, P-384), OKP (Ed25519) or RSA keys; never `oct`: a shared secret in a proxy is a standing credential",
                );
                return None;
            }
        };
        let usable: Vec<Algorithm> = fitting.into_iter().filter(|algorithm| accepted.contains(algorithm)).collect();
        let algorithm = match (members.get("alg"), usable.as_slice()) {
            (Some(named), _) => usable.iter().copied().find(|algorithm| named == algorithm.name()),
            (None, [only]) => Some(*only),
            (None, []) => None,
            (None, _) => {
                errors.add_with_help(
                    at,
                    "an RSA key without `alg` where the issuer has several RSA algorithms",
                    "say with `alg` which one this key is for",
                );
                return None;
            }
        };
        let Some(algorithm) = algorithm else {
            errors.add_with_help(
                at,
                "the key fits none of the issuer's `algorithms`",
                "list its algorithm there, or take the key out of the set",
            );
            return None;
        };
        Self::from_material(id, algorithm, &member, at, errors)
    }

    fn from_material<'v>(
        id: Option<String>,
        algorithm: Algorithm,
        member: &impl Fn(&str) -> Option<&'v str>,
        at: &At<'_>,
        errors: &mut Errors,
    ) -> Option<Self> {
        let mut material = |name: &'static str| {
            let decoded = member(name).and_then(|text| Some((text, URL_SAFE_NO_PAD.decode(text).ok()?)));
            if decoded.is_none() {
                errors.add(&at.member(name), format!("`{name}` must be base64url without padding (RFC 7518 §6)"));
            }
            decoded
        };
        let mut digest = Sha256::new();
        digest.update(algorithm.name());
        let (key, spki) = match algorithm {
            Algorithm::Es256 | Algorithm::Es384 => {
                let ((x, x_bytes), (y, y_bytes)) = (material("x")?, material("y")?);
                let size = if algorithm == Algorithm::Es256 { 32 } else { 48 };
                if x_bytes.len() != size || y_bytes.len() != size {
                    errors.add(at, format!("`x` and `y` must be {size} bytes each (RFC 7518 §6.2.1)"));
                    return None;
                }
                digest.update(&x_bytes);
                digest.update(&y_bytes);
                let spki = der::ec_key(algorithm, &x_bytes, &y_bytes);
                (DecodingKey::from_ec_components(x, y).ok().filter(|_| spki.is_some()), spki)
            }
            Algorithm::EdDsa => {
                let (x, x_bytes) = material("x")?;
                if x_bytes.len() != 32 {
                    errors.add(at, "`x` must be 32 bytes (RFC 8037 §2)");
                    return None;
                }
                digest.update(&x_bytes);
                (DecodingKey::from_ed_components(x).ok(), None)
            }
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
                let ((_, n), (_, e)) = (material("n")?, material("e")?);
                let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
                let e: Vec<u8> = e.into_iter().skip_while(|byte| *byte == 0).collect();
                let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
                // 4096: each doubling costs a verifier four times as much, and rust's `rsa` stops there.
                if !(2048..=4096).contains(&bits) {
                    errors.add(at, format!("an RSA key of {bits} bits; 2048 to 4096 are accepted"));
                    return None;
                }
                let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
                if !odd(&n) || !odd(&e) || e == [1] || e.len() > 4 {
                    errors.add(at, "not an RSA public key: `n` and `e` must be odd, `e` from 3 to 2^32");
                    return None;
                }
                digest.update(n.len().to_be_bytes());
                digest.update(&n);
                digest.update(&e);
                let spki = der::rsa_key(&n, &e);
                (Some(DecodingKey::from_rsa_raw_components(&n, &e)).filter(|_| spki.is_some()), spki)
            }
        };
        let key = key.filter(|key| (DEFAULT_PROVIDER.verifier_factory)(&algorithm.jsonwebtoken().1, key).is_ok());
        let Some(key) = key else {
            errors.add(at, "not a public key of its kind (the point is not on the curve)");
            return None;
        };
        Some(Self { id, algorithm, fingerprint: KeyFingerprint(digest.finalize().into()), key, spki })
    }
}

/// The keys of one issuer (RFC 7517 §5). Equal when the same keys have the same names.
#[derive(Debug, PartialEq)]
pub(crate) struct KeySet(Vec<VerificationKey>);

impl KeySet {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, accepted: &[Algorithm]) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let keys = object.required("keys", "a JWK Set has a list `keys` (RFC 7517 §5)", errors, |value, at, errors| {
            each(value, at, errors, |value, at, errors| VerificationKey::read(value, at, errors, accepted))
        });
        object.finish(errors);
        let set = Self(keys?);
        if let Some(key) = set.first_twin() {
            let name = key.id.as_deref().map_or("no `kid`".to_owned(), |id| format!("`kid` {id}"));
            errors.add_with_help(at, format!("two keys with {name}"), "give each key a `kid` of its own");
        }
        Some(set)
    }

    /// Those of a published set that could stand in a document; the others are for somebody else.
    pub(crate) fn usable(keys: &[Value], accepted: &[Algorithm]) -> Self {
        let read = |key| VerificationKey::read(key, &At::ROOT, &mut Errors::default(), accepted);
        Self(keys.iter().filter_map(read).collect())
    }

    /// A key that could not be told from an earlier one.
    pub(crate) fn first_twin(&self) -> Option<&VerificationKey> {
        let keys = &self.0;
        let twins = |earlier: &VerificationKey, key: &VerificationKey| {
            earlier.id == key.id && (key.id.is_some() || earlier.algorithm == key.algorithm)
        };
        let (_, key) =
            keys.iter().enumerate().find(|(index, key)| keys.iter().take(*index).any(|earlier| twins(earlier, key)))?;
        Some(key)
    }

    /// Is this very key among them?
    pub(crate) fn has(&self, key: KeyFingerprint) -> bool {
        self.0.iter().any(|known| known.fingerprint == key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key for a token: exact `kid` and `alg`. A token without `kid` takes the only key of its algorithm.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&VerificationKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

pub(crate) fn read_algorithms(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Vec<Algorithm>> {
    each(value, at, errors, |value, at, errors| {
        let text = string(value, at, errors)?;
        if text.starts_with("HS") || text.eq_ignore_ascii_case("none") {
            errors.add_with_help(
                at,
                format!("`{text}` is never accepted"),
                "use a public-key algorithm such as ES256: a shared secret in a proxy is a standing credential",
            );
            return None;
        }
        one_of(value, at, errors, ALGORITHMS)
    })
}

/// Checks one signature. The only trait of the core: a proxy may have faster crypto than pure Rust.
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
