//! The upstream's credential does not come back: not in a response, and not with a redirect that the proxy follows by itself.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{Decision, Edits, End, Exchange, Head, Headers, Passage, Policy, Reason, Timestamp};
use serde_json::{Value, json};
use support::{NOW, ask, claims, compile, context, document, head, token, with, worker};

const SECRET: &str = "upstream-secret";

fn policy(upstream: Value) -> Rc<Policy> {
    let mut upstream = upstream;
    if upstream.get("credential").is_none() {
        upstream["credential"] = json!({"header": "authorization", "value": "Bearer ${env:ORDERS_TOKEN}"});
    }
    compile(&with(document(), "/upstream", upstream))
}

fn bearer() -> String {
    format!("Bearer {}", token(&claims()))
}

/// An exchange of a request that was let through.
fn permitted(policy: &Rc<Policy>, path: &str) -> (Exchange, Edits) {
    let fields = head(
        "GET",
        path,
        &[("authorization", &bearer()), ("accept-encoding", "gzip"), ("connect-accept-encoding", "br"), ("range", "bytes=0-9")],
    );
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let now = Timestamp::from_seconds(NOW);
    match exchange.request(&Head { headers: &fields, ..Head::default() }, &mut worker(), &context(policy, now)) {
        Decision::Forward(permit) => (exchange, permit.edits().clone()),
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Refuse(denial) => panic!("{denial:?}"),
    }
}

fn removed(edits: &Edits) -> Vec<String> {
    edits.removed().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect()
}

fn record(exchange: &Exchange) -> Value {
    let record = exchange.record(&End::default()).unwrap();
    assert!(!record.contains(SECRET), "{record}");
    serde_json::from_str(&record).unwrap()
}

const RESPONSE: &Headers<'static> = &[
    (b":status", b"200"),
    (b"content-type", b"application/json"),
    (b"set-cookie", b"theme=dark"),
    (b"set-cookie", b"token=upstream-secret; secure"),
    (b"x-debug", b"got Bearer upstream-secret."),
    (b"location", b"https://other.example/?t=upstream%2Dsecret"),
    (b"x-own", b"upstream-secre"),
];

#[test]
fn fields_with_it_are_removed_and_recorded_and_their_neighbours_stay() {
    let (mut exchange, _) = permitted(&policy(json!({})), "/v1/orders");
    assert_eq!(removed(&exchange.response_edits(RESPONSE, false)), ["set-cookie", "x-debug", "location"]);
    let edits = exchange.response_trailer_edits(&[(b"grpc-message", b"upstream-secret?"), (b"grpc-status", b"0")]);
    assert_eq!(removed(&edits), ["grpc-message"]);
    assert!(exchange.credential_came_back());
    let record = record(&exchange);
    assert_eq!(record["unmapped"]["credential_echoed"], json!(["set-cookie", "x-debug", "location", "grpc-message"]));
    assert_eq!((&record["severity_id"], &record["status_code"], &record["action_id"]), (&json!(4), &json!("allowed"), &json!(1)));
    // Bodies pass unread.
    assert!(!exchange.reads_response());
    assert_eq!(exchange.response_body(b"upstream-secret", true), Passage::Pass);
}

#[test]
fn a_response_without_it_passes_whole() {
    let (mut exchange, _) = permitted(&policy(json!({"echoed_credential": "cut"})), "/v1/orders");
    assert_eq!(removed(&exchange.response_edits(&[(b":status", b"200"), (b"set-cookie", b"theme=dark")], false)), [""; 0]);
    assert!(exchange.can_read_response(&[(b"content-encoding", b"identity")]));
    assert_eq!(exchange.response_body(b"upstream", false), Passage::Hold);
    assert_eq!(exchange.response_body(b"upstream-", true), Passage::Pass);
    assert!(!exchange.credential_came_back());
    let record = record(&exchange);
    assert_eq!((&record["severity_id"], &record["unmapped"]["credential_echoed"]), (&json!(1), &Value::Null));
}

#[test]
fn who_was_given_none_is_not_asked() {
    let policy = policy(json!({"echoed_credential": "cut"}));
    let (mut exchange, edits) = permitted(&policy, "/healthz");
    assert_eq!(removed(&edits), ["authorization"], "the session token");
    assert_eq!(removed(&exchange.response_edits(RESPONSE, false)), [""; 0]);
    assert!(!exchange.reads_response());
    // A denial after all: what we answer ourselves is nobody's echo.
    let (mut exchange, _) = permitted(&policy, "/v1/orders");
    let _ = exchange.fail(&mut worker());
    assert!(!exchange.reads_response());
}

