//! Documents as people write them: policies, cases, recorded requests, and what is to be said about them.
//!
//! No wasm engine, file, terminal or clock: texts, instants and what a filter was seen to do come as arguments, so that the
//! command line and a page in a browser say the same.

pub mod cases;
pub mod dictionary;
pub mod explain;
pub mod import;
pub mod outcome;
pub mod published;
pub mod recorded;
pub mod request;
pub mod revoke;
pub mod schema;
pub mod source;
pub mod token;
