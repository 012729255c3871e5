//! What the issuer says of a token after it has issued it: which lists are believed, what they mean, and what they end.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_policy::{Answer, Failure, News, Policy, Reason, Worker};
use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::{Value, json};
use support::fetching::{at, due, open, reason, serve};
use support::{Marked, NOW, claims, compile, context, document, jwk, token, token_of, with, worker};

const URI: &str = "https://broker.example/status/1";

fn with_status() -> Value {
    with(document(), "/tokens/issuers/0/status", json!({"cluster": "broker", "uris": [URI]}))
}

fn header() -> Value {
    json!({"alg": "ES256", "kid": "k1", "typ": "statuslist+jwt"})
}

fn lst(packed: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(compress_to_vec_zlib(packed, 6))
}

/// The claims of a list of one bit an entry, issued this long after [`NOW`].
fn list(packed: &[u8], issued: u64) -> Value {
    json!({"sub": URI, "iat": NOW + issued, "ttl": 60, "status_list": {"bits": 1, "lst": lst(packed)}})
}

fn signed(claims: &Value) -> String {
    token_of(&header(), claims, "good")
}

/// A token whose status is this entry of the list.
fn entry(index: u64) -> String {
    token(&with(claims(), "/status", json!({"status_list": {"idx": index, "uri": URI}})))
}

#[test]
fn without_a_list_nothing_passes_and_then_what_is_valid_in_it() {
    let (policy, mut worker) = (compile(&with_status()), worker());
    assert_eq!(reason(&policy, &mut worker, 0, &entry(0)), "status_unavailable");
    let fetch = due(&mut worker, &policy, 0).expect("at once");
    assert_eq!((&*fetch.cluster, &*fetch.authority, &*fetch.path), ("broker", "broker.example", "/status/1"));
    assert_eq!((fetch.accept, fetch.timeout), ("application/statuslist+jwt", Duration::from_secs(5)));
    // Entries 0 to 7: the second one is set.
    let body = signed(&list(&[0b10], 0));
    let report = worker.fetched(fetch.ticket, Answer::Response { status: 200, body: body.as_bytes() }, at(0), &Marked).unwrap();
    assert_eq!(report.result(), Ok(News::List { entries: 8, changed: true }));
    for (index, expected) in [
        (0, "allowed"),
        (1, "revoked"),
        (2, "allowed"),
        (7, "allowed"),
        (8, "status_unavailable"),
        (u64::MAX, "status_unavailable"),
    ] {
        assert_eq!(reason(&policy, &mut worker, 0, &entry(index)), expected, "{index}");
        assert_eq!(reason(&policy, &mut worker, 0, &entry(index)), expected, "{index}, from the cache");
    }
    // What the document revokes is said first.
    let both = compile(&with(with_status(), "/revoked", json!([{"session": "s-1"}])));
    assert_eq!(reason(&both, &mut support::worker(), 0, &entry(0)), "revoked");
    assert_eq!(worker.age_of_lists(at(9)), Some(Duration::from_secs(9)));
}

#[test]
fn every_value_but_valid_is_revoked() {
    for (bits, valid) in [(2, 0b1100), (4, 0xf0), (8, 0)] {
        let (policy, mut worker) = (compile(&with_status()), worker());
        let mut claims = list(&[valid, 0x02], 0);
        claims["status_list"]["bits"] = json!(bits);
        serve(&mut worker, &policy, 0, &signed(&claims)).unwrap();
        assert_eq!(reason(&policy, &mut worker, 0, &entry(0)), "allowed", "{bits}");
        assert_eq!(reason(&policy, &mut worker, 0, &entry(1)), "revoked", "{bits}");
        assert_eq!(reason(&policy, &mut worker, 0, &entry(8 / bits)), "revoked", "SUSPENDED in {bits} bits");
    }
}

