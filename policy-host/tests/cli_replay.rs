//! The `replay` contract, through the binary: one line out for each line in, and nothing else on stdout.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");
const AT: i64 = 1_795_428_000;

fn replay() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(["replay", "--policy", POLICY, "-"]).env("ORDERS_TOKEN", "the-api-credential").env_remove("CHAPERONE_WASM");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

fn lines(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn request(path: &str, claims: &Value, more: &Value) -> String {
    let mut line = json!({"method": "GET", "path": path, "authority": "orders.example", "headers": [["accept", "*/*"]]});
    if !claims.is_null() {
        line["claims"] = claims.clone();
    }
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    format!("{line}\n")
}

fn claims() -> Value {
    json!({"iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": "s-1", "commands": ["orders.*"],
           "iat": AT, "exp": AT + 600})
}

fn at(seconds: i64) -> Value {
    json!({"at": jiff::Timestamp::from_second(AT + seconds).unwrap().to_string()})
}

fn decided(lines: &[Value]) -> Vec<(u64, &str, Option<&str>)> {
    let line = |line: &'_ Value| line["line"].as_u64().unwrap();
    lines.iter().map(|l| (line(l), l["decision"].as_str().unwrap(), l["reason"].as_str())).collect()
}

#[test]
fn each_line_is_decided_in_order_with_state_and_time_carried_on() {
    let input = [
        request("/v1/orders", &claims(), &at(0)),
        "\n".to_owned(),
        request("/v1/orders/7", &claims(), &json!({})),
        request("/v1/customers", &claims(), &json!({})),
        request("/v1/orders", &Value::Null, &json!({})),
        request("/healthz", &Value::Null, &json!({})),
        request("/v1/orders", &claims(), &at(600)),
        request("/v1/orders", &claims(), &json!({})),
    ]
    .concat();
    let output = run(replay(), &input);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = lines(&output);
    assert_eq!(
        decided(&lines),
        [
            (1, "allow", None),
            (3, "allow", None),
            (4, "deny", Some("unknown_command")),
            (5, "deny", Some("token_missing")),
            (6, "allow", None),
            (7, "deny", Some("expired")),
            (8, "deny", Some("expired")),
        ]
    );
    let members: Vec<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    let mut contract =
        ["line", "decision", "reason", "status", "command", "session", "upstream_headers", "response_headers", "trap"];
    contract.sort_unstable();
    assert_eq!(members, contract);
    assert_eq!(
        (&lines[0]["command"], &lines[0]["session"], &lines[0]["status"]),
        (&json!("orders.list"), &json!("s-1"), &Value::Null)
    );
    assert_eq!((&lines[0]["response_headers"], &lines[0]["trap"]), (&Value::Null, &Value::Null));
    let upstream = lines[0]["upstream_headers"].as_array().unwrap();
    assert!(upstream.contains(&json!([":path", "/v1/orders"])) && upstream.contains(&json!(["accept", "*/*"])));
    assert!(upstream.contains(&json!(["authorization", "[not shown]"])), "{upstream:?}");
    assert!(upstream.contains(&json!(["x-chaperone-session", "s-1"])));
    assert_eq!((&lines[3]["status"], &lines[3]["upstream_headers"]), (&json!(401), &Value::Null));
    let response = lines[3]["response_headers"].as_array().unwrap();
    assert!(response.contains(&json!([":status", "401"])) && response.contains(&json!(["www-authenticate", "Bearer"])));
}

#[test]
fn claims_are_signed_as_they_were_written() {
    let twice = claims().to_string().replacen('{', r#"{"exp":99999999999,"#, 1);
    let line = request("/v1/orders", &json!({"stand": "in"}), &at(0)).replace(r#"{"stand":"in"}"#, &twice);
    let unknown = json!({"iss": "https://elsewhere.example", "aud": "orders"});
    let input = [line, request("/v1/orders", &unknown, &json!({})), request("/v1/orders", &json!({}), &json!({}))].concat();
    let output = run(replay(), &input);
    let lines = lines(&output);
    assert_eq!(lines[0]["reason"], "token_malformed", "duplicate members reach the filter");
    assert_eq!(lines[1]["reason"], "issuer_unknown");
    assert_eq!(lines[2]["decision"], "deny");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_broken_line_is_shown_where_it_is_and_the_others_go_on() {
    let good = request("/v1/orders", &claims(), &at(0));
    let input = [
        good.clone(),
        "{\"method\":\"GET\"\n".to_owned(),
        good.replacen("\"headers\"", "\"hedaers\"", 1),
        request("/v1/orders", &claims(), &at(-1)),
        "\"\u{e9}\" nonsense\n".to_owned(),
        good.trim_end().to_owned(),
    ]
    .concat();
    let output = run(replay(), &input);
    assert_eq!(output.status.code(), Some(3));
    let seen = lines(&output);
    assert_eq!(
        decided(&seen),
        [(1, "allow", None), (2, "deny", None), (3, "deny", None), (4, "deny", None), (5, "deny", None), (6, "allow", None)]
    );
    assert_eq!((&seen[1]["status"], &seen[1]["upstream_headers"]), (&Value::Null, &Value::Null));
    insta::assert_snapshot!(stderr(&output));
}

#[test]
fn each_answer_comes_before_the_next_question() {
    let mut child = replay().spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for number in 1..=3 {
        stdin.write_all(request("/v1/orders", &claims(), &at(0)).as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!((&answer["line"], &answer["decision"]), (&json!(number), &json!("allow")));
    }
    drop(stdin);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_cannot_start_says_so_and_exits_as_promised() {
    let with = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
        command.arg("replay").args(args).stdin(Stdio::null()).env_remove("CHAPERONE_WASM");
        command.output().unwrap()
    };
    let missing = with(&["--policy", "/nowhere/policy.yaml", "-"]);
    assert_eq!(missing.status.code(), Some(3));
    assert!(stderr(&missing).contains("/nowhere/policy.yaml: cannot be read"), "{}", stderr(&missing));
    let requests = with(&["--policy", POLICY, "/nowhere/requests.jsonl"]);
    assert_eq!(requests.status.code(), Some(3));
    assert!(stderr(&requests).contains("/nowhere/requests.jsonl: cannot be read"));
    assert_eq!(with(&["-"]).status.code(), Some(2), "no policy is a usage error");
    let no_filter = with(&["--policy", POLICY, "--wasm", POLICY, "-"]);
    assert_eq!(no_filter.status.code(), Some(3));
    assert!(stderr(&no_filter).contains("policy.yaml: not a valid WebAssembly module"), "{}", stderr(&no_filter));
    let nothing = with(&["--policy", POLICY, "-"]);
    assert_eq!((nothing.status.code(), nothing.stdout.len()), (Some(0), 0), "no lines in, no lines out");
}

/// A filter made of this text, and a replay through it.
fn through(guest: &str, input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let wasm = folder.path().join("filter.wasm");
    let text = format!(
        "(module (memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\"))
           (func (export \"proxy_on_memory_allocate\") (param i32) (result i32) i32.const 1024) {guest})"
    );
    std::fs::write(&wasm, wat::parse_str(text).unwrap()).unwrap();
    let mut command = replay();
    command.arg("--wasm").arg(&wasm);
    run(command, input)
}

#[test]
fn a_trap_denies_that_line_and_all_after_it() {
    let lets_pass_then_traps = "(global $seen (mut i32) (i32.const 0))
        (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32)
          (if (global.get $seen) (then unreachable))
          (global.set $seen (i32.const 1)) (i32.const 0))";
    let line = request("/v1/orders", &Value::Null, &at(0));
    let output = through(lets_pass_then_traps, &line.repeat(3));
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let lines = lines(&output);
    assert_eq!(decided(&lines), [(1, "allow", None), (2, "deny", None), (3, "deny", None)]);
    assert_eq!(lines[0]["trap"], Value::Null);
    for line in &lines[1..] {
        assert_eq!((&line["status"], &line["upstream_headers"]), (&json!(503), &Value::Null));
        assert!(line["trap"].as_str().unwrap().contains("unreachable"), "{line}");
    }
    assert_eq!(stderr(&output).matches("<stdin>:2: the filter trapped").count(), 1, "{}", stderr(&output));
}

#[test]
fn a_policy_that_the_filter_rejects_and_a_trap_at_the_start_are_told_apart() {
    let line = request("/v1/orders", &Value::Null, &at(0));
    let rejects = "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) i32.const 0)";
    for input in [line.as_str(), ""] {
        let output = through(rejects, input);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
        assert!(stderr(&output).contains("rejected the configuration"), "{}", stderr(&output));
    }
    let traps = "(func (export \"proxy_on_configure\") (param i32 i32) (result i32) unreachable)";
    assert_eq!(through(traps, &line).status.code(), Some(4));
}

#[test]
fn many_sessions_at_one_instant_are_not_too_many_unless_the_policy_says_so() {
    let line = |number: u32| {
        let mut claims = claims();
        claims["sid"] = json!(format!("s-{number}"));
        request("/v1/orders", &claims, &at(0))
    };
    let input: String = (1..=300).map(line).collect();
    let all = run(replay(), &input);
    assert!(decided(&lines(&all)).iter().all(|(_, decision, _)| *decision == "allow"), "{}", stderr(&all));
    let folder = tempfile::tempdir().unwrap();
    let limited = folder.path().join("policy.yaml");
    let policy = std::fs::read_to_string(POLICY).unwrap() + "\nlimits: {verifications_per_second: 5}\n";
    std::fs::write(&limited, policy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(["replay", "--policy"]).arg(&limited).arg("-").env("ORDERS_TOKEN", "x").env_remove("CHAPERONE_WASM");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let few = run(command, &input);
    let overloaded = lines(&few).iter().filter(|line| line["reason"] == "overloaded").count();
    assert_eq!(overloaded, 295);
}

/// What these requests would change from the example to another policy, made of it by replacements.
fn against(replacements: &[(&str, &str)], format: &str, input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut policy = std::fs::read_to_string(POLICY).unwrap();
    std::fs::write(folder.path().join("policy.yaml"), &policy).unwrap();
    for (from, to) in replacements {
        assert!(policy.contains(from), "{from}");
        policy = policy.replacen(from, to, 1);
    }
    std::fs::write(folder.path().join("next.yaml"), policy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(["replay", "--policy", "policy.yaml", "--against", "next.yaml", "--format", format, "-"]);
    command.current_dir(folder.path()).env("ORDERS_TOKEN", "x").env_remove("CHAPERONE_WASM");
    // The filter that the workspace built is found from the binary's own folder.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    run(command, input)
}

/// Requests of some sessions: reads that go on, writes and a session whose fate the other policy changes.
fn a_log() -> String {
    let mut writer = claims();
    writer["role"] = json!("fulfilment");
    let mut revoked = claims();
    revoked["sid"] = json!("s-2041");
    let delete = |line: String| line.replacen("\"GET\"", "\"DELETE\"", 1);
    let mut input = request("/v1/orders?token=in-the-query", &claims(), &at(0));
    for number in 1..=5 {
        input += &delete(request(&format!("/v1/orders/{number}?token=in-the-query"), &writer, &json!({})));
    }
    input += &request("/v1/orders/7", &revoked, &json!({}));
    input += &request("/v1/invoices", &claims(), &json!({}));
    input
}

const NEXT: [(&str, &str); 3] = [
    ("allow: [orders.create, orders.cancel]", "allow: [orders.create]"),
    ("  - {session: s-2041,", "  - {session: s-2042,"),
    ("orders.create: {http", "invoices.list: {http: {methods: [GET], path: /v1/invoices}}\n  orders.create: {http"),
];

#[test]
fn what_another_policy_would_change_is_grouped_and_counted() {
    let output = against(&NEXT, "human", &a_log());
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("in-the-query"), "{text}");
    insta::assert_snapshot!(text);
    let same = against(&[], "human", &a_log());
    assert_eq!(same.status.code(), Some(0));
    assert_eq!(String::from_utf8(same.stdout).unwrap(), "0 of 8 decisions would change from policy.yaml to next.yaml\n");
}

#[test]
fn programs_get_the_changes_as_json_and_broken_lines_are_counted() {
    let input = a_log() + "{\"method\"\n" + &request("/v1/orders", &claims(), &at(-5));
    let output = against(&NEXT, "json", &input);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("2 of 10 lines could not be read"), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["decided"], &report["undecided"], &report["changed"]), (&json!(8), &json!(2), &json!(7)));
    let changes = report["changes"].as_array().unwrap();
    let seen: Vec<_> =
        changes.iter().map(|change| (change["kind"].as_str().unwrap(), change["count"].as_u64().unwrap())).collect();
    assert_eq!(seen, [("newly_allowed", 1), ("newly_denied", 5), ("otherwise", 1)]);
    assert_eq!(changes[0]["old"], json!({"decision": "deny", "reason": "revoked", "command": "orders.read"}));
    assert_eq!(changes[1]["new"], json!({"decision": "deny", "reason": "command_not_granted", "command": "orders.cancel"}));
    assert_eq!(changes[1]["examples"][0], json!({"line": 2, "method": "DELETE", "path": "/v1/orders/1", "session": "s-1"}));
    assert_eq!(changes[1]["examples"].as_array().unwrap().len(), 3);
}

#[test]
fn a_format_without_another_policy_is_a_usage_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    let output = command.args(["replay", "--policy", POLICY, "--format", "json", "-"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "the contract's lines have one format");
}
