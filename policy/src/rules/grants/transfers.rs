//! What may be carried under a grant: files in, files out, and how many bytes of a request, of its response, and of a session in all.

use serde_json::{Map, Value};

use super::RuleId;
use crate::document::{At, Errors, Object, one_of, whole_number};
use crate::primitives::digest::{beginning, hash};
use crate::primitives::limits;

/// The member `transfers` of a grant. A grant without one says nothing of what is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfers {
    /// May a request's body be a file?
    pub(crate) uploads: bool,
    /// May a response be a file?
    pub(crate) downloads: bool,
    /// Most bytes of a request's body, and of what a caller sends after an upgrade.
    pub(crate) max_request_bytes: Option<u64>,
    /// Most bytes of a response's body, and of what a target sends after an upgrade.
    pub(crate) max_response_bytes: Option<u64>,
    /// The same of all requests and responses of a session.
    pub(crate) session: Option<SessionBytes>,
}

/// How many bytes a session may move under one grant, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionBytes {
    /// What they are counted under.
    pub(crate) rule: RuleId,
    pub(crate) request: Option<u64>,
    pub(crate) response: Option<u64>,
}

impl Transfers {
    /// Names what is counted: by the policy and the grant, so that another bound goes on with what has been counted.
    pub(super) fn identify(&mut self, policy: &str, grant: &str) {
        if let Some(session) = &mut self.session {
            session.rule = beginning(&hash(&[b"bytes", policy.as_bytes(), grant.as_bytes()]));
        }
    }

    /// Its rules as the document writes them.
    pub(crate) fn texts(&self) -> Vec<String> {
        let Self { uploads, downloads, max_request_bytes, max_response_bytes, session } = self;
        let denied = |name: &str, allowed: bool| (!allowed).then(|| format!("{name}: deny"));
        let bounded = |name: &str, most: Option<u64>| most.map(|most| format!("{name}: {most}"));
        let all = [
            denied("uploads", *uploads),
            denied("downloads", *downloads),
            bounded("max_request_bytes", *max_request_bytes),
            bounded("max_response_bytes", *max_response_bytes),
            bounded("max_session_request_bytes", session.and_then(|session| session.request)),
            bounded("max_session_response_bytes", session.and_then(|session| session.response)),
        ];
        all.into_iter().flatten().collect()
    }
}

pub(super) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Transfers> {
    let mut object = Object::open(value, at, errors)?;
    if value.as_object().is_some_and(Map::is_empty) {
        let help = "write what is not to be carried, such as `{uploads: deny}`, or a bound, such as `{max_request_bytes: 65536}`";
        errors.add_with_help(at, "an empty `transfers` forbids nothing", help);
    }
    let uploads = object.optional("uploads", errors, is_allowed);
    let downloads = object.optional("downloads", errors, is_allowed);
    let max_request_bytes = object.optional("max_request_bytes", errors, bytes);
    let max_response_bytes = object.optional("max_response_bytes", errors, bytes);
    let request = object.optional("max_session_request_bytes", errors, session_bytes);
    let response = object.optional("max_session_response_bytes", errors, session_bytes);
    let session = SessionBytes { rule: RuleId::default(), request, response };
    object.finish(errors);
    Some(Transfers {
        uploads: uploads.unwrap_or(true),
        downloads: downloads.unwrap_or(true),
        max_request_bytes,
        max_response_bytes,
        session: Some(session).filter(|session| session.request.is_some() || session.response.is_some()),
    })
}

fn is_allowed(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<bool> {
    one_of(value, at, errors, &[("deny", false), ("allow", true)])
}

/// A total is kept among what workers share, in so many bits.
fn session_bytes(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<u64> {
    let number = bytes(value, at, errors)?;
    if number > limits::SESSION_BYTES {
        errors.add_with_help(
            at,
            "a total of so many bytes cannot be kept",
            "write less than 2^48; for no bound leave the member out",
        );
    }
    Some(number)
}

/// Bytes are counted and not kept, so that any number will do but none: elsewhere a 0 often means no bound.
fn bytes(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<u64> {
    let number = whole_number(value, at, errors, "write a number of bytes, such as 65536")?;
    if number == 0 {
        errors.add_with_help(at, "0 would let no body through at all", "write 1 or more; for no bound leave the member out");
    }
    Some(number)
}
