//! Where allowed requests go: a server on the network, or the built-in echo.

use super::body::Passing;
use super::echo;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use tokio::net::TcpStream;

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// Answers 200 with what it received, as JSON; gRPC calls with one empty message and status 0.
    Echo,
    /// A server in clear text. It is spoken to as the caller speaks: HTTP/1.1, or HTTP/2 with prior knowledge.
    Http {
        /// `host:port`.
        address: String,
    },
}

/// The text names no upstream that can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUpstream(String);

impl fmt::Display for InvalidUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidUpstream {}

impl FromStr for Upstream {
    type Err = InvalidUpstream;

    /// `http://host[:port]`, without a path: requests keep their own.
    fn from_str(url: &str) -> Result<Self, InvalidUpstream> {
        let invalid = |why: &str| InvalidUpstream(format!("`{url}` is no upstream: {why}"));
        let uri: Uri = url.parse().map_err(|_| invalid("write it as http://host:port"))?;
        if uri.scheme_str() != Some("http") {
            return Err(invalid("only http:// is supported for local testing"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid("it may not have a path, for requests keep their own"));
        }
        let host = uri.host().ok_or_else(|| invalid("it names no host"))?;
        Ok(Self::Http { address: format!("{host}:{}", uri.port_u16().unwrap_or(80)) })
    }
}

/// Upstream did not answer.
#[derive(Debug)]
pub(super) struct Unreachable;

pub(super) enum Answer {
    Network(Response<Incoming>),
    Echo(Response<Passing>),
}

/// One client for each protocol: which one is used depends on the caller's (envoy/bootstrap.yaml: `use_downstream_protocol_config`).
pub(super) struct Clients {
    h1: legacy::Client<Dial, Passing>,
    h2: legacy::Client<Dial, Passing>,
}

pub(super) enum Client {
    Echo,
    Http(Box<Clients>),
}

impl Client {
    pub(super) fn new(upstream: Upstream) -> Self {
        match upstream {
            Upstream::Echo => Self::Echo,
            Upstream::Http { address } => {
                let mut builder = legacy::Client::builder(TokioExecutor::new());
                let dial = Dial { address };
                let h1 = builder.set_host(false).retry_canceled_requests(false).build(dial.clone());
                Self::Http(Box::new(Clients { h1, h2: builder.http2_only(true).build(dial) }))
            }
        }
    }

    pub(super) async fn send(&self, mut request: Request<Passing>, http2: bool, grpc: bool) -> Result<Answer, Unreachable> {
        let http2 = http2 && matches!(self, Self::Http(_));
        if !http2 && let Some(host) = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok()) {
            // HTTP/2 carries the authority by itself.
            request.headers_mut().insert(HOST, host);
        }
        let answer = match self {
            Self::Echo => return Ok(Answer::Echo(echo::answer(request, grpc).await)),
            Self::Http(clients) if http2 => clients.h2.request(request).await,
            Self::Http(clients) => clients.h1.request(request).await,
        };
        answer.map(Answer::Network).map_err(|_| Unreachable)
    }
}

/// Connects to the one upstream, whatever authority the request names.
#[derive(Clone)]
pub(super) struct Dial {
    address: String,
}

pub(super) struct Socket(TokioIo<TcpStream>);

impl tower_service::Service<Uri> for Dial {
    type Response = Socket;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: Uri) -> Self::Future {
        let address = self.address.clone();
        Box::pin(async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Socket(TokioIo::new(socket)))
        })
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
