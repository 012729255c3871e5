//! A token that lists a command with the digest of arguments is good for a call with those and for nothing else: now, while its stream
//! is open, and whatever policy comes between.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{
    CheckStep, Decision, End, Exchange, Explanation, Given, Head, Policy, Reason, Timestamp, WholeBody, Worker,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{NOW, claims, compile, context, document, head, token, with, worker};

/// SHA-256 of `{"id":7}`.
const SEVEN: &str = "a3c90e3b7448d23d9eacebd0ebf15cae100e21f9b2c688f3f9d238edcd26d67f";
/// Of `{}`.
const NONE: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn policy_document() -> Value {
    let mut document = document();
    document["commands"]["base"] =
        json!({"mcp": {"path": "/mcp", "methods": ["ping", "tools/list", "completion/complete", "GET"]}});
    document["commands"]["delete"] =
        json!({"mcp": {"path": "/mcp", "tools": ["delete"], "prompts": ["ask"], "resources": ["docs:a"]}});
    document["commands"]["read"] = json!({"mcp": {"path": "/mcp", "tools": ["read"]}});
    document["grants"][0]["allow"] = json!(["base", "delete", "read", "orders.list"]);
    document
}

/// With a list of its own, and of the audiences that it names.
fn holding(details: &Value) -> Value {
    let mut claims = claims();
    claims["authorization_details"] = details.clone();
    claims
}

fn detail(action: &str, arguments: Option<&str>) -> Value {
    let mut detail = json!({"type": "chaperone", "actions": [action]});
    if let Some(arguments) = arguments {
        detail["arguments_sha256"] = arguments.into();
    }
    detail
}

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

fn delete(arguments: &Value) -> Value {
    message("tools/call", &json!({"name": "delete", "arguments": arguments}))
}

struct Sent {
    exchange: Exchange,
    decision: Decision,
    explanation: Explanation,
}

impl Sent {
    fn code(&self) -> &'static str {
        self.exchange.reason().map_or("allowed", Reason::code)
    }

    fn told(&self) -> Value {
        let Decision::Refuse(denial) = &self.decision else { panic!("let through") };
        serde_json::from_slice(&denial.response().body).unwrap()
    }
}

/// Sends a body to the endpoint, begun under one policy and taken up when `newest` has come.
fn send_over(policy: &Rc<Policy>, newest: &Rc<Policy>, worker: &mut Worker, claims: &Value, body: &str) -> Sent {
    let bearer = format!("Bearer {}", token(claims));
    let fields = head("POST", "/mcp", &[("authorization", &bearer), ("content-type", "application/json")]);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let now = Timestamp::from_seconds(NOW);
    let head = Head { headers: &headers, body: true, ..Head::default() };
    let (mut decision, mut explanation) = exchange.explain(&head, worker, &context(policy, now));
    if matches!(decision, Decision::Hold(_)) {
        let given = Given::Body(WholeBody::of_ended(body.as_bytes()));
        decision = exchange.explain_further(&given, &headers, worker, &context(newest, now), &mut explanation);
    }
    Sent { exchange, decision, explanation }
}

fn send(document: &Value, claims: &Value, body: &Value) -> Sent {
    let policy = compile(document);
    send_over(&policy, &policy, &mut worker(), claims, &body.to_string())
}

