//! The forms in which a method of a service is called: one policy for all that a command names, a refusal for the others, and a
//! denial in the caller's own.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_policy::{
    Context, Decision, Exchange, Given, Head, Policy, Reason, Response, Source, Timestamp, WholeBody, Worker,
};
use serde_json::{Value, json};
use support::{Marked, NOW, ask, claims, compile, document, head, token, with, worker};

const PATH: &str = "/users.v1.Users/Get";
const MESSAGE: &str = "/users.v1.Users/Get?connect=v1&encoding=json&message=%7B%7D";

/// A head in one form: its word in a policy, method, path and fields.
type Form = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const VERSION: (&str, &str) = ("connect-protocol-version", "1");

const FORMS: [Form; 11] = [
    ("grpc", "POST", PATH, &[("content-type", "application/grpc+proto")]),
    ("grpc_web", "POST", PATH, &[("content-type", "application/grpc-web")]),
    ("grpc_web", "POST", PATH, &[("content-type", "application/grpc-web+proto")]),
    ("grpc_web", "POST", PATH, &[("content-type", "application/grpc-web+json")]),
    ("grpc_web_text", "POST", PATH, &[("content-type", "application/grpc-web-text")]),
    ("grpc_web_text", "POST", PATH, &[("content-type", "application/grpc-web-text+proto")]),
    ("connect", "POST", PATH, &[("content-type", "application/proto"), VERSION]),
    ("connect", "POST", PATH, &[("content-type", "application/json; charset=utf-8"), VERSION]),
    ("connect", "POST", PATH, &[("content-type", "application/connect+proto")]),
    ("connect", "POST", PATH, &[("content-type", "application/connect+json"), VERSION]),
    ("connect_get", "GET", MESSAGE, &[]),
];

const WORDS: [&str; 5] = ["grpc", "grpc_web", "grpc_web_text", "connect", "connect_get"];

/// The command in these forms, and a wider HTTP command, both granted.
fn policy(forms: &Value) -> Rc<Policy> {
    let mut policy = with(document(), "/commands/any", json!({"http": {"methods": ["GET", "HEAD", "POST"], "path": "/{*rest}"}}));
    policy["grants"][0]["allow"] = json!(["any", "users.get"]);
    if !forms.is_null() {
        policy["commands"]["users.get"]["grpc"]["forms"] = forms.clone();
    }
    compile(&policy)
}

fn authorized(fields: &[(&str, &str)], token: &str) -> Vec<(String, String)> {
    let own = [("authorization".to_owned(), format!("Bearer {token}"))];
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(own).collect()
}

