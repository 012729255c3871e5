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

/// Answers every third try of one order, and none of the others.
async fn failing() -> Upstream {
    let tries = AtomicUsize::new(0);
    Upstream::answering(move |received| {
        if received.path != "/v1/orders/third" {
            return Answer::ok("not now").status(503).after(Duration::from_millis(200));
        }
        match tries.fetch_add(1, Ordering::SeqCst) % 3 {
            2 => Answer::echo(received),
            _ => Answer::ok("not now").status(503),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_is_no_new_request_and_none_follows_once_the_session_has_ended() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("retries", &scenario.policy(), failing().await, wasm::chaperone(), RETRYING).await;
    for protocol in Protocol::ALL {
        every_try_carries_the_same_permit_and_there_is_one_record(&mesh, &scenario, protocol).await;
    }
    for (generation, (protocol, session)) in (2..).zip(Protocol::ALL.into_iter().zip(["s-1", "s-2"])) {
        no_try_follows_once_the_session_has_ended(&mesh, &scenario, generation, session, protocol).await;
    }
}

/// How many records have this audit id.
fn records(mesh: &Mesh, audit_id: &str) -> usize {
    mesh.log.entries().iter().filter(|entry| entry.record["metadata"]["uid"] == audit_id).count()
}

async fn every_try_carries_the_same_permit_and_there_is_one_record(mesh: &Mesh, scenario: &Scenario, protocol: Protocol) {
    let (before, logged) = (mesh.upstream.count(), mesh.log.entries().len());
    let (reply, entry) = mesh.observe(&Call::get("/v1/orders/third").bearer(&scenario.token("s-0")), protocol).await;
    assert_eq!((reply.status, entry.reason(), &entry.record["http_response"]["code"]), (200, "allowed", &json!(200)));
    let received = mesh.upstream.received();
    let [first, second, third] = &received[before..] else { panic!("three tries: {received:?}") };
    assert_eq!(first.header("authorization"), Some(format!("Bearer {}", CREDENTIAL.1).as_str()));
    assert_eq!(first.header("x-chaperone-audit-id"), Some(reply.audit_id()));
    assert_eq!((permitted(first), permitted(first)), (permitted(second), permitted(third)));
    assert_eq!((records(mesh, reply.audit_id()), mesh.log.entries().len() - logged), (1, 1));
}

async fn no_try_follows_once_the_session_has_ended(
    mesh: &Mesh,
    scenario: &Scenario,
    generation: u64,
    session: &str,
    protocol: Protocol,
) {
    let (before, logged) = (mesh.upstream.count(), mesh.log.entries().len());
    let call = Call::get("/v1/orders/never").bearer(&scenario.token(session));
    let asking = async {
        let (reply, entry) = mesh.observe(&call, protocol).await;
        (reply, entry, mesh.upstream.count() - before)
    };
    let revoking = async {
        while mesh.upstream.count() < before + 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let revoked = scenario.revoking(generation, &json!([{"session": session}]));
        assert_eq!(mesh.envoy.update(&revoked).await, Update::Applied);
    };
    let ((reply, entry, tries), ()) = tokio::join!(asking, revoking);
    assert_eq!((reply.status, &reply.json()["reason"]), (401, &json!("revoked")), "{reply:?}");
    let ended = (&entry.record["unmapped"]["decision"], &entry.record["unmapped"]["ended_by"]);
    assert_eq!((entry.reason(), ended), ("revoked", (&json!("allow"), &json!("revoked"))), "{:#}", entry.record);
    assert!(tries >= 2, "{tries}");
    // Longer than a try takes, and what comes before the next one.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(mesh.upstream.count() - before, tries, "and no more");
    assert_eq!((records(mesh, reply.audit_id()), mesh.log.entries().len() - logged), (1, 1));
}
