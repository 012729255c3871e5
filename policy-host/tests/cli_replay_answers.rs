//! `replay` of bodies in pieces and of answers that are known: what the client gets of them, and what another policy would change.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::{fs, path::PathBuf, process::Command};

const POLICY: &str = include_str!("../../examples/mcp-agent/policy.yaml");

/// A folder with the example's policy, another by these replacements, and lines of input.
fn folder(name: &str, replaced: &[(&str, &str)], lines: &[Value]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    let next = replaced.iter().fold(POLICY.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    fs::write(folder.join("policy.yaml"), POLICY).unwrap();
    fs::write(folder.join("next.yaml"), next).unwrap();
    fs::write(folder.join("lines.jsonl"), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    folder
}

fn replay(folder: &PathBuf, policy: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.current_dir(folder).env("TICKETS_TOKEN", "the-tickets-credential").env_remove("CHAPERONE_WASM");
    let output = command.args(["replay", "--policy", policy]).args(arguments).arg("lines.jsonl").output().unwrap();
    assert!(output.status.code() == Some(0) || !output.stderr.is_empty());
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (String::from_utf8(text).unwrap(), output.status.code())
}

fn message(more: &Value) -> Value {
    let mut line = json!({
        "method": "POST", "path": "/mcp", "authority": "tickets.example", "at": "2026-11-23T10:01:00Z",
        "headers": [["content-type", "application/json"], ["mcp-protocol-version", "2025-11-25"]],
        "claims": {"iss": "https://broker.example", "aud": "tickets", "sub": "agent-7", "sid": "s-1", "iat": 1_795_428_000, "exp": 1_795_428_600},
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn list() -> Value {
    let tools = ["search", "read_ticket", "delete_ticket"].map(|name| json!({"name": name, "inputSchema": {"type": "object"}}));
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}).to_string();
    let (first, second) = answer.split_at(50);
    message(&json!({
        "chunks": ["{\"jsonrpc\":\"2.0\",\"id\":1,", "\"method\":\"tools/list\"}"],
        "reply": {"headers": [["content-type", "application/json"]], "chunks": [first, second]},
    }))
}

#[test]
fn what_the_client_gets_of_an_answer_is_told() {
    let call = |reply: Value| {
        let body = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"read_ticket","arguments":{"id":"t-1"}}}"#;
        message(&json!({"body": body, "reply": reply}))
    };
    let echoes = json!({"headers": [["content-type", "application/json"]], "body": "Bearer the-tickets-credential"});
    let broken = json!({"headers": [["content-type", "application/json"], ["content-encoding", "gzip"]], "body": "?"});
    let mut unread = list();
    unread["reply"] = broken;
    let denied = message(&json!({"body": "{}", "reply": {"body": "never asked for"}}));
    let plain = call(
        json!({"status": 404, "headers": [["content-type", "application/json"]], "body": "{}", "trailers": [["x-sum", "1"]]}),
    );
    let without = message(&json!({"body": r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#}));
    let credential = "  credential: {header: authorization, value: \"Bearer ${env:TICKETS_TOKEN}\"}";
    let cut = format!("{credential}\n  echoed_credential: cut");
    let folder = folder("answers", &[(credential, &cut)], &[list(), call(echoes), unread, denied, plain, without]);
    let (text, code) = replay(&folder, "next.yaml", &[]);
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = lines.iter().map(|line| (line["decision"].as_str().unwrap(), &line["command"], &line["answer"])).collect();
    let body: Value = serde_json::from_str(seen[0].2["body"].as_str().unwrap()).unwrap();
    let names: Vec<_> = body["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!((seen[0].0, names, &seen[0].2["withheld"]), ("allow", vec!["search", "read_ticket"], &json!(1)));
    assert_eq!((seen[1].0, &seen[1].2["cut"]), ("allow", &json!("credential_echoed")), "{}", lines[1]);
    assert!(!text.contains("\"body\":\"Bearer"));
    assert_eq!(
        (seen[2].0, &seen[2].2["cut"], &seen[2].2["status"]),
        ("allow", &json!("credential_echoed"), &json!(502)),
        "{}",
        lines[2]
    );
    assert_eq!((seen[3].0, seen[3].2), ("deny", &Value::Null), "what is denied is asked for nothing");
    assert_eq!(
        (seen[4].0, &seen[4].2["status"], &seen[4].2["body"], &seen[4].2["cut"]),
        ("allow", &json!(404), &json!("{}"), &Value::Null)
    );
    assert_eq!((seen[5].0, seen[5].2), ("allow", &Value::Null), "without a reply there is nothing to tell");
}

#[test]
fn another_policy_changes_what_is_withheld_and_what_is_cut() {
    let narrower =
        [("allow: [mcp.base, tickets.search, tickets.read, handbook.read]", "allow: [mcp.base, tickets.read, handbook.read]")];
    let narrower = [
        narrower[0],
        ("    calls: [{commands: [tickets.search], count: 30, within: 1m}]     # in a session, over all workers\n", ""),
    ];
    let folder = folder("answers-against", &narrower, &[list(), list()]);
    let (text, code) = replay(&folder, "policy.yaml", &["--against", "next.yaml"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("2 of 2 decisions would change"), "{text}");
    assert!(
        text.contains("mcp.base: allow (200, 1 withheld) → allow (200, 2 withheld), with another body, 2 requests"),
        "{text}"
    );
    let (text, _) = replay(&folder, "policy.yaml", &["--against", "next.yaml", "--format", "json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    let withheld = |which: &str| report["changes"][0][which]["answer"]["withheld"].as_u64();
    assert_eq!((withheld("old"), withheld("new")), (Some(1), Some(2)));
    // What is said to agents of a tool is a part of the answer, too.
    let folder = self::folder("answers-narrow", &[("      narrow: true ", "      narrow: false")], &[list()]);
    let (text, _) = replay(&folder, "policy.yaml", &["--against", "next.yaml"]);
    assert!(text.contains("mcp.base: allow (200, 1 withheld) → allow (200, 1 withheld), with another body, 1 request"), "{text}");
    let (text, _) = replay(&folder, "policy.yaml", &["--against", "policy.yaml"]);
    assert!(text.contains("0 of 1 decision would change"), "{text}");
}

#[test]
fn a_broken_answer_is_shown_where_it_is() {
    let mut wrong = list();
    wrong["reply"] = json!({"status": 99});
    let folder = folder("answers-broken", &[], &[wrong]);
    let (text, code) = replay(&folder, "policy.yaml", &[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("`reply`: `status` ends no request") && text.contains("from 200 to 599"), "{text}");
}

/// Not all of it has come to the target, whatever is known of an answer.
#[test]
fn a_body_that_is_too_much_is_denied_however_it_came() {
    let limit = (
        "    allow: [mcp.base, tickets.search, tickets.read, handbook.read]",
        "    allow: [mcp.base, tickets.search, tickets.read, handbook.read]\n    transfers: {max_request_bytes: 60}",
    );
    let body = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"read_ticket","arguments":{"id":"t-1"}}}"#;
    let reply = json!({"headers": [["content-type", "application/json"]], "body": "{}"});
    let (first, second) = body.split_at(20);
    let lines = [
        message(&json!({"body": body})),
        message(&json!({"body": body, "reply": reply})),
        message(&json!({"chunks": [first, second]})),
        message(&json!({"chunks": [first, second], "reply": reply})),
    ];
    let folder = folder("answers-too-much", &[limit], &lines);
    let (text, _) = replay(&folder, "next.yaml", &[]);
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let seen = (&line["decision"], &line["reason"], &line["upstream_headers"], &line["answer"]);
        assert_eq!(seen, (&json!("deny"), &json!("transfer_not_allowed"), &Value::Null, &Value::Null), "{line}");
    }
    let (text, _) = replay(&folder, "policy.yaml", &["--against", "next.yaml"]);
    assert!(
        text.contains("newly denied") && text.contains("tickets.read: allow (200) → deny transfer_not_allowed, 2 requests"),
        "{text}"
    );
}
