//! In a real Envoy with client certificates: a token that was stolen is no use on another connection, nor without its key.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaperone_authoring::token::TestKey;
use chaperone_policy::Algorithm;
use chaperone_tests::{
    client::Call,
    envoy::{Envoy, Setup, Update},
    install,
    mtls::{Authority, Client},
    scenario::{CREDENTIAL, Scenario, now},
    upstream::Upstream,
    wasm,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::{Duration, Instant};

const SPIFFE_ID: &str = "spiffe://orders.example/agent";

/// An Envoy with one worker, whose listener wants certificates of one authority.
struct Bound {
    scenario: Scenario,
    envoy: Envoy,
    upstream: Upstream,
    log: chaperone_tests::access_log::AccessLog,
}

impl Bound {
    async fn start(name: &str, authority: &Authority, context: &str, validation: &str, session: &Value) -> Self {
        let scenario = Scenario::new();
        let upstream = Upstream::start().await;
        let (plain, tls) = authority.listener(context, validation);
        let envoy = Envoy::start(Setup {
            name,
            policy: &policy(&scenario, session, 1),
            wasm: wasm::chaperone(),
            upstream: upstream.address(),
            workers: 1,
            environment: &[CREDENTIAL],
            other_settings: &[(plain, &tls)],
        })
        .await;
        let log = chaperone_tests::access_log::AccessLog(envoy.access_log());
        Self { scenario, envoy, upstream, log }
    }

    /// What becomes of a call: `allowed` or the reason, and the record's `binding`. A denied one has not gone upstream.
    async fn ask(&self, client: &Client, call: &Call) -> (String, String) {
        let before = self.upstream.count();
        let (reply, _) = client.send(self.envoy.address(), call).await.expect("an answer");
        let entry = self.log.record(reply.audit_id()).await;
        let binding = entry.record["unmapped"]["binding"].as_str().expect("a text").to_owned();
        assert_eq!(reply.status == 200, entry.reason() == "allowed", "{entry:?}");
        assert_eq!(self.upstream.count() - before, usize::from(reply.status == 200), "{entry:?}");
        if reply.status == 401 {
            assert_eq!(reply.json()["reason"], "token_rejected");
        }
        (entry.reason().to_owned(), binding)
    }
}

fn policy(scenario: &Scenario, session: &Value, generation: u64) -> Value {
    let mut policy = scenario.policy();
    policy["generation"] = json!(generation);
    policy["session"] = session.clone();
    policy["grants"][0]["when"] = json!({"issuer": "https://broker.example"});
    policy
}

/// Does this Envoy say whether it has validated a certificate? Before 1.39 it does not: a name in a certificate is then nobody's,
/// and the thumbprint alone has to do for `client_certificate`.
fn says_what_is_valid() -> bool {
    install::is_at_least(39)
}

fn mismatch() -> (String, String) {
    ("binding_mismatch".to_owned(), "none".to_owned())
}

fn allowed(binding: &str) -> (String, String) {
    ("allowed".to_owned(), binding.to_owned())
}

fn call(token: &str) -> Call {
    Call::get("/v1/orders").bearer(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_on_the_connection_that_it_names() {
    let authority = Authority::new();
    let session = json!({"max_lifetime": "15m", "bind": ["client_certificate", "spiffe_id"]});
    // Without resumption: see the last test.
    let context = "disable_stateless_session_resumption: true
              disable_stateful_session_resumption: true
              require_client_certificate: true";
    let bound = Bound::start("binding", &authority, context, "", &session).await;
    let (right, other) = (authority.client(SPIFFE_ID), authority.client(SPIFFE_ID));
    let elsewhere = authority.client("spiffe://orders.example/other");
    let token = |identity: &str, thumbprint: &str| {
        bound.scenario.token_with("s-1", json!({"sub": identity, "cnf": {"x5t#S256": thumbprint}}))
    };
    let good = token(SPIFFE_ID, &right.thumbprint());
    let [right_client, other_client, elsewhere_client] =
        [&right, &other, &elsewhere].map(|identity| authority.connector(Some(identity)));

    let both = || if says_what_is_valid() { allowed("client_certificate+spiffe_id") } else { mismatch() };
    for _ in 0..2 {
        assert_eq!(bound.ask(&right_client, &call(&good)).await, both());
        assert_eq!(bound.ask(&other_client, &call(&good)).await, mismatch(), "stolen, and held as verified");
    }
    let forged = call(&good).header("x-forwarded-client-cert", "Hash=00;URI=spiffe://orders.example/agent");
    assert_eq!(bound.ask(&other_client, &forged).await, mismatch());
    // Its own certificate, another SPIFFE ID; and the other way round.
    let misnamed = token(SPIFFE_ID, &elsewhere.thumbprint());
    assert_eq!(bound.ask(&elsewhere_client, &call(&misnamed)).await, mismatch());
    let named = token("spiffe://orders.example/other", &elsewhere.thumbprint());
    assert_eq!(bound.ask(&elsewhere_client, &call(&named)).await, both());
    assert_eq!(bound.ask(&right_client, &call(&bound.scenario.token("s-2"))).await, mismatch(), "a token bound to nothing");

    let bare = authority.connector(None).send(bound.envoy.address(), &call(&good)).await;
    assert!(bare.is_err(), "without a certificate there is no connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_has_not_validated_is_no_certificate() {
    let authority = Authority::new();
    let session = json!({"max_lifetime": "15m", "bind": ["client_certificate"]});
    let context = "require_client_certificate: false";
    let bound =
        Bound::start("binding-untrusted", &authority, context, ", trust_chain_verification: ACCEPT_UNTRUSTED", &session).await;
    let (right, stranger) = (authority.client(SPIFFE_ID), Authority::new().client(SPIFFE_ID));
    let token = |thumbprint: &str| bound.scenario.token_with("s-1", json!({"sub": SPIFFE_ID, "cnf": {"x5t#S256": thumbprint}}));
    let (trusted, untrusted, none) =
        (authority.connector(Some(&right)), authority.connector(Some(&stranger)), authority.connector(None));
    assert_eq!(bound.ask(&trusted, &call(&token(&right.thumbprint()))).await, allowed("client_certificate"));
    assert_eq!(bound.ask(&none, &call(&token(&right.thumbprint()))).await, mismatch(), "no certificate");
    let not_validated = if says_what_is_valid() { mismatch() } else { allowed("client_certificate") };
    assert_eq!(bound.ask(&untrusted, &call(&token(&stranger.thumbprint()))).await, not_validated);
    assert_eq!(bound.ask(&untrusted, &call(&token(&right.thumbprint()))).await, mismatch(), "another certificate, at any rate");

    let by_name = json!({"max_lifetime": "15m", "bind": ["spiffe_id"]});
    assert_eq!(bound.envoy.update(&policy(&bound.scenario, &by_name, 2)).await, Update::Applied);
    let bound_token = token(&right.thumbprint());
    let token = bound.scenario.token_with("s-1", json!({"sub": SPIFFE_ID}));
    let deadline = Instant::now() + Duration::from_secs(10);
    let followed = || async {
        let by_name = bound.ask(&authority.connector(Some(&right)), &call(&token)).await;
        let by_thumbprint = bound.ask(&authority.connector(Some(&right)), &call(&bound_token)).await;
        if says_what_is_valid() { by_name == allowed("spiffe_id") } else { by_name == mismatch() && by_thumbprint == mismatch() }
    };
    while !followed().await {
        assert!(Instant::now() < deadline, "the worker has not followed");
    }
    // Whoever can sign a certificate can write any name into it.
    assert_eq!(bound.ask(&authority.connector(Some(&stranger)), &call(&token)).await, mismatch());
    assert_eq!(bound.ask(&none, &call(&token)).await, mismatch());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_for_one_request_and_taken_once() {
    let authority = Authority::new();
    let session = json!({"max_lifetime": "15m", "bind": ["dpop"], "dpop": {"origins": ["https://orders.example"]}});
    let scenario = Scenario::new();
    let upstream = Upstream::start().await;
    let (plain, tls) = authority.listener("require_client_certificate: false", "");
    let mut document = policy(&scenario, &session, 1);
    document["tokens"]["from"] =
        json!([{"header": "authorization", "scheme": "DPoP"}, {"header": "authorization", "scheme": "Bearer"}]);
    let envoy = Envoy::start(Setup {
        name: "binding-dpop",
        policy: &document,
        wasm: wasm::chaperone(),
        upstream: upstream.address(),
        workers: 1,
        environment: &[CREDENTIAL],
        other_settings: &[(plain, &tls)],
    })
    .await;
    let log = chaperone_tests::access_log::AccessLog(envoy.access_log());
    let bound = Bound { scenario, envoy, upstream, log };
    let client = authority.connector(None);
    for alg in Algorithm::ALL {
        let key = TestKey::generate(alg).expect("randomness");
        let token = bound.scenario.token_with("s-1", json!({"cnf": {"jkt": key.kid()}}));
        let send = |proof: &str| Call::get("/v1/orders").header("authorization", format!("DPoP {token}")).header("dpop", proof);
        let good = proof(&key, &token, "one", json!({}));
        assert_eq!(bound.ask(&client, &send(&good)).await, allowed("dpop"), "{alg:?}");
        let received = bound.upstream.last();
        assert!(received.all("dpop").is_empty() && !received.headers.iter().any(|(_, value)| value.contains(&token)));
        assert_eq!(bound.ask(&client, &send(&good)).await, mismatch(), "replayed");
        assert_eq!(
            bound.ask(&client, &Call::get("/v1/orders").header("authorization", format!("DPoP {token}"))).await,
            mismatch()
        );
    }
    let key = TestKey::generate(Algorithm::Es256).expect("randomness");
    let token = bound.scenario.token_with("s-1", json!({"cnf": {"jkt": key.kid()}}));
    let send = |proof: &str| Call::get("/v1/orders").header("authorization", format!("DPoP {token}")).header("dpop", proof);
    for (what, changed) in [
        ("method", json!({"htm": "POST"})),
        ("path", json!({"htu": "https://orders.example/v1/orders/7"})),
        ("origin", json!({"htu": "https://evil.example/v1/orders"})),
        ("token", json!({"ath": URL_SAFE_NO_PAD.encode(Sha256::digest("another"))})),
        ("time", json!({"iat": now() - 62})),
        ("time to come", json!({"iat": now() + 300})),
        ("no jti", json!({"jti": null})),
    ] {
        assert_eq!(bound.ask(&client, &send(&proof(&key, &token, what, changed))).await, mismatch(), "another {what}");
    }
    let stranger = TestKey::generate(Algorithm::Es256).expect("randomness");
    assert_eq!(bound.ask(&client, &send(&proof(&stranger, &token, "key", json!({})))).await, mismatch(), "another key");
    let (head, _) = stranger_signs(&key, &stranger, &token);
    assert_eq!(bound.ask(&client, &send(&head)).await, mismatch(), "another key's signature");
    let good = proof(&key, &token, "bearer", json!({}));
    assert_eq!(bound.ask(&client, &call(&token).header("dpop", &good)).await, mismatch(), "as a bearer token");
    assert_eq!(bound.ask(&client, &send(&good).header("dpop", &good)).await, mismatch(), "two proofs");
    assert_eq!(bound.ask(&client, &send(&good).host("evil.example")).await.0, "unknown_command", "the host takes no part in it");
    let again = proof(&key, &token, "again", json!({"htu": "HTTPS://ORDERS.example:443/v1/%6Frders?x"}));
    assert_eq!(bound.ask(&client, &send(&again)).await, allowed("dpop"));
}

/// A proof for `GET /v1/orders`; `null` takes a claim away.
fn proof(key: &TestKey, token: &str, jti: &str, changed: Value) -> String {
    let claims = claims(token, jti, changed);
    key.sign(json!({"typ": "dpop+jwt", "kid": null, "jwk": key.public_jwk()}), claims)
}

fn claims(token: &str, jti: &str, changed: Value) -> Value {
    let mut claims = json!({"jti": jti, "htm": "GET", "htu": "https://orders.example/v1/orders", "iat": now(),
        "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(token))});
    let Value::Object(changed) = changed else { panic!("an object") };
    for (name, value) in changed {
        claims[&name] = value;
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// The right key in the header, and somebody else's signature.
fn stranger_signs(key: &TestKey, stranger: &TestKey, token: &str) -> (String, Value) {
    let header = json!({"typ": "dpop+jwt", "kid": null, "jwk": key.public_jwk()});
    let claims = claims(token, "forged", json!({}));
    (stranger.sign(header, claims.clone()), claims)
}

/// Envoy says of a connection that took up an earlier TLS session that its certificate is not validated (envoy#21235). Fail
/// closed: whoever loads such a policy turns resumption off, as the first test does and docs/limits.md says.
#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_has_no_validated_certificate() {
    let authority = Authority::new();
    let session = json!({"max_lifetime": "15m", "bind": ["client_certificate"]});
    let bound = Bound::start("binding-resumed", &authority, "require_client_certificate: true", "", &session).await;
    let identity = authority.client(SPIFFE_ID);
    let client = authority.connector(Some(&identity));
    let call = call(&bound.scenario.token_with("s-1", json!({"cnf": {"x5t#S256": identity.thumbprint()}})));
    let (first, resumed) = client.send(bound.envoy.address(), &call).await.expect("an answer");
    assert_eq!((first.status, resumed), (200, false));
    let (second, resumed) = client.send(bound.envoy.address(), &call).await.expect("an answer");
    assert!(resumed, "the client takes up its session");
    // One that has never said that it validated has nothing to take back: the thumbprint is still the certificate's.
    let expected = if says_what_is_valid() { 401 } else { 200 };
    assert_eq!(second.status, expected, "Envoy does not vouch for the certificate any more");
}
