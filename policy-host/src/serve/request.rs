//! One request on its way through the filter to upstream, and its response on the way back.

use super::body::{Cut, Frames, Passing};
use super::heads::{self, FilterHead, Rejected};
use super::lane::{Arrivals, Room, lane};
use super::pool::{Handle, Listener};
use super::upstream::{Answer, Unreachable};
use super::{LogEntry, OnLog, Server};
use crate::host::{Event, Head, Headers, LocalReply, LogInfo, Properties, Response as Replied, StreamId, is_grpc};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::http::response;
use hyper::{Request, Response, Version};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::task::AbortHandle;

/// The connection that a request came on.
#[derive(Clone, Copy)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) id: u64,
}

/// What is counted of a stream.
#[derive(Default)]
struct Counters {
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

/// A stream of a worker. Whoever holds it answers the client; when that is over it ends the stream and logs.
struct Stream {
    feed: Feed,
    on_log: OnLog,
    status: AtomicU64,
    details: Mutex<Option<String>>,
    started: Instant,
    /// What still reads from the client and from upstream.
    readers: Mutex<Vec<AbortHandle>>,
}

/// The way into a stream.
#[derive(Clone)]
struct Feed {
    handle: Handle,
    id: StreamId,
    counters: Arc<Counters>,
}

/// Serves one request. An error resets the stream, or closes an HTTP/1.1 connection.
pub(super) async fn serve(
    server: Arc<Server>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Passing>, Cut> {
    let (parts, body) = request.into_parts();
    let FilterHead { headers, upgrade } = match heads::from_request(&parts, connection.peer.ip()) {
        Ok(head) => head,
        Err(rejected) => return rejected.response(),
    };
    let grpc = headers.iter().any(|(name, value)| name == b"content-type" && is_grpc(value));
    let kind = RequestKind { upgrade, grpc, http2: parts.version == Version::HTTP_2 };
    let Some(handle) = server.pool.pick() else { return Err(Cut) };
    let properties = Properties {
        source: Some(connection.peer),
        destination: Some(connection.local),
        connection_id: connection.id,
        protocol: Some(if kind.http2 { "HTTP/2" } else { "HTTP/1.1" }),
        ..Properties::default()
    };
    let ended = body.is_end_stream();
    let head = Head { headers, end_of_stream: ended };
    let (upstream, to_upstream, room_upstream) = lane();
    let (client, to_client_lane, room_client) = lane();
    let opened = handle.call(move |seat| {
        let stream = seat.worker.begin(head, properties)?;
        seat.listen(stream, Listener { upstream, client });
        Ok::<_, LocalReply>(stream)
    });
    let id = match opened.await {
        Ok(Ok(id)) => id,
        Ok(Err(reply)) => return to_client(&reply.response(grpc, false)),
        Err(_) => return Err(Cut),
    };
    let feed = Feed { handle, id, counters: Arc::default() };
    let stream = Stream {
        feed: feed.clone(),
        on_log: Arc::clone(&server.on_log),
        status: AtomicU64::new(0),
        details: Mutex::new(None),
        started: Instant::now(),
        readers: Mutex::default(),
    };
    if !ended {
        stream.reads(tokio::spawn(body_of(body, feed.clone(), room_upstream)).abort_handle());
    }
    stream.reads(tokio::spawn(upstream_side(server, feed, to_upstream, room_client, kind)).abort_handle());
    respond(stream, to_client_lane).await
}

/// What the request's head says about how it goes on.
#[derive(Clone, Copy)]
struct RequestKind {
    upgrade: bool,
    grpc: bool,
    http2: bool,
}

/// Hands the client's body to the filter, frame by frame as it comes.
async fn body_of(mut body: Incoming, feed: Feed, room: Room) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // A body that stops early must not look like one that ended.
            let id = feed.id;
            return feed.handle.post(move |seat| seat.forget(id));
        };
        let end = body.is_end_stream();
        room.wait().await;
        if !feed.request(frame, end).await || end {
            return;
        }
    }
    feed.request(Frame::data(Bytes::new()), true).await;
}

