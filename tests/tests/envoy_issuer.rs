//! In a real Envoy: the cluster that `render envoy` writes for an issuer takes its keys from whoever proves to be the issuer, and from
//! nobody else.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::{
    source::{Document, PolicyDocument},
    token::{TestKey, jwks},
};
use chaperone_policy::Algorithm;
use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    mtls::{Authority, Identity},
    scenario::{Scenario, now},
    tls_front::TlsFront,
    upstream::{Answer, Upstream},
    wasm,
};
use policy_host::render::{Rendered, clusters};
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};

/// Are the keys taken of who shows this certificate, where the policy names `host` and one authority is trusted?
async fn taken(name: &str, host: &str, trusted: &Authority, shown: &Identity) -> bool {
    let key = TestKey::generate(Algorithm::Es256).unwrap();
    let keys = jwks([&key]).to_string();
    let issuer = Upstream::answering(move |_| Answer::ok(keys.clone())).await;
    let front = TlsFront::start(shown, issuer.address()).await;
    let mut policy = Scenario::new().policy();
    let authority = format!("{host}:{}", front.address().port());
    policy["tokens"]["issuers"][0]["keys"] =
        json!({"endpoint": {"cluster": "broker", "authority": authority, "path": "/jwks.json", "timeout": "5s"}});

    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    fs::write(&authorities, trusted.pem()).unwrap();
    let document = PolicyDocument::find(Document::parse("policy.json", policy.to_string()).unwrap()).unwrap();
    let rendered = Rendered::new(&document, None, "2026-11-26T00:00:00Z".parse().unwrap()).unwrap();
    let clusters = format!("  clusters:\n{}", clusters(&rendered, &authorities).unwrap());
    let settings = [("  clusters:\n", clusters.as_str())];
    let mesh = Mesh::with(name, &policy, Upstream::start().await, wasm::chaperone(), &settings).await;

    let claims = json!({"iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": "s-1", "iat": now(), "exp": now() + 300});
    let call = Call::get("/v1/orders").host("orders.example").bearer(&key.sign(json!({}), claims));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let reply = mesh.send(&call, Protocol::Http1).await;
        if reply.status == 200 {
            return true;
        }
        assert_eq!(reply.status, 503, "no keys yet");
        // Envoy says so when a handshake fails for the certificate.
        if mesh.envoy.stat("cluster.broker.ssl.fail_verify_error").await
            + mesh.envoy.stat("cluster.broker.ssl.fail_verify_san").await
            > 1
        {
            assert_eq!((issuer.count(), mesh.upstream.count()), (0, 0), "it was not even asked");
            return false;
        }
        assert!(Instant::now() < deadline, "neither taken nor refused:\n{}", mesh.envoy.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_from_the_issuer_alone() {
    let (ours, other) = (Authority::new(), Authority::new());
    assert!(taken("issuer", "localhost", &ours, &ours.server("localhost")).await);
    assert!(taken("issuer-ip", "127.0.0.1", &ours, &ours.server("127.0.0.1")).await);
    assert!(!taken("issuer-name", "localhost", &ours, &ours.server("elsewhere.example")).await, "another name");
    assert!(!taken("issuer-ip-name", "127.0.0.1", &ours, &ours.server("127.0.0.2")).await, "another address");
    assert!(!taken("issuer-authority", "localhost", &ours, &other.server("localhost")).await, "another authority");
}
