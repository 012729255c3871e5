//! Chaperone as a proxy-wasm filter: collect what the proxy has, ask the core, apply its answer. No rule lives here.
//!
//! The ABI (proxy-wasm 0.2.1) is spoken directly, in the words of the official crate `proxy-wasm`: `types`, `hostcalls`,
//! `dispatcher` and what is in them are called as there. Why the crate itself is not used is written down in
//! docs/decisions/0001-proxy-wasm-crate.md.

#[cfg(target_arch = "wasm32")]
mod crypto;
#[cfg(target_arch = "wasm32")]
mod dispatcher;
#[cfg(target_arch = "wasm32")]
mod fetch;
#[cfg(target_arch = "wasm32")]
mod fields;
#[cfg(target_arch = "wasm32")]
mod hostcalls;
#[cfg(target_arch = "wasm32")]
mod metrics;
#[cfg(target_arch = "wasm32")]
mod peer;
#[cfg(target_arch = "wasm32")]
mod shared;
#[cfg(target_arch = "wasm32")]
mod stream;
#[cfg(target_arch = "wasm32")]
mod types;
#[cfg(target_arch = "wasm32")]
mod vm;
