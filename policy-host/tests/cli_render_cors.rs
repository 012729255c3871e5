//! `policy-host render envoy --cors` as a user runs it. What Envoy does with it is tested in `tests/tests/envoy_browsers.rs`.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::Document;
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");

fn policy_host(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).args(arguments).output().expect("policy-host runs")
}

fn render(policy: &str, more: &[&str]) -> Output {
    policy_host(&[&["render", "envoy", "--upstream", "a:1", "--policy", policy], more].concat())
}

fn text(policy: &str, more: &[&str]) -> String {
    let rendered = render(policy, more);
    assert_eq!(rendered.status.code(), Some(0), "{rendered:?}");
    String::from_utf8(rendered.stdout).unwrap()
}

fn manager(text: &str) -> Value {
    let document = Document::parse("bootstrap.yaml", text.to_owned()).unwrap();
    document.value().pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap().clone()
}

#[test]
fn the_cors_filter_stands_before_ours_and_says_what_the_policy_has() {
    let text = text(POLICY, &["--cors", "https://app.example", "--cors", "http://localhost:3000"]);
    let manager = manager(&text);
    let names: Vec<&str> = manager["http_filters"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["envoy.filters.http.cors", "chaperone", "envoy.filters.http.rbac", "envoy.filters.http.router"]);
    let host = &manager["route_config"]["virtual_hosts"][0];
    let cors = &host["typed_per_filter_config"]["envoy.filters.http.cors"];
    assert_eq!(cors["allow_origin_string_match"], json!([{"exact": "https://app.example"}, {"exact": "http://localhost:3000"}]));
    assert_eq!(
        (&cors["allow_methods"], &cors["allow_headers"]),
        (&json!("DELETE, GET, HEAD, POST"), &json!("authorization, content-type"))
    );
    assert_eq!(cors["expose_headers"], "x-chaperone-audit-id, www-authenticate");
    assert_eq!(cors.get("allow_credentials"), None);
    assert!(host["routes"][0]["route"]["cluster"] == "target");

    let folder = tempfile::tempdir().unwrap();
    let bootstrap = folder.path().join("bootstrap.yaml");
    fs::write(&bootstrap, &text).unwrap();
    let checked = policy_host(&["check", "--deny-warnings", bootstrap.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    // And it is still looked into.
    fs::write(&bootstrap, text.replace("request_timeout: 30s", "request_timeout: 0s")).unwrap();
    assert_eq!(policy_host(&["check", "--deny-warnings", bootstrap.to_str().unwrap()]).status.code(), Some(1));
}

#[test]
fn headers_are_those_that_the_policy_reads_and_sets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let policy = fs::read_to_string(POLICY).unwrap();
    let from = "tokens:\n  from: [{header: X-Session-Token}, {header: authorization, scheme: DPoP}]\n";
    let bound = "session:\n  bind: [dpop]\n  dpop: {origins: [\"https://orders.example\"]}\n";
    let other = policy.replacen("tokens:\n", from, 1).replacen("session:\n", bound, 1) + "\naudit: {header_prefix: x-acme-}\n";
    fs::write(&path, other).unwrap();
    let text = text(path.to_str().unwrap(), &["--cors", "*"]);
    let manager = manager(&text);
    let cors = &manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]["envoy.filters.http.cors"];
    assert_eq!(cors["allow_headers"], "authorization, content-type, dpop, x-session-token");
    assert_eq!(cors["expose_headers"], "x-acme-audit-id, www-authenticate");
    assert_eq!(cors["allow_origin_string_match"], json!([{"exact": "*"}]));
}

#[test]
fn pages_may_send_and_read_what_their_form_of_calls_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let policy = fs::read_to_string(POLICY).unwrap();
    let call = |forms: &str| {
        let call = format!("  call: {{grpc: {{service: s.S, methods: [M]{forms}}}}}\n  health: ");
        let (before, after) = policy.split_once("  health: ").unwrap();
        fs::write(&path, format!("{before}{call}{after}")).unwrap();
        let manager = manager(&text(path.to_str().unwrap(), &["--cors", "https://app.example"]));
        let cors = &manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]["envoy.filters.http.cors"];
        ["allow_headers", "expose_headers"].map(|name| cors[name].as_str().unwrap().to_owned())
    };
    let plain = ["authorization, content-type", "x-chaperone-audit-id, www-authenticate"];
    assert_eq!(call(""), plain);
    assert_eq!(call(", forms: [grpc]"), plain);
    let [headers, exposed] = call(", forms: [grpc, grpc_web_text]");
    assert_eq!(headers, "authorization, content-type, grpc-timeout, x-grpc-web, x-user-agent");
    assert_eq!(exposed, format!("{}, grpc-status, grpc-message, grpc-status-details-bin", plain[1]));
    let [headers, exposed] = call(", forms: [connect_get]");
    assert_eq!(headers, "authorization, connect-protocol-version, connect-timeout-ms, content-type, x-user-agent");
    assert_eq!(exposed, plain[1]);
}

#[test]
fn without_it_nothing_changes_and_certificates_are_asked_for_by_name() {
    let plain = text(POLICY, &[]);
    assert!(!plain.contains("cors"), "{plain}");
    let credentials = text(POLICY, &["--cors", "https://app.example", "--cors-credentials"]);
    let manager = manager(&credentials);
    let cors = &manager["route_config"]["virtual_hosts"][0]["typed_per_filter_config"]["envoy.filters.http.cors"];
    assert_eq!(cors["allow_credentials"], true);
}

#[test]
fn what_is_no_origin_and_what_is_everybodys_is_refused_with_help() {
    assert!(Path::new(POLICY).exists());
    for (arguments, said) in [
        (&["--cors", "app.example"][..], "no scheme: write it as a browser does, https://app.example"),
        (&["--cors", "https://app.example/"], "write https://app.example"),
        (&["--cors", "https://*.example"], "name each origin"),
        (&["--cors", "null"], "sandboxed page"),
        (&["--cors", "*", "--cors-credentials"], "such as --cors https://app.example"),
        (&["--cors", "*", "--cors", "https://app.example"], "leave the others out"),
        (&["--cors-credentials"], "--cors <ORIGIN>"),
    ] {
        let refused = render(POLICY, arguments);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{arguments:?}: {refused:?}");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}
