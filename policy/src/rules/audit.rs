//! `audit`: in which form the target is told who asks, and who tells the record where from.

use serde_json::Value;

use crate::document::{At, Errors, Object, one_of, text};

/// What `audit` says, but for the prefix.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Audit {
    pub(crate) headers: AuditHeaders,
    pub(crate) source: SourceTeller,
}

/// How the target is told what is known of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AuditHeaders {
    /// A field for each thing.
    #[default]
    Separate,
    /// One field for all: each field that is set is a call of the proxy.
    Combined,
}

/// Who writes down where a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SourceTeller {
    /// The record has it.
    #[default]
    Filter,
    /// The proxy's access log has it beside the record: asking the proxy for it is a call.
    Proxy,
}

impl Audit {
    /// Reads `audit`: that, and the prefix.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<(Self, Option<String>)> {
        let mut object = Object::open(value, at, errors)?;
        let prefix = object.optional("header_prefix", errors, read_prefix);
        let headers = object.optional("headers", errors, |value, at, errors| {
            one_of(value, at, errors, &[("separate", AuditHeaders::Separate), ("combined", AuditHeaders::Combined)])
        });
        let source = object.optional("source", errors, |value, at, errors| {
            one_of(value, at, errors, &[("filter", SourceTeller::Filter), ("proxy", SourceTeller::Proxy)])
        });
        object.finish(errors);
        Some((Self { headers: headers.unwrap_or_default(), source: source.unwrap_or_default() }, prefix))
    }
}

fn read_prefix(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "write a prefix such as `x-orders-`: 4 to 32 lower-case letters, digits and `-`, from `x-` to `-`";
    let text = text(value, at, errors, HELP)?;
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.starts_with("x-") || !text.ends_with('-') || !(4..=32).contains(&text.len()) || !text.bytes().all(good) {
        // Every request loses what begins with it: a short or common prefix would take other people's headers.
        errors.add_with_help(at, format!("`{text}` cannot be the prefix"), HELP);
        return None;
    }
    if ["x-forwarded-", "x-envoy-", "x-request-"].iter().any(|taken| text.starts_with(taken) || taken.starts_with(text)) {
        errors.add_with_help(at, format!("`{text}` belongs to the proxy"), "write a prefix of your own, such as `x-orders-`");
        return None;
    }
    Some(text.to_owned())
}
