//! What may be carried under a grant: files in, files out, and how many bytes of a request and of its response.

use serde_json::{Map, Value};

use crate::document::{At, Errors, Object, one_of, whole_number};

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
}

impl Transfers {
    /// Its rules as the document writes them.
    pub(crate) fn texts(&self) -> Vec<String> {
        let Self { uploads, downloads, max_request_bytes, max_response_bytes } = self;
        let denied = |name: &str, allowed: bool| (!allowed).then(|| format!("{name}: deny"));
        let bounded = |name: &str, most: Option<u64>| most.map(|most| format!("{name}: {most}"));
        let all = [
            denied("uploads", *uploads),
            denied("downloads", *downloads),
            bounded("max_request_bytes", *max_request_bytes),
            bounded("max_response_bytes", *max_response_bytes),
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
    object.finish(errors);
    Some(Transfers {
        uploads: uploads.unwrap_or(true),
        downloads: downloads.unwrap_or(true),
        max_request_bytes,
        max_response_bytes,
    })
}

fn is_allowed(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<bool> {
    one_of(value, at, errors, &[("deny", false), ("allow", true)])
}

/// Bytes are counted and not kept, so that any number will do but none: elsewhere a 0 often means no bound.
fn bytes(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<u64> {
    let number = whole_number(value, at, errors, "write a number of bytes, such as 65536")?;
    if number == 0 {
        errors.add_with_help(at, "0 would let no body through at all", "write 1 or more; for no bound leave the member out");
    }
    Some(number)
}
