//! Hostile input against the .wasm: header fields, tokens, trailers and documents that somebody bent. No trap, no allowance but
//! of what is good, no update that half takes; and the native core says the same each time.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use chaperone_tests::{
    pair::Pair,
    scenario::{self, Scenario},
    stages::{Message, Ran},
    wasm,
};
use policy_host::host::{Headers, Module, Properties};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Value, json};
use std::{cell::RefCell, sync::Arc};

struct Bench {
    scenario: Scenario,
    token: String,
    pair: RefCell<Pair>,
}

impl Bench {
    fn new() -> Self {
        let module = Module::load(wasm::chaperone()).expect("the filter loads");
        let scenario = Scenario::new();
        // Its clock stands still, and tokens that are made later must not be of its future.
        let pair = Pair::start(&module, scenario.policy().to_string().as_bytes(), scenario::now() + 20);
        let bench = Self { token: scenario.token("s-1"), scenario, pair: RefCell::new(pair) };
        bench.serves();
        bench
    }

    /// The positive twin: what is good is allowed, and what is not granted is not.
    fn serves(&self) {
        let good = self.ask(&message("GET", &self.token)).expect("they agree");
        assert!(good.passed(), "{good:?}");
        let bad = self.ask(&message("DELETE", &self.token)).expect("they agree");
        assert_eq!(bad.reply.expect("a denial").details, "chaperone{command_not_granted}");
    }

    fn ask(&self, message: &Message) -> Result<Ran, String> {
        self.pair.borrow_mut().ask(message)
    }

    fn asked(&self, message: &Message) -> Result<Ran, TestCaseError> {
        self.ask(message).map_err(TestCaseError::fail)
    }

    /// Runs a property; and whatever has been thrown at it, the pair serves as before.
    fn holds<T: std::fmt::Debug>(
        &self,
        cases: u32,
        input: impl Strategy<Value = T>,
        property: impl Fn(&Self, T) -> Result<(), TestCaseError>,
    ) {
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
        let result = TestRunner::new(config).run(&input, |input| property(self, input));
        result.unwrap_or_else(|error| panic!("{error}"));
        self.serves();
    }
}

fn message(method: &str, token: &str) -> Message {
    let request = [
        (":method", method),
        (":path", "/v1/orders/7"),
        (":authority", "orders.example"),
        (":scheme", "https"),
        ("authorization", &format!("Bearer {token}")),
        ("accept", "*/*"),
    ];
    Message {
        request: fields(&request),
        response: fields(&[(":status", "200"), ("server", "orders")]),
        properties: Arc::new(Properties { source: Some(([10, 0, 0, 7], 4711).into()), ..Properties::default() }),
        ..Message::default()
    }
}

