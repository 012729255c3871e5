//! `policy-host render` as a user runs it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::{Document, PolicyDocument};
use policy_host::files;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn policy_host(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).args(arguments).output().expect("policy-host runs")
}

fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn example() -> PathBuf {
    workspace("examples/agent-orders/policy.yaml")
}

fn render(arguments: &[&str]) -> String {
    let example = example();
    let rendered = policy_host(&[&["render"], arguments, &["--policy", example.to_str().unwrap()]].concat());
    assert_eq!(rendered.status.code(), Some(0), "{rendered:?}");
    String::from_utf8(rendered.stdout).unwrap()
}

/// `name@revision` of what `check` says.
fn label(path: &Path) -> String {
    let output = policy_host(&["check", path.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    said.rsplit_once(": ").expect("file: a valid policy: label").1.split(',').next().unwrap().to_owned()
}

fn label_of(text: &str) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    label(file.path())
}

#[test]
fn what_envoy_watches_holds_the_policy_and_no_placeholder() {
    let text = render(&["ecds", "--wasm", "/etc/envoy/chaperone.wasm"]);
    assert!(!text.replace("${env:", "").contains("${"), "{text}");
    assert!(
        text.contains("filename: \"/etc/envoy/chaperone.wasm\"") && text.contains("host_env_keys: [\"ORDERS_TOKEN\"]"),
        "{text}"
    );
    assert!(!text.contains("\"generation\":1,") && text.contains("\"generation\":"), "moved on");
    assert_eq!(label_of(&text), label(&example()), "the same policy, its revision says");
    let odd = render(&["ecds", "--wasm", "/etc/a \"b\"\\c.wasm"]);
    let odd = Document::parse("e.yaml", odd).unwrap();
    let code = odd.value().pointer("/resources/0/typed_config/config/vm_config/code/local/filename");
    assert_eq!(code, Some(&json!("/etc/a \"b\"\\c.wasm")));
}

#[test]
fn a_wrong_policy_is_not_rendered() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "version: 1\n").unwrap();
    let image = format!("r.example/c@sha256:{}", "0".repeat(64));
    for form in [
        &["ecds", "--wasm", "x.wasm"][..],
        &["envoy", "--upstream", "a:1"],
        &["istio", "--attach", "sidecar", "--at", "app=a", "--image", &image],
        &["envoy-gateway", "--at", "Gateway/a", "--image", &image],
    ] {
        let rendered = policy_host(&[&["render"], form, &["--policy", file.path().to_str().unwrap()]].concat());
        assert_eq!((rendered.status.code(), rendered.stdout.is_empty()), (Some(3), true), "{rendered:?}");
        assert!(String::from_utf8_lossy(&rendered.stderr).contains("`name` is missing"));
    }
}

#[test]
fn a_bootstrap_has_what_was_chosen_and_fits_the_policy() {
    let text = render(&[
        "envoy",
        "--upstream",
        "[::1]:8080",
        "--listen",
        "0.0.0.0:10443",
        "--admin-port",
        "9902",
        "--ecds-dir",
        "/x/ecds",
    ]);
    assert!(!text.contains("${"), "{text}");
    let document = Document::parse("bootstrap.yaml", text).unwrap();
    let at = |pointer: &str| document.value().pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
    assert_eq!(at("/admin/address/socket_address"), &json!({"address": "127.0.0.1", "port_value": 9902}));
    assert_eq!(at("/static_resources/listeners/0/address/socket_address"), &json!({"address": "0.0.0.0", "port_value": 10443}));
    let endpoint = at("/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address");
    assert_eq!(endpoint, &json!({"address": "::1", "port_value": 8080}));
    let manager = at("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config");
    assert_eq!(manager["common_http_protocol_options"]["max_stream_duration"], "900s", "the policy's longest session");
    assert_eq!(
        manager["http_filters"][0]["config_discovery"]["config_source"]["path_config_source"]["path"],
        "/x/ecds/ecds.yaml"
    );

    // Another prefix and lifetime in the policy: what asks for the header and what bounds streams must follow.
    let policy = tempfile::NamedTempFile::new().unwrap();
    let other = fs::read_to_string(example()).unwrap().replace("max_lifetime: 15m", "max_lifetime: 20m");
    fs::write(policy.path(), other + "\naudit: {header_prefix: x-acme-}\n").unwrap();
    let rendered = policy_host(&["render", "envoy", "--upstream", "a:1", "--policy", policy.path().to_str().unwrap()]);
    let text = String::from_utf8(rendered.stdout).unwrap();
    assert!(
        text.contains("present_match: true")
            && text.contains("name: x-acme-decision,")
            && text.contains("name: x-acme-audit,")
            && text.contains("{ remove: x-acme-decision }, { remove: x-acme-audit }")
    );
    assert!(!text.to_ascii_lowercase().contains("x-chaperone-") && text.contains("max_stream_duration: 1200s"));
}