#[test]
fn a_token_names_one_of_the_lists_or_is_invalid() {
    let named = |status: Value| token(&with(claims(), "/status", status));
    let place = |index: Value, uri: Value| named(json!({"status_list": {"idx": index, "uri": uri}}));
    let (policy, mut worker) = (compile(&with_status()), worker());
    serve(&mut worker, &policy, 0, &signed(&list(&[0], 0))).unwrap();
    assert_eq!(reason(&policy, &mut worker, 0, &place(json!(0), json!(URI))), "allowed");
    for wrong in [
        token(&claims()),
        named(json!(null)),
        named(json!("valid")),
        named(json!({})),
        named(json!({"identifier_list": {"id": "x", "uri": URI}})),
        named(json!({"status_list": URI})),
        place(json!("0"), json!(URI)),
        place(json!(-1), json!(URI)),
        place(json!(0.5), json!(URI)),
        place(json!(0), json!("https://broker.example/status/2")),
        place(json!(0), json!("https://BROKER.example/status/1")),
        place(json!(0), json!(null)),
        named(json!({"status_list": {"uri": URI}})),
    ] {
        assert_eq!(reason(&policy, &mut worker, 0, &wrong), "claims_invalid", "{wrong}");
    }
    // Not required: a token without the claim passes, one with a wrong one does not.
    let lax = compile(&with(with_status(), "/tokens/issuers/0/status/required", json!(false)));
    assert_eq!(reason(&lax, &mut worker, 0, &token(&claims())), "allowed");
    assert_eq!(reason(&lax, &mut worker, 0, &named(json!({}))), "claims_invalid");
    assert_eq!(reason(&lax, &mut worker, 0, &place(json!(0), json!("https://else.example/1"))), "claims_invalid");
    // A policy without `status` does not look.
    assert_eq!(reason(&compile(&document()), &mut worker, 0, &named(json!("x"))), "allowed");
}

/// Half a second beyond the 300 that a list may be ahead of the thirtieth second, in which the lists below come.
const LEAD: f64 = NOW as f64 + 330.5;
const WITHIN_THIS: f64 = NOW as f64 + 30.5;

