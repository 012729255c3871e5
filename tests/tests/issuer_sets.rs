//! Key sets in the shapes that providers publish them in, with keys made for these tests: `fixtures/issuers`. In each one a key is
//! replaced by one that the test signs with, so that what is taken also verifies.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::token::TestKey;
use chaperone_policy::{Algorithm, Answer, Context, Decision, Exchange, Head, Policy, RustCrypto, Timestamp, Worker};
use chaperone_tests::root;
use serde_json::{Value, json};
use std::{collections::BTreeMap, rc::Rc};

const NOW: u64 = 1_795_428_000;

struct Provider {
    name: &'static str,
    algorithm: Algorithm,
    key_use: &'static str,
    /// The place of the key that signs, and how many keys are left out.
    signs: usize,
    left_out: usize,
}

const fn of(name: &'static str, signs: usize, left_out: usize) -> Provider {
    Provider { name, algorithm: Algorithm::Rs256, key_use: "sig", signs, left_out }
}

const PROVIDERS: [Provider; 9] = [
    of("auth0", 1, 0),
    of("cognito", 0, 0),
    // Three keys without `alg`.
    of("entra", 2, 0),
    of("github", 1, 0),
    of("google", 1, 0),
    // One is for encryption.
    of("keycloak", 1, 1),
    of("kubernetes", 0, 0),
    of("okta", 0, 0),
    // A bundle: the first is a certificate authority of X.509-SVIDs.
    Provider { name: "spire", algorithm: Algorithm::Es256, key_use: "jwt-svid", signs: 2, left_out: 1 },
];

/// The set with the key that signs, and the `kid` that it has there.
fn set(provider: &Provider, key: &TestKey) -> (Value, Value) {
    let path = root().join("tests/fixtures/issuers").join(format!("{}.jwks.json", provider.name));
    let mut set: Value = serde_json::from_slice(&std::fs::read(path).expect("a fixture")).expect("JSON");
    let own = key.public_jwk();
    let place = &mut set["keys"][provider.signs];
    for member in ["n", "e", "x", "y"] {
        if let Some(value) = own.get(member) {
            assert!(place.get(member).is_some(), "{member} of {}", provider.name);
            place[member] = value.clone();
        }
    }
    let kid = place["kid"].clone();
    (set, kid)
}

fn policy(provider: &Provider, keys: Value) -> Rc<Policy> {
    let document = json!({"version": 1, "name": "p", "session": {"max_lifetime": "15m"},
        "tokens": {"issuers": [{"issuer": "https://issuer.example", "audiences": ["orders"],
            "algorithms": [provider.algorithm.name()], "keys": keys}]},
        "commands": {"list": {"http": {"methods": ["GET"], "path": "/"}}},
        "grants": [{"name": "all", "when": {"subject": "a"}, "allow": ["list"]}]});
    Rc::new(Policy::compile(document.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{}: {errors}", provider.name)))
}

fn decide(policy: &Rc<Policy>, worker: &mut Worker, token: &str) -> &'static str {
    let bearer = format!("Bearer {token}");
    let fields = [(":method", "GET"), (":authority", "orders.example"), (":path", "/"), ("authorization", &*bearer)];
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let context = Context { now: Timestamp::from_seconds(NOW), newest: policy, verifier: &RustCrypto };
    match Exchange::begin(Rc::clone(policy)).request(&Head { headers: &headers, ..Head::default() }, worker, &context) {
        Decision::Forward(_) => "allowed",
        Decision::Refuse(denial) => denial.reason().code(),
        Decision::Hold(_) => "held",
    }
}

fn worker() -> Worker {
    Worker::new([1; 16], [2; 32], BTreeMap::new())
}

#[test]
fn the_sets_of_providers_are_taken_as_they_are() {
    let keys = [Algorithm::Rs256, Algorithm::Es256].map(|algorithm| TestKey::generate(algorithm).unwrap());
    let stranger = TestKey::generate(Algorithm::Es256).unwrap();
    for provider in &PROVIDERS {
        let name = provider.name;
        let key = keys.iter().find(|key| key.alg() == provider.algorithm).unwrap();
        let (set, kid) = set(provider, key);
        let claims =
            json!({"iss": "https://issuer.example", "aud": "orders", "sub": "a", "sid": "s", "iat": NOW, "exp": NOW + 600});
        let good = key.sign(json!({"kid": kid, "typ": null}), claims.clone());
        let forged = stranger.sign(json!({"kid": kid, "alg": provider.algorithm.name()}), claims);
        let inline = policy(provider, json!({"use": provider.key_use, "jwks": set.clone()}));
        assert_eq!(decide(&inline, &mut worker(), &good), "allowed", "{name}, in the document");
        assert_eq!(decide(&inline, &mut worker(), &forged), "signature_invalid", "{name}, in the document");

        let endpoint = json!({"cluster": "issuer", "authority": "issuer.example", "path": "/keys"});
        let published = policy(provider, json!({"use": provider.key_use, "endpoint": endpoint}));
        let mut worker = worker();
        let (now, body) = (Timestamp::from_seconds(NOW), set.to_string());
        let fetch = worker.due(&published, now).fetches.pop().expect("due");
        let report =
            worker.fetched(fetch.ticket, Answer::Response { status: 200, body: body.as_bytes() }, now, &RustCrypto).unwrap();
        assert!(!report.is_fault() && report.dropped().len() == provider.left_out, "{name}: {report}");
        assert_eq!(decide(&published, &mut worker, &good), "allowed", "{name}, published");
        assert_eq!(decide(&published, &mut worker, &forged), "signature_invalid", "{name}, published");
    }
}

#[test]
fn every_set_is_a_provider_of_the_test() {
    let listed = std::fs::read_dir(root().join("tests/fixtures/issuers")).unwrap();
    let mut names: Vec<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, PROVIDERS.map(|provider| format!("{}.jwks.json", provider.name)));
}