#[test]
fn what_asks_for_the_filters_header_asks_for_the_one_that_the_policy_sets() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let path = policy.path().to_str().unwrap();
    let digest = image();
    let istio = [
        "render",
        "istio",
        "--attach",
        "sidecar",
        "--at",
        "app=orders",
        "--namespace",
        "orders",
        "--image",
        &digest,
        "--policy",
        path,
    ];
    for (form, mark, other) in [("separate", "decision", "audit"), ("combined", "audit", "decision")] {
        let text = fs::read_to_string(example()).unwrap() + &format!("\naudit: {{headers: {form}}}\n");
        fs::write(path, text).unwrap();
        let rendered = String::from_utf8(policy_host(&istio).stdout).unwrap();
        let asks = |mark: &str| {
            (
                rendered.contains(&format!("mutations: [{{ remove: x-chaperone-{mark} }},")),
                rendered.contains(&format!("name: x-chaperone-{mark}, present_match: true")),
            )
        };
        assert_eq!((asks(mark), asks(other)), ((true, true), (false, false)), "{form}: {rendered}");
        // The policy comes to this one later, and may be another one by then: either will do.
        let envoy = policy_host(&["render", "envoy", "--upstream", "a:1", "--policy", path]);
        let envoy = String::from_utf8(envoy.stdout).unwrap();
        for mark in [mark, other] {
            assert!(envoy.contains(&format!("name: x-chaperone-{mark}, present_match: true")), "{form}");
            assert!(envoy.contains(&format!("{{ remove: x-chaperone-{mark} }}")), "{form}");
        }
    }
}

