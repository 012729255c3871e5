//! Signatures in pure Rust against published vectors: what verifies, and every spelling of a signature that must not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Algorithm, KeySet, RustCrypto, VerifySignature as _};
use crate::document::{At, Errors};

/// The payload of RFC 7515, appendices A.2 and A.3.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn verifies(jwk: Value, algorithm: Algorithm, message: &str, signature: &str) -> bool {
    let mut errors = Errors::default();
    let keys = KeySet::read(&json!({"keys": [jwk]}), &At::ROOT, &mut errors, &[algorithm]);
    assert!(errors.is_empty(), "{}", errors.into_document_errors());
    let keys = keys.unwrap();
    let key = keys.find(None, algorithm).unwrap();
    RustCrypto.verify(key, message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
}

/// RFC 7515, appendix A.3.
fn es256(message: &str, signature: &str) -> bool {
    let jwk = json!({"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    verifies(jwk, Algorithm::Es256, message, signature)
}

#[test]
fn es256_of_rfc_7515_and_no_other_spelling_of_it() {
    let message = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}");
    assert!(es256(&message, "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"));
    // n - s for s: valid by the standard, which is why no revocation goes by a token's text.
    assert!(es256(&message, "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmU69fgrc8OPGycO0lD3tat_FoFp57SETepkeks4eL_QfA"));
    assert!(!es256(
        &message.replace("eyJpc3Mi", "eyJpc3Mj"),
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    ));
    for (what, wrong) in [
        ("empty", String::new()),
        ("r = s = 0", URL_SAFE_NO_PAD.encode([0; 64])),
        ("r = n", "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVHFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q".to_owned()),
        ("s = n", "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmX_____AAAAAP__________vOb6racXnoTzucrC_GMlUQ".to_owned()),
        ("DER", "MEUCIA7RIVN5Y2xIPC9_FVgH1AKjsigDOvl8fheBmsMWnqZlAiEAxQoH04w8cOXY8S2vCEpUgKZlkMXyk1Cajz9_ioOjVNU".to_owned()),
        ("one byte short", URL_SAFE_NO_PAD.encode([1; 63])),
        ("one byte long", URL_SAFE_NO_PAD.encode([1; 65])),
    ] {
        assert!(!es256(&message, &wrong), "{what}");
    }
}

#[test]
fn rs256_of_rfc_7515() {
    let jwk = |alg: &str| json!({"kty": "RSA", "alg": alg, "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"});
    let message = format!("eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}");
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    assert!(verifies(jwk("RS256"), Algorithm::Rs256, &message, signature));
    assert!(!verifies(jwk("RS256"), Algorithm::Rs256, &message, signature.replace("cC4h", "cC4i").as_str()));
    // The key is for one algorithm: the same signature under another is none.
    for (name, other) in [("RS384", Algorithm::Rs384), ("RS512", Algorithm::Rs512), ("PS256", Algorithm::Ps256)] {
        assert!(!verifies(jwk(name), other, &message, signature), "{name}");
    }
}

#[test]
fn eddsa_of_rfc_8037() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(verifies(jwk.clone(), Algorithm::EdDsa, message, signature));
    assert!(!verifies(jwk, Algorithm::EdDsa, &message.replace('R', "S"), signature));
}
