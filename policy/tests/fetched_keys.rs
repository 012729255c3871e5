//! Keys that an issuer publishes and may change at any time: when they are fetched, what is taken, and what a change ends.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{Answer, Failure, News, Policy, Reason};
use serde_json::{Value, json};
use support::fetching::{at, due, open, reason, serve};
use support::{Marked, NOW, claims, compile, context, document, jwk, token, token_of, with, worker};

fn endpoint() -> Value {
    json!({"cluster": "broker", "authority": "broker.example", "path": "/jwks.json"})
}

fn with_endpoint() -> Value {
    with(document(), "/tokens/issuers/0/keys", json!({"endpoint": endpoint()}))
}

/// Another key than that of `support`.
fn other(kid: &str) -> Value {
    json!({"kty": "EC", "crv": "P-256", "kid": kid,
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[test]
fn until_the_keys_have_come_nobody_is_let_through_and_then_their_bearer_is() {
    let (policy, mut worker) = (compile(&with_endpoint()), worker());
    let token = token(&claims());
    assert_eq!(reason(&policy, &mut worker, 0, &token), "keys_unavailable");
    let fetch = due(&mut worker, &policy, 0).expect("at once");
    assert_eq!((&*fetch.cluster, &*fetch.authority, &*fetch.path), ("broker", "broker.example", "/jwks.json"));
    assert_eq!(fetch.timeout, Duration::from_secs(2));
    assert!(due(&mut worker, &policy, 0).is_none(), "one at a time");
    assert_eq!(reason(&policy, &mut worker, 0, &token), "keys_unavailable");
    let body = set(&[jwk()]);
    let report = worker.fetched(fetch.ticket, Answer::Response { status: 200, body: body.as_bytes() }, at(0), &Marked).unwrap();
    assert_eq!(report.result(), Ok(News::Keys { usable: 1, changed: true }));
    assert_eq!(reason(&policy, &mut worker, 0, &token), "allowed");
    assert_eq!(worker.age_of_keys(at(7)), Some(Duration::from_secs(7)));
    // What is wrong with the token itself is said before.
    let mut theirs = claims();
    theirs["aud"] = json!("billing");
    assert_eq!(reason(&policy, &mut support::worker(), 0, &support::token(&theirs)), "audience_mismatch");
}

#[test]
fn the_set_is_fetched_again_at_its_intervals() {
    let (policy, mut worker) = (compile(&with_endpoint()), worker());
    serve(&mut worker, &policy, 0, &set(&[jwk()])).unwrap();
    assert!(due(&mut worker, &policy, 269).is_none());
    assert_eq!(serve(&mut worker, &policy, 300, &set(&[jwk()])), Ok(News::Keys { usable: 1, changed: false }));
    let often = compile(&with(with_endpoint(), "/tokens/issuers/0/keys/endpoint/refresh", json!("10s")));
    assert!(due(&mut worker, &often, 310).is_some());
}

#[test]
fn whatever_goes_wrong_the_last_good_set_stays_and_it_is_tried_again() {
    let (policy, mut worker) = (compile(&with_endpoint()), worker());
    serve(&mut worker, &policy, 0, &set(&[jwk()])).unwrap();
    let good = set(&[other("k2")]);
    let body = |body: &'static str| Answer::Response { status: 200, body: body.as_bytes() };
    let big = format!("{good}{}", " ".repeat(128 * 1024));
    let answers = [
        (Answer::Nothing, Failure::NoAnswer),
        (Answer::TooLarge, Failure::TooLarge),
        (Answer::Response { status: 500, body: good.as_bytes() }, Failure::Status(500)),
        (Answer::Response { status: 302, body: good.as_bytes() }, Failure::Status(302)),
        (Answer::Response { status: 200, body: big.as_bytes() }, Failure::TooLarge),
        (body(""), Failure::Malformed),
        (body("<html>"), Failure::Malformed),
        (body("[]"), Failure::Malformed),
        (body("{}"), Failure::Malformed),
        (body(r#"{"keys":{}}"#), Failure::Malformed),
        (body(r#"{"keys":[],"keys":[]}"#), Failure::Malformed),
    ];
    let (mut now, mut failed) = (300, 0);
    for (answer, expected) in answers {
        let fetch = due(&mut worker, &policy, now).unwrap_or_else(|| panic!("{expected:?}"));
        let report = worker.fetched(fetch.ticket, answer, at(now), &Marked).unwrap();
        assert_eq!(report.result(), Err(expected));
        failed += 1;
        assert_eq!(worker.fetch_counts().keys_failed, failed);
        let mut fresh = claims();
        (fresh["iat"], fresh["exp"]) = (json!(NOW + now), json!(NOW + now + 600));
        assert_eq!(reason(&policy, &mut worker, now, &token(&fresh)), "allowed", "{expected:?}");
        assert!(due(&mut worker, &policy, now).is_none(), "not at once");
        now += 60;
    }
    assert_eq!(serve(&mut worker, &policy, now, &good), Ok(News::Keys { usable: 1, changed: true }));
    assert_eq!(worker.fetch_counts().keys_fetched, 2);
}

#[test]
fn an_answer_that_never_comes_counts_as_failed_and_one_that_comes_too_late_as_none() {
    let (policy, mut worker) = (compile(&with_endpoint()), worker());
    let first = due(&mut worker, &policy, 0).unwrap();
    let again = worker.due(&policy, at(4));
    assert_eq!((again.lost.len(), again.fetches.len()), (1, 1));
    assert_eq!(again.lost[0].result(), Err(Failure::NoAnswer));
    let body = set(&[jwk()]);
    let answer = Answer::Response { status: 200, body: body.as_bytes() };
    assert!(!worker.awaits(first.ticket) && worker.awaits(again.fetches[0].ticket));
    assert!(worker.fetched(first.ticket, answer, at(4), &Marked).is_none());
    assert_eq!(reason(&policy, &mut worker, 4, &token(&claims())), "keys_unavailable");
    assert!(worker.fetched(again.fetches[0].ticket, answer, at(4), &Marked).is_some());
    assert!(worker.fetched(again.fetches[0].ticket, answer, at(4), &Marked).is_none(), "an answer is taken once");
}

#[test]
fn an_unknown_kid_has_the_set_fetched_early_and_not_more_often_than_that() {
    let (policy, mut worker) = (compile(&with_endpoint()), worker());
    serve(&mut worker, &policy, 0, &set(&[jwk()])).unwrap();
    let rotated = token_of(&json!({"alg": "ES256", "kid": "k2"}), &claims(), "good");
    assert_eq!(reason(&policy, &mut worker, 1, &rotated), "key_unknown");
    assert!(due(&mut worker, &policy, 9).is_none());
    serve(&mut worker, &policy, 10, &set(&[jwk(), other("k2")])).unwrap();
    assert_eq!(reason(&policy, &mut worker, 10, &rotated), "allowed");
    // Whoever makes up names gets one fetch in ten seconds.
    let mut fetches = 0;
    for second in 11..71 {
        let made_up = token_of(&json!({"alg": "ES256", "kid": format!("x{second}")}), &claims(), "good");
        assert_eq!(reason(&policy, &mut worker, second, &made_up), "key_unknown");
        if let Some(fetch) = due(&mut worker, &policy, second) {
            fetches += 1;
            let body = set(&[jwk()]);
            worker.fetched(fetch.ticket, Answer::Response { status: 200, body: body.as_bytes() }, at(second), &Marked);
        }
    }
    assert_eq!(fetches, 6);
    // A token that is not even for us moves nothing.
    let mut worker = support::worker();
    serve(&mut worker, &policy, 0, &set(&[jwk()])).unwrap();
    let mut theirs = claims();
    theirs["aud"] = json!("billing");
    reason(&policy, &mut worker, 1, &token_of(&json!({"alg": "ES256", "kid": "k2"}), &theirs, "good"));
    assert!(due(&mut worker, &policy, 200).is_none());
}

#[test]
fn a_key_that_is_removed_ends_its_tokens_and_streams_at_once() {
    for (body, expected) in [
        (set(&[other("k2")]), Some(Reason::KeyUnknown)),
        // The same name for another key.
        (set(&[other("k1")]), Some(Reason::KeyUnknown)),
        (set(&[jwk()]), None),
        (set(&[other("k2"), jwk()]), None),
    ] {
        let (policy, mut worker) = (compile(&with_endpoint()), worker());
        serve(&mut worker, &policy, 0, &set(&[jwk()])).unwrap();
        let cached = token(&claims());
        let mut stream = open(&policy, &mut worker, &token(&claims()));
        assert_eq!(worker.counts().kept_tokens, 1);
        assert_eq!(stream.recheck(&mut worker, &context(&policy, at(299)), false), None);
        serve(&mut worker, &policy, 300, &body).unwrap();
        assert_eq!(stream.recheck(&mut worker, &context(&policy, at(300)), false), expected, "{body}");
        match expected {
            None => assert_eq!(reason(&policy, &mut worker, 300, &cached), "allowed"),
            // By another key under the same name this signature must be checked anew; here it is a mark that always holds.
            Some(_) if body.contains("\"k1\"") => {
                let before = worker.counts().token_misses;
                reason(&policy, &mut worker, 300, &cached);
                assert_eq!(worker.counts().token_misses, before + 1, "verified by the new key");
            }
            Some(reason_) => assert_eq!(reason(&policy, &mut worker, 300, &cached), reason_.code()),
        }
    }
}

#[test]
fn keys_for_others_are_passed_over_and_those_for_us_are_bound_to_their_algorithm() {
    let (policy, mut worker) = (compile(&with_endpoint()), worker());
    let mixed = set(&[
        json!({"kty": "RSA", "kid": "k1", "n": "AQAB", "e": "AQAB"}),
        with(other("k1"), "/use", json!("enc")),
        with(other("k3"), "/key_ops", json!(["sign"])),
        with(other("k4"), "/alg", json!("ES384")),
        json!("k5"),
        with(jwk(), "/x5c", json!(["MIIB"])),
    ]);
    assert_eq!(serve(&mut worker, &policy, 0, &mixed), Ok(News::Keys { usable: 1, changed: true }));
    assert_eq!(reason(&policy, &mut worker, 0, &token(&claims())), "allowed");
    for kid in ["k3", "k4", "k5"] {
        let token = token_of(&json!({"alg": "ES256", "kid": kid}), &claims(), "good");
        assert_eq!(reason(&policy, &mut worker, 0, &token), "key_unknown", "{kid}");
    }
}

#[test]
fn keys_survive_a_config_change_of_the_same_issuer_and_endpoint_and_no_other() {
    let first = compile(&with_endpoint());
    let place = |member: &str, value: Value| with(with_endpoint(), &format!("/tokens/issuers/0/keys/endpoint/{member}"), value);
    for (document, expected) in [
        (with(with_endpoint(), "/generation", json!(2)), "allowed"),
        (place("refresh", json!("1h")), "allowed"),
        (with(with_endpoint(), "/tokens/issuers/0/algorithms", json!(["ES256", "RS256"])), "allowed"),
        (place("path", json!("/other.json")), "keys_unavailable"),
        (place("authority", json!("other.example")), "keys_unavailable"),
        (place("cluster", json!("other")), "keys_unavailable"),
    ] {
        let mut worker = worker();
        worker.hold_for(&[Rc::clone(&first)]);
        serve(&mut worker, &first, 0, &set(&[jwk()])).unwrap();
        let second = compile(&document);
        // While the older one still has streams, and after.
        worker.hold_for(&[Rc::clone(&first), Rc::clone(&second)]);
        assert_eq!(reason(&second, &mut worker, 1, &token(&claims())), expected, "{document}");
        worker.hold_for(&[Rc::clone(&second)]);
        assert_eq!(reason(&second, &mut worker, 1, &token(&claims())), expected, "{document}");
    }
    // What no policy names is let go of.
    let mut worker = worker();
    serve(&mut worker, &first, 0, &set(&[jwk()])).unwrap();
    worker.hold_for(&[compile(&document())]);
    assert_eq!(worker.age_of_keys(at(1)), None);
    assert_eq!(reason(&first, &mut worker, 1, &token(&claims())), "keys_unavailable");
}

#[test]
fn the_keys_of_one_issuer_are_not_anothers() {
    let mut document = with_endpoint();
    let mut second = document["tokens"]["issuers"][0].clone();
    second["issuer"] = json!("https://second.example");
    second["keys"]["endpoint"]["path"] = json!("/second.json");
    document["tokens"]["issuers"].as_array_mut().unwrap().push(second);
    document["grants"][0]["when"] = json!({"subject": "agent-*", "issuer": "https://second.example"});
    let (policy, mut worker) = (compile(&document), worker());
    for fetch in worker.due(&policy, at(0)).fetches {
        let body = if fetch.path == "/second.json" { set(&[jwk()]) } else { set(&[other("k2")]) };
        worker
            .fetched(fetch.ticket, Answer::Response { status: 200, body: body.as_bytes() }, at(0), &Marked)
            .unwrap()
            .result()
            .unwrap();
    }
    let mut theirs = claims();
    assert_eq!(reason(&policy, &mut worker, 0, &token(&theirs)), "key_unknown");
    theirs["iss"] = json!("https://second.example");
    assert_eq!(reason(&policy, &mut worker, 0, &token(&theirs)), "allowed");
}

#[test]
fn what_an_endpoint_must_be() {
    let refused = |keys: Value| {
        let text = with(document(), "/tokens/issuers/0/keys", keys).to_string();
        Policy::compile(text.as_bytes()).err().map(|errors| errors.to_string())
    };
    assert_eq!(refused(json!({"endpoint": endpoint()})), None);
    let full = with(with(endpoint(), "/refresh", json!("10s")), "/timeout", json!("30s"));
    assert_eq!(refused(json!({ "endpoint": full })), None);
    for (member, value) in [
        ("cluster", json!("")),
        ("cluster", json!("a b")),
        ("authority", json!("user@broker.example")),
        ("authority", json!("broker.example/x")),
        ("authority", json!("bröker.example")),
        ("path", json!("jwks.json")),
        ("path", json!("/a b")),
        ("path", json!("/a#b")),
        ("path", json!("/a\r\nx: y")),
        ("refresh", json!("9s")),
        ("refresh", json!("2d")),
        ("timeout", json!("0s")),
        ("timeout", json!("31s")),
        ("retries", json!(3)),
    ] {
        let error = refused(json!({"endpoint": with(endpoint(), &format!("/{member}"), value.clone())})).unwrap_or_default();
        assert!(error.starts_with(&format!("/tokens/issuers/0/keys/endpoint/{member}: ")), "{member} {value}: {error}");
    }
    for (keys, says) in [
        (json!({"endpoint": endpoint(), "jwks": {"keys": [jwk()]}}), "both `jwks` and `endpoint`"),
        (json!({}), "`jwks` is missing"),
        (json!({"endpoint": {"cluster": "broker", "path": "/"}}), "`authority` is missing"),
        (json!({"endpoint": null}), "must be an object"),
    ] {
        let error = refused(keys).unwrap_or_default();
        assert!(error.contains(says), "{error}");
    }
}
