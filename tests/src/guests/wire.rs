//! The guests' client: HTTP/2, each body fed frame by frame, what comes back noted as it comes.

use super::summary::Message;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{net::TcpStream, sync::mpsc};

/// A body that is fed step by step; whether a frame is the last one is said with it.
pub(super) struct Fed {
    pub(super) frames: mpsc::UnboundedReceiver<(Frame<Bytes>, bool)>,
    pub(super) ended: bool,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.frames.poll_recv(cx).map(|next| {
            next.map(|(frame, last)| {
                self.ended = last;
                Ok(frame)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

pub(super) type Sender = http2::SendRequest<Fed>;

pub(super) async fn connect(to: SocketAddr) -> (Sender, tokio::task::JoinHandle<()>) {
    let socket = TcpStream::connect(to).await.expect("Envoy listens");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.expect("HTTP/2");
    let running = tokio::spawn(async move {
        // A connection that breaks shows in its streams.
        connection.await.ok();
    });
    (sender, running)
}

pub(super) fn feed(feeds: &[mpsc::UnboundedSender<(Frame<Bytes>, bool)>], frame: Frame<Bytes>, last: bool) {
    // A stream that was answered or reset takes no more.
    feeds.last().expect("a request is open").send((frame, last)).ok();
}

pub(super) async fn read(
    response: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
    saw: Arc<Mutex<Message>>,
) {
    let note = |change: &dyn Fn(&mut Message)| change(&mut saw.lock().expect("nobody panicked"));
    let Ok(response) = response.await else { return note(&|message| message.reset = true) };
    let (head, mut body) = response.into_parts();
    note(&|message| {
        message.start = Some(head.status.as_u16().to_string());
        message.headers = pairs(&head.headers);
        message.ended = body.is_end_stream();
    });
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => note(&|message| message.body.extend(&data)),
            Ok(Err(frame)) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                note(&|message| message.trailers = pairs(&trailers));
            }
            Err(_) => return note(&|message| message.reset = true),
        }
    }
    note(&|message| message.ended = true);
}

pub(super) fn map(fields: &[(String, String)]) -> HeaderMap {
    let name = |name: &str| name.parse::<hyper::header::HeaderName>().expect("a header name");
    fields.iter().map(|(found, value)| (name(found), value.parse().expect("a header value"))).collect()
}

pub(super) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}
