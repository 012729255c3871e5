//! The reverse proxy over real sockets.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod host_guest;

use bytes::Bytes;
use host_guest::module;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use policy_host::host::{FailurePolicy, ProxyOptions, VmOptions};
use policy_host::serve::{LogEntry, Pool, ServeOptions, Upstream, run};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

const REQUEST: &str = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;
const DENY: &str = r#"
  (data (i32.const 100) "why?no\01\00\00\00\03\00\00\00\01\00\00\00x-d\001\00")
  (func $deny (drop (call $reply (i32.const 403) (i32.const 100) (i32.const 4) (i32.const 104) (i32.const 2) (i32.const 106) (i32.const 18) (i32.const -1))))"#;

type ChannelBody = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

struct Served {
    address: SocketAddr,
    pool: Arc<Pool>,
    log: Arc<Mutex<Vec<LogEntry>>>,
    _stop: oneshot::Sender<()>,
}

impl Served {
    /// The log entries, once there are `count` of them.
    async fn log(&self, count: usize) -> Vec<LogEntry> {
        for _ in 0..500 {
            if self.log.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = self.log.lock().unwrap().clone();
        assert_eq!(log.len(), count);
        log
    }
}

async fn serve(guest: &str, upstream: Upstream) -> Served {
    serve_module(&module(guest), upstream).await
}

async fn serve_module(module: &policy_host::host::Module, upstream: Upstream) -> Served {
    let options =
        ProxyOptions { workers: 2, failure: FailurePolicy::Reload, vm: VmOptions::default(), ..ProxyOptions::default() };
    let pool = Arc::new(Pool::start(module, &options).unwrap());
    pool.update(b"c").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&log);
    let on_log = Arc::new(move |entry| kept.lock().unwrap().push(entry));
    let (stop, stopped) = oneshot::channel::<()>();
    let options = ServeOptions { listener, pool: Arc::clone(&pool), upstream, on_log };
    tokio::spawn(run(options, async {
        let _ = stopped.await;
    }));
    Served { address, pool, log, _stop: stop }
}

