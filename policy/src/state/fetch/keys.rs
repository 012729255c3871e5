//! A key set as an issuer publishes it (RFC 7517 §5).

use super::{Answer, Failure};
use crate::primitives::json;
use crate::primitives::limits;
use crate::token::keys::{Accepted, DroppedKey, KeySet};

/// What an answer says of an issuer's keys.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) set: KeySet,
    /// What of it is not taken, and why.
    pub(super) dropped: Vec<DroppedKey>,
    /// As it came: another policy may take other keys of the same set.
    pub(super) document: Box<[u8]>,
}

/// The set in an answer.
pub(super) fn read(answer: Answer<'_>, accepted: &Accepted) -> Result<Published, Failure> {
    parse(body(answer, limits::KEY_SET_BYTES)?, accepted)
}

/// The body of a response that is one: status 200 alone, a redirect is followed nowhere.
pub(in crate::state) fn body(answer: Answer<'_>, most: usize) -> Result<&[u8], Failure> {
    match answer {
        Answer::Nothing => Err(Failure::NoAnswer),
        Answer::Response { status, .. } if status != 200 => Err(Failure::Status(status)),
        Answer::Response { body, .. } if body.len() > most => Err(Failure::TooLarge),
        Answer::TooLarge => Err(Failure::TooLarge),
        Answer::Response { body, .. } => Ok(body),
    }
}

/// What is a key set is believed, though no key in it may be of use: a key that the issuer does not publish any more is no
/// key of his.
pub(super) fn parse(document: &[u8], accepted: &Accepted) -> Result<Published, Failure> {
    let keys = json::parse_items(document, "keys", limits::KEY_JSON_DEPTH).ok_or(Failure::Malformed)?;
    let (set, dropped) = KeySet::sort_out(&keys, accepted);
    Ok(Published { set, dropped, document: document.into() })
}
