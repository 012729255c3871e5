//! The published signatures of RFC 7515, RFC 8037's key, and what Envoy answers about everything that is not quite them.

use super::*;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use rsa::pkcs8::{
    EncodePublicKey, LineEnding,
    der::pem::{self},
};

const P256: &str =
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3-257rn0s2ldbqkLJK2KRiMohYjlrQ";
const RSA: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQIDAQAB";
const ED: &str = "MCowBQYDK2VwAyEA11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const TEXT: [&str; 2] = [
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
];
const ES256: &str = "MEUCIA7RIVN5Y2xIPC9_FVgH1AKjsigDOvl8fheBmsMWnqZlAiEAxQoH04w8cOXY8S2vCEpUgKZlkMXyk1Cajz9_ioOjVNU";
const ES256_RAW: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RS256: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn bytes(text: &str) -> Vec<u8> {
    B64.decode(text).unwrap()
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    [&[number << 3 | 2, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8], value].concat()
}

fn arguments(hash: &str, key: &[u8], signature: &[u8], text: &str) -> Vec<u8> {
    [field(1, hash.as_bytes()), field(2, key), field(3, signature), field(4, text.as_bytes())].concat()
}

/// `Ok` with the error that the answer carries, empty when it says `true`.
fn ask(arguments: &[u8]) -> Result<String, Status> {
    let answer = verify_signature(arguments)?;
    if answer == [8, 1] {
        return Ok(String::new());
    }
    assert_eq!(answer[..2], [0x12, u8::try_from(answer.len() - 2).unwrap()]);
    Ok(String::from_utf8(answer[2..].to_vec()).unwrap())
}

const WRONG: &str = "Failed to verify digest. Error code: 0";

#[test]
fn published_signatures_hold_and_no_others() {
    let [ec_text, rsa_text] = TEXT;
    for hash in ["sha256", "SHA256"] {
        assert_eq!(ask(&arguments(hash, &bytes(P256), &bytes(ES256), ec_text)), Ok(String::new()));
        assert_eq!(ask(&arguments(hash, &bytes(RSA), &bytes(RS256), rsa_text)), Ok(String::new()));
    }
    for (what, arguments) in [
        ("another text", arguments("sha256", &bytes(P256), &bytes(ES256), rsa_text)),
        ("r and s as in a JWS", arguments("sha256", &bytes(P256), &bytes(ES256_RAW), ec_text)),
        ("no signature", arguments("sha256", &bytes(P256), &[], ec_text)),
        ("another hash", arguments("sha384", &bytes(P256), &bytes(ES256), ec_text)),
        ("another hash", arguments("sha1", &bytes(RSA), &bytes(RS256), rsa_text)),
        ("another key", arguments("sha256", &bytes(RSA), &bytes(ES256), ec_text)),
        ("a byte missing", arguments("sha256", &bytes(RSA), &bytes(RS256)[1..], rsa_text)),
    ] {
        assert_eq!(ask(&arguments).as_deref(), Ok(WRONG), "{what}");
    }
}

#[test]
fn what_envoy_cannot_do_is_answered_in_its_words() {
    let [ec_text, _] = TEXT;
    let (key, signature) = (bytes(P256), bytes(ES256));
    assert_eq!(ask(&arguments("sha512-256", &key, &signature, ec_text)).unwrap(), "sha512-256 is not supported.");
    assert_eq!(ask(&arguments("", &key, &signature, ec_text)).unwrap(), " is not supported.");
    assert_eq!(ask(&arguments("sha512", &bytes(ED), &[7; 64], ec_text)).unwrap(), "Failed to initialize digest verify.");
    // As in BoringSSL, what comes after the key does not matter.
    assert_eq!(ask(&arguments("sha256", &[&key[..], b"more"].concat(), &signature, ec_text)).unwrap(), "");
    for (what, key) in [
        ("none", Vec::new()),
        ("half", key[..60].to_vec()),
        ("no point of the curve", [&key[..90], &[key[90] ^ 1]].concat()),
        ("text", b"a key".to_vec()),
    ] {
        assert_eq!(ask(&arguments("sha256", &key, &signature, ec_text)), Err(Status::BadArgument), "{what}");
    }
}

#[test]
fn there_is_exactly_one_key_and_it_may_be_pem() {
    let (key, signature, text) = (bytes(P256), bytes(ES256), TEXT[0]);
    let pem = p256::PublicKey::try_from(SubjectPublicKeyInfoRef::try_from(&key[..]).unwrap()).unwrap();
    let pem = pem.to_public_key_pem(LineEnding::LF).unwrap();
    assert_eq!(pem::decode_vec(pem.as_bytes()).unwrap().0, "PUBLIC KEY");
    let with_pem = |key: &[u8]| [arguments("sha256", key, &signature, text), field(5, pem.as_bytes())].concat();
    assert_eq!(ask(&with_pem(&[])).unwrap(), "");
    assert_eq!(ask(&with_pem(&key)), Err(Status::BadArgument));
}

#[test]
fn protobuf_is_read_as_protobuf() {
    let good = arguments("sha256", &bytes(P256), &bytes(ES256), TEXT[0]);
    // Unknown fields of each wire type, and a field that is said again: the last one counts.
    let more = [&[0x30, 0xff, 0x01][..], &[0x39, 1, 2, 3, 4, 5, 6, 7, 8], &[0x45, 1, 2, 3, 4], &field(9, b"x")].concat();
    assert_eq!(ask(&[&field(1, b"md5")[..], &good, &more].concat()).unwrap(), "");
    assert_eq!(ask(&[&good[..], &field(1, b"md5")].concat()).unwrap(), "md5 is not supported.");
    for (what, bad) in [
        ("cut", good[..good.len() - 1].to_vec()),
        ("a length beyond the end", [&good[..], &[0x4a, 5]].concat()),
        ("no end of a number", [&good[..], &[0xff; 11]].concat()),
        ("field 0", [&good[..], &[2, 0]].concat()),
        ("text that is none", [&good[..], &field(1, b"\xff")].concat()),
        ("nothing", Vec::new()),
    ] {
        assert_eq!(ask(&bad), Err(Status::BadArgument), "{what}");
    }
}

#[test]
fn what_was_answered_is_answered_again_and_only_about_the_same_bytes() {
    let [text, other] = TEXT;
    let (good, bad) =
        (arguments("sha256", &bytes(P256), &bytes(ES256), text), arguments("sha256", &bytes(P256), &bytes(ES256), other));
    for _ in 0..3 {
        assert_eq!((ask(&good), ask(&bad)), (Ok(String::new()), Ok(WRONG.to_owned())));
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut remembered = Remembered::default();
    for number in 0..3 * REMEMBERED as u64 {
        let mut asked = [0; 32];
        asked[..8].copy_from_slice(&number.to_le_bytes());
        remembered.keep(asked, vec![8, 1]);
        assert!(remembered.0.len() <= REMEMBERED);
        assert!(remembered.0.contains_key(&asked));
    }
    remembered.keep([255; 32], vec![0; REMEMBERED_BYTES + 1]);
    assert!(!remembered.0.contains_key(&[255; 32]));
}
