//! Each bound that can be missing, its twin with the bound, and what is none of a filter's business.

use super::*;

const WIRING: &str = r#"static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          request_headers_timeout: 10s
          request_timeout: 30s
          stream_idle_timeout: 300s
          http_filters:
          - name: chaperone
            config_discovery: {type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]}
          route_config:
            virtual_hosts:
            - routes:
              - {match: {prefix: /}, route: {cluster: target}}
  clusters:
  - name: other
  - name: target
    circuit_breakers:
      thresholds:
      - {max_connections: 10, max_pending_requests: 10, max_requests: 10}
"#;

/// What is said of the file, with the line that it points at.
fn said(text: &str) -> Vec<(Option<&'static str>, String)> {
    let file = Document::parse("b.yaml", text.to_owned()).unwrap_or_else(|findings| panic!("{findings}"));
    let found = wiring_alone(&file).expect("it wires a filter");
    let line = |finding: &Finding| text.lines().nth(finding.line_column().unwrap().0 - 1).unwrap().trim().to_owned();
    found.iter().flat_map(|found| found.list()).map(|finding| (finding.severity.code(), line(finding))).collect()
}

fn changed(from: &str, to: &str) -> Vec<(Option<&'static str>, String)> {
    assert!(WIRING.contains(from), "{from}");
    said(&WIRING.replacen(from, to, 1))
}

#[test]
fn a_request_has_to_end() {
    assert_eq!(said(WIRING), []);
    let missing = |line: &str| [(Some("timeout_missing"), line.to_owned())];
    for name in ["request_headers_timeout: 10s", "request_timeout: 30s"] {
        assert_eq!(changed(&format!("          {name}\n"), ""), missing("- typed_config:"), "{name}");
    }
    assert_eq!(changed("          stream_idle_timeout: 300s\n", ""), [], "Envoy's own is five minutes");
    for (name, text) in [("request_timeout", "30s"), ("stream_idle_timeout", "300s"), ("request_headers_timeout", "10s")] {
        let off = format!("{name}: 0s");
        assert_eq!(changed(&format!("{name}: {text}"), &off), missing(&off));
    }
    assert_eq!(changed("request_timeout: 30s", "requestTimeout: 0.5s"), [], "by its other name");
    let meant = changed("request_timeout: 30s", "request_timeout: 0s   # check: allow timeout_missing");
    assert_eq!(meant, []);
}

#[test]
fn a_cluster_that_requests_go_to_has_thresholds_of_its_own() {
    let missing = [(Some("circuit_breakers_missing"), "- name: target".to_owned())];
    assert_eq!(
        changed(
            "      - {max_connections: 10, max_pending_requests: 10, max_requests: 10}\n",
            "      - {priority: HIGH, max_connections: 10, max_pending_requests: 10, max_requests: 10}\n"
        ),
        missing
    );
    assert_eq!(changed(", max_requests: 10", ""), missing);
    assert_eq!(changed("{max_connections: 10,", "{priority: DEFAULT, maxConnections: 10,"), []);
    assert_eq!(changed("{cluster: target}", "{cluster: elsewhere}"), [], "one that this file does not have");
    let weighted =
        changed("{cluster: target}", "{weighted_clusters: {clusters: [{name: other, weight: 1}, {name: target, weight: 1}]}}");
    assert_eq!(weighted, [(Some("circuit_breakers_missing"), "- name: other".to_owned())]);
}

#[test]
fn what_wires_no_filter_is_not_looked_at() {
    for (from, to) in [("wasm.v3.Wasm", "lua.v3.Lua"), ("config_discovery", "other_config")] {
        let file = Document::parse("b.yaml", WIRING.replacen(from, to, 1)).unwrap();
        assert!(wiring_alone(&file).is_none(), "{to}");
    }
    let inline = WIRING.replacen(
        "config_discovery: {type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]}",
        "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm}",
        1,
    );
    assert_eq!(said(&inline.replace("request_timeout: 30s", "request_timeout: 0s")).len(), 1);
}

/// What is said of a List with these items.
fn listed(items: &[&str]) -> Vec<(Option<&'static str>, String)> {
    let items: String = items.iter().map(|item| format!("- {item}\n")).collect();
    let text = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    let file = Document::parse("l.yaml", text.clone()).unwrap_or_else(|findings| panic!("{findings}"));
    let line = |finding: &Finding| finding.source.text.get(finding.range.clone().unwrap()).unwrap().to_owned();
    wiring(&file).iter().map(|finding| (finding.severity.code(), line(finding))).collect()
}

#[test]
fn the_objects_of_a_mesh_are_looked_at_where_they_are_delivered_together() {
    let missing = |code: &'static str, kind: &str| (Some(code), kind.to_owned());
    let plugin = "{kind: WasmPlugin, spec: {selector: {matchLabels: {app: a}}, pluginConfig: {name: p}}}";
    let at_gateway = "{kind: WasmPlugin, spec: {targetRefs: [{kind: Gateway, name: a}], pluginConfig: {name: p}}}";
    let filter = |inner: &str| {
        format!("{{kind: EnvoyFilter, spec: {{configPatches: [{{patch: {{value: {{typed_config: {{{inner}}}}}}}}}]}}}}")
    };
    let (bounded, bare) = (filter("request_timeout: 30s"), filter("stat_prefix: x"));
    assert_eq!(listed(&[plugin, &bounded]), []);
    assert_eq!(listed(&[plugin, &bare]), [missing("timeout_missing", "WasmPlugin")]);
    assert_eq!(listed(&[plugin]), [missing("timeout_missing", "WasmPlugin")]);
    assert_eq!(listed(&[at_gateway, &bare]), [missing("timeout_missing", "WasmPlugin")]);
    assert_eq!(listed(&[at_gateway, "{kind: AuthorizationPolicy}"]), [], "a waypoint has no EnvoyFilter");

    let extension = |kind: &str| {
        format!(
            "{{kind: EnvoyExtensionPolicy, spec: {{targetRefs: [{{kind: {kind}, name: a}}], wasm: [{{config: {{name: p}}}}]}}}}"
        )
    };
    let backend = "{kind: BackendTrafficPolicy, spec: {circuitBreaker: {maxParallelRequests: 10}}}";
    let client = "{kind: ClientTrafficPolicy, spec: {timeout: {http: {requestReceivedTimeout: 30s}}}}";
    let (gateway, route) = (extension("Gateway"), extension("HTTPRoute"));
    assert_eq!(listed(&[&gateway, backend, client]), []);
    assert_eq!(listed(&[&gateway, client]), [missing("circuit_breakers_missing", "EnvoyExtensionPolicy")]);
    assert_eq!(listed(&[&gateway, backend]), [missing("timeout_missing", "EnvoyExtensionPolicy")]);
    assert_eq!(listed(&[&route, backend]), [], "a route does not choose its Gateway's timeouts");
    assert_eq!(
        wiring(&Document::parse("p.yaml", plugin.to_owned()).unwrap()),
        [],
        "one that stands alone says nothing of the others"
    );
}
