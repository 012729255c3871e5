//! What a grant lets be carried: files, parts of files, bytes; by the request's head, by the response's, and as bytes go on.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{Decision, End, Exchange, Head, Policy, Reason, Timestamp, Worker};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{NOW, claims, compile, context, document, head, token, with, worker};

const JSON: (&str, &str) = ("content-type", "application/json");
const PDF: (&str, &str) = ("content-type", "application/pdf");

/// The usual document, with POST of orders.cancel granted, under these rules.
fn ruled(transfers: Value) -> Value {
    let granted = with(document(), "/grants/0/allow", json!(["orders.*", "users.get"]));
    if transfers.is_null() { granted } else { with(granted, "/grants/0/transfers", transfers) }
}

fn context_at<'p>(policy: &'p Rc<Policy>) -> chaperone_policy::Context<'p> {
    context(policy, Timestamp::from_seconds(NOW))
}

/// A request that is put to a policy.
fn begin(policy: &Rc<Policy>, worker: &mut Worker, method: &str, path: &str, extra: &[(&str, &str)]) -> (Exchange, Decision) {
    let bearer = format!("Bearer {}", token(&claims()));
    let mut fields = vec![("authorization", bearer.as_str())];
    fields.extend_from_slice(extra);
    let fields = head(method, path, &fields);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &headers, body: method == "POST", ..Head::default() };
    let decision = exchange.request(&head, worker, &context_at(policy));
    (exchange, decision)
}

fn post(document: &Value, extra: &[(&str, &str)]) -> (Option<Reason>, Value) {
    let (exchange, _) = begin(&compile(document), &mut worker(), "POST", "/v1/orders/7/cancel", extra);
    (exchange.reason(), record(&exchange))
}

fn get(document: &Value, extra: &[(&str, &str)]) -> (Option<Reason>, Value) {
    let (exchange, _) = begin(&compile(document), &mut worker(), "GET", "/v1/orders", extra);
    (exchange.reason(), record(&exchange))
}

fn record(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap()
}

/// What becomes of an open stream under `policy` when this comes of its response.
fn respond(exchange: &mut Exchange, fields: &[(&str, &str)]) -> bool {
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    exchange.can_carry_response(&fields)
}

const DENIED: Option<Reason> = Some(Reason::TransferNotAllowed);

#[test]
fn each_rule_denies_what_it_is_about_and_nothing_else() {
    let uploads = ruled(json!({"uploads": "deny"}));
    let downloads = ruled(json!({"downloads": "deny"}));
    let bounded = ruled(json!({"max_request_bytes": 10}));
    let open = ruled(json!({"uploads": "allow", "downloads": "allow"}));
    let length = |bytes: &'static str| [JSON, ("content-length", bytes)];
    for (document, extra, detail) in [
        (&uploads, vec![PDF], "upload"),
        (&uploads, vec![], "upload"),
        (&uploads, vec![JSON, ("content-encoding", "gzip")], "upload"),
        (&downloads, vec![JSON, ("range", "bytes=0-1")], "download"),
        (&bounded, length("11").to_vec(), "request_bytes"),
    ] {
        let (reason, record) = post(document, &extra);
        assert_eq!((reason, record["status_detail"].as_str()), (DENIED, Some(detail)), "{extra:?}");
        assert_eq!((&record["unmapped"]["decision"], &record["unmapped"]["grant"]), (&json!("deny"), &json!("agents")));
        // The twins: without the rule, and under another one.
        assert_eq!(post(&ruled(Value::Null), &extra).0, None, "{extra:?}");
        assert_eq!(post(&open, &extra).0, None, "{extra:?}");
    }
    assert_eq!(post(&uploads, &[JSON]).0, None);
    assert_eq!(post(&downloads, &[PDF]).0, None);
    assert_eq!(post(&bounded, &length("10")).0, None);
    assert_eq!(get(&uploads, &[]).0, None);
    assert_eq!(get(&downloads, &[]).0, None);
    assert_eq!(get(&uploads, &[("upload-length", "9")]).0, DENIED);
    assert_eq!(post(&ruled(Value::Null), &[JSON]).1["status_detail"], Value::Null);
}

