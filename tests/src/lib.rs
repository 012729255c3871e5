//! What the tests stand on: a real Envoy with the shipped wiring, a real upstream, clients that can misbehave, the access log.
//!
//! Each test owns its Envoy and its upstream; everything listens on loopback at a port of the kernel's choice and ends with its test.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "machinery of tests: a panic with a message is how it fails a test"
)]

pub mod access_log;
pub mod beside;
pub mod broken;
pub mod canaries;
pub mod client;
pub mod command;
pub mod drivers;
pub mod ecds;
pub mod envoy;
mod frames;
pub mod guests;
pub mod install;
pub mod json_schema;
pub mod load;
pub mod mcp;
pub mod mesh;
pub mod mtls;
pub mod open;
pub mod pages;
pub mod pair;
pub mod peers;
pub mod raw;
pub mod relay;
pub mod scenario;
pub mod stages;
pub mod tls_front;
pub mod upstream;
pub mod wasm;
pub mod wiring;

use std::path::{Path, PathBuf};

/// The workspace's root: everything that is built or kept lies under it.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_path_buf()
}

/// The build folder, `CARGO_TARGET_DIR` respected.
#[must_use]
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}
