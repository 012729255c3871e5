//! In a real Envoy with two workers: keys that the issuer publishes come through a cluster of Envoy's own, rotate, and are gone
//! when they are removed, with all that they signed; so do status lists.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::token::{TestKey, jwks, status_list};
use chaperone_policy::Algorithm;
use chaperone_tests::{
    client::{Call, Connection, Protocol, Reply},
    mesh::Mesh,
    scenario::{Scenario, now},
    upstream::{Answer, Upstream},
    wasm,
    wiring::{CLUSTERS, cluster},
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const KEYS: &str = "/jwks.json?v=1";
const LIST: &str = "/status/1";

/// What the issuer answers, by path: a status and a body.
#[derive(Clone, Default)]
struct Published(Arc<Mutex<HashMap<String, (u16, String)>>>);

impl Published {
    fn set(&self, path: &str, status: u16, body: impl ToString) {
        self.0.lock().unwrap().insert(path.to_owned(), (status, body.to_string()));
    }
}

/// An issuer that publishes nothing yet.
async fn broker() -> (Upstream, Published) {
    let published = Published::default();
    let what = published.clone();
    let broker = Upstream::answering(move |received| {
        let (status, body) = what.0.lock().unwrap().get(&received.path).cloned().unwrap_or((503, String::new()));
        Answer::ok(body).status(status)
    })
    .await;
    (broker, published)
}

/// A mesh whose Envoy also has the issuer's cluster, and a target with an endless feed.
async fn mesh(name: &str, policy: &Value, broker: &Upstream) -> Mesh {
    let clusters = cluster("broker", broker.address());
    let target = Upstream::answering(|received| match received.path.as_str() {
        "/v1/feed" => Answer::events(10_000, Duration::from_millis(50)),
        _ => Answer::echo(received),
    })
    .await;
    Mesh::with(name, policy, target, wasm::chaperone(), &[(CLUSTERS, &clusters)]).await
}

fn policy() -> Value {
    let mut policy = Scenario::new().policy();
    policy["tokens"]["issuers"][0]["keys"] = json!({"endpoint": {
        "cluster": "broker", "authority": "broker.example", "path": KEYS, "refresh": "10s", "timeout": "1s",
    }});
    policy
}

fn signed(key: &TestKey, session: &str) -> String {
    key.sign(json!({}), claims(session))
}

fn claims(session: &str) -> Value {
    json!({"iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": session, "iat": now(), "exp": now() + 300})
}

/// Asks on new connections until the answer has this status ten times in a row: on whichever worker.
async fn until(mesh: &Mesh, call: &Call, status: u16) -> Reply {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut in_a_row = 0;
    loop {
        let mut connection = Connection::open(mesh.envoy.address(), Protocol::Http1).await.expect("Envoy listens");
        // What is under way when the keys change is cut, as any other stream.
        let reply = connection.send(call).await.ok();
        in_a_row = if reply.as_ref().is_some_and(|reply| reply.status == status) { in_a_row + 1 } else { 0 };
        if let Some(reply) = reply
            && in_a_row == 10
        {
            return reply;
        }
        assert!(Instant::now() < deadline, "not {status}:\n{}", mesh.envoy.log());
    }
}

/// A stream that is open, and its audit id.
async fn open_feed(mesh: &Mesh, token: &str) -> (Connection, Incoming, String) {
    let mut connection = Connection::open(mesh.envoy.address(), Protocol::Http1).await.expect("Envoy listens");
    let response = connection.start(&Call::get("/v1/feed").bearer(token)).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-chaperone-audit-id"].to_str().unwrap().to_owned();
    let mut body = response.into_body();
    body.frame().await.expect("an event").expect("no error");
    (connection, body, id)
}

/// Reads until the stream breaks.
async fn until_cut(body: &mut Incoming) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Some(Ok(_)) = body.frame().await {
        assert!(Instant::now() < deadline, "still open");
    }
}

async fn still_open(body: &mut Incoming) {
    for _ in 0..3 {
        body.frame().await.expect("still open").expect("no error");
    }
}

