//! The target's credential is exchanged while Envoy runs, in both ways that docs/deploy.md names: by the ECDS file, and by SDS with Envoy's own injector.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    access_log::AccessLog,
    client::{Call, Protocol},
    envoy::{Envoy, Setup, Update},
    mesh::Mesh,
    open::Open,
    root,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Upstream},
    wasm,
    wiring::ROUTER,
};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// A target that answers streams, and else says what it got.
async fn target() -> Upstream {
    Upstream::answering(|received| {
        let streams = received.path == "/v1/feed";
        if streams { Answer::events(600, Duration::from_millis(50)) } else { Answer::echo(received) }
    })
    .await
}

fn call(scenario: &Scenario) -> Call {
    Call::get("/v1/orders").bearer(&scenario.token("s-1"))
}

/// What the target is given of a call.
async fn given(mesh: &Mesh, call: &Call) -> String {
    let reply = mesh.send(call, Protocol::Http1).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let echoed = reply.json();
    let fields = echoed["headers"].as_array().unwrap();
    let mut values = fields.iter().filter(|field| field[0] == "authorization").map(|field| field[1].as_str().unwrap());
    let value = values.next().expect("a credential").to_owned();
    assert_eq!(values.next(), None);
    value
}

/// Asks until the target is given that; every call on the way is answered, with one or the other.
async fn until(mesh: &Mesh, call: &Call, before: &str, after: &str) {
    let began = Instant::now();
    let mut in_a_row = 0;
    // Each worker has to have taken it.
    while in_a_row < 10 {
        let given = given(mesh, call).await;
        assert!(given == before || given == after, "{given}");
        in_a_row = if given == after { in_a_row + 1 } else { 0 };
        assert!(began.elapsed() < Duration::from_secs(20), "still {given}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_value_in_the_file_is_another_credential_and_streams_go_on() {
    let scenario = Scenario::new();
    let policy = scenario.policy();
    let mesh = Mesh::with("credential-file", &policy, target().await, wasm::chaperone(), &[]).await;
    let call = call(&scenario);
    let first = format!("Bearer {}", CREDENTIAL.1);
    assert_eq!(given(&mesh, &call).await, first);
    let mut stream = Open::start(&mesh, &Call::get("/v1/feed").bearer(&scenario.token("s-2")), Protocol::Http2).await;
    let by_name = format!("host_env_keys: [\"{}\"]", CREDENTIAL.0);
    let by_value = format!("key_values: {{ {}: the-second-credential }}", CREDENTIAL.0);
    let mut next = policy.clone();
    next["generation"] = 2.into();
    mesh.envoy.write_ecds_with(&next, wasm::chaperone(), &[(&by_name, &by_value)]);
    until(&mesh, &call, &first, "Bearer the-second-credential").await;
    for _ in 0..3 {
        assert!(stream.next().await.expect("it goes on").is_ok());
    }
    // It is still its session's: the new policy ends it.
    next["generation"] = 3.into();
    next["revoked"] = serde_json::json!([{"session": "s-2", "because": "test"}]);
    mesh.envoy.write_ecds_with(&next, wasm::chaperone(), &[(&by_name, &by_value)]);
    let cut =
        tokio::time::timeout(Duration::from_secs(20), async { while stream.next().await.is_some_and(|piece| piece.is_ok()) {} });
    cut.await.expect("it is cut");
    let record = mesh.log.record(&stream.audit_id).await;
    assert_eq!(record.record["unmapped"]["ended_by"], "revoked");
}

/// The filter and the secret of the shipped file, for this folder.
fn shipped(secrets: &Path) -> (String, String) {
    let file = fs::read_to_string(root().join("envoy/credential-injector.yaml")).unwrap();
    let (filter, secret) = file.split_once("---\n").expect("two documents");
    assert!(filter.contains("/etc/envoy/secrets"));
    (filter.replace("/etc/envoy/secrets", secrets.to_str().unwrap()), secret.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_envoy_watches_is_set_on_what_the_filter_lets_through() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    policy.as_object_mut().unwrap().remove("upstream");
    let target = target().await;
    let secrets = root().join("target").join("envoy-runs").join("credential-sds-secrets");
    fs::create_dir_all(&secrets).unwrap();
    let (filter, secret) = shipped(&secrets);
    let write = |value: &str| {
        assert!(secret.contains("Bearer the-credential"));
        let next = secrets.join(".next");
        fs::write(&next, secret.replace("Bearer the-credential", value)).unwrap();
        fs::rename(next, secrets.join("orders.yaml")).unwrap();
    };
    write("Bearer the-first-secret");
    let setup = Setup {
        name: "credential-sds",
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: target.address(),
        workers: 2,
        environment: &[],
        other_settings: &[],
    };
    let before_the_router = |_: &Path, bootstrap: String| {
        let indented: String = filter.lines().map(|line| format!("                  {line}\n")).collect();
        assert_eq!(bootstrap.matches(ROUTER).count(), 1);
        bootstrap.replace(ROUTER, &format!("{indented}{ROUTER}"))
    };
    let envoy = Envoy::start_as(setup, &before_the_router, &["--disable-hot-restart"]).await;
    let log = AccessLog(envoy.access_log());
    let mesh = Mesh { envoy, upstream: target, log };
    let call = call(&scenario);
    assert_eq!(given(&mesh, &call).await, "Bearer the-first-secret");
    write("Bearer the-second-secret");
    until(&mesh, &call, "Bearer the-first-secret", "Bearer the-second-secret").await;
    // Not on what is denied: nothing of it reaches the target.
    let seen = mesh.upstream.received().len();
    let denied = mesh.send(&Call::get("/v1/orders"), Protocol::Http1).await;
    assert_eq!((denied.status, mesh.upstream.received().len()), (401, seen));
    // And the filter serves on under another policy.
    policy["generation"] = 9.into();
    assert_eq!(mesh.envoy.update(&policy).await, Update::Applied);
    assert_eq!(given(&mesh, &call).await, "Bearer the-second-secret");
}
