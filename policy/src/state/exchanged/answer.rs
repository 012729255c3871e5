//! What the endpoint answered (RFC 6749 §5.1, RFC 8693 §2.2.1), read strictly: what is given to a target must be for it, must be a
//! header's value, and must have an end.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::request::{ACCESS_TOKEN, JWT};
use crate::primitives::digest::hash;
use crate::primitives::json;
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::rules::credential::{Grant, TokenExchange};
use crate::state::fetch::{Answer, Failure, body};
use crate::token::claims::NumericDate;
use crate::token::jws::Jws;

/// A token, and until when it is given to requests, in Unix seconds.
pub(super) struct Issued {
    pub(super) token: Rc<str>,
    pub(super) until: u64,
}

/// `asked_with`: the digest of the session's own token.
pub(super) fn read(
    answer: Answer<'_>,
    exchange: &TokenExchange,
    asked_with: &[u8; 32],
    latest: Timestamp,
) -> Result<Issued, Failure> {
    let body = body(answer, limits::EXCHANGE_ANSWER_BYTES)?;
    let members = json::parse_object(body, limits::TOKEN_JSON_DEPTH).ok_or(Failure::Malformed)?;
    if members.contains_key("error") {
        return Err(Failure::Malformed);
    }
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let token = text("access_token").ok_or(Failure::Malformed)?;
    if token.is_empty() || token.len() > limits::EXCHANGED_TOKEN_BYTES || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::TokenUnusable);
    }
    // The session's own token is for the proxy, and for nobody behind it.
    if hash(&[token.as_bytes()]) == *asked_with {
        return Err(Failure::TokenUnusable);
    }
    let is_bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
    let is_access = match exchange.grant {
        Grant::TokenExchange => text("issued_token_type").is_some_and(|kind| kind == ACCESS_TOKEN || kind == JWT),
        Grant::JwtBearer => true,
    };
    if !is_bearer || !is_access {
        return Err(Failure::WrongType);
    }
    let now = latest.seconds();
    let lives = members.get("expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 0).ok_or(Failure::NoEnd)?;
    let mut ends = now.saturating_add(lives);
    match Jws::parse_within(token.as_bytes(), limits::EXCHANGED_TOKEN_BYTES) {
        Ok(Jws { payload, .. }) => {
            if let Some(audience) = &exchange.audience
                && !is_for(&payload, audience)
            {
                return Err(Failure::AnotherAudience);
            }
            if let Some(end) = payload.get("exp") {
                ends = ends.min(NumericDate::read(end).ok_or(Failure::Malformed)?.down);
            }
        }
        // One that others may read, and we cannot.
        Err(_) if has_jose_header(token) => return Err(Failure::TokenUnusable),
        // Whatever it is, it is the target's to read.
        Err(_) => {}
    }
    let life = ends.checked_sub(now).filter(|life| *life > 0).ok_or(Failure::Expired)?;
    Ok(Issued { token: token.into(), until: ends - limits::EXCHANGED_MARGIN.min(life / 10) })
}

/// Does it begin as a JWT does (RFC 7519 §3), with a JSON object?
fn has_jose_header(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    token.contains('.') && header.is_some_and(|header| header.trim_ascii_start().starts_with(b"{"))
}

/// Does the token say (RFC 7519 §4.1.3) that it is for them?
fn is_for(payload: &Map<String, Value>, audience: &str) -> bool {
    match payload.get("aud") {
        None => false,
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        Some(one) => one == audience,
    }
}
