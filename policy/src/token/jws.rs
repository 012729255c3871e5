//! A session token's outer form: a JWS in compact serialisation (RFC 7515 §7.1), taken apart strictly.

use std::fmt;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memchr_iter;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Bytes, and how many there may be.
    TooLong(usize, usize),
    /// Not three parts.
    Parts,
    /// The part is not in base64url, unpadded and without loose bits.
    Base64(&'static str),
    /// The part is no JSON object, has a member twice, or is nested too deeply.
    Json(&'static str),
    /// The member of the header is missing, no text, or too long.
    Member(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes, most) => write!(f, "it has {bytes} bytes, more than the {most} of `limits.token_bytes`"),
            Self::Parts => f.write_str("it has not the three parts of a compact JWS (RFC 7515 §7.1)"),
            Self::Base64(part) => write!(f, "its {part} is not base64url without padding (RFC 7515 §2)"),
            Self::Json(part) => {
                write!(f, "its {part} is no JSON object with each member once, at most {} deep", limits::TOKEN_JSON_DEPTH)
            }
            Self::Member(name) => {
                write!(f, "`{name}` of its header is missing, no text, or longer than {} bytes", limits::KEY_ID_BYTES)
            }
        }
    }
}

impl<'t> Jws<'t> {
    /// Takes a token apart that has at most so many bytes.
    pub(crate) fn parse_within(token: &'t [u8], most: usize) -> Result<Self, Malformed> {
        Self::parse_with_header(token, most).map(|(jws, _)| jws)
    }

    /// The same, and all members of the header: for the one kind of token that brings its key.
    pub(crate) fn parse_with_header(token: &'t [u8], most: usize) -> Result<(Self, Map<String, Value>), Malformed> {
        if token.len() > most {
            return Err(Malformed::TooLong(token.len(), most));
        }
        let mut dots = memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else { return Err(Malformed::Parts) };
        let part = |range: Range<usize>| token.get(range).ok_or(Malformed::Parts);
        let (header, payload, signature) = (part(0..first)?, part(first + 1..second)?, part(second + 1..token.len())?);
        let signed = part(0..second)?;
        let object = |part: &[u8], name: &'static str| {
            json::parse_object(&decode(part, name)?, limits::TOKEN_JSON_DEPTH).ok_or(Malformed::Json(name))
        };
        let members = object(header, "header")?;
        let header = Header::read(&members)?;
        let (payload, signature) = (object(payload, "payload")?, decode(signature, "signature")?);
        Ok((Self { header, payload, signed, signature }, members))
    }
}

impl Header {
    fn read(members: &Map<String, Value>) -> Result<Self, Malformed> {
        let text = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(Malformed::Member(name)),
        };
        let key_id = text("kid")?;
        if key_id.is_some_and(|id| id.len() > limits::KEY_ID_BYTES) {
            return Err(Malformed::Member("kid"));
        }
        Ok(Self {
            algorithm: Algorithm::from_name(text("alg")?.ok_or(Malformed::Member("alg"))?),
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
fn decode(part: &[u8], name: &'static str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed::Base64(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str, payload: &str, signature: &str) -> Vec<u8> {
        format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload)).into_bytes()
    }

    fn parse(token: &[u8]) -> Result<Jws<'_>, Malformed> {
        Jws::parse_within(token, limits::TOKEN_BYTES)
    }

    #[test]
    fn a_token_has_three_parts_of_canonical_base64url() {
        let good = token(r#"{"alg":"ES256"}"#, "{}", "AAAA");
        assert!(parse(&good).is_ok());
        let text = String::from_utf8(good).unwrap();
        let long = format!("{text}{}", "A".repeat(limits::TOKEN_BYTES));
        for (wrong, fault) in [
            ("".to_owned(), Malformed::Parts),
            ("...".to_owned(), Malformed::Parts),
            (".".repeat(1_000_000), Malformed::TooLong(1_000_000, limits::TOKEN_BYTES)),
            (format!("{text}."), Malformed::Parts),
            (format!("{text}.AAAA"), Malformed::Parts),
            (format!("{text}="), Malformed::Base64("signature")),
            (text.replace("AAAA", "AAAB="), Malformed::Base64("signature")),
            (text.replace("AAAA", "AB"), Malformed::Base64("signature")), // loose bits: AA is its canonical spelling
            (text.replace("AAAA", "A+/A"), Malformed::Base64("signature")),
            (text.replace("AAAA", "AA AA"), Malformed::Base64("signature")),
            (text.rsplit_once('.').unwrap().0.to_owned(), Malformed::Parts),
            (format!("=.{text}").rsplit_once('.').unwrap().0.to_owned(), Malformed::Base64("header")),
            (long.clone(), Malformed::TooLong(long.len(), limits::TOKEN_BYTES)),
        ] {
            assert_eq!(parse(wrong.as_bytes()).err(), Some(fault), "{:.80}", wrong);
        }
    }

    #[test]
    fn headers_are_strict() {
        let parse = |header: &str| parse(&token(header, "{}", "AA")).map(|jws| jws.header);
        let fault = |header: &str| parse(header).err().unwrap();
        assert_eq!(fault(r#"{"alg":"ES256","alg":"none"}"#), Malformed::Json("header"));
        assert_eq!(fault(r#"{"alg":"ES256","al\u0067":"none"}"#), Malformed::Json("header"));
        assert_eq!(fault(r#"{"alg":1}"#), Malformed::Member("alg"));
        assert_eq!(fault("{}"), Malformed::Member("alg"));
        assert_eq!(fault("[]"), Malformed::Json("header"));
        let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(limits::KEY_ID_BYTES + 1));
        assert_eq!(fault(&long), Malformed::Member("kid"));
        assert_eq!(parse(r#"{"alg":"none"}"#).unwrap().algorithm, None);
        assert_eq!(parse(r#"{"alg":"es256"}"#).unwrap().algorithm, None);
        assert!(parse(r#"{"alg":"ES256","crit":[]}"#).unwrap().critical);
        assert_eq!(parse(r#"{"alg":"ES256","typ":"application/AT+jwt"}"#).unwrap().typ.as_deref(), Some("at+jwt"));
    }
}
