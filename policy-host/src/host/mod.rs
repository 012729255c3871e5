//! A wasmtime host for proxy-wasm 0.2.x filters that behaves as Envoy does.
//!
//! It knows nothing of any particular filter. From the outside in: a [`Proxy`] is a canary and a few [`Worker`]s, a worker is a
//! [`Vm`] with the configuration that it serves, a VM runs streams: requests with their responses.
//! [`Proxy::exchange`] runs one whole request. For open streams there are [`Worker::begin`] and what follows it, with what Envoy
//! does around a filter: holding, buffering, replies, resets; [`Proxy::advance`] moves the clock and runs what comes due. A
//! [`Vm`]'s callbacks can also be called one by one, without all that.

mod abi;
mod callback;
mod callout;
mod calls;
mod clock;
mod due;
mod exchange;
mod faults;
mod flow;
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

pub use callout::{CalloutAnswer, CalloutRequest, CalloutResponse, Clusters};
pub use calls::HostCall;
pub use clock::Clock;
pub use exchange::{Exchange, Request};
pub use faults::{SpoilAnswer, SpoilMap};
pub use flow::{Event, Traffic};
pub use headers::{Headers, as_received};
pub use log::LogSink;
pub use module::{LoadError, Module};
pub use properties::{PeerCertificate, Properties, Tls};
pub use proxy::{Proxy, ProxyOptions, UpdateError};
pub(crate) use reply::is_grpc;
pub use reply::{LocalReply, Response};
pub use shared::{Metric, MetricKind, Shared};
pub use state::{FilterState, LogInfo};
pub use status::{BufferType, LogLevel, MapType, Status};
pub use stream::{Head, Outcome, StreamId};
pub use trap::Trap;
pub use vm::{ConfigureError, Plugin, RootId, Vm, VmOptions};
pub use worker::{Applied, Canary, FailurePolicy, Worker};

use due::tick_nanoseconds;
