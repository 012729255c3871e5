//! What a key is called by its own material (RFC 7638; RFC 8037 §2 for OKP).

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The RFC 7638 thumbprint of a JWK is SHA-256 over the members that make the key, in their one spelling. `None` is for a JWK
/// that lacks one of them, or is of another kind than EC, OKP and RSA.
#[must_use]
pub fn thumbprint(jwk: &Map<String, Value>) -> Option<[u8; 32]> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    let names: &[&str] = match member("kty")? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut text = String::with_capacity(256);
    for name in names {
        text.push_str(if text.is_empty() { "{\"" } else { ",\"" });
        text.push_str(name);
        text.push_str("\":");
        crate::primitives::json::push_string(member(name)?, &mut text);
    }
    text.push('}');
    Some(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn of(jwk: &Value) -> Option<String> {
        Some(URL_SAFE_NO_PAD.encode(thumbprint(jwk.as_object().unwrap())?))
    }

    #[test]
    fn published_thumbprints() {
        // RFC 7638 §3.1.
        let rsa = json!({"kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(of(&rsa).as_deref(), Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"));
        // RFC 8037, appendix A.3.
        let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(of(&okp).as_deref(), Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"));
        // RFC 9449 §4.1 and §6.1: the proof's key and the token's `jkt`.
        let ec = json!({"kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        assert_eq!(of(&ec).as_deref(), Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
    }

    #[test]
    fn what_makes_no_key_has_no_thumbprint() {
        assert_eq!(of(&json!({})), None);
        assert_eq!(of(&json!({"kty": "oct", "k": "AA"})), None);
        assert_eq!(of(&json!({"kty": "EC", "crv": "P-256", "x": "AA"})), None);
        assert_eq!(of(&json!({"kty": "OKP", "crv": 1, "x": "AA"})), None);
    }
}
