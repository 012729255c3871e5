//! In a real Envoy: a worker whose update fails runs without the filter, and still nothing passes.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    scenario::Scenario,
    upstream::Upstream,
    wasm,
};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// The test build passes this policy in a VM that had none (the canary on the main thread) and traps in a worker that has one.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_the_filter_lets_nothing_through() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("backstop", &scenario.policy(), Upstream::start().await, wasm::for_tests(), &[]).await;
    let token = scenario.token("s-1");
    let good = Call::get("/v1/orders").bearer(&token);
    assert_eq!(mesh.send(&good, Protocol::Http1).await.status, 200);
    // A caller's own mark does not count for the filter's, now or later.
    let marked = Call::get("/v1/orders").header("x-chaperone-decision", "allow");
    let told = Call::get("/v1/orders").header("x-chaperone-audit", "decision=\"allow\"");
    for marked in [&marked, &told] {
        assert_eq!(mesh.send(marked, Protocol::Http1).await.status, 401);
    }

    let before = mesh.upstream.count();
    let mut fatal = scenario.policy();
    fatal["name"] = json!("trap-on-a-worker");
    fatal["generation"] = json!(99);
    mesh.envoy.write_ecds(&fatal);
    sleep(Duration::from_secs(2)).await;
    assert!(mesh.envoy.traps() > 0, "the update traps in the workers:\n{}", mesh.envoy.log());
    let mut without_the_filter = 0;
    for _ in 0..20 {
        for call in [&good, &marked, &told, &Call::get("/v1/orders"), &Call::get("/secret")] {
            for protocol in Protocol::ALL {
                let reply = mesh.send(call, protocol).await;
                assert!(reply.status >= 400, "{reply:?}");
                without_the_filter += usize::from(reply.header("x-chaperone-audit-id").is_none() && reply.status == 403);
            }
        }
    }
    assert_eq!(mesh.upstream.count(), before, "something passed");
    assert!(without_the_filter > 0, "the workers still run the filter, so this shows nothing");
}