/// Sends upstream what the filter let through, and hands the answer to the filter.
async fn upstream_side(server: Arc<Server>, feed: Feed, mut arrivals: Arrivals, room: Room, kind: RequestKind) {
    let Some(Event::RequestHead(head)) = arrivals.next().await else { return };
    arrivals.passed();
    if kind.upgrade {
        // Envoy without `upgrade_configs`: what is spoken after an upgrade would pass unmediated.
        return feed.answer(403, "upgrade_failed", "");
    }
    let Some(parts) = heads::to_request(&head.headers) else { return feed.answer(503, "filter_left_invalid_headers", "") };
    let body = if head.end_of_stream {
        Passing::Empty
    } else {
        let (frames, passing) = Passing::frames();
        tokio::spawn(pass(arrivals, frames, None));
        passing
    };
    match server.upstream.send(Request::from_parts(parts, body), kind.http2, kind.grpc).await {
        Ok(Answer::Network(response)) => response_of(response, feed, room).await,
        Ok(Answer::Echo(response)) => response_of(response, feed, room).await,
        Err(Unreachable) => feed.answer(
            503,
            "upstream_reset_before_response_started",
            "upstream connect error or disconnect/reset before headers",
        ),
    }
}

async fn response_of<B>(response: Response<B>, feed: Feed, room: Room)
where
    B: Body<Data = Bytes> + Unpin,
{
    let (parts, mut body) = response.into_parts();
    let ended = body.is_end_stream();
    let (id, head) = (feed.id, Head { headers: heads::from_response(&parts), end_of_stream: ended });
    if feed.handle.call(move |seat| seat.worker.response_head(id, head)).await.is_err() || ended {
        return;
    }
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            // A response that stops early must not look like one that ended.
            return feed.handle.post(move |seat| seat.worker.reset(id));
        };
        let end = body.is_end_stream();
        room.wait().await;
        if !feed.response(frame, end).await || end {
            return;
        }
    }
    feed.response(Frame::data(Bytes::new()), true).await;
}

/// Answers the client with what the filter lets through.
async fn respond(stream: Stream, mut arrivals: Arrivals) -> Result<Response<Passing>, Cut> {
    loop {
        let event = arrivals.next().await.ok_or(Cut)?;
        arrivals.passed();
        match event {
            Event::Replied(reply) => stream.detail(&reply.details),
            Event::ResponseHead(head) => {
                let Some(parts) = heads::to_response(&head.headers) else {
                    let status = LocalReply { status: 503, ..LocalReply::failed_vm() };
                    return to_client(&status.response(false, false));
                };
                stream.status.store(u64::from(parts.status.as_u16()), Ordering::Relaxed);
                stream.details.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| "via_upstream".into());
                if head.end_of_stream {
                    return Ok(Response::from_parts(parts, Passing::Empty));
                }
                let (frames, passing) = Passing::frames();
                tokio::spawn(pass(arrivals, frames, Some(stream)));
                return Ok(Response::from_parts(parts, passing));
            }
            Event::RequestHead(_)
            | Event::RequestBody { .. }
            | Event::RequestTrailers(_)
            | Event::ResponseBody { .. }
            | Event::ResponseTrailers(_)
            | Event::Reset => return Err(Cut),
        }
    }
}