fn fields(fields: &[(&str, &str)]) -> Headers {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn bearing(token: &[u8]) -> Message {
    let mut message = message("GET", "");
    let (_, value) = message.request.iter_mut().find(|(name, _)| name == b"authorization").expect("it has one");
    *value = [b"Bearer ", token].concat();
    message
}

fn reason(ran: &Ran) -> Option<&str> {
    ran.reply.as_ref()?.details.strip_prefix("chaperone{")?.strip_suffix('}')
}

// Fields.

fn any_name() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        ":method",
        ":path",
        ":authority",
        ":scheme",
        ":protocol",
        ":status",
        "host",
        "authorization",
        "connection",
        "upgrade",
        "content-type",
        "te",
        "cookie",
        "x-http-method-override",
        "X_Original_URL",
        "x-chaperone-session",
        "X-Chaperone-Decision",
        "x_chaperone-else",
        "x-chaperone-",
        "x-chaperone",
        "x-chaperone-audit-id",
        "transfer-encoding",
        "",
    ]);
    prop_oneof![
        4 => known.prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(|end| [b"x-chaperone-", end.as_slice()].concat()),
    ]
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let known = select(vec![
        "",
        "GET",
        "DELETE",
        "CONNECT",
        "/v1/orders/7",
        "/v1/orders/%2e%2e",
        "/healthz",
        "/",
        "*",
        "orders.example",
        "Bearer",
        "Bearer ",
        "bearer a.b.c",
        "Basic YTpi",
        "Bearer a, Bearer b",
        "close, X-Chaperone-Session",
        "upgrade, x_chaperone_a",
        "websocket",
        "application/grpc",
        "application/grpc-web-text",
        "application/connect+json",
        "application/json",
        "trailers",
        "a\r\nx-chaperone-session: s",
        "a\0b",
        "\u{fffd}",
    ]);
    prop_oneof![
        3 => known.prop_map(|value| value.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..9000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

/// What is done to a list of fields.
#[derive(Clone, Debug)]
enum Bend {
    Insert(Index, Vec<u8>, Vec<u8>),
    Delete(Index),
    Repeat(Index, Index),
    Rename(Index, Vec<u8>),
    Revalue(Index, Vec<u8>),
    Flip(Index, Index, u8),
    Cut(Index, Index),
}

fn any_bends() -> impl Strategy<Value = Vec<Bend>> {
    let at = any::<Index>;
    let bend = prop_oneof![
        4 => (at(), any_name(), any_value()).prop_map(|(at, name, value)| Bend::Insert(at, name, value)),
        1 => at().prop_map(Bend::Delete),
        1 => (at(), at()).prop_map(|(from, to)| Bend::Repeat(from, to)),
        1 => (at(), any_name()).prop_map(|(at, name)| Bend::Rename(at, name)),
        2 => (at(), any_value()).prop_map(|(at, value)| Bend::Revalue(at, value)),
        2 => (at(), at(), any::<u8>()).prop_map(|(at, byte, bits)| Bend::Flip(at, byte, bits)),
        1 => (at(), at()).prop_map(|(at, end)| Bend::Cut(at, end)),
    ];
    prop::collection::vec(bend, 0..6)
}

fn bent(mut fields: Headers, bends: Vec<Bend>) -> Headers {
    for bend in bends {
        let count = fields.len();
        match bend {
            Bend::Insert(at, name, value) => fields.insert(at.index(count + 1), (name, value)),
            _ if count == 0 => {}
            Bend::Delete(at) => drop(fields.remove(at.index(count))),
            Bend::Repeat(from, to) => fields.insert(to.index(count + 1), fields[from.index(count)].clone()),
            Bend::Rename(at, name) => fields[at.index(count)].0 = name,
            Bend::Revalue(at, value) => fields[at.index(count)].1 = value,
            Bend::Flip(at, byte, bits) => {
                let value = &mut fields[at.index(count)].1;
                if !value.is_empty() {
                    let byte = byte.index(value.len());
                    value[byte] ^= bits;
                }
            }
            Bend::Cut(at, end) => {
                let value = &mut fields[at.index(count)].1;
                let end = end.index(value.len() + 1);
                value.truncate(end);
            }
        }
    }
    fields
}

/// What is allowed carries the good token, once, as its only authorization; and nobody is shown it.
fn only_the_good_token(bench: &Bench, message: &Message, ran: &Ran) -> Result<(), TestCaseError> {
    let unmediated = ran.record.as_ref().is_some_and(|record| record.windows(20).any(|part| part == b"\"operation\":\"health\""));
    if ran.upstream.is_none() || unmediated {
        return Ok(());
    }
    let held = |value: &[u8]| value.windows(bench.token.len()).any(|part| part == bench.token.as_bytes());
    let sent: Vec<_> = message.request.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"authorization")).collect();
    prop_assert!(
        sent.len() == 1 && sent[0].1.ends_with(bench.token.as_bytes()),
        "allowed without the token: {:?}",
        message.request
    );
    let upstream = ran.upstream.iter().flatten().filter(|(name, _)| name == b"authorization").map(|(_, value)| value.as_slice());
    let credential = format!("Bearer {}", scenario::CREDENTIAL.1);
    let credential_alone = upstream.eq([credential.as_bytes()]);
    prop_assert!(credential_alone);
    let client = ran.client.iter().flatten();
    prop_assert!(!client.into_iter().any(|(_, value)| held(value)));
    Ok(())
}

