//! The member `limits` of a policy: how much of a worker anybody may have.

use std::fmt::Display;

use serde_json::Value;

use crate::document::{At, Errors, Object, whole_number};
use crate::primitives::limits;

/// What a policy lets callers have at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowances {
    /// Signature checks a second.
    pub(crate) verifications_per_second: u32,
    /// Exchanges of one session under way.
    pub(crate) streams_per_session: u32,
    /// Exchanges under way that need no session.
    pub(crate) unmediated_streams: u32,
    /// Bytes of a token.
    pub(crate) token_bytes: usize,
    /// Bytes of a body in which a command is looked for.
    pub(crate) body_bytes: usize,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            verifications_per_second: limits::VERIFICATIONS_PER_SECOND,
            streams_per_session: limits::STREAMS_PER_SESSION,
            unmediated_streams: limits::UNMEDIATED_STREAMS,
            token_bytes: limits::TOKEN_BYTES,
            body_bytes: limits::BODY_BYTES,
        }
    }
}

impl Allowances {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let default = Self::default();
        let mut number = |name, most, default| {
            let number = object.optional(name, errors, |value, at, errors| read_number(value, at, errors, most));
            number.unwrap_or(default)
        };
        let verifications_per_second =
            number("verifications_per_second", limits::VERIFICATIONS_MOST, default.verifications_per_second);
        let streams_per_session = number("streams_per_session", limits::STREAMS_MOST, default.streams_per_session);
        let unmediated_streams = number("unmediated_streams", limits::STREAMS_MOST, default.unmediated_streams);
        let token_bytes = object
            .optional("token_bytes", errors, |value, at, errors| read_number(value, at, errors, limits::TOKEN_BYTES_MOST))
            .unwrap_or(default.token_bytes);
        let body_bytes = object
            .optional("body_bytes", errors, |value, at, errors| read_number(value, at, errors, limits::BODY_BYTES_MOST))
            .unwrap_or(default.body_bytes);
        object.finish(errors);
        Some(Self { verifications_per_second, streams_per_session, unmediated_streams, token_bytes, body_bytes })
    }
}

fn read_number<N: TryFrom<u64> + PartialOrd + From<u8> + Display>(
    value: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    most: N,
) -> Option<N> {
    let help = format!("write a whole number from 1 to {most}, or leave it out for the default");
    let number = whole_number(value, at, errors, &help)?;
    let fitting = N::try_from(number).ok().filter(|number| (N::from(1)..=most).contains(number));
    if fitting.is_none() {
        errors.add_with_help(at, "out of range", help);
    }
    fitting
}
