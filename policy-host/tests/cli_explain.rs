//! `explain` through the binary: an allowed request, and a denial at each stage of the checks.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::token::TestKey;
use chaperone_policy::Algorithm;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");
const AT: i64 = 1_795_428_000;

fn claims(change: Value) -> Value {
    let mut claims = json!({"iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": "s-1", "jti": "t-1",
        "act": {"sub": "planner"}, "commands": ["orders.*"], "iat": AT, "exp": AT + 600});
    claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    claims
}

fn request(method: &str, path: &str, claims: Option<Value>) -> Value {
    let mut request =
        json!({"method": method, "path": path, "authority": "orders.example", "headers": [], "at": "2026-11-23T10:00:00Z"});
    if let Some(claims) = claims {
        request["claims"] = claims;
    }
    request
}

fn explain(args: &[&str], input: &str) -> Output {
    explain_under(POLICY, args, input)
}

fn explain_under(policy: &str, args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(["explain", "--policy", policy]).args(args).arg("-");
    command.env("ORDERS_TOKEN", "the-api-credential").env("TICKETS_TOKEN", "x").env_remove("CHAPERONE_WASM");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What people see, without the id of the key of this run.
fn shown(request: &Value, exit: i32) -> String {
    let output = explain(&[], &request.to_string());
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(exit), String::new()), "{}", text(&output.stdout));
    let shown = text(&output.stdout);
    assert!(!shown.contains("the-api-credential") && !shown.contains("in-the-query"), "{shown}");
    let steady = |line: &str| match line.split_once("kid ") {
        Some((before, after)) if !after.starts_with("broker") => {
            format!("{before}kid [of this run],{}", after.split_once(',').unwrap().1)
        }
        Some(_) | None => line.to_owned(),
    };
    let shown: String = shown.lines().map(|line| steady(line) + "\n").collect();
    // Not before: the id of a key is a digest, and may have anything in it.
    assert!(!shown.contains("eyJ"), "{shown}");
    shown
}

#[test]
fn an_allowed_request_shows_what_each_check_saw() {
    insta::assert_snapshot!(shown(&request("GET", "/v1/%6frders/7?token=in-the-query", Some(claims(json!({})))), 0));
    insta::assert_snapshot!(shown(&request("GET", "/healthz", None), 0));
}

#[test]
fn a_token_that_is_missing() {
    insta::assert_snapshot!(shown(&request("GET", "/v1/orders/7", None), 1));
}

#[test]
fn an_issuer_that_the_policy_does_not_know() {
    let seen = shown(&request("GET", "/v1/orders", Some(claims(json!({"iss": "https://other.example"})))), 1);
    assert!(seen.contains("; no issuer to say what is accepted\n") && !seen.contains("accepted: ;"), "{seen}");
}

#[test]
fn a_signature_that_does_not_hold() {
    let stranger = TestKey::generate(Algorithm::Es256).unwrap();
    let token = stranger.sign(json!({"kid": "broker-2026-11"}), claims(json!({})));
    let mut forged = request("GET", "/v1/orders/7", None);
    forged["headers"] = json!([["authorization", format!("Bearer {token}")]]);
    insta::assert_snapshot!(shown(&forged, 1));
}

#[test]
fn a_session_that_has_expired() {
    insta::assert_snapshot!(shown(&request("GET", "/v1/orders", Some(claims(json!({"iat": AT - 700, "exp": AT - 100})))), 1));
}

#[test]
fn a_session_that_is_revoked() {
    insta::assert_snapshot!(shown(&request("GET", "/v1/orders", Some(claims(json!({"sid": "s-2041"})))), 1));
}

#[test]
fn a_request_that_is_no_command() {
    insta::assert_snapshot!(shown(&request("GET", "/v1/customers", Some(claims(json!({})))), 1));
}

#[test]
fn a_command_that_the_token_does_not_list() {
    let claims =
        claims(json!({"commands": ["orders.list"], "authorization_details": [{"type": "chaperone", "actions": ["orders.*"]}]}));
    insta::assert_snapshot!(shown(&request("GET", "/v1/orders/7", Some(claims)), 1));
}

/// Both digests are shown: the one that the call has, and the one that somebody has agreed to.
#[test]
fn a_call_that_the_token_lists_with_other_arguments() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/mcp-approval");
    let desk = fs::read_to_string(format!("{example}/desk.jsonl")).unwrap();
    let output = explain_under(&format!("{example}/policy.yaml"), &[], desk.lines().nth(3).unwrap());
    let (shown, agreed) = (text(&output.stdout), "f935efb75c39c6b20d259962bc6c05b128931579b7af4146963278491d160675");
    let asked = "63ab2b3685a117a563425cd6bf7c38149dc7a70b8e13111fdef6f07a1a136c8a";
    let list = format!("tickets.delete with arguments_sha256 {agreed}]; asked with arguments_sha256 {asked}");
    assert!(output.status.code() == Some(1) && shown.contains(&list), "{shown}");
    let advice = format!("a token that lists the command, or the command with arguments_sha256 {asked} (this call's)");
    assert!(shown.contains(&advice), "{shown}");
}