#[test]
fn what_is_no_list_of_this_issuer_is_not_taken() {
    let base = || list(&[0xff], 0);
    let change = |pointer: &str, value: Value| signed(&with(base(), pointer, value));
    let mut without_iat = base();
    without_iat.as_object_mut().unwrap().remove("iat");
    let bomb = json!({"bits": 1, "lst": lst(&vec![0; 1024 * 1024 + 1])});
    let headed = |header: Value| token_of(&header, &base(), "good");
    for (what, body, expected) in [
        ("a forged one", token_of(&header(), &base(), "bad!"), Failure::SignatureInvalid),
        ("another type", headed(json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"})), Failure::Malformed),
        ("no type", headed(json!({"alg": "ES256", "kid": "k1"})), Failure::Malformed),
        ("crit", headed(json!({"alg": "ES256", "kid": "k1", "typ": "statuslist+jwt", "crit": ["x"]})), Failure::Malformed),
        ("another key", headed(json!({"alg": "ES256", "kid": "k2", "typ": "statuslist+jwt"})), Failure::KeyUnknown),
        ("another algorithm", headed(json!({"alg": "RS256", "kid": "k1", "typ": "statuslist+jwt"})), Failure::KeyUnknown),
        ("none", headed(json!({"alg": "none", "typ": "statuslist+jwt"})), Failure::KeyUnknown),
        ("another list", change("/sub", json!("https://broker.example/status/2")), Failure::OfAnother),
        ("another issuer's", change("/iss", json!("https://else.example")), Failure::OfAnother),
        ("no iat", signed(&without_iat), Failure::Malformed),
        ("iat as text", change("/iat", json!("1")), Failure::Malformed),
        ("of next year", change("/iat", json!(NOW + 331)), Failure::NotYetValid),
        ("half a second later than the lead", change("/iat", json!(LEAD)), Failure::NotYetValid),
        ("begins half a second later than that", change("/nbf", json!(LEAD)), Failure::NotYetValid),
        ("expires within this second", change("/exp", json!(WITHIN_THIS)), Failure::Expired),
        ("begins later", change("/nbf", json!(NOW + 331)), Failure::NotYetValid),
        ("expired", change("/exp", json!(NOW)), Failure::Expired),
        ("ttl of nothing", change("/ttl", json!(0)), Failure::Malformed),
        ("ttl below nothing", change("/ttl", json!(-1)), Failure::Malformed),
        ("ttl as text", change("/ttl", json!("60")), Failure::Malformed),
        ("three bits", change("/status_list/bits", json!(3)), Failure::Malformed),
        ("no list", change("/status_list", json!(null)), Failure::Malformed),
        ("no zlib", change("/status_list/lst", json!("AAAA")), Failure::Malformed),
        ("half of it", change("/status_list/lst", json!(lst(&[1; 64]).get(..16))), Failure::Malformed),
        ("a bomb", change("/status_list", bomb), Failure::TooLarge),
        ("no JWT", "{}".to_owned(), Failure::Malformed),
        ("a web page", "<html>".to_owned(), Failure::Malformed),
    ] {
        let (policy, mut worker) = (compile(&with_status()), worker());
        // Everything is valid in the list that is held.
        serve(&mut worker, &policy, 0, &signed(&list(&[0], 0))).unwrap();
        assert_eq!(serve(&mut worker, &policy, 30, &body), Err(expected), "{what}");
        assert_eq!(reason(&policy, &mut worker, 30, &entry(0)), "allowed", "{what}: the last good one stays");
        assert_eq!(worker.fetch_counts().lists_failed, 1);
        assert!(due(&mut worker, &policy, 30).is_none() && due(&mut worker, &policy, 31).is_some(), "{what}: tried again");
    }
    let (policy, mut worker) = (compile(&with_status()), worker());
    serve(&mut worker, &policy, 0, &format!("{}\n", signed(&list(&[0; 1024 * 1024], 0)))).unwrap();
    let small = compile(&with(with_status(), "/tokens/issuers/0/status/max_bytes", json!(2)));
    let mut worker = support::worker();
    assert_eq!(serve(&mut worker, &small, 0, &signed(&list(&[0; 3], 0))), Err(Failure::TooLarge));
    assert_eq!(serve(&mut worker, &small, 1, &signed(&list(&[0; 2], 0))), Ok(News::List { entries: 16, changed: true }));
}

#[test]
fn an_older_list_does_not_undo_a_newer_one() {
    let (policy, mut worker) = (compile(&with_status()), worker());
    serve(&mut worker, &policy, 0, &signed(&list(&[1], 0))).unwrap();
    let mut older = list(&[0], 0);
    older["iat"] = json!(NOW - 1);
    assert_eq!(serve(&mut worker, &policy, 30, &signed(&older)), Err(Failure::Older));
    assert_eq!(reason(&policy, &mut worker, 30, &entry(0)), "revoked");
    // Its time runs out, and it is still the newest that was seen.
    assert_eq!(serve(&mut worker, &policy, 60, &signed(&older)), Err(Failure::Older));
    assert_eq!(reason(&policy, &mut worker, 60, &entry(0)), "status_unavailable");
    serve(&mut worker, &policy, 62, &signed(&list(&[0], 0))).unwrap();
    assert_eq!(reason(&policy, &mut worker, 62, &entry(0)), "allowed");
}

#[test]
fn a_list_says_nothing_once_its_time_is_over() {
    for (change, last, over) in [
        (json!({"ttl": 60}), 59, 60),
        (json!({"ttl": 60, "exp": NOW + 20}), 19, 20),
        (json!({"ttl": 60.5, "exp": NOW + 500}), 59, 60),
        (json!({"ttl": null, "exp": NOW + 100}), 99, 100),
        (json!({"ttl": null}), 599, 600),
    ] {
        let (policy, mut worker) = (compile(&with_status()), worker());
        let mut claims = list(&[0], 0);
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        serve(&mut worker, &policy, 0, &signed(&claims)).unwrap();
        let mut stream = open(&policy, &mut worker, &entry(0));
        assert_eq!(reason(&policy, &mut worker, last, &entry(0)), "allowed", "{change}");
        assert_eq!(stream.recheck(&mut worker, &context(&policy, at(last)), false), None, "{change}");
        // The token itself lives for ten minutes.
        let (expected, cut) =
            if over < 600 { ("status_unavailable", Reason::StatusUnavailable) } else { ("expired", Reason::Expired) };
        assert_eq!(reason(&policy, &mut worker, over, &entry(0)), expected, "{change}");
        assert_eq!(stream.recheck(&mut worker, &context(&policy, at(over)), false), Some(cut), "{change}");
        // A clock that steps back opens nothing again.
        assert_eq!(reason(&policy, &mut worker, last, &entry(0)), expected, "{change}");
    }
}

#[test]
fn a_list_is_fetched_again_at_half_its_time_and_its_stream_goes_on() {
    let (policy, mut worker) = (compile(&with_status()), worker());
    serve(&mut worker, &policy, 0, &signed(&list(&[0], 0))).unwrap();
    let mut stream = open(&policy, &mut worker, &entry(0));
    assert!(due(&mut worker, &policy, 26).is_none());
    assert_eq!(serve(&mut worker, &policy, 30, &signed(&list(&[0], 30))), Ok(News::List { entries: 8, changed: false }));
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(89)), false), None);
    assert_eq!(serve(&mut worker, &policy, 89, &signed(&list(&[1], 89))), Ok(News::List { entries: 8, changed: true }));
    assert_eq!(
        stream.recheck(&mut worker, &context(&policy, at(89)), false),
        Some(Reason::Revoked),
        "a list that changes cuts its streams"
    );
}

