//! In a real Envoy, before a token endpoint that is not ours: Authlib authenticates the proxy and takes the session's token, in each way
//! in which a policy can ask.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_tests::{
    access_log::AccessLog,
    client::{Call, Protocol},
    envoy::{Envoy, Setup},
    mesh::Mesh,
    peers::Server,
    scenario::Scenario,
    upstream::Upstream,
    wasm,
    wiring::{CLUSTERS, cluster},
};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use std::io::Write as _;

const AUDIENCE: &str = "https://sts.example/token";
const SECRET: &str = "canary-of-the-client";

/// Each a path, a command, and how its token is had.
fn ways() -> Vec<(String, Value, bool)> {
    let by_secret = json!({"id": "with-secret", "secret": "${env:STS_SECRET}"});
    let by_key = json!({"id": "with-key", "private_key": "${env:STS_KEY}", "key_id": "k1", "audience": AUDIENCE});
    let mut ways = Vec::new();
    for (grant, audience) in [("token_exchange", json!("orders-api")), ("jwt_bearer", Value::Null)] {
        for (name, client, good) in [
            ("secret", by_secret.clone(), true),
            ("key", by_key.clone(), true),
            ("unknown", json!({"id": "nobody", "secret": "${env:STS_SECRET}"}), false),
            ("wrong", json!({"id": "with-secret", "secret": "${env:ANOTHER}"}), false),
            // Its own way and no other.
            ("other", json!({"id": "with-key", "secret": "${env:STS_SECRET}"}), false),
        ] {
            let mut exchange = json!({"cluster": "sts", "authority": "sts.example", "path": "/token", "grant": grant,
                "scope": "orders.read admin", "client": client});
            if !audience.is_null() {
                exchange["audience"] = audience.clone();
            }
            ways.push((format!("{grant}.{name}"), exchange, good));
        }
    }
    ways
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_knows_the_proxy_and_gives_it_a_token_for_the_sessions() {
    let scenario = Scenario::new();
    let key = p256::SecretKey::from_slice(&[11; 32]).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    let point = key.public_key().to_sec1_bytes();
    let coordinate = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
    let client = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": coordinate(1), "y": coordinate(33)});
    let mut policy = scenario.policy();
    let broker = policy["tokens"]["issuers"][0]["keys"]["jwks"]["keys"][0].clone();
    let mut keys = tempfile::NamedTempFile::new().unwrap();
    keys.write_all(json!({"broker": broker, "client": client}).to_string().as_bytes()).unwrap();
    let endpoint = Server::token_endpoint(keys.path(), SECRET).await;

    let ways = ways();
    let mut credentials = Vec::new();
    for (name, exchange, _) in &ways {
        policy["commands"][name] = json!({"http": {"methods": ["GET"], "path": format!("/v1/{name}")}});
        credentials.push(json!({"for": [name], "exchange": exchange}));
    }
    policy["upstream"] = json!({"credential": credentials});
    policy["grants"][0]["allow"] = json!(["token_exchange.*", "jwt_bearer.*"]);
    let clusters = cluster("sts", endpoint.address());
    let upstream = Upstream::start().await;
    let envoy = Envoy::start(Setup {
        name: "exchange-authlib",
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: upstream.address(),
        workers: 2,
        environment: &[("STS_SECRET", SECRET), ("STS_KEY", &pem), ("ANOTHER", "canary-of-another")],
        other_settings: &[(CLUSTERS, &clusters)],
    })
    .await;
    let log = AccessLog(envoy.access_log());
    let mesh = Mesh { envoy, upstream, log };

    // An assertion is for whoever it names (RFC 7523 §3): the target, and the endpoint.
    let token = scenario.token_with("s-1", json!({"aud": ["orders", AUDIENCE]}));
    for (name, exchange, good) in &ways {
        let told = || format!("{name}\n{}\n{}", endpoint.log(), mesh.envoy.log());
        let before = endpoint.said().lines().count();
        let call = Call::get(&format!("/v1/{name}")).bearer(&token);
        let (reply, entry) = mesh.observe(&call, Protocol::Http2).await;
        if !good {
            assert_eq!((reply.status, entry.reason()), (503, "credential_unavailable"), "{}", told());
            assert_eq!(endpoint.said().lines().count(), before, "{}", told());
            continue;
        }
        assert_eq!((reply.status, entry.reason()), (200, "allowed"), "{}", told());
        let given: Value = serde_json::from_str(endpoint.said().lines().last().unwrap()).unwrap();
        assert_eq!(given["client"], exchange["client"]["id"]);
        assert_eq!((&given["subject"], &given["scope"]), (&json!("agent-7"), &json!("orders.read")), "what the endpoint allows");
        assert_eq!(given["audience"], exchange["audience"]);
        let had = mesh.upstream.last().header("authorization").unwrap().to_owned();
        assert_eq!(had, format!("Bearer {}", given["token"].as_str().unwrap()));
        let written = [mesh.envoy.log(), entry.record.to_string(), format!("{:?}", reply.headers)];
        assert!(written.iter().all(|text| !text.contains(given["token"].as_str().unwrap())));
    }
    assert_eq!(mesh.upstream.count(), ways.iter().filter(|(_, _, good)| *good).count());
    // An assertion that is not for the endpoint, and is none to it.
    let elsewhere = scenario.token("s-2");
    let (reply, entry) = mesh.observe(&Call::get("/v1/jwt_bearer.key").bearer(&elsewhere), Protocol::Http1).await;
    assert_eq!((reply.status, entry.reason()), (503, "credential_unavailable"));
    assert_eq!(mesh.envoy.traps(), 0);
}
