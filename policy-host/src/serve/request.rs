//! One request on its way through the filter to upstream, and its response on the way back.

use super::body::{Cut, Frames, Passing};
use super::heads::{self, FilterHead, Rejected};
use super::pool::Handle;
use super::upstream::{Answer, Unreachable};
use super::{LogEntry, OnLog, Server};
use crate::host::{Head, Headers, LocalReply, LogInfo, Outcome, Properties, Response as Replied, StreamId, Vm};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::http::response;
use hyper::{Request, Response, Version};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc;

/// The connection that a request came on.
#[derive(Clone, Copy)]
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) id: u64,
}

#[derive(Clone, Copy)]
enum Way {
    Request,
    Response,
}

/// Why a request or response does not go on.
enum Stop {
    Reply(LocalReply),
    Reset,
}

/// A stream of a worker. The last one to drop it ends the stream and logs.
struct Stream {
    handle: Handle,
    id: StreamId,
    on_log: OnLog,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    status: AtomicU64,
    details: Mutex<Option<String>>,
    started: Instant,
}

/// Serves one request. An error resets the stream, or closes an HTTP/1.1 connection.
pub(super) async fn serve(
    server: Arc<Server>,
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Passing>, Cut> {
    let (parts, body) = request.into_parts();
    let FilterHead { headers, upgrade } = match heads::from_request(&parts) {
        Ok(head) => head,
        Err(rejected) => return rejected.response(),
    };
    let grpc = headers.iter().any(|(name, value)| name == b"content-type" && value.starts_with(b"application/grpc"));
    let Some(handle) = server.pool.pick() else { return Err(Cut) };
    let properties = Properties {
        source: Some(connection.peer),
        destination: Some(connection.local),
        connection_id: connection.id,
        protocol: Some(if parts.version == Version::HTTP_2 { "HTTP/2" } else { "HTTP/1.1" }),
        ..Properties::default()
    };
    let head = Head { headers, end_of_stream: body.is_end_stream() };
    let opened = handle.call(move |worker| {
        let stream = worker.open(properties)?;
        let outcome = worker.vm().request_headers(stream, head);
        worker.after_request();
        Ok::<_, LocalReply>((stream, outcome))
    });
    let (id, outcome) = match opened.await {
        Ok(Ok(opened)) => opened,
        Ok(Err(reply)) => return to_client(&reply.response(grpc, false)),
        Err(_) => return Err(Cut),
    };
    let stream = Arc::new(Stream {
        handle,
        id,
        on_log: Arc::clone(&server.on_log),
        request_bytes: AtomicU64::new(0),
        response_bytes: AtomicU64::new(0),
        status: AtomicU64::new(0),
        details: Mutex::new(None),
        started: Instant::now(),
    });
    match forward(&server, &stream, outcome, upgrade, grpc, body).await {
        Ok(response) => Ok(response),
        Err(Stop::Reply(reply)) => stream.reply(reply).await,
        Err(Stop::Reset) => Err(Cut),
    }
}

async fn forward(
    server: &Server,
    stream: &Arc<Stream>,
    outcome: Outcome<Headers>,
    upgrade: bool,
    grpc: bool,
    body: Incoming,
) -> Result<Response<Passing>, Stop> {
    let headers = go_on(outcome)?;
    if upgrade {
        // Envoy without `upgrade_configs`: what is spoken after an upgrade would pass unmediated.
        return Err(local(403, "upgrade_failed", ""));
    }
    let parts = heads::to_request(&headers).ok_or_else(not_http)?;
    let (refused, mut refusal) = mpsc::channel(1);
    let body = if body.is_end_stream() {
        Passing::Empty
    } else {
        let (frames, passing) = Passing::frames();
        let stream = Arc::downgrade(stream);
        // Weak: a client that never ends its request must not keep a finished stream open.
        tokio::spawn(async move {
            if let Err(stop) = pass(body, &frames, &stream, Way::Request).await {
                let _ = frames.send(Err(Cut)).await;
                let _ = refused.send(stop).await;
            }
        });
        passing
    };
    let sent = server.upstream.send(Request::from_parts(parts, body), grpc);
    let answer = tokio::select! {
        biased;
        Some(stop) = refusal.recv() => return Err(stop),
        answer = sent => answer,
    };
    match answer {
        Ok(Answer::Network(response)) => respond(stream, response, refusal).await,
        Ok(Answer::Echo(response)) => respond(stream, response, refusal).await,
        // The cut that a refusal makes can be seen upstream first.
        Err(Unreachable) => match refusal.try_recv() {
            Ok(stop) => Err(stop),
            Err(_) => Err(local(
                503,
                "upstream_reset_before_response_started",
                "upstream connect error or disconnect/reset before headers",
            )),
        },
    }
}

async fn respond<B>(
    stream: &Arc<Stream>,
    response: Response<B>,
    mut refusal: mpsc::Receiver<Stop>,
) -> Result<Response<Passing>, Stop>
where
    B: Body<Data = Bytes, Error: Send> + Send + Unpin + 'static,
{
    let (parts, body) = response.into_parts();
    let head = Head { headers: heads::from_response(&parts), end_of_stream: body.is_end_stream() };
    let id = stream.id;
    let headers = go_on(stream.on_vm(move |vm| vm.response_headers(id, head)).await?)?;
    if let Ok(stop) = refusal.try_recv() {
        return Err(stop);
    }
    let parts = heads::to_response(&headers).ok_or_else(not_http)?;
    stream.status.store(u64::from(parts.status.as_u16()), Ordering::Relaxed);
    stream.detail("via_upstream");
    if body.is_end_stream() {
        return Ok(Response::from_parts(parts, Passing::Empty));
    }
    let (frames, passing) = Passing::frames();
    let held = Arc::clone(stream);
    tokio::spawn(async move {
        let stream = Arc::downgrade(&held);
        let passed = tokio::select! {
            biased;
            Some(stop) = refusal.recv() => Err(stop),
            passed = pass(body, &frames, &stream, Way::Response) => passed,
            // The client went away: stop reading from upstream.
            () = frames.closed() => Ok(()),
        };
        if passed.is_err() {
            // The response has begun: nothing can be said any more but that it ends here.
            let _ = frames.send(Err(Cut)).await;
        }
        drop(held);
    });
    Ok(Response::from_parts(parts, passing))
}

/// Passes a body on, frame by frame as it comes, through the filter where the filter looks at it.
async fn pass<B>(mut body: B, to: &Frames, stream: &std::sync::Weak<Stream>, way: Way) -> Result<(), Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    while let Some(frame) = body.frame().await {
        // A body that stops early must not look like one that ended.
        let (Some(stream), Ok(frame)) = (stream.upgrade(), frame) else {
            let _ = to.send(Err(Cut)).await;
            return Ok(());
        };
        let frame = match frame.into_data() {
            Ok(data) => {
                stream.counter(way).fetch_add(data.len() as u64, Ordering::Relaxed);
                Frame::data(stream.data(way, data, body.is_end_stream()).await?)
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Frame::trailers(stream.trailers(way, heads::from_fields(&trailers)).await?),
                Err(_) => continue,
            },
        };
        drop(stream);
        if to.send(Ok(frame)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// What goes on, or why it does not.
fn go_on<T>(outcome: Outcome<T>) -> Result<T, Stop> {
    match outcome {
        Outcome::Continue(what) => Ok(what),
        Outcome::LocalReply(reply) | Outcome::Trapped { reply, .. } => Err(Stop::Reply(reply)),
        Outcome::Paused => {
            Err(local(503, "pause_not_supported", "the filter paused, which is not supported for local testing\n"))
        }
        Outcome::Reset => Err(Stop::Reset),
    }
}

fn local(status: u32, details: &str, body: &str) -> Stop {
    Stop::Reply(LocalReply { status, details: details.into(), headers: Headers::new(), body: body.into(), grpc_status: None })
}

fn not_http() -> Stop {
    local(503, "filter_left_invalid_headers", "")
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
    async fn on_vm<T: Send + 'static>(&self, job: impl FnOnce(&mut Vm) -> T + Send + 'static) -> Result<T, Stop> {
        let answer = self.handle.call(move |worker| {
            let answer = job(worker.vm());
            worker.after_request();
            answer
        });
        answer.await.map_err(|_| Stop::Reset)
    }

    async fn data(&self, way: Way, data: Bytes, end_of_stream: bool) -> Result<Bytes, Stop> {
        let id = self.id;
        let passed = self.on_vm(move |vm| {
            let looked_at = match way {
                Way::Request => vm.wants_request_body(),
                Way::Response => vm.wants_response_body(),
            };
            if !looked_at {
                return Ok(data);
            }
            go_on(match way {
                Way::Request => vm.request_body(id, data.to_vec(), end_of_stream),
                Way::Response => vm.response_body(id, data.to_vec(), end_of_stream),
            })
            .map(Bytes::from)
        });
        passed.await?
    }

    async fn trailers(&self, way: Way, trailers: Headers) -> Result<hyper::HeaderMap, Stop> {
        let id = self.id;
        let passed = self.on_vm(move |vm| match way {
            Way::Request => vm.request_trailers(id, trailers),
            Way::Response => vm.response_trailers(id, trailers),
        });
        heads::fields(&go_on(passed.await?)?).ok_or_else(not_http)
    }

    /// The client's response for a local reply, which the filter sees on its way.
    async fn reply(&self, reply: LocalReply) -> Result<Response<Passing>, Cut> {
        self.detail(&reply.details);
        let id = self.id;
        let replied = self.on_vm(move |vm| vm.local_response(id, &reply)).await.map_err(|_| Cut)?;
        self.status.store(u64::from(replied.status()), Ordering::Relaxed);
        self.response_bytes.store(replied.body.len() as u64, Ordering::Relaxed);
        to_client(&replied)
    }

    fn detail(&self, details: &str) {
        *self.details.lock().unwrap_or_else(PoisonError::into_inner) = Some(details.to_owned());
    }

    fn counter(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Request => &self.request_bytes,
            Way::Response => &self.response_bytes,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let status = u16::try_from(self.status.load(Ordering::Relaxed)).ok().filter(|&status| status != 0);
        let details = self.details.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (request_bytes, response_bytes) =
            (self.request_bytes.load(Ordering::Relaxed), self.response_bytes.load(Ordering::Relaxed));
        let info = LogInfo {
            response_code: status,
            response_code_details: details.clone(),
            response_flags: 0,
            request_bytes,
            response_bytes,
            duration_nanoseconds: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        let (id, on_log) = (self.id, Arc::clone(&self.on_log));
        self.handle.post(move |worker| {
            let filter_state = worker.vm().finish(id, info);
            let trap = worker.vm().trap().map(ToString::to_string);
            worker.after_request();
            on_log(LogEntry { filter_state, status, details, request_bytes, response_bytes, trap });
        });
    }
}
