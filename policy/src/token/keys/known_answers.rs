//! Published signatures to try a verifier on before it is trusted: RFC 7515, appendices A.2 and A.3.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Algorithm, VerificationKey};

/// A good signature. With any byte of the message or the signature changed it is a bad one.
#[derive(Debug)]
pub struct KnownAnswer {
    /// The key that verifies it.
    pub key: VerificationKey,
    /// What is signed.
    pub message: &'static [u8],
    /// The signature, raw as in the JWS.
    pub signature: Vec<u8>,
}

struct Published {
    algorithm: Algorithm,
    jwk: &'static str,
    jws: &'static str,
}

const PUBLISHED: [Published; 2] = [
    Published {
        algorithm: Algorithm::Es256,
        jwk: r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        jws: "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    },
    Published {
        algorithm: Algorithm::Rs256,
        jwk: r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
        jws: "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    },
];

/// Returns one known answer for ES256 and one for RS256. Their keys are read as a policy's are.
#[must_use]
pub fn known_answers() -> Vec<KnownAnswer> {
    PUBLISHED.iter().filter_map(KnownAnswer::read).collect()
}

impl KnownAnswer {
    fn read(published: &'static Published) -> Option<Self> {
        let jwk = serde_json::from_str(published.jwk).ok()?;
        let key = VerificationKey::embedded(&jwk, published.algorithm)?;
        let (message, signature) = published.jws.rsplit_once('.')?;
        Some(Self { key, message: message.as_bytes(), signature: URL_SAFE_NO_PAD.decode(signature).ok()? })
    }
}