#[test]
fn what_a_policy_fetches_gets_its_cluster() {
    let policy = tempfile::NamedTempFile::new().unwrap();
    let path = policy.path().to_str().unwrap();
    let good = fs::read_to_string(workspace("tests/fixtures/full.policy.yaml")).unwrap();
    let render = |text: &str, more: &[&str]| {
        fs::write(path, text).unwrap();
        policy_host(&[&["render", "envoy", "--upstream", "a:1", "--policy", path], more].concat())
    };
    let rendered = render(&good, &["--trusted-ca", "/etc/pki/ca.pem"]);
    assert_eq!(rendered.status.code(), Some(0), "{rendered:?}");
    let document = Document::parse("bootstrap.yaml", String::from_utf8(rendered.stdout).unwrap()).unwrap();
    let clusters = document.value().pointer("/static_resources/clusters").unwrap();
    assert_eq!((clusters.as_array().unwrap().len(), &clusters[1]["name"]), (2, &json!("broker")));
    let tls = &clusters[1]["transport_socket"]["typed_config"];
    assert_eq!(tls["sni"], "second.example");
    let validation = &tls["common_tls_context"]["validation_context"];
    assert_eq!(validation["trusted_ca"], json!({"filename": "/etc/pki/ca.pem"}));
    assert_eq!(validation["match_typed_subject_alt_names"], json!([{"san_type": "DNS", "matcher": {"exact": "second.example"}}]));

    let sts = "{exchange: {cluster: sts, authority: sts.example, path: /token, audience: a, client: {id: c, secret: \"${env:STS_SECRET}\"}}}";
    let events = "cluster: broker, authority: second.example, path: /poll, audience: a, token: \"${env:SSF_TOKEN}\"";
    let exchanging = format!(
        "version: 1\nname: x\ntokens: {{issuers: [{{issuer: \"https://i\", audiences: [a], algorithms: [ES256], keys: {{endpoint: \
         {{cluster: broker, authority: second.example, path: /k}}}}, events: {{{events}}}}}]}}\ncommands: {{a: {{http: {{methods: [GET], path: /}}}}}}\n\
         grants: [{{name: g, when: {{subject: x}}, allow: [a]}}]\nsession: {{max_lifetime: 15m}}\nupstream: {{credential: {sts}}}\n"
    );
    let rendered = render(&exchanging, &["--trusted-ca", "/etc/pki/ca.pem"]);
    assert_eq!(rendered.status.code(), Some(0), "{rendered:?}");
    let watched = policy_host(&["render", "ecds", "--policy", path, "--wasm", "/etc/envoy/chaperone.wasm"]);
    let watched = String::from_utf8(watched.stdout).unwrap();
    assert!(watched.contains("host_env_keys: [\"STS_SECRET\",\"SSF_TOKEN\"]"), "{watched}");
    let document = Document::parse("bootstrap.yaml", String::from_utf8(rendered.stdout).unwrap()).unwrap();
    let clusters = document.value().pointer("/static_resources/clusters").unwrap().as_array().unwrap();
    let names: Vec<_> = clusters.iter().map(|cluster| cluster["name"].as_str().unwrap()).collect();
    assert_eq!(names[1..], ["broker", "sts"]);

    for (from, to, said) in [
        ("cluster: broker", "cluster: target", "is the protected target"),
        ("https://second.example/", "https://third.example/", "give each a cluster of its own"),
    ] {
        let refused = render(&good.replace(from, to), &[]);
        assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(3), true), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(said), "{refused:?}");
    }
}

fn image() -> String {
    format!("registry.example/chaperone:0.1.0@sha256:{}", "0".repeat(64))
}

/// `members` has these members and no others; those with `!` must be there.
fn has(members: &Value, known: &[&str]) {
    let members = members.as_object().unwrap_or_else(|| panic!("{members} is no object"));
    for name in members.keys() {
        assert!(known.iter().any(|known| known.trim_end_matches('!') == name), "{name} is not a field here: {known:?}");
    }
    for name in known.iter().filter_map(|known| known.strip_suffix('!')) {
        assert!(members.contains_key(name), "{name} is required: {members:?}");
    }
}

fn one_of(value: &Value, known: &[&str]) {
    assert!(value.as_str().is_some_and(|value| known.contains(&value)), "{value} is none of {known:?}");
}

/// The schema of WasmPlugin: istio/istio, manifests/charts/base/files/crd-all.gen.yaml, wasmplugins.extensions.istio.io v1alpha1.
fn is_wasm_plugin(object: &Value) {
    has(object, &["apiVersion!", "kind!", "metadata!", "spec!"]);
    assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("extensions.istio.io/v1alpha1"), &json!("WasmPlugin")));
    let spec = &object["spec"];
    has(
        spec,
        &[
            "failStrategy",
            "imagePullPolicy",
            "imagePullSecret",
            "match",
            "phase",
            "pluginConfig",
            "pluginName",
            "priority",
            "selector",
            "sha256",
            "targetRef",
            "targetRefs",
            "type",
            "url!",
            "verificationKey",
            "vmConfig",
        ],
    );
    one_of(&spec["failStrategy"], &["FAIL_CLOSE"]);
    one_of(&spec["imagePullPolicy"], &["UNSPECIFIED_POLICY", "IfNotPresent", "Always"]);
    one_of(&spec["phase"], &["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"]);
    one_of(&spec["type"], &["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"]);
    assert!(spec["priority"].as_i64().is_some_and(|priority| i32::try_from(priority).is_ok()));
    assert!(spec["pluginConfig"].is_object());
    let sha256 = spec["sha256"].as_str().unwrap();
    assert!(sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9')));
    assert!(spec["url"].as_str().unwrap().starts_with("oci://"));
    for each in spec["match"].as_array().unwrap() {
        has(each, &["mode", "ports"]);
        one_of(&each["mode"], &["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"]);
    }
    has(&spec["vmConfig"], &["env"]);
    for variable in spec["vmConfig"]["env"].as_array().unwrap() {
        has(variable, &["name!", "value", "valueFrom"]);
        one_of(&variable["valueFrom"], &["HOST"]);
        assert!(variable.get("value").is_none(), "value may only be set when valueFrom is INLINE");
    }
    is_placed(spec, "matchLabels", "selector");
}

