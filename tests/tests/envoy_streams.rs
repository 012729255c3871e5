//! In a real Envoy with two workers: streams that are open when their session ends are cut, and nobody else's.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol, grpc_frame},
    mesh::Mesh,
    open::Open,
    scenario::{Scenario, now},
    target,
    upstream::{Answer, Upstream},
    wasm,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// What the issue promises, from the rename of the file on.
const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);

/// A target whose answers begin and never end.
async fn feeds() -> Upstream {
    Upstream::answering(|received| match received.header("content-type") {
        Some(kind) if kind.starts_with("application/grpc") => {
            Answer::pieces(&[std::str::from_utf8(&grpc_frame(b"first")).unwrap()], Duration::ZERO, true)
                .header("content-type", "application/grpc")
        }
        _ => Answer::pieces(&["data: 1\n\n"], Duration::ZERO, true).header("content-type", "text/event-stream"),
    })
    .await
}

async fn mesh(name: &str, scenario: &Scenario) -> Mesh {
    Mesh::with(name, &scenario.policy(), feeds().await, wasm::chaperone(), &[]).await
}

fn feed(scenario: &Scenario, session: &str) -> Call {
    Call::get("/v1/feed").bearer(&scenario.token(session))
}

/// The record of a stream that was cut for this reason.
async fn record(mesh: &Mesh, audit_id: &str, reason: &str) -> Value {
    let record = mesh.log.record(audit_id).await.record;
    assert_eq!((&record["status_code"], &record["unmapped"]["ended_by"]), (&json!(reason), &json!(reason)), "{record:#}");
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_are_cut_on_both_workers_within_a_second_and_no_others_again_after_an_undo() {
    let scenario = Scenario::new();
    let mesh = mesh("streams", &scenario).await;
    let mut others = Open::several(&mesh, &feed(&scenario, "s-2"), 12).await;
    for generation in [2, 4] {
        let mut ended = Open::several(&mesh, &feed(&scenario, "s-1"), 20).await;
        assert!(ended[0].is_silent().await);
        let renamed = Instant::now();
        mesh.envoy.write_ecds(&scenario.revoking(generation, &json!([{"session": "s-1", "because": "INC-42"}])));
        let mut workers = BTreeSet::new();
        for stream in &mut ended {
            let took = stream.cut().await - renamed;
            assert!(took < SECOND, "cut only after {took:?}");
            let record = record(&mesh, &stream.audit_id, "revoked").await;
            assert_eq!(record["status_detail"], "INC-42");
            let under = record["unmapped"]["ended_under"].as_str().unwrap();
            let by = under.strip_prefix("orders@").expect("the policy's name, then its revision");
            assert!(!record["policy"]["version"].as_str().unwrap().starts_with(by));
            workers.insert(record["unmapped"]["worker"].to_string());
        }
        assert_eq!(workers.len(), 2, "both workers had some");
        // Undone: the session may go on, on new streams.
        mesh.envoy.update(&scenario.revoking(generation + 1, &json!([]))).await;
    }
    for stream in &mut others {
        assert!(stream.is_silent().await, "another session's stream goes on");
    }
    assert_eq!(mesh.envoy.traps(), 0);
    // Metrics follow within a tick or two.
    sleep(Duration::from_millis(600)).await;
    assert_eq!(mesh.envoy.stat("wasmcustom.chaperone.streams.cut").await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_token_and_one_that_moves_with_it() {
    let scenario = Scenario::new();
    let events = Upstream::answering(|_| Answer::events(1000, Duration::from_millis(20))).await;
    let busy = Mesh::with("busy-stream", &scenario.policy(), events, wasm::chaperone(), &[]).await;
    let idle = mesh("expiring-stream", &scenario).await;
    for mesh in [&busy, &idle] {
        let expires = now() + 3;
        let call = Call::get("/v1/feed").bearer(&scenario.token_with("s-1", json!({"exp": expires})));
        let mut stream = Open::start(mesh, &call, Protocol::Http1).await;
        stream.cut().await;
        let late = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let (from, to) = (u128::from(expires) * 1000, u128::from(expires + 1) * 1000);
        assert!((from..to).contains(&late), "cut at {late}, and it expires at {from}");
        record(mesh, &stream.audit_id, "expired").await;
    }
    // A piece that comes after the revocation does not arrive, whatever the tick does.
    let mut stream = Open::start(&busy, &feed(&scenario, "s-1"), Protocol::Http2).await;
    busy.envoy.write_ecds(&scenario.revoking(2, &json!([{"session": "s-1"}])));
    stream.cut().await;
    record(&busy, &stream.audit_id, "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_grpc_streams_are_cut() {
    let scenario = Scenario::new();
    let mesh = mesh("other-streams", &scenario).await;
    let token = scenario.token("s-1");
    let call = Call::grpc("users.v1.Users/Get", b"ping").bearer(&token);
    let mut grpc = Open::start(&mesh, &call, Protocol::Http2).await;
    let mut sending = Vec::new();
    for protocol in Protocol::ALL {
        let upload = Call::new("POST", "/v1/orders").bearer(&token).upload("{\"sku\":");
        let mut connection = Connection::open(mesh.envoy.address(), protocol).await.unwrap();
        sending.push(tokio::spawn(async move { connection.start(&upload).await.map(|response| response.status()) }));
    }
    sleep(Duration::from_millis(300)).await;
    assert!(sending.iter().all(|upload| !upload.is_finished()) && grpc.is_silent().await);

    let renamed = Instant::now();
    mesh.envoy.write_ecds(&scenario.revoking(2, &json!([{"session": "s-1"}])));
    assert!(grpc.cut().await - renamed < SECOND);
    let mut answered = 0;
    for upload in sending {
        let ended = timeout(PATIENCE, upload).await.expect("an upload of an ended session goes on").unwrap();
        // They still wait for an answer, and get one; the connection may be closed on a client that is still sending.
        assert!(ended.as_ref().map_or(true, |status| *status == 401), "{ended:?}");
        answered += usize::from(ended.is_ok());
    }
    assert!(answered > 0, "nobody was answered");
    record(&mesh, &grpc.audit_id, "revoked").await;
    let uploads = |entry: &chaperone_tests::access_log::Entry| entry.record["api"]["operation"] == "orders.create";
    let entry = mesh.log.wait_for("an upload", uploads).await;
    assert_eq!(entry.record["unmapped"]["ended_by"], "revoked");
    assert!(entry.record["unmapped"]["bytes_up"].as_u64().unwrap() > 7, "{:#}", entry.record);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_an_answer_when_its_session_ends_gets_a_401() {
    let scenario = Scenario::new();
    // A target that takes its time: nothing of the answer comes while the test runs.
    let silent = Upstream::answering(|_| Answer::ok("late").after(Duration::from_secs(60))).await;
    let mesh = Mesh::with("waiting", &scenario.policy(), silent, wasm::chaperone(), &[]).await;
    let mut waiting = Vec::new();
    for number in 0..8 {
        let call = match number % 4 {
            3 => Call::grpc("users.v1.Users/Get", b"ping"),
            _ => Call::get("/v1/orders/1"),
        };
        let (call, protocol) = (call.bearer(&scenario.token("s-1")), Protocol::ALL[usize::from(number % 4 != 0)]);
        let address = mesh.envoy.address();
        waiting.push(tokio::spawn(async move { (number, call.try_send(address, protocol).await) }));
    }
    let neighbour = {
        let (address, call) = (mesh.envoy.address(), Call::get("/v1/orders/1").bearer(&scenario.token("s-2")));
        tokio::spawn(async move { call.try_send(address, Protocol::Http2).await.map(drop).map_err(|error| error.to_string()) })
    };
    sleep(Duration::from_millis(500)).await;
    assert!(waiting.iter().all(|call| !call.is_finished()));
    mesh.envoy.write_ecds(&scenario.revoking(2, &json!([{"session": "s-1"}])));
    for call in waiting {
        let (number, reply) = timeout(PATIENCE, call).await.expect("an answer").unwrap();
        let reply = reply.unwrap_or_else(|error| panic!("call {number} got no answer: {error}"));
        if number % 4 == 3 {
            assert_eq!((reply.status, reply.headers["grpc-status"].as_bytes()), (200, b"16".as_slice()));
        } else {
            assert_eq!((reply.status, reply.json()["reason"].as_str().map(str::to_owned)), (401, Some("revoked".to_owned())));
            assert!(reply.headers["www-authenticate"].to_str().unwrap().contains("invalid_token"));
        }
        let record = record(&mesh, reply.audit_id(), "revoked").await;
        assert_eq!(record["http_response"]["code"], if number % 4 == 3 { 200 } else { 401 });
    }
    assert!(!neighbour.is_finished(), "another session's request waits on");
    neighbour.abort();
    assert_eq!(mesh.envoy.traps(), 0);
}

/// A target that agrees to any upgrade and then says what it hears.
async fn talker() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await?);
                }
                socket
                    .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
                    .await?;
                let (mut from, mut to) = socket.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_cut() {
    let scenario = Scenario::new();
    let target = talker().await;
    let settings = [("drain_timeout: 5s", "drain_timeout: 5s\n                upgrade_configs: [{ upgrade_type: websocket }]")];
    let setup = chaperone_tests::envoy::Setup {
        name: "websocket",
        policy: &scenario.policy(),
        wasm: wasm::chaperone(),
        upstream: target,
        workers: 2,
        environment: &[chaperone_tests::scenario::CREDENTIAL],
        other_settings: &settings,
    };
    let envoy = chaperone_tests::envoy::Envoy::start(setup).await;
    let log = chaperone_tests::access_log::AccessLog(envoy.access_log());
    let mut socket = TcpStream::connect(envoy.address()).await.unwrap();
    let request = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: orders.example\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {}\r\n\r\n",
            scenario.token("s-1")
        )
    };
    // A command that does not say `upgrade: true` is not this request.
    let denied = chaperone_tests::raw::http1(envoy.address(), request("/v1/feed").as_bytes()).await;
    assert_eq!(denied.status, 403, "{}", denied.text);

    socket.write_all(request("/v1/chat").as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        heard.push(socket.read_u8().await.unwrap());
    }
    assert!(heard.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&heard));
    socket.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    socket.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");

    let renamed = Instant::now();
    envoy.write_ecds(&scenario.revoking(2, &json!([{"session": "s-1"}])));
    let ended = timeout(PATIENCE, socket.read(&mut echoed)).await.expect("a websocket of an ended session goes on");
    assert!(renamed.elapsed() < SECOND && ended.map_or(true, |size| size == 0));
    let entry = log.wait_for("the websocket", |entry| entry.record["api"]["operation"] == "chat").await;
    assert_eq!(
        (entry.record["unmapped"]["ended_by"].as_str(), entry.record["http_response"]["code"].as_u64()),
        (Some("revoked"), Some(101))
    );
    assert_eq!(entry.worker().len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_revocations_measured() {
    let scenario = Scenario::new();
    let mesh = mesh("measured", &scenario).await;
    let mut first_denials = Vec::new();
    let mut cuts = Vec::new();
    for round in 0..20_u64 {
        let session = format!("s-{round}");
        let call = feed(&scenario, &session);
        let mut idle = Open::start(&mesh, &call, Protocol::Http1).await;
        let list = Call::get("/v1/orders/1").bearer(&scenario.token(&session));
        // Not in step with the tick, however long a round takes.
        sleep(Duration::from_millis(37 * (round % 7))).await;
        let renamed = Instant::now();
        mesh.envoy.write_ecds(&scenario.revoking(round + 2, &json!([{"session": session}])));
        let denied = async {
            loop {
                let mut connection = Connection::open(mesh.envoy.address(), Protocol::Http2).await.unwrap();
                // One that was let through may be cut before its answer comes.
                if connection.start(&list).await.is_ok_and(|response| response.status() == 401) {
                    return renamed.elapsed();
                }
            }
        };
        let (denied, cut) = tokio::join!(timeout(PATIENCE, denied), idle.cut());
        first_denials.push(denied.expect("a revoked session is denied"));
        cuts.push(cut - renamed);
    }
    let line = |what: &str, times: &mut Vec<Duration>| {
        times.sort();
        format!("| {what} | {} | {} |\n", times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis())
    };
    let table = format!(
        "Milliseconds from the rename of the ECDS file, 20 revocations, real Envoy with two workers.\n\n| | median | worst |\n|---|---|---|\n{}{}",
        line("first denial", &mut first_denials),
        line("cut of an idle stream", &mut cuts)
    );
    print!("{table}");
    fs::create_dir_all(target().join("bench")).unwrap();
    fs::write(target().join("bench/streams.md"), &table).unwrap();
    assert!(cuts[19] < SECOND && first_denials[19] < SECOND, "{table}");
}
