//! What is explained is what was decided: by the same checks, with the last one seen being the one that denied.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{CheckStep, Decision, Exchange, Explanation, Head, Policy, Reason, Timestamp};
use serde_json::{Value, json};
use support::{NOW, ask, claims, compile, context, document, head, token, token_of, with, worker};

fn explain(policy: &Rc<Policy>, fields: &[(Vec<u8>, Vec<u8>)]) -> (Option<Reason>, bool, Explanation) {
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &fields, ..Head::default() };
    let (decision, explanation) = exchange.explain(&head, &mut worker(), &context(policy, Timestamp::from_seconds(NOW)));
    (exchange.reason(), matches!(decision, Decision::Forward(_)), explanation)
}

fn bearing(path: &str, token: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    head("GET", path, &[("authorization", &format!("Bearer {token}"))])
}

fn with_claim(name: &str, value: Value) -> String {
    let mut all = claims();
    all[name] = value;
    token(&all)
}

#[test]
fn the_last_check_seen_is_the_one_that_denied_and_none_is_seen_out_of_order() {
    let good = token(&claims());
    let policy = with(document(), "/revoked", json!([{"session": "s-9", "because": "INC-1"}]));
    let policy = with(policy, "/grants/0/transfers", json!({"downloads": "deny"}));
    let header = |header: Value| token_of(&header, &claims(), "good");
    let requests = [
        ("ambiguous_request", bearing("/a//b", &good)),
        ("token_missing", head("GET", "/v1/orders", &[])),
        ("token_ambiguous", head("GET", "/v1/orders", &[("authorization", "Bearer a"), ("authorization", "Bearer b")])),
        ("token_malformed", bearing("/v1/orders", "a.b")),
        ("token_unsupported", bearing("/v1/orders", &header(json!({"alg": "RS256", "kid": "k1"})))),
        ("issuer_unknown", bearing("/v1/orders", &with_claim("iss", json!("x")))),
        ("audience_mismatch", bearing("/v1/orders", &with_claim("aud", json!(["x"])))),
        ("key_unknown", bearing("/v1/orders", &header(json!({"alg": "ES256", "kid": "k2"})))),
        ("signature_invalid", bearing("/v1/orders", &token_of(&json!({"alg": "ES256", "kid": "k1"}), &claims(), "bad"))),
        ("claims_invalid", bearing("/v1/orders", &with_claim("sub", json!(7)))),
        ("binding_mismatch", bearing("/v1/orders", &with_claim("cnf", json!({})))),
        ("not_yet_valid", bearing("/v1/orders", &with_claim("nbf", json!(NOW + 1)))),
        ("expired", bearing("/v1/orders", &with_claim("exp", json!(NOW)))),
        ("lifetime_exceeded", bearing("/v1/orders", &with_claim("exp", json!(NOW + 901)))),
        ("revoked", bearing("/v1/orders", &with_claim("sid", json!("s-9")))),
        ("unknown_command", bearing("/v1/other", &good)),
        ("command_not_in_token", bearing("/v1/orders", &with_claim("commands", json!(["orders.read"])))),
        ("command_not_granted", bearing("/v1/orders", &with_claim("sub", json!("human")))),
        ("transfer_not_allowed", {
            let mut fields = bearing("/v1/orders", &good);
            fields.push((b"range".to_vec(), b"bytes=0-1".to_vec()));
            fields
        }),
    ];
    let policy = compile(&policy);
    for (code, fields) in requests {
        let (reason, forwarded, explanation) = explain(&policy, &fields);
        assert_eq!((reason.map(Reason::code), forwarded), (Some(code), false));
        assert_eq!(ask(&policy, &mut worker(), NOW, &fields).code(), code, "the same without anybody looking");
        let last = explanation.seen.last().unwrap();
        assert!(last.reasons().contains(&reason.unwrap()), "{code}: {last:?}");
        // Room is asked for last, so that it tells nobody anything.
        let room = |seen: &&CheckStep| matches!(seen, CheckStep::Body { .. } | CheckStep::Room { .. });
        let first_reasons: Vec<Reason> =
            explanation.seen.iter().filter(|seen| !room(seen)).filter_map(|seen| seen.reasons().first().copied()).collect();
        assert!(first_reasons.windows(2).all(|pair| pair[0] <= pair[1]), "{code}: {first_reasons:?}");
        assert!(!format!("{explanation:?}").contains("upstream-secret"));
    }
}

#[test]
fn an_allowed_request_has_seen_every_check_and_a_grant_that_holds() {
    let credential = json!({"credential": {"header": "authorization", "value": "Bearer ${env:ORDERS_TOKEN}"}});
    let policy = compile(&with(document(), "/upstream", credential));
    let (reason, forwarded, explanation) = explain(&policy, &bearing("/v1/orders/7?secret=1", &token(&claims())));
    assert_eq!((reason, forwarded), (None, true));
    let mut seen: Vec<Reason> = explanation.seen.iter().flat_map(|seen| seen.reasons().iter().copied()).collect();
    seen.sort_unstable();
    seen.dedup();
    let unseen: Vec<&str> = Reason::ALL.into_iter().filter(|reason| !seen.contains(reason)).map(Reason::code).collect();
    // Without a policy there is nothing to see; and this one refuses no direct credentials, ends no sessions, counts no calls, and looks
    // into no bodies.
    const OTHERS: [&str; 13] = [
        "no_policy",
        "internal_error",
        "direct_credential",
        "session_ended",
        "idle",
        "body_too_large",
        "body_unsupported",
        "body_malformed",
        "arguments_not_allowed",
        "handle_foreign",
        "calls_exceeded",
        "call_out_of_order",
        "answer_unreadable",
    ];
    assert_eq!(unseen, OTHERS);
    let Some(CheckStep::Grants { granted_by: Some(by), .. }) =
        explanation.seen.iter().find(|seen| matches!(seen, CheckStep::Grants { .. }))
    else {
        panic!("{explanation:?}")
    };
    let grant = explanation.grants.iter().find(|grant| grant.name == *by).unwrap();
    assert!(grant.conditions.iter().all(|condition| condition.holds) && grant.allow.contains(&"orders.read".to_owned()));
    assert!(!format!("{explanation:?}").contains("secret"), "neither query nor credential");
}

#[test]
fn without_a_session_no_condition_holds() {
    let (_, _, explanation) = explain(&compile(&document()), &head("GET", "/v1/orders", &[]));
    assert!(!explanation.grants.is_empty());
    let conditions: Vec<_> = explanation.grants.iter().flat_map(|grant| &grant.conditions).collect();
    assert!(!conditions.is_empty() && conditions.iter().all(|condition| !condition.holds && condition.seen.is_empty()));
}
