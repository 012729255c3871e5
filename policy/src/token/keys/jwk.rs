//! One JWK (RFC 7517 §4), read for the one algorithm that it may verify.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Accepted, Algorithm, KeyFingerprint, KeyUse, VerificationKey, der, roca};
use crate::primitives::limits;

/// Why a JWK is not taken. Its text never has anything of the key in it but names: `kty`, `crv`, `use`, `alg`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyFault {
    /// The member at fault; `None` for the key as a whole.
    pub(crate) member: Option<&'static str>,
    pub(crate) text: Cow<'static, str>,
    pub(crate) help: Option<Cow<'static, str>>,
    /// It is a key, but for another purpose or for somebody else: sets have such beside ours (RFC 7517 §5).
    pub(crate) foreign: bool,
}

impl KeyFault {
    fn of(member: Option<&'static str>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { member, text: text.into(), help: None, foreign: false }
    }

    fn in_member(member: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::of(Some(member), text)
    }

    fn whole(text: impl Into<Cow<'static, str>>) -> Self {
        Self::of(None, text)
    }

    fn help(self, help: impl Into<Cow<'static, str>>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    fn foreign(self) -> Self {
        Self { foreign: true, ..self }
    }

    /// Two keys by one name, so that neither is.
    pub(super) fn ambiguous(algorithm: Algorithm) -> Self {
        Self::in_member("kid", format!("another key for {algorithm} has the same `kid`")).help("give each key a `kid` of its own")
    }

    pub(super) fn never_tried(algorithm: Algorithm) -> Self {
        Self::whole(format!("more than {} keys for {algorithm} have no `kid`, and this one is never tried", limits::KEY_TRIALS))
            .help("give each key a `kid` of its own")
    }

