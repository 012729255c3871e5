//! Files as they are read, and what is around a policy in them.

use crate::{
    good::{KEYED, POLICY},
    rows::{Row, rows},
};
use chaperone_authoring::source::Document;

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// A policy in Istio's object.
pub(crate) fn plugin(policy: &str) -> String {
    format!(
        "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: chaperone}}
spec:
  url: oci://registry.example/chaperone:1
  sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210
  failStrategy: FAIL_RELOAD
  vmConfig:
    env:
      - {{name: ORDERS_TOKEN, valueFrom: HOST}}
  pluginConfig:
{}",
        indent(policy, 4)
    )
}

/// A policy in Envoy's resource.
pub(crate) fn ecds(policy: &str) -> String {
    let policy = Document::parse("p.yaml", policy.to_owned()).unwrap().value().to_string();
    format!(
        "resources:
- '@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: chaperone
  typed_config:
    config:
      failure_policy: FAIL_RELOAD
      vm_config:
        vm_id: orders
        environment_variables: {{host_env_keys: [ORDERS_TOKEN]}}
      configuration:
        '@type': type.googleapis.com/google.protobuf.StringValue
        value: '{policy}'
"
    )
}

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
  - name: target
    circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}
"#;

pub(crate) fn all() -> Vec<Row> {
    let mut all = rows(POLICY, &YAML);
    all.extend(rows(WIRING, &BOUNDS));
    all.extend(rows(&plugin(KEYED), &ISTIO));
    all.extend(of_envoy());
    all.extend(of_a_list());
    all.extend(of_a_body());
    all.extend(of_several());
    all.extend(of_aliases_and_templates());
    let (anchor, alias) = ("/name", "/tokens/issuers/0/audiences/0");
    for (place, help) in [(anchor, "write the value out wherever it is needed"), (alias, "write the value out")] {
        let row = Row::new(POLICY, (place, help, "name: orders\n", "name: &orders orders\n", "name: orders\n"));
        all.push(row.and("audiences: [orders]", "audiences: [*orders]", "audiences: [orders]"));
    }
    let json = Document::parse("p.yaml", KEYED.to_owned()).unwrap().value().to_string();
    all.push(Row::new(
        &json,
        ("", "keep one of them", "\"name\":\"orders\"", "\"name\":\"orders\",\"name\":\"other\"", "\"name\":\"orders\""),
    ));
    let long = format!("name: orders\n# {}\n", "x".repeat(64 << 20));
    all.push(Row::new(KEYED, ("", "is this the right file?", "name: orders\n", &long, "name: orders\n")));
    all
}

fn of_envoy() -> Vec<Row> {
    let good = ecds(KEYED);
    let variable = "environment_variables: {host_env_keys: [ORDERS_TOKEN]}";
    let text = "        '@type': type.googleapis.com/google.protobuf.StringValue\n        value: '";
    let row = |place, help, from, wrong, right| Row::new(&good, (place, help, from, wrong, right));
    let none =
        "a policy is the `configuration` of a wasm plugin: a google.protobuf.StringValue whose `value` is the policy as JSON";
    vec![
        row(
            "/upstream/credential/value",
            "add `ORDERS_TOKEN` to `vm_config.environment_variables.host_env_keys`",
            variable,
            "environment_variables: {}",
            variable,
        ),
        row(
            "/resources/0/typed_config/config",
            "name the variable only (`valueFrom: HOST`, `host_env_keys`) and give it to the proxy",
            variable,
            "environment_variables: {key_values: {ORDERS_TOKEN: hunter2}}",
            variable,
        ),
        row(
            "/resources/0/typed_config/config/failure_policy",
            "write `failure_policy: FAIL_RELOAD`: closed while it is down, and back after a moment",
            "failure_policy: FAIL_RELOAD",
            "failure_policy: FAIL_OPEN",
            "failure_policy: FAIL_RELOAD",
        ),
        row(
            "/resources/0/typed_config/config/fail_open",
            "write `fail_open: false`: closed while it is down, and back after a moment",
            "failure_policy: FAIL_RELOAD",
            "fail_open: true",
            "fail_open: false",
        ),
        row(
            "",
            none,
            &good[good.find("      configuration:").unwrap()..],
            "",
            &good[good.find("      configuration:").unwrap()..],
        ),
        row("/name", "use letters, digits, `.`, `_` and `-`, at most 256 of them", text, text, text).and(
            "\"name\":\"orders\"",
            "\"name\":\"all orders\"",
            "\"name\":\"all-orders\"",
        ),
    ]
}

