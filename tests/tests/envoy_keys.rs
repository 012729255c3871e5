//! In a real Envoy with two workers: keys that the issuer publishes come through a cluster of Envoy's own, rotate, and are gone
//! when they are removed, with all that they signed.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol, Reply},
    mesh::Mesh,
    scenario::{Scenario, now},
    upstream::{Answer, Upstream},
    wasm,
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use policy_host::token::{Alg, TestKey, jwks};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// What the issuer answers: a status and a body.
#[derive(Clone)]
struct Published(Arc<Mutex<(u16, String)>>);

impl Published {
    fn set(&self, status: u16, body: impl ToString) {
        *self.0.lock().unwrap() = (status, body.to_string());
    }
}

/// An issuer that publishes one thing, whatever it is asked for.
async fn broker() -> (Upstream, Published) {
    let published = Published(Arc::new(Mutex::new((503, String::new()))));
    let what = published.clone();
    let broker = Upstream::answering(move |_| {
        let (status, body) = what.0.lock().unwrap().clone();
        Answer::ok(body).status(status)
    })
    .await;
    (broker, published)
}

/// A mesh whose Envoy also has the issuer's cluster, and a target with an endless feed.
async fn mesh(name: &str, policy: &Value, broker: &Upstream) -> Mesh {
    let (ip, port) = (broker.address().ip(), broker.address().port());
    let clusters = format!(
        "  clusters:
    - name: broker
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: broker
        endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {ip}, port_value: {port} }} }} }} }}] }}]
"
    );
    let target = Upstream::answering(|received| match received.path.as_str() {
        "/v1/feed" => Answer::events(10_000, Duration::from_millis(50)),
        _ => Answer::echo(received),
    })
    .await;
    Mesh::with(name, policy, target, wasm::chaperone(), &[("  clusters:\n", &clusters)]).await
}

fn policy() -> Value {
    let mut policy = Scenario::new().policy();
    policy["tokens"]["issuers"][0]["keys"] = json!({"endpoint": {
        "cluster": "broker", "authority": "broker.example", "path": "/jwks.json?v=1", "refresh": "10s", "timeout": "1s",
    }});
    policy
}

fn signed(key: &TestKey, session: &str) -> String {
    let claims = json!({
        "iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": session, "iat": now(), "exp": now() + 300,
    });
    key.sign(json!({}), claims)
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
    let (old, new) = (TestKey::generate(Alg::Es256).unwrap(), TestKey::generate(Alg::Es256).unwrap());
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
    assert_eq!((asked.method.as_str(), asked.path.as_str(), asked.host.as_str()), ("GET", "/jwks.json?v=1", "broker.example"));
    assert_eq!(asked.header("authorization"), None);

    published.set(200, jwks([&old]));
    until(&mesh, &by_old, 200).await;
    let (_connection, mut feed, id) = open_feed(&mesh, &signed(&old, "s-2")).await;

    // An issuer that fails, or says what is no key set, changes nothing.
    for (status, body) in [(500, jwks([&new]).to_string()), (200, "<html>".to_owned()), (200, "{\"keys\":[]}".to_owned())] {
        published.set(status, body);
        until_asked(&broker, 3).await;
        until(&mesh, &by_old, 200).await;
        still_open(&mut feed).await;
    }
    let log = mesh.envoy.log();
    assert!(log.contains("could not be fetched from broker.example/jwks.json?v=1 (cluster broker): status 500"), "{log}");
    assert!(!log.contains("<html>"));

    // A new key: whoever has a token by it has the set fetched before its time.
    published.set(200, jwks([&old]));
    until_asked(&broker, 2).await;
    until(&mesh, &by_new, 401).await;
    published.set(200, jwks([&old, &new]));
    until(&mesh, &by_new, 200).await;
    until(&mesh, &by_old, 200).await;
    still_open(&mut feed).await;

    // The old key is removed, and with it the tokens that were kept and the stream that was let through by it.
    published.set(200, jwks([&new]));
    let denied = until(&mesh, &by_old, 401).await;
    assert_eq!(mesh.log.record(denied.audit_id()).await.reason(), "key_unknown");
    until_cut(&mut feed).await;
    let record = mesh.log.record(&id).await;
    assert_eq!(
        (&record.record["status_code"], &record.record["unmapped"]["ended_by"]),
        (&json!("key_unknown"), &json!("key_unknown"))
    );
    until(&mesh, &by_new, 200).await;

    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.fetch_failures").await >= 6);
    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.fetched").await >= 6);
    assert!(mesh.envoy.stat("wasmcustom.chaperone.keys.age_seconds").await < 60);
    assert_eq!(mesh.envoy.traps(), 0);
}
