//! Sender-constrained tokens: each check broken singly denies, and what holds passes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_policy::{Decision, End, Exchange, Head, Peer, Policy, Reason, Timestamp, Worker};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::{NOW, claims, compile, context, document, head, token, with, worker};

const SPIFFE_ID: &str = "spiffe://orders.example/agent";

/// SHA-256 of a certificate, as the proxy has it and as a token does.
fn certificate(name: &str) -> (String, String) {
    let digest = Sha256::digest(name);
    (digest.iter().map(|byte| format!("{byte:02x}")).collect(), URL_SAFE_NO_PAD.encode(digest))
}

fn bound_by(methods: Value) -> Rc<Policy> {
    let open_to_all = with(document(), "/grants/0/when", json!({"issuer": "https://broker.example"}));
    compile(&with(open_to_all, "/session/bind", methods))
}

fn ask(policy: &Rc<Policy>, worker: &mut Worker, claims: &Value, peer: Option<Peer<'_>>) -> (String, Value, Exchange) {
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(claims)))]);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &headers, peer, ..Head::default() };
    let decision = exchange.request(&head, worker, &context(policy, Timestamp::from_seconds(NOW)));
    let record = serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap();
    let code = match decision {
        Decision::Forward(_) => "allowed",
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Refuse(denial) => denial.reason().code(),
    };
    (code.to_owned(), record, exchange)
}

fn code(policy: &Rc<Policy>, claims: &Value, peer: Option<Peer<'_>>) -> String {
    ask(policy, &mut worker(), claims, peer).0
}

