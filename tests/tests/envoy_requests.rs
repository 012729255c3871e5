//! In a real Envoy, over HTTP/1.1, HTTP/2 and gRPC: what is allowed, what is denied and how, and what is on record.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    access_log::Entry,
    client::{Call, Connection, Protocol, Reply},
    mesh::Mesh,
    scenario::{CREDENTIAL, Scenario, now},
    upstream::{Answer, Received, Upstream},
    wasm,
};
use http_body_util::BodyExt;
use serde_json::json;
use std::time::{Duration, Instant};

/// What the target must see of an allowed request, and what not.
fn assert_mediated(seen: &Received, token: &str, session: &str, command: &str, reply: &Reply) {
    assert_eq!(seen.all("authorization"), [format!("Bearer {}", CREDENTIAL.1)], "the credential, and nothing else: {seen:?}");
    assert!(seen.headers.iter().all(|(_, value)| !value.contains(token)), "the session token went upstream: {seen:?}");
    assert_eq!(seen.header("x-chaperone-session"), Some(session));
    assert_eq!(seen.header("x-chaperone-subject"), Some("agent-7"));
    assert_eq!(seen.header("x-chaperone-command"), Some(command));
    assert_eq!(seen.header("x-chaperone-decision"), Some("allow"));
    assert_eq!(seen.header("x-chaperone-audit-id"), Some(reply.audit_id()));
    let expires: u64 = seen.header("x-chaperone-expires-at").expect("when it ends").parse().expect("Unix seconds");
    assert!((now()..=now() + 300).contains(&expires), "{expires}");
    let (name, revision) = seen.header("x-chaperone-policy").and_then(|policy| policy.split_once('@')).expect("name@revision");
    assert_eq!((name, revision.len()), ("orders", 12));
    assert_only_the_audit_id(reply);
}

/// Of our headers, a response carries the audit id alone.
fn assert_only_the_audit_id(reply: &Reply) {
    let ours: Vec<&str> = reply.headers.keys().chain(reply.trailers.keys()).map(|name| name.as_str()).collect();
    let ours: Vec<&&str> = ours.iter().filter(|name| name.replace('_', "-").starts_with("x-chaperone-")).collect();
    assert_eq!(ours, [&"x-chaperone-audit-id"]);
}