/// A file with several policies in it, or another than the one that is asked for.
fn of_several() -> Vec<Row> {
    let other = KEYED.replace("name: orders\n", "name: others\n");
    let start = "version: 1\n";
    let (same, two) = (format!("{KEYED}---\n{start}"), format!("{other}---\n{start}"));
    let second = KEYED.lines().count() + 3;
    let one = "say which one is meant by `--policy-name NAME`: ";
    let list = |first: &str| format!("`{first}` (line 2), `orders` (line {second})");
    let row = |place, help: &str, wrong: &str, right: &str| Row::new(KEYED, (place, help, start, wrong, right));
    let many: String = (0..10_000).map(|_| "---\nkind: Service\n").collect();
    vec![
        row("/name", &format!("{one}{}", list("others")), &two, &two).then(&["--policy-name", "orders"]),
        row("/name", &format!("give each a name of its own, and {one}{}", list("orders")), &same, &two)
            .then(&["--policy-name", "orders"]),
        row("/name", &format!("give each a name of its own, or name its object: {}", list("orders")), &same, &two)
            .with(&["--policy-name", "orders"]),
        row("", "it has `orders` (line 2)", start, start).with(&["--policy-name", "order"]).then(&["--policy-name", "orders"]),
        row(
            "",
            "take those that belong to the policy",
            &format!("kind: Service\n{many}---\n{start}"),
            &format!("kind: Service\n---\n{start}"),
        ),
    ]
}

/// A manifest whose policy is elsewhere.
fn of_aliases_and_templates() -> Vec<Row> {
    let good = plugin(KEYED);
    let (before, _) = good.split_once("  pluginConfig:\n").unwrap();
    let (head, object) = good.split_once("spec:\n").unwrap();
    let anchored = format!("x-spec: &spec\n{object}{head}spec: *spec\n");
    let template = format!("{before}  note: |\n    {{{{ .Values.policy }}}}\n");
    let none = "a policy is the `pluginConfig` of a WasmPlugin, the `config` of an EnvoyExtensionPolicy, in an EnvoyFilter or in a ConfigMap; \
                if this is a template, render it first: `helm template CHART | policy-host check -`";
    vec![
        Row::new(&good, ("/spec/pluginConfig", "write the policy out where it is used", &good, &anchored, &good)),
        Row::new(&good, ("", none, &good, &template, &good)),
    ]
}

/// What waits for a body, where an object of the mesh cannot.
fn of_a_body() -> Vec<Row> {
    let waits = KEYED
        .replace("commands:\n", "commands:\n  tools: {mcp: {path: /mcp, methods: [initialize, tools/list], tools: [search]}}\n");
    let waits = waits.replace("allow: [orders.read]", "allow: [orders.read, tools]");
    let resource = ecds(&waits);
    let config = resource.split_once("  typed_config:\n").unwrap().1;
    let filter = format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nspec:\n  configPatches:\n  - patch:\n      value:\n{}",
        indent(config, 4)
    );
    let filter = filter
        .replace("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_RELOAD\n          allow_on_headers_stop_iteration: true");
    let help = "take the EnvoyFilter that `policy-host render istio` prints for it: with `allow_on_headers_stop_iteration: true`";
    let good = plugin(KEYED);
    vec![
        Row::new(&good, ("/commands/tools", help, &good, &plugin(&waits), &filter)),
        Row::new(KEYED, ("/commands/tools", ELSEWHERE, KEYED, &waits, &filter)).with(&["--target", "envoy-gateway"]),
        Row::new(
            &filter,
            (
                "/commands/tools",
                "write `allow_on_headers_stop_iteration: true` beside its `configuration`",
                "          allow_on_headers_stop_iteration: true\n",
                "",
                "          allow_on_headers_stop_iteration: true\n",
            ),
        ),
    ]
}

