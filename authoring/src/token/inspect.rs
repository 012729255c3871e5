//! What a token says about itself: decoded, not verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jiff::Timestamp;
use serde_json::Value;
use std::fmt;

/// The two readable parts of a token. Nobody has checked a signature, so nothing in here is true just because it is said.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspected {
    /// The JOSE header.
    pub header: Value,
    /// The claims.
    pub claims: Value,
}

/// Why a text is no token at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAToken {
    /// A compact JWS has exactly two dots (RFC 7515 §3.1).
    Parts(usize),
    /// This part is not base64url without padding.
    Base64(&'static str),
    /// This part is not a JSON object.
    Json(&'static str),
}

impl fmt::Display for NotAToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts(found) => write!(f, "a token has three parts between dots, and this has {found}"),
            Self::Base64(part) => write!(f, "the {part} is not base64url (without padding, without stray bits)"),
            Self::Json(part) => write!(f, "the {part} is not a JSON object"),
        }
    }
}

impl std::error::Error for NotAToken {}

/// Decodes header and claims. `Bearer ` before the token and space around it are forgiven: people paste headers.
///
/// # Errors
/// When the text is not three parts of which two are base64url of JSON objects.
pub fn inspect(text: &str) -> Result<Inspected, NotAToken> {
    let text = text.trim();
    let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, _signature] = parts.as_slice() else { return Err(NotAToken::Parts(parts.len())) };
    Ok(Inspected { header: object(header, "header")?, claims: object(claims, "payload")? })
}

fn object(part: &str, name: &'static str) -> Result<Value, NotAToken> {
    let bytes = B64.decode(part).map_err(|_| NotAToken::Base64(name))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| NotAToken::Json(name))?;
    if value.is_object() { Ok(value) } else { Err(NotAToken::Json(name)) }
}

/// The claims of RFC 7519 that are times, and the words for what they did or will do.
const TIMES: [(&str, &str, &str); 4] = [
    ("iat", "issued", "issued in the future: in"),
    ("nbf", "took effect", "takes effect in"),
    ("exp", "EXPIRED", "expires in"),
    ("auth_time", "signed in", "signed in in the future: in"),
];

impl Inspected {
    /// Each time claim in words, as of `now`: `("exp", "2026-11-23T10:10:00Z, expires in 10m")`.
    #[must_use]
    pub fn times(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        TIMES.into_iter().filter_map(|(claim, past, future)| Some((claim, self.time(claim, past, future, now)?))).collect()
    }

    fn time(&self, claim: &str, past: &str, future: &str, now: Timestamp) -> Option<String> {
        let value = self.claims.get(claim)?;
        let Some(at) = value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok()) else {
            return Some(format!("{value}, which is no whole number of Unix seconds: the filter refuses it"));
        };
        // RFC 7519 §4.1.4: a token must not be accepted on or after `exp`.
        let away = at.as_second() - now.as_second();
        Some(match away {
            1.. => format!("{at}, {future} {}", span(away)),
            0 => format!("{at}, {past} just now"),
            ..0 => format!("{at}, {past} {} ago", span(-away)),
        })
    }

    /// Is it past its `exp` at `now`? `None` when `exp` is missing or no time.
    #[must_use]
    pub fn expired(&self, now: Timestamp) -> Option<bool> {
        Some(now.as_second() >= self.claims.get("exp")?.as_i64()?)
    }
}

/// `3700` as `1h 1m`: two units are enough for a human.
fn span(seconds: i64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut rest = seconds;
    let mut words = Vec::new();
    for (unit, size) in units {
        if rest >= size {
            words.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    words.truncate(2);
    words.join(" ")
}
