//! In a real Envoy: methods of a service called in the forms of gRPC-Web and Connect, denials that clients of these understand, and
//! Envoy's own filters that turn such calls into gRPC, before and behind ours.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_tests::{
    client::{Call, Protocol, Reply, grpc_frame},
    mesh::Mesh,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
    wiring::{IN_HTTP2, ROUTER, TO_GRPC},
};
use serde_json::{Value, json};
use std::time::Duration;

const GET: &str = "/users.v1.Users/Get";
const DELETE: &str = "/users.v1.Users/Delete";
const QUERY: &str = "?connect=v1&encoding=json&message=%7B%7D";

/// A form: its word in a policy, and the content type of a call; without one it is a GET.
const FORMS: [(&str, Option<&str>); 11] = [
    ("grpc_web", Some("application/grpc-web")),
    ("grpc_web", Some("application/grpc-web+proto")),
    ("grpc_web", Some("application/grpc-web+json")),
    ("grpc_web_text", Some("application/grpc-web-text")),
    ("grpc_web_text", Some("application/grpc-web-text+proto")),
    ("connect", Some("application/connect+proto")),
    ("connect", Some("application/connect+json")),
    ("connect", Some("application/proto")),
    ("connect", Some("application/json")),
    ("connect", Some("application/json; charset=utf-8")),
    ("connect_get", None),
];

const WORDS: [&str; 5] = ["grpc", "grpc_web", "grpc_web_text", "connect", "connect_get"];

/// `Get` is called in these forms and granted, `Delete` in all and not granted; `any` is what a wider command would take.
fn policy(scenario: &Scenario, forms: &[&str]) -> Value {
    let mut policy = scenario.policy();
    policy["commands"]["users.get"]["grpc"]["forms"] = json!(forms);
    policy["commands"]["users.delete"]["grpc"]["forms"] = json!(WORDS);
    policy["commands"]["any"] = json!({"http": {"methods": ["GET", "HEAD", "POST"], "path": "/{*rest}"}});
    policy["grants"][0]["allow"].as_array_mut().unwrap().push(json!("any"));
    policy
}

async fn mesh(name: &str, policy: &Value, filters: &[(&str, &str)]) -> Mesh {
    Mesh::with(name, policy, Upstream::start().await, wasm::chaperone(), filters).await
}

fn call(path: &str, kind: Option<&str>) -> Call {
    let Some(kind) = kind else { return Call::get(&format!("{path}{QUERY}")) };
    let body = match kind {
        _ if kind.contains("-text") => STANDARD.encode(grpc_frame(b"ping")).into(),
        _ if kind.contains("grpc-web") || kind.contains("connect+") => grpc_frame(b"ping"),
        _ => "{}".into(),
    };
    let call = Call::new("POST", path).header("content-type", kind).body(body);
    let of_connect = !kind.contains("grpc");
    if of_connect { call.header("connect-protocol-version", "1") } else { call }
}

/// The message of the only frame of a body, which has these flags.
fn unframed(body: &[u8], flags: u8) -> &[u8] {
    let (prefix, message) = body.split_at(5);
    assert_eq!((prefix[0], u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize), (flags, message.len()));
    message
}

/// What a client reads in a denial: HTTP status, the status of its protocol, and the message.
fn told(kind: Option<&str>, reply: &Reply) -> (u16, String, String) {
    let trailers = |body: &[u8]| {
        let block = String::from_utf8(unframed(body, 0x80).to_vec()).unwrap();
        let value =
            |name: &str| block.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap().to_owned();
        (value("grpc-status"), value("grpc-message"))
    };
    let error = |error: &Value| ["code", "message"].map(|name| error[name].as_str().unwrap().to_owned()).into();
    let same_kind = || assert_eq!(reply.header("content-type"), kind, "{reply:?}");
    let (status, message): (String, String) = match kind {
        Some(kind) if kind.contains("-text") => {
            same_kind();
            trailers(&STANDARD.decode(&reply.body).unwrap())
        }
        Some(kind) if kind.contains("grpc-web") => {
            same_kind();
            trailers(&reply.body)
        }
        Some(kind) if kind.contains("connect+") => {
            same_kind();
            let end: Value = serde_json::from_slice(unframed(&reply.body, 0x02)).unwrap();
            error(&end["error"])
        }
        _ => {
            assert_eq!(reply.header("content-type"), Some("application/json"), "{reply:?}");
            error(&reply.json())
        }
    };
    assert!(reply.trailers.is_empty() && reply.header("grpc-status").is_none(), "Envoy leaves it as it is: {reply:?}");
    (reply.status, status, message)
}