#[test]
fn bent_request_fields() {
    let bench = Bench::new();
    bench.holds(4000, any_bends(), |bench, bends| {
        let good = message("GET", &bench.token);
        let message = Message { request: bent(good.request.clone(), bends), ..good };
        let ran = bench.asked(&message)?;
        only_the_good_token(bench, &message, &ran)
    });
}

#[test]
fn bent_responses_and_trailers() {
    let bench = Bench::new();
    let parts = (any_bends(), any_bends(), any_bends());
    bench.holds(2000, parts, |bench, (request_trailers, response, response_trailers)| {
        let good = message("GET", &bench.token);
        let message = Message {
            request_trailers: Some(bent(fields(&[("x-sum", "1")]), request_trailers)),
            response: bent(good.response.clone(), response),
            response_trailers: Some(bent(fields(&[("grpc-status", "0")]), response_trailers)),
            ..good
        };
        // Whatever comes after an allowed head is cleaned, not refused.
        prop_assert!(bench.asked(&message)?.passed());
        Ok(())
    });
}

#[test]
fn fields_beyond_all_bounds() {
    let bench = Bench::new();
    let good = || message("GET", &bench.token);
    let with = |more: Headers| Message { request: [good().request, more].concat(), ..good() };
    let many = |count: usize, name: fn(usize) -> String| -> Headers {
        (0..count).map(|at| (name(at).into_bytes(), b"v".to_vec())).collect()
    };
    let here = good().request.len();
    let denied = |message: &Message, expected: &str| {
        let ran = bench.ask(message).expect("they agree");
        assert_eq!(reason(&ran), Some(expected));
        bench.serves();
    };
    let allowed = |message: &Message| {
        let ran = bench.ask(message).expect("they agree");
        assert!(ran.passed(), "{:?}", ran.reply);
        bench.serves();
    };
    allowed(&with(many(1024 - here, |at| format!("x-{at}"))));
    denied(&with(many(1025 - here, |at| format!("x-{at}"))), "ambiguous_request");
    denied(&with(many(20_000, |at| format!("x-{at}"))), "ambiguous_request");
    denied(&with(many(5_000, |_| String::new())), "ambiguous_request");
    allowed(&with(many(1000, |at| format!("x-chaperone-{at}"))));
    allowed(&with(vec![(b"x-big".to_vec(), vec![0xff; 1 << 20])]));
    allowed(&with(vec![(vec![b'n'; 1 << 20], vec![0; 1 << 20])]));
    allowed(&with(vec![([b"x-chaperone-".to_vec(), vec![b'n'; 1 << 20]].concat(), vec![0; 1 << 20])]));
    allowed(&with(vec![(b"connection".to_vec(), b"x-chaperone-a,".repeat(1 << 16))]));
    denied(&bearing(&vec![b'.'; 1_000_000]), "token_malformed");
    denied(&bearing(&vec![b' '; 1_000_000]), "token_malformed");
    denied(&bearing(&vec![b','; 1_000_000]), "token_ambiguous");
    for name in [":path", ":authority", ":method"] {
        for value in [vec![b'/'; 1 << 20], vec![0xff; 1 << 20], b"%2e".repeat(1 << 18), Vec::new()] {
            let mut message = good();
            for (found, was) in &mut message.request {
                // A command that is bound to its host.
                match found.as_slice() {
                    found if found == name.as_bytes() => was.clone_from(&value),
                    b":path" => *was = b"/v1/orders".to_vec(),
                    _ => {}
                }
            }
            let ran = bench.ask(&message).expect("they agree");
            assert!(ran.upstream.is_none(), "{name} of {} bytes", value.len());
        }
    }
    denied(&Message { request: Vec::new(), ..good() }, "ambiguous_request");
    allowed(&Message { response: many(5_000, |at| format!("x_chaperone_{at}")), ..good() });
    allowed(&Message { response: Vec::new(), ..good() });
    allowed(&Message { request_trailers: Some(many(5_000, |at| format!("x_chaperone_{at}"))), ..good() });
    allowed(&Message { request_trailers: Some(Vec::new()), response_trailers: Some(Vec::new()), ..good() });
    allowed(&Message { response_trailers: Some(vec![(b"x".to_vec(), vec![0xff; 1 << 20])]), ..good() });
}

