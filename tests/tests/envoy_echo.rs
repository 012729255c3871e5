//! In a real Envoy: a target that sends its credential back does not reach the caller with it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    install,
    mesh::Mesh,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Received, Upstream},
    wasm,
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// `the-credential-of-orders`.
const SECRET: &str = CREDENTIAL.1;

/// A target that shows what it was sent, in the fields that a test wants and everywhere else not.
async fn echoing() -> Upstream {
    Upstream::answering(|received| {
        let shown = received.header("authorization").unwrap_or("nothing").to_owned();
        match received.header("content-type") {
            Some(kind) if kind.starts_with("application/grpc") => {
                Answer::grpc(b"pong").trailer("grpc-message", &format!("got {shown}")).trailer("x-own", "mine")
            }
            _ => Answer::ok("hello")
                .header("authorization", &shown)
                .header("set-cookie", "theme=dark")
                .header("set-cookie", format!("auth={}; secure", shown.replace(' ', "%20").replace('-', "%2D")))
                .header("location", format!("https://elsewhere.example/?t={shown}"))
                .header("x-own", "mine")
                .trailer("x-shown", &shown)
                .trailer("x-own", "mine"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_trailers_lose_it_and_keep_the_rest() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("echo", &scenario.policy(), echoing().await, wasm::chaperone(), &[]).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        let (reply, entry) = mesh.observe(&Call::get("/v1/orders").bearer(&token), protocol).await;
        let all = format!("{:?} {:?}", reply.headers, reply.trailers);
        assert!(!all.contains("the-credential") && !all.contains("the%2Dcredential"), "{all}");
        assert_eq!((reply.status, reply.header("x-own"), reply.text().as_str()), (200, Some("mine"), "hello"));
        assert!(reply.headers.get("set-cookie").is_none(), "no host call takes one of two: both are gone");
        let mut expected = vec!["authorization", "set-cookie", "location"];
        if protocol == Protocol::Http2 {
            assert_eq!(reply.trailers["x-own"], "mine");
            expected.push("x-shown");
        }
        let mut named: Vec<&str> = entry.record["unmapped"]["credential_echoed"].as_array().unwrap().iter().map(text).collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert_eq!((entry.reason(), &entry.record["severity_id"]), ("allowed", &json!(4)));
        assert!(!entry.line.to_string().contains(SECRET));
    }
    let (reply, entry) = mesh.observe(&Call::grpc("users.v1.Users/Get", b"ping").bearer(&token), Protocol::Http2).await;
    assert_eq!(reply.grpc_status(), Some(0), "{reply:?}");
    assert!(reply.trailers.get("grpc-message").is_none() && reply.trailers["x-own"] == "mine");
    assert_eq!(entry.record["unmapped"]["credential_echoed"], json!(["grpc-message"]));
    // Who has no session is given none, and loses nothing.
    let (reply, entry) = mesh.observe(&Call::get("/healthz"), Protocol::Http1).await;
    assert_eq!(reply.header("authorization"), Some("nothing"));
    assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!((&entry.record["unmapped"]["credential_echoed"], &entry.record["severity_id"]), (&Value::Null, &json!(1)));
    tokio::time::sleep(Duration::from_millis(600)).await;
    let counted = mesh.envoy.stats("chaperone.credential_echoed").await;
    assert_eq!(counted.iter().map(|(_, value)| value).sum::<u64>(), 3, "{counted:?}");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn cutting(scenario: &Scenario) -> Value {
    let mut policy = scenario.policy();
    policy["upstream"]["echoed_credential"] = json!("cut");
    policy
}

/// What of a body reaches the client, and whether it came to its regular end.
async fn read(mesh: &Mesh, call: &Call, protocol: Protocol) -> (Vec<u8>, bool, String) {
    let mut connection = Connection::open(mesh.envoy.address(), protocol).await.expect("Envoy listens");
    let response = connection.start(call).await.expect("a response");
    let audit_id = response.headers()["x-chaperone-audit-id"].to_str().unwrap().to_owned();
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    let whole = timeout(Duration::from_secs(10), async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            }
        }
    });
    let whole = whole.await.expect("the body ends");
    (bytes, whole, audit_id)
}

/// By the path's last part.
fn body_of(received: &Received) -> Answer {
    let shown = received.header("authorization").unwrap_or_default().to_owned();
    let (first, rest) = shown.split_at(shown.len() / 2);
    let pieces = |pieces: &[&str], open| Answer::pieces(pieces, Duration::from_millis(60), open);
    match received.path.rsplit('/').next().unwrap_or_default() {
        "short" => Answer::ok(format!("{{\"got\":\"{shown}\"}}")),
        "split" => pieces(&["a beginning, ", &format!("you sent {first}"), &format!("{rest}, and more")], false),
        "bytes" => {
            let text = format!("you sent {shown}, and more");
            let single: Vec<&str> = text.split("").filter(|piece| !piece.is_empty()).collect();
            Answer::pieces(&single, Duration::from_millis(2), false)
        }
        "event" => pieces(&["data: 1\n\n", &format!("data: {shown}\n\n"), "data: 3\n\n"], true),
        "beginning" => pieces(&["it begins with the-cred", "it, and is another"], false),
        "end" => Answer::ok("the-credential-of"),
        "live" => pieces(&["data: the\n\n", "data: th", "e\n\n"], false),
        "coded" => Answer::ok("not really").header("content-encoding", "gzip"),
        "echoed" => Answer::ok(format!("{:?}", received.headers)).status(200),
        _ => Answer::ok("hello"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_option_no_body_carries_it_to_the_caller() {
    let scenario = Scenario::new();
    let upstream = Upstream::answering(body_of).await;
    let mesh = Mesh::with("echo-cut", &cutting(&scenario), upstream, wasm::chaperone(), &[]).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        for path in ["short", "split", "bytes", "event", "echoed"] {
            let call = Call::get(&format!("/v1/orders/{path}")).bearer(&token);
            let (bytes, whole, audit_id) = read(&mesh, &call, protocol).await;
            let got = String::from_utf8_lossy(&bytes);
            // Envoy 1.36 resets with NO_ERROR, which clients of HTTP/2 may take for an end.
            let may_look_whole = protocol == Protocol::Http2 && !install::is_at_least(37);
            assert!(!whole || may_look_whole, "{protocol:?} {path}: {got}");
            // At most three bytes of it, and those at the end.
            assert!(!got.contains("the-"), "{protocol:?} {path}: {got}");
            let entry = mesh.log.record(&audit_id).await;
            let seen = (entry.reason(), &entry.record["unmapped"]["ended_by"], &entry.record["severity_id"]);
            assert_eq!(seen, ("credential_echoed", &json!("credential_echoed"), &json!(4)), "{path}");
            assert!(!entry.line.to_string().contains(SECRET));
        }
        for (path, expected) in [
            ("beginning", "it begins with the-credit, and is another"),
            ("end", "the-credential-of"),
            ("live", "data: the\n\ndata: the\n\n"),
            ("7", "hello"),
        ] {
            let (bytes, whole, audit_id) = read(&mesh, &Call::get(&format!("/v1/orders/{path}")).bearer(&token), protocol).await;
            assert_eq!((String::from_utf8_lossy(&bytes).as_ref(), whole), (expected, true), "{protocol:?} {path}");
            let record = mesh.log.record(&audit_id).await.record;
            let heads = record["unmapped"]["bytes_down"].as_u64().unwrap() - expected.len() as u64;
            assert!((20..400).contains(&heads), "each byte is counted once: {record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_option_a_coded_response_is_not_asked_for_and_not_passed_on() {
    let scenario = Scenario::new();
    let upstream = Upstream::answering(body_of).await;
    let mesh = Mesh::with("echo-coded", &cutting(&scenario), upstream, wasm::chaperone(), &[]).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        let coded =
            Call::get("/v1/orders/coded").bearer(&token).header("accept-encoding", "gzip, br").header("range", "bytes=7-9");
        let (reply, entry) = mesh.observe(&coded, protocol).await;
        assert_eq!((reply.status, reply.json()["reason"].as_str()), (502, Some("credential_echoed")), "{reply:?}");
        assert_eq!((entry.reason(), &entry.record["http_response"]["code"]), ("credential_echoed", &json!(502)));
        assert_eq!(entry.record["status_detail"], "the response is coded, and cannot be read");
        let seen = mesh.upstream.last();
        assert_eq!((seen.header("accept-encoding"), seen.header("range")), (Some("identity"), None));
        // A target that codes what is unmediated is nobody's danger.
        assert_eq!(mesh.send(&Call::get("/healthz").header("accept-encoding", "gzip"), protocol).await.status, 200);
        assert_eq!(mesh.upstream.last().header("accept-encoding"), Some("gzip"));
    }
}

/// A gRPC stream whose messages are longer than what is held, and whose trailers come after a held piece.
#[tokio::test(flavor = "multi_thread")]
async fn under_the_option_trailers_follow_what_was_held() {
    let scenario = Scenario::new();
    let upstream = Upstream::answering(|_| Answer::grpc(b"the-cred").trailer("x-own", "mine")).await;
    let mesh = Mesh::with("echo-grpc", &cutting(&scenario), upstream, wasm::chaperone(), &[]).await;
    let (reply, entry) =
        mesh.observe(&Call::grpc("users.v1.Users/Get", b"ping").bearer(&scenario.token("s-1")), Protocol::Http2).await;
    assert_eq!((reply.grpc_status(), &reply.body[5..]), (Some(0), b"the-cred".as_slice()), "{reply:?}");
    assert_eq!((reply.trailers["x-own"].to_str().unwrap(), entry.reason()), ("mine", "allowed"));
}
