//! MCP over Streamable HTTP: a body of JSON-RPC, taken apart into what its messages want.
//!
//! [`read::read`] knows no policy: it says what a body is, or why it has no single reading. The specification's versions are those
//! of [`version::Version`]; what it calls modern is 2026-07-28, in which each request stands for itself.
#![cfg_attr(not(test), expect(dead_code, reason = "requests are judged by it as soon as a document can ask for it"))]

pub(crate) mod error;
pub(crate) mod handle;
pub(crate) mod headers;
pub(crate) mod message;
mod params;
pub(crate) mod read;
#[cfg(test)]
mod tests;
pub(crate) mod uri;
pub(crate) mod version;
