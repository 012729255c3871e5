//! In a real Envoy: what a grant does not carry. What its head shows reaches no target, and what outgrows its bound is cut with not
//! a byte beyond it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    access_log::AccessLog,
    client::{Call, Connection, Protocol, grpc_frame},
    envoy::{Envoy, Setup},
    install,
    mesh::Mesh,
    open::Open,
    raw,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Received, Upstream},
    wasm,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// Between two pieces, so that they stay two.
const PAUSE: Duration = Duration::from_millis(80);
const JSON: (&str, &str) = ("content-type", "application/json");

/// The usual policy with these rules for agents, and another session's without.
fn ruled(scenario: &Scenario, rules: Value) -> Value {
    let mut policy = scenario.policy();
    policy["grants"][0]["transfers"] = rules;
    let allow = policy["grants"][0]["allow"].clone();
    policy["grants"].as_array_mut().unwrap().push(json!({"name": "staff", "when": {"subject": "staff-1"}, "allow": allow}));
    policy
}

fn staff(scenario: &Scenario) -> String {
    scenario.token_with("s-9", json!({"sub": "staff-1"}))
}

async fn mesh(name: &str, scenario: &Scenario, rules: Value, respond: fn(&Received) -> Answer) -> Mesh {
    Mesh::with(name, &ruled(scenario, rules), Upstream::answering(respond).await, wasm::chaperone(), &[]).await
}