#[test]
fn only_a_call_with_those_arguments_is_listed() {
    let document = policy_document();
    let bound = detail("delete", Some(SEVEN));
    let read = detail("read", None);
    let none = json!([detail("delete", Some(NONE))]);
    for (details, body, code) in [
        (json!([bound]), delete(&json!({"id": 7})), "allowed"),
        (json!([bound]), delete(&json!({"id": 7.0})), "allowed"),
        (json!([bound]), delete(&json!({"id": 8})), "command_not_in_token"),
        (json!([bound]), delete(&json!({"id": "7"})), "command_not_in_token"),
        (json!([bound]), delete(&json!({"id": 7, "force": true})), "command_not_in_token"),
        (json!([bound]), delete(&json!({})), "command_not_in_token"),
        (none.clone(), delete(&json!({})), "allowed"),
        (none.clone(), message("tools/call", &json!({"name": "delete"})), "allowed"),
        (none.clone(), delete(&json!({"id": 7})), "command_not_in_token"),
        // A prompt of the command has arguments, too; a resource and a completion have none that are known.
        (json!([bound]), message("prompts/get", &json!({"name": "ask", "arguments": {"id": 7}})), "allowed"),
        (json!([bound]), message("resources/read", &json!({"uri": "docs:a"})), "command_not_in_token"),
        (none, message("resources/read", &json!({"uri": "docs:a"})), "command_not_in_token"),
        (
            json!([bound, detail("base", None)]),
            message("completion/complete", &json!({"ref": {"type": "ref/prompt", "name": "ask"}})),
            "command_not_in_token",
        ),
        (json!([detail("base", Some(NONE))]), message("ping", &json!({})), "command_not_in_token"),
        // Of another command, beside one without a bound, and twice.
        (json!([bound, read]), message("tools/call", &json!({"name": "read", "arguments": {"id": 8}})), "allowed"),
        (json!([detail("read", Some(SEVEN))]), delete(&json!({"id": 7})), "command_not_in_token"),
        (json!([bound, detail("delete", None)]), delete(&json!({"id": 8})), "allowed"),
        (json!([detail("delete", Some(NONE)), bound, bound]), delete(&json!({"id": 7})), "allowed"),
        (json!([detail("del*", Some(SEVEN))]), delete(&json!({"id": 7})), "allowed"),
        (json!([detail("del*", Some(SEVEN))]), delete(&json!({"id": 8})), "command_not_in_token"),
    ] {
        assert_eq!(send(&document, &holding(&details), &body).code(), code, "{details} {body}");
    }
    // Each list must hold it, the claim by its name and the details by both.
    let mut both = holding(&json!([bound]));
    both["commands"] = json!(["delete"]);
    assert_eq!(send(&document, &both, &delete(&json!({"id": 7}))).code(), "allowed");
    assert_eq!(send(&document, &both, &delete(&json!({"id": 8}))).code(), "command_not_in_token");
    both["commands"] = json!(["read"]);
    assert_eq!(send(&document, &both, &delete(&json!({"id": 7}))).code(), "command_not_in_token");
    // What is not granted is not, whatever is approved.
    let less = with(document.clone(), "/grants/0/allow", json!(["base", "read"]));
    assert_eq!(send(&less, &holding(&json!([bound])), &delete(&json!({"id": 7}))).code(), "command_not_granted");
    let arguments = json!({"properties": {"id": {"maximum": 6}}});
    let narrow = with(document, "/commands/delete/mcp/arguments", arguments);
    assert_eq!(send(&narrow, &holding(&json!([bound])), &delete(&json!({"id": 7}))).code(), "arguments_not_allowed");
}

#[test]
fn what_cannot_be_read_is_no_bound_but_a_fault() {
    let document = policy_document();
    let upper = SEVEN.to_uppercase();
    for wrong in [
        json!(null),
        json!(7),
        json!(true),
        json!([SEVEN]),
        json!({}),
        json!(""),
        json!("*"),
        json!(SEVEN.replacen('a', "", 1)),
        json!(format!("{SEVEN}0")),
        json!(upper),
        json!("o8kOO3RI0j2e7OvQ6_FcrhAOIfmyxojz-dI47c0m1n8"),
    ] {
        let mut bad = detail("delete", None);
        bad["arguments_sha256"] = wrong.clone();
        let elsewhere = with(bad.clone(), "/locations", json!(["https://elsewhere.example"]));
        for details in [json!([bad]), json!([detail("delete", None), bad]), json!([detail("delete", None), elsewhere])] {
            assert_eq!(send(&document, &holding(&details), &delete(&json!({"id": 7}))).code(), "claims_invalid", "{details}");
        }
    }
    for name in ["arguments_SHA256", "arguments", "identifier", "arguments_sha512"] {
        let mut bad = detail("delete", None);
        bad[name] = SEVEN.into();
        assert_eq!(send(&document, &holding(&json!([bad])), &delete(&json!({"id": 7}))).code(), "claims_invalid", "{name}");
    }
}

