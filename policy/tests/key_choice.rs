//! Which of an issuer's keys verifies a token: by `kid` and `alg`, or by trial where a `kid` is missing on either side.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_policy::{Answer, Context, Decision, Exchange, Head, News, Policy, VerificationKey, VerifySignature, Worker};
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use serde_json::{Value, json};
use support::fetching::{at, due};
use support::{claims, compile, document, with, worker};

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// The key of this number: a point of P-256.
fn key(number: u8) -> Value {
    let mut scalar = [0; 32];
    scalar[31] = number;
    let point = p256::SecretKey::from_slice(&scalar).unwrap().public_key().to_encoded_point(false);
    let text = |bytes: Option<&p256::FieldBytes>| URL_SAFE_NO_PAD.encode(bytes.unwrap());
    json!({"kty": "EC", "crv": "P-256", "x": text(point.x()), "y": text(point.y())})
}

fn named(number: u8, id: &str) -> Value {
    with(key(number), "/kid", json!(id))
}

/// A signature by a key is its `y`; counts how often it is asked.
#[derive(Default)]
struct ByPoint(Cell<u32>);

impl VerifySignature for ByPoint {
    fn verify(&self, key: &VerificationKey, _: &[u8], signature: &[u8]) -> bool {
        self.0.set(self.0.get() + 1);
        key.spki().is_some_and(|spki| spki.ends_with(signature))
    }
}

/// A token by the key of this number.
fn signed(number: u8, id: Option<&str>) -> String {
    let header = id.map_or_else(|| json!({"alg": "ES256"}), |id| json!({"alg": "ES256", "kid": id}));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&header), part(&claims()), key(number)["y"].as_str().unwrap())
}

/// The reason, and how many signatures were checked for it.
fn decide(policy: &Rc<Policy>, worker: &mut Worker, token: &str) -> (&'static str, u32) {
    let bearer = format!("Bearer {token}");
    let fields = [(":method", "GET"), (":authority", "orders.example"), (":path", "/v1/orders"), ("authorization", &*bearer)];
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let verifier = ByPoint::default();
    let context = Context { now: at(1), newest: policy, verifier: &verifier };
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let reason = match exchange.request(&Head { headers: &headers, ..Head::default() }, worker, &context) {
        Decision::Forward(_) => "allowed",
        Decision::Refuse(denial) => denial.reason().code(),
        Decision::Hold(_) => "held",
    };
    (reason, verifier.0.get())
}

fn inline(keys: Value) -> Rc<Policy> {
    compile(&with(document(), "/tokens/issuers/0/keys/jwks/keys", keys))
}

fn fetching() -> Rc<Policy> {
    let endpoint = json!({"endpoint": {"cluster": "broker", "authority": "broker.example", "path": "/jwks.json"}});
    compile(&with(document(), "/tokens/issuers/0/keys", endpoint))
}

#[test]
fn a_token_without_kid_is_tried_with_the_keys_of_its_algorithm_and_no_other_is() {
    let policy = inline(json!([named(1, "a"), named(2, "b"), key(3)]));
    let decided = |number, id| decide(&policy, &mut worker(), &signed(number, id));
    assert_eq!(decided(1, Some("a")), ("allowed", 1));
    assert_eq!(decided(2, Some("a")), ("signature_invalid", 1));
    assert_eq!(decided(1, None), ("allowed", 1));
    assert_eq!(decided(2, None), ("allowed", 2));
    assert_eq!(decided(3, None), ("allowed", 3));
    assert_eq!(decided(4, None), ("signature_invalid", 3));
    assert_eq!(decided(3, Some("c")), ("allowed", 1), "a name that no key has is one of those without");
    assert_eq!(decided(1, Some("c")), ("signature_invalid", 1));
    let policy = inline(json!([named(1, "a"), named(2, "b")]));
    assert_eq!(decide(&policy, &mut worker(), &signed(1, Some("c"))), ("key_unknown", 0));
}