fn decide(policy: &Rc<Policy>, method: &str, path: &str, fields: &[(&str, &str)]) -> (String, Value) {
    let fields = authorized(fields, &token(&claims()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = ask(policy, &mut worker(), NOW, &head(method, path, &fields));
    (answer.code().to_owned(), answer.record)
}

#[test]
fn a_command_is_called_in_the_forms_that_it_names_and_in_no_other() {
    for named in WORDS {
        let policy = policy(&json!([named]));
        for (word, method, path, fields) in FORMS {
            let (code, record) = decide(&policy, method, path, fields);
            let expected = if word == named { ("allowed", json!("users.get")) } else { ("unknown_command", json!("unknown")) };
            assert_eq!((code.as_str(), &record["api"]["operation"]), (expected.0, &expected.1), "{named}: {fields:?}");
            assert!(!record.to_string().contains("message="), "the message is an argument: {record}");
        }
    }
    let (all, plain) = (policy(&json!(WORDS)), policy(&Value::Null));
    for (word, method, path, fields) in FORMS {
        assert_eq!(decide(&all, method, path, fields).0, "allowed", "{word}");
        assert_eq!(
            decide(&plain, method, path, fields).0 == "allowed",
            word == "grpc",
            "gRPC alone, where nothing is said: {word}"
        );
    }
}

#[test]
fn what_is_in_none_of_the_forms_is_no_call_though_a_wider_command_would_take_it() {
    let all = policy(&json!(WORDS));
    for (method, path, fields) in [
        ("POST", PATH, vec![("content-type", "application/json")]),
        ("POST", PATH, vec![("content-type", "application/json"), ("connect-protocol-version", "2")]),
        ("POST", PATH, vec![("content-type", "application/grpc-web"), ("content-type", "application/grpc-web")]),
        ("POST", PATH, vec![("content-type", "application/grpc-web, application/grpc")]),
        ("POST", PATH, vec![("content-type", "application/grpc+proto, application/json")]),
        ("POST", PATH, vec![]),
        ("POST", MESSAGE, vec![]),
        ("GET", PATH, vec![]),
        ("GET", PATH, vec![("content-type", "application/grpc-web")]),
        ("GET", MESSAGE, vec![("content-type", "application/proto")]),
        ("GET", "/users.v1.Users/Get?connect=v1&encoding=json&message=%7B%7D&message=x", vec![]),
        ("HEAD", MESSAGE, vec![]),
        ("POST", PATH, vec![("content-type", "application/proto"), VERSION, ("upgrade", "websocket")]),
        ("GET", MESSAGE, vec![("upgrade", "websocket")]),
    ] {
        assert_eq!(decide(&all, method, path, &fields).0, "unknown_command", "{method} {path} {fields:?}");
        let other = path.replace("Get", "Other");
        let upgrade = fields.iter().any(|(name, _)| *name == "upgrade");
        assert_eq!(decide(&all, method, &other, &fields).0 == "allowed", !upgrade, "the twin: it is the path that is not open");
    }
}

#[test]
fn a_message_in_the_query_is_the_only_one() {
    let policy = policy(&json!(WORDS));
    let mut worker = worker();
    let mut decide = |method: &str, path: &str, fields: &[(&str, &str)]| {
        let fields = authorized(fields, &token(&claims()));
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        begin(&policy, &mut worker, method, path, &fields, true).1
    };
    for (_, method, path, fields) in FORMS {
        match decide(method, path, fields) {
            Decision::Forward(_) => assert_eq!(method, "POST", "{fields:?}"),
            Decision::Refuse(denial) => assert_eq!((method, denial.reason()), ("GET", Reason::Overloaded)),
            Decision::Hold(need) => panic!("{need:?}"),
        }
    }
}

#[test]
fn matchers_of_one_command_add_up() {
    let of = |forms: Value| json!({"grpc": {"service": "users.v1.Users", "methods": ["Get"], "forms": forms}});
    let document = with(document(), "/commands/users.get", json!([of(json!(["grpc"])), of(json!(["connect_get"]))]));
    let policy = compile(&document);
    for (word, method, path, fields) in FORMS {
        let is_open = matches!(word, "grpc" | "connect_get");
        assert_eq!(decide(&policy, method, path, fields).0 == "allowed", is_open, "{word}");
    }
    let other = with(document, "/commands/users.other", of(json!(["connect"])));
    let errors = Policy::compile(other.to_string().as_bytes()).unwrap_err().to_string();
    assert!(errors.contains("could also be the command `users.get`"), "{errors}");
}

fn begin(
    policy: &Rc<Policy>,
    worker: &mut Worker,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: bool,
) -> (Exchange, Decision) {
    let fields = head(method, path, fields);
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &fields, source: Source::Told(b"10.0.0.7:4711"), body, ..Head::default() };
    let context = Context { now: Timestamp::from_seconds(NOW), newest: policy, verifier: &Marked };
    let decision = exchange.request(&head, worker, &context);
    (exchange, decision)
}

fn field<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
}

/// A frame with these flags that is the whole of a body.
fn unframed(body: &[u8], flags: u8) -> &[u8] {
    let (prefix, message) = body.split_at(5);
    assert_eq!(prefix[0], flags);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, message.len());
    message
}

