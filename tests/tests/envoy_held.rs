//! In a real Envoy: requests that wait for what their decision needs, a whole body or a credential that is had by an exchange. In a
//! build for tests, whose documents ask for bodies without more ado.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    envoy::Update,
    mesh::Mesh,
    raw,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Upstream},
    wasm,
    wiring::{CLUSTERS, cluster},
};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

const MOST: usize = 1024;
const EXCHANGED: &str = "had-for-the-token-of-the-session";

fn policy(scenario: &Scenario) -> Value {
    let mut policy = scenario.policy();
    let commands = policy["commands"].as_object_mut().unwrap();
    let at = |path: &str| json!({"http": {"methods": ["POST"], "path": path}});
    let body = |most: usize| json!({"body": {"most_bytes": most, "has": "please"}});
    commands.insert("hold.body".into(), json!({"matchers": at("/v1/body"), "needs": body(MOST)}));
    commands.insert("hold.large".into(), json!({"matchers": at("/v1/large"), "needs": body(8 << 20)}));
    commands.insert("hold.later".into(), at("/v1/later"));
    commands.insert("hold.both".into(), json!({"matchers": at("/v1/both"), "needs": body(MOST)}));
    let exchange = json!({"cluster": "sts", "authority": "sts.example", "path": "/token", "audience": "orders",
        "client": {"id": "chaperone", "secret": format!("${{env:{}}}", CREDENTIAL.0)}});
    let known = policy["upstream"]["credential"].clone();
    policy["upstream"]["credential"] = json!([{"exchange": exchange, "for": ["hold.later", "hold.both"]}, known]);
    policy["grants"][0]["allow"].as_array_mut().unwrap().push(json!("hold.*"));
    policy
}