const ELSEWHERE: &str = "take Envoy's own file, or the EnvoyFilter that `policy-host render istio` prints";

/// Objects of a mesh that are delivered together.
fn of_a_list() -> Vec<Row> {
    let item = |text: &str| {
        let lines = indent(text, 2);
        format!("- {}", lines.trim_start())
    };
    let list = |items: &[String]| format!("apiVersion: v1\nkind: List\nitems:\n{}", items.concat());
    let istio = item(&plugin(KEYED));
    let bounds =
        "- {kind: EnvoyFilter, spec: {configPatches: [{patch: {value: {typed_config: {request_timeout: 30s}}}}]}}\n".to_owned();
    let gateway = item(&format!(
        "kind: EnvoyExtensionPolicy\nspec:\n  targetRefs: [{{kind: Gateway, name: a}}]\n  wasm:\n  - name: chaperone\n    env: {{hostKeys: [ORDERS_TOKEN]}}\n    code: {{type: Image, image: {{url: \"registry.example/c@sha256:1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210\"}}}}\n    config:\n{}",
        indent(KEYED, 6)
    ));
    let backend = "- {kind: BackendTrafficPolicy, spec: {circuitBreaker: {maxParallelRequests: 10}}}\n".to_owned();
    let client = "- {kind: ClientTrafficPolicy, spec: {timeout: {http: {requestReceivedTimeout: 30s}}}}\n".to_owned();
    let mesh = list(&[istio, bounds.clone()]);
    let gateway = list(&[gateway, backend.clone(), client.clone()]);
    let take = |good: &str, help: &str, object: &str| Row::new(good, ("/items/0/kind", help, object, "", object));
    vec![
        take(&mesh, "take the EnvoyFilter that `policy-host render istio` prints", &bounds),
        Row::new(
            &gateway,
            (
                "/upstream/credential/value",
                "add `ORDERS_TOKEN` to `env.hostKeys`",
                "hostKeys: [ORDERS_TOKEN]",
                "hostKeys: []",
                "hostKeys: [ORDERS_TOKEN]",
            ),
        ),
        take(&gateway, "take the BackendTrafficPolicy that `policy-host render envoy-gateway` prints", &backend),
        take(&gateway, "take the ClientTrafficPolicy that `policy-host render envoy-gateway` prints", &client),
    ]
}

