//! An assertion by which the proxy shows a token endpoint who it is (RFC 7523 §2.2), signed by ES256.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
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

/// Signs it with a P-256 key in PKCS #8 PEM, whose ends of lines may be written `\n`, as variables of an environment often have
/// them; `None` for another key.
pub(crate) fn sign(assertion: &Assertion<'_>, pem: &str) -> Option<String> {
    let Assertion { client, audience, key_id, unique, issued, expires } = assertion;
    let key = SigningKey::from_slice(&secret_of(pem)?).ok()?;
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

/// The secret scalar of a `PrivateKeyInfo` (RFC 5208 §5) for `id-ecPublicKey` and `prime256v1` (RFC 5480 §2.1.1), with an
/// `ECPrivateKey` (RFC 5915 §3) in it. DER writes all of this in one way up to the scalar, and what follows it (the public key) the
/// scalar says as well: a reader of any DER would be a tenth of the filter's signing code, and accept nothing more.
fn secret_of(pem: &str) -> Option<Vec<u8>> {
    const ALGORITHM: [u8; 24] = [
        0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
        0x3d, 0x03, 0x01, 0x07,
    ];
    const VERSION: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    let text = pem.replace("\\n", "\n");
    let text = text.trim().strip_prefix("-----BEGIN PRIVATE KEY-----")?.strip_suffix("-----END PRIVATE KEY-----")?;
    let lines: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(lines).ok()?;
    let info = contents(0x30, &der)?.strip_prefix(&ALGORITHM)?;
    let key = contents(0x30, contents(0x04, info)?)?.strip_prefix(&VERSION)?;
    key.get(..32).map(<[u8]>::to_vec)
}

/// What is in the element of this tag that the bytes begin with (X.690 §8.1.3), of less than 256 bytes.
fn contents(tag: u8, der: &[u8]) -> Option<&[u8]> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [0x81, length @ 0x80..=0xff, rest @ ..] | [length @ 0..=0x7f, rest @ ..] => (*length, rest),
        _ => return None,
    };
    rest.get(..usize::from(length))
}

#[cfg(test)]
mod tests {
    use p256::pkcs8::{EncodePrivateKey as _, LineEnding};

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_no_other_is() {
        for seed in 1..=64_u8 {
            let key = SigningKey::from_slice(&[seed; 32]).unwrap();
            let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
            assert_eq!(secret_of(&pem), Some(vec![seed; 32]));
        }
        let of = |der: &[u8]| format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", STANDARD.encode(der));
        let der = SigningKey::from_slice(&[7; 32]).unwrap().to_pkcs8_der().unwrap();
        let der = der.as_bytes();
        assert!(secret_of(&of(der)).is_some());
        // Cut anywhere, or with any of its bytes before the scalar changed.
        let before = der.windows(32).position(|part| part == [7; 32]).unwrap();
        assert!((0..der.len()).all(|length| secret_of(&of(&der[..length])).is_none()));
        for place in 0..before {
            let mut other = der.to_vec();
            other[place] ^= 1;
            // A length that is one shorter ends within what follows the scalar.
            let is_length = [2, 29, 31].contains(&place) && other[place] < der[place];
            assert!(secret_of(&of(&other)).is_none() || is_length, "{place}");
        }
        for wrong in [
            "",
            "x",
            "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----",
        ] {
            assert_eq!(secret_of(wrong), None);
        }
        let p384 = p384::SecretKey::from_slice(&[7; 48]).unwrap().to_pkcs8_pem(LineEnding::LF).unwrap();
        assert_eq!(secret_of(&p384), None);
    }
}