async fn until_asked(broker: &Upstream, times: usize) {
    let before = broker.count();
    let deadline = Instant::now() + Duration::from_secs(60);
    while broker.count() < before + times {
        assert!(Instant::now() < deadline, "asked {} times more", broker.count() - before);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_rotate_and_go() {
    let (old, new) = (TestKey::generate(Algorithm::Es256).unwrap(), TestKey::generate(Algorithm::Es256).unwrap());
    let (broker, published) = broker().await;
    let mesh = mesh("keys", &policy(), &broker).await;
    let call = |key: &TestKey| Call::get("/v1/orders").bearer(&signed(key, "s-1"));
    let (by_old, by_new) = (call(&old), call(&new));

    // Nothing has come: nobody is let through, and the caller is told to come again.
    until_asked(&broker, 2).await;
    let (reply, entry) = mesh.observe(&by_old, Protocol::Http1).await;
    assert_eq!((reply.status, entry.reason()), (503, "keys_unavailable"));
    assert_eq!(mesh.upstream.count(), 0);
    let asked = broker.last();
    assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.host.as_str()), ("GET", KEYS, "broker.example"));
    assert_eq!(asked.header("authorization"), None);

    published.set(KEYS, 200, jwks([&old]));
    until(&mesh, &by_old, 200).await;
    let (_connection, mut feed, id) = open_feed(&mesh, &signed(&old, "s-2")).await;

    // An issuer that fails, or says what is no key set, changes nothing.
    for (status, body) in [(500, jwks([&new]).to_string()), (200, "<html>".to_owned())] {
        published.set(KEYS, status, body);
        until_asked(&broker, 3).await;
        until(&mesh, &by_old, 200).await;
        still_open(&mut feed).await;
    }
    let log = mesh.envoy.log();
    assert!(log.contains("could not be fetched from broker.example/jwks.json?v=1 (cluster broker): status 500"), "{log}");
    assert!(!log.contains("<html>"));

    // A new key: whoever has a token by it has the set fetched before its time.
    published.set(KEYS, 200, jwks([&old]));
    until_asked(&broker, 2).await;
    until(&mesh, &by_new, 401).await;
    published.set(KEYS, 200, jwks([&old, &new]));
    until(&mesh, &by_new, 200).await;
    until(&mesh, &by_old, 200).await;
    still_open(&mut feed).await;

    // The old key is removed, and with it the tokens that were kept and the stream that was let through by it; that another entry of
    // the set is odd keeps nothing alive.
    let mut odd = jwks([&new]);
    odd["keys"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"kty": "EC", "crv": "P-256", "kid": "odd", "x": "AAAA", "y": "AAAA"}));
    published.set(KEYS, 200, odd);
    let denied = until(&mesh, &by_old, 401).await;
    assert_eq!(mesh.log.record(denied.audit_id()).await.reason(), "key_unknown");
    until_cut(&mut feed).await;
    let record = mesh.log.record(&id).await;
    assert_eq!(
        (&record.record["status_code"], &record.record["unmapped"]["ended_by"]),
        (&json!("key_unknown"), &json!("key_unknown"))
    );
    until(&mesh, &by_new, 200).await;

    // A set of no use takes all keys away, until the next one.
    published.set(KEYS, 200, json!({"keys": []}));
    let denied = until(&mesh, &by_new, 503).await;
    assert_eq!(mesh.log.record(denied.audit_id()).await.reason(), "keys_unavailable");
    published.set(KEYS, 200, jwks([&new]));
    until(&mesh, &by_new, 200).await;
    let log = mesh.envoy.log();
    assert!(log.contains("1 can be used; left out: keys[1] (`kid` odd): `x` and `y` must be 32 bytes each"), "{log}");
    assert!(log.contains("none of its keys can be used, and none is held any more"), "{log}");

    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.fetch_failures").await >= 3);
    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.dropped").await >= 1);
    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.fetched").await >= 6);
    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.age_seconds").await < 60);
    assert_eq!(mesh.envoy.traps(), 0);
}

