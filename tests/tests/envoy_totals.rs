//! In a real Envoy with two workers: what a session may send and get in all, by streams that are open at the same time.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    mesh::Mesh,
    open::Open,
    scenario::Scenario,
    upstream::{Answer, Received, Upstream},
    wasm,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use tokio::{task::JoinSet, time::timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const JSON: (&str, &str) = ("content-type", "application/json");
const PIECE: usize = 10_000;

async fn mesh(name: &str, scenario: &Scenario, rules: Value, respond: fn(&Received) -> Answer) -> Mesh {
    let mut policy = scenario.policy();
    policy["grants"][0]["transfers"] = rules;
    Mesh::with(name, &policy, Upstream::answering(respond).await, wasm::chaperone(), &[]).await
}

/// Bytes of the target's answer that reach the client, and its audit id. A denial is none of the target's.
async fn read(connection: &mut Connection, call: &Call) -> (usize, String) {
    let response = connection.start(call).await.expect("a response");
    let audit_id = response.headers()["x-chaperone-audit-id"].to_str().unwrap().to_owned();
    let denied = response.status() == 403;
    let mut body = response.into_body();
    let mut bytes = 0;
    let all = timeout(PATIENCE, async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.into_data().map_or(0, |data| data.len());
        }
    });
    all.await.expect("the body ends");
    (if denied { 0 } else { bytes }, audit_id)
}