/// Exactly one of selector and targetRefs.
fn is_placed(spec: &Value, labels: &str, selector: &str) {
    assert!(spec.get(selector).is_some() != spec.get("targetRefs").is_some(), "only one of targetRefs or selector can be set");
    if let Some(selector) = spec.get(selector) {
        has(selector, &[&format!("{labels}!")]);
        assert!(selector[labels].as_object().unwrap().values().all(Value::is_string));
    }
    for target in spec.get("targetRefs").and_then(Value::as_array).into_iter().flatten() {
        has(target, &["group", "kind!", "name!"]);
    }
}

/// EnvoyFilter: the same file, envoyfilters.networking.istio.io v1alpha3.
fn is_envoy_filter(object: &Value, context: &str) {
    has(object, &["apiVersion!", "kind!", "metadata!", "spec!"]);
    assert_eq!((&object["apiVersion"], &object["kind"]), (&json!("networking.istio.io/v1alpha3"), &json!("EnvoyFilter")));
    has(&object["spec"], &["configPatches!", "priority", "targetRefs", "workloadSelector"]);
    for patch in object["spec"]["configPatches"].as_array().unwrap() {
        has(patch, &["applyTo!", "match!", "patch!"]);
        one_of(&patch["applyTo"], &["NETWORK_FILTER", "HTTP_FILTER"]);
        has(&patch["match"], &["context!", "listener!", "proxy"]);
        one_of(&patch["match"]["context"], &[context]);
        has(&patch["match"]["listener"], &["filterChain!", "listenerFilter", "name", "portName", "portNumber"]);
        has(&patch["match"]["listener"]["filterChain"]["filter"], &["name!", "subFilter"]);
        has(&patch["patch"], &["filterClass", "operation!", "value!"]);
        one_of(&patch["patch"]["operation"], &["MERGE", "INSERT_BEFORE"]);
    }
    is_placed(&object["spec"], "labels", "workloadSelector");
}