#[test]
fn it_is_asked_after_the_grant_and_before_the_credential() {
    let mut document = ruled(json!({"uploads": "deny"}));
    document["upstream"] = json!({"credential": {"header": "x-key", "value": "${env:NOT_THERE}"}});
    assert_eq!(post(&document, &[PDF]).0, DENIED);
    assert_eq!(post(&document, &[JSON]).0, Some(Reason::CredentialUnavailable));
    document["grants"][0]["allow"] = json!(["orders.list"]);
    assert_eq!(post(&document, &[PDF]).0, Some(Reason::CommandNotGranted));
}

#[test]
fn grants_add_up_and_the_first_that_carries_it_is_the_one() {
    let mut document = ruled(json!({"uploads": "deny", "max_request_bytes": 10}));
    let second = json!({"name": "files", "when": {"subject": "agent-7"}, "allow": ["orders.cancel"],
        "transfers": {"max_request_bytes": 20}});
    document["grants"].as_array_mut().unwrap().push(second);
    let grant = |extra: &[(&str, &str)]| post(&document, extra).1["unmapped"]["grant"].as_str().unwrap().to_owned();
    assert_eq!((grant(&[JSON]), grant(&[PDF])), ("agents".to_owned(), "files".to_owned()));
    assert_eq!(post(&document, &[PDF]).0, None);
    // Of none that carries it the first is named.
    let (reason, record) = post(&document, &[PDF, ("content-length", "21")]);
    assert_eq!((reason, &record["status_detail"], &record["unmapped"]["grant"]), (DENIED, &json!("upload"), &json!("agents")));
    // A stream that outgrows the first goes on under the second, and not beyond it.
    let policy = compile(&document);
    let mut worker = worker();
    let (mut stream, decision) = begin(&policy, &mut worker, "POST", "/v1/orders/7/cancel", &[JSON]);
    assert!(matches!(decision, Decision::Forward(_)));
    for (bytes, expected) in [(10, None), (1, None), (9, None), (1, DENIED)] {
        stream.request_bytes(bytes);
        assert_eq!(stream.recheck(&mut worker, &context_at(&policy), true), expected, "{bytes}");
    }
}

#[test]
fn bytes_that_go_on_are_cut_at_the_bound_and_stay_cut() {
    let policy = compile(&ruled(json!({"max_request_bytes": 10, "max_response_bytes": 20})));
    let mut worker = worker();
    let mut open = || begin(&policy, &mut worker, "POST", "/v1/orders/7/cancel", &[JSON]).0;
    let (mut up, mut down) = (open(), open());
    let mut ask = |stream: &mut Exchange| stream.recheck(&mut worker, &context_at(&policy), true);
    up.request_bytes(10);
    assert_eq!(ask(&mut up), None);
    up.request_bytes(1);
    assert_eq!((ask(&mut up), ask(&mut up)), (DENIED, DENIED));
    let said = record(&up);
    assert_eq!(
        (&said["status_detail"], &said["unmapped"]["ended_by"]),
        (&json!("request_bytes"), &json!("transfer_not_allowed"))
    );
    assert_eq!((&said["status_code"], &said["unmapped"]["decision"]), (&json!("transfer_not_allowed"), &json!("allow")));
    assert!(respond(&mut down, &[(":status", "200"), JSON, ("content-length", "20")]));
    down.response_bytes(20);
    assert_eq!(ask(&mut down), None);
    down.response_bytes(1);
    assert_eq!(ask(&mut down), DENIED);
    assert_eq!(record(&down)["status_detail"], "response_bytes");
}