/// What a command's head says has no arguments: what is bound by them is nothing there.
#[test]
fn a_bound_gives_nothing_where_there_are_no_arguments() {
    let policy = compile(&policy_document());
    for (details, path, code) in [
        (json!([detail("orders.list", Some(NONE))]), "/v1/orders", "command_not_in_token"),
        (json!([detail("orders.list", Some(NONE)), detail("orders.list", None)]), "/v1/orders", "allowed"),
        (json!([detail("base", Some(NONE))]), "/mcp", "command_not_in_token"),
        (json!([detail("base", None)]), "/mcp", "allowed"),
    ] {
        let bearer = format!("Bearer {}", token(&holding(&details)));
        let answer = support::ask(&policy, &mut worker(), NOW, &head("GET", path, &[("authorization", &bearer)]));
        assert_eq!(answer.code(), code, "{details} {path}");
        if let Some((_, _, body)) = answer.denied {
            assert!(!body.contains("arguments_sha256"), "{body}");
        }
    }
}

#[test]
fn a_denial_names_what_is_missing() {
    let document = policy_document();
    let claims = holding(&json!([detail("base", None), detail("read", Some(NONE))]));
    let missing = |body: &Value| {
        let told = send(&document, &claims, body).told();
        let told = told.as_array().map_or(told.clone(), |all| all[0].clone());
        (told["error"]["data"]["command"].clone(), told["error"]["data"]["authorization_details"].clone())
    };
    let of = |command: &str, arguments: Option<&str>| (json!(command), json!([detail(command, arguments)]));
    assert_eq!(missing(&delete(&json!({"id": 7}))), of("delete", Some(SEVEN)));
    assert_eq!(missing(&delete(&json!({}))), of("delete", Some(NONE)));
    assert_eq!(missing(&message("prompts/get", &json!({"name": "ask", "arguments": {"id": 7}}))), of("delete", Some(SEVEN)));
    assert_eq!(missing(&message("resources/read", &json!({"uri": "docs:a"}))), of("delete", None));
    // Of several the first that is missing, not the first.
    let read = |arguments: Value| message("tools/call", &json!({"name": "read", "arguments": arguments}));
    let batch = |other: Value| {
        let mut other = other;
        other["id"] = json!(2);
        json!([read(json!({})), other])
    };
    assert_eq!(missing(&batch(read(json!({"id": 7})))), of("read", Some(SEVEN)));
    assert_eq!(missing(&batch(delete(&json!({"id": 7})))), of("delete", Some(SEVEN)));
    assert_eq!(send(&document, &claims, &batch(message("ping", &json!({})))).code(), "allowed");
    // No token helps where no grant does.
    let less = with(document.clone(), "/grants/0/allow", json!(["base", "read"]));
    let told = send(&less, &support::claims(), &delete(&json!({"id": 7}))).told();
    assert_eq!(told["error"]["data"]["authorization_details"], json!([detail("delete", None)]));
    // The record says the same.
    let record: Value =
        serde_json::from_str(&send(&document, &claims, &delete(&json!({"id": 7}))).exchange.record(&End::default()).unwrap())
            .unwrap();
    assert_eq!(record["unmapped"]["mcp"]["messages"][0]["arguments_sha256"], SEVEN);
    let Some(CheckStep::TokenCommands { details, arguments, .. }) =
        send(&document, &claims, &delete(&json!({"id": 7}))).explanation.seen.last().cloned()
    else {
        panic!("the last check is that of the token's list");
    };
    assert_eq!(arguments.as_deref(), Some(SEVEN));
    assert_eq!(details, Some(vec!["base".to_owned(), format!("read with arguments_sha256 {NONE}")]));
}

/// A token of two audiences, whose details are another list for each: which of them counts is the policy's to say.
fn of_two_audiences(here: &Value) -> Value {
    let mut claims = holding(&json!([
        with(detail("delete", Some(SEVEN)), "/locations", json!(["before"])),
        with(here.clone(), "/locations", json!(["orders"])),
    ]));
    claims["aud"] = json!(["before", "orders"]);
    claims
}