#[test]
fn istio_gets_objects_that_its_schemas_allow_wherever_they_are_attached() {
    for (attach, at, mode, target) in [
        ("sidecar", "app=orders", "SERVER", json!({"matchLabels": {"app": "orders"}})),
        ("gateway", "istio=ingressgateway", "CLIENT_AND_SERVER", json!({"matchLabels": {"istio": "ingressgateway"}})),
        (
            "gateway",
            "Gateway/edge",
            "CLIENT_AND_SERVER",
            json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}]),
        ),
        (
            "waypoint",
            "Gateway/waypoint",
            "CLIENT_AND_SERVER",
            json!([{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "waypoint"}]),
        ),
        ("waypoint", "Service/orders", "CLIENT_AND_SERVER", json!([{"group": "", "kind": "Service", "name": "orders"}])),
    ] {
        let text = render(&["istio", "--attach", attach, "--at", at, "--namespace", "orders", "--image", &image()]);
        assert_eq!(label_of(&text), label(&example()), "the policy in it is the policy");
        let document = Document::parse("istio.yaml", text).unwrap();
        let items = document.value()["items"].as_array().unwrap();
        assert_eq!((&document.value()["kind"], items.len()), (&json!("List"), 2));
        let (plugin, judged) = (&items[0], &items[1]);
        is_wasm_plugin(plugin);
        let spec = &plugin["spec"];
        assert_eq!(spec["match"], json!([{"mode": mode}]));
        assert_eq!(spec.get("selector").or(spec.get("targetRefs")), Some(&target));
        assert_eq!(spec["vmConfig"]["env"], json!([{"name": "ORDERS_TOKEN", "valueFrom": "HOST"}]));
        assert_eq!(spec["url"], json!(format!("oci://{}", image().replace(":0.1.0", ""))));
        assert_eq!(plugin["metadata"], json!({"name": "chaperone-agent-orders", "namespace": "orders"}));
        match attach {
            "waypoint" => {
                // AuthorizationPolicy: the same file, authorizationpolicies.security.istio.io v1.
                assert_eq!(
                    (&judged["apiVersion"], &judged["kind"]),
                    (&json!("security.istio.io/v1"), &json!("AuthorizationPolicy"))
                );
                has(&judged["spec"], &["action!", "rules!", "targetRefs!"]);
                one_of(&judged["spec"]["action"], &["DENY"]);
                assert_eq!(
                    judged["spec"]["rules"],
                    json!([{"when": [{"key": "request.headers[x-chaperone-decision]", "notValues": ["*"]}]}])
                );
            }
            "gateway" => is_envoy_filter(judged, "GATEWAY"),
            _ => is_envoy_filter(judged, "SIDECAR_INBOUND"),
        }
        let placed = ["selector", "targetRefs"].map(|name| spec.get(name).is_some());
        assert_eq!(
            ["workloadSelector", "targetRefs"].map(|name| judged["spec"].get(name).is_some()),
            placed,
            "both are in one place"
        );
    }
}

/// BackendTrafficPolicy of the same schemas: api/v1alpha1/circuitbreaker_types.go and timeout_types.go.
fn is_backend_policy(spec: &Value) {
    has(spec, &["targetRefs!", "circuitBreaker!", "timeout!"]);
    let breaker = &spec["circuitBreaker"];
    has(breaker, &["maxConnections!", "maxPendingRequests!", "maxParallelRequests!", "maxParallelRetries!"]);
    assert!(
        breaker.as_object().unwrap().values().all(|number| number.as_u64().is_some_and(|number| u32::try_from(number).is_ok()))
    );
    has(&spec["timeout"], &["http!", "tcp"]);
    has(
        &spec["timeout"]["http"],
        &["connectionIdleTimeout", "maxConnectionDuration", "maxStreamDuration", "requestTimeout", "streamIdleTimeout"],
    );
}

/// ClientTrafficPolicy: clienttrafficpolicy_types.go, timeout_types.go, connection_types.go, pathsettings_types.go.
fn is_client_policy(spec: &Value) {
    has(spec, &["targetRefs!", "path!", "timeout!", "http2!", "connection!"]);
    has(&spec["path"], &["disableMergeSlashes!", "escapedSlashesAction!"]);
    one_of(
        &spec["path"]["escapedSlashesAction"],
        &["KeepUnchanged", "RejectRequest", "UnescapeAndForward", "UnescapeAndRedirect"],
    );
    has(&spec["timeout"], &["http!", "tcp"]);
    has(
        &spec["timeout"]["http"],
        &["idleTimeout", "requestHeadersReceivedTimeout", "requestReceivedTimeout!", "streamIdleTimeout"],
    );
    has(
        &spec["http2"],
        &[
            "connectionKeepalive",
            "initialConnectionWindowSize",
            "initialStreamWindowSize",
            "maxConcurrentStreams!",
            "onInvalidMessage",
        ],
    );
    has(&spec["connection"], &["bufferLimit", "connectionLimit!", "maxAcceptPerSocketEvent", "socketBufferLimit"]);
    assert!(spec["connection"]["connectionLimit"]["value"].as_i64().is_some_and(|value| value >= 1));
    // The Gateway API's durations, without a fraction and a sign.
    for duration in spec["timeout"]["http"].as_object().unwrap().values() {
        assert!(
            duration.as_str().unwrap().strip_suffix('s').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        );
    }
}

