//! A real reverse proxy on a laptop: HTTP/1.1 and HTTP/2 in, the filter in between, bodies streamed both ways.
//!
//! What Envoy's connection manager does around filters is done here too: hop-by-hop headers, header limits, who is calling. Paths
//! are left as they came, which is how envoy/bootstrap.yaml has it.
//! What it does not do: TLS, retries, timeouts. What else differs is listed in tests/guests/differences.md.

mod body;
mod echo;
mod heads;
mod lane;
mod pool;
mod request;
mod socket;
mod upstream;

pub use pool::Pool;
pub use upstream::{InvalidUpstream, Upstream};

use crate::host::FilterState;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// Most bytes of a request's header fields, Envoy's default `max_request_headers_kb`.
pub(super) const REQUEST_HEADERS_MAX_BYTES: usize = 60 * 1024;
/// Most header fields of a request, Envoy's default `max_headers_count`.
pub(super) const REQUEST_HEADERS_MAX_COUNT: usize = 100;
/// How long open requests may take to finish once the server shuts down.
const DRAIN: Duration = Duration::from_secs(5);

/// Receives one entry for each request, when it is over. Called on a worker's thread.
pub type OnLog = Arc<dyn Fn(LogEntry) + Send + Sync>;

/// What became of one request.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Properties that the filter set, such as its record.
    pub filter_state: FilterState,
    /// The status that the client got, if it got one.
    pub status: Option<u16>,
    /// Response code details.
    pub details: Option<String>,
    /// Bytes of the request's body that arrived.
    pub request_bytes: u64,
    /// Bytes of the response's body that were passed on.
    pub response_bytes: u64,
    /// What the worker's VM died of, if it is dead.
    pub trap: Option<String>,
}

impl LogEntry {
    /// A property that the filter set, such as `session_audit`.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        self.filter_state.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

/// What a server runs on.
pub struct ServeOptions {
    /// Where it listens.
    pub listener: TcpListener,
    /// The filter's workers. Whoever keeps a clone can update the configuration meanwhile.
    pub pool: Arc<Pool>,
    /// Where allowed requests go.
    pub upstream: Upstream,
    /// Receives the records.
    pub on_log: OnLog,
}

/// One running server.
struct Server {
    pool: Arc<Pool>,
    upstream: upstream::Client,
    on_log: OnLog,
}

/// Serves until `shutdown` is over, then lets open requests finish for a few seconds.
///
/// # Errors
/// When the listener cannot tell its address. Errors of single connections end only these.
pub async fn run(options: ServeOptions, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    let ServeOptions { listener, pool, upstream, on_log } = options;
    let local = listener.local_addr()?;
    let server = Arc::new(Server { pool, upstream: upstream::Client::new(upstream), on_log });
    let connections = GracefulShutdown::new();
    let next_id = AtomicU64::new(1);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let (socket, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Out of file descriptors, or a client that is gone already: the next one may do better.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let connection = request::Connection { peer, local, id: next_id.fetch_add(1, Ordering::Relaxed) };
        let server = Arc::clone(&server);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().max_header_list_size(u32::try_from(2 * REQUEST_HEADERS_MAX_BYTES).unwrap_or(u32::MAX));
        let expected = socket::Expected::default();
        let answers = expected.clone();
        let service = service_fn(move |request| {
            let (answers, concerned) = (answers.clone(), socket::Expected::concerns(&request));
            let served = request::serve(Arc::clone(&server), connection, request);
            async move {
                let mut response = served.await?;
                if concerned {
                    answers.answer(&mut response);
                }
                Ok::<_, body::Cut>(response)
            }
        });
        let watcher = connections.watcher();
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            let served = builder.serve_connection(socket::Socket::new(socket, expected), service);
            // A broken connection has no one left to tell.
            let _ = watcher.watch(served.into_owned()).await;
        });
    }
    let _ = tokio::time::timeout(DRAIN, connections.shutdown()).await;
    Ok(())
}
