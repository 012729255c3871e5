//! MCP over Streamable HTTP: a body of JSON-RPC, taken apart into what its messages want.
//!
//! [`read`] knows no policy: it says what a body is, or why it has no single reading. The specification's versions are those
//! of [`Version`]; what it calls modern is 2026-07-28, in which each request stands for itself.
#![cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "requests are judged by it as soon as a document can ask for it")
)]

mod error;
mod handle;
mod headers;
mod message;
mod params;
mod read;
#[cfg(test)]
mod tests;
mod uri;
mod version;

pub(crate) use error::{Fault, POLICY_DENIAL, Refused, error_answer};
pub(crate) use handle::{Handle, HandleKind, Place, Step, rewrite};
pub(crate) use headers::encode_value;
pub(crate) use message::{Body, Id, Message, Wanted};
pub(crate) use read::read;
pub(crate) use uri::uri_is_plain;
pub(crate) use version::Version;
