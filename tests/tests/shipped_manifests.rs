//! What is rendered and shipped for proxies, shown to the real Envoy as far as that can look into it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::Document;
use chaperone_tests::{
    client::{Call, Protocol},
    install,
    mesh::Mesh,
    mtls::Authority,
    root,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
};
use policy_host::{
    files,
    render::{self, Attach, Bootstrap, IstioOptions, Rendered},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Does Envoy take this bootstrap? What it says, if not.
fn validate(folder: &Path, bootstrap: &str) -> Result<(), String> {
    let path = folder.join("bootstrap.yaml");
    fs::write(&path, bootstrap).expect("the folder can be written");
    let output = Command::new(install::envoy()).args(["--mode", "validate", "-c"]).arg(&path).output().expect("envoy runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn example() -> Rendered {
    rendered("examples/agent-orders/policy.yaml")
}

fn rendered(path: &str) -> Rendered {
    let document = files::policy(&root().join(path)).expect("a policy");
    Rendered::new(&document, None, "2026-11-24T00:00:00Z".parse().expect("an instant")).expect("a valid policy")
}

fn options(folder: &Path) -> Bootstrap {
    Bootstrap {
        listen: "127.0.0.1:10000".parse().expect("an endpoint"),
        admin_port: 9901,
        upstream: "orders.internal:8080".parse().expect("an endpoint"),
        ecds_dir: folder.to_path_buf(),
        access_log: "/dev/stdout".into(),
        trusted_ca: folder.join("authorities.pem"),
        cors: None,
    }
}

#[test]
fn envoy_takes_the_bootstrap_that_is_rendered() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(folder.path());
    fs::write(folder.path().join("ecds.yaml"), render::ecds(&example(), "/etc/envoy/chaperone.wasm")).expect("a file");
    let bootstrap = render::bootstrap(&example(), &options).expect("no clusters");
    validate(folder.path(), &bootstrap).unwrap_or_else(|said| panic!("{said}"));
    let broken = bootstrap.replace("normalize_path: false", "normalise_path: false");
    assert!(validate(folder.path(), &broken).is_err(), "it does look");
}

#[test]
fn envoy_takes_the_clusters_of_what_a_policy_fetches() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("authorities.pem"), Authority::new().pem()).expect("a file");
    // The policy with every member that there is.
    let policy = rendered("tests/fixtures/full.policy.yaml");
    fs::write(folder.path().join("ecds.yaml"), render::ecds(&policy, "/etc/envoy/chaperone.wasm")).expect("a file");
    let bootstrap = render::bootstrap(&policy, &options(folder.path())).expect("clusters");
    assert!(bootstrap.contains("- name: \"broker\"") && bootstrap.contains("sni: \"second.example\""), "{bootstrap}");
    validate(folder.path(), &bootstrap).unwrap_or_else(|said| panic!("{said}"));
    for (from, to) in [("match_typed_subject_alt_names", "match_typed_alt_names"), ("authorities.pem", "nobody.pem")] {
        assert!(validate(folder.path(), &bootstrap.replace(from, to)).is_err(), "it does look at {from}");
    }
}

/// The patches of the shipped EnvoyFilter, put where Istio would put them.
fn patched(manifest: &Value) -> Value {
    let filter = manifest["items"].as_array().unwrap().iter().find(|item| item["kind"] == "EnvoyFilter").expect("an EnvoyFilter");
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x", "route_config": {},
        "http_filters": [{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    });
    for patch in filter["spec"]["configPatches"].as_array().unwrap() {
        let value = patch["patch"]["value"].clone();
        match patch["applyTo"].as_str().unwrap() {
            "NETWORK_FILTER" => manager.as_object_mut().unwrap().extend(value["typed_config"].as_object().unwrap().clone()),
            "HTTP_FILTER" => manager["http_filters"].as_array_mut().unwrap().insert(0, value),
            other => panic!("{other}"),
        }
    }
    let filters = json!([{"filters": [{"name": "http", "typed_config": manager}]}]);
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    json!({"static_resources": {"listeners": [{"name": "l", "address": address, "filter_chains": filters}]}})
}

#[test]
fn envoy_takes_the_patches_that_istio_would_make() {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = files::document(&root().join("envoy/istio.yaml")).expect("valid YAML");
    let bootstrap = patched(manifest.value());
    validate(folder.path(), &bootstrap.to_string()).unwrap_or_else(|said| panic!("{said}"));
    let broken = bootstrap.to_string().replace("present_match", "presence_match");
    assert!(validate(folder.path(), &broken).is_err(), "it does look");
}

