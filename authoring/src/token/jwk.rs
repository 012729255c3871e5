//! Private JWKs (RFC 7517, RFC 7518 §6, RFC 8037) as `token keygen` writes them, and as others do.

use super::{KeyError, TestKey, der};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use chaperone_policy::Algorithm;
use serde_json::Value;

impl TestKey {
    /// Reads a private JWK. Its `alg` and `kid` are kept; without `alg` the curve says it, and RSA means RS256.
    ///
    /// # Errors
    /// When it is public only, incomplete, of an unknown kind, or no valid key.
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let text = |name: &'static str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &'static str| {
            text(name).and_then(|value| B64.decode(value).ok()).filter(|b| !b.is_empty()).ok_or(KeyError::Member(name))
        };
        let kind = text("kty").ok_or(KeyError::Member("kty"))?;
        let named = match text("alg") {
            Some(name) => Some(name.parse::<Algorithm>().map_err(|_| KeyError::UnknownKind)?),
            None => None,
        };
        if jwk.get("d").is_none() {
            return Err(KeyError::PublicOnly);
        }
        let mut key = match (kind, text("crv"), named) {
            ("EC", Some("P-256"), None | Some(Algorithm::Es256)) => der::from_scalar(Algorithm::Es256, &bytes("d")?)?,
            ("EC", Some("P-384"), None | Some(Algorithm::Es384)) => der::from_scalar(Algorithm::Es384, &bytes("d")?)?,
            ("OKP", Some("Ed25519"), None | Some(Algorithm::EdDsa)) => der::from_scalar(Algorithm::EdDsa, &bytes("d")?)?,
            ("RSA", _, alg) => {
                let alg = alg.unwrap_or(Algorithm::Rs256);
                if matches!(alg, Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa) {
                    return Err(KeyError::UnknownKind);
                }
                der::from_rsa_parts(alg, &bytes("n")?, &bytes("e")?, &bytes("d")?, &[bytes("p")?, bytes("q")?])?
            }
            _ => return Err(KeyError::UnknownKind),
        };
        // A public half that does not belong to the private one would publish a key that verifies nothing.
        if key.public.iter().any(|(name, value)| jwk.get(name).is_some_and(|given| given != value)) {
            return Err(KeyError::Invalid);
        }
        if let Some(kid) = text("kid") {
            kid.clone_into(&mut key.kid);
        }
        Ok(key)
    }
}