/// The schema of EnvoyExtensionPolicy: envoyproxy/gateway,
/// charts/gateway-crds-helm/templates/generated/gateway.envoyproxy.io_envoyextensionpolicies.yaml, v1alpha1.
#[test]
fn envoy_gateway_gets_an_object_that_its_schema_allows() {
    for at in ["Gateway/edge", "HTTPRoute/orders", "GRPCRoute/users"] {
        let text = render(&["envoy-gateway", "--at", at, "--namespace", "orders", "--image", &image()]);
        assert_eq!(label_of(&text), label(&example()));
        let document = Document::parse("gateway.yaml", text).unwrap();
        let items = document.value()["items"].as_array().unwrap();
        let (kind, name) = at.split_once('/').unwrap();
        let target = json!([{"group": "gateway.networking.k8s.io", "kind": kind, "name": name}]);
        let kinds: Vec<&str> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
        let all = ["EnvoyExtensionPolicy", "BackendTrafficPolicy", "ClientTrafficPolicy"];
        assert_eq!(kinds, if kind == "Gateway" { &all[..] } else { &all[..2] }, "a route does not choose its Gateway's timeouts");
        for item in items {
            has(item, &["apiVersion!", "kind!", "metadata!", "spec!"]);
            assert_eq!(item["apiVersion"], json!("gateway.envoyproxy.io/v1alpha1"));
            assert_eq!(item["spec"]["targetRefs"], target);
        }
        is_backend_policy(&items[1]["spec"]);
        items.get(2).into_iter().for_each(|policy| is_client_policy(&policy["spec"]));
        let object = &items[0];
        has(&object["spec"], &["targetRefs!", "wasm!"]);
        let wasm = &object["spec"]["wasm"][0];
        has(wasm, &["code!", "config!", "env!", "failOpen!", "name!", "rootID!"]);
        has(&wasm["code"], &["type!", "image!"]);
        assert_eq!((&wasm["code"]["type"], &wasm["failOpen"]), (&json!("Image"), &json!(false)));
        has(&wasm["code"]["image"], &["url!", "sha256!", "pullSecretRef", "tls"]);
        assert_eq!(wasm["env"], json!({"hostKeys": ["ORDERS_TOKEN"]}));
    }
}

#[test]
fn what_is_rendered_can_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    for (number, arguments) in [
        &["istio", "--attach", "sidecar", "--at", "app=a", "--image", &image()][..],
        &["envoy-gateway", "--at", "Gateway/a", "--image", &image()],
        &["ecds", "--wasm", "c.wasm"],
    ]
    .iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{number}.yaml"));
        fs::write(&path, render(arguments)).unwrap();
        let revoked = policy_host(&["revoke", path.to_str().unwrap(), "--session", "s-9"]);
        assert_eq!(revoked.status.code(), Some(0), "{revoked:?}");
        let document = files::policy(&path).unwrap();
        assert_eq!(document.value()["revoked"][2]["session"], "s-9");
    }
}

