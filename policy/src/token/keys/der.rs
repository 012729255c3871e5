//! Keys and signatures in the DER that most crypto libraries take, where JOSE has forms of its own.

use std::borrow::Cow;

use rsa::pkcs8::EncodePublicKey;
use rsa::{BigUint, RsaPublicKey};

use super::Algorithm;

/// A P-256 or P-384 key by its coordinates; `None` when the point is not on the curve.
pub(super) fn ec_key(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    // SEC 1 §2.3.3: an uncompressed point.
    let point = [&[4], x, y].concat();
    if algorithm == Algorithm::Es256 {
        spki(&p256::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?)
    } else {
        spki(&p384::ecdsa::VerifyingKey::from_sec1_bytes(&point).ok()?)
    }
}

/// An RSA key by modulus and exponent, big-endian.
pub(super) fn rsa_key(n: &[u8], e: &[u8]) -> Option<Vec<u8>> {
    spki(&RsaPublicKey::new(BigUint::from_bytes_be(n), BigUint::from_bytes_be(e)).ok()?)
}

fn spki(key: &impl EncodePublicKey) -> Option<Vec<u8>> {
    Some(key.to_public_key_der().ok()?.into_vec())
}

impl Algorithm {
    /// Writes a signature of a JWS as X.509 would: ECDSA's r‖s (RFC 7518 §3.4) as a DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3),
    /// all others as they are. `None` when it is none, whatever the key: r or s missing, zero, or not below the curve's order.
    #[must_use]
    pub fn signature_der(self, raw: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Es256 => Some(p256::ecdsa::Signature::from_slice(raw).ok()?.to_der().as_bytes().to_vec().into()),
            Self::Es384 => Some(p384::ecdsa::Signature::from_slice(raw).ok()?.to_der().as_bytes().to_vec().into()),
            Self::EdDsa | Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => Some(raw.into()),
        }
    }
}
