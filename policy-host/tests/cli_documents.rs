//! Every POLICY may be a stream of documents, as charts and clusters print them, with the policy among others.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");
const LISTING: &str = r#"{"method":"GET","path":"/healthz","authority":"orders.example","headers":[]}"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_policy-host"))
        .args(args)
        .current_dir(folder)
        .env("ORDERS_TOKEN", "t")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever has nothing to read hangs up.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{}{line}\n", " ".repeat(by)) }).collect()
}

/// The example's policy under this name, without a health check where it is another.
fn policy(name: &str) -> String {
    let policy = fs::read_to_string(EXAMPLE).unwrap().replace("name: agent-orders", &format!("name: {name}"));
    if name == "agent-orders" { policy } else { policy.replace("path: /healthz", "path: /livez") }
}

/// What a chart renders to: another plugin, two of ours, and things with anchors and old octals.
fn rendered() -> String {
    let plugin = |object: &str, policy: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: {object}, namespace: &ns orders, labels: {{team: *ns}}}}\nspec:\n  url: oci://registry.example/chaperone@sha256:{}\n  pluginConfig:\n{}",
            "ab".repeat(32),
            indent(policy, 4)
        )
    };
    format!(
        "---\n# Source: chart/templates/waf.yaml\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: waf}}\nspec:\n  url: oci://registry.example/waf:0.5\n  failStrategy: FAIL_OPEN\n  pluginConfig:\n    directives_map: {{default: [\"SecRuleEngine On\"]}}\n---\n# Source: chart/templates/orders.yaml\n{}---\napiVersion: v1\nkind: Secret\ndefaultMode: 0400\n---\n{}---\n",
        plugin("orders", &policy("agent-orders")),
        plugin("ledger", &policy("agent-ledger")),
    )
}

/// A folder with the chart's manifests and a request.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("all.yaml"), rendered()).unwrap();
    fs::write(folder.path().join("one.yaml"), policy("agent-orders")).unwrap();
    fs::write(folder.path().join("request.json"), LISTING).unwrap();
    fs::write(
        folder.path().join("cases.yaml"),
        "version: 1\npolicy: all.yaml\nat: 2026-11-23T10:00:00Z\ncases:\n  - {name: healthy, send: {get: /healthz, host: orders.example}, expect: {allow: health}}\n",
    )
    .unwrap();
    folder
}

#[test]
fn every_verb_takes_the_policy_that_is_named() {
    let folder = folder();
    let ecds = ["--wasm", "/f.wasm"];
    let verbs: [(&[&str], i32, &str); 9] = [
        (&["check", "all.yaml"], 0, "all.yaml: a valid policy: agent-orders@"),
        (&["check", "one.yaml", "--against", "all.yaml"], 0, "one.yaml: a valid policy: agent-orders@"),
        (&["explain", "--policy", "all.yaml", "request.json"], 0, "GET /healthz"),
        (&["replay", "--policy", "all.yaml", "request.json"], 0, "\"decision\":\"allow\""),
        (&["replay", "--policy", "one.yaml", "--against", "all.yaml", "request.json"], 0, "0 of 1 decision would change"),
        (&["test", "cases.yaml"], 0, "1 case passed"),
        (&["revoke", "all.yaml", "--list"], 0, "s-2041"),
        (&["render", "ecds", "--policy", "all.yaml", ecds[0], ecds[1]], 0, "agent-orders"),
        (&["render", "ecds", "--policy", "one.yaml", "--keep-revoked", "all.yaml", ecds[0], ecds[1]], 0, "agent-orders"),
    ];
    for (args, code, said) in verbs {
        let output = run(folder.path(), &[args, &["--policy-name", "agent-orders"]].concat(), "");
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{error}");
        assert!(out.contains(said), "{args:?}\n{out}{error}");

        for (name, said) in [(None, "a second policy: 2 are in this file"), (Some("nobody"), "has no policy `nobody`")] {
            let named: Vec<&str> = name.iter().flat_map(|name| ["--policy-name", name]).collect();
            let output = run(folder.path(), &[args, &named].concat(), "");
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{args:?} {name:?}\n{error}");
            assert!(error.contains(said), "{args:?}\n{error}");
            let both = error.contains("`agent-orders` in WasmPlugin orders/orders") && error.contains("`agent-ledger`");
            assert!(both || error.contains("one.yaml"), "it says which there are: {error}");
        }
    }
    // The other policy knows no /healthz.
    let other = run(folder.path(), &["explain", "--policy", "all.yaml", "request.json", "--policy-name", "orders/ledger"], "");
    assert_eq!(other.status.code(), Some(1), "{}", text(&other.stdout));
    let served = run(folder.path(), &["serve", "--policy", "all.yaml"], "");
    assert_eq!(served.status.code(), Some(3));
    assert!(text(&served.stderr).contains("a second policy: 2 are in this file"), "{}", text(&served.stderr));
}