#[test]
fn a_response_that_breaks_a_rule_is_answered_in_its_stead() {
    let policy = compile(&ruled(json!({"downloads": "deny", "max_response_bytes": 20})));
    let mut worker = worker();
    for (fields, detail) in [
        (vec![PDF], "download"),
        (vec![JSON, ("content-disposition", "attachment")], "download"),
        (vec![JSON, ("content-length", "21")], "response_bytes"),
    ] {
        let (mut stream, _) = begin(&policy, &mut worker, "GET", "/v1/orders", &[]);
        assert_eq!(stream.recheck(&mut worker, &context_at(&policy), false), None, "the twin: before its head has come");
        let fields = [vec![(":status", "200")], fields].concat();
        assert!(!respond(&mut stream, &fields), "{fields:?}");
        assert_eq!(stream.recheck(&mut worker, &context_at(&policy), false), DENIED);
        let denial = stream.answer_of_cut(&policy).unwrap();
        assert_eq!((denial.response().status, denial.response().grpc_status), (403, None));
        assert_eq!(record(&stream)["status_detail"], detail);
    }
    let (mut stream, _) = begin(&policy, &mut worker, "GET", "/v1/orders", &[]);
    assert!(respond(&mut stream, &[(":status", "200"), JSON, ("content-length", "20")]));
    assert_eq!(stream.recheck(&mut worker, &context_at(&policy), false), None);
    // A gRPC caller is answered in gRPC.
    let grpc = ("content-type", "application/grpc");
    let (mut stream, decision) = begin(&policy, &mut worker, "POST", "/users.v1.Users/Get", &[grpc]);
    assert!(matches!(decision, Decision::Forward(_)));
    assert!(!respond(&mut stream, &[(":status", "200"), PDF]));
    assert_eq!(stream.recheck(&mut worker, &context_at(&policy), false), DENIED);
    let denial = stream.answer_of_cut(&policy).unwrap();
    assert_eq!((denial.response().status, denial.response().grpc_status), (403, Some(7)));
}

#[test]
fn the_newest_policy_decides_about_what_is_open() {
    let before = compile(&ruled(Value::Null));
    for (newest, expected) in [
        (ruled(Value::Null), None),
        (ruled(json!({"max_request_bytes": 10})), None),
        (ruled(json!({"max_request_bytes": 9})), DENIED),
        (ruled(json!({"max_response_bytes": 19})), DENIED),
        (ruled(json!({"uploads": "deny"})), DENIED),
        (ruled(json!({"downloads": "deny"})), DENIED),
        (with(ruled(json!({"uploads": "deny"})), "/mode", json!("observe")), None),
        (with(ruled(json!({"uploads": "deny"})), "/observe", json!(["transfer_not_allowed"])), None),
    ] {
        let mut worker = worker();
        let (mut stream, _) = begin(&before, &mut worker, "POST", "/v1/orders/7/cancel", &[PDF]);
        assert!(respond(&mut stream, &[(":status", "200"), PDF]));
        stream.request_bytes(10);
        stream.response_bytes(20);
        let newest = compile(&newest);
        assert_eq!(stream.recheck(&mut worker, &context_at(&newest), true), expected);
    }
    // And about what is let through a moment after it came.
    let mut worker = worker();
    let newest = compile(&ruled(json!({"uploads": "deny"})));
    let bearer = format!("Bearer {}", token(&claims()));
    for (kind, expected) in [(PDF, DENIED), (JSON, None)] {
        let fields = head("POST", "/v1/orders/7/cancel", &[("authorization", &bearer), kind]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&before));
        let head = Head { headers: &headers, body: true, ..Head::default() };
        let _ = exchange.request(&head, &mut worker, &context_at(&newest));
        assert_eq!(exchange.reason(), expected);
    }
}

#[test]
fn what_is_only_observed_goes_on_and_is_on_record() {
    let rules = json!({"uploads": "deny", "downloads": "deny", "max_request_bytes": 10});
    let listed = with(ruled(rules.clone()), "/observe", json!(["transfer_not_allowed"]));
    let observing = with(ruled(rules), "/mode", json!("observe"));
    for document in [listed, observing] {
        let policy = compile(&document);
        let (mut worker, mut other) = (worker(), worker());
        // By the head.
        let (stream, decision) = begin(&policy, &mut worker, "POST", "/v1/orders/7/cancel", &[PDF]);
        let Decision::Forward(permit) = decision else { panic!("it goes on") };
        assert_eq!(permit.observed(), DENIED);
        let said = record(&stream);
        assert_eq!((&said["status_detail"], &said["unmapped"]["decision"]), (&json!("upload"), &json!("observed-deny")));
        // Later: nothing is cut, and the record has the first of what would have been.
        let (mut stream, _) = begin(&policy, &mut other, "POST", "/v1/orders/7/cancel", &[JSON]);
        let twin = record(&stream);
        assert_eq!((&twin["status_code"], &twin["unmapped"]["decision"]), (&json!("allowed"), &json!("allow")));
        assert!(!respond(&mut stream, &[(":status", "200"), PDF]));
        assert_eq!(stream.recheck(&mut other, &context_at(&policy), true), None);
        stream.request_bytes(11);
        assert_eq!(stream.recheck(&mut other, &context_at(&policy), true), None);
        let said = record(&stream);
        assert_eq!((&said["status_code"], &said["status_detail"]), (&json!("transfer_not_allowed"), &json!("download")));
        assert_eq!((&said["unmapped"]["decision"], &said["unmapped"]["ended_by"]), (&json!("observed-deny"), &Value::Null));
    }
}

