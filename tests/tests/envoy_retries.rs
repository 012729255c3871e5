//! In a real Envoy whose route retries (the shipped one does not): a try is no new request, and none follows once the session has
//! ended.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    envoy::Update,
    mesh::Mesh,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Received, Upstream},
    wasm,
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// Tries without end of whatever fails.
const RETRYING: &[(&str, &str)] = &[
    ("max_retries: 0", "max_retries: 100"),
    (
        "cluster: target\n                            timeout: 0s",
        "cluster: target\n                            timeout: 0s\n                            retry_policy: { retry_on: 5xx, \
         num_retries: 1000, retry_back_off: { base_interval: 0.01s, max_interval: 0.02s } }",
    ),
];

/// The filter's fields and the credential.
fn permitted(received: &Received) -> Vec<&(String, String)> {
    received.headers.iter().filter(|(name, _)| name.starts_with("x-chaperone-") || name == "authorization").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_try_carries_the_same_permit_and_there_is_one_record() {
    let scenario = Scenario::new();
    let token = scenario.token("s-1");
    let tries = AtomicUsize::new(0);
    // Every third one is answered.
    let target = Upstream::answering(move |received| match tries.fetch_add(1, Ordering::SeqCst) % 3 {
        2 => Answer::echo(received),
        _ => Answer::ok("not now").status(503),
    })
    .await;
    let mesh = Mesh::with("retries", &scenario.policy(), target, wasm::chaperone(), RETRYING).await;
    for (round, protocol) in Protocol::ALL.into_iter().enumerate() {
        let (reply, entry) = mesh.observe(&Call::get("/v1/orders/7").bearer(&token), protocol).await;
        assert_eq!((reply.status, entry.reason(), &entry.record["http_response"]["code"]), (200, "allowed", &json!(200)));
        let received = mesh.upstream.received();
        let [first, second, third] = &received[3 * round..] else { panic!("three tries: {received:?}") };
        assert_eq!(first.header("authorization"), Some(format!("Bearer {}", CREDENTIAL.1).as_str()));
        assert_eq!(first.header("x-chaperone-audit-id"), Some(reply.audit_id()));
        assert_eq!((permitted(first), permitted(first)), (permitted(second), permitted(third)));
        assert_eq!(mesh.log.entries().len(), round + 1, "one record each");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_try_follows_once_the_session_has_ended() {
    let scenario = Scenario::new();
    let target = Upstream::answering(|_| Answer::ok("not now").status(503).after(Duration::from_millis(200))).await;
    let mesh = Mesh::with("retries-revoked", &scenario.policy(), target, wasm::chaperone(), RETRYING).await;
    for (round, (protocol, session)) in Protocol::ALL.into_iter().zip(["s-1", "s-2"]).enumerate() {
        let call = Call::get("/v1/orders/7").bearer(&scenario.token(session));
        let before = mesh.upstream.count();
        let asking = async {
            let (reply, entry) = mesh.observe(&call, protocol).await;
            (reply, entry, mesh.upstream.count() - before)
        };
        let revoking = async {
            while mesh.upstream.count() < before + 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let revoked = scenario.revoking(round as u64 + 2, &json!([{"session": session}]));
            assert_eq!(mesh.envoy.update(&revoked).await, Update::Applied);
        };
        let ((reply, entry, tries), ()) = tokio::join!(asking, revoking);
        assert_eq!((reply.status, &reply.json()["reason"]), (401, &json!("revoked")), "{reply:?}");
        let ended = (&entry.record["unmapped"]["decision"], &entry.record["unmapped"]["ended_by"]);
        assert_eq!((entry.reason(), ended), ("revoked", (&json!("allow"), &json!("revoked"))), "{:#}", entry.record);
        assert!(tries >= 2, "{tries}");
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(mesh.upstream.count() - before, tries, "and no more");
        assert_eq!(mesh.log.entries().len(), round + 1);
    }
}