#[test]
fn a_body_with_it_is_cut_under_the_option() {
    let policy = policy(json!({"echoed_credential": "cut"}));
    let (mut exchange, edits) = permitted(&policy, "/v1/orders");
    // Not coded, and not in ranges.
    assert!(edits.set().any(|field| field == (b"accept-encoding".as_slice(), b"identity".as_slice())));
    assert!(["range", "connect-accept-encoding"].iter().all(|name| removed(&edits).contains(&(*name).to_owned())), "{edits:?}");
    assert!(exchange.reads_response());
    assert_eq!(exchange.response_body(b"{\"got\":\"Bearer upstream", false), Passage::Hold);
    assert_eq!(exchange.response_body(b"{\"got\":\"Bearer upstream-secret\"}", true), Passage::Cut);
    let mut worker = worker();
    let cut = exchange.recheck(&mut worker, &context(&policy, Timestamp::from_seconds(NOW)), true);
    assert_eq!(cut, Some(Reason::CredentialEchoed));
    let record = record(&exchange);
    assert_eq!((&record["status_code"], &record["severity_id"]), (&json!("credential_echoed"), &json!(4)));
    assert_eq!(
        (&record["unmapped"]["ended_by"], &record["unmapped"]["decision"]),
        (&json!("credential_echoed"), &json!("allow"))
    );

    for (name, value) in [
        ("content-encoding", "gzip"),
        ("Content-Encoding", "gzip"),
        ("grpc-encoding", "gzip"),
        ("connect-content-encoding", "br"),
        // Base64 throughout.
        ("content-type", "application/grpc-web-text"),
        ("Content-Type", " Application/gRPC-Web-Text+proto"),
    ] {
        let (mut exchange, _) = permitted(&policy, "/v1/orders");
        assert!(!exchange.can_read_response(&[(b":status", b"200"), (name.as_bytes(), value.as_bytes())]), "{name}: {value}");
        let denial = exchange.answer_of_cut(&policy).unwrap();
        assert_eq!((denial.reason(), denial.response().status), (Reason::CredentialEchoed, 502));
        assert_eq!(self::record(&exchange)["status_detail"], "the response is coded, and cannot be read");
    }
    for (name, value) in [("connect-content-encoding", "identity"), ("content-type", "application/grpc-web+proto")] {
        let (mut exchange, _) = permitted(&policy, "/v1/orders");
        assert!(exchange.can_read_response(&[(b":status", b"200"), (name.as_bytes(), value.as_bytes())]), "{name}: {value}");
    }
    let (mut exchange, edits) = permitted(&self::policy(json!({"echoed_credential": "remove"})), "/v1/orders");
    assert!(exchange.can_read_response(&[(b"content-encoding", b"gzip")]), "who does not read need not be able to");
    assert!(!edits.set().any(|(name, _)| name == b"accept-encoding"));
}

#[test]
fn a_request_with_the_credential_itself_is_judged_like_any_and_it_goes_no_further() {
    let ours = format!("Bearer {SECRET}");
    let (token, policy) = (bearer(), policy(json!({})));
    let ask =
        |policy: &Rc<Policy>, path: &str, extra: &[(&str, &str)]| ask(policy, &mut worker(), NOW, &head("GET", path, extra));
    let redirected = ("x-envoy-original-url", "http://orders.example/v1/orders");
    assert_eq!(ask(&policy, "/v1/orders", &[("authorization", &ours), redirected]).code(), "token_missing", "it is ours");
    // Nobody learns from the answer that he has guessed it.
    for guess in [ours.as_str(), "Bearer another-secret"] {
        assert_eq!(ask(&policy, "/v1/orders", &[("authorization", guess)]).code(), "token_malformed");
    }
    let refusing = self::policy(json!({"direct_credentials": {"refuse": ["opaque_bearer"]}}));
    for path in ["/v1/orders", "/healthz"] {
        assert_eq!(ask(&refusing, path, &[("authorization", &ours)]).code(), "direct_credential", "{path}");
    }
    let answer = ask(&policy, "/healthz", &[("authorization", &ours), ("x-other", SECRET)]);
    assert_eq!(answer.code(), "allowed");
    assert!(answer.removes("authorization") && !answer.removes("x-other"));
    // A caller's own goes on where there is no session.
    let answer = ask(&policy, "/healthz", &[("authorization", "Basic YTpi")]);
    assert!(!answer.removes("authorization"));

    let in_a_header = json!({"credential": {"header": "x-api-key", "value": "${env:ORDERS_TOKEN}"}, "forward_token": true});
    let policy = self::policy(in_a_header);
    let answer = ask(&policy, "/v1/orders", &[("authorization", &token), ("x-api-key", SECRET)]);
    assert_eq!((answer.code(), answer.set("x-api-key").as_deref()), ("allowed", Some(SECRET)));
    assert!(!answer.removes("authorization"), "forwarded");
    let answer = ask(&policy, "/healthz", &[("authorization", &token), ("x-api-key", SECRET)]);
    assert!(answer.code() == "allowed" && answer.removes("x-api-key"));
    let answer = ask(&policy, "/healthz", &[("x-api-key", "another")]);
    assert!(answer.code() == "allowed" && !answer.removes("x-api-key"));
}

