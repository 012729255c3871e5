//! Well-behaved callers: HTTP/1.1, HTTP/2 with prior knowledge, gRPC with real framing. The others are in `raw`.

use crate::frames::Frames;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Request,
    body::Incoming,
    client::conn,
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpSocket,
    time::timeout,
};

/// No answer takes longer, unless something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// What can go wrong on the wire.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 in plain text, with prior knowledge.
    Http2,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];
}

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    method: String,
    path: String,
    host: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
    open: bool,
    pieces: Option<(Vec<Bytes>, Duration)>,
    trailers: Vec<(String, String)>,
}

impl Call {
    /// Any method.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            host: "orders.example".to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            open: false,
            pieces: None,
            trailers: Vec::new(),
        }
    }

    /// `GET path`.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A unary gRPC call of `service/method`, with its message framed.
    #[must_use]
    pub fn grpc(method: &str, message: &[u8]) -> Self {
        let mut call =
            Self::new("POST", &format!("/{method}")).header("content-type", "application/grpc").header("te", "trailers");
        call.body = grpc_frame(message);
        call
    }

    /// Another host than orders.example.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// `authorization: Bearer token`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A body that begins like this and never ends.
    #[must_use]
    pub fn upload(self, beginning: impl Into<Bytes>) -> Self {
        Self { open: true, ..self.body(beginning) }
    }

    /// A body in these pieces, each `pause` after the one before; nothing says how long it will be.
    #[must_use]
    pub fn pieces(self, pieces: &[&[u8]], pause: Duration) -> Self {
        Self { pieces: Some((pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect(), pause)), ..self }
    }

    /// One more trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it on a connection of its own.
    ///
    /// # Panics
    /// When there is no answer: a denial is one, too.
    pub async fn send(&self, to: SocketAddr, protocol: Protocol) -> Reply {
        let result = self.try_send(to, protocol).await;
        result.unwrap_or_else(|error| panic!("{} {} over {protocol:?}: {error}", self.method, self.path))
    }

    /// The same, where the answer may be cut: its session may end in the middle of it.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn try_send(&self, to: SocketAddr, protocol: Protocol) -> Result<Reply, Error> {
        Connection::open(to, protocol).await?.send(self).await
    }

    fn request(&self, protocol: Protocol) -> Result<Request<BoxBody<Bytes, Infallible>>, Error> {
        let uri = match protocol {
            Protocol::Http1 => self.path.clone(),
            Protocol::Http2 => format!("http://{}{}", self.host, self.path),
        };
        let mut request = Request::builder().method(self.method.as_str()).uri(uri).body(self.frames())?;
        let headers = request.headers_mut();
        if protocol == Protocol::Http1 {
            headers.insert("host", HeaderValue::from_str(&self.host)?);
        }
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_bytes(value)?);
        }
        Ok(request)
    }

    fn frames(&self) -> BoxBody<Bytes, Infallible> {
        if self.open {
            return Frames::leave_open(vec![self.body.clone()], Duration::ZERO).boxed();
        }
        if let Some((pieces, pause)) = &self.pieces {
            return Frames::send(pieces.clone(), *pause, &self.trailers).boxed();
        }
        if self.trailers.is_empty() {
            return Full::new(self.body.clone()).boxed();
        }
        Frames::send(vec![self.body.clone()], Duration::ZERO, &self.trailers).boxed()
    }
}

/// A gRPC message in its five-byte frame, not compressed.
#[must_use]
pub fn grpc_frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, in the order of their arrival by name.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: HeaderMap,
}

impl Reply {
    /// A header's only value; nothing when there are none or several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_some() { None } else { first.to_str().ok() }
    }

    /// The audit id.
    ///
    /// # Panics
    /// When the filter sent none.
    #[must_use]
    pub fn audit_id(&self) -> &str {
        self.header("x-chaperone-audit-id").unwrap_or_else(|| panic!("no audit id in {self:?}"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON: {error}: {self:?}"))
    }

    /// The gRPC status, from the trailers or from a response that is only them.
    #[must_use]
    pub fn grpc_status(&self) -> Option<u32> {
        let status = self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"))?;
        status.to_str().ok()?.parse().ok()
    }
}

/// The request side of an open connection.
enum Sender {
    Http1(conn::http1::SendRequest<BoxBody<Bytes, Infallible>>),
    Http2(conn::http2::SendRequest<BoxBody<Bytes, Infallible>>),
}

/// A connection that stays open between calls, and so stays with one worker.
pub struct Connection {
    protocol: Protocol,
    sender: Sender,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or the handshake fails.
    pub async fn open(to: SocketAddr, protocol: Protocol) -> Result<Self, Error> {
        Self::open_from(Ipv4Addr::LOCALHOST, to, protocol).await
    }

    /// The same from this address, which is to be one of the machine's: all of 127.0.0.0/8 are.
    ///
    /// # Errors
    /// As [`Connection::open`], and when it is none.
    pub async fn open_from(from: Ipv4Addr, to: SocketAddr, protocol: Protocol) -> Result<Self, Error> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let io = TokioIo::new(timeout(PATIENCE, socket.connect(to)).await??);
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = conn::http1::handshake(io).await?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Ok(Self { protocol, sender })
    }

    /// HTTP/1.1 over a connection that is made already.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, Error> {
        let (sender, connection) = conn::http1::handshake(TokioIo::new(io)).await?;
        tokio::spawn(connection);
        Ok(Self { protocol: Protocol::Http1, sender: Sender::Http1(sender) })
    }

    /// Sends a call and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks, or in time there is no answer.
    pub async fn send(&mut self, call: &Call) -> Result<Reply, Error> {
        let exchange = async {
            let (head, body) = self.start(call).await?.into_parts();
            let collected = body.collect().await?;
            let trailers = collected.trailers().cloned().unwrap_or_default();
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: collected.to_bytes(), trailers })
        };
        timeout(PATIENCE, exchange).await?
    }

    /// Sends a call and leaves the body to be read as it comes.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn start(&mut self, call: &Call) -> Result<hyper::Response<Incoming>, Error> {
        let request = call.request(self.protocol)?;
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }
}

/// A plain GET over HTTP/1.1.
///
/// # Errors
/// When there is no answer.
pub async fn get(from: SocketAddr, path: &str) -> Result<Reply, Error> {
    Connection::open(from, Protocol::Http1).await?.send(&Call::get(path).host("localhost")).await
}
