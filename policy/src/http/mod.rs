//! A request as the proxy has it: its head, its path and host, its peer, and what is changed in its fields.

pub(crate) mod credentials;
pub(crate) mod edits;
pub(crate) mod head;
pub(crate) mod host;
pub(crate) mod names;
pub(crate) mod origin;
pub(crate) mod path;
pub(crate) mod peer;
pub(crate) mod query;
pub(crate) mod rpc;