/// What each form has for a denial: HTTP status, the status of its own, and the message.
fn told(word: &str, fields: &[(&str, &str)], response: &Response) -> (u16, String, String) {
    let kind = fields.iter().find(|(name, _)| *name == "content-type").map(|(_, kind)| *kind);
    let trailers = |body: &[u8]| {
        let text = String::from_utf8(unframed(body, 0x80).to_vec()).unwrap();
        let (status, message) = text.strip_suffix("\r\n").and_then(|text| text.split_once("\r\n")).unwrap();
        let value = |line: &str, name: &str| line.strip_prefix(name).unwrap().to_owned();
        (value(status, "grpc-status: "), value(message, "grpc-message: "))
    };
    let error = |error: &Value| (error["code"].as_str().unwrap().to_owned(), error["message"].as_str().unwrap().to_owned());
    assert_eq!(response.grpc_status.is_some(), word == "grpc");
    let (status, message) = match word {
        "grpc" => {
            assert_eq!(field(response, "content-type"), None, "the proxy sets it");
            (response.grpc_status.unwrap().to_string(), String::from_utf8(response.body.clone()).unwrap())
        }
        "grpc_web" => {
            assert_eq!(field(response, "content-type"), kind);
            trailers(&response.body)
        }
        "grpc_web_text" => {
            assert_eq!(field(response, "content-type"), kind);
            trailers(&STANDARD.decode(&response.body).unwrap())
        }
        _ if kind.is_some_and(|kind| kind.starts_with("application/connect")) => {
            assert_eq!(field(response, "content-type"), kind);
            let end: Value = serde_json::from_slice(unframed(&response.body, 2)).unwrap();
            error(&end["error"])
        }
        _ => {
            assert_eq!(field(response, "content-type"), Some("application/json"));
            error(&serde_json::from_slice(&response.body).unwrap())
        }
    };
    (response.status, status, message)
}

/// Has an answer of this form its status in the body?
fn in_body(word: &str, fields: &[(&str, &str)]) -> bool {
    word.starts_with("grpc_web") || fields.iter().any(|(_, value)| value.starts_with("application/connect+"))
}

#[test]
fn a_denial_is_told_in_the_callers_own_form() {
    let narrow = token(&{
        let mut claims = claims();
        claims["commands"] = json!(["orders.list"]);
        claims
    });
    let open = policy(&json!(WORDS));
    let closed = policy(&json!(["grpc"]));
    for (word, method, path, fields) in FORMS {
        for (policy, token, http, grpc, connect, reason, challenge) in [
            (&open, None, 401, "16", "unauthenticated", "token_missing: A session token is required", "Bearer"),
            (
                &open,
                Some(&narrow),
                403,
                "7",
                "permission_denied",
                "command_not_in_token: The session token does not list this command",
                "Bearer error=\"insufficient_scope\", error_description=\"The session token does not list this command\", scope=\"users.get\"",
            ),
            (
                &closed,
                Some(&narrow),
                403,
                "7",
                "permission_denied",
                "unknown_command: The request is not a known command",
                "Bearer error=\"insufficient_scope\", error_description=\"The request is not a known command\"",
            ),
        ] {
            if word == "grpc" && Rc::ptr_eq(policy, &closed) {
                continue;
            }
            let fields_with = token.map_or_else(|| authorized(fields, ""), |token| authorized(fields, token));
            let sent: Vec<(&str, &str)> = fields_with
                .iter()
                .filter(|(name, _)| token.is_some() || name != "authorization")
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            let (_, decision) = begin(policy, &mut worker(), method, path, &sent, false);
            let Decision::Refuse(denial) = decision else { panic!("{decision:?}") };
            let response = denial.response();
            let expected = match word {
                _ if word.starts_with("grpc") => grpc,
                _ => connect,
            };
            let status = if in_body(word, fields) { 200 } else { http };
            assert_eq!(told(word, fields, response), (status, expected.to_owned(), reason.to_owned()), "{fields:?}");
            assert_eq!(field(response, "www-authenticate"), Some(challenge), "{fields:?}");
            assert_eq!(field(response, "x-chaperone-audit-id").map(str::len), Some(32), "{fields:?}");
            assert_eq!(field(response, "cache-control"), Some("no-store"), "of a GET, too");
        }
    }
}

/// The same of what had been let through. In base64 it is among the fields, which Envoy's own filter for gRPC-Web leaves as they are.
fn told_of_cut(word: &str, fields: &[(&str, &str)], response: &Response) -> (u16, String, String) {
    if word != "grpc_web_text" {
        return told(word, fields, response);
    }
    let field = |name: &str| response.headers.iter().find(|(own, _)| own == name).unwrap().1.clone();
    assert!(response.body.is_empty() && field("content-type") == fields[0].1, "{response:?}");
    (response.status, field("grpc-status"), field("grpc-message"))
}