#[test]
fn revoking_changes_one_policy_of_a_chart_and_no_other_byte() {
    let folder = folder();
    let before = rendered();
    let args = [
        "revoke",
        "all.yaml",
        "--policy-name",
        "agent-ledger",
        "--session",
        "s-9",
        "--because",
        "INC-9",
        "--against",
        "all.yaml",
    ];
    let output = run(folder.path(), &args, "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let after = fs::read_to_string(folder.path().join("all.yaml")).unwrap();
    let generation = after.lines().rev().find(|line| line.contains("generation: ")).unwrap();
    let (head, ledger) = before.split_at(before.rfind("    generation: 1 ").unwrap());
    let crawler = ledger.lines().find(|line| line.contains("agent: crawler")).unwrap();
    let expected = ledger.replacen(ledger.lines().next().unwrap(), generation, 1).replacen(
        crawler,
        &format!("{crawler}\n      - {{session: \"s-9\", because: \"INC-9\"}}"),
        1,
    );
    assert_eq!(after, format!("{head}{expected}"));

    let output = run(folder.path(), &["revoke", "-", "--policy-name", "agent-ledger", "--token", "t", "--emit", "patch"], &after);
    let patch: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&patch["metadata"]["name"], patch["spec"]["pluginConfig"]["revoked"].as_array().unwrap().len()),
        (&"ledger".into(), 4)
    );
    // Which of the two is meant is not guessed.
    let output = run(folder.path(), &["revoke", "all.yaml", "--session", "s-10"], "");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(fs::read_to_string(folder.path().join("all.yaml")).unwrap(), after);
}

#[test]
fn a_config_map_is_read_and_changed_in_place() {
    let folder = folder();
    let policy = policy("agent-orders");
    let map = |policy: &str| {
        format!(
            "# c\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: p}}\ndata:\n  policy.yaml: |\n{}  z: 1\n---\nkind: Service\napiVersion: v1\n",
            indent(policy, 4)
        )
    };
    let path = folder.path().join("map.yaml");
    fs::write(&path, map(&policy)).unwrap();
    fs::write(folder.path().join("wrong.yaml"), map(&policy.replace("max_lifetime: 15m", "max_lifetime: 15"))).unwrap();
    let line = map(&policy).lines().position(|line| line.contains("max_lifetime: 15m")).unwrap() + 1;
    let output = run(folder.path(), &["check", "wrong.yaml"], "");
    assert!(text(&output.stderr).contains(&format!("[wrong.yaml:{line}:21]")), "{}", text(&output.stderr));
    assert_eq!(run(folder.path(), &["check", "map.yaml", "--deny-warnings"], "").status.code(), Some(0));

    assert_eq!(run(folder.path(), &["revoke", "map.yaml", "--session", "s-9"], "").status.code(), Some(0));
    assert_eq!(run(folder.path(), &["revoke", "one.yaml", "--session", "s-9"], "").status.code(), Some(0));
    let (changed, alone) = (fs::read_to_string(&path).unwrap(), fs::read_to_string(folder.path().join("one.yaml")).unwrap());
    let plain = |text: &str| text.lines().filter(|line| !line.contains("generation:")).collect::<Vec<_>>().join("\n");
    assert_eq!(plain(&changed), plain(&map(&alone)));
}

#[test]
fn what_a_pipe_brings_is_read_and_a_template_is_told_from_it() {
    let folder = folder();
    let output = run(folder.path(), &["check", "-", "--policy-name", "agent-orders"], &rendered());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("<stdin>: a valid policy: agent-orders@"));
    assert!(!text(&output.stderr).contains("every request goes through"), "that is the other plugin's: {}", text(&output.stderr));
    // As `kubectl get -o json` has it.
    let list = format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}]}}",
        serde_json::json!({
            "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "p"}, "spec": {"pluginConfig": {"name": "x", "tokens": {}, "grants": []}},
        })
    );
    let output = run(folder.path(), &["check", "-"], &list);
    assert!(text(&output.stderr).contains("[<stdin>:1:"), "{}", text(&output.stderr));

    let template = rendered().replacen("namespace: &ns orders", "namespace: {{ .Release.Namespace }}", 1).replacen(
        "spec:\n",
        "spec:\n{{- if .Values.on }}\n",
        1,
    );
    let output = run(folder.path(), &["check", "-", "--format", "json"], &template);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((said[0]["line"].as_u64(), said.as_array().unwrap().len()), (Some(7), 1), "{said}");
    assert!(said[0]["message"].as_str().unwrap().starts_with("is a template (`{{- if .Values.on }}`)"), "{said}");
    assert_eq!(output.status.code(), Some(3));

    let path = policy("agent-orders").replacen("path: \"/v1/orders/{id}\"", "path: /v1/orders/{id}", 1);
    let line = path.lines().position(|line| line.contains("path: /v1/orders/{id}")).unwrap() + 1;
    let output = run(folder.path(), &["check", "-", "--format", "json"], &path);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((said[0]["line"].as_u64(), said[0]["column"].as_u64()), (Some(line as u64), Some(54)), "{said}");
    assert_eq!(said[0]["help"], "write `path: \"/v1/orders/{id}\"`");
}

#[test]
fn ten_thousand_documents_are_read_in_moments_and_more_are_refused() {
    let folder = folder();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: orders}\nspec: {ports: [{port: 80}]}\n---\n";
    let many = format!("{}{}", service.repeat(9_999), policy("agent-orders"));
    let started = Instant::now();
    let output = run(folder.path(), &["check", "-"], &many);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let took = started.elapsed();
    // A machine that builds and tests at once is a slow one; what grows with the square of them would take minutes.
    assert!(took < Duration::from_secs(20), "{took:?}");
    let output = run(folder.path(), &["check", "-"], &format!("{service}{many}"));
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("more than 10000 documents in one file"), "{}", text(&output.stderr));
    // All of them policies: which one is meant is asked, and found.
    let policies: String = (0..10_000).map(|n| format!("---\nversion: 1\nname: p-{n}\ntokens: {{}}\ngrants: []\n")).collect();
    let output = run(folder.path(), &["check", "-"], &policies);
    assert!(text(&output.stderr).contains("10000 are in this file"), "{}", text(&output.stderr));
    let started = Instant::now();
    let output = run(folder.path(), &["check", "-", "--policy-name", "p-9999"], &policies);
    assert!(text(&output.stderr).contains("[<stdin>:49997:"), "{}", text(&output.stderr));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}