/// Place, help, and of the good text, of the mistake, of what the help says.
type Table<const N: usize> = [(&'static str, &'static str, &'static str, &'static str, &'static str); N];

const YAML: Table<14> = [
    (
        "",
        "render it first: `helm template CHART | policy-host check -`",
        "name: orders\n",
        "name: {{ .Values.name }}\n",
        "name: orders\n",
    ),
    (
        "/commands/orders.read/http",
        "write `path: \"/v1/orders/{id}\"`",
        "path: \"/v1/orders/{id}\"",
        "path: /v1/orders/{id}",
        "path: \"/v1/orders/{id}\"",
    ),
    (
        "/limits",
        "write the members out",
        "limits: {token_bytes: 9000}",
        "limits: {<<: {token_bytes: 9000}}",
        "limits: {token_bytes: 9000}",
    ),
    (
        "/commands",
        "put it in quotes",
        "unmediated: [health]\n",
        "  404: {http: {methods: [GET], path: /missing}}\nunmediated: [health]\n",
        "  \"404\": {http: {methods: [GET], path: /missing}}\nunmediated: [health]\n",
    ),
    ("/limits", "put it in quotes", "limits: {token_bytes: 9000}\n", "limits: {true: 9000}\n", "limits: {}\n"),
    ("/name", "put it in quotes if it is a name or an id", "name: orders\n", "name: 0123\n", "name: \"0123\"\n"),
    (
        "/name",
        "put it in quotes if it is a name or an id",
        "name: orders\n",
        "name: 99999999999999999999\n",
        "name: \"99999999999999999999\"\n",
    ),
    ("/generation", "write a finite number", "generation: 4", "generation: .inf", "generation: 4"),
    ("", "keep one of them", "name: orders\n", "name: orders\nname: other\n", "name: orders\n"),
    (
        "/session",
        "write the value out wherever it is needed",
        "session: {max_lifetime: 1h, ",
        "session: &session {max_lifetime: 1h, ",
        "session: {max_lifetime: 1h, ",
    ),
    ("/name", "remove the tag; quotes make a string", "name: orders\n", "name: !!str 7\n", "name: \"7\"\n"),
    (
        "",
        "keys are strings",
        "limits: {token_bytes: 9000}\n",
        "? [limits]\n: {token_bytes: 9000}\n",
        "limits: {token_bytes: 9000}\n",
    ),
    ("/commands/orders.list/http/path", "begin with `/`", "path: /v1/orders,", "path: v1/orders,", "path: /v1/orders,"),
    (
        "/grants/0/when/subject",
        "put it in quotes if it is a name or an id",
        "subject: \"agent-*\"",
        "subject: 007",
        "subject: \"007\"",
    ),
];

const BOUNDS: Table<5> = [
    (
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config",
        "write `request_headers_timeout: 10s`, as envoy/bootstrap.yaml has it",
        "          request_headers_timeout: 10s\n",
        "",
        "          request_headers_timeout: 10s\n",
    ),
    (
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/request_timeout",
        "write `request_timeout: 30s`, as envoy/bootstrap.yaml has it",
        "request_timeout: 30s",
        "request_timeout: 0s",
        "request_timeout: 30s",
    ),
    (
        "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/stream_idle_timeout",
        "write `stream_idle_timeout: 300s`, as envoy/bootstrap.yaml has it",
        "stream_idle_timeout: 300s",
        "stream_idle_timeout: 0s",
        "stream_idle_timeout: 300s",
    ),
    (
        "/static_resources/clusters/0/name",
        "write `circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}`",
        "    circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}\n",
        "",
        "    circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}\n",
    ),
    (
        "/static_resources/clusters/0/name",
        "write `circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}`",
        "circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}",
        "circuit_breakers: {thresholds: [{max_connections: 9}]}",
        "circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}",
    ),
];

const ISTIO: Table<8> = [
    (
        "/spec/failStrategy",
        "write `failStrategy: FAIL_RELOAD`: closed while it is down, and back after a moment",
        "failStrategy: FAIL_RELOAD",
        "failStrategy: FAIL_OPEN",
        "failStrategy: FAIL_RELOAD",
    ),
    (
        "/spec/url",
        "add `sha256:` with the digest of the image, or write the url with `@sha256:...`",
        "  sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210\n",
        "",
        "  sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210\n",
    ),
    (
        "/spec/url",
        "add `sha256:` with the digest of the image, or write the url with `@sha256:...`",
        "chaperone:1\n  sha256: 1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210\n",
        "chaperone:1\n",
        "chaperone@sha256:1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210\n",
    ),
    (
        "/upstream/credential/value",
        "add `{name: ORDERS_TOKEN, valueFrom: HOST}` to `vmConfig.env`",
        "      - {name: ORDERS_TOKEN, valueFrom: HOST}\n",
        "      - {name: OTHER, valueFrom: HOST}\n",
        "      - {name: OTHER, valueFrom: HOST}\n      - {name: ORDERS_TOKEN, valueFrom: HOST}\n",
    ),
    (
        "/spec/vmConfig/env/0/value",
        "name the variable only (`valueFrom: HOST`, `host_env_keys`) and give it to the proxy",
        "valueFrom: HOST",
        "valueFrom: INLINE, value: hunter2",
        "valueFrom: HOST",
    ),
    ("/grants/0/when/subject", "put it in quotes: \"yes\"", "subject: \"agent-*\"", "subject: yes", "subject: \"yes\""),
    ("/grants/0/allow/0", "did you mean `orders.read`?", "allow: [orders.read]", "allow: [orders.raed]", "allow: [orders.read]"),
    (
        "",
        "a policy is the `pluginConfig` of a WasmPlugin, the `config` of an EnvoyExtensionPolicy, in an EnvoyFilter or in a ConfigMap",
        "  pluginConfig:\n",
        "  pluginconfig:\n",
        "  pluginConfig:\n",
    ),
];