#[test]
fn what_cannot_be_attached_or_relied_on_is_refused() {
    let example = example();
    let refused = |arguments: &[&str]| {
        let output = policy_host(&[&["render"], arguments, &["--policy", example.to_str().unwrap()]].concat());
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let image = image();
    let istio = |attach: &str, at: &str, image: &str| refused(&["istio", "--attach", attach, "--at", at, "--image", image]);
    assert!(istio("sidecar", "Gateway/edge", &image).contains("found by its pod's label"));
    assert!(istio("gateway", "Service/orders", &image).contains("--at Gateway/edge"));
    assert!(istio("waypoint", "app=orders", &image).contains("a waypoint takes no labels"));
    assert!(istio("sidecar", "orders", &image).contains("write LABEL=VALUE"));
    assert!(istio("sidecar", "app=orders", "registry.example/chaperone:0.1.0").contains("a tag can be moved"));
    assert!(istio("sidecar", "app=orders", "registry.example/chaperone@sha256:12").contains("64 hex digits"));
    assert!(refused(&["envoy-gateway", "--at", "Service/a", "--image", &image]).contains("write Gateway/NAME"));
    assert!(refused(&["envoy", "--upstream", "orders"]).contains("write HOST:PORT"));
    assert!(refused(&["envoy", "--upstream", "a b:1"]).contains("neither a name nor an address"));
}

/// With another number in it each time, the generation is set to 1 in the shipped files.
fn shipped(text: &str) -> String {
    let line = |line: &str| match line.trim_start().strip_prefix("\"generation\": ") {
        Some(_) => format!("{}\"generation\": 1,\n", line.split('"').next().unwrap()),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn the_shipped_manifests_are_what_is_rendered() {
    let istio = ["istio", "--attach", "sidecar", "--at", "app=orders", "--namespace", "orders", "--image", &image()];
    let gateway = ["envoy-gateway", "--at", "Gateway/edge", "--namespace", "orders", "--image", &image()];
    for (file, arguments) in [("envoy/istio.yaml", &istio[..]), ("envoy/envoy-gateway.yaml", &gateway)] {
        let current = shipped(&render(arguments));
        if std::env::var_os("UPDATE_SHIPPED").is_some() {
            fs::write(workspace(file), &current).unwrap();
        }
        assert_eq!(fs::read_to_string(workspace(file)).unwrap_or_default(), current, "{file}: UPDATE_SHIPPED=1 writes it anew");
    }
}

#[test]
fn what_is_in_force_stays_revoked_when_it_is_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let in_force = folder.path().join("ecds.yaml");
    let in_force = in_force.to_str().unwrap();
    fs::write(in_force, render(&["ecds", "--wasm", "/chaperone.wasm"])).unwrap();
    assert_eq!(policy_host(&["revoke", in_force, "--session", "s-100", "--because", "INC-1"]).status.code(), Some(0));
    let policy = |text: &str| {
        let document = PolicyDocument::find(Document::parse("ecds.yaml", text.to_owned()).unwrap()).unwrap();
        document.value().clone()
    };
    let before = policy(&fs::read_to_string(in_force).unwrap());
    let kept = policy(&render(&["ecds", "--wasm", "/chaperone.wasm", "--keep-revoked", in_force]));
    assert_eq!(kept["revoked"], before["revoked"], "once, each");
    assert!(kept["generation"].as_u64() > before["generation"].as_u64());
    let lost = policy(&render(&["ecds", "--wasm", "/chaperone.wasm"]));
    assert!(!lost["revoked"].to_string().contains("s-100"), "without it they are those of the policy alone");
    let missing = policy_host(&["render", "ecds", "--wasm", "/w", "--policy", in_force, "--keep-revoked", "nowhere.yaml"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(3), 0), "{missing:?}");
}

/// Resource, plugin and VM of an ECDS file.
fn names(text: &str) -> [String; 3] {
    let document = Document::parse("ecds.yaml", text.to_owned()).unwrap();
    let name = |pointer: &str| document.value().pointer(&format!("/resources/0{pointer}")).unwrap().as_str().unwrap().to_owned();
    [name("/name"), name("/typed_config/config/name"), name("/typed_config/config/vm_config/vm_id")]
}

#[test]
fn the_names_by_which_streams_are_found_again_stay_and_are_never_changed_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ecds.yaml");
    let in_force = path.to_str().unwrap();
    let usual = render(&["ecds", "--wasm", "/c.wasm"]);
    assert_eq!(names(&usual), ["chaperone"; 3]);
    assert_eq!(names(&render(&["ecds", "--wasm", "/c.wasm", "--name", "orders-2"])), ["orders-2"; 3]);
    // Whatever they are in the file, each by itself.
    let odd = usual.replace("vm_id: \"chaperone\"", "vm_id: \"of old\"").replacen("name: \"chaperone\"", "name: sessions", 1);
    fs::write(&path, &odd).unwrap();
    assert_eq!(names(&render(&["ecds", "--wasm", "/c.wasm", "--keep-revoked", in_force])), ["sessions", "chaperone", "of old"]);
    let asked = |name: &str| {
        let example = example();
        let policy = ["--policy", example.to_str().unwrap(), "--keep-revoked", in_force, "--name", name];
        policy_host(&[&["render", "ecds", "--wasm", "/c.wasm"], &policy[..]].concat())
    };
    let refused = asked("chaperone");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(3), 0), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("in force under the name `sessions`") && said.contains("ecds.yaml:3:"), "{said}");
    fs::write(&path, &usual).unwrap();
    assert_eq!(asked("chaperone").status.code(), Some(0), "the same name is no change");
    assert_eq!(policy_host(&["render", "ecds", "--name", "a b"]).status.code(), Some(2));
    let bootstrap = render(&["envoy", "--upstream", "a:1", "--name", "orders-2"]);
    assert!(bootstrap.contains("- name: \"orders-2\"\n                    config_discovery:"), "{bootstrap}");
}