/// Some servers read trailers as fields of the head.
#[test]
fn what_is_refused_in_a_head_does_not_come_as_a_trailer() {
    let refusing = json!({"direct_credentials": {"refuse": ["basic", {"header": "x-root-key"}]}, "strip": ["x-debug"]});
    let (exchange, _) = permitted(&policy(refusing), "/v1/orders");
    let trailers: [(&[u8], &[u8]); 7] = [
        (b"x-root-key", b"mine"),
        (b"X_Root_Key", b"mine"),
        (b"authorization", b"Basic eDp5"),
        (b"proxy-authorization", b"Basic eDp5"),
        (b"cookie", b"a=b"),
        (b"x-debug", b"1"),
        (b"x-sum", b"1"),
    ];
    let edits = exchange.request_trailer_edits(&trailers);
    assert_eq!(removed(&edits), ["authorization", "proxy-authorization", "cookie", "x-debug", "x-root-key", "X_Root_Key"]);
}

#[test]
fn a_redirect_takes_it_nowhere() {
    let policy = policy(json!({}));
    let from = ("x-envoy-original-url", "http://orders.example/v1/orders");
    let token = bearer();
    let ask = |path: &str, extra: &[(&str, &str)]| ask(&policy, &mut worker(), NOW, &head("GET", path, extra));
    // What the redirect's own fields brought in, in part of a value, too.
    let answer = ask("/healthz", &[from, ("x-copied", "t=upstream%2dsecret"), ("x-other", "kept")]);
    assert!(answer.code() == "allowed" && answer.removes("x-copied") && !answer.removes("x-other"));
    for path in ["/healthz?t=upstream-secret", "/v1/orders/upstream%2Dsecret"] {
        let answer = ask(path, &[from, ("authorization", &token)]);
        assert_eq!(answer.code(), "credential_echoed", "{path}");
        assert_eq!(answer.denied.as_ref().unwrap().0, 502);
        assert_eq!((&answer.record["http_request"]["url"]["path"], &answer.record["severity_id"]), (&json!(""), &json!(4)));
        assert!(!answer.record.to_string().contains("secret"));
    }
    // It is the last of the checks, and no caller's own query is anybody's redirect.
    assert_eq!(ask("/v1/other?t=upstream-secret", &[from, ("authorization", &token)]).code(), "unknown_command");
    assert_eq!(ask("/v1/orders?t=upstream-secret", &[from]).code(), "token_missing");
    assert_eq!(ask("/v1/orders?t=upstream-secret", &[("authorization", &token)]).code(), "allowed");
    assert_eq!(ask("/v1/orders?page=2", &[from, ("authorization", &token)]).code(), "allowed");
}

#[test]
fn observing_changes_nothing() {
    let mut document = with(document(), "/mode", json!("observe"));
    document["upstream"] = json!({
        "credential": {"header": "authorization", "value": "Bearer ${env:ORDERS_TOKEN}"}, "echoed_credential": "cut",
    });
    let policy = compile(&document);
    let (mut exchange, _) = permitted(&policy, "/v1/orders");
    assert_eq!(removed(&exchange.response_edits(RESPONSE, false)), [""; 0]);
    assert!(!exchange.reads_response());
}