// Tokens.

/// What is done to a good token.
#[derive(Clone, Debug)]
enum Twist {
    FlipBit(Index, u8),
    /// A bit of what a part says, rather than of its text.
    FlipInside(Index, Index, u8),
    Truncate(Index),
    Cut(Index, Index),
    Insert(Index, Vec<u8>),
    Swap(Index, Index),
    Repeat(Index),
    Drop(Index),
    /// A part of this text in place of its own.
    Say(Index, Vec<u8>),
    /// A part of another good token in place of its own.
    Borrow(Index),
}

fn any_twist() -> impl Strategy<Value = Twist> {
    let at = any::<Index>;
    let said = select(vec![
        "{}",
        "[]",
        "null",
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"ES256\",\"crit\":[]}",
        "{\"alg\":\"ES256\",\"kid\":7}",
        "",
        "{\"iss\":\"https://broker.example\",\"aud\":\"orders\",\"sub\":\"agent-7\",\"sid\":\"s-1\",\"iat\":1,\"exp\":99999999999}",
        "{\"exp\":1e400}",
    ]);
    let said = prop_oneof![said.prop_map(|text| text.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..100)];
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Twist::FlipBit(at, bit)),
        4 => (at(), at(), 0..8_u8).prop_map(|(part, at, bit)| Twist::FlipInside(part, at, bit)),
        1 => at().prop_map(Twist::Truncate),
        1 => (at(), at()).prop_map(|(from, to)| Twist::Cut(from, to)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Twist::Insert(at, bytes)),
        1 => (at(), at()).prop_map(|(one, other)| Twist::Swap(one, other)),
        1 => at().prop_map(Twist::Repeat),
        1 => at().prop_map(Twist::Drop),
        2 => (at(), said).prop_map(|(part, text)| Twist::Say(part, text)),
        1 => at().prop_map(Twist::Borrow),
    ]
}

fn twisted(good: &str, other: &str, twist: Twist) -> Vec<u8> {
    let mut token = good.as_bytes().to_vec();
    let mut parts: Vec<Vec<u8>> = good.split('.').map(|part| part.as_bytes().to_vec()).collect();
    match twist {
        Twist::FlipBit(at, bit) => {
            let at = at.index(token.len());
            token[at] ^= 1 << bit;
            return token;
        }
        Twist::Truncate(end) => {
            token.truncate(end.index(good.len()));
            return token;
        }
        Twist::Cut(from, to) => {
            let (from, to) = (from.index(good.len()), to.index(good.len()));
            token.drain(from.min(to)..=from.max(to));
            return token;
        }
        Twist::Insert(at, bytes) => {
            let at = at.index(good.len() + 1);
            token.splice(at..at, bytes);
            return token;
        }
        Twist::FlipInside(part, at, bit) => {
            let part = part.get_mut(&mut parts);
            let mut said = B64.decode(&part).expect("a good token");
            let at = at.index(said.len());
            said[at] ^= 1 << bit;
            *part = B64.encode(said).into_bytes();
        }
        Twist::Swap(one, other) => parts.swap(one.index(3), other.index(3)),
        Twist::Repeat(part) => parts.insert(part.index(3), parts[part.index(3)].clone()),
        Twist::Drop(part) => drop(parts.remove(part.index(3))),
        Twist::Say(part, text) => *part.get_mut(&mut parts) = B64.encode(text).into_bytes(),
        Twist::Borrow(part) => {
            let at = part.index(3);
            parts[at] = other.split('.').nth(at).expect("three parts").as_bytes().to_vec();
        }
    }
    parts.join(&b'.')
}

