//! A local host for proxy-wasm filters, and what policy authors need around it.

pub mod host;
pub mod source;
pub mod token;
