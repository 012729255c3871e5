//! A wasmtime host for proxy-wasm 0.2.x filters that behaves as Envoy does.
//!
//! It knows nothing of any particular filter. From the outside in: a [`Proxy`] is a canary and a few [`Worker`]s, a worker is a
//! [`Vm`] with the configuration that it serves, a VM runs streams: requests with their responses.
//! [`Proxy::exchange`] runs one whole request; whoever streams calls a [`Vm`]'s callbacks one by one.

mod abi;
mod calls;
mod clock;
mod exchange;
mod faults;
mod foreign;
mod guest;
mod headers;
mod log;
mod module;
mod properties;
mod proxy;
mod reply;
mod shared;
mod state;
mod status;
mod stream;
mod trap;
mod vm;
mod worker;

pub use calls::HostCall;
pub use clock::Clock;
pub use exchange::{Exchange, Request};
pub use faults::{SpoilAnswer, SpoilMap};
pub use headers::{Headers, as_received};
pub use log::LogSink;
pub use module::{LoadError, Module};
pub use properties::{PeerCertificate, Properties, Tls};
pub use proxy::{Proxy, ProxyOptions, UpdateError};
pub use reply::{LocalReply, Response};
pub use shared::{Metric, MetricKind, Shared};
pub use state::{FilterState, LogInfo};
pub use status::{BufferType, LogLevel, MapType, Status};
pub use stream::{Head, Outcome, StreamId};
pub use trap::Trap;
pub use vm::{ConfigureError, Plugin, RootId, Vm, VmOptions};
pub use worker::{Applied, Canary, FailurePolicy, Worker};