/// The same of a call that had been let through. In base64 it is among the fields, which Envoy's own filter for gRPC-Web, where it
/// stands behind, leaves as they are.
fn told_of_cut(kind: Option<&str>, reply: &Reply) -> (u16, String, String) {
    if kind.is_none_or(|kind| !kind.contains("-text")) {
        return told(kind, reply);
    }
    assert!(reply.body.is_empty() && reply.trailers.is_empty(), "{reply:?}");
    let field = |name| reply.header(name).unwrap().to_owned();
    (reply.status, field("grpc-status"), field("grpc-message"))
}

/// gRPC's status, Connect's code, and the HTTP status where that is not in the body.
fn expected(word: &str, kind: Option<&str>, http: u16) -> (u16, &'static str) {
    let status = if kind.is_some_and(|kind| kind.contains("grpc") || kind.contains("connect+")) { 200 } else { http };
    match (http, word.starts_with("grpc")) {
        (401, true) => (status, "16"),
        (401, false) => (status, "unauthenticated"),
        (403, true) => (status, "7"),
        (403, false) => (status, "permission_denied"),
        (other, _) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_is_allowed_and_denied_in_its_own_words() {
    let scenario = Scenario::new();
    let open = mesh("forms", &policy(&scenario, &WORDS), &[]).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        for (word, kind) in FORMS {
            let sent = call(GET, kind).bearer(&token);
            let (reply, entry) = open.observe(&sent, protocol).await;
            assert_eq!((reply.status, entry.reason()), (200, "allowed"), "{kind:?}: {reply:?}");
            assert_eq!(entry.record["api"]["operation"], "users.get");
            assert!(!entry.record.to_string().contains("message="), "a message is an argument: {:#}", entry.record);
            let seen = open.upstream.last();
            assert_eq!((seen.header("content-type"), seen.header("x-chaperone-session")), (kind, Some("s-1")));
            let before = open.upstream.count();
            for (call, http, reason, client) in [
                (call(GET, kind), 401, "token_missing", "token_missing: A session token is required"),
                (
                    call(GET, kind).bearer(&scenario.forged("s-1")),
                    401,
                    "signature_invalid",
                    "token_rejected: The session token was rejected",
                ),
                (call(DELETE, kind).bearer(&token), 403, "command_not_granted", "command_not_granted: "),
            ] {
                let (reply, entry) = open.observe(&call, protocol).await;
                let (status, code, message) = told(kind, &reply);
                assert_eq!((status, code.as_str()), expected(word, kind, http), "{kind:?}: {reply:?}");
                assert!(message.starts_with(client), "{message}");
                assert!(reply.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer")));
                assert_eq!(entry.reason(), reason);
                assert_eq!(entry.details(), format!("chaperone{{{reason}}}"));
                assert_eq!(entry.record["http_response"]["code"], entry.line["response_code"], "{:#}", entry.record);
            }
            assert_eq!(open.upstream.count(), before, "no denied call may reach the target");
        }
    }
    assert_eq!(open.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_named_reaches_nothing_however_it_is_spelt() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let named = mesh("forms-named", &policy(&scenario, &["grpc"]), &[]).await;
    let open = mesh("forms-spelt", &policy(&scenario, &WORDS), &[]).await;
    // What some server would take for a call, and another for another one.
    let spelt = |path: &str| {
        let post = |kind: &str| Call::new("POST", path).header("content-type", kind).body(grpc_frame(b"ping"));
        let get = |query: &str| Call::get(&format!("{path}?{query}"));
        let version = "connect-protocol-version";
        [
            post("application/json"),
            post("application/json").header(version, "2"),
            post("application/proto").header(version, "1").header(version, "1"),
            post("application/proto"),
            post("application/x-thrift").header(version, "1"),
            post("application/grpc-web").header("content-type", "application/grpc-web"),
            post("application/grpc-web, application/grpc"),
            post("application/grpc-web;x=y"),
            post("application/grpc-web+thrift"),
            post("application/grpc-web-text+json"),
            post("application/grpc-websocket"),
            post("application/connect+thrift"),
            post("application/connect"),
            Call::new("POST", path).body("{}"),
            Call::new("POST", &format!("{path}{QUERY}")),
            Call::new("HEAD", &format!("{path}{QUERY}")),
            Call::get(path).header("content-type", "application/grpc-web"),
            get("connect=v1&encoding=json&message=%7B%7D").header("content-type", "application/json"),
            get("encoding=json&message=%7B%7D"),
            get("connect=v1&encoding=json&message=%7B%7D&%6Dessage=x"),
            get("connect=v1&encoding=json&message=%7B%7D&message=x"),
            get("connect=v1&encoding=json&message=%7B%7D;message=x"),
            get("CONNECT=v1&encoding=json&message=%7B%7D"),
        ]
    };
    for protocol in Protocol::ALL {
        for (word, kind) in FORMS {
            let (reply, entry) = named.observe(&call(GET, kind).bearer(&token), protocol).await;
            assert_eq!(entry.reason(), "unknown_command", "{kind:?}: {reply:?}");
            let (status, code, message) = told(kind, &reply);
            assert_eq!((status, code.as_str()), expected(word, kind, 403));
            assert_eq!(message, "unknown_command: The request is not a known command");
        }
        for call in spelt(GET) {
            let (reply, entry) = open.observe(&call.clone().bearer(&token), protocol).await;
            assert_eq!(entry.reason(), "unknown_command", "{call:?} over {protocol:?}: {reply:?}");
        }
    }
    assert_eq!((named.upstream.count(), open.upstream.count()), (0, 0));
    // The twins: what is named passes, and the same heads do where a wider command is all that there is.
    assert_eq!(
        named.send(&Call::grpc(GET.trim_start_matches('/'), b"ping").bearer(&token), Protocol::Http2).await.grpc_status(),
        Some(0)
    );
    for call in spelt("/users.v1.Users/Other") {
        let before = open.upstream.count();
        // (The target answers a HEAD with a body, which is none to a client.)
        let reply = call.clone().bearer(&token).try_send(open.envoy.address(), Protocol::Http2).await;
        assert_eq!(open.upstream.count(), before + 1, "{call:?}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_before_its_answer_is_told_in_its_form() {
    let scenario = Scenario::new();
    let silent = Upstream::answering(|_| Answer::ok("late").after(Duration::from_secs(60))).await;
    let policy = policy(&scenario, &WORDS);
    let mesh = Mesh::with("forms-cut", &policy, silent, wasm::chaperone(), &[]).await;
    let waiting: Vec<_> = FORMS
        .into_iter()
        .flat_map(|form| Protocol::ALL.map(|protocol| (form, protocol)))
        .map(|((word, kind), protocol)| {
            let (address, call) = (mesh.envoy.address(), call(GET, kind).bearer(&scenario.token("s-1")));
            let reply = tokio::spawn(async move { call.try_send(address, protocol).await.map_err(|error| error.to_string()) });
            (word, kind, reply)
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(waiting.iter().all(|(.., reply)| !reply.is_finished()), "nothing is answered yet");
    let mut revoking = policy.clone();
    revoking["generation"] = json!(2);
    revoking["revoked"] = json!([{"session": "s-1"}]);
    mesh.envoy.write_ecds(&revoking);
    for (word, kind, reply) in waiting {
        let reply = tokio::time::timeout(Duration::from_secs(10), reply).await.expect("an answer").unwrap().unwrap();
        let (status, code, message) = told_of_cut(kind, &reply);
        assert_eq!((status, code.as_str()), expected(word, kind, 401), "{kind:?}");
        assert_eq!(message, "revoked: The session has been revoked");
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

const BEFORE: &str =
    "                  # First in the chain: nothing sees, changes or answers a request before the filter does.\n";
/// A mesh with these filters at a place of the chain. What the target answers to `x-file` is a file, and may not be passed on.
async fn mesh_with_filters(name: &str, place: &str, scenario: &Scenario, forms: &[&str]) -> Mesh {
    let mut policy = policy(scenario, forms);
    policy["grants"][0]["transfers"] = json!({"downloads": "deny"});
    let upstream = Upstream::answering(|received| match received.header("x-file") {
        Some(_) => Answer::grpc(b"pong").header("content-disposition", "attachment"),
        None => Answer::grpc(b"pong"),
    });
    let filters = format!("{TO_GRPC}{place}");
    let settings = [(place, filters.as_str()), IN_HTTP2];
    Mesh::with(name, &policy, upstream.await, wasm::chaperone(), &settings).await
}

/// The forms that these filters know.
fn translated() -> impl Iterator<Item = (&'static str, Option<&'static str>)> {
    let unknown = ["application/grpc-web+json", "application/json; charset=utf-8"];
    FORMS.into_iter().filter(move |(_, kind)| !kind.is_some_and(|kind| unknown.contains(&kind)))
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_filter_envoys_own_make_grpc_of_what_was_judged() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let forms = ["grpc_web", "grpc_web_text", "connect", "connect_get"];
    let mesh = mesh_with_filters("forms-behind", ROUTER, &scenario, &forms).await;
    for protocol in Protocol::ALL {
        for (word, kind) in translated() {
            let (reply, entry) = mesh.observe(&call(GET, kind).bearer(&token), protocol).await;
            assert_eq!(
                (reply.status, entry.reason(), reply.header("grpc-status")),
                (200, "allowed", None),
                "{kind:?}: {reply:?}"
            );
            let seen = mesh.upstream.last();
            assert_eq!((seen.method.as_str(), seen.path.as_str(), seen.body_len > 4), ("POST", GET, true), "{seen:?}");
            assert!(
                seen.header("content-type").unwrap().trim_end_matches("+proto").trim_end_matches("+json") == "application/grpc"
            );
            let before = mesh.upstream.count();
            for (call, http, sent) in [
                (call(GET, kind), 401, 0),
                (call(DELETE, kind).bearer(&token), 403, 0),
                // What is answered in the target's stead goes through them, too.
                (call(GET, kind).bearer(&token).header("x-file", "1"), 403, 1),
            ] {
                let reply = mesh.send(&call, protocol).await;
                let (status, code, _) = if sent == 0 { told(kind, &reply) } else { told_of_cut(kind, &reply) };
                assert_eq!((status, code.as_str()), expected(word, kind, http), "{kind:?}: {reply:?}");
                assert_eq!(mesh.upstream.count() - before, sent);
            }
        }
        let native = mesh.send(&Call::grpc(GET.trim_start_matches('/'), b"ping").bearer(&token), Protocol::Http2).await;
        assert_eq!(native.grpc_status(), Some(7), "it is not named: {native:?}");
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_filter_they_make_grpc_of_everything_and_denials_lose_their_form() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let open = mesh_with_filters("forms-before", BEFORE, &scenario, &["grpc"]).await;
    let others = ["grpc_web", "grpc_web_text", "connect", "connect_get"];
    let closed = mesh_with_filters("forms-before-closed", BEFORE, &scenario, &others).await;
    for protocol in Protocol::ALL {
        for (_, kind) in translated() {
            let (reply, entry) = open.observe(&call(GET, kind).bearer(&token), protocol).await;
            assert_eq!((reply.status, entry.reason()), (200, "allowed"), "{kind:?}: {reply:?}");
            assert_eq!(open.upstream.last().path, GET);
            let before = open.upstream.count();
            for (sent, mesh, status, reason) in [
                (call(GET, kind), &open, 401, "token_missing"),
                (call(DELETE, kind).bearer(&token), &open, 403, "command_not_granted"),
                // It is gRPC by now, and that is not named.
                (call(GET, kind).bearer(&token), &closed, 403, "unknown_command"),
            ] {
                let (reply, entry) = mesh.observe(&sent, protocol).await;
                // To Envoy itself it is not: the HTTP status is what tells the client.
                assert_eq!((reply.status, entry.reason()), (status, reason), "{kind:?}: {reply:?}");
                assert_eq!(entry.line["response_code"], status);
            }
            assert_eq!((open.upstream.count(), closed.upstream.count()), (before, 0));
        }
    }
}
