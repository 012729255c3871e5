//! An Envoy that cannot run the filter lets nothing through: one of the builds that there are has no V8. It is what `make
//! test-matrix` shows with that version; with every other one this shows the opposite, so that a test of nothing would be seen.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    install,
    mesh::Mesh,
    scenario::Scenario,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_without_v8_denies_everything_and_every_other_one_runs_the_filter() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("without-v8", &scenario).await;
    let token = scenario.token("s-1");
    let calls =
        [Call::get("/v1/orders/1").bearer(&token), Call::get("/v1/orders/1"), Call::get("/healthz"), Call::get("/nowhere")];
    let runs = install::version() != install::WITHOUT_V8;
    for (call, judged) in calls.iter().zip([200, 401, 200, 401]) {
        for protocol in Protocol::ALL {
            let reply = mesh.send(call, protocol).await;
            assert_eq!(reply.status, if runs { judged } else { 500 }, "{call:?}: {reply:?}");
        }
    }
    assert_eq!(mesh.upstream.received().is_empty(), !runs, "what the target was sent");
    // The file is refused as a whole, and so is the next one: there is no moment in which it would open.
    let refused = mesh.envoy.stat("extension_config_discovery.http_filter.chaperone.config_fail").await;
    assert_eq!(refused > 0, !runs, "{}", mesh.envoy.log());
    if !runs {
        assert!(mesh.envoy.log().contains("envoy.wasm.runtime.v8"), "the log says what is missing: {}", mesh.envoy.log());
    }
}