#[test]
fn a_command_that_is_not_granted_and_the_grant_that_was_nearest() {
    insta::assert_snapshot!(shown(&request("DELETE", "/v1/orders/7", Some(claims(json!({"role": ["reader", "picker"]})))), 1));
    let granted = shown(&request("DELETE", "/v1/orders/7", Some(claims(json!({"role": ["reader", "fulfilment"]})))), 0);
    assert!(granted.contains("fulfilment-writes, until 2026-11-23T10:05:00Z"), "{granted}");
    let late = claims(json!({"role": "fulfilment", "iat": AT - 301, "exp": AT + 100}));
    let ended = shown(&request("DELETE", "/v1/orders/7", Some(late)), 1);
    assert!(ended.contains("deny lifetime_exceeded") && ended.contains("has run out for this session"), "{ended}");
}

#[test]
fn a_form_of_calls_that_no_command_takes_is_named() {
    let mut request = request("POST", "/users.v1.Users/Get", Some(claims(json!({}))));
    request["headers"] = json!([["content-type", "application/grpc-web+proto"]]);
    let refused = shown(&request, 1);
    assert!(refused.contains("none, called as grpc_web\n") && refused.contains("unknown_command"), "{refused}");
}

#[test]
fn programs_get_every_check_with_its_verdict() {
    let output = explain(&["--format", "json"], &request("DELETE", "/v1/orders/7", Some(claims(json!({})))).to_string());
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["decision"], &report["reason"], &report["status"]),
        (&json!("deny"), &json!("command_not_granted"), &json!(403))
    );
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["request", "path", "lookup", "token"]);
    assert_eq!(checks.last().unwrap()["check"], "grants");
    let verdicts: Vec<&str> = checks.iter().map(|check| check["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == "failed").count(), 1);
    assert_eq!(*verdicts.last().unwrap(), "failed");
    assert_eq!(report["nearest"]["grant"], "fulfilment-writes");
    assert_eq!(
        report["nearest"]["failing"],
        json!([{"about": "claims.role", "wanted": "fulfilment", "seen": [], "holds": false}])
    );
}

#[test]
fn an_observed_denial_is_an_allowance_that_shows_what_would_have_failed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = fs::read_to_string(POLICY).unwrap() + "\nobserve: [command_not_in_token, command_not_granted]\n";
    let path = folder.path().join("policy.yaml");
    fs::write(&path, policy).unwrap();
    let line = request("DELETE", "/v1/orders/7", Some(claims(json!({"commands": []}))));
    let file = folder.path().join("request.json");
    fs::write(&file, line.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(["explain", "--format", "json", "--policy"]).arg(path).arg(file).env_remove("CHAPERONE_WASM");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["decision"], &report["reason"]), (&json!("allow"), &json!("command_not_in_token")));
    let observed = report["checks"].as_array().unwrap().iter().filter(|check| check["verdict"] == "observed");
    assert_eq!(observed.map(|check| check["check"].as_str().unwrap()).collect::<Vec<_>>(), ["token_commands", "grants"]);
}

#[test]
fn what_a_terminal_would_obey_is_shown_and_not_sent() {
    let shown = shown(&request("GET", "/v1/orders", Some(claims(json!({"iss": "x\u{1b}[2J"})))), 1);
    assert!(!shown.contains('\u{1b}') && shown.contains("x\\u{1b}[2J"), "{shown}");
}

#[test]
fn bad_input_is_one_located_error() {
    let broken = explain(&[], "{\"method\":\"GET\",\n \"paht\":\"/\"}");
    assert_eq!((broken.status.code(), broken.stdout.len()), (Some(3), 0));
    insta::assert_snapshot!(text(&broken.stderr));
    let missing = Command::new(env!("CARGO_BIN_EXE_policy-host"))
        .args(["explain", "--policy", POLICY, "/nowhere/request.json"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("/nowhere/request.json: cannot be read"), "{}", text(&missing.stderr));
}

/// A filter that lets everything through is not the one that the core speaks for.
#[test]
fn a_filter_that_decides_otherwise_than_the_core_is_said_to() {
    let folder = tempfile::tempdir().unwrap();
    let wasm = folder.path().join("filter.wasm");
    let open = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024))"#;
    fs::write(&wasm, wat::parse_str(open).unwrap()).unwrap();
    let output = explain(&["--wasm", wasm.to_str().unwrap()], &request("GET", "/v1/orders", None).to_string());
    assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0));
    assert!(
        text(&output.stderr)
            .contains("the filter decided `allow -`, and the core in this program `deny token_missing orders.list`"),
        "{}",
        text(&output.stderr)
    );
}
