//! What is rendered and shipped for proxies, shown to the real Envoy as far as that can look into it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{install, mtls::Authority, root};
use policy_host::{
    files,
    render::{self, Bootstrap, Rendered},
};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

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