#[test]
fn a_denial_of_it_counts_against_the_session_as_others_do() {
    let mut document = ruled(json!({"uploads": "deny"}));
    document["end_session_when"] = json!({"denials": {"count": 2, "within": "1m"}});
    let policy = compile(&document);
    let mut worker = worker();
    worker.share(Rc::new(chaperone_policy::LocalState::default()));
    let mut send = |kind| begin(&policy, &mut worker, "POST", "/v1/orders/7/cancel", &[kind]).0.reason();
    assert_eq!((send(JSON), send(PDF), send(PDF), send(JSON)), (None, DENIED, DENIED, Some(Reason::SessionEnded)));
}

#[test]
fn what_needs_no_session_has_no_rules() {
    let document = with(
        ruled(json!({"uploads": "deny", "max_request_bytes": 1})),
        "/commands/health",
        json!({"http": {"methods": ["POST"], "path": "/healthz", "body": true}}),
    );
    let policy = compile(&document);
    let mut worker = worker();
    let (mut stream, decision) = begin(&policy, &mut worker, "POST", "/healthz", &[PDF]);
    assert!(matches!(decision, Decision::Forward(_)));
    stream.request_bytes(1000);
    assert!(respond(&mut stream, &[(":status", "200"), PDF]));
    assert_eq!(stream.recheck(&mut worker, &context_at(&policy), true), None);
}

proptest! {
    /// Another grant never takes anything away, whatever it carries: of what a policy allows nothing is denied by one with more.
    #[test]
    fn removing_a_grant_never_lets_more_be_carried(
        rules in prop::collection::vec(any_rules(), 1..4),
        removed in 0usize..4,
        file in any::<bool>(),
        (up, down) in (prop::collection::vec(1u64..9, 0..4), prop::collection::vec(1u64..9, 0..4)),
    ) {
        let all: Vec<Value> = rules.iter().enumerate().map(|(place, rules)| {
            let mut grant = json!({"name": format!("g{place}"), "when": {"subject": "agent-7"}, "allow": ["orders.cancel"]});
            if !rules.is_null() { grant["transfers"] = rules.clone(); }
            grant
        }).collect();
        let mut fewer = all.clone();
        if removed < fewer.len() { fewer.remove(removed); }
        let carried = |grants: Vec<Value>| {
            let policy = compile(&with(document(), "/grants", json!(grants)));
            let mut worker = worker();
            let kind = if file { PDF } else { JSON };
            let (mut stream, decision) = begin(&policy, &mut worker, "POST", "/v1/orders/7/cancel", &[kind]);
            if !matches!(decision, Decision::Forward(_)) { return 0; }
            let mut steps = 1;
            for bytes in &up {
                stream.request_bytes(*bytes);
                if stream.recheck(&mut worker, &context_at(&policy), true).is_some() { return steps; }
                steps += 1;
            }
            let _ = respond(&mut stream, &[(":status", "200"), kind]);
            for bytes in &down {
                stream.response_bytes(*bytes);
                if stream.recheck(&mut worker, &context_at(&policy), true).is_some() { return steps; }
                steps += 1;
            }
            steps
        };
        prop_assert!(carried(fewer) <= carried(all));
    }
}

fn any_rules() -> impl Strategy<Value = Value> {
    let word = || prop::sample::select(vec!["allow", "deny"]);
    prop_oneof![
        1 => Just(Value::Null),
        6 => (word(), word(), 1u64..20, 1u64..20).prop_map(|(uploads, downloads, up, down)| {
            json!({"uploads": uploads, "downloads": downloads, "max_request_bytes": up, "max_response_bytes": down})
        }),
    ]
}
