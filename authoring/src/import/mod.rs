//! What people have, as lines of `replay`'s input or as a draft of `commands`: a proxy's access logs, the filter's records, HAR
//! files, OpenAPI documents.
//!
//! What comes out holds no token, cookie, key, body or query, whatever went in: a log is passed on more freely than what it is
//! about. What is left out is counted, with the reason.

mod claims;
mod envoy_log;
mod har;
mod openapi;
mod records;
mod stream;
mod summary;
mod wrong_kind;

pub use claims::{EachLine, OfPolicy};
pub use envoy_log::envoy_log;
pub use har::har;
pub use openapi::{Command, Draft, Operations};
pub use records::{Records, records};
pub use stream::{Framing, each_value};
pub use summary::{Group, LeftOut, Note, Summary};
pub use wrong_kind::{WrongKind, recognise};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// A request as `replay` reads it: the members of [`crate::recorded::Line`] that a log can know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drawn {
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The host, with its port where one was named.
    pub authority: String,
    /// `http` or `https`; `None` when the log does not say, which `replay` takes for `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Fields that are known and no secret.
    pub headers: Vec<(String, String)>,
    /// What the session's token said, as far as it is known; `None` for a request without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Value>,
    /// When the request came; `None` when the log does not say.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "instant")]
    pub at: Option<Timestamp>,
    /// From where; `None` when the log does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// What of the request is not in it. For the summary.
    #[serde(skip)]
    pub notes: Vec<Note>,
}

fn instant<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&at.unwrap_or_default())
}

/// What one entry of a log comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A request.
    Request(Box<Drawn>),
    /// None that could be replayed.
    LeftOut(LeftOut),
}

impl Drawn {
    /// A request without fields and claims. What may be a secret is left out, and that is noted: the path's query; what follows a
    /// `#`, which is a token after a login (RFC 6749 §4.2.2); and a name and password before `@`. What makes the filter refuse
    /// such a request stays.
    fn new(method: String, target: &str, authority: String) -> Self {
        let (path, query) = target.split_once('?').map_or((target, false), |(path, _)| (path, true));
        let mut notes = if query { vec![Note::Query] } else { Vec::new() };
        let (bare, bare_authority) = (without_secrets(path), without_password(&authority));
        if bare != path || bare_authority != authority {
            notes.push(Note::Secret);
        }
        Self {
            method,
            path: bare,
            authority: bare_authority,
            scheme: None,
            headers: Vec::new(),
            claims: None,
            at: None,
            source_address: None,
            notes,
        }
    }
}

fn without_secrets(path: &str) -> String {
    // A client that sends a fragment is refused for the `#`.
    let path = path.split_inclusive('#').next().unwrap_or_default();
    // A proxy is sent a whole URL (RFC 9112 §3.2.2).
    if let Some((scheme, rest)) = path.split_once("://") {
        let (authority, rest) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
        return format!("{scheme}://{}{rest}", without_password(authority));
    }
    path.to_owned()
}

fn without_password(authority: &str) -> String {
    authority.rsplit_once('@').map_or_else(|| authority.to_owned(), |(_, host)| format!("-@{host}"))
}

/// A text of a log; `None` when it stands for nothing.
fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !matches!(*text, "" | "-"))
}

/// An address as `replay` takes it; `None` when it is none, such as the path of a socket.
fn address(text: &str) -> Option<String> {
    said(text).filter(|text| crate::request::parse_address(text).is_some()).map(str::to_owned)
}