fn json_answer(_: &Received) -> Answer {
    Answer::ok("{}").header(JSON.0, JSON.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_and_no_head_of_an_upload_reaches_the_target() {
    let scenario = Scenario::new();
    let rules = json!({"uploads": "deny", "downloads": "deny", "max_request_bytes": 20});
    let mesh = mesh("transfers-up", &scenario, rules, json_answer).await;
    let token = scenario.token("s-1");
    let post = |token: &str| Call::new("POST", "/v1/orders").bearer(token);
    let typed = |kind: &str| post(&token).header("content-type", kind).body("0123456789");
    let pieces: [&[u8]; 2] = [b"01234", b"56789"];
    for protocol in Protocol::ALL {
        for (call, rule) in [
            (typed("multipart/form-data; boundary=x"), "upload"),
            (typed("application/octet-stream"), "upload"),
            (typed("image/png"), "upload"),
            (typed("text/csv"), "upload"),
            (post(&token).body("0123456789"), "upload"),
            (post(&token).pieces(&pieces, PAUSE), "upload"),
            (typed("application/zip").pieces(&pieces, PAUSE), "upload"),
            (typed(JSON.1).header("content-type", JSON.1), "upload"),
            (typed(JSON.1).header("content-encoding", "gzip"), "upload"),
            (typed(JSON.1).header("content-disposition", "attachment; filename=x"), "upload"),
            (typed(JSON.1).header("content-range", "bytes 0-9/100"), "upload"),
            (post(&token).header("tus-resumable", "1.0.0").header("upload-length", "100"), "upload"),
            (Call::get("/v1/orders/1").bearer(&token).header("range", "bytes=0-9"), "download"),
            (Call::get("/v1/orders/1").bearer(&token).header("if-range", "\"x\""), "download"),
            (typed(JSON.1).body("012345678901234567890"), "request_bytes"),
        ] {
            let (reply, entry) = mesh.observe(&call, protocol).await;
            assert_eq!((reply.status, reply.json()["reason"].as_str()), (403, Some("transfer_not_allowed")), "{call:?}");
            let said = (&entry.record["status_detail"], &entry.record["unmapped"]["decision"]);
            assert_eq!(said, (&json!(rule), &json!("deny")), "{call:?}");
            assert_eq!(entry.details(), "chaperone{transfer_not_allowed}");
        }
    }
    assert_eq!((mesh.upstream.begun(), mesh.upstream.bytes()), (0, 0));
    // The twins: what is no file and no longer than it may be, and a file of who may.
    let mut reached = 0;
    for protocol in Protocol::ALL {
        for call in [
            typed(JSON.1).body("01234567890123456789"),
            typed("application/x-www-form-urlencoded"),
            typed(JSON.1).pieces(&pieces, PAUSE),
            Call::get("/v1/orders/1").bearer(&token),
            post(&staff(&scenario)).header("content-type", "image/png").body("012345678901234567890"),
        ] {
            let (reply, entry) = mesh.observe(&call, protocol).await;
            reached += 1;
            assert_eq!((reply.status, entry.reason(), mesh.upstream.count()), (200, "allowed", reached), "{call:?}");
        }
    }
    assert_eq!(mesh.upstream.bytes(), 2 * (20 + 10 + 10 + 21));
    sleep(Duration::from_millis(600)).await;
    assert_eq!(mesh.envoy.stat("wasmcustom.chaperone.decisions.transfer_not_allowed").await, 30);
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_cut_with_the_piece_that_outgrows_its_bound() {
    let scenario = Scenario::new();
    let mesh = mesh("transfers-up-bytes", &scenario, json!({"max_request_bytes": 20}), json_answer).await;
    let token = scenario.token("s-1");
    let piece: &[u8] = b"01234567";
    let frame = grpc_frame(b"one");
    let http = Call::new("POST", "/v1/orders").bearer(&token).header(JSON.0, JSON.1);
    let grpc = Call::grpc("users.v1.Users/Get", b"").bearer(&token);
    let mut before = 0;
    for (call, protocol, piece) in
        [(http.clone(), Protocol::Http1, piece), (http, Protocol::Http2, piece), (grpc, Protocol::Http2, &frame[..])]
    {
        let (address, three, two) = (mesh.envoy.address(), [piece; 3], [piece; 2]);
        let ended = call.clone().pieces(&three, PAUSE).try_send(address, protocol).await;
        // Who waits for an answer gets one; the connection may be closed on a client that is still sending.
        if let Ok(reply) = &ended {
            let expected = if reply.grpc_status().is_some() { (200, Some(7)) } else { (403, None) };
            assert_eq!((reply.status, reply.grpc_status()), expected, "{reply:?}");
        }
        assert!(protocol == Protocol::Http1 || ended.is_ok(), "{ended:?}");
        let arrived = mesh.upstream.bytes() - before;
        assert!(arrived > 0 && arrived <= 2 * piece.len(), "{arrived} bytes arrived");
        before = mesh.upstream.bytes();
        let ended = |entry: &chaperone_tests::access_log::Entry| entry.record["unmapped"]["ended_by"] == "transfer_not_allowed";
        let entry = mesh.log.wait_for("a cut", ended).await;
        assert_eq!((&entry.record["status_detail"], entry.reason()), (&json!("request_bytes"), "transfer_not_allowed"));
        let whole = mesh.upstream.count();
        let reply = call.pieces(&two, PAUSE).send(address, protocol).await;
        assert_eq!((reply.status, mesh.upstream.count(), mesh.upstream.bytes() - before), (200, whole + 1, 2 * piece.len()));
        before = mesh.upstream.bytes();
    }
    let cut = mesh.log.entries().iter().filter(|entry| entry.record["unmapped"]["ended_by"] == "transfer_not_allowed").count();
    assert_eq!((cut, mesh.envoy.traps()), (3, 0));
}

/// By the path's last part.
fn answer_of(received: &Received) -> Answer {
    let ok = |kind: &str| Answer::ok("0123456789").header("content-type", kind);
    if received.method == "HEAD" {
        return Answer::ok("").header("content-type", "application/pdf").header("content-length", "999");
    }
    match received.path.rsplit('/').next().unwrap_or_default() {
        "pdf" => ok("application/pdf"),
        "html" => ok("text/html"),
        "untyped" => Answer::ok("0123456789"),
        "twice" => ok(JSON.1).header("content-type", "image/png"),
        "attachment" => ok(JSON.1).header("content-disposition", "attachment; filename=a.json"),
        "part" => ok(JSON.1).status(206).header("content-range", "bytes 0-9/100"),
        "long" => Answer::ok("012345678901234567890").header(JSON.0, JSON.1).header("content-length", "21"),
        "full" => Answer::ok("01234567890123456789").header(JSON.0, JSON.1).header("content-length", "20"),
        "missing" => ok("text/html").status(404),
        "nothing" => Answer::ok("").status(204),
        "grow" => Answer::pieces(&["01234567", "01234567", "01234567"], PAUSE, false).header(JSON.0, JSON.1),
        "stay" => Answer::pieces(&["01234567", "01234567", "0123"], PAUSE, false).header(JSON.0, JSON.1),
        "Get" => Answer::grpc(b"pong").header("content-disposition", "attachment"),
        _ => ok(JSON.1),
    }
}

/// What of a body reaches the client, whether it came to its regular end, and its audit id.
async fn read(mesh: &Mesh, call: &Call, protocol: Protocol) -> (usize, bool, String) {
    let mut connection = Connection::open(mesh.envoy.address(), protocol).await.expect("Envoy listens");
    let response = connection.start(call).await.expect("a response");
    let audit_id = response.headers()["x-chaperone-audit-id"].to_str().unwrap().to_owned();
    let mut body = response.into_body();
    let mut bytes = 0;
    let whole = timeout(PATIENCE, async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => bytes += frame.into_data().map_or(0, |data| data.len()),
            }
        }
    });
    let whole = whole.await.expect("the body ends");
    (bytes, whole, audit_id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_does_not_come_back_and_no_more_bytes_than_may() {
    let scenario = Scenario::new();
    let mesh = mesh("transfers-down", &scenario, json!({"downloads": "deny", "max_response_bytes": 20}), answer_of).await;
    let token = scenario.token("s-1");
    let get = |path: &str, token: &str| Call::get(&format!("/v1/orders/{path}")).bearer(token);
    for protocol in Protocol::ALL {
        for (path, rule) in [
            ("pdf", "download"),
            ("html", "download"),
            ("untyped", "download"),
            ("twice", "download"),
            ("attachment", "download"),
            ("part", "download"),
            ("long", "response_bytes"),
        ] {
            let (reply, entry) = mesh.observe(&get(path, &token), protocol).await;
            assert_eq!((reply.status, reply.json()["reason"].as_str()), (403, Some("transfer_not_allowed")), "{path}: {reply:?}");
            assert!(reply.header("content-disposition").is_none() && !reply.text().contains("0123456789"), "{reply:?}");
            assert_eq!(
                (&entry.record["status_detail"], &entry.record["unmapped"]["ended_by"]),
                (&json!(rule), &json!("transfer_not_allowed")),
                "{path}"
            );
            assert_eq!((&entry.record["http_response"]["code"], entry.reason()), (&json!(403), "transfer_not_allowed"));
            // The twin: the same of who may.
            let (reply, entry) = mesh.observe(&get(path, &staff(&scenario)), protocol).await;
            assert!(
                reply.status < 300 && reply.text().contains("0123456789") && entry.reason() == "allowed",
                "{path}: {reply:?}"
            );
        }
        for (path, status, bytes) in [("7", 200, 10), ("full", 200, 20), ("missing", 404, 10), ("nothing", 204, 0)] {
            let (reply, entry) = mesh.observe(&get(path, &token), protocol).await;
            assert_eq!((reply.status, reply.body.len(), entry.reason()), (status, bytes, "allowed"), "{path}");
        }
        let (bytes, whole, audit_id) = read(&mesh, &get("grow", &token), protocol).await;
        // Envoy 1.36 resets with NO_ERROR, which clients of HTTP/2 may take for an end.
        assert!(!whole || (protocol == Protocol::Http2 && !install::is_at_least(37)));
        assert!(bytes <= 16, "{bytes} bytes came back");
        let record = mesh.log.record(&audit_id).await.record;
        assert_eq!(
            (&record["status_detail"], &record["unmapped"]["ended_by"]),
            (&json!("response_bytes"), &json!("transfer_not_allowed"))
        );
        assert_eq!(read(&mesh, &get("stay", &token), protocol).await.0, 20);
        // The head of a file is no file.
        let (reply, entry) = mesh.observe(&Call::new("HEAD", "/v1/orders").bearer(&token), protocol).await;
        assert_eq!((reply.status, entry.reason()), (200, "allowed"));
    }
    // A gRPC caller gets a gRPC answer.
    let grpc = |token: &str| Call::grpc("users.v1.Users/Get", b"ping").bearer(token);
    let (reply, entry) = mesh.observe(&grpc(&token), Protocol::Http2).await;
    assert_eq!((reply.status, reply.grpc_status(), entry.reason()), (200, Some(7), "transfer_not_allowed"), "{reply:?}");
    assert_eq!(
        reply.header("grpc-message"),
        Some("transfer_not_allowed: A file, or more bytes than the session may send or get")
    );
    assert_eq!(mesh.send(&grpc(&staff(&scenario)), Protocol::Http2).await.grpc_status(), Some(0));
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stricter_policy_cuts_what_is_open_and_an_observing_one_does_not() {
    let scenario = Scenario::new();
    let events = |_: &Received| Answer::events(1000, Duration::from_millis(20));
    let mesh = mesh("transfers-newer", &scenario, json!({"uploads": "deny"}), events).await;
    let feed = Call::get("/v1/feed").bearer(&scenario.token("s-1"));
    let mut observed = Open::start(&mesh, &feed, Protocol::Http1).await;
    let mut policy = ruled(&scenario, json!({"max_response_bytes": 1}));
    policy["generation"] = json!(2);
    policy["observe"] = json!(["transfer_not_allowed"]);
    mesh.envoy.update(&policy).await;
    for _ in 0..10 {
        observed.next().await.expect("it goes on").expect("it goes on");
    }
    let audit_id = observed.audit_id.clone();
    drop(observed);
    let record = mesh.log.record(&audit_id).await.record;
    let said = (&record["status_code"], &record["status_detail"], &record["unmapped"]["decision"]);
    assert_eq!(said, (&json!("transfer_not_allowed"), &json!("response_bytes"), &json!("observed-deny")));

    let mut open = Open::start(&mesh, &feed, Protocol::Http2).await;
    let mut other = Open::start(&mesh, &Call::get("/v1/feed").bearer(&staff(&scenario)), Protocol::Http2).await;
    policy["generation"] = json!(3);
    policy["observe"] = json!([]);
    mesh.envoy.write_ecds(&policy);
    open.cut().await;
    let record = mesh.log.record(&open.audit_id).await.record;
    assert_eq!(
        (&record["status_detail"], &record["unmapped"]["ended_by"]),
        (&json!("response_bytes"), &json!("transfer_not_allowed"))
    );
    assert!(record["unmapped"]["ended_under"].as_str().unwrap().starts_with("orders@"));
    assert!(other.next().await.expect("it goes on").is_ok(), "who has no such rules goes on");
}

/// A target that agrees to any upgrade, says what it hears, and counts that.
async fn talker() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await?);
                }
                let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                socket.write_all(agreed).await?;
                let mut piece = [0; 64];
                loop {
                    let size = socket.read(&mut piece).await?;
                    count.fetch_add(size, Ordering::Relaxed);
                    if size == 0 {
                        return Ok::<(), std::io::Error>(());
                    }
                    socket.write_all(&piece[..size]).await?;
                }
            });
        }
    });
    (address, heard)
}