    pub(super) fn one_too_many() -> Self {
        Self::whole(format!("more than {} keys", limits::KEY_SET_KEYS)).help("publish those alone that sign now, or soon")
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a key for the algorithm of its `alg` or, without one, for the only algorithm of `accepted` that fits. Members that mean
/// nothing for its type are nobody's business (RFC 7517 §4).
pub(super) fn read(value: &Value, accepted: &Accepted) -> Result<VerificationKey, KeyFault> {
    let members = value.as_object().ok_or_else(|| {
        KeyFault::whole("must be a JWK: an object with each member once").help("write the key as an object: `{kty: …}`")
    })?;
    if let Some(secret) = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().find(|name| members.contains_key(**name)) {
        return Err(KeyFault::in_member(secret, "private or symmetric key material")
            .help("put only the public key here, and replace this key: whoever read this can sign with it"));
    }
    is_for_signatures(members, accepted.key_use)?;
    let id = match members.get("kid") {
        None => None,
        Some(Value::String(id)) if !id.is_empty() && id.len() <= limits::KEY_ID_BYTES => Some(id.clone()),
        Some(Value::Number(_)) => {
            return Err(KeyFault::in_member("kid", "must be a string, not a number").help("put it in quotes"));
        }
        Some(_) => {
            let text = format!("must be a string of 1 to {} bytes", limits::KEY_ID_BYTES);
            return Err(KeyFault::in_member("kid", text).help("use the key's thumbprint (RFC 7638), or leave `kid` out"));
        }
    };
    let algorithm = algorithm(members, &accepted.algorithms)?;
    let (fingerprint, key, spki) = material(members, algorithm)?;
    Ok(VerificationKey { id, algorithm, fingerprint, key, spki })
}

/// Said only of sets in which no key is left, so that to take it out would not do.
const ANOTHER_PURPOSE: &str = "put a key in its place that the issuer signs with";

fn is_for_signatures(members: &Map<String, Value>, wanted: KeyUse) -> Result<(), KeyFault> {
    let key_use = members.get("use");
    let is_wanted = |key_use: &Value| key_use == wanted.name();
    let fits = match wanted {
        KeyUse::Signature => key_use.is_none_or(is_wanted),
        // SPIFFE-ID §6.1 (JWT-SVID): `use` must be there, and tells these keys from the X.509 authorities of the bundle.
        KeyUse::JwtSvid => key_use.is_some_and(is_wanted),
    };
    if !fits {
        let named = key_use.map_or("missing".to_owned(), |key_use| key_use.as_str().unwrap_or("no text").to_owned());
        let fault = match (wanted, &*named) {
            (KeyUse::Signature, "jwt-svid") => KeyFault::in_member("use", "`use` is `jwt-svid`, as in a SPIFFE bundle")
                .help("write `use: jwt-svid` in `keys` for an issuer whose set is a SPIFFE bundle"),
            (KeyUse::Signature, _) => KeyFault::in_member("use", format!("`use` is `{named}`, not `sig` (RFC 7517 §4.2)"))
                .help(ANOTHER_PURPOSE),
            (KeyUse::JwtSvid, _) => KeyFault::of(key_use.map(|_| "use"), format!("`use` is {named}, not `jwt-svid`"))
                .help("put a key with `use: jwt-svid` in its place or, where the set is no SPIFFE bundle, take `use: jwt-svid` out of `keys`"),
        };
        return Err(fault.foreign());
    }
    let may_verify = |operations: &Value| operations.as_array().is_some_and(|list| list.iter().any(|op| op == "verify"));
    if members.get("key_ops").is_some_and(|operations| !may_verify(operations)) {
        return Err(KeyFault::in_member("key_ops", "`key_ops` does not hold `verify` (RFC 7517 §4.3)")
            .help(ANOTHER_PURPOSE)
            .foreign());
    }
    Ok(())
}

/// The one algorithm that the key is for.
fn algorithm(members: &Map<String, Value>, accepted: &[Algorithm]) -> Result<Algorithm, KeyFault> {
    let member = |name: &str| members.get(name).and_then(Value::as_str);
    let fits = |algorithm: Algorithm| match (member("kty"), member("crv")) {
        (Some("EC"), Some("P-256")) => algorithm == Algorithm::Es256,
        (Some("EC"), Some("P-384")) => algorithm == Algorithm::Es384,
        (Some("OKP"), Some("Ed25519")) => algorithm == Algorithm::EdDsa,
        (Some("RSA"), _) => algorithm.is_rsa(),
        _ => false,
    };
    if !Algorithm::ALL.into_iter().any(fits) {
        let kind = match (member("kty"), member("crv")) {
            (Some(kind @ ("EC" | "OKP")), Some(curve)) => format!("{kind} with `crv` {curve}"),
            (Some(kind @ ("EC" | "OKP")), None) => format!("{kind} without `crv`"),
            (kind, _) => kind.unwrap_or("none").to_owned(),
        };
        let help = "put an EC (P-256, P-384), OKP (Ed25519) or RSA key in its place; never `oct`: a shared secret in a proxy is a standing credential";
        return Err(KeyFault::whole(format!("a key of kind {kind} cannot be used")).help(help).foreign());
    }
    let fitting = || Algorithm::ALL.into_iter().filter(|algorithm| fits(*algorithm));
    let mut usable = accepted.iter().copied().filter(|algorithm| fits(*algorithm));
    if let Some(named) = members.get("alg") {
        let known = named.as_str().and_then(Algorithm::from_name).filter(|algorithm| fits(*algorithm));
        return known.filter(|algorithm| accepted.contains(algorithm)).ok_or_else(|| {
            let named = named.as_str().unwrap_or("(no text)");
            let meant = Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(named));
            let help = match (known, meant, usable.next()) {
                (Some(known), ..) => format!("list `{known}` under `algorithms`, or put a key of another algorithm in its place"),
                (None, Some(meant), _) if named != meant.name() => format!("names are case-sensitive: write `{meant}`"),
                (None, Some(_), Some(_)) => {
                    "write the `alg` of its kind that is listed under `algorithms`, or leave `alg` out".to_owned()
                }
                (None, Some(_), None) => {
                    format!("leave `alg` out, and list under `algorithms` what the key is for: {}", names(fitting()))
                }
                // For encryption, or of an algorithm that nobody here knows.
                (None, None, _) => "put a key in its place that the issuer signs with".to_owned(),
            };
            let text = format!("its `alg` {named} is none of the issuer's `algorithms` that fit it");
            KeyFault::in_member("alg", text).help(help).foreign()
        });
    }
    match (usable.next(), usable.next()) {
        (None, _) => Err(KeyFault::whole("it fits none of the issuer's `algorithms`")
            .help(format!("list there what the key is for: {}", names(fitting())))
            .foreign()),
        (Some(only), None) => Ok(only),
        (Some(one), Some(other)) => {
            Err(KeyFault::whole(format!("it has no `alg`, and the issuer has {one} and {other} that fit it"))
                .help("list the one algorithm that the issuer signs with, or say with `alg` which one this key is for"))
        }
    }
}

/// `ES256`, or `RS256` or one of its like.
fn names(algorithms: impl Iterator<Item = Algorithm>) -> String {
    algorithms.map(|algorithm| format!("`{algorithm}`")).collect::<Vec<_>>().join(" or ")
}

type Material = (KeyFingerprint, DecodingKey, Option<Vec<u8>>);

fn material(members: &Map<String, Value>, algorithm: Algorithm) -> Result<Material, KeyFault> {
    let decode = |name: &'static str| {
        let text = members.get(name).and_then(Value::as_str).unwrap_or_default();
        let fault = || {
            let text = format!("`{name}` must be base64url without padding (RFC 7518 §6)");
            KeyFault::in_member(name, text)
                .help("copy it as the issuer publishes it, with `-` and `_`, and without `=` at the end")
        };
        URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty()).map(|bytes| (text, bytes)).ok_or_else(fault)
    };
    let mut digest = Sha256::new();
    digest.update(algorithm.name());
    let (key, spki) = match algorithm {
        Algorithm::Es256 | Algorithm::Es384 => {
            let ((x, x_bytes), (y, y_bytes)) = (decode("x")?, decode("y")?);
            let size = if algorithm == Algorithm::Es256 { 32 } else { 48 };
            if x_bytes.len() != size || y_bytes.len() != size {
                return Err(KeyFault::whole(format!("`x` and `y` must be {size} bytes each (RFC 7518 §6.2.1)"))
                    .help("copy both as the issuer publishes them"));
            }
            digest.update(&x_bytes);
            digest.update(&y_bytes);
            let spki = der::ec_key(algorithm, &x_bytes, &y_bytes);
            (DecodingKey::from_ec_components(x, y).ok().filter(|_| spki.is_some()), spki)
        }
        Algorithm::EdDsa => {
            let (x, x_bytes) = decode("x")?;
            if x_bytes.len() != 32 {
                return Err(
                    KeyFault::in_member("x", "`x` must be 32 bytes (RFC 8037 §2)").help("copy it as the issuer publishes it")
                );
            }
            digest.update(&x_bytes);
            (DecodingKey::from_ed_components(x).ok(), None)
        }
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
            let ((_, n), (_, e)) = (decode("n")?, decode("e")?);
            let n: Vec<u8> = n.into_iter().skip_while(|byte| *byte == 0).collect();
            let e: Vec<u8> = e.into_iter().skip_while(|byte| *byte == 0).collect();
            is_strong(&n, &e)?;
            digest.update(n.len().to_be_bytes());
            digest.update(&n);
            digest.update(&e);
            let spki = der::rsa_key(&n, &e);
            (Some(DecodingKey::from_rsa_raw_components(&n, &e)).filter(|_| spki.is_some()), spki)
        }
    };
    let key = key.filter(|key| (DEFAULT_PROVIDER.verifier_factory)(&algorithm.jsonwebtoken().1, key).is_ok());
    let key = key.ok_or_else(|| {
        KeyFault::whole("not a public key of its kind (the point is not on the curve)").help("copy it as the issuer publishes it")
    })?;
    Ok((KeyFingerprint(digest.finalize().into()), key, spki))
}

