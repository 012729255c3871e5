//! `policy-host import` as an author runs it: logs and documents in the forms in which they are found, through `replay` and `check`
//! to decisions.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");
const ISTIO: &str = r#"[2026-11-23T10:00:00.123Z] "GET /v1/orders HTTP/1.1" 200 - via_upstream - "-" 0 178 1 1 "-" "curl/8.5.0" "5a9e3b7e" "orders.example" "10.0.0.7:8080" inbound|8080|| 127.0.0.6:40000 10.0.0.7:8080 10.0.0.9:50000 - default"#;
const ENVOY: &str = r#"[2026-11-23T09:59:59.000Z] "DELETE /v1/orders/7?reason=x HTTP/2" 200 - 0 178 1 1 "-" "curl/8.5.0" "5a9e3b7e" "orders.example" "10.0.0.7:8080""#;
const CLAIMS: &str = r#"{"iss":"https://broker.example","aud":"orders","sub":"agent-7","sid":"s-1","commands":["orders.*"]}"#;

fn run_in(folder: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(args).current_dir(folder).env("ORDERS_TOKEN", "the-api-credential");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    // Who does not read it closes it early.
    let writer = std::thread::spawn(move || pipe.write_all(&bytes).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn import(kind: &str, more: &[&str], input: &[u8]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &[&["import", kind], more, &["-"]].concat(), input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `replay` decides of it, by command and reason.
fn decided(imported: &Output) -> Vec<(Value, Value)> {
    assert_eq!(imported.status.code(), Some(0), "{}", text(&imported.stderr));
    let folder = tempfile::tempdir().unwrap();
    let output = run_in(folder.path(), &["replay", "--policy", EXAMPLE, "-"], &imported.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    lines(&output).iter().map(|line| (line["command"].clone(), line["reason"].clone())).collect()
}

#[test]
fn an_access_log_is_decided_by_replay_in_the_order_of_its_times() {
    let log = format!("\u{feff}{ISTIO}\r\n\r\n{ENVOY}\r\n");
    let output = import("envoy-log", &[], log.as_bytes());
    assert_eq!(
        lines(&output),
        [
            json!({"method": "DELETE", "path": "/v1/orders/7", "authority": "orders.example", "headers": [], "at": "2026-11-23T09:59:59Z"}),
            json!({"method": "GET", "path": "/v1/orders", "authority": "orders.example", "headers": [],
                "at": "2026-11-23T10:00:00.123Z", "source_address": "10.0.0.9:50000"}),
        ]
    );
    assert_eq!(
        text(&output.stderr),
        "policy-host: 2 requests out of 2 entries\n  1: without its query, which takes no part in a decision and may hold secrets (<stdin>:3)\n"
    );
    let none = json!("token_missing");
    assert_eq!(decided(&output), [(json!("orders.cancel"), none.clone()), (json!("orders.list"), none)]);
    let with_session = decided(&import("envoy-log", &["--claims", CLAIMS], log.as_bytes()));
    assert_eq!(with_session, [(json!("orders.cancel"), json!("command_not_granted")), (json!("orders.list"), Value::Null)]);
}

#[test]
fn json_comes_in_lines_in_an_array_or_over_several_lines() {
    let entry = |second: u32| {
        json!({"start_time": format!("2026-11-23T10:00:0{second}.000Z"), "method": "GET", "path": "/v1/orders",
            "authority": "orders.example", "response_code": 200, "x_forwarded_for": null})
    };
    let list = [entry(1), entry(2)];
    let lines_of = list.iter().map(|entry| format!("{entry}\n")).collect::<String>();
    let pretty = list.iter().map(|entry| format!("{entry:#}\n")).collect::<String>();
    for input in [lines_of, pretty, json!(list).to_string(), format!("{:#}", json!(list))] {
        let output = import("envoy-log", &[], input.as_bytes());
        assert_eq!((output.status.code(), lines(&output).len()), (Some(0), 2), "{input}");
    }
    let broken = import("envoy-log", &[], format!("[{},\n{{\"method\":", entry(1)).as_bytes());
    assert_eq!((broken.status.code(), lines(&broken).len()), (Some(3), 1));
    assert!(text(&broken.stderr).contains("<stdin>:2:"), "{}", text(&broken.stderr));
}

fn record(decision: &str) -> Value {
    json!({
        "metadata": {"uid": "a-1", "product": {"name": "Chaperone"}}, "class_uid": 6003, "time": 1_795_428_000_123_i64,
        "actor": {"user": {"uid": "agent-7"}, "session": {"uid": "s-1", "issuer": "https://broker.example",
            "created_time": 1_795_428_000_000_i64, "expiration_time": 1_795_428_600_000_i64}},
        "api": {"operation": "orders.list"}, "http_request": {"http_method": "GET", "url": {"path": "/v1/orders"}},
        "src_endpoint": {"ip": "192.0.2.7", "port": 5}, "unmapped": {"decision": decision, "agent_chain": ["planner"]},
    })
}

#[test]
fn records_become_requests_with_the_claims_that_they_tell() {
    let log = format!(
        "{}\n{}\n{}\n",
        json!({"start_time": "2026-11-23T10:00:00Z", "session_audit": [record("allow")]}),
        json!({"start_time": "2026-11-23T10:00:00Z", "session_audit": []}),
        record("deny"),
    );
    let options = ["--policy", EXAMPLE, "--authority", "orders.example"];
    let output = import("records", &options, log.as_bytes());
    let list = json!("orders.list");
    assert_eq!(decided(&output), [(list.clone(), Value::Null), (list, json!("command_not_in_token"))]);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("left out, 1: no record of the filter: the proxy answered before it (<stdin>:2)"), "{stderr}");

    let nameless = import("records", &["--policy", EXAMPLE], log.as_bytes());
    assert_eq!((nameless.status.code(), nameless.stdout.len()), (Some(2), 0));
    assert!(text(&nameless.stderr).contains("--authority HOST"));
    let other = import("records", &options, b"{\"start_time\":\"x\",\"method\":\"GET\"}\n");
    assert_eq!(other.status.code(), Some(3));
    assert!(text(&other.stderr).contains("is this the proxy's access log?"));
}

#[test]
fn a_har_file_is_decided_by_replay_and_its_secrets_stay() {
    let request = json!({"method": "GET", "url": "https://orders.example/v1/orders?key=sekret",
        "headers": [{"name": "Authorization", "value": "Bearer sekret"}, {"name": "Accept", "value": "*/*"}]});
    let har = json!({"log": {"version": "1.2", "entries": [
        {"startedDateTime": "2026-11-23T10:00:00.000Z", "request": request, "response": {}},
        {"startedDateTime": "2026-11-23T10:00:01.000Z", "request": {"method": "GET", "url": "data:,x", "headers": []}},
    ]}});
    for input in [har.to_string(), format!("\u{feff}{har:#}")] {
        let output = import("har", &["--claims", CLAIMS], input.as_bytes());
        assert!(!text(&output.stdout).contains("sekret") && !text(&output.stderr).contains("sekret"));
        assert!(text(&output.stderr).contains("without its header `authorization`"), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("left out, 1: not a URL of http or https (<stdin>, entry 2)"));
        assert_eq!(decided(&output), [(json!("orders.list"), Value::Null)]);
    }
    let other = import("har", &[], b"{\"log\": {}}");
    assert_eq!(other.status.code(), Some(3));
    assert!(text(&other.stderr).contains("log.entries"));
}

#[test]
fn the_draft_of_an_openapi_document_passes_check_in_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let openapi = "openapi: 3.0.3\ninfo: {title: a, version: '1'}\nservers: [{url: 'https://orders.example/v1'}]\npaths:\n  /orders:\n    get: {operationId: orders.list, responses: {200: {description: ok}}}\n  /orders/{order-id}:\n    get: {operationId: orders.read, responses: {200: {description: ok}}}\n    trace: {responses: {200: {description: ok}}}\n";
    fs::write(folder.path().join("openapi.yaml"), openapi).unwrap();
    let output = run_in(folder.path(), &["import", "openapi", "openapi.yaml"], b"");
    assert_eq!(
        text(&output.stdout),
        "# A draft, made of openapi.yaml. Who may use which command is for `grants` to say.\ncommands:\n  orders.list: {http: {methods: [GET], path: /v1/orders, hosts: [orders.example]}}\n  orders.read: {http: {methods: [GET], path: \"/v1/orders/{order_id}\", hosts: [orders.example]}}\n"
    );
    assert_eq!(
        text(&output.stderr),
        "policy-host: 2 commands of openapi.yaml\n  left out: TRACE /orders/{order-id}: TRACE is always refused\n"
    );

    let policy = format!(
        "version: 1\nname: orders\ntokens:\n  issuers:\n    - issuer: https://broker.example\n      audiences: [orders]\n      algorithms: [ES256]\n      types: [at+jwt]\n      keys: {{endpoint: {{cluster: broker, authority: broker.example, path: /jwks.json}}}}\nsession: {{max_lifetime: 15m}}\n{}grants:\n  - {{name: agents, when: {{subject: \"agent-*\"}}, allow: [orders.list, orders.read]}}\n",
        text(&output.stdout)
    );
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let checked = run_in(folder.path(), &["check", "--deny-warnings", "policy.yaml"], b"");
    assert_eq!(checked.status.code(), Some(0), "{}{}", text(&checked.stdout), text(&checked.stderr));
}

#[test]
fn a_wrong_kind_names_the_line_and_what_was_expected() {
    let nginx = "10.0.0.9 - - [23/Nov/2026:10:00:00 +0000] \"GET /v1/orders HTTP/1.1\" 200 178 \"-\" \"curl/8.5.0\"\n";
    let output = import("envoy-log", &[], nginx.as_bytes());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("(<stdin>:1:1)") && stderr.contains("METHOD PATH PROTOCOL"), "{stderr}");

    let some = import("envoy-log", &["--format", "json"], format!("{nginx}{ISTIO}\n").as_bytes());
    assert_eq!((some.status.code(), lines(&some).len()), (Some(3), 1), "what can be read is");
    let summary: Value = serde_json::from_slice(&some.stderr).unwrap();
    assert_eq!((&summary["read"], &summary["written"]), (&json!(2), &json!(1)));
    assert_eq!(summary["left_out"][0]["first"], json!(["<stdin>:1:1"]));

    for (bytes, help) in [(&b"\x1f\x8b\x08\0"[..], "gunzip -c"), (b"\xff\xfe[\0", "iconv -f UTF-16")] {
        let output = import("envoy-log", &[], bytes);
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output.stderr).contains(help));
    }
    for kind in ["envoy-log", "har"] {
        assert_eq!(import(kind, &[], b"").status.code(), Some(0), "an empty log holds nothing");
    }
    assert_eq!(import("envoy-log", &["--claims", "[]"], b"").status.code(), Some(2));
    assert_eq!(import("openapi", &[], b"a: [").status.code(), Some(3));
}

