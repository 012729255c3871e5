//! A key set as an issuer publishes it (RFC 7517 §5).

use super::{Answer, Failure};
use crate::primitives::json;
use crate::primitives::limits;
use crate::token::keys::{Algorithm, KeySet};

/// The set in an answer, and its text.
pub(super) fn read(answer: Answer<'_>, accepted: &[Algorithm]) -> Result<(KeySet, Box<[u8]>), Failure> {
    parse(body(answer, limits::KEY_SET_BYTES)?, accepted)
}

/// The body of a response that is one: status 200 alone, a redirect is followed nowhere.
pub(super) fn body(answer: Answer<'_>, most: usize) -> Result<&[u8], Failure> {
    match answer {
        Answer::Nothing => Err(Failure::NoAnswer),
        Answer::Response { status, .. } if status != 200 => Err(Failure::Status(status)),
        Answer::Response { body, .. } if body.len() > most => Err(Failure::TooLarge),
        Answer::TooLarge => Err(Failure::TooLarge),
        Answer::Response { body, .. } => Ok(body),
    }
}

/// Keys for others are passed over, as RFC 7517 §5 has it: an issuer may publish keys for encryption beside those that we want.
pub(super) fn parse(document: &[u8], accepted: &[Algorithm]) -> Result<(KeySet, Box<[u8]>), Failure> {
    let members = json::parse_object(document, limits::KEY_SET_JSON_DEPTH).ok_or(Failure::Malformed)?;
    let keys = members.get("keys").and_then(|keys| keys.as_array()).ok_or(Failure::Malformed)?;
    if keys.len() > limits::KEY_SET_KEYS {
        return Err(Failure::TooLarge);
    }
    let set = KeySet::usable(keys, accepted);
    if set.len() == 0 {
        return Err(Failure::NoUsableKey);
    }
    if set.first_twin().is_some() {
        return Err(Failure::KeysAlike);
    }
    Ok((set, document.into()))
}
