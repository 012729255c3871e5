//! Chaperone as a proxy-wasm filter: collect what the proxy has, ask the core, apply its answer. No rule lives here.
//!
//! The ABI (proxy-wasm 0.2.1) is spoken directly, not through an SDK: the SDK turns header bytes into `String`s, panics on
//! statuses that it does not expect, and exports body callbacks, which a proxy then calls for every chunk of every body.

#[cfg(target_arch = "wasm32")]
mod abi;
#[cfg(target_arch = "wasm32")]
mod crypto;
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(target_arch = "wasm32")]
mod fetch;
#[cfg(target_arch = "wasm32")]
mod fields;
#[cfg(target_arch = "wasm32")]
mod metrics;
#[cfg(target_arch = "wasm32")]
mod peer;
#[cfg(target_arch = "wasm32")]
mod shared;
#[cfg(target_arch = "wasm32")]
mod stream;
#[cfg(target_arch = "wasm32")]
mod vm;