/// A list of one bit an entry.
fn list(key: &TestKey, packed: &[u8]) -> String {
    let claims = json!({"iat": now(), "exp": now() + 600, "ttl": 10});
    let Value::Object(claims) = claims else { unreachable!("an object") };
    status_list(key, &format!("https://broker.example{LIST}"), 1, packed, claims)
}

fn with_status(key: &TestKey, session: &str, index: u64) -> String {
    let mut claims = claims(session);
    claims["status"] = json!({"status_list": {"idx": index, "uri": format!("https://broker.example{LIST}")}});
    key.sign(json!({}), claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_list_ends_a_session_and_its_streams() {
    let key = TestKey::generate(Algorithm::Es256).unwrap();
    let (broker, published) = broker().await;
    let mut policy = policy();
    policy["tokens"]["issuers"][0]["status"] = json!({"cluster": "broker", "uris": [format!("https://broker.example{LIST}")]});
    let mesh = mesh("status", &policy, &broker).await;
    published.set(KEYS, 200, jwks([&key]));
    let call = |index: u64| Call::get("/v1/orders").bearer(&with_status(&key, "s-1", index));
    let (third, fourth) = (call(3), call(4));

    // The keys are there, the list is not.
    let unavailable = until(&mesh, &third, 503).await;
    let reason = loop {
        let (_, entry) = mesh.observe(&third, Protocol::Http1).await;
        if entry.reason() != "keys_unavailable" {
            break entry.reason().to_owned();
        }
    };
    assert_eq!((reason.as_str(), unavailable.json()["status"].as_u64()), ("status_unavailable", Some(503)));
    assert_eq!(mesh.upstream.count(), 0);

    published.set(LIST, 200, list(&key, &[0, 0]));
    until(&mesh, &third, 200).await;
    until(&mesh, &fourth, 200).await;
    let asked = broker.received().into_iter().find(|asked| asked.path == LIST).expect("it was asked for");
    assert_eq!((asked.host.as_str(), asked.header("accept")), ("broker.example", Some("application/statuslist+jwt")));
    let missing = mesh.send(&Call::get("/v1/orders").bearer(&signed(&key, "s-1")), Protocol::Http1).await;
    assert_eq!(mesh.log.record(missing.audit_id()).await.reason(), "claims_invalid");
    let (_connection, mut feed, id) = open_feed(&mesh, &with_status(&key, "s-3", 3)).await;
    let (_other, mut other, _) = open_feed(&mesh, &with_status(&key, "s-4", 4)).await;

    // Entry 3 is set: its session is over, open stream and kept token alike, and nobody else's is.
    published.set(LIST, 200, list(&key, &[0b1000, 0]));
    let denied = until(&mesh, &third, 401).await;
    assert_eq!(
        (mesh.log.record(denied.audit_id()).await.reason(), denied.json()["reason"].as_str()),
        ("revoked", Some("revoked"))
    );
    until_cut(&mut feed).await;
    assert_eq!(mesh.log.record(&id).await.record["unmapped"]["ended_by"], "revoked");
    until(&mesh, &fourth, 200).await;
    still_open(&mut other).await;

    // A list by somebody else is none; when the last good one's time is over, nothing is known of anybody.
    published.set(LIST, 200, list(&TestKey::generate(Algorithm::Es256).unwrap(), &[0, 0]));
    let denied = until(&mesh, &fourth, 503).await;
    assert_eq!(mesh.log.record(denied.audit_id()).await.reason(), "status_unavailable");
    until_cut(&mut other).await;
    assert!(mesh.envoy.stat("wasmcustom.chaperone.status_lists.fetch_failures").await >= 2);
    published.set(LIST, 200, list(&key, &[0b1000, 0]));
    until(&mesh, &fourth, 200).await;
    until(&mesh, &third, 401).await;
    assert_eq!(mesh.envoy.traps(), 0);
}