#[test]
fn keys_without_kid_serve_tokens_with_any() {
    let policy = inline(json!([key(1), key(2)]));
    let decided = |number, id| decide(&policy, &mut worker(), &signed(number, id));
    assert_eq!(decided(2, Some("whatever")), ("allowed", 2));
    assert_eq!(decided(2, None), ("allowed", 2));
    assert_eq!(decided(3, Some("whatever")), ("signature_invalid", 2));
}

#[test]
fn at_most_four_keys_are_tried() {
    let many: Vec<Value> = (1..=6).map(|number| named(number, &format!("k{number}"))).collect();
    let policy = inline(json!(many));
    assert_eq!(decide(&policy, &mut worker(), &signed(4, None)), ("allowed", 4));
    assert_eq!(decide(&policy, &mut worker(), &signed(5, None)), ("signature_invalid", 4));
    assert_eq!(decide(&policy, &mut worker(), &signed(5, Some("k5"))), ("allowed", 1));
    // In a document a key that could never be tried is a mistake.
    let nameless: Vec<Value> = (1..=5).map(key).collect();
    let document = with(document(), "/tokens/issuers/0/keys/jwks/keys", json!(nameless));
    let errors = Policy::compile(document.to_string().as_bytes()).unwrap_err().to_string();
    assert!(errors.contains("/tokens/issuers/0/keys/jwks/keys/4: more than 4 keys for ES256 have no `kid`"), "{errors}");
}

#[test]
fn each_trial_is_a_check_of_the_pace() {
    let many: Vec<Value> = (1..=4).map(key).collect();
    let document = with(document(), "/tokens/issuers/0/keys/jwks/keys", json!(many));
    let policy = compile(&with(document, "/limits", json!({"verifications_per_second": 2})));
    assert_eq!(decide(&policy, &mut worker(), &signed(4, None)), ("overloaded", 2));
}

#[test]
fn forgeries_without_kid_make_no_more_checks_than_others() {
    let four: Vec<Value> = (1..=4).map(key).collect();
    let checks = |keys: Value| -> u32 {
        let (policy, mut worker) = (inline(keys), worker());
        (0..100).map(|_| decide(&policy, &mut worker, &signed(5, None)).1).sum()
    };
    let of_one = checks(json!([key(1)]));
    assert!(of_one > 4);
    // The last one may have been begun when little was left.
    assert!(checks(json!(four)) < of_one + 4);
}

#[test]
fn a_kept_token_goes_with_the_key_that_verified_it_and_not_with_another() {
    let policy = inline(json!([key(1), key(2)]));
    let mut worker = worker();
    assert_eq!(decide(&policy, &mut worker, &signed(2, None)), ("allowed", 2));
    assert_eq!(decide(&policy, &mut worker, &signed(2, None)), ("allowed", 0));
    let still = inline(json!([key(3), key(2)]));
    assert_eq!(decide(&still, &mut worker, &signed(2, None)), ("allowed", 0));
    let gone = inline(json!([key(1), key(3)]));
    assert_eq!(decide(&gone, &mut worker, &signed(2, None)), ("signature_invalid", 2));
}

#[test]
fn one_name_may_stand_for_a_key_of_each_algorithm_and_for_one_only() {
    let document = with(document(), "/tokens/issuers/0/algorithms", json!(["ES256", "ES384"]));
    let es384 = json!({"kty": "EC", "crv": "P-384", "kid": "main",
        "x": "lInTxl8fjLKp_UCrxI0WDklahi-7-_6JbtiHjiRvMvhedhKVdHBfi2HCY8t_QJyc",
        "y": "y6N1IC-2mXxHreETBW7K3mBcw0qGr3CWHCs-yl09yCQRLcyfGv7XhqAngHOu51Zv"});
    let keys = |list: Value| with(document.clone(), "/tokens/issuers/0/keys/jwks/keys", list);
    let policy = compile(&keys(json!([es384.clone(), named(1, "main"), named(1, "main")])));
    assert_eq!(decide(&policy, &mut worker(), &signed(1, Some("main"))), ("allowed", 1));
    let two = keys(json!([named(1, "main"), es384, named(2, "main")]));
    let errors = Policy::compile(two.to_string().as_bytes()).unwrap_err().to_string();
    for place in [0, 2] {
        let expected = format!("/tokens/issuers/0/keys/jwks/keys/{place}/kid: another key for ES256 has the same `kid`");
        assert!(errors.contains(&expected), "{errors}");
    }
}

