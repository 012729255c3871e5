//! `policy-host render istio` of a policy that looks into bodies: by an EnvoyFilter, which can say that heads are held.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::Document;
use policy_host::files;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn policy_host(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).args(arguments).output().expect("policy-host runs")
}

fn policy() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/mcp.policy.yaml").to_str().unwrap().to_owned()
}

fn render(policy: &str, attach: &str, at: &str) -> Output {
    let image = format!("registry.example/chaperone:0.1.0@sha256:{}", "1".repeat(64));
    policy_host(&[
        "render",
        "istio",
        "--attach",
        attach,
        "--at",
        at,
        "--namespace",
        "orders",
        "--image",
        &image,
        "--policy",
        policy,
    ])
}

fn items(rendered: &Output) -> Vec<Value> {
    assert_eq!(rendered.status.code(), Some(0), "{rendered:?}");
    let text = String::from_utf8(rendered.stdout.clone()).unwrap();
    Document::parse("istio.yaml", text).unwrap().value()["items"].as_array().unwrap().clone()
}

#[test]
fn the_clusters_that_a_policy_needs_are_named_and_of_others_there_is_nothing_to_say() {
    let example = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join("policy.yaml");
    let said = |name: &str| {
        let rendered = render(example(name).to_str().unwrap(), "gateway", "Gateway/edge");
        String::from_utf8(rendered.stdout)
            .unwrap()
            .lines()
            .find(|line| line.contains("fetches needs clusters"))
            .map(str::to_owned)
    };
    assert!(said("mcp-agent").unwrap().ends_with("which are not written here: broker."));
    assert_eq!(said("agent-orders"), None);
}

#[test]
fn a_policy_that_looks_into_bodies_comes_with_heads_that_are_held() {
    for (attach, at, context) in [
        ("sidecar", "app=orders", "SIDECAR_INBOUND"),
        ("gateway", "istio=ingressgateway", "GATEWAY"),
        ("gateway", "Gateway/edge", "GATEWAY"),
    ] {
        let items = items(&render(&policy(), attach, at));
        assert_eq!(items.len(), 2, "the filter and its backstop");
        assert!(items.iter().all(|item| item["kind"] == "EnvoyFilter"), "no WasmPlugin beside it");
        let places = ["workloadSelector", "targetRefs"];
        assert_eq!(
            places.map(|name| &items[0]["spec"][name]),
            places.map(|name| &items[1]["spec"][name]),
            "both are in one place"
        );
        let patches = items[0]["spec"]["configPatches"].as_array().unwrap();
        // EnvoyFilter: what is added to ECDS, and the reference to it before every other filter.
        let kinds: Vec<_> = patches.iter().map(|patch| (&patch["applyTo"], &patch["patch"]["operation"])).collect();
        assert_eq!(kinds, [(&json!("EXTENSION_CONFIG"), &json!("ADD")), (&json!("HTTP_FILTER"), &json!("INSERT_FIRST"))]);
        assert!(patches.iter().all(|patch| patch["match"]["context"] == context));
        let [extension, reference] = [0, 1].map(|at: usize| &patches[at]["patch"]["value"]);
        assert_eq!(extension["name"], reference["name"]);
        assert_eq!(reference["config_discovery"]["type_urls"], json!([extension["typed_config"]["@type"]]));
        let config = &extension["typed_config"]["config"];
        assert_eq!(config["allow_on_headers_stop_iteration"], json!(true));
        assert_eq!(config["failure_policy"], json!("FAIL_RELOAD"));
        let remote = &config["vm_config"]["code"]["remote"];
        assert_eq!(remote["sha256"], json!("1".repeat(64)));
        assert_eq!(remote["http_uri"]["uri"], json!(format!("oci://registry.example/chaperone@sha256:{}", "1".repeat(64))));
    }
}

#[test]
fn one_that_does_not_comes_by_istios_own_object_and_at_a_waypoint_there_is_no_other() {
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/agent-orders/policy.yaml");
    assert_eq!(items(&render(plain.to_str().unwrap(), "sidecar", "app=orders"))[0]["kind"], "WasmPlugin");
    assert_eq!(render(plain.to_str().unwrap(), "waypoint", "Gateway/waypoint").status.code(), Some(0));
    let refused = render(&policy(), "waypoint", "Gateway/waypoint");
    assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(2), true), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("attach it to the sidecar or to a gateway"), "{refused:?}");
}

#[test]
fn every_verb_finds_the_policy_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("istio.yaml");
    fs::write(&path, render(&policy(), "sidecar", "app=orders").stdout).unwrap();
    let path = path.to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = policy_host(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    for target in [&["check", path][..], &["check", "--target", "istio", path]] {
        assert!(!said(target).contains("body_unavailable"), "its heads are held");
    }
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace("allow_on_headers_stop_iteration: true", "allow_on_headers_stop_iteration: false")).unwrap();
    assert!(said(&["check", path]).contains("body_unavailable"));
    assert!(said(&["check", "--target", "istio", &policy()]).contains("policy-host render istio"));
    said(&["revoke", path, "--session", "s-9"]);
    let document = files::policy(Path::new(path)).unwrap();
    assert_eq!(document.value()["revoked"][0]["session"], "s-9");
}