/// More than one space may stand before a token (RFC 9110 §11.4).
fn is_the_token(bench: &Bench, sent: &[u8]) -> bool {
    let start = sent.iter().take_while(|byte| **byte == b' ').count();
    &sent[start..] == bench.token.as_bytes()
}

#[test]
fn bent_tokens() {
    let bench = Bench::new();
    let other = bench.scenario.token_with("s-2", json!({"sub": "agent-8"}));
    assert!(bench.ask(&bearing(other.as_bytes())).expect("they agree").passed());
    bench.holds(4000, prop::collection::vec(any_twist(), 1..3), |bench, twists| {
        let mut token = bench.token.clone().into_bytes();
        for twist in twists {
            // A second twist bends the text that the first one left, where that still is a token's.
            let good = std::str::from_utf8(&token).ok().filter(|text| {
                let parts: Vec<_> = text.split('.').collect();
                parts.len() == 3 && parts.iter().all(|part| B64.decode(part).is_ok_and(|said| !said.is_empty()))
            });
            token = twisted(good.unwrap_or(&bench.token), &other, twist);
        }
        let ran = bench.asked(&bearing(&token))?;
        let good = is_the_token(bench, &token) || token == other.as_bytes();
        prop_assert_eq!(ran.passed(), good, "{}", String::from_utf8_lossy(&token));
        if !good {
            let reason = reason(&ran).unwrap_or_default().to_owned();
            prop_assert!(ran.reply.is_some_and(|reply| [400, 401].contains(&reply.status)), "{}", reason);
        }
        Ok(())
    });
}

/// Signed by the issuer itself, and still nothing that we would read.
#[test]
fn well_signed_tokens_of_bad_form() {
    let bench = Bench::new();
    let deep = |depth: usize| {
        let inner = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let claims = bench.scenario.claims_text("s-1");
        format!("{},\"ignored\":{inner}}}", claims.strip_suffix('}').expect("an object"))
    };
    let header = |more: &str| format!("{{\"alg\":\"ES256\",\"kid\":\"{}\"{more}}}", bench.scenario.key_id());
    let claims = bench.scenario.claims_text("s-1");
    let good = |header: &str, claims: &str| bench.scenario.signed(header.as_bytes(), claims.as_bytes());
    assert!(bench.ask(&bearing(good(&header(""), &claims).as_bytes())).expect("they agree").passed());
    assert!(bench.ask(&bearing(good(&header(""), &deep(15)).as_bytes())).expect("they agree").passed(), "as deep as may be");
    for (token, expected) in [
        (good(&header(""), &deep(16)), "token_malformed"),
        (good(&header(""), &deep(2_000)), "token_malformed"),
        (good(&header(""), &deep(100_000)), "token_malformed"),
        (good(&header(&format!(",\"x\":{}", "[".repeat(3_000))), &claims), "token_malformed"),
        (good(&header(&format!(",\"kid\":\"{}\"", "k".repeat(5))), &claims), "token_malformed"),
        (good(&format!("{{\"alg\":\"ES256\",\"kid\":\"{}\"}}", "k".repeat(5_000)), &claims), "token_malformed"),
        (good(&format!("{{\"alg\":\"ES256\",\"kid\":\"{}\"}}", "k".repeat(1 << 20)), &claims), "token_malformed"),
        (good("{\"alg\":\"ES256\",\"kid\":\"../../dev/null\"}", &claims), "key_unknown"),
        (good(&header(",\"crit\":[\"x\"]"), &claims), "token_unsupported"),
        (good(&header(""), "[]"), "token_malformed"),
        (good(&header(""), ""), "token_malformed"),
        (good(&header(""), &format!("{claims} {{}}")), "token_malformed"),
        (good(&header(""), &claims.replacen('{', "{\"exp\":1,", 1)), "token_malformed"),
        (good(&header(""), &claims.replacen('{', "{\"e\\u0078p\":1,", 1)), "token_malformed"),
    ] {
        let ran = bench.ask(&bearing(token.as_bytes())).expect("they agree");
        assert_eq!(reason(&ran), Some(expected), "{:.200}", token);
    }
    bench.serves();
}

