//! Where something is fetched, as the document says it.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::document::{At, Errors, Object, duration, text};
use crate::primitives::limits;
use crate::token::keys::Accepted;

/// A place that a proxy can ask.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) cluster: String,
    pub(crate) authority: String,
    pub(crate) path: String,
}

/// Whose keys, from where, which of them: what is held of one is held for every policy that says the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeysId {
    pub(crate) issuer: Rc<str>,
    pub(crate) target: Rc<Target>,
    pub(crate) accepted: Accepted,
}

/// Whose list, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ListId {
    pub(crate) issuer: Rc<str>,
    /// As tokens name it.
    pub(crate) uri: Rc<str>,
    pub(crate) target: Rc<Target>,
}

/// The member `keys.endpoint`.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: KeysId,
    pub(crate) refresh: Duration,
    pub(crate) timeout: Duration,
}

/// `None` when it is wrong; an issuer without a name or algorithms has been reported.
pub(crate) fn read_endpoint(
    value: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    issuer: Option<&str>,
    accepted: &Accepted,
) -> Option<Endpoint> {
    if value.is_string() {
        errors.add_with_help(
            at,
            "must be an object, not a string: the proxy resolves no URL",
            "write `endpoint: {cluster: broker, authority: broker.example, path: /jwks.json}`, with a cluster that leads there",
        );
        return None;
    }
    let mut object = Object::open(value, at, errors)?;
    let cluster = object.required(
        "cluster",
        "name the proxy's cluster that leads to the issuer, such as `cluster: broker`",
        errors,
        read_cluster,
    );
    let authority = object.required("authority", "for example `authority: broker.example`", errors, read_authority);
    let path = object.required("path", "for example `path: /jwks.json`", errors, read_path);
    let refresh = object.optional("refresh", errors, |value, at, errors| between(value, at, errors, (10, "10s"), (86_400, "1d")));
    let timeout = object.optional("timeout", errors, read_timeout);
    object.finish(errors);
    Some(Endpoint {
        id: KeysId {
            issuer: issuer?.into(),
            target: Rc::new(Target { cluster: cluster?, authority: authority?, path: path? }),
            accepted: accepted.clone(),
        },
        refresh: refresh.unwrap_or(limits::KEYS_REFRESH),
        timeout: timeout.unwrap_or(limits::FETCH_TIMEOUT),
    })
}

fn read_timeout(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Duration> {
    between(value, at, errors, (1, "1s"), (30, "30s"))
}

pub(crate) fn between(
    value: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    (least, from): (u64, &str),
    (most, to): (u64, &str),
) -> Option<Duration> {
    let seconds = duration(value, at, errors)?;
    if !(least..=most).contains(&seconds) {
        errors.add_with_help(
            at,
            format!("must be from {from} to {to}"),
            format!("write `{from}`, `{to}` or what is between them"),
        );
        return None;
    }
    Some(Duration::from_secs(seconds))
}

pub(crate) fn read_cluster(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "write the cluster's name as the proxy's configuration has it, such as `broker`";
    let text = text(value, at, errors, HELP)?;
    if text.len() > limits::IDENTIFIER_BYTES || !is_visible(text) {
        let message = format!("must be at most {} visible ASCII characters", limits::IDENTIFIER_BYTES);
        errors.add_with_help(at, message, HELP);
        return None;
    }
    Some(text.to_owned())
}

pub(crate) fn read_authority(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "write a host, with a port where it needs one: `broker.example`";
    let text = text(value, at, errors, HELP)?;
    if !is_authority(text) {
        errors.add_with_help(at, format!("`{text}` is no host with an optional port"), HELP);
        return None;
    }
    Some(text.to_owned())
}

pub(crate) fn read_path(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "begin it with `/`, and percent-encode `#` and what is not visible ASCII: `/jwks.json`";
    let text = text(value, at, errors, HELP)?;
    if !is_path(text) {
        errors.add_with_help(at, format!("`{text}` is no path"), HELP);
        return None;
    }
    Some(text.to_owned())
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A host, perhaps with a port (RFC 3986 §3.2), without user information.
pub(crate) fn is_authority(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !text.is_empty() && text.len() <= limits::IDENTIFIER_BYTES && text.bytes().all(good)
}

/// A path, perhaps with a query (RFC 9112 §3.2.1).
pub(crate) fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= limits::PATH_BYTES && is_visible(text) && !text.contains('#')
}
