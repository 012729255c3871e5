//! The caller's socket. Answers to HEAD say on it what the HTTP library leaves out.
//!
//! Envoy answers a HEAD over HTTP/1.1 with `transfer-encoding: chunked` wherever the length is unknown, as the answer to a GET
//! would have it (RFC 9110 §9.3.2). hyper drops that field from answers to HEAD, whoever sets it. So a field of as long a name
//! takes its place, and gets its name where it is written.

use super::body::Passing;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use std::hash::{BuildHasher, RandomState};
use std::io::Result;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use tokio::net::TcpStream;

/// Random, so that no body of an answer before it on the same connection has it by accident or by design.
static STAND_IN: LazyLock<String> = LazyLock::new(|| format!("x{:016x}", RandomState::new().hash_one(0)));

/// How many stand-ins are still to be written: requests that come in a row may have several waiting.
#[derive(Clone, Default)]
pub(super) struct Expected(Arc<AtomicUsize>);

impl Expected {
    /// Does this request's answer have a head alone, in a protocol that has `transfer-encoding`?
    pub(super) fn concerns<B>(request: &Request<B>) -> bool {
        request.method() == Method::HEAD && request.version() == Version::HTTP_11
    }

    /// The answer to such a request.
    pub(super) fn answer(&self, response: &mut Response<Passing>) {
        let bodyless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if bodyless || response.headers().contains_key(CONTENT_LENGTH) {
            return;
        }
        if let Ok(name) = HeaderName::from_bytes(STAND_IN.as_bytes()) {
            response.headers_mut().insert(name, HeaderValue::from_static("chunked"));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

pub(super) struct Socket {
    io: TokioIo<TcpStream>,
    expected: Expected,
    /// What is still to be written of the true name.
    name: &'static [u8],
}

impl Socket {
    pub(super) fn new(socket: TcpStream, expected: Expected) -> Self {
        Self { io: TokioIo::new(socket), expected, name: &[] }
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: hyper::rt::ReadBufCursor<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

/// Not vectored, so that a head comes in one piece.
impl hyper::rt::Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<Result<usize>> {
        if self.name.is_empty() && self.expected.0.load(Ordering::SeqCst) > 0 {
            let at = buffer.windows(STAND_IN.len()).position(|window| window == STAND_IN.as_bytes());
            match at.map(|at| buffer.get(..at).unwrap_or_default()) {
                // It is not yet its turn.
                None => {}
                Some([]) => {
                    self.expected.0.fetch_sub(1, Ordering::SeqCst);
                    self.name = TRANSFER_ENCODING.as_str().as_bytes();
                }
                Some(before) => return Pin::new(&mut self.io).poll_write(context, before),
            }
        }
        let name = self.name;
        if name.is_empty() {
            return Pin::new(&mut self.io).poll_write(context, buffer);
        }
        let written = ready!(Pin::new(&mut self.io).poll_write(context, name))?;
        self.name = name.get(written..).unwrap_or_default();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
