//! The protected target: a real HTTP/1.1 and HTTP/2 server that remembers all it receives and answers what a test asks for.

use crate::frames::Frames;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response, Version,
    body::{Frame, Incoming},
    header::{HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Whether it came over HTTP/2.
    pub http2: bool,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The host or authority.
    pub host: String,
    /// The headers; bytes that are no UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// The trailers.
    pub trailers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Length of the body in bytes.
    pub body_len: usize,
}

impl Received {
    /// All values of a header.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A header's only value; nothing when there are none or several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        match self.all(name)[..] {
            [one] => Some(one),
            _ => None,
        }
    }
}

/// What the target answers.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    chunks: Vec<Bytes>,
    pause: Duration,
    trailers: Vec<(String, String)>,
    open: bool,
    wait: Duration,
}

impl Answer {
    /// 200 with this body.
    #[must_use]
    pub fn ok(body: impl Into<Bytes>) -> Self {
        let chunks = vec![body.into()];
        Self {
            status: 200,
            headers: Vec::new(),
            chunks,
            pause: Duration::ZERO,
            trailers: Vec::new(),
            open: false,
            wait: Duration::ZERO,
        }
    }

    /// 200 with a body in these pieces, each `pause` after the one before; what is `open` does not end with the last one.
    #[must_use]
    pub fn pieces(pieces: &[&str], pause: Duration, open: bool) -> Self {
        let chunks = pieces.iter().map(|piece| Bytes::copy_from_slice(piece.as_bytes())).collect();
        Self { chunks, pause, open, ..Self::ok("") }
    }

    /// What was received, as JSON: `{"method","path","headers":[[name,value],…]}`.
    #[must_use]
    pub fn echo(received: &Received) -> Self {
        let body = json!({"method": received.method, "path": received.path, "headers": received.headers});
        Self::ok(body.to_string()).header("content-type", "application/json")
    }

    /// Server-sent events, each `pause` after the one before.
    #[must_use]
    pub fn events(count: usize, pause: Duration) -> Self {
        let chunks = (1..=count).map(|n| Bytes::from(format!("data: {n}\n\n"))).collect();
        Self { chunks, pause, ..Self::ok("") }.header("content-type", "text/event-stream")
    }

    /// A gRPC message and status 0 in the trailers.
    #[must_use]
    pub fn grpc(message: &[u8]) -> Self {
        Self::ok(crate::client::grpc_frame(message)).header("content-type", "application/grpc").trailer("grpc-status", "0")
    }

    /// Not before this time has passed.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// One more trailer.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn response(self) -> Response<Frames> {
        let frames = match self.open {
            true => Frames::leave_open(self.chunks, self.pause),
            false => Frames::send(self.chunks, self.pause, &self.trailers),
        };
        let mut response = Response::new(frames);
        *response.status_mut() = self.status.try_into().expect("a status");
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            response.headers_mut().append(name.parse::<HeaderName>().expect("a header name"), value);
        }
        response
    }
}

/// What has arrived, of requests that are over and of others.
#[derive(Default)]
struct Log {
    whole: Mutex<Vec<Received>>,
    begun: AtomicUsize,
    bytes: AtomicUsize,
}

type Respond = dyn Fn(&Received) -> Answer + Send + Sync;

/// A running target; it ends when dropped.
pub struct Upstream {
    address: SocketAddr,
    received: Arc<Log>,
    serving: JoinHandle<()>,
}

impl Upstream {
    /// One that echoes, and answers gRPC with gRPC.
    pub async fn start() -> Self {
        Self::answering(|received| match received.header("content-type") {
            Some(kind) if kind.starts_with("application/grpc") => Answer::grpc(b"pong"),
            _ => Answer::echo(received),
        })
        .await
    }

    /// One that answers as told.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn answering(respond: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let received = Arc::<Log>::default();
        let serving = tokio::spawn(serve(listener, Arc::clone(&received), Arc::new(respond)));
        Self { address, received, serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All it has received so far.
    ///
    /// # Panics
    /// When an answer panicked.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.whole.lock().expect("no answer panicked").clone()
    }

    /// The request that it received last.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last(&self) -> Received {
        self.received().pop().expect("a request reached the target")
    }

    /// How many requests it has received so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.received().len()
    }

    /// How many requests have begun to arrive, whether they came to their end or not.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.received.begun.load(Ordering::Relaxed)
    }

    /// How many bytes of bodies have arrived, of requests that did not come to their end, too.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.received.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, received: Arc<Log>, respond: Arc<Respond>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        // Or an answer's end waits 40 ms for the acknowledgement of its head.
        let _ = socket.set_nodelay(true);
        let (received, respond) = (Arc::clone(&received), Arc::clone(&respond));
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&received), Arc::clone(&respond)));
            // A client that goes away is nothing to report.
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>, received: Arc<Log>, respond: Arc<Respond>) -> Result<Response<Frames>, hyper::Error> {
    let (head, body) = request.into_parts();
    received.begun.fetch_add(1, Ordering::Relaxed);
    let count = |frame: Frame<Bytes>| {
        received.bytes.fetch_add(frame.data_ref().map_or(0, Bytes::len), Ordering::Relaxed);
        frame
    };
    let body = body.map_frame(count).collect().await?;
    let host = head.headers.get("host").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let trailers = body.trailers().map(pairs).unwrap_or_default();
    let body = body.to_bytes();
    let request = Received {
        http2: head.version == Version::HTTP_2,
        method: head.method.to_string(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        host: head.uri.authority().map(ToString::to_string).or(host).unwrap_or_default(),
        headers: pairs(&head.headers),
        trailers,
        body_len: body.len(),
        body,
    };
    let mut answer = respond(&request);
    // Over HTTP/2 the library would send it, and Envoy resets the stream for it.
    if request.method == "HEAD" {
        (answer.chunks, answer.trailers) = (Vec::new(), Vec::new());
    }
    received.whole.lock().expect("no answer panicked").push(request);
    tokio::time::sleep(answer.wait).await;
    Ok(answer.response())
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}