/// Upgrades, says these one after the other, and tells how many bytes came back and how many the target heard; `None` where the
/// upgrade was denied.
async fn talk(name: &str, rules: Value, said: &[&[u8]]) -> (Option<(usize, usize)>, Value) {
    let scenario = Scenario::new();
    let (target, heard) = talker().await;
    let settings = [("drain_timeout: 5s", "drain_timeout: 5s\n                upgrade_configs: [{ upgrade_type: websocket }]")];
    let policy = ruled(&scenario, rules);
    let envoy = Envoy::start(Setup {
        name,
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: target,
        workers: 2,
        environment: &[CREDENTIAL],
        other_settings: &settings,
    })
    .await;
    let log = AccessLog(envoy.access_log());
    let request = format!(
        "GET /v1/chat HTTP/1.1\r\nhost: orders.example\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {}\r\n\r\n",
        scenario.token("s-1")
    );
    let chat = |entry: &chaperone_tests::access_log::Entry| entry.record["api"]["operation"] == "chat";
    if said.is_empty() {
        let denied = raw::http1(envoy.address(), request.as_bytes()).await;
        assert_eq!((denied.status, heard.load(Ordering::Relaxed)), (403, 0), "{}", denied.text);
        return (None, log.wait_for("the websocket", chat).await.record);
    }
    let mut socket = TcpStream::connect(envoy.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let mut back = 0;
    for piece in said {
        if socket.write_all(piece).await.is_err() {
            break;
        }
        let mut echoed = vec![0; piece.len()];
        match timeout(PATIENCE, socket.read_exact(&mut echoed)).await.expect("an echo or an end") {
            Ok(size) => back += size,
            Err(_) => break,
        }
    }
    drop(socket);
    let record = log.wait_for("the websocket", chat).await.record;
    (Some((back, heard.load(Ordering::Relaxed))), record)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_bounded_both_ways_and_none_where_files_are_denied() {
    let cut = |record: &Value, rule: &str| {
        let said = (&record["status_detail"], &record["unmapped"]["ended_by"], &record["http_response"]["code"]);
        assert_eq!(said, (&json!(rule), &json!("transfer_not_allowed"), &json!(101)));
    };
    let said: [&[u8]; 2] = [b"hello", b"again!"];
    let (seen, record) = talk("transfers-ws-up", json!({"max_request_bytes": 10}), &said).await;
    assert_eq!(seen, Some((5, 5)), "not a byte of the second piece");
    cut(&record, "request_bytes");
    let (seen, record) = talk("transfers-ws-down", json!({"max_response_bytes": 10}), &said).await;
    assert_eq!(seen, Some((5, 11)), "what was sent is heard, and nothing of its echo comes back");
    cut(&record, "response_bytes");
    let within = json!({"max_request_bytes": 11, "max_response_bytes": 11});
    let (seen, record) = talk("transfers-ws", within, &said).await;
    assert_eq!((seen, record["status_code"].as_str()), (Some((11, 11)), Some("allowed")), "the twin");
    for (rules, rule) in [(json!({"uploads": "deny"}), "upload"), (json!({"downloads": "deny"}), "download")] {
        let (seen, record) = talk("transfers-ws-denied", rules, &[]).await;
        assert_eq!((seen, record["status_detail"].as_str()), (None, Some(rule)));
    }
}