/// An upstream that sends each chunk back as it comes, and counts its requests.
async fn mirror() -> (Upstream, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            let service = service_fn(move |request: Request<Incoming>| {
                counted.fetch_add(1, Ordering::SeqCst);
                let path = request.uri().path().to_owned();
                async move { Ok::<_, Infallible>(Response::builder().header("x-path", path).body(request.into_body()).unwrap()) }
            });
            tokio::spawn(async move {
                let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    (Upstream::Http { address }, count)
}

/// Sends bytes over HTTP/1.1 and answers what came back until the connection closed.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

fn body_of(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

async fn h2(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<ChannelBody> {
    let socket = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn whole(text: &'static str) -> ChannelBody {
    Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync()
}

/// A body that is written while the request is under way.
fn channel() -> (mpsc::Sender<Frame<Bytes>>, ChannelBody) {
    let (sender, receiver) = mpsc::channel(2);
    (sender, Frames(receiver).boxed_unsync())
}

struct Frames(mpsc::Receiver<Frame<Bytes>>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

/// One piece of data, then trailer `x-sum: 1`.
fn with_trailers() -> ChannelBody {
    let (sender, body) = channel();
    let mut trailers = hyper::HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    sender.try_send(Frame::data(Bytes::from_static(b"m"))).unwrap();
    sender.try_send(Frame::trailers(trailers)).unwrap();
    body
}

#[tokio::test]
async fn http1_reaches_the_echo_with_its_headers_in_order() {
    let served = serve("", Upstream::Echo).await;
    let answer = raw(
        served.address,
        "GET /a/../b%41?x=%41 HTTP/1.1\r\nHost: orders.example\r\nX-A: 1\r\nX-B: 2\r\nx-a: 3\r\nTE: trailers, gzip\r\nConnection: close, x-b\r\nKeep-Alive: 5\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let seen = body_of(&answer);
    assert_eq!(seen["method"], "GET");
    assert_eq!(seen["path"], "/a/../b%41?x=%41", "as it came: refusing it is the filter's");
    let headers = seen["headers"].to_string();
    assert!(headers.contains(r#"["x-a","1"],["x-a","3"]"#), "{headers}");
    assert!(headers.contains(r#"["te","trailers"]"#), "{headers}");
    assert!(!headers.contains("x-b") && !headers.contains("keep-alive") && !headers.contains("connection"), "{headers}");
    let log = served.log(1).await;
    assert_eq!(log[0].status, Some(200));
}

#[tokio::test]
async fn what_is_no_request_for_envoy_is_none_here() {
    let served = serve("", Upstream::Echo).await;
    let many = "x-a: 1\r\n".repeat(101);
    let long = format!("x-a: {}\r\n", "a".repeat(61 * 1024));
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n");
    for (request, status) in [
        (get("Connection: close\r\n"), 400),
        (get("Host: a\r\nConnection: close, :path\r\n"), 400),
        (get("Host: a\r\nConnection: close, x-forwarded-for\r\n"), 400),
        (get(&format!("Host: a\r\nConnection: close\r\n{many}")), 431),
        (get(&format!("Host: a\r\nConnection: close\r\n{long}")), 431),
        (get("Host: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n"), 403),
        ("GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 404),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 404),
        ("GET x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 400),
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 404),
        ("GET http://evil/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 404),
        ("DRINK / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into(), 400),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n".into(), 426),
        (get("Host: a\r\nConnection: close, cookie\r\nCookie: a=1\r\n"), 200),
        (get("Host: a\r\nConnection: close\r\n"), 200),
    ] {
        let answer = raw(served.address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) || answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{request:.80}: {answer:.80}"
        );
        assert!(!answer.contains("a=1"), "what `connection` names ends here");
    }
}

#[tokio::test]
async fn what_envoy_joins_reaches_the_filter_joined() {
    let guest = format!(
        r#"(data (i32.const 0) "authorization") {REQUEST}
      (drop (call $get (i32.const 0) (i32.const 0) (i32.const 13) (i32.const 1024) (i32.const 1028)))
      (call $show (i32.const 0) (i32.load (i32.const 1028))) (i32.const 0))"#
    );
    let served = serve(&guest, Upstream::Echo).await;
    let answer = raw(
        served.address,
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: 1\r\nAuthorization: 2\r\nConnection: close\r\n\r\n",
    )
    .await;
    let headers = body_of(&answer)["headers"].to_string();
    assert!(headers.contains(r#"["authorization","1,2"]"#), "{headers}");
    assert!(headers.contains(r#"["x-status","D"]"#), "the filter read three bytes: {headers}");
    assert!(headers.contains(r#"["host","a,b"]"#), "{headers}");
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let served = serve("", Upstream::Echo).await;
    let request =
        Request::post("http://orders.example/v1?q").header("cookie", "a=1").header("cookie", "b=2").body(whole("body")).unwrap();
    let response = h2(served.address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let seen: serde_json::Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&seen["method"], &seen["path"]), (&"POST".into(), &"/v1?q".into()));
    assert!(seen["headers"].to_string().contains(r#"["cookie","a=1; b=2"]"#), "{seen}");
    let log = served.log(1).await;
    assert_eq!(log[0].request_bytes, 4);
    assert!(log[0].response_bytes > 10);
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_over_http2_either() {
    let served = serve("", Upstream::Echo).await;
    for kind in ["application/json", "application/grpc"] {
        let request = Request::head("http://orders.example/v1").header("content-type", kind).body(whole("")).unwrap();
        let response = h2(served.address).await.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        // A body, or an end without END_STREAM, is an error to this client.
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    assert!(served.log(2).await.iter().all(|entry| entry.response_bytes == 0));
}

#[tokio::test]
async fn who_is_calling_is_what_the_socket_says() {
    let served = serve("", Upstream::Echo).await;
    let answer = raw(
        served.address,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Envoy-External-Address: 192.0.2.1\r\nConnection: close\r\n\r\n",
    )
    .await;
    let headers = body_of(&answer)["headers"].to_string();
    for own in [
        r#"["x-forwarded-for","192.0.2.1,127.0.0.1"]"#,
        r#"["x-forwarded-proto","http"]"#,
        r#"["x-envoy-external-address","127.0.0.1"]"#,
    ] {
        assert_eq!(headers.matches(own).count(), 1, "{headers}");
    }
    assert_eq!(headers.matches("192.0.2.1").count(), 1, "{headers}");
}

#[tokio::test]
async fn grpc_gets_a_grpc_answer_with_trailers() {
    let served = serve("", Upstream::Echo).await;
    let request = Request::post("http://h/users.v1.Users/Get")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(whole("\0\0\0\0\0"))
        .unwrap();
    let response = h2(served.address).await.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), Bytes::from_static(&[0; 5]));
    // What only begins like it is no gRPC.
    let request = Request::post("http://h/users.v1.Users/Get").header("content-type", "application/grpc-web");
    let response = h2(served.address).await.send_request(request.body(whole("\0\0\0\0\0")).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let (upstream, _) = mirror().await;
    let served = serve("", upstream).await;
    let (sender, body) = channel();
    let request = Request::post("http://h/stream").body(body).unwrap();
    let mut client = h2(served.address).await;
    let response = client.send_request(request);
    sender.send(Frame::data(Bytes::from_static(b"first"))).await.unwrap();
    let response = tokio::time::timeout(Duration::from_secs(10), response).await.unwrap().unwrap();
    assert_eq!(response.headers()["x-path"], "/stream");
    let mut body = response.into_body();
    let mut next = async || tokio::time::timeout(Duration::from_secs(10), body.frame()).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap().into_data().unwrap(), "first", "before the request has ended");
    sender.send(Frame::data(Bytes::from_static(b"second"))).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap().into_data().unwrap(), "second");
    drop(sender);
    let rest = tokio::time::timeout(Duration::from_secs(10), body.collect()).await.unwrap().unwrap();
    assert!(rest.to_bytes().is_empty(), "and it ends");
    let log = served.log(1).await;
    assert_eq!((log[0].request_bytes, log[0].response_bytes), (11, 11));
}

#[tokio::test]
async fn trailers_pass_through_the_filter_both_ways() {
    let guest = r#"(data (i32.const 0) "x-seenyes")
      (func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
        (drop (call $add (i32.const 3) (i32.const 0) (i32.const 6) (i32.const 6) (i32.const 3))) (i32.const 0))"#;
    let (upstream, _) = mirror().await;
    let served = serve(guest, upstream).await;
    // What comes over HTTP/2 goes to upstream over HTTP/2, which has trailers.
    let request = Request::post("http://h/s/M").body(with_trailers()).unwrap();
    let response = h2(served.address).await.send_request(request).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "1");
    assert_eq!(collected.trailers().unwrap()["x-seen"], "yes");
}

#[tokio::test]
async fn a_denial_sends_nothing_upstream_and_is_logged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::Http { address: listener.local_addr().unwrap().to_string() };
    let guest = format!(
        r#"{DENY} (data (i32.const 0) "session_auditrecord") {REQUEST} (call $deny) (i32.const 0))
        (func (export "proxy_on_log") (param i32) (drop (call $set_property (i32.const 0) (i32.const 13) (i32.const 13) (i32.const 6))))"#
    );
    let served = serve(&guest, upstream).await;
    let answer = raw(served.address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{answer}");
    assert!(answer.contains("x-d: 1\r\n") && answer.ends_with("\r\n\r\nno"), "{answer}");
    let log = served.log(1).await;
    assert_eq!(log[0].property("session_audit"), Some(&b"record"[..]));
    assert_eq!((log[0].status, log[0].details.as_deref()), (Some(403), Some("why?")));
    let connected = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(connected.is_err(), "somebody connected to upstream");
}

#[tokio::test]
async fn refused_trailers_are_a_denial() {
    let guest =
        format!(r#"{DENY} (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $deny) (i32.const 1))"#);
    // The echo answers only after the whole request, so that the denial comes first.
    let served = serve(&guest, Upstream::Echo).await;
    let request = Request::post("http://h/").body(with_trailers()).unwrap();
    let response = h2(served.address).await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn a_trap_is_503_until_the_vm_is_rebuilt() {
    let guest = format!(
        r#"(data (i32.const 0) ":path") {REQUEST}
          (drop (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028)))
          (if (i32.eq (i32.load8_u offset=1 (i32.load (i32.const 1024))) (i32.const 116)) (then unreachable))
          (i32.const 0))"#
    );
    let (upstream, count) = mirror().await;
    let served = serve(&guest, upstream).await;
    let status = async |path: &str| {
        let answer = raw(served.address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(status("/").await, "200");
    for _ in 0..2 {
        assert_eq!(status("/t").await, "503", "one for each worker");
    }
    assert_eq!(status("/").await, "503");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Of two workers either may log first.
    let log = served.log(4).await;
    let traps = log.iter().filter_map(|entry| entry.trap.as_ref()).filter(|trap| trap.contains("unreachable")).count();
    assert!(traps >= 2, "{traps}");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    for _ in 0..2 {
        assert_eq!(status("/").await, "200");
    }
}

#[tokio::test]
async fn an_unreachable_upstream_is_503() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let served = serve("", Upstream::Http { address }).await;
    let answer = raw(served.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn a_rejected_update_changes_nothing_and_a_good_one_serves_at_once() {
    let guest = r#"(data (i32.const 0) "x-c")
      (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $buffer (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028)))
        (if (i32.eq (i32.load8_u (i32.load (i32.const 1024))) (i32.const 110)) (then (return (i32.const 0))))
        (i32.store8 (i32.const 2048) (i32.load8_u (i32.load (i32.const 1024))))
        (i32.const 1))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $add (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 2048) (i32.const 1)))
        (i32.const 0))"#;
    let served = serve(guest, Upstream::Echo).await;
    let seen = async || raw(served.address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(served.pool.update(b"no").is_err());
    for _ in 0..2 {
        assert!(seen().await.contains(r#"["x-c","c"]"#));
    }
    served.pool.update(b"d").unwrap();
    for _ in 0..2 {
        assert!(seen().await.contains(r#"["x-c","d"]"#));
    }
}

#[test]
fn upstreams_are_written_as_urls() {
    assert_eq!("http://localhost:9000".parse(), Ok(Upstream::Http { address: "localhost:9000".into() }));
    assert_eq!("http://127.0.0.1/".parse(), Ok(Upstream::Http { address: "127.0.0.1:80".into() }));
    for wrong in ["https://a", "a:1", "http://a/path", "http://a?q", ""] {
        assert!(wrong.parse::<Upstream>().is_err(), "{wrong}");
    }
}

/// Imports that the prelude has not.
const STREAMS: &str = r#"
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_continues_a_request_that_was_held() {
    let guest = r#"(global $stream (mut i32) (i32.const 0))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $stream (local.get 0)) (drop (call $ticks (i32.const 100))) (i32.const 1))
      (func (export "proxy_on_tick") (param i32)
        (drop (call $ticks (i32.const 0)))
        (drop (call $effective (global.get $stream)))
        (drop (call $add (i32.const 0) (i32.const 900) (i32.const 8) (i32.const 908) (i32.const 1)))
        (drop (call $continue (i32.const 0))))"#;
    let served = serve_module(&host_guest::module_with(STREAMS, guest), Upstream::Echo).await;
    let answer = raw(served.address, "POST /held HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(body_of(&answer)["headers"].to_string().contains("x-status"), "changed while it was held: {answer}");
    assert_eq!(served.log(1).await[0].request_bytes, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_cuts_a_stream_that_is_under_way() {
    let guest = r#"(global $stream (mut i32) (i32.const 0))
      (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (global.set $stream (local.get 0)) (drop (call $ticks (i32.const 200))) (i32.const 0))
      (func (export "proxy_on_tick") (param i32)
        (drop (call $ticks (i32.const 0)))
        (drop (call $effective (global.get $stream)))
        (drop (call $close (i32.const 1))))"#;
    let (upstream, _) = mirror().await;
    let served = serve_module(&host_guest::module_with(STREAMS, guest), upstream).await;
    let mut sender = h2(served.address).await;
    let (frames, body) = channel();
    let request = Request::builder().method("POST").uri("http://h/feed").body(body).unwrap();
    let response = sender.send_request(request).await.unwrap();
    frames.send(Frame::data(Bytes::from_static(b"one"))).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one", "it had begun");
    let end = tokio::time::timeout(Duration::from_secs(10), body.frame()).await.unwrap();
    assert!(end.unwrap().is_err(), "cut, not ended");
    assert_eq!(served.log(1).await[0].status, Some(200));
}
