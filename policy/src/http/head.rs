//! A request's head, read once: what the checks look at, or why it has no single reading.

use std::borrow::Cow;
use std::fmt;

use crate::http::host::host_of;
use crate::http::peer::Peer;
use crate::http::rpc::Rpc;
use crate::primitives::limits;
use crate::primitives::reason::Reason;

/// Header fields in the order in which they came: names and values as bytes, pseudo headers among them.
pub type Headers<'h> = [(&'h [u8], &'h [u8])];

/// The head of a request, as the proxy has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'h> {
    /// All header fields.
    pub headers: &'h Headers<'h>,
    /// Where it comes from.
    pub source: Source<'h>,
    /// Something follows the head: it does not end the request.
    pub body: bool,
    /// The peer's certificate, where the connection has one; needed only as far as [`crate::Exchange::peer_wanted`] says.
    pub peer: Option<Peer<'h>>,
}

/// The peer's address with its port, such as `10.0.0.7:4711` or `[::1]:4711`.
#[derive(Clone, Copy, Default)]
pub enum Source<'h> {
    /// Nobody knows it.
    #[default]
    Unknown,
    /// This one.
    Told(&'h [u8]),
    /// To be asked for by whoever needs it: few decisions do, and each question to a proxy is a call.
    Asked(&'h dyn AskSource),
}

/// Who can be asked where a request comes from.
pub trait AskSource {
    /// Returns the peer's address with its port, the same each time; `None` where nobody knows it.
    fn address(&self) -> Option<&[u8]>;
}

impl<'h> Source<'h> {
    pub(crate) fn address(self) -> Option<&'h [u8]> {
        match self {
            Self::Unknown => None,
            Self::Told(address) => Some(address),
            Self::Asked(asked) => asked.address(),
        }
    }
}

/// Whoever shows it asks nobody.
impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Told(_) => "Told",
            Self::Asked(_) => "Asked",
        })
    }
}

/// The parts of a head that decide which command it is.
#[derive(Debug)]
pub(crate) struct Request<'h> {
    pub(crate) method: &'h [u8],
    pub(crate) path: &'h [u8],
    /// Lower case, without port; empty when the request names none.
    pub(crate) host: Cow<'h, str>,
    pub(crate) upgrade: bool,
    /// The form in which it calls a method of a service, if it does.
    pub(crate) rpc: Option<Rpc>,
}

/// The values of every header with this name, in any case.
pub(crate) fn values<'h>(headers: &'h Headers<'h>, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| *value)
}

/// Does the field's name begin so, in any case?
pub(crate) fn begins(name: &[u8], known: &str) -> bool {
    name.get(..known.len()).is_some_and(|part| part.eq_ignore_ascii_case(known.as_bytes()))
}

/// The only value; `Err` when there are several.
pub(crate) fn single<'h>(headers: &'h Headers<'h>, name: &'h str) -> Result<Option<&'h [u8]>, Reason> {
    let mut found = values(headers, name);
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Reason::AmbiguousRequest),
    }
}

impl<'h> Request<'h> {
    pub(crate) fn read(head: &Head<'h>) -> Result<Self, Reason> {
        let headers = head.headers;
        if headers.len() > limits::HEADERS {
            return Err(Reason::AmbiguousRequest);
        }
        let method = single(headers, ":method")?.filter(|method| is_method(method)).ok_or(Reason::AmbiguousRequest)?;
        if matches!(method, b"TRACE" | b"CONNECT") {
            return Err(Reason::AmbiguousRequest);
        }
        let path = single(headers, ":path")?.ok_or(Reason::AmbiguousRequest)?;
        single(headers, ":scheme")?;
        let authority = single(headers, ":authority")?;
        let named = single(headers, "host")?;
        // RFC 9113 §8.3.1: a Host that differs from :authority is somebody's second opinion.
        let host = match (authority, named) {
            (Some(authority), Some(named)) if !authority.eq_ignore_ascii_case(named) => return Err(Reason::AmbiguousRequest),
            (Some(authority), _) => host_of(authority).ok_or(Reason::AmbiguousRequest)?,
            (None, Some(named)) => host_of(named).ok_or(Reason::AmbiguousRequest)?,
            (None, None) => Cow::Borrowed(""),
        };
        let upgrade = values(headers, "upgrade").next().is_some() || values(headers, ":protocol").next().is_some();
        Ok(Self { method, path, host, upgrade, rpc: Rpc::read(headers) })
    }
}

/// A token of RFC 9110 §5.6.2, and upper case as every registered method is: `get` is no `GET`.
fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && method.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
}