fn assert_recorded(entry: &Entry, reason: &str, session: Option<&str>, command: Option<&str>) {
    let record = &entry.record;
    assert_eq!(entry.reason(), reason, "{record:#}");
    assert_eq!(record["class_uid"], 6003);
    assert_eq!(record["actor"]["session"]["uid"].as_str(), session, "{record:#}");
    assert_eq!(record["api"]["operation"].as_str(), command, "{record:#}");
    assert_eq!(record["http_response"]["code"], entry.line["response_code"], "{record:#}");
    assert!(record["http_request"]["http_method"].is_string(), "{record:#}");
    assert!(record["http_request"]["url"]["path"].as_str().is_some_and(|path| path.starts_with('/')), "{record:#}");
    assert_eq!(record["src_endpoint"]["ip"], "127.0.0.1", "{record:#}");
    assert_eq!(entry.worker().len(), 32, "128 bits in hex: {record:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_request_is_mediated_and_recorded() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("allowed", &scenario).await;
    for protocol in Protocol::ALL {
        let token = scenario.token("s-1");
        let (reply, entry) = mesh.observe(&Call::get("/v1/orders?page=2").bearer(&token), protocol).await;
        assert_eq!(reply.status, 200, "{protocol:?}: {reply:?}");
        let seen = mesh.upstream.last();
        assert_eq!(
            (seen.method.as_str(), seen.path.as_str(), seen.host.as_str()),
            ("GET", "/v1/orders?page=2", "orders.example")
        );
        assert_mediated(&seen, &token, "s-1", "orders.list", &reply);
        assert_recorded(&entry, "allowed", Some("s-1"), Some("orders.list"));
        assert_eq!(entry.details(), "via_upstream");
        assert_eq!(entry.record["metadata"]["uid"], reply.audit_id());
        assert_eq!(entry.record["http_request"]["http_method"], "GET");
        assert_eq!(entry.record["http_request"]["url"]["path"], "/v1/orders", "without the query");
        let bytes = |name: &str| entry.record["unmapped"][name].as_u64();
        assert!(bytes("bytes_up").is_some_and(|bytes| bytes > token.len() as u64), "{:#}", entry.record);
        assert!(bytes("bytes_down").is_some_and(|bytes| bytes > 0), "{:#}", entry.record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_through_whole() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("body", &scenario).await;
    for protocol in Protocol::ALL {
        let call = Call::new("POST", "/v1/orders").bearer(&scenario.token("s-1")).body(vec![b'x'; 300_000]);
        assert_eq!(mesh.send(&call, protocol).await.status, 200);
        assert_eq!(mesh.upstream.last().body_len, 300_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_allowed_and_denied_in_its_own_words() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("grpc", &scenario).await;
    let token = scenario.token("s-1");
    let call = |method: &str| Call::grpc(method, b"ping");

    let (reply, entry) = mesh.observe(&call("users.v1.Users/Get").bearer(&token), Protocol::Http2).await;
    assert_eq!((reply.status, reply.grpc_status()), (200, Some(0)), "{reply:?}");
    assert_eq!(&reply.body[..], b"\0\0\0\0\x04pong");
    let seen = mesh.upstream.last();
    assert_mediated(&seen, &token, "s-1", "users.get", &reply);
    assert_eq!(seen.body_len, 9);
    assert_recorded(&entry, "allowed", Some("s-1"), Some("users.get"));

    let denials = [
        (call("users.v1.Users/Get"), 16, "token_missing"),
        (call("users.v1.Users/Get").bearer(&scenario.forged("s-1")), 16, "signature_invalid"),
        (call("users.v1.Users/Delete").bearer(&token), 7, "command_not_granted"),
        (call("users.v1.Users/Drop").bearer(&token), 7, "unknown_command"),
        (call("users.v1.Users/Get").bearer(&token).bearer(&token), 3, "token_ambiguous"),
    ];
    for (call, status, reason) in denials {
        let (reply, entry) = mesh.observe(&call, Protocol::Http2).await;
        assert_eq!((reply.status, reply.grpc_status()), (200, Some(status)), "{reason}: {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/grpc"));
        assert_eq!(entry.reason(), reason);
        assert_eq!(entry.details(), format!("chaperone{{{reason}}}"));
    }
    assert_eq!(mesh.upstream.count(), 1, "no denied call may reach the target");
}

/// A request that must be denied.
struct Denied {
    call: Call,
    status: u16,
    reason: &'static str,
    /// What the client is told: less than the record, until the signature is verified.
    told: &'static str,
    challenge: Option<&'static str>,
}

fn denials(scenario: &Scenario) -> Vec<Denied> {
    const INVALID: Option<&str> = Some("error=\"invalid_token\"");
    const SCOPE: Option<&str> = Some("error=\"insufficient_scope\"");
    let list = || Call::get("/v1/orders");
    let row = |call, status, reason, told, challenge| Denied { call, status, reason, told, challenge };
    let good = scenario.token("s-1");
    let past = scenario.token_with("s-1", json!({"iat": now() - 400, "exp": now() - 1}));
    let early = scenario.token_with("s-1", json!({"nbf": now() + 60}));
    let long = scenario.token_with("s-1", json!({"exp": now() + 3600}));
    let narrow = scenario.token_with("s-1", json!({"commands": ["orders.read"]}));
    vec![
        row(list(), 401, "token_missing", "token_missing", Some("Bearer")),
        row(list().bearer(&good).bearer(&good), 400, "token_ambiguous", "token_rejected", None),
        row(list().bearer("nothing"), 401, "token_malformed", "token_rejected", INVALID),
        row(list().bearer(&scenario.forged("s-1")), 401, "signature_invalid", "token_rejected", INVALID),
        row(
            list().bearer(&scenario.token_with("s-1", json!({"iss": "https://else"}))),
            401,
            "issuer_unknown",
            "token_rejected",
            INVALID,
        ),
        row(
            list().bearer(&scenario.token_with("s-1", json!({"aud": "else"}))),
            401,
            "audience_mismatch",
            "token_rejected",
            INVALID,
        ),
        row(list().bearer(&scenario.token_with("s-1", json!({"sid": null}))), 401, "claims_invalid", "token_rejected", INVALID),
        row(list().bearer(&early), 401, "not_yet_valid", "not_yet_valid", INVALID),
        row(list().bearer(&past), 401, "expired", "expired", INVALID),
        row(list().bearer(&long), 401, "lifetime_exceeded", "lifetime_exceeded", INVALID),
        row(Call::get("/v1/else").bearer(&good), 403, "unknown_command", "unknown_command", SCOPE),
        row(list().host("else.example").bearer(&good), 403, "unknown_command", "unknown_command", SCOPE),
        row(list().bearer(&narrow), 403, "command_not_in_token", "command_not_in_token", SCOPE),
        row(Call::new("DELETE", "/v1/orders/7").bearer(&good), 403, "command_not_granted", "command_not_granted", SCOPE),
        row(Call::get("/v1/orders/../admin").bearer(&good), 400, "ambiguous_request", "ambiguous_request", None),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_request_is_told_recorded_and_goes_nowhere() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("denied", &scenario).await;
    for protocol in Protocol::ALL {
        for Denied { call, status, reason, told, challenge } in denials(&scenario) {
            let (reply, entry) = mesh.observe(&call, protocol).await;
            assert_eq!(reply.status, status, "{reason} over {protocol:?}: {reply:?}");
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{reason}");
            let problem = reply.json();
            assert_eq!(problem["reason"], told, "{reason}");
            assert_eq!(problem["status"], status, "{reason}");
            assert_eq!(problem["audit_id"], reply.audit_id(), "{reason}");
            assert!(problem["title"].is_string() && problem["type"].is_string(), "{reason}: {problem}");
            if let Some(part) = challenge {
                let header = reply.header("www-authenticate").unwrap_or_default();
                assert!(header.starts_with("Bearer") && header.contains(part), "{reason}: {header}");
                assert!(reason != "token_missing" || !header.contains("error="), "no token, no error code: {header}");
            }
            assert_only_the_audit_id(&reply);
            assert_eq!(entry.reason(), reason, "{:#}", entry.record);
            assert_eq!(entry.details(), format!("chaperone{{{reason}}}"));
            assert_eq!(entry.record["http_response"]["code"], status);
        }
    }
    assert_eq!(mesh.upstream.count(), 0, "no denied request may reach the target: {:?}", mesh.upstream.received());
    // The positive twin: this very mesh does let a good request through.
    assert_eq!(mesh.send(&Call::get("/v1/orders").bearer(&scenario.token("s-1")), Protocol::Http1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unmediated_command_needs_no_session_and_gets_no_credential() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("unmediated", &scenario).await;
    for protocol in Protocol::ALL {
        let (reply, entry) = mesh.observe(&Call::get("/healthz"), protocol).await;
        assert_eq!(reply.status, 200);
        assert_eq!(mesh.upstream.last().all("authorization"), [""; 0]);
        assert_recorded(&entry, "allowed", None, Some("health"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_credential_nothing_goes_upstream() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    policy["upstream"]["credential"]["value"] = json!("Bearer ${env:NOT_GIVEN_TO_ENVOY}");
    let mesh = Mesh::with("no-credential", &policy, Upstream::start().await, wasm::chaperone(), &[]).await;
    let (reply, entry) = mesh.observe(&Call::get("/v1/orders").bearer(&scenario.token("s-1")), Protocol::Http1).await;
    assert_eq!((reply.status, entry.reason()), (503, "credential_unavailable"));
    assert_eq!(entry.record["status_detail"], "env:NOT_GIVEN_TO_ENVOY", "which one");
    assert_eq!(mesh.upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_credential_is_written_down_anywhere() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("secrets", &scenario).await;
    let (good, forged) = (scenario.token("s-1"), scenario.forged("s-1"));
    for token in [&good, &forged] {
        mesh.observe(&Call::get("/v1/orders").bearer(token), Protocol::Http2).await;
        mesh.observe(&Call::get(&format!("/v1/orders?access_token={token}")).bearer(token), Protocol::Http1).await;
    }
    let log = std::fs::read_to_string(&mesh.log.0).expect("the access log");
    let written = [("access log", log), ("Envoy's log", mesh.envoy.log()), ("config dump", mesh.envoy.config_dump().await)];
    for (place, text) in written {
        assert!(text.len() > 100, "the {place} was read");
        for secret in [good.as_str(), forged.as_str(), CREDENTIAL.1] {
            let signature = secret.rsplit('.').next().unwrap_or(secret);
            assert!(!text.contains(signature), "the {place} has a secret in it");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_is_not_held_back() {
    const PAUSE: Duration = Duration::from_millis(300);
    let scenario = Scenario::new();
    let upstream = Upstream::answering(|_| Answer::events(4, PAUSE)).await;
    let mesh = Mesh::with("stream", &scenario.policy(), upstream, wasm::chaperone(), &[]).await;
    for protocol in Protocol::ALL {
        let mut connection = Connection::open(mesh.envoy.address(), protocol).await.expect("Envoy listens");
        let began = Instant::now();
        let response = connection.start(&Call::get("/v1/feed").bearer(&scenario.token("s-1"))).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let mut body = response.into_body();
        let first = body.frame().await.expect("an event").expect("no error").into_data().expect("data");
        assert_eq!(&first[..], b"data: 1\n\n");
        let (first_after, rest) = (began.elapsed(), body.collect().await.expect("the other events").to_bytes());
        assert_eq!(&rest[..], b"data: 2\n\ndata: 3\n\ndata: 4\n\n");
        assert!(began.elapsed() - first_after > PAUSE, "the first event came with the last: {protocol:?}");
    }
}
