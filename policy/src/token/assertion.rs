//! An assertion by which the proxy shows a token endpoint who it is (RFC 7523 §2.2), signed by ES256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::json;

/// What it says (RFC 7523 §3).
pub(crate) struct Assertion<'a> {
    pub(crate) client: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) unique: [u8; 32],
    pub(crate) issued: u64,
    pub(crate) expires: u64,
}

/// Signs it with a P-256 key in PKCS #8 PEM, whose ends of lines may be written `\n`, as variables of an environment often have
/// them; `None` for another key.
pub(crate) fn sign(assertion: &Assertion<'_>, pem: &str) -> Option<String> {
    let Assertion { client, audience, key_id, unique, issued, expires } = assertion;
    let pem = pem.replace("\\n", "\n");
    let key = SigningKey::from_pkcs8_pem(pem.trim()).ok()?;
    let mut header = json!({"alg": "ES256", "typ": "JWT"});
    if let (Some(id), Some(members)) = (key_id, header.as_object_mut()) {
        members.insert("kid".to_owned(), json!(id));
    }
    let claims = json!({
        "iss": client, "sub": client, "aud": audience, "jti": URL_SAFE_NO_PAD.encode(unique), "iat": issued, "exp": expires,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature: Signature = key.sign(signed.as_bytes());
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}
