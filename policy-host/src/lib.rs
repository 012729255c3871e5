//! A local host for proxy-wasm filters, and what policy authors need around it.

pub mod cases;
pub mod demo;
pub mod explain;
pub mod host;
pub mod published;
pub mod render;
pub mod replay;
pub mod revoke;
pub mod schema;
pub mod serve;
pub mod source;
pub mod token;