/// What a fetched set is taken for: usable keys, and the log's line.
fn fetch(policy: &Rc<Policy>, worker: &mut Worker, seconds: u64, body: &str) -> (Result<News, ()>, String) {
    let fetch = due(worker, policy, seconds).expect("due");
    let answer = Answer::Response { status: 200, body: body.as_bytes() };
    let report = worker.fetched(fetch.ticket, answer, at(seconds), &ByPoint::default()).unwrap();
    (report.result().map_err(|_| ()), report.to_string())
}

#[test]
fn a_member_that_says_two_things_is_not_taken_for_a_missing_one() {
    let policy = fetching();
    for value in [r#"{"a":1,"a":2}"#, r#"[[[[[[[["verify"]]]]]]]]"#, "null"] {
        for name in ["d", "k", "oth", "use", "key_ops", "alg", "kid"] {
            let bare = key(3).to_string();
            let odd = format!(r#"{},"{name}":{value}}}"#, bare.strip_suffix('}').unwrap());
            let mut worker = worker();
            let result = fetch(&policy, &mut worker, 0, &format!(r#"{{"keys":[{},{odd}]}}"#, named(2, "b"))).0;
            assert_eq!(result, Ok(News::Keys { usable: 1, changed: true }), "{odd}");
            assert_eq!(decide(&policy, &mut worker, &signed(3, Some("c"))), ("key_unknown", 0), "{odd}");
            assert_eq!(decide(&policy, &mut worker, &signed(3, None)), ("signature_invalid", 1), "{odd}");
        }
    }
}

#[test]
fn one_odd_key_of_a_published_set_keeps_no_withdrawn_one_alive() {
    let policy = fetching();
    let twice = format!(r#"{{"keys":[{},{{"kty":"EC","kid":"t","kid":"t"}}]}}"#, named(2, "b"));
    let deep = set(&[named(2, "b"), json!({"kty": "EC", "kid": "d", "x": [[[[[[[["deep"]]]]]]]]})]);
    let text = |key: &str| format!(r#"{{"keys":[{},{key}],"\u0066oo":[1e400,{{"a":1,"a":2}}]}}"#, named(2, "b"));
    let odd = [
        (set(&[named(2, "b"), named(2, "b")]), None),
        (
            set(&[named(2, "b"), named(3, "c"), named(4, "c")]),
            Some("keys[1] (`kid` c): another key for ES256 has the same `kid`"),
        ),
        (set(&[named(2, "b"), with(named(3, "c"), "/d", json!("AAAA"))]), Some("keys[1] (`kid` c): private or symmetric")),
        (
            set(&[named(2, "b"), with(named(3, "c"), "/x", json!("AAAA"))]),
            Some("keys[1] (`kid` c): `x` and `y` must be 32 bytes"),
        ),
        (set(&[named(2, "b"), json!(null)]), Some("keys[1]: must be a JWK")),
        (set(&[named(2, "b"), with(named(3, "c"), "/kid", json!(7))]), Some("keys[1]: must be a string, not a number")),
        (twice, Some("keys[1]: must be a JWK: an object with each member once")),
        (text(r#"{"kty":"EC","kid":"n","n":1e400}"#), Some("keys[1]: must be a JWK")),
        (text(r#"{"kty":"EC","kid":"\ud800"}"#), Some("keys[1]: must be a JWK")),
        (text(r#"{"kty":"EC","\ud800":1}"#), Some("keys[1]: must be a JWK")),
        (deep, Some("keys[1]: must be a JWK")),
    ];
    for (body, line) in odd {
        let mut worker = worker();
        fetch(&policy, &mut worker, 0, &set(&[named(1, "a")])).0.unwrap();
        assert_eq!(decide(&policy, &mut worker, &signed(1, Some("a"))).0, "allowed");
        let (result, report) = fetch(&policy, &mut worker, 300, &body);
        assert_eq!(result, Ok(News::Keys { usable: 1, changed: true }), "{body}");
        assert_eq!(decide(&policy, &mut worker, &signed(1, Some("a"))).0, "key_unknown", "withdrawn: {body}");
        assert_eq!(decide(&policy, &mut worker, &signed(2, Some("b"))).0, "allowed", "{body}");
        match line {
            None => assert!(!report.contains("left out"), "{report}"),
            Some(line) => assert!(report.contains(&format!("; left out: {line}")), "{report}"),
        }
    }
}

#[test]
fn a_set_of_no_use_takes_all_keys_away_and_says_why() {
    let policy = fetching();
    for (body, line) in [
        (r#"{"keys":[]}"#.to_owned(), "none of its keys can be used, and none is held any more"),
        (set(&[json!({"kty": "oct", "k": "AAAA"})]), "left out: keys[0]: private or symmetric key material"),
        (set(&[with(named(1, "a"), "/use", json!("enc"))]), "left out: keys[0] (`kid` a): `use` is `enc`, not `sig`"),
        (set(&[with(named(1, "a"), "/use", json!("jwt-svid"))]), "keys[0] (`kid` a): `use` is `jwt-svid`, as in a SPIFFE bundle"),
        (set(&[with(named(1, "a"), "/alg", json!("ES384"))]), "keys[0] (`kid` a): its `alg` ES384 is none of the issuer's"),
    ] {
        let mut worker = worker();
        fetch(&policy, &mut worker, 0, &set(&[named(1, "a")])).0.unwrap();
        let (result, report) = fetch(&policy, &mut worker, 300, &body);
        assert_eq!(result, Ok(News::Keys { usable: 0, changed: true }));
        assert!(report.contains("none of its keys can be used") && report.contains(line), "{report}");
        assert_eq!(decide(&policy, &mut worker, &signed(1, Some("a"))).0, "keys_unavailable");
        // It is asked for again as after a failure, and the next good set is in force.
        assert!(due(&mut worker, &policy, 300).is_none());
        fetch(&policy, &mut worker, 301, &set(&[named(1, "a")])).0.unwrap();
        assert_eq!(decide(&policy, &mut worker, &signed(1, Some("a"))).0, "allowed");
    }
}

#[test]
fn no_alg_where_two_would_fit_is_said() {
    let mut document = document();
    document["tokens"]["issuers"][0]["algorithms"] = json!(["RS256", "RS512"]);
    document["tokens"]["issuers"][0]["keys"] =
        json!({"endpoint": {"cluster": "broker", "authority": "broker.example", "path": "/jwks.json"}});
    let rsa = json!({"kty": "RSA", "kid": "a", "e": "AQAB", "n": "AQAB"});
    let (_, report) = fetch(&compile(&document), &mut worker(), 0, &set(&[rsa]));
    assert!(
        report.ends_with("left out: keys[0] (`kid` a): it has no `alg`, and the issuer has RS256 and RS512 that fit it"),
        "{report}"
    );
}

#[test]
fn a_thousand_keys_are_sixty_four_and_a_short_line() {
    let policy = fetching();
    let tiny = |number: usize| json!({"kty": "EC", "kid": number.to_string()});
    let (mut worker, many) = (worker(), set(&(0..1000).map(tiny).chain([]).collect::<Vec<_>>()));
    let (result, report) = fetch(&policy, &mut worker, 0, &many);
    assert_eq!(result, Ok(News::Keys { usable: 0, changed: true }));
    assert!(report.ends_with("; and 992 more") && report.len() < 1500, "{report}");
    let good: Vec<Value> = (1..=70).map(|number| named(number, &number.to_string())).collect();
    let (result, report) = fetch(&policy, &mut worker, 1, &set(&good));
    assert_eq!(result, Ok(News::Keys { usable: 64, changed: true }));
    assert!(report.contains("left out: keys[64] (`kid` 65): more than 64 keys"), "{report}");
    assert_eq!(worker.fetch_counts().keys_dropped, 6);
    let (_, report) = fetch(&policy, &mut worker, 301, &set(&[with(named(1, "a\nb"), "/alg", json!("x".repeat(100_000)))]));
    assert!(report.contains("(`kid` a\u{fffd}b): its `alg` xxx") && report.len() < 500, "{report}");
}

#[test]
fn after_a_key_without_name_has_been_replaced_the_set_is_fetched_early() {
    let policy = fetching();
    let mut worker = worker();
    fetch(&policy, &mut worker, 0, &set(&[key(1)])).0.unwrap();
    assert_eq!(decide(&policy, &mut worker, &signed(2, Some("new"))).0, "signature_invalid");
    assert!(due(&mut worker, &policy, 9).is_none());
    fetch(&policy, &mut worker, 10, &set(&[key(2)])).0.unwrap();
    assert_eq!(decide(&policy, &mut worker, &signed(2, Some("new"))).0, "allowed");
}

#[test]
fn a_spiffe_bundle_is_taken_where_the_policy_says_so_and_its_certificates_are_not() {
    let bundle = |key_use: &str| {
        let x509 = json!({"kty": "EC", "crv": "P-256", "use": "x509-svid", "x5c": ["MIIB"], "x": key(2)["x"], "y": key(2)["y"]});
        json!({"keys": [x509, with(named(1, "j"), "/use", json!(key_use)), key(3)], "spiffe_sequence": 3, "spiffe_refresh_hint": 60})
    };
    let document = |key_use: Value| {
        let mut document = document();
        document["tokens"]["issuers"][0]["keys"] = json!({"jwks": bundle("jwt-svid")});
        if !key_use.is_null() {
            document["tokens"]["issuers"][0]["keys"]["use"] = key_use;
        }
        document
    };
    let policy = compile(&document(json!("jwt-svid")));
    assert_eq!(decide(&policy, &mut worker(), &signed(1, Some("j"))), ("allowed", 1));
    for number in [2, 3] {
        assert_eq!(decide(&policy, &mut worker(), &signed(number, None)).0, "signature_invalid", "{number}");
    }
    // Without the word, keys for JWT-SVIDs are not for us, as keys for encryption are not.
    let policy = compile(&document(Value::Null));
    assert_eq!(decide(&policy, &mut worker(), &signed(1, Some("j"))).0, "signature_invalid");
    assert_eq!(decide(&policy, &mut worker(), &signed(3, None)).0, "allowed");
    // Fetched for one policy, it is read anew for the other.
    let endpoint = |key_use: &str| {
        let mut document = support::document();
        document["tokens"]["issuers"][0]["keys"] = json!({"use": key_use,
            "endpoint": {"cluster": "broker", "authority": "broker.example", "path": "/jwks.json"}});
        compile(&document)
    };
    let (svid, sig, mut worker) = (endpoint("jwt-svid"), endpoint("sig"), worker());
    worker.hold_for(&[Rc::clone(&svid)]);
    fetch(&svid, &mut worker, 0, &bundle("jwt-svid").to_string()).0.unwrap();
    assert_eq!(decide(&svid, &mut worker, &signed(1, Some("j"))).0, "allowed");
    worker.hold_for(&[Rc::clone(&sig)]);
    assert_eq!(decide(&sig, &mut worker, &signed(1, Some("j"))).0, "signature_invalid");
    assert_eq!(decide(&sig, &mut worker, &signed(3, None)).0, "allowed");
}