#[test]
fn every_reason_fits_each_form() {
    // Fields of a trailer block are plain ASCII, and `%` is an escape there.
    for reason in Reason::ALL {
        let message = format!("{}: {}", reason.client_code(), reason.client_title());
        assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'%'), "{message}");
    }
}

#[test]
fn what_is_cut_before_its_answer_is_told_in_its_form() {
    let open = policy(&json!(WORDS));
    let mut gone = document();
    gone["revoked"] = json!([{"session": "s-1"}]);
    let gone = compile(&gone);
    for (word, method, path, fields) in FORMS {
        let mut worker = worker();
        let fields_with = authorized(fields, &token(&claims()));
        let sent: Vec<(&str, &str)> = fields_with.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (mut exchange, decision) = begin(&open, &mut worker, method, path, &sent, false);
        assert!(matches!(decision, Decision::Forward(_)), "{fields:?}");
        let context = |newest| Context { now: Timestamp::from_seconds(NOW), newest, verifier: &Marked };
        assert_eq!(exchange.recheck(&mut worker, &context(&open), true), None, "the twin");
        assert_eq!(exchange.recheck(&mut worker, &context(&gone), true), Some(Reason::Revoked));
        let denial = exchange.answer_of_cut(&gone).unwrap();
        let status = if in_body(word, fields) { 200 } else { 401 };
        let code = if word.starts_with("grpc") { "16" } else { "unauthenticated" };
        let message = "revoked: The session has been revoked".to_owned();
        assert_eq!(told_of_cut(word, fields, denial.response()), (status, code.to_owned(), message), "{fields:?}");
    }
}

#[test]
fn what_needs_no_session_is_cut_in_its_form_too() {
    let mut open = document();
    open["commands"]["users.get"]["grpc"]["forms"] = json!(WORDS);
    open["unmediated"] = json!(["users.get"]);
    open["grants"][0]["allow"] = json!(["orders.list"]);
    let open = compile(&open);
    let mut closed = document();
    closed["commands"]["users.get"]["grpc"]["forms"] = json!(WORDS);
    let closed = compile(&closed);
    for (word, method, path, fields) in FORMS {
        let mut worker = worker();
        let (mut exchange, decision) = begin(&open, &mut worker, method, path, fields, false);
        assert!(matches!(decision, Decision::Forward(_)), "{fields:?}");
        let context = Context { now: Timestamp::from_seconds(NOW), newest: &closed, verifier: &Marked };
        assert_eq!(exchange.recheck(&mut worker, &context, true), Some(Reason::TokenMissing));
        let denial = exchange.answer_of_cut(&closed).unwrap();
        assert!(told_of_cut(word, fields, denial.response()).2.starts_with("token_missing: "), "{fields:?}");
    }
}

#[test]
fn an_endpoint_of_another_protocol_answers_in_that() {
    let mut open = with(document(), "/commands/tools", json!({"mcp": {"path": "/mcp", "tools": ["search"]}}));
    open["grants"][0]["allow"] = json!(["tools"]);
    let open = compile(&open);
    let mut worker = worker();
    let fields = authorized(&[("content-type", "application/json"), VERSION], &token(&claims()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (mut exchange, decision) = begin(&open, &mut worker, "POST", "/mcp", &fields, true);
    assert!(matches!(decision, Decision::Hold(_)), "{decision:?}");
    let body = WholeBody::of_ended(br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"rm"}}"#);
    let context = Context { now: Timestamp::from_seconds(NOW), newest: &open, verifier: &Marked };
    let head = head("POST", "/mcp", &fields);
    let head: Vec<(&[u8], &[u8])> = head.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let Decision::Refuse(denial) = exchange.resume(&Given::Body(body), &head, &mut worker, &context) else { panic!("denied") };
    let told: Value = serde_json::from_slice(&denial.response().body).unwrap();
    assert_eq!((&told["id"], &told["error"]["data"]["reason"]), (&json!(7), &json!("unknown_command")), "{told}");
}