// Documents.

/// What is done to a document.
#[derive(Clone, Debug)]
enum Wreck {
    Delete(Index),
    Duplicate(Index),
    Retype(Index, Value),
    Rename(Index, String),
    Exchange(Index, Index),
    /// To the text, and for good.
    Truncate(Index),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
}

fn any_wreck() -> impl Strategy<Value = Wreck> {
    let at = any::<Index>;
    let other = select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("*"),
        json!("0s"),
        json!("15m"),
        json!([]),
        json!({}),
        json!([[]]),
        json!(["orders.*"]),
        json!({"": {}}),
        json!("\u{0}"),
        json!("x".repeat(70_000)),
        json!("Bearer secret"),
        json!("${env:NOWHERE}"),
    ]);
    let name =
        prop_oneof![select(vec!["", "version", "observe", "mode", "x", "grants", "kid"]).prop_map(str::to_owned), ".{0,4}"];
    prop_oneof![
        3 => at().prop_map(Wreck::Delete),
        2 => at().prop_map(Wreck::Duplicate),
        4 => (at(), other).prop_map(|(at, value)| Wreck::Retype(at, value)),
        2 => (at(), name).prop_map(|(at, name)| Wreck::Rename(at, name)),
        2 => (at(), at()).prop_map(|(one, other)| Wreck::Exchange(one, other)),
        1 => at().prop_map(Wreck::Truncate),
        2 => (at(), any::<u8>()).prop_map(|(at, bits)| Wreck::Flip(at, bits)),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..5)).prop_map(|(at, bytes)| Wreck::Insert(at, bytes)),
    ]
}

