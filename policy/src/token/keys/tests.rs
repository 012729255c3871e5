//! Signatures in pure Rust against published vectors: what verifies, and every spelling of a signature that must not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Accepted, Algorithm, KeySet, KeyUse, KnownAnswer, RustCrypto, VerifySignature as _, known_answers};
use crate::document::{At, Errors};

/// The payload of RFC 7515, appendices A.2 and A.3.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

fn accepted(algorithms: &[Algorithm]) -> Accepted {
    Accepted { algorithms: algorithms.into(), key_use: KeyUse::Signature }
}

fn verifies(jwk: Value, algorithm: Algorithm, message: &str, signature: &str) -> bool {
    let mut errors = Errors::default();
    let keys = KeySet::read(&json!({"keys": [jwk]}), &At::ROOT, &mut errors, &accepted(&[algorithm]));
    assert!(errors.is_empty(), "{}", errors.into_document_errors());
    let keys = keys.unwrap();
    let key = keys.candidates(None, algorithm).next().unwrap();
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

#[test]
fn known_answers_hold_until_a_bit_changes() {
    let answers = known_answers();
    assert_eq!(answers.iter().map(|known| known.key.algorithm()).collect::<Vec<_>>(), [Algorithm::Es256, Algorithm::Rs256]);
    for KnownAnswer { key, message, signature } in answers {
        assert!(RustCrypto.verify(&key, message, &signature));
        let mut forged = signature.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert!(!RustCrypto.verify(&key, message, &forged));
        assert!(!RustCrypto.verify(&key, &message[1..], &signature));
    }
}

/// What OpenSSL makes of the same numbers.
#[test]
fn keys_in_der_are_as_openssl_writes_them() {
    let spki = known_answers().iter().map(|known| URL_SAFE_NO_PAD.encode(known.key.spki().unwrap())).collect::<Vec<_>>();
    let [ec, rsa] = spki.try_into().unwrap();
    assert_eq!(
        ec,
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3-257rn0s2ldbqkLJK2KRiMohYjlrQ"
    );
    assert_eq!(
        rsa,
        "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB"
    );
}

#[test]
fn a_signature_is_der_only_if_it_is_one() {
    let raw = known_answers()[0].signature.clone();
    let der = Algorithm::Es256.signature_der(&raw).map(|der| URL_SAFE_NO_PAD.encode(der));
    assert_eq!(
        der.as_deref(),
        Some("MEUCIA7RIVN5Y2xIPC9_FVgH1AKjsigDOvl8fheBmsMWnqZlAiEAxQoH04w8cOXY8S2vCEpUgKZlkMXyk1Cajz9_ioOjVNU")
    );
    // Small numbers are short in DER, and have no leading zeros.
    let small = [&[0; 47][..], &[0x7f], &[0; 47], &[0x80]].concat();
    assert_eq!(Algorithm::Es384.signature_der(&small).unwrap()[..], [0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80]);
    for (size, algorithm) in [(32, Algorithm::Es256), (48, Algorithm::Es384)] {
        let (zero, one, most) = (vec![0; size], [&vec![0; size - 1][..], &[1]].concat(), vec![0xff; size]);
        assert!(algorithm.signature_der(&[&one[..], &one].concat()).is_some());
        for (r, s) in [(&zero, &one), (&one, &zero), (&most, &one), (&one, &most)] {
            assert_eq!(algorithm.signature_der(&[&r[..], s].concat()), None);
        }
        assert_eq!(algorithm.signature_der(&vec![1; 2 * size - 1]), None);
        assert_eq!(algorithm.signature_der(&vec![1; 2 * size + 1]), None);
        assert_eq!(algorithm.signature_der(&[]), None);
    }
    assert_eq!(Algorithm::Rs256.signature_der(&[0; 3]).as_deref(), Some(&[0; 3][..]));
}
