//! The Model Context Protocol over HTTP: commands that are found in the body of a request. Versions 2025-03-26 to 2025-11-25, with
//! sessions of the protocol's own, and 2026-07-28, without.

pub(crate) mod endpoint;
pub(crate) mod message;
pub(crate) mod read;
pub(crate) mod rpc;
pub(crate) mod uri;
pub(crate) mod version;
