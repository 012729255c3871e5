//! A body that is sent frame by frame, with pauses and trailers, for both sides of the wire.

use bytes::Bytes;
use hyper::{
    HeaderMap,
    body::{Body, Frame},
    header::HeaderName,
};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::sleep};

/// The frames of one body, as a task sends them.
pub(crate) struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl Frames {
    /// Sends the chunks, each after a pause, then the trailers if there are any.
    pub(crate) fn send(chunks: Vec<Bytes>, pause: Duration, trailers: &[(String, String)]) -> Self {
        Self::start(chunks, pause, trailers, false)
    }

    /// Sends the chunks, each after a pause, and then nothing, until nobody listens any more.
    pub(crate) fn leave_open(chunks: Vec<Bytes>, pause: Duration) -> Self {
        Self::start(chunks, pause, &[], true)
    }

    fn start(chunks: Vec<Bytes>, pause: Duration, trailers: &[(String, String)], open: bool) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        let trailers: HeaderMap = trailers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().expect("a header name"), value.parse().expect("a header value")))
            .collect();
        tokio::spawn(async move {
            for chunk in chunks {
                sleep(pause).await;
                // A receiver that is gone needs no more.
                if sender.send(Frame::data(chunk)).await.is_err() {
                    return;
                }
            }
            if open {
                sender.closed().await;
            }
            if !trailers.is_empty() {
                sender.send(Frame::trailers(trailers)).await.ok();
            }
        });
        Self(receiver)
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}