#[test]
fn replay_says_which_way_other_files_go() {
    let folder = tempfile::tempdir().unwrap();
    let line = json!({"method": "GET", "path": "/healthz", "authority": "orders.example", "headers": []});
    let replay = |input: &str| {
        fs::write(folder.path().join("input"), input).unwrap();
        run_in(folder.path(), &["replay", "--policy", EXAMPLE, "input"], b"")
    };
    for (input, help) in [
        (format!("{ISTIO}\n"), "policy-host import envoy-log input"),
        (
            "{\"start_time\":\"x\",\"method\":\"GET\",\"path\":\"/\",\"authority\":\"a\"}\n".to_owned(),
            "policy-host import envoy-log input",
        ),
        (json!({"session_audit": [record("allow")]}).to_string(), "policy-host import records"),
        ("{\n \"log\": {\n  \"entries\": []\n }\n}".to_owned(), "policy-host import har input"),
        ("openapi: 3.1.0\n".to_owned(), "policy-host import openapi input"),
        (json!([line, line]).to_string(), "jq -c '.[]' input"),
        (format!("{line:#}"), "jq -c . input"),
        ("10.0.0.9 - - [23/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n".to_owned(), "policy-host import reads"),
        ("\u{1f}\u{fffd}".to_owned(), "one JSON object a line"),
    ] {
        let output = replay(&input);
        assert_eq!(output.status.code(), Some(3), "{input}");
        assert!(text(&output.stderr).contains(help), "{input}: {}", text(&output.stderr));
    }
    let output = replay(&format!("\u{feff}{line}\r\n{line}\r\n"));
    assert_eq!((output.status.code(), lines(&output).len()), (Some(0), 2), "a byte order mark and CRLF are nothing wrong");
}

#[test]
fn one_line_of_ten_megabytes_is_a_line_like_others() {
    let agent = "x".repeat(10 << 20);
    let log = format!("{}\n{ISTIO}\n", ISTIO.replace("curl/8.5.0", &agent));
    let output = import("envoy-log", &[], log.as_bytes());
    assert_eq!((output.status.code(), lines(&output).len()), (Some(0), 2), "{}", text(&output.stderr));
}
