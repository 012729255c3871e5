//! An assertion by which the proxy shows a token endpoint who it is (RFC 7523 §2.2), signed by ES256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};

/// What it says (RFC 7523 §3).
pub(crate) struct Assertion<'a> {
    pub(crate) client: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) unique: [u8; 32],
    pub(crate) issued: u64,
    pub(crate) expires: u64,
}

/// Signs it with a P-256 key in PKCS #8 PEM (RFC 5958, RFC 7468 §10), whose ends of lines may be written `\n`, as variables of an
/// environment often have them; `None` for another key.
pub(crate) fn sign(assertion: &Assertion<'_>, pem: &str) -> Option<String> {
    let Assertion { client, audience, key_id, unique, issued, expires } = assertion;
    let key = SigningKey::from_pkcs8_pem(&pem.replace("\\n", "\n")).ok()?;
    let mut header = json!({"alg": "ES256", "typ": "JWT"});
    if let (Some(id), Some(members)) = (key_id, header.as_object_mut()) {
        members.insert("kid".to_owned(), json!(id));
    }
    let claims = json!({
        "iss": client, "sub": client, "aud": audience, "jti": URL_SAFE_NO_PAD.encode(unique), "iat": issued, "exp": expires,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature: Signature = key.sign(signed.as_bytes());
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;
    use p256::pkcs8::{EncodePrivateKey as _, LineEnding};

    use super::*;

    const ASSERTION: Assertion<'_> =
        Assertion { client: "c", audience: "a", key_id: Some("k"), unique: [7; 32], issued: 1000, expires: 1060 };

    #[test]
    fn what_is_signed_is_what_is_said() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        for pem in [pem.to_string(), pem.trim().replace('\n', "\\n"), pem.replace('\n', "\r\n")] {
            let text = sign(&ASSERTION, &pem).unwrap();
            let (signed, signature) = text.rsplit_once('.').unwrap();
            let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            VerifyingKey::from(&key).verify(signed.as_bytes(), &signature).unwrap();
            let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
            let (header, claims) = signed.split_once('.').unwrap();
            assert_eq!(part(header), json!({"alg": "ES256", "typ": "JWT", "kid": "k"}));
            let unique = URL_SAFE_NO_PAD.encode([7; 32]);
            assert_eq!(part(claims), json!({"iss": "c", "sub": "c", "aud": "a", "jti": unique, "iat": 1000, "exp": 1060}));
        }
    }

    #[test]
    fn another_key_signs_nothing() {
        let p384 = p384::SecretKey::from_slice(&[7; 48]).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
        let public = "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----";
        for wrong in ["", "x", &p384, public, "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"] {
            assert_eq!(sign(&ASSERTION, wrong), None);
        }
    }
}