#[test]
fn an_open_stream_is_held_to_its_arguments_by_every_policy() {
    let audiences = |audience: &str| with(policy_document(), "/tokens/issuers/0/audiences", json!([audience]));
    let (before, newest) = (compile(&audiences("before")), compile(&audiences("orders")));
    for (here, now) in [
        (detail("delete", Some(SEVEN)), None),
        (detail("delete", None), None),
        (detail("delete", Some(NONE)), Some(Reason::CommandNotInToken)),
        (detail("read", Some(SEVEN)), Some(Reason::CommandNotInToken)),
    ] {
        let claims = of_two_audiences(&here);
        let body = delete(&json!({"id": 7})).to_string();
        let mut worker = worker();
        let mut open = send_over(&before, &before, &mut worker, &claims, &body);
        assert_eq!(open.code(), "allowed", "{here}");
        let at = Timestamp::from_seconds(NOW);
        assert_eq!(open.exchange.recheck(&mut worker, &context(&before, at), false), None, "{here}");
        assert_eq!(open.exchange.recheck(&mut worker, &context(&newest, at), false), now, "{here}");
        // And so is what waits for its body when the policy comes.
        let held = send_over(&before, &newest, &mut support::worker(), &claims, &body);
        assert_eq!(held.code(), now.map_or("allowed", Reason::code), "{here}");
        if now.is_some() {
            let details = &held.told()["error"]["data"]["authorization_details"];
            assert_eq!(details, &json!([detail("delete", Some(SEVEN))]), "{here}");
        }
    }
}

#[test]
fn a_list_shows_what_can_be_called_with_some_arguments() {
    let policy = compile(&policy_document());
    let claims = holding(&json!([detail("base", None), detail("delete", Some(SEVEN))]));
    let mut worker = worker();
    let mut sent = send_over(&policy, &policy, &mut worker, &claims, &message("tools/list", &json!({})).to_string());
    assert_eq!(sent.code(), "allowed");
    let _ = sent.exchange.response_edits(&[(b":status", b"200"), (b"content-type", b"application/json")], false);
    let named = |key: &str, names: &[&str]| names.iter().map(|name| json!({key: name})).collect::<Vec<_>>();
    let listed = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "tools": named("name", &["read", "delete"]), "prompts": named("name", &["ask"]), "resources": named("uri", &["docs:a"]),
        "resourceTemplates": named("uriTemplate", &["docs:{page}"]),
    }});
    let now = context(&policy, Timestamp::from_seconds(NOW));
    let shown: Value =
        serde_json::from_slice(&sent.exchange.answer_piece(listed.to_string().as_bytes(), true, &worker, &now)).unwrap();
    let result = json!({"tools": [{"name": "delete"}], "prompts": [{"name": "ask"}], "resources": [], "resourceTemplates": []});
    assert_eq!(shown["result"], result);
}

fn arguments() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1000..1000i32).prop_map(Value::from),
        (-1e6..1e6f64).prop_map(|number| json!((number * 64.0).round() / 64.0)),
        "[a-zé\u{1f600}\"\\\\]{0,6}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,4}", inner, 0..4).prop_map(|members| json!(members)),
        ]
    });
    prop::collection::btree_map("[a-z]{1,4}", value, 0..4).prop_map(|members| json!(members))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a denial says is exactly what lets the same call through, and no other.
    #[test]
    fn what_a_denial_asks_for_is_enough_and_no_more(one in arguments(), other in arguments()) {
        let document = policy_document();
        let denied = send(&document, &holding(&json!([detail("base", None)])), &delete(&one));
        prop_assert_eq!(denied.code(), "command_not_in_token");
        let approved = holding(&denied.told()["error"]["data"]["authorization_details"]);
        prop_assert_eq!(send(&document, &approved, &delete(&one)).code(), "allowed");
        let expected = if one == other { "allowed" } else { "command_not_in_token" };
        prop_assert_eq!(send(&document, &approved, &delete(&other)).code(), expected, "{} {}", one, other);
    }
}
