//! A local host for proxy-wasm filters, and what policy authors need around it.

pub mod cases;
pub mod demo;
pub mod draw;
pub mod explain;
pub mod files;
pub mod host;
pub mod init;
pub mod render;
pub mod replace;
pub mod replay;
pub mod serve;
pub mod site;
