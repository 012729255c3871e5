//! A session token's outer form: a JWS in compact serialisation (RFC 7515 §7.1), taken apart strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::primitives::json;
use crate::primitives::limits;
use crate::token::keys::Algorithm;

/// A token taken apart; nothing in it is trusted yet.
pub(crate) struct Jws<'t> {
    pub(crate) header: Header,
    pub(crate) payload: Map<String, Value>,
    /// `base64url(header) "." base64url(payload)`.
    pub(crate) signed: &'t [u8],
    pub(crate) signature: Vec<u8>,
}

/// The members of a JOSE header that we use. A key in the header (`jwk`, `jku`, `x5u`, `x5c`) is never looked at.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// `None` when it is none of ours.
    pub(crate) algorithm: Option<Algorithm>,
    pub(crate) key_id: Option<String>,
    /// Lower case, without a leading `application/` (RFC 7515 §4.1.9).
    pub(crate) typ: Option<String>,
    /// Is there a `crit`? We understand no extension, so each is one too many (RFC 7515 §4.1.11).
    pub(crate) critical: bool,
}

/// The token is not a JWS in compact form, or not one that we would read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'t> Jws<'t> {
    pub(crate) fn parse(token: &'t [u8]) -> Result<Self, Malformed> {
        Self::parse_within(token, limits::TOKEN_BYTES)
    }

    /// The same for what is larger than a token.
    pub(crate) fn parse_within(token: &'t [u8], most: usize) -> Result<Self, Malformed> {
        Self::parse_with_header(token, most).map(|(jws, _)| jws)
    }

    /// The same, and all members of the header: for the one kind of token that brings its key.
    pub(crate) fn parse_with_header(token: &'t [u8], most: usize) -> Result<(Self, Map<String, Value>), Malformed> {
        if token.len() > most {
            return Err(Malformed);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed);
        };
        let signed = token.get(..header.len() + 1 + payload.len()).ok_or(Malformed)?;
        let object = |part: &[u8]| json::parse_object(&decode(part)?, limits::TOKEN_JSON_DEPTH).ok_or(Malformed);
        let members = object(header)?;
        let header = Header::read(&members)?;
        Ok((Self { header, payload: object(payload)?, signed, signature: decode(signature)? }, members))
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, Malformed> {
        let text = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Malformed),
        };
        let key_id = text("kid")?;
        if key_id.is_some_and(|id| id.len() > limits::KEY_ID_BYTES) {
            return Err(Malformed);
        }
        Ok(Self {
            algorithm: Algorithm::from_name(text("alg")?.ok_or(Malformed)?),
            key_id: key_id.map(str::to_owned),
            typ: text("typ")?.map(media_type),
            critical: members.contains_key("crit"),
        })
    }
}

/// A media type as `typ` names it, in its comparable form.
pub(crate) fn media_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").map_or(lower.clone(), str::to_owned)
}

/// Base64url without padding and without loose bits at the end, so that one token has one text.
fn decode(part: &[u8]) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str, signature: &str) -> Vec<u8> {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload)).into_bytes()
    }

    #[test]
    fn a_token_has_three_parts_of_canonical_base64url() {
        let good = token(r#"{"alg":"ES256"}"#, "{}", "AAAA");
        assert!(Jws::parse(&good).is_ok());
        let text = String::from_utf8(good).unwrap();
        for wrong in [
            "".to_owned(),
            "...".to_owned(),
            ".".repeat(1_000_000),
            format!("{text}."),
            format!("{text}.AAAA"),
            format!("{text}="),
            text.replace("AAAA", "AAAB="),
            text.replace("AAAA", "AB"), // loose bits: AA is its canonical spelling
            text.replace("AAAA", "A+/A"),
            text.replace("AAAA", "AA AA"),
            text.rsplit_once('.').unwrap().0.to_owned(),
            format!("{text}{}", "A".repeat(limits::TOKEN_BYTES)),
        ] {
            assert_eq!(Jws::parse(wrong.as_bytes()).err(), Some(Malformed), "{:.80}", wrong);
        }
    }

    #[test]
    fn headers_are_strict() {
        let parse = |header: &str| Jws::parse(&token(header, "{}", "AA")).map(|jws| jws.header);
        assert!(parse(r#"{"alg":"ES256","alg":"none"}"#).is_err());
        assert!(parse(r#"{"alg":"ES256","al\u0067":"none"}"#).is_err());
        assert!(parse(r#"{"alg":1}"#).is_err());
        assert!(parse("{}").is_err());
        assert!(parse("[]").is_err());
        assert!(parse(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(limits::KEY_ID_BYTES + 1))).is_err());
        assert_eq!(parse(r#"{"alg":"none"}"#).unwrap().algorithm, None);
        assert_eq!(parse(r#"{"alg":"es256"}"#).unwrap().algorithm, None);
        assert!(parse(r#"{"alg":"ES256","crit":[]}"#).unwrap().critical);
        assert_eq!(parse(r#"{"alg":"ES256","typ":"application/AT+jwt"}"#).unwrap().typ.as_deref(), Some("at+jwt"));
    }
}