/// Each value's JSON pointer but the root's.
fn pointers(value: &Value, here: &str, all: &mut Vec<String>) {
    let step = |name: &str| format!("{here}/{}", name.replace('~', "~0").replace('/', "~1"));
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (step(name), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (step(&at.to_string()), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (pointer, value) in inner {
        pointers(value, &pointer, all);
        all.push(pointer);
    }
}

/// Stands for a name that its object has already.
const TWICE: &str = "the same name again ";

fn wrecked(mut document: Value, wrecks: Vec<Wreck>) -> Vec<u8> {
    let mut to_text = Vec::new();
    for wreck in wrecks {
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        if all.is_empty() {
            continue;
        }
        let pick = |at: &Index| at.get(&all).clone();
        let parent = |pointer: &str| {
            let (parent, name) = pointer.rsplit_once('/').expect("not the root");
            (parent.to_owned(), name.replace("~1", "/").replace("~0", "~"))
        };
        match wreck {
            Wreck::Delete(at) => {
                let (parent, name) = parent(&pick(&at));
                match document.pointer_mut(&parent) {
                    Some(Value::Object(members)) => drop(members.remove(&name)),
                    Some(Value::Array(items)) => drop(items.remove(name.parse().expect("an index"))),
                    other => panic!("{other:?}"),
                }
            }
            Wreck::Duplicate(at) => {
                let (parent, name) = parent(&pick(&at));
                let copy = document.pointer(&pick(&at)).cloned().expect("it is there");
                match document.pointer_mut(&parent) {
                    Some(Value::Object(members)) => drop(members.insert(format!("{TWICE}{name}"), copy)),
                    Some(Value::Array(items)) => items.push(copy),
                    other => panic!("{other:?}"),
                }
            }
            Wreck::Retype(at, value) => *document.pointer_mut(&pick(&at)).expect("it is there") = value,
            Wreck::Rename(at, to) => {
                let (parent, name) = parent(&pick(&at));
                if let Some(Value::Object(members)) = document.pointer_mut(&parent) {
                    let value = members.remove(&name).expect("it is there");
                    members.insert(to, value);
                }
            }
            Wreck::Exchange(one, other) => {
                let (one, other) = (pick(&one), pick(&other));
                if !one.starts_with(&other) && !other.starts_with(&one) {
                    let value = document.pointer(&one).cloned().expect("it is there");
                    let value = std::mem::replace(document.pointer_mut(&other).expect("it is there"), value);
                    *document.pointer_mut(&one).expect("it is there") = value;
                }
            }
            later @ (Wreck::Truncate(_) | Wreck::Flip(..) | Wreck::Insert(..)) => to_text.push(later),
        }
    }
    let mut text = document.to_string().replace(TWICE, "").into_bytes();
    for wreck in to_text {
        match wreck {
            _ if text.is_empty() => {}
            Wreck::Truncate(end) => text.truncate(end.index(text.len())),
            Wreck::Flip(at, bits) => {
                let at = at.index(text.len());
                text[at] ^= bits;
            }
            Wreck::Insert(at, bytes) => {
                let at = at.index(text.len());
                text.splice(at..at, bytes);
            }
            Wreck::Delete(_) | Wreck::Duplicate(_) | Wreck::Retype(..) | Wreck::Rename(..) | Wreck::Exchange(..) => {}
        }
    }
    text
}

#[test]
fn bent_documents() {
    let bench = Bench::new();
    let good =
        bench.scenario.revoking(1, &json!([{"session": "s-9"}, {"subject": "agent-9", "issued_before": "2026-11-23T10:00:00Z"}]));
    let generation = std::cell::Cell::new(2_u64);
    let (taken, refused) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    bench.holds(2000, prop::collection::vec(any_wreck(), 1..4), |bench, wrecks| {
        let document = wrecked(good.clone(), wrecks);
        let update = bench.pair.borrow_mut().update(&document).map_err(TestCaseError::fail)?;
        // Under whatever serves now, both sides agree.
        let allowed = bench.asked(&message("GET", &bench.token))?;
        let denied = bench.asked(&message("DELETE", &bench.token))?;
        if update {
            taken.set(taken.get() + 1);
            let mut again = bench.scenario.policy();
            generation.set(generation.get() + 1);
            again["generation"] = json!(generation.get());
            prop_assert_eq!(bench.pair.borrow_mut().update(again.to_string().as_bytes()), Ok(true));
        } else {
            refused.set(refused.get() + 1);
            prop_assert!(allowed.passed(), "after a refused update: {:?}", allowed.reply);
            prop_assert_eq!(reason(&denied), Some("command_not_granted"));
        }
        Ok(())
    });
    assert!(taken.get() > 20 && refused.get() > 200, "{} taken, {} refused", taken.get(), refused.get());
}

#[test]
fn documents_beyond_all_bounds() {
    let bench = Bench::new();
    let good = bench.scenario.policy().to_string();
    let nested =
        |depth: usize| good.replacen("\"version\"", &format!("\"x\":{}{},\"version\"", "[".repeat(depth), "]".repeat(depth)), 1);
    for document in [
        Vec::new(),
        b" ".repeat(1_000_000),
        b"[".repeat(1_000_000),
        b"{\"a\":".repeat(1_000_000),
        nested(100_000).into_bytes(),
        vec![0xff; 1_000_000],
        vec![0; 1_000_000],
        [&[0xef, 0xbb, 0xbf], good.as_bytes()].concat(),
        format!("{good}{good}").into_bytes(),
        good.replacen("\"orders\"", "\"\\ud800\"", 1).into_bytes(),
        good.replacen("\"version\":1", "\"version\":1e400", 1).into_bytes(),
        good.replacen("\"version\":1", &format!("\"version\":{}", "1".repeat(1_000_000)), 1).into_bytes(),
    ] {
        assert_eq!(bench.pair.borrow_mut().update(&document), Ok(false), "{:.80}", String::from_utf8_lossy(&document));
        bench.serves();
    }
}