/// The filter that is rendered for Istio where heads are held, as the agent beside the proxy hands it to Envoy: with a file in the
/// image's place.
fn held_in_istio(policy: &Path) -> Value {
    let policy =
        Rendered::new(&files::policy(policy).expect("a policy"), None, "2026-11-24T00:00:00Z".parse().expect("an instant"));
    let image = format!("registry.example/chaperone@sha256:{}", "1".repeat(64));
    let options = IstioOptions {
        attach: Attach::Sidecar,
        workload: "app=orders".parse().expect("a label"),
        namespace: "orders".to_owned(),
        image: image.parse().expect("an image"),
    };
    let text = render::istio(&policy.expect("a valid policy"), &options).expect("manifests");
    let manifest = Document::parse("istio.yaml", text).expect("valid YAML");
    let patch = |at: usize| manifest.value()["items"][0]["spec"]["configPatches"][at]["patch"]["value"].clone();
    let (mut extension, reference) = (patch(0), patch(1));
    assert_eq!(extension["name"], reference["name"]);
    extension["typed_config"]["config"]["vm_config"]["code"] = json!({"local": {"filename": wasm::chaperone()}});
    extension
}

#[test]
fn envoy_takes_the_filter_that_holds_heads_in_istio() {
    let folder = tempfile::tempdir().expect("a folder");
    let extension = held_in_istio(&root().join("tests/corpus/mcp.policy.yaml"));
    let with = |filter: &Value| {
        let router = json!({"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}});
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "x", "route_config": {}, "http_filters": [filter, router],
        });
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
        let filters = json!([{"filters": [{"name": "http", "typed_config": manager}]}]);
        json!({"static_resources": {"listeners": [{"name": "l", "address": address, "filter_chains": filters}]}}).to_string()
    };
    validate(folder.path(), &with(&extension)).unwrap_or_else(|said| panic!("{said}"));
    let broken = with(&extension).replace("allow_on_headers_stop_iteration", "allow_on_header_stop_iteration");
    assert!(validate(folder.path(), &broken).is_err(), "it does look");
}

/// Envoy runs that filter, and a command in a body is decided.
#[tokio::test(flavor = "multi_thread")]
async fn the_filter_that_holds_heads_in_istio_decides_by_bodies() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    policy["commands"]["tools.search"] = json!({"mcp": {"path": "/mcp", "tools": ["search"]}});
    policy["grants"][0]["allow"] = json!(["tools.search"]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("policy.yaml");
    fs::write(&path, policy.to_string()).expect("a file");
    let mut extension = held_in_istio(&path);
    // As the listener of the tests calls it.
    extension["name"] = json!("chaperone");
    extension["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
    let answer = |_: &_| Answer::ok(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).header("content-type", "application/json");
    let mesh = Mesh::with("istio-held", &scenario.policy(), Upstream::answering(answer).await, wasm::chaperone(), &[]).await;
    let call = |tool: &str| {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
        let call = Call::new("POST", "/mcp").bearer(&scenario.token("s-1")).header("content-type", "application/json");
        call.header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .body(message.to_string())
    };
    let next = mesh.envoy.dir().join(".istio.next");
    fs::write(&next, json!({"resources": [extension]}).to_string()).expect("a file");
    fs::rename(&next, mesh.envoy.ecds_file()).expect("a rename");
    let deadline = Instant::now() + Duration::from_secs(20);
    while mesh.envoy.updates_taken().await < 2 {
        assert!(Instant::now() < deadline, "{}", mesh.envoy.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    for protocol in Protocol::ALL {
        let before = mesh.upstream.count();
        let (reply, entry) = mesh.observe(&call("search"), protocol).await;
        assert_eq!((reply.status, entry.reason(), mesh.upstream.count()), (200, "allowed", before + 1), "{reply:?}");
        let (_, entry) = mesh.observe(&call("delete"), protocol).await;
        assert_eq!((entry.reason(), mesh.upstream.count()), ("unknown_command", before + 1));
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

#[test]
fn the_policies_in_the_shipped_manifests_compile_and_their_images_cannot_be_pulled_unedited() {
    for file in ["envoy/istio.yaml", "envoy/envoy-gateway.yaml"] {
        let path = root().join(file);
        let document = files::policy(&path).unwrap_or_else(|findings| panic!("{findings}"));
        let policy = document.compile().unwrap_or_else(|findings| panic!("{findings}"));
        assert_eq!(policy.name(), Some("agent-orders"));
        assert!(fs::read_to_string(&path).unwrap().contains(&"0".repeat(64)), "a digest that no image has");
    }
}
