//! In a real Envoy: whatever wears our header prefix and came from outside is removed, on requests, responses and in trailers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    raw,
    scenario::Scenario,
    upstream::{Answer, Received, Upstream},
    wasm,
};

/// Headers and trailers of a request that wear our prefix, in any spelling.
fn ours(seen: &Received) -> Vec<(String, String)> {
    let all = seen.headers.iter().chain(&seen.trailers);
    let mut ours: Vec<_> =
        all.filter(|(name, _)| name.to_ascii_lowercase().replace('_', "-").starts_with("x-chaperone")).cloned().collect();
    ours.sort();
    ours
}

fn assert_none_forged(seen: &Received) {
    let ours = ours(seen);
    assert!(ours.iter().all(|(name, value)| !name.contains('_') && !value.contains("forged")), "{ours:?}");
    assert_eq!(seen.all("x-chaperone-session").len(), usize::from(!seen.path.starts_with("/healthz")), "{ours:?}");
}

const FORGED: [&str; 9] = [
    "x-chaperone-session: forged",
    "X-Chaperone-Session: forged",
    "X-CHAPERONE-SUBJECT: forged",
    "x_chaperone_session: forged",
    "x-chaperone_session: forged",
    "X_Chaperone-Decision: forged",
    "x-chaperone-audit-id: forged",
    "x-chaperone-anything: forged",
    "x-chaperone-: forged",
];

/// The shipped bootstrap drops names with underscores; Istio's listeners do not. The filter must not depend on it.
const UNDERSCORES_PASS: &[(&str, &str)] =
    &[("headers_with_underscores_action: DROP_HEADER", "headers_with_underscores_action: ALLOW")];

