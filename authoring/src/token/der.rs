//! From key material to the DER that the signer takes, and back to JWK members.

use super::{KeyError, TestKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use chaperone_policy::{Algorithm, thumbprint};
use jsonwebtoken::{EncodingKey, crypto::rust_crypto::DEFAULT_PROVIDER, jwk::EllipticCurve};
use rsa::{
    BigUint, RsaPrivateKey,
    pkcs1::EncodeRsaPrivateKey,
    rand_core::OsRng,
    traits::{PrivateKeyParts, PublicKeyParts},
};
use serde_json::{Map, Value, json};

/// PKCS #8 (RFC 5208) around a SEC 1 private key (RFC 5915) on P-256; the 32 bytes of `d` follow.
const P256: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
    0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
];
/// The same on P-384; the 48 bytes of `d` follow.
const P384: [u8; 32] = [
    0x30, 0x4e, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
    0x00, 0x22, 0x04, 0x37, 0x30, 0x35, 0x02, 0x01, 0x01, 0x04, 0x30,
];
/// PKCS #8 around an Ed25519 seed (RFC 8410); its 32 bytes follow.
const ED25519: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The least that RFC 7518 §3.3 allows, and what a test key needs.
const RSA_BITS: usize = 2048;

pub(super) fn generate(alg: Algorithm) -> Result<TestKey, KeyError> {
    match alg {
        Algorithm::Es256 => random_scalar::<32>(alg),
        Algorithm::Es384 => random_scalar::<48>(alg),
        Algorithm::EdDsa => random_scalar::<32>(alg),
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
            let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(|_| KeyError::NoRandomness)?;
            from_rsa(alg, &key)
        }
    }
}

/// Random bytes are a valid scalar on P-256 but for one in 2^32, and on P-384 far rarer: draw again.
fn random_scalar<const N: usize>(alg: Algorithm) -> Result<TestKey, KeyError> {
    loop {
        let mut d = [0; N];
        getrandom::fill(&mut d).map_err(|_| KeyError::NoRandomness)?;
        match from_scalar(alg, &d) {
            Err(KeyError::Invalid) => {}
            done => return done,
        }
    }
}

/// A key from the private scalar (or the Ed25519 seed) of its curve.
pub(super) fn from_scalar(alg: Algorithm, d: &[u8]) -> Result<TestKey, KeyError> {
    let utils = &DEFAULT_PROVIDER.key_utils;
    let (prefix, size): (&[u8], _) = match alg {
        Algorithm::Es256 => (&P256, 32),
        Algorithm::Es384 => (&P384, 48),
        Algorithm::EdDsa => (&ED25519, 32),
        Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {
            return Err(KeyError::UnknownKind);
        }
    };
    if d.len() != size {
        return Err(KeyError::Member("d"));
    }
    let der = [prefix, d].concat();
    let mut public = Map::new();
    let encoding = if alg == Algorithm::EdDsa {
        let x = (utils.ed_pub_components_from_private_key)(&der, &EllipticCurve::Ed25519).map_err(|_| KeyError::Invalid)?;
        public.insert("kty".to_owned(), json!("OKP"));
        public.insert("crv".to_owned(), json!("Ed25519"));
        public.insert("x".to_owned(), json!(B64.encode(x)));
        EncodingKey::from_ed_der(&der)
    } else {
        let (_, x, y) = (utils.ec_pub_components_from_private_key)(&der, alg.into()).map_err(|_| KeyError::Invalid)?;
        public.insert("kty".to_owned(), json!("EC"));
        public.insert("crv".to_owned(), json!(if alg == Algorithm::Es256 { "P-256" } else { "P-384" }));
        public.insert("x".to_owned(), json!(B64.encode(x)));
        public.insert("y".to_owned(), json!(B64.encode(y)));
        EncodingKey::from_ec_der(&der)
    };
    finish(alg, public, [("d".to_owned(), json!(B64.encode(d)))].into_iter().collect(), encoding)
}

/// A key from RSA primes; refused when they do not make the modulus, or when it is shorter than RFC 7518 allows.
pub(super) fn from_rsa_parts(alg: Algorithm, n: &[u8], e: &[u8], d: &[u8], primes: &[Vec<u8>]) -> Result<TestKey, KeyError> {
    let big = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
    let primes = primes.iter().map(|prime| big(prime)).collect();
    let key = RsaPrivateKey::from_components(big(n), big(e), big(d), primes).map_err(|_| KeyError::Invalid)?;
    key.validate().map_err(|_| KeyError::Invalid)?;
    if key.n().bits() < RSA_BITS {
        return Err(KeyError::Invalid);
    }
    from_rsa(alg, &key)
}

fn from_rsa(alg: Algorithm, key: &RsaPrivateKey) -> Result<TestKey, KeyError> {
    let number = |n: &BigUint| json!(B64.encode(n.to_bytes_be()));
    let public = [("kty", json!("RSA")), ("n", number(key.n())), ("e", number(key.e()))];
    let mut private = vec![("d", number(key.d()))];
    if let [p, q] = key.primes() {
        private.extend([("p", number(p)), ("q", number(q))]);
        // RFC 7518 §6.3.2: with one of dp, dq and qi, all of them.
        if let (Some(dp), Some(dq), Some(qi)) = (key.dp(), key.dq(), key.crt_coefficient()) {
            private.extend([("dp", number(dp)), ("dq", number(dq)), ("qi", number(&qi))]);
        }
    }
    let der = key.to_pkcs1_der().map_err(|_| KeyError::Invalid)?;
    finish(alg, members(public), members(private), EncodingKey::from_rsa_der(der.as_bytes()))
}

fn members(list: impl IntoIterator<Item = (&'static str, Value)>) -> Map<String, Value> {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn finish(
    alg: Algorithm,
    public: Map<String, Value>,
    private: Map<String, Value>,
    encoding: EncodingKey,
) -> Result<TestKey, KeyError> {
    let kid = B64.encode(thumbprint(&public).ok_or(KeyError::UnknownKind)?);
    let key = TestKey { alg, kid, public, private, encoding };
    // One signature now, so that `sign` need not be able to fail later.
    key.try_signature(b"").map_err(|_| KeyError::Invalid)?;
    Ok(key)
}