/// Of the length that the path names, or in pieces of which none says how many come.
fn long_answer(received: &Received) -> Answer {
    if let Some(length) =
        received.path.rsplit('/').next().and_then(|name| name.parse::<usize>().ok()).filter(|length| *length > 9)
    {
        return Answer::ok("x".repeat(length)).header(JSON.0, JSON.1).header("content-length", length.to_string());
    }
    let piece = "x".repeat(PIECE);
    Answer::pieces(&[&piece, &piece, &piece, &piece], Duration::from_millis(5), false).header(JSON.0, JSON.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_on_both_workers_together_get_no_more_than_their_session_may() {
    const MOST: usize = 1_000_000;
    const CONNECTIONS: usize = 12;
    const EACH: usize = 4;
    let scenario = Scenario::new();
    let mesh = mesh("totals-down", &scenario, json!({"max_session_response_bytes": MOST}), long_answer).await;
    let call = |session: &str| Call::get("/v1/orders/7").host("orders.example").bearer(&scenario.token(session));
    let mut reading = JoinSet::new();
    for at in 0..CONNECTIONS {
        let (address, call) = (mesh.envoy.address(), call("s-1"));
        reading.spawn(async move {
            let mut all = Vec::new();
            for _ in 0..EACH {
                // What is cut ends its connection.
                let mut connection = Connection::open(address, Protocol::ALL[at % 2]).await.expect("Envoy listens");
                all.push(read(&mut connection, &call).await);
            }
            all
        });
    }
    let all: Vec<(usize, String)> = reading.join_all().await.into_iter().flatten().collect();
    let got: usize = all.iter().map(|(bytes, _)| bytes).sum();
    const { assert!(CONNECTIONS * EACH * 4 * PIECE > MOST + MOST / 2, "more is asked for than there is") };
    assert!(got <= MOST, "{got} of {MOST}");
    // Nothing is lost but pieces that did not fit, and what a cut kept from the client.
    assert!(got > MOST / 2, "{got} of {MOST}");
    let mut workers = BTreeSet::new();
    let (mut allowed, mut cut) = (0, 0);
    for (_, audit_id) in &all {
        let entry = mesh.log.record(audit_id).await;
        match entry.reason() {
            "allowed" => {
                allowed += 1;
                workers.insert(entry.worker().to_owned());
            }
            "transfer_not_allowed" => {
                cut += 1;
                let said = (&entry.record["status_detail"], &entry.record["unmapped"]["ended_by"]);
                assert_eq!(said, (&json!("session_response_bytes"), &json!("transfer_not_allowed")));
            }
            other => panic!("{other}"),
        }
    }
    assert!(allowed >= 10 && cut > 0 && workers.len() == 2, "{allowed} allowed, {cut} cut, on {} workers", workers.len());
    // Another session has a total of its own.
    for protocol in Protocol::ALL {
        let mut connection = Connection::open(mesh.envoy.address(), protocol).await.unwrap();
        let (bytes, audit_id) = read(&mut connection, &call("s-2")).await;
        assert_eq!(bytes, 4 * PIECE);
        mesh.log.record(&audit_id).await;
    }
    // What its streams had ahead is given back: to the last byte.
    let rest = MOST - 2 * 4 * PIECE;
    for (length, expected) in [(rest + 1, 0), (rest, rest), (10, 0)] {
        let call = Call::get(&format!("/v1/orders/{length}")).bearer(&scenario.token("s-2"));
        let mut connection = Connection::open(mesh.envoy.address(), Protocol::Http2).await.unwrap();
        assert_eq!(read(&mut connection, &call).await.0, expected, "{length} bytes");
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

fn feed_or_length(received: &Received) -> Answer {
    if received.path == "/v1/feed" {
        return Answer::events(5000, Duration::from_millis(10));
    }
    Answer::ok("x".repeat(1000)).header(JSON.0, JSON.1).header("content-length", "1000")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_open_is_cut_when_its_session_has_had_all_of_it() {
    let scenario = Scenario::new();
    let mesh = mesh("totals-open", &scenario, json!({"max_session_response_bytes": 20_000}), feed_or_length).await;
    let feed = |session: &str| Call::get("/v1/feed").bearer(&scenario.token(session));
    let get = |session: &str| Call::get("/v1/orders/7").bearer(&scenario.token(session));
    for (protocol, session) in [(Protocol::Http1, "s-1"), (Protocol::Http2, "s-2")] {
        let twin = format!("{session}-twin");
        let mut open = Open::start(&mesh, &feed(session), protocol).await;
        let mut other = Open::start(&mesh, &feed(&twin), protocol).await;
        let mut answered = 0;
        loop {
            let (reply, entry) = mesh.observe(&get(session), protocol).await;
            if reply.status == 403 {
                // In the answer's stead: by its length it is more than is left.
                assert_eq!(reply.json()["reason"], "transfer_not_allowed");
                assert_eq!(&entry.record["status_detail"], &json!("session_response_bytes"));
                assert!(!reply.text().contains("xx"));
                break;
            }
            assert_eq!((reply.status, reply.body.len()), (200, 1000));
            answered += 1;
        }
        // An open stream has at most an eighth of it ahead.
        assert!((10..20).contains(&answered), "{answered} of 1000 bytes");
        open.cut().await;
        let record = mesh.log.record(&open.audit_id).await.record;
        let said = (&record["status_detail"], &record["unmapped"]["ended_by"]);
        assert_eq!(said, (&json!("session_response_bytes"), &json!("transfer_not_allowed")));
        assert!(record["unmapped"]["ended_under"].as_str().unwrap().starts_with("orders@"));
        assert!(other.next().await.expect("it goes on").is_ok(), "another session's goes on");
        assert_eq!(mesh.send(&get(&twin), protocol).await.status, 200);
        assert_eq!(mesh.send(&get(&format!("{session}-fresh")), protocol).await.status, 200);
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_an_upload_goes_on_that_its_session_may_not_send() {
    let scenario = Scenario::new();
    let respond = |_: &Received| Answer::ok("{}").header(JSON.0, JSON.1);
    let mesh = mesh("totals-up", &scenario, json!({"max_session_request_bytes": 20}), respond).await;
    let pause = Duration::from_millis(80);
    let piece: &[u8] = b"01234567";
    for (protocol, session) in [(Protocol::Http1, "s-1"), (Protocol::Http2, "s-2")] {
        let token = scenario.token(session);
        let post = |token: &str| Call::new("POST", "/v1/orders").bearer(token).header(JSON.0, JSON.1);
        let before = mesh.upstream.bytes();
        let sent = || mesh.upstream.bytes() - before;
        assert_eq!(mesh.send(&post(&token).body("0123456789"), protocol).await.status, 200);
        // By its length it is more than is left, and nothing of it goes upstream.
        let (reply, entry) = mesh.observe(&post(&token).body("01234567890"), protocol).await;
        assert_eq!((reply.status, reply.json()["reason"].as_str()), (403, Some("transfer_not_allowed")));
        let said = (&entry.record["status_detail"], &entry.record["unmapped"]["decision"]);
        assert_eq!((said, sent()), ((&json!("session_request_bytes"), &json!("deny")), 10));
        // Without one it is cut with the piece that is too much; the client may be told, or find its connection closed.
        let ended = post(&token).pieces(&[piece, piece], pause).try_send(mesh.envoy.address(), protocol).await;
        assert!(ended.as_ref().map_or(true, |reply| reply.status == 403), "{ended:?}");
        let is_cut = |entry: &chaperone_tests::access_log::Entry| {
            entry.record["unmapped"]["ended_by"] == "transfer_not_allowed" && entry.record["actor"]["session"]["uid"] == session
        };
        let entry = mesh.log.wait_for("a cut", is_cut).await;
        assert_eq!(&entry.record["status_detail"], &json!("session_request_bytes"));
        assert!(sent() <= 18, "{} bytes", sent());
        // Two are left, and of another session all.
        assert_eq!(mesh.send(&post(&token).body("01"), protocol).await.status, 200);
        assert_eq!(mesh.send(&post(&token).body("0"), protocol).await.status, 403);
        assert_eq!(mesh.send(&Call::get("/v1/orders/7").bearer(&token), protocol).await.status, 200);
        let other = scenario.token(&format!("{session}-twin"));
        assert_eq!(mesh.send(&post(&other).body("01234567890123456789"), protocol).await.status, 200);
    }
    assert_eq!(mesh.envoy.traps(), 0);
}
