//! The document, compiled.

pub(crate) mod allowances;
pub(crate) mod audit;
pub(crate) mod binding;
pub(crate) mod credential;
pub(crate) mod ending;
pub(crate) mod endpoint;
pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod issuers;
pub(crate) mod policy;
pub(crate) mod revision;
pub(crate) mod revocations;
pub(crate) mod session;
pub(crate) mod status;
pub(crate) mod upstream;