/// Passes a body on as it comes through the filter. `held` is the stream that ends with it.
async fn pass(mut arrivals: Arrivals, frames: Frames, held: Option<Stream>) {
    loop {
        let event = tokio::select! {
            biased;
            // Who was to get it went away.
            () = frames.closed() => break,
            event = arrivals.next() => event,
        };
        let (frame, end) = match event {
            Some(Event::RequestBody { bytes, end_of_stream } | Event::ResponseBody { bytes, end_of_stream }) => {
                if let Some(stream) = held.as_ref() {
                    stream.feed.counters.response_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                (Ok(Frame::data(Bytes::from(bytes))), end_of_stream)
            }
            Some(Event::RequestTrailers(trailers) | Event::ResponseTrailers(trailers)) => {
                (heads::fields(&trailers).map(Frame::trailers).ok_or(Cut), true)
            }
            Some(Event::Replied(_)) => continue,
            // Something else has begun already: nothing can be said any more but that it ends here.
            Some(Event::Reset | Event::RequestHead(_) | Event::ResponseHead(_)) | None => (Err(Cut), true),
        };
        let sent = frames.send(frame).await;
        arrivals.passed();
        if sent.is_err() || end {
            break;
        }
    }
    drop(held);
}

impl Feed {
    /// A frame of the request; `false`: nobody takes more.
    async fn request(&self, frame: Frame<Bytes>, end: bool) -> bool {
        let id = self.id;
        let fed = match frame.into_data() {
            Ok(data) => {
                self.counters.request_bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                self.handle.call(move |seat| seat.worker.request_data(id, data, end)).await
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => {
                    let trailers = heads::from_fields(&trailers);
                    let _ = self.handle.call(move |seat| seat.worker.request_trailers(id, trailers)).await;
                    return false;
                }
                Err(_) => Ok(()),
            },
        };
        fed.is_ok()
    }

    /// A frame of the response; `false`: nobody takes more.
    async fn response(&self, frame: Frame<Bytes>, end: bool) -> bool {
        let id = self.id;
        let fed = match frame.into_data() {
            Ok(data) => self.handle.call(move |seat| seat.worker.response_data(id, data, end)).await,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => {
                    let trailers = heads::from_fields(&trailers);
                    let _ = self.handle.call(move |seat| seat.worker.response_trailers(id, trailers)).await;
                    return false;
                }
                Err(_) => Ok(()),
            },
        };
        fed.is_ok()
    }

    /// The proxy itself answers.
    fn answer(&self, status: u32, details: &str, body: &str) {
        let reply = LocalReply { status, details: details.into(), headers: Headers::new(), body: body.into(), grpc_status: None };
        let id = self.id;
        self.handle.post(move |seat| seat.worker.answer(id, reply));
    }
}

fn to_client(replied: &Replied) -> Result<Response<Passing>, Cut> {
    let parts: response::Parts = heads::to_response(&replied.headers).ok_or(Cut)?;
    Ok(Response::from_parts(parts, Passing::whole(replied.body.clone())))
}

impl Rejected {
    fn response(self) -> Result<Response<Passing>, Cut> {
        let reply = LocalReply {
            status: u32::from(self.status),
            details: self.details.into(),
            headers: Headers::new(),
            body: Vec::new(),
            grpc_status: None,
        };
        to_client(&reply.response(false, false))
    }
}

impl Stream {
    fn reads(&self, reader: AbortHandle) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    fn detail(&self, details: &str) {
        *self.details.lock().unwrap_or_else(PoisonError::into_inner) = Some(details.to_owned());
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        for reader in self.readers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            reader.abort();
        }
        let status = u16::try_from(self.status.load(Ordering::Relaxed)).ok().filter(|&status| status != 0);
        let details = self.details.lock().unwrap_or_else(PoisonError::into_inner).take();
        let counters = &self.feed.counters;
        let (request_bytes, response_bytes) =
            (counters.request_bytes.load(Ordering::Relaxed), counters.response_bytes.load(Ordering::Relaxed));
        let info = LogInfo {
            response_code: status,
            response_code_details: details.clone(),
            response_flags: 0,
            request_bytes,
            response_bytes,
            duration_nanoseconds: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        let (id, on_log) = (self.feed.id, Arc::clone(&self.on_log));
        self.feed.handle.post(move |seat| {
            seat.forget(id);
            let filter_state = seat.worker.end(id, info);
            let trap = seat.worker.vm().trap().map(ToString::to_string);
            on_log(LogEntry { filter_state, status, details, request_bytes, response_bytes, trap });
        });
    }
}