/// Refuses RSA keys that anybody could sign with, or that cost too much. `n` and `e` are big-endian without leading zeros.
fn is_strong(n: &[u8], e: &[u8]) -> Result<(), KeyFault> {
    const REPLACE: &str = "have the issuer make a new key: RSA of 2048 bits or more, or ES256";
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    // 4096: each doubling costs a verifier four times as much, and rust's `rsa` stops there.
    if !(2048..=4096).contains(&bits) {
        let text = format!("an RSA key of {bits} bits; 2048 to 4096 are accepted");
        return Err(KeyFault::in_member("n", text).help("have the issuer sign with a key of such a size, or with ES256"));
    }
    let odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
    if !odd(n) {
        return Err(KeyFault::in_member("n", "an even modulus: two is one of its factors").help(REPLACE));
    }
    if !odd(e) || e == [1] || e.len() > 4 {
        return Err(KeyFault::in_member("e", "the exponent must be odd, and from 3 to 2^32").help(REPLACE));
    }
    if roca::has_fingerprint(n) {
        let text = "a modulus with the ROCA fingerprint (CVE-2017-15361): it can be factored";
        return Err(KeyFault::in_member("n", text).help(REPLACE));
    }
    Ok(())
}

/// The public exponent is below 65537, where a padding that is checked loosely elsewhere is forged.
pub(super) fn has_small_exponent(value: &Value) -> bool {
    let e = value.get("e").and_then(Value::as_str).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).unwrap_or_default();
    let exponent = e.iter().fold(0_u64, |number, byte| (number << 8 | u64::from(*byte)).min(1 << 40));
    value.get("kty").is_some_and(|kind| kind == "RSA") && exponent < 65_537
}
