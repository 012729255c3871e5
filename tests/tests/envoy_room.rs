//! In a real Envoy with two workers: what the shipped wiring does so that nobody fills the proxy, and that nobody else feels it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    mesh::Mesh,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
};
use hyper::body::Incoming;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// 12 sessions, each with fewer streams than `limits.streams_per_session` is by default: more than Envoy's own 1,024 together.
const SESSIONS: usize = 12;
const STREAMS: usize = 92;

/// A target whose feeds begin and never end; its other answers are short.
async fn feeds() -> Upstream {
    Upstream::answering(|received| match received.path.as_str() {
        "/v1/feed" => Answer::pieces(&["data: 1\n\n"], Duration::ZERO, true).header("content-type", "text/event-stream"),
        _ => Answer::ok("ok"),
    })
    .await
}

/// Idle streams of many sessions, and how many were let through.
async fn filled(mesh: &Mesh, scenario: &Scenario) -> (Vec<(Connection, Vec<hyper::Response<Incoming>>)>, usize) {
    let mut open = Vec::new();
    let mut let_through = 0;
    for session in 0..SESSIONS {
        let call = Call::get("/v1/feed").bearer(&scenario.token(&format!("idle-{session}")));
        // One in four over HTTP/1.1, where each stream takes a connection on both sides.
        let (protocol, connections) = if session % 4 == 0 { (Protocol::Http1, STREAMS) } else { (Protocol::Http2, 2) };
        for _ in 0..connections {
            let mut connection = Connection::open(mesh.envoy.address(), protocol).await.unwrap();
            let mut streams = Vec::new();
            for _ in 0..STREAMS / connections {
                let response = connection.start(&call).await.unwrap();
                let_through += usize::from(response.status() == 200);
                streams.push(response);
            }
            open.push((connection, streams));
        }
    }
    (open, let_through)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_idle_streams_than_envoy_takes_by_itself_lock_nobody_out() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("room", &scenario.policy(), feeds().await, wasm::chaperone(), &[]).await;
    let before = mesh.envoy.resident_bytes();
    let (open, let_through) = filled(&mesh, &scenario).await;
    assert_eq!(let_through, SESSIONS * STREAMS);
    if let Some((before, after)) = before.zip(mesh.envoy.resident_bytes()) {
        println!("{let_through} idle streams: {} kB of memory each", (after.saturating_sub(before)) / 1024 / 1104);
    }
    let neighbour = scenario.token("s-1");
    // Enough connections that both workers are asked.
    for number in 0..16 {
        for call in
            [Call::get("/v1/feed").bearer(&neighbour), Call::get("/healthz"), Call::get("/v1/orders/1").bearer(&neighbour)]
        {
            let mut connection = Connection::open(mesh.envoy.address(), Protocol::ALL[number % 2]).await.unwrap();
            let response = connection.start(&call).await.unwrap();
            assert_eq!(response.status(), 200, "{call:?}");
        }
    }
    assert_eq!(mesh.envoy.stat("cluster.target.upstream_rq_pending_overflow").await, 0);
    drop(open);
}

/// What the thresholds are for: with Envoy's own the very same streams take the room of everybody.
#[tokio::test(flavor = "multi_thread")]
async fn envoys_own_thresholds_would_lock_everybody_out() {
    let scenario = Scenario::new();
    let own = ["max_connections", "max_pending_requests", "max_requests"]
        .map(|name| (format!("{name}: 10000"), format!("{name}: 1024")));
    let own: Vec<(&str, &str)> = own.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let mesh = Mesh::with("no-room", &scenario.policy(), feeds().await, wasm::chaperone(), &own).await;
    let (open, let_through) = filled(&mesh, &scenario).await;
    assert!(let_through <= 1024, "{let_through}");
    let (reply, entry) = mesh.observe(&Call::get("/v1/orders/1").bearer(&scenario.token("s-1")), Protocol::Http1).await;
    assert_eq!((reply.status, &entry.line["response_flags"]), (503, &"UO".into()), "{entry:?}");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_announced_and_never_comes_ends_and_an_answer_that_has_begun_goes_on() {
    let scenario = Scenario::new();
    let shorter = [("request_timeout: 30s", "request_timeout: 2s")];
    let mesh = Mesh::with("slow-body", &scenario.policy(), feeds().await, wasm::chaperone(), &shorter).await;
    let token = scenario.token("s-1");
    let mut feeds = Vec::new();
    for protocol in Protocol::ALL {
        let mut feed = Connection::open(mesh.envoy.address(), protocol).await.unwrap();
        let response = feed.start(&Call::get("/v1/feed").bearer(&token)).await.unwrap();
        feeds.push((feed, response));
        let mut slow = Connection::open(mesh.envoy.address(), protocol).await.unwrap();
        let upload = Call::new("POST", "/v1/orders").bearer(&token).upload("{");
        let started = Instant::now();
        let response = timeout(Duration::from_secs(10), slow.start(&upload)).await.expect("it is ended").unwrap();
        assert!(
            response.status() == 408 && started.elapsed() > Duration::from_millis(1900),
            "{response:?} after {:?}",
            started.elapsed()
        );
        let health = mesh.send(&Call::get("/healthz"), protocol).await;
        assert_eq!(health.status, 200);
    }
    assert_eq!(mesh.envoy.stat("http.sessions.downstream_rq_active").await, 2, "both feeds go on");
    drop(feeds);
}