#[tokio::test(flavor = "multi_thread")]
async fn forged_request_headers_never_arrive() {
    let scenario = Scenario::new();
    for (name, settings) in [("forged", &[][..]), ("forged-underscores", UNDERSCORES_PASS)] {
        let mesh = Mesh::with(name, &scenario.policy(), Upstream::start().await, wasm::chaperone(), settings).await;
        for path in ["/v1/orders", "/healthz"] {
            let token = format!("authorization: Bearer {}", scenario.token("s-1"));
            // The token is for the mediated one only: unmediated requests have none.
            let mut headers: Vec<&[u8]> = FORGED.iter().map(|header| header.as_bytes()).collect();
            if path == "/v1/orders" {
                headers.push(token.as_bytes());
            }
            let reply = raw::http1(mesh.envoy.address(), &raw::request("GET", path.as_bytes(), &headers)).await;
            assert_eq!(reply.status, 200, "{name} {path}: {reply:?}");
            assert_none_forged(&mesh.upstream.last());
            let call =
                FORGED.iter().filter_map(|line| line.split_once(": ")).fold(Call::get(path), |call, (n, v)| call.header(n, v));
            let call = if path == "/v1/orders" { call.bearer(&scenario.token("s-1")) } else { call };
            assert_eq!(mesh.send(&call, Protocol::Http2).await.status, 200, "{name} {path}");
            assert_none_forged(&mesh.upstream.last());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_header_does_arrive() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("ordinary", &scenario).await;
    for protocol in Protocol::ALL {
        let call = Call::get("/v1/orders").bearer(&scenario.token("s-1")).header("x-chaperon", "one").header("accept", "a/b");
        assert_eq!(mesh.send(&call, protocol).await.status, 200);
        assert_eq!(mesh.upstream.last().header("x-chaperon"), Some("one"));
        assert_eq!(mesh.upstream.last().header("accept"), Some("a/b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_request_trailers_never_arrive() {
    let scenario = Scenario::new();
    for (name, settings) in [("trailers", &[][..]), ("trailers-underscores", UNDERSCORES_PASS)] {
        let mesh = Mesh::with(name, &scenario.policy(), Upstream::start().await, wasm::chaperone(), settings).await;
        let call = Call::grpc("users.v1.Users/Get", b"ping")
            .bearer(&scenario.token("s-1"))
            .trailer("x-chaperone-session", "forged")
            .trailer("x_chaperone_command", "forged")
            .trailer("x-checksum", "mine");
        let reply = mesh.send(&call, Protocol::Http2).await;
        assert_eq!(reply.grpc_status(), Some(0), "{name}: {reply:?}");
        let seen = mesh.upstream.last();
        assert_none_forged(&seen);
        assert_eq!(seen.trailers, [("x-checksum".to_owned(), "mine".to_owned())], "{name}: the caller's own trailer stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn naming_our_headers_in_connection_does_not_take_them_away() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("connection", &scenario).await;
    let token = format!("authorization: Bearer {}", scenario.token("s-1"));
    for named in
        ["x-chaperone-session", "X-Chaperone-Session, x-chaperone-subject", "close, x-chaperone-decision", "x_chaperone_session"]
    {
        let connection = format!("connection: {named}");
        let headers = [token.as_bytes(), connection.as_bytes(), b"x-chaperone-session: forged"];
        let reply = raw::http1(mesh.envoy.address(), &raw::request("GET", b"/v1/orders", &headers)).await;
        assert_eq!(reply.status, 200, "{named}: {reply:?}");
        let seen = mesh.upstream.last();
        assert_none_forged(&seen);
        assert_eq!(seen.header("x-chaperone-session"), Some("s-1"));
        assert!(seen.all("connection").iter().all(|value| !value.to_lowercase().contains("chaperone")), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_response_headers_and_trailers_never_arrive() {
    let scenario = Scenario::new();
    let upstream = Upstream::answering(|seen| {
        let answer = if seen.path.contains("Users") { Answer::grpc(b"pong") } else { Answer::echo(seen) };
        let answer = ["x-chaperone-audit-id", "x-chaperone-session", "x_chaperone_audit_id", "x-chaperone_command"]
            .iter()
            .fold(answer, |answer, name| answer.header(name, "forged"));
        answer
            .header("x-own", "mine")
            .trailer("x-chaperone-audit-id", "forged")
            .trailer("x_chaperone_session", "forged")
            .trailer("x-own", "mine")
    })
    .await;
    let mesh = Mesh::with("responses", &scenario.policy(), upstream, wasm::chaperone(), &[]).await;
    let token = scenario.token("s-1");
    let calls = [
        (Call::get("/v1/orders").bearer(&token), Protocol::Http1),
        (Call::get("/v1/orders").bearer(&token), Protocol::Http2),
        (Call::get("/healthz"), Protocol::Http1),
        (Call::grpc("users.v1.Users/Get", b"ping").bearer(&token), Protocol::Http2),
    ];
    for (call, protocol) in calls {
        let (reply, entry) = mesh.observe(&call, protocol).await;
        let all = reply.headers.iter().chain(&reply.trailers);
        let ours: Vec<_> = all.filter(|(name, _)| name.as_str().replace('_', "-").starts_with("x-chaperone")).collect();
        assert_eq!(ours.len(), 1, "{ours:?}");
        assert_eq!(entry.record["metadata"]["uid"], ours[0].1.to_str().expect("text"));
        assert_eq!(reply.header("x-own"), Some("mine"), "the target's own header stays");
        if protocol == Protocol::Http2 {
            assert_eq!(reply.trailers["x-own"], "mine", "the target's own trailer stays");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn override_headers_decide_nothing_and_never_arrive() {
    const OVERRIDES: [(&str, &str); 7] = [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("x-forwarded-uri", "/admin"),
        ("x-envoy-original-path", "/admin"),
    ];
    let scenario = Scenario::new();
    let mesh = Mesh::start("overrides", &scenario).await;
    for protocol in Protocol::ALL {
        let call = OVERRIDES.iter().fold(Call::get("/v1/orders"), |call, (name, value)| call.header(name, value));
        let (reply, entry) = mesh.observe(&call.bearer(&scenario.token("s-1")), protocol).await;
        assert_eq!(reply.status, 200);
        let seen = mesh.upstream.last();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/v1/orders"));
        for (name, _) in OVERRIDES {
            assert_eq!(seen.all(name), [""; 0], "{name}");
        }
        assert_eq!(entry.record["http_request"]["url"]["path"], "/v1/orders", "the record does not believe the caller either");
        assert_eq!(entry.record["api"]["operation"], "orders.list");
    }
}