#[test]
fn a_stream_goes_on_by_what_the_newest_list_says_of_its_time() {
    let (policy, mut worker) = (compile(&with_status()), worker());
    serve(&mut worker, &policy, 0, &signed(&with(list(&[0], 0), "/ttl", json!(400)))).unwrap();
    let mut stream = open(&policy, &mut worker, &entry(0));
    assert_eq!(serve(&mut worker, &policy, 200, &signed(&list(&[0], 200))), Ok(News::List { entries: 8, changed: false }));
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(259)), false), None);
    assert_eq!(reason(&policy, &mut worker, 260, &entry(0)), "status_unavailable");
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(260)), false), Some(Reason::StatusUnavailable));
}

#[test]
fn a_token_that_is_newer_than_the_list_has_it_fetched_early() {
    let (policy, mut worker) = (compile(&with_status()), worker());
    serve(&mut worker, &policy, 0, &signed(&list(&[0], 0))).unwrap();
    assert_eq!(reason(&policy, &mut worker, 1, &entry(8)), "status_unavailable");
    assert!(due(&mut worker, &policy, 9).is_none());
    serve(&mut worker, &policy, 10, &signed(&list(&[0, 0], 10))).unwrap();
    assert_eq!(reason(&policy, &mut worker, 10, &entry(8)), "allowed");
}