fn with_claim(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_certificate_is_the_one_that_the_token_names() {
    let policy = bound_by(json!(["client_certificate"]));
    let (hex, thumbprint) = certificate("right");
    let (other, _) = certificate("other");
    let bound = with_claim("cnf", json!({"x5t#S256": thumbprint}));
    let shown = Peer { certificate_sha256: Some(hex.as_bytes()), uri_san: None, validated: Some(true) };
    assert_eq!(code(&policy, &bound, Some(shown)), "allowed");
    // An Envoy that cannot say whether it validated.
    assert_eq!(code(&policy, &bound, Some(Peer { validated: None, ..shown })), "allowed");
    for (what, peer) in [
        ("none", None),
        ("not validated", Some(Peer { validated: Some(false), ..shown })),
        ("another", Some(Peer { certificate_sha256: Some(other.as_bytes()), ..shown })),
        ("no digest", Some(Peer { certificate_sha256: None, ..shown })),
        ("an empty digest", Some(Peer { certificate_sha256: Some(b""), ..shown })),
        ("a part of it", Some(Peer { certificate_sha256: Some(&hex.as_bytes()[..62]), ..shown })),
        ("more than it", Some(Peer { certificate_sha256: Some(format!("{hex}00").as_bytes()), ..shown })),
        ("the thumbprint as the token has it", Some(Peer { certificate_sha256: Some(thumbprint.as_bytes()), ..shown })),
    ] {
        assert_eq!(code(&policy, &bound, peer), "binding_mismatch", "{what}");
    }
    for cnf in [
        json!({}),
        json!(null),
        json!("x"),
        json!([thumbprint]),
        json!({"x5t#S256": ""}),
        json!({"x5t#S256": format!("{thumbprint}=")}),
        json!({"x5t#S256": hex}),
        json!({"x5t#S256": [thumbprint]}),
        json!({"x5t": thumbprint}),
        json!({"jkt": thumbprint}),
        json!({"x5t#S256": thumbprint, "jkt": thumbprint}),
        json!({"x5t#S256": thumbprint, "kid": "k"}),
        json!({"x5t#S256": thumbprint, "kid": thumbprint}),
    ] {
        assert_eq!(code(&policy, &with_claim("cnf", cnf.clone()), Some(shown)), "binding_mismatch", "{cnf}");
    }
    assert_eq!(code(&policy, &claims(), Some(shown)), "binding_mismatch", "a token that is bound to nothing");
    assert_eq!(code(&compile(&document()), &bound, Some(shown)), "binding_mismatch", "a policy that checks no `cnf`");
}

#[test]
fn a_spiffe_id_is_that_of_whoever_acts() {
    let policy = bound_by(json!(["spiffe_id"]));
    let shown = Peer { certificate_sha256: None, uri_san: Some(SPIFFE_ID.as_bytes()), validated: Some(true) };
    let subject = with_claim("sub", json!(SPIFFE_ID));
    let actor = with_claim("act", json!({"sub": SPIFFE_ID, "act": {"sub": "planner"}}));
    assert_eq!(code(&policy, &subject, Some(shown)), "allowed");
    assert_eq!(code(&policy, &actor, Some(shown)), "allowed");
    for (what, peer) in [
        ("no certificate", None),
        ("not validated", Some(Peer { validated: Some(false), ..shown })),
        ("not said to be validated", Some(Peer { validated: None, ..shown })),
        ("no name", Some(Peer { uri_san: None, ..shown })),
        ("another", Some(Peer { uri_san: Some(b"spiffe://orders.example/other"), ..shown })),
        ("in capitals", Some(Peer { uri_san: Some(b"SPIFFE://orders.example/agent"), ..shown })),
        ("a longer one", Some(Peer { uri_san: Some(b"spiffe://orders.example/agent/x"), ..shown })),
    ] {
        assert_eq!(code(&policy, &subject, peer), "binding_mismatch", "{what}");
        assert_eq!(code(&policy, &actor, peer), "binding_mismatch", "{what}");
    }
    let mut behind = subject;
    behind["act"] = json!({"sub": "planner"});
    assert_eq!(code(&policy, &behind, Some(shown)), "binding_mismatch", "the subject is not who acts");
    behind["act"] = json!({"sub": "planner", "act": {"sub": SPIFFE_ID}});
    assert_eq!(code(&policy, &behind, Some(shown)), "binding_mismatch", "nor is an inner hop");
    let named = Peer { uri_san: Some(b"agent-7"), ..shown };
    assert_eq!(code(&policy, &claims(), Some(named)), "binding_mismatch", "a name that is no SPIFFE ID");
}

#[test]
fn all_that_is_listed_must_hold_and_the_record_says_what_did() {
    let policy = bound_by(json!(["spiffe_id", "client_certificate"]));
    let (hex, thumbprint) = certificate("right");
    let mut bound = with_claim("cnf", json!({"x5t#S256": thumbprint}));
    bound["sub"] = json!(SPIFFE_ID);
    let shown = Peer { certificate_sha256: Some(hex.as_bytes()), uri_san: Some(SPIFFE_ID.as_bytes()), validated: Some(true) };
    let binding = |policy, peer| {
        let (code, record, _) = ask(policy, &mut worker(), &bound, peer);
        (code, record["unmapped"]["binding"].clone())
    };
    assert_eq!(binding(&policy, Some(shown)), ("allowed".to_owned(), json!("client_certificate+spiffe_id")));
    for peer in [None, Some(Peer { uri_san: None, ..shown }), Some(Peer { certificate_sha256: None, ..shown })] {
        assert_eq!(binding(&policy, peer), ("binding_mismatch".to_owned(), json!("none")));
    }
    let (_, record, _) = ask(&policy, &mut worker(), &bound, None);
    assert!(record["actor"].get("session").is_none(), "nobody is recorded as somebody else");
    assert_eq!(
        binding(&bound_by(json!(["client_certificate"])), Some(shown)),
        ("allowed".to_owned(), json!("client_certificate"))
    );
}

#[test]
fn a_verdict_is_not_kept_with_the_token() {
    let policy = bound_by(json!(["client_certificate"]));
    let (hex, thumbprint) = certificate("right");
    let (other, _) = certificate("other");
    let bound = with_claim("cnf", json!({"x5t#S256": thumbprint}));
    let shown = |hex| Some(Peer { certificate_sha256: Some(hex), uri_san: None, validated: Some(true) });
    let mut worker = worker();
    assert_eq!(ask(&policy, &mut worker, &bound, shown(hex.as_bytes())).0, "allowed");
    assert_eq!(ask(&policy, &mut worker, &bound, shown(other.as_bytes())).0, "binding_mismatch");
    assert_eq!(ask(&policy, &mut worker, &bound, None).0, "binding_mismatch");
    assert_eq!(ask(&policy, &mut worker, &bound, shown(hex.as_bytes())).0, "allowed");
    assert_eq!(worker.counts().token_hits, 3, "and the token was verified once");
}

#[test]
fn a_stream_is_cut_when_a_policy_asks_for_what_was_not_shown() {
    let (hex, thumbprint) = certificate("right");
    let mut bound = with_claim("cnf", json!({"x5t#S256": thumbprint}));
    bound["sub"] = json!(SPIFFE_ID);
    bound["client_id"] = json!("spiffe://orders.example/client");
    let peer = Peer { certificate_sha256: Some(hex.as_bytes()), uri_san: Some(SPIFFE_ID.as_bytes()), validated: Some(true) };
    let both = bound_by(json!(["client_certificate", "spiffe_id"]));
    let one = bound_by(json!(["client_certificate"]));
    let now = Timestamp::from_seconds(NOW);
    let recheck = |admitting: &Rc<Policy>, newest: &Rc<Policy>| {
        let mut worker = worker();
        let (code, _, mut stream) = ask(admitting, &mut worker, &bound, Some(peer));
        assert_eq!(code, "allowed");
        stream.recheck(&mut worker, &context(newest, now), false)
    };
    assert_eq!(recheck(&both, &bound_by(json!(["client_certificate", "spiffe_id"]))), None);
    assert_eq!(recheck(&both, &one), None);
    assert_eq!(recheck(&one, &both), Some(Reason::BindingMismatch));
    // A policy that reads who acts from elsewhere means another workload.
    let mut elsewhere = with(document(), "/grants/0/when", json!({"issuer": "https://broker.example"}));
    elsewhere["session"]["bind"] = json!(["client_certificate", "spiffe_id"]);
    elsewhere["tokens"]["issuers"][0]["claims"] = json!({"agent": "client_id"});
    assert_eq!(recheck(&both, &compile(&elsewhere)), Some(Reason::BindingMismatch));
}

#[test]
fn what_nobody_looks_at_is_not_asked_for() {
    let wanted = |policy: Rc<Policy>| {
        let wanted = Exchange::begin(policy).peer_wanted();
        (wanted.any(), wanted.certificate_sha256, wanted.uri_san)
    };
    assert_eq!(wanted(compile(&document())), (false, false, false));
    assert_eq!(wanted(Rc::new(Policy::deny_all())), (false, false, false));
    assert_eq!(wanted(bound_by(json!(["client_certificate"]))), (true, true, false));
    assert_eq!(wanted(bound_by(json!(["spiffe_id"]))), (true, false, true));
}

#[test]
fn observing_records_a_mismatch_and_lets_it_pass() {
    let mut observing = with(document(), "/session/bind", json!(["client_certificate"]));
    observing["mode"] = json!("observe");
    let (code, record, _) = ask(&compile(&observing), &mut worker(), &claims(), None);
    assert_eq!((code.as_str(), &record["status_code"]), ("allowed", &json!("binding_mismatch")));
}
