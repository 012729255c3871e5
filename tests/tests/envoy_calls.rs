//! In a real Envoy with two workers that are asked at the same time: of one session's calls exactly as many get through as may.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol, Reply},
    mesh::Mesh,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::task::JoinSet;

const CONNECTIONS: usize = 16;
const EACH: usize = 25;
const COUNT: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn however_many_workers_are_asked_at_once_as_many_calls_get_through_as_may() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    let command = policy["grants"][0]["allow"][0].clone();
    policy["grants"][0]["calls"] = json!([{"commands": policy["grants"][0]["allow"], "count": COUNT, "within": "10m"}]);
    assert!(command.is_string(), "{policy:#}");
    let upstream = Upstream::answering(|_| Answer::pieces(&["[]"], Duration::ZERO, false)).await;
    let mesh = Mesh::with("calls", &policy, upstream, wasm::chaperone(), &[]).await;
    let (busy, other) = (scenario.token("s-1"), scenario.token("s-2"));
    let call = |token: &str| Call::get("/v1/orders/7").host("orders.example").bearer(token);
    let mut asking = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, call) = (mesh.envoy.address(), call(&busy));
        asking.spawn(async move {
            let mut connection = Connection::open(address, Protocol::Http1).await.expect("Envoy listens");
            let mut replies = Vec::new();
            for _ in 0..EACH {
                replies.push(connection.send(&call).await.expect("a reply"));
            }
            replies
        });
    }
    let replies: Vec<Reply> = asking.join_all().await.into_iter().flatten().collect();
    assert_eq!(replies.len(), CONNECTIONS * EACH);
    let (mut said, mut workers) = (BTreeMap::<String, usize>::new(), BTreeSet::new());
    for reply in &replies {
        let entry = mesh.log.record(reply.audit_id()).await;
        let reason = entry.record["status_code"].as_str().expect("a reason").to_owned();
        match reason.as_str() {
            "allowed" => drop(workers.insert(entry.record["unmapped"]["worker"].to_string())),
            "calls_exceeded" => {
                assert_eq!(reply.status, 403);
                assert!(reply.headers.contains_key("retry-after"), "{:?}", reply.headers);
            }
            _ => {}
        }
        *said.entry(reason).or_default() += 1;
    }
    assert_eq!(workers.len(), 2, "both workers let some through");
    assert_eq!(said.get("allowed"), Some(&COUNT), "{said:?}");
    assert_eq!(said.get("calls_exceeded"), Some(&(CONNECTIONS * EACH - COUNT)), "{said:?}");
    // Another delivery of the same rules forgets nothing, and another session has its own count.
    policy["generation"] = json!(2);
    mesh.envoy.update(&policy).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (token, status) in [(&busy, 403), (&other, 200)] {
        assert_eq!(mesh.send(&call(token), Protocol::Http1).await.status, status);
    }
}
