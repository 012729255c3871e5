//! In a real Envoy: when the filter's VM dies, no request gets through unmediated, and it comes back by itself.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    scenario::{CREDENTIAL, Scenario},
    upstream::Upstream,
    wasm,
};
use std::time::{Duration, Instant};
use tokio::time::sleep;

fn trapping(scenario: &Scenario) -> Call {
    Call::get("/v1/orders").bearer(&scenario.token("s-1")).header("x-chaperone-test-trap", "1")
}

fn assert_all_mediated(mesh: &Mesh) {
    for seen in mesh.upstream.received() {
        assert_eq!(seen.header("x-chaperone-session"), Some("s-1"), "unmediated: {seen:?}");
        assert_eq!(seen.header("x-chaperone-decision"), Some("allow"), "unmediated: {seen:?}");
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {}", CREDENTIAL.1).as_str()), "unmediated: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_lets_nothing_through_and_the_filter_comes_back() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("trap", &scenario.policy(), Upstream::start().await, wasm::for_tests(), &[]).await;
    let good = Call::get("/v1/orders").bearer(&scenario.token("s-1"));
    let bad = Call::get("/v1/orders").bearer(&scenario.forged("s-1"));
    let none = Call::get("/v1/orders");
    assert_eq!(mesh.send(&good, Protocol::Http1).await.status, 200);

    // Enough that both workers trap, again and again.
    for round in 0..12 {
        let protocol = Protocol::ALL[round % 2];
        let before = mesh.upstream.count();
        assert_eq!(mesh.send(&trapping(&scenario), protocol).await.status, 503, "the request that traps");
        assert_eq!(mesh.upstream.count(), before, "the request that traps goes nowhere");
        for denied in [&bad, &none] {
            let reply = mesh.send(denied, protocol).await;
            assert!(matches!(reply.status, 401 | 503), "{reply:?}");
        }
        assert_eq!(mesh.upstream.count(), before, "nor do those that are never allowed");
        let reply = mesh.send(&good, protocol).await;
        assert!(matches!(reply.status, 200 | 503), "{reply:?}");
        assert_all_mediated(&mesh);
    }
    assert!(mesh.envoy.traps() >= 2, "the test build did trap");

    let deadline = Instant::now() + Duration::from_secs(30);
    let mut in_a_row = 0;
    while in_a_row < 20 {
        let reply = mesh.send(&good, Protocol::Http1).await;
        in_a_row = if reply.status == 200 { in_a_row + 1 } else { 0 };
        assert!(Instant::now() < deadline, "the filter is not back on every worker: {reply:?}");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(mesh.send(&bad, Protocol::Http1).await.status, 401);
    assert_all_mediated(&mesh);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_that_ships_has_no_trap() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("no-trap", &scenario).await;
    for protocol in Protocol::ALL {
        assert_eq!(mesh.send(&trapping(&scenario), protocol).await.status, 200);
        assert_eq!(mesh.upstream.last().header("x-chaperone-test-trap"), None);
    }
    assert_eq!(mesh.envoy.traps(), 0);
}
