//! Compact JWS (RFC 7515 §3.1): right ones, and wrong ones on purpose for tests.

use super::TestKey;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::rust_crypto::DEFAULT_PROVIDER};
use serde_json::{Value, json};

/// The `typ` of a token that nobody gave another.
pub(super) const DEFAULT_TYPE: &str = "session+jwt";

impl TestKey {
    /// A signed token. The header is `{alg, kid, typ: session+jwt}` overlaid with `header`, in which `null` removes a
    /// member: changing `alg` there changes what the token says, not how it is signed.
    #[must_use]
    pub fn sign(&self, header: Value, claims: Value) -> String {
        self.sign_claims(header, claims.to_string().as_bytes())
    }

    /// Like [`TestKey::sign`], but the payload is taken byte by byte: duplicate members and `1e400` survive.
    #[must_use]
    pub fn sign_claims(&self, header: Value, payload: &[u8]) -> String {
        let mut whole = json!({"alg": self.alg().name(), "kid": self.kid(), "typ": DEFAULT_TYPE});
        overlay(&mut whole, header);
        self.sign_raw(whole.to_string().as_bytes(), payload)
    }

    /// Signs exactly these header and payload bytes, whatever they are.
    #[must_use]
    pub fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let input = signing_input(header, payload);
        // A signature was made when the key was, so this one is too; were it not, an empty one is refused by everybody.
        let signature = self.try_signature(input.as_bytes()).unwrap_or_default();
        join(&input, &signature)
    }

    pub(super) fn try_signature(&self, input: &[u8]) -> Result<Vec<u8>, jsonwebtoken::errors::Error> {
        // Named, not the process's default: a test that installs another provider for verifying still signs with this.
        let signer = (DEFAULT_PROVIDER.signer_factory)(&self.alg.into(), &self.encoding)?;
        signer.try_sign(input).map_err(|_| jsonwebtoken::errors::ErrorKind::Signing(String::new()).into())
    }
}

/// A token signed with HS256 and this secret: what algorithm confusion sends, with a public key for a secret.
#[must_use]
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let mut whole = json!({"alg": "HS256", "typ": DEFAULT_TYPE});
    overlay(&mut whole, header.clone());
    let input = signing_input(whole.to_string().as_bytes(), claims.to_string().as_bytes());
    let signature = (DEFAULT_PROVIDER.signer_factory)(&Algorithm::HS256, &EncodingKey::from_secret(secret))
        .ok()
        .and_then(|signer| signer.try_sign(input.as_bytes()).ok())
        .unwrap_or_default();
    join(&input, &signature)
}

/// A token with an empty signature (RFC 7519 §6), or with this text for one.
#[must_use]
pub fn unsigned(header: &Value, claims: &Value, signature: &str) -> String {
    format!("{}.{signature}", signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes()))
}

fn signing_input(header: &[u8], payload: &[u8]) -> String {
    format!("{}.{}", B64.encode(header), B64.encode(payload))
}

fn join(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", B64.encode(signature))
}

/// Puts the members of `top` over those of `base`, one level deep; `null` removes.
pub(super) fn overlay(base: &mut Value, top: Value) {
    let (Value::Object(base), Value::Object(top)) = (base, top) else { return };
    for (name, value) in top {
        if value.is_null() {
            base.remove(&name);
        } else {
            base.insert(name, value);
        }
    }
}