#[test]
fn a_list_is_only_as_good_as_its_key() {
    let endpoint = json!({"endpoint": {"cluster": "broker", "authority": "broker.example", "path": "/jwks.json"}});
    let policy = compile(&with(with_status(), "/tokens/issuers/0/keys", endpoint));
    let mut worker = worker();
    let other = json!({"kty": "EC", "crv": "P-256", "kid": "k2",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
    let keys = |keys: &[&Value]| json!({ "keys": keys }).to_string();
    let (both, second) = (keys(&[&jwk(), &other]), keys(&[&other]));
    let serve_all = |seconds: u64, set: &str, list: &str, worker: &mut Worker| {
        for _ in 0..2 {
            for fetch in worker.due(&policy, at(seconds)).fetches {
                let body = if fetch.path == "/jwks.json" { set } else { list };
                worker.fetched(fetch.ticket, Answer::Response { status: 200, body: body.as_bytes() }, at(seconds), &Marked);
            }
        }
    };
    // The list waits for the keys.
    assert_eq!(worker.due(&policy, at(0)).fetches.len(), 1);
    serve_all(4, &both, &signed(&with(list(&[0], 0), "/ttl", json!(3600))), &mut worker);
    serve_all(5, &both, &signed(&with(list(&[0], 0), "/ttl", json!(3600))), &mut worker);
    let by_second = token_of(
        &json!({"alg": "ES256", "kid": "k2"}),
        &with(claims(), "/status", json!({"status_list": {"idx": 0, "uri": URI}})),
        "good",
    );
    assert_eq!(reason(&policy, &mut worker, 5, &by_second), "allowed");
    // The first key is gone, and with it what it said about everybody: whoever had it stolen could have said that all is well.
    let theirs = token_of(&json!({"alg": "ES256", "kid": "k1", "typ": "statuslist+jwt"}), &list(&[0], 290), "good");
    serve_all(310, &second, &theirs, &mut worker);
    assert_eq!(reason(&policy, &mut worker, 310, &by_second), "status_unavailable");
    // Even if it was issued later.
    let ours = token_of(&json!({"alg": "ES256", "kid": "k2", "typ": "statuslist+jwt"}), &list(&[0], 0), "good");
    serve_all(330, &second, &ours, &mut worker);
    assert_eq!(reason(&policy, &mut worker, 330, &by_second), "allowed");
}

#[test]
fn lists_survive_a_config_change_that_names_them() {
    let (first, mut worker) = (compile(&with_status()), worker());
    worker.hold_for(&[Rc::clone(&first)]);
    serve(&mut worker, &first, 0, &signed(&list(&[0], 0))).unwrap();
    let second = compile(&with(with_status(), "/generation", json!(2)));
    worker.hold_for(&[Rc::clone(&second)]);
    assert_eq!(reason(&second, &mut worker, 1, &entry(0)), "allowed");
    let elsewhere = compile(&with(with_status(), "/tokens/issuers/0/status/cluster", json!("other")));
    worker.hold_for(&[Rc::clone(&elsewhere)]);
    assert_eq!(reason(&elsewhere, &mut worker, 1, &entry(0)), "status_unavailable");
    // The key that signed it must be among the keys of the policy that asks.
    let mut renamed = with_status();
    renamed["tokens"]["issuers"][0]["keys"]["jwks"]["keys"][0] = json!({"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
    let mut worker = support::worker();
    serve(&mut worker, &first, 0, &signed(&list(&[0], 0))).unwrap();
    assert_eq!(reason(&compile(&renamed), &mut worker, 1, &entry(0)), "status_unavailable");
}

#[test]
fn what_status_must_be() {
    let refused = |member: &str, value: Value| {
        let document = with(with_status(), &format!("/tokens/issuers/0/status/{member}"), value);
        Policy::compile(document.to_string().as_bytes()).err().map(|errors| errors.to_string())
    };
    assert_eq!(refused("required", json!(true)), None);
    assert_eq!(refused("max_bytes", json!(16 * 1024 * 1024)), None);
    assert_eq!(refused("uris", json!([URI, "https://[::1]:8443/s?x=1"])), None);
    for (member, value) in [
        ("cluster", json!("")),
        ("cluster", json!(null)),
        ("uris", json!([])),
        ("uris", json!(URI)),
        ("uris/0", json!("http://broker.example/status/1")),
        ("uris/0", json!("https://broker.example")),
        ("uris/0", json!("https:///status")),
        ("uris/0", json!("https://user@broker.example/status")),
        ("uris/0", json!("https://broker.example/a b")),
        ("uris/0", json!("https://broker.example/a#b")),
        ("uris", json!([URI, URI])),
        ("max_bytes", json!(0)),
        ("max_bytes", json!(16 * 1024 * 1024 + 1)),
        ("required", json!("yes")),
        ("refresh", json!("5m")),
    ] {
        let error = match member {
            "uris/0" => refused("uris", json!([value])),
            _ => refused(member, value.clone()),
        };
        let error = error.unwrap_or_default();
        assert!(error.starts_with(&format!("/tokens/issuers/0/status/{member}: ")), "{member} {value}: {error}");
    }
    let many: Vec<_> = (0..65).map(|number| json!(format!("https://broker.example/{number}"))).collect();
    assert!(refused("uris", json!(many)).unwrap().contains("more than 64"));
    let mut large = with(with_status(), "/tokens/issuers/0/status/max_bytes", json!(16 * 1024 * 1024));
    large["tokens"]["issuers"][0]["status"]["uris"] = many.get(..5).unwrap().into();
    assert!(Policy::compile(large.to_string().as_bytes()).unwrap_err().to_string().contains("in all"));
}