#[test]
fn what_is_lost_in_spite_of_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (path, policy) = (folder.path().join("ecds.yaml"), folder.path().join("policy.yaml"));
    fs::write(&path, render(&["ecds", "--wasm", "/c.wasm"])).unwrap();
    let next = |text: &str| {
        fs::write(&policy, text).unwrap();
        let files = ["--policy", policy.to_str().unwrap(), "--keep-revoked", path.to_str().unwrap()];
        policy_host(&[&["render", "ecds", "--wasm", "/c.wasm"], &files[..]].concat())
    };
    let example = fs::read_to_string(example()).unwrap();
    let same = next(&example);
    assert_eq!((same.status.code(), same.stderr.len()), (Some(0), 0), "{same:?}");
    let renamed = next(&example.replace("name: agent-orders\n", "name: other\n"));
    assert_eq!(renamed.status.code(), Some(0), "{renamed:?}");
    let said = String::from_utf8_lossy(&renamed.stderr).into_owned();
    assert!(said.contains("streams_orphaned") && said.contains("the policy was called `agent-orders`"), "{said}");
}

#[test]
fn two_listeners_that_envoy_would_take_for_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.yaml");
    fs::write(&other, render(&["ecds", "--wasm", "/c.wasm"])).unwrap();
    let (example, other) = (example(), other.to_str().unwrap());
    let beside = |more: &[&str]| {
        let files = ["--policy", example.to_str().unwrap(), "--beside", other];
        policy_host(&[&["render", "ecds", "--wasm", "/c.wasm"], &files[..], more].concat())
    };
    let refused = beside(&[]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(3), 0), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("other.yaml:7:") && said.contains("--name chaperone-2"), "{said}");
    let apart = beside(&["--name", "chaperone-2"]);
    assert_eq!((apart.status.code(), apart.stderr.len()), (Some(0), 0), "{apart:?}");
    // The file in whose place it comes is no other listener's.
    assert_eq!(beside(&["--keep-revoked", other]).status.code(), Some(0));

    // Whatever the plugins are called.
    let text = fs::read_to_string(other).unwrap();
    fs::write(other, text.replace("        name: \"chaperone\"\n        root_id", "        name: \"another\"\n        root_id"))
        .unwrap();
    assert_ne!(fs::read_to_string(other).unwrap(), text);
    assert_eq!(beside(&[]).status.code(), Some(3));

    let shared = text.replace("\"name\":\"agent-orders\"", "\"name\":\"users\"");
    fs::write(other, shared).unwrap();
    let shared = beside(&[]);
    assert_eq!(shared.status.code(), Some(0), "{shared:?}");
    assert!(String::from_utf8_lossy(&shared.stderr).contains("vm_shared"), "{shared:?}");
}