/// With the endpoint that gives [`EXCHANGED`] after a while.
async fn mesh(name: &str, policy: &Value) -> (Mesh, Upstream) {
    let answer = json!({"access_token": EXCHANGED, "token_type": "Bearer", "expires_in": 300,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
    let endpoint = Upstream::answering(move |_| Answer::ok(answer.to_string()).after(Duration::from_millis(900))).await;
    let clusters = cluster("sts", endpoint.address());
    let mesh = Mesh::with(name, policy, Upstream::start().await, wasm::for_tests(), &[(CLUSTERS, &clusters)]).await;
    (mesh, endpoint)
}

/// An HTTP/1.1 request whose body comes in pieces.
struct Pieces(TcpStream);

impl Pieces {
    async fn begin(mesh: &Mesh, path: &str, token: &str) -> Self {
        let mut socket = TcpStream::connect(mesh.envoy.address()).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: orders.example\r\nauthorization: Bearer {token}\r\ntransfer-encoding: chunked\r\n\
             te: trailers\r\nconnection: close\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        Self(socket)
    }

    async fn piece(&mut self, text: &str) {
        self.0.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await.unwrap();
    }

    async fn end(&mut self, trailers: &str) {
        self.0.write_all(format!("0\r\n{trailers}\r\n").as_bytes()).await.unwrap();
    }

    /// The whole answer as text.
    async fn answer(&mut self) -> String {
        let mut text = Vec::new();
        timeout(Duration::from_secs(20), self.0.read_to_end(&mut text)).await.expect("an answer in time").unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_upstream_before_the_whole_body_is_judged() {
    let scenario = Scenario::new();
    let (mesh, _endpoint) = mesh("held-body", &policy(&scenario)).await;
    for round in 0..4 {
        let mut request = Pieces::begin(&mesh, "/v1/body", &scenario.token("s-1")).await;
        for piece in ["pretty ", "ple", "ase"] {
            sleep(Duration::from_millis(150)).await;
            assert_eq!(mesh.upstream.count(), round, "before {piece}");
            request.piece(piece).await;
        }
        sleep(Duration::from_millis(150)).await;
        assert_eq!(mesh.upstream.count(), round, "before its end");
        // Half of the rounds end in trailers, which may wear nothing of ours either.
        let trailers = if round % 2 == 0 { "" } else { "x-sum: 1\r\nx-chaperone-session: somebody\r\n" };
        request.end(trailers).await;
        let answer = request.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(mesh.upstream.count(), round + 1);
        let seen = mesh.upstream.last();
        assert_eq!(&seen.body[..], b"pretty please");
        assert_eq!(seen.header("x-chaperone-session"), Some("s-1"));
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {}", CREDENTIAL.1).as_str()));
        assert!(!seen.trailers.iter().any(|(name, _)| name == "x-chaperone-session"), "{seen:?}");
    }
    for protocol in Protocol::ALL {
        let call = Call::new("POST", "/v1/body").bearer(&scenario.token("s-1")).body("please").trailer("x-sum", "1");
        let (reply, entry) = mesh.observe(&call, protocol).await;
        assert_eq!(reply.status, 200);
        assert_eq!(&mesh.upstream.last().body[..], b"please");
        assert_eq!((&entry.record["status_code"], &entry.record["api"]["operation"]), (&json!("allowed"), &json!("hold.body")));
        let up = entry.record["unmapped"]["bytes_up"].as_u64().unwrap();
        assert!((200..2000).contains(&up), "{up} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_will_not_do_is_answered_once_and_goes_nowhere() {
    let scenario = Scenario::new();
    let (mesh, _endpoint) = mesh("held-denied", &policy(&scenario)).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        for (body, trailer, status, reason) in [
            ("rm -rf".to_owned(), false, 403, "unknown_command"),
            ("rm -rf".to_owned(), true, 403, "unknown_command"),
            (String::new(), false, 403, "unknown_command"),
            ("please ".repeat(MOST), false, 503, "overloaded"),
        ] {
            let mut call = Call::new("POST", "/v1/body").bearer(&token).body(body);
            if trailer {
                call = call.trailer("x-sum", "1");
            }
            let (reply, entry) = mesh.observe(&call, protocol).await;
            assert_eq!((reply.status, entry.reason()), (status, reason));
            assert_eq!(entry.details(), format!("chaperone{{{reason}}}"));
        }
    }
    // Too long, and not even ended.
    let mut request = Pieces::begin(&mesh, "/v1/body", &token).await;
    request.piece(&"x".repeat(MOST + 1)).await;
    let answer = request.answer().await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(mesh.upstream.count(), 0);
    assert_eq!(mesh.envoy.traps(), 0);
    assert_eq!(mesh.send(&Call::get("/v1/orders").bearer(&token), Protocol::Http1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_comes_later_lets_go_what_waited_for_it() {
    let scenario = Scenario::new();
    let (mesh, _endpoint) = mesh("held-credential", &policy(&scenario)).await;
    let sessions = Cell::new(0);
    let check = async |call: Call, protocol: Protocol, body: &[u8]| {
        // Each asks for its own.
        sessions.set(sessions.get() + 1);
        let call = call.bearer(&scenario.token(&format!("s-{}", sessions.get())));
        let before = Instant::now();
        let (reply, entry) = mesh.observe(&call, protocol).await;
        assert_eq!(reply.status, 200);
        assert!(before.elapsed() >= Duration::from_millis(900), "it waited for {:?}", before.elapsed());
        let seen = mesh.upstream.last();
        assert_eq!((&seen.body[..], seen.header("authorization")), (body, Some(format!("Bearer {EXCHANGED}").as_str())));
        assert!(!seen.trailers.iter().any(|(name, _)| name == "x-chaperone-session"), "{seen:?}");
        assert_eq!(entry.record["unmapped"]["credential_ref"], "exchange:sts:orders");
    };
    for protocol in Protocol::ALL {
        for path in ["/v1/later", "/v1/both"] {
            let call = Call::new("POST", path).body("please");
            check(call.clone(), protocol, b"please").await;
            check(call.trailer("x-sum", "1").trailer("x-chaperone-session", "somebody"), protocol, b"please").await;
        }
        check(Call::new("POST", "/v1/later"), protocol, b"").await;
    }
    // The same where the proxy holds the body with the head, and shows it only afterwards.
    let whole = [("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false")];
    let mut other = policy(&scenario);
    other["generation"] = json!(2);
    mesh.envoy.write_ecds_with(&other, wasm::for_tests(), &whole);
    wait_for_generation(&mesh, 2).await;
    for protocol in Protocol::ALL {
        check(Call::new("POST", "/v1/later").body("please").trailer("x-sum", "1"), protocol, b"please").await;
    }
    // There a body is shown to what waits for it when its head has gone on, and that is too late: noticed at the next tick.
    let count = mesh.upstream.count();
    let before = Instant::now();
    let call = Call::new("POST", "/v1/body").bearer(&scenario.token("s-1")).body("please");
    let (reply, entry) = mesh.observe(&call, Protocol::Http1).await;
    assert_eq!((reply.status, entry.reason()), (503, "internal_error"));
    assert!(before.elapsed() < Duration::from_secs(3), "after {:?}", before.elapsed());
    assert_eq!(mesh.upstream.count(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_judges_what_waits() {
    let scenario = Scenario::new();
    let (mesh, _endpoint) = mesh("held-update", &policy(&scenario)).await;
    let begin = async || {
        let mut requests = Vec::new();
        for session in ["s-1", "s-2", "s-1", "s-2", "s-1", "s-2"] {
            let mut request = Pieces::begin(&mesh, "/v1/body", &scenario.token(session)).await;
            request.piece("plea").await;
            requests.push((session, request));
        }
        sleep(Duration::from_millis(300)).await;
        requests
    };
    let waiting = begin().await;
    let mut revoking = policy(&scenario);
    revoking["generation"] = json!(2);
    revoking["revoked"] = json!([{"session": "s-1", "because": "INC-42"}]);
    assert_eq!(mesh.envoy.update(&revoking).await, Update::Applied);
    for (session, mut request) in waiting {
        if session == "s-1" {
            // Without another byte of it.
            let answer = timeout(Duration::from_secs(2), request.answer()).await.expect("denied by the update");
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        } else {
            request.piece("se").await;
            request.end("").await;
            let answer = request.answer().await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    assert_eq!(mesh.upstream.count(), 3);
    assert!(mesh.upstream.received().iter().all(|seen| seen.header("x-chaperone-session") == Some("s-2")));
    let entry = mesh.log.wait_for("a denial by the update", |entry| entry.record["status_code"] == "revoked").await;
    assert_eq!((&entry.record["status_detail"], &entry.record["unmapped"]["decision"]), (&json!("INC-42"), &json!("deny")));
    // A body is judged by the newest policy as well as by the one that it began under.
    let mut request = Pieces::begin(&mesh, "/v1/body", &scenario.token("s-2")).await;
    request.piece("plea").await;
    sleep(Duration::from_millis(300)).await;
    let mut stricter = policy(&scenario);
    stricter["generation"] = json!(3);
    stricter["commands"]["hold.body"]["needs"]["body"]["has"] = json!("pretty please");
    assert_eq!(mesh.envoy.update(&stricter).await, Update::Applied);
    request.piece("se").await;
    request.end("").await;
    let answer = request.answer().await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(mesh.upstream.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_while_it_waits_is_on_record_and_its_place_is_free() {
    let scenario = Scenario::new();
    let mut tight = policy(&scenario);
    tight["limits"] = json!({"streams_per_session": 1});
    let (mesh, _endpoint) = mesh("held-gone", &tight).await;
    for (path, reason) in [("/v1/body", "ambiguous_request"), ("/v1/later", "credential_unavailable")] {
        for round in 0..6 {
            let session = format!("s-{reason}-{round}");
            let mut request = Pieces::begin(&mesh, path, &scenario.token(&session)).await;
            request.piece("plea").await;
            sleep(Duration::from_millis(200)).await;
            drop(request);
            let of_it = |record: &Value| record["actor"]["session"]["uid"] == session.as_str();
            let entry = mesh.log.wait_for("a client that has gone", |entry| of_it(&entry.record)).await;
            assert_eq!(entry.record["status_code"], reason);
            assert_eq!(mesh.upstream.count(), 0, "nothing has gone upstream");
        }
    }
    // One stream a session and worker: none of those is left over.
    for reason in ["ambiguous_request", "credential_unavailable"] {
        for round in 0..6 {
            let call = Call::get("/v1/orders").bearer(&scenario.token(&format!("s-{reason}-{round}")));
            assert_eq!(mesh.send(&call, Protocol::Http2).await.status, 200);
        }
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

/// The proxy itself answers a request that waits, as its body is more than the proxy keeps: the filter has no second word.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_answers_is_answered_once() {
    let scenario = Scenario::new();
    let (mesh, _endpoint) = mesh("held-latched", &policy(&scenario)).await;
    let token = scenario.token("s-1");
    for round in 0..6 {
        let head = format!("authorization: Bearer {token}\r\ncontent-length: 4194304");
        let mut request = raw::request("POST", b"/v1/large", &[head.as_bytes()]);
        request.extend(vec![b'x'; 4 << 20]);
        // Envoy may close before all of it is written, so that the answer is lost on the way: the log has it.
        let mut socket = TcpStream::connect(mesh.envoy.address()).await.unwrap();
        let _ = socket.write_all(&request).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
        let answered = |entry: &chaperone_tests::access_log::Entry| entry.record["api"]["operation"] == "hold.large";
        let deadline = Instant::now() + Duration::from_secs(10);
        while mesh.log.entries().iter().filter(|entry| answered(entry)).count() <= round {
            assert!(Instant::now() < deadline, "round {round} is not on record");
            sleep(Duration::from_millis(50)).await;
        }
    }
    let entries = mesh.log.entries();
    for entry in entries.iter().filter(|entry| entry.record["api"]["operation"] == "hold.large") {
        assert_eq!(entry.record["status_code"], "ambiguous_request");
        assert_eq!(entry.record["http_response"]["code"], 413);
    }
    assert_eq!(mesh.upstream.count(), 0);
    assert_eq!(mesh.envoy.traps(), 0);
    assert_eq!(mesh.send(&Call::new("POST", "/v1/body").bearer(&token).body("please"), Protocol::Http1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_that_ships_knows_no_such_commands() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("held-ships", &scenario).await;
    assert_eq!(mesh.envoy.update(&policy(&scenario)).await, Update::Rejected);
}

async fn wait_for_generation(mesh: &Mesh, generation: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while mesh.envoy.stats("policy_generation").await.iter().all(|(_, value)| *value != generation) {
        assert!(Instant::now() < deadline, "generation {generation} is not served");
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(500)).await;
}
