//! `replay --sessions-apart`: several filter instances decide what one would.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const POLICY: &str = include_str!("../../examples/agent-orders/policy.yaml");
const AT: i64 = 1_795_428_000;

/// A folder with the example that ends sessions by what they do, another policy, and these lines.
fn folder(lines: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ends = "\nend_session_when: {denials: {count: 3, within: 10m}}\n";
    let policy = POLICY.replacen("  max_lifetime: 15m", "  idle_timeout: 2m\n  max_lifetime: 15m", 1) + ends;
    assert_ne!(policy, POLICY.to_owned() + ends);
    let next = policy.replacen("allow: [orders.list, orders.read]", "allow: [orders.list]", 1);
    assert_ne!(policy, next);
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    fs::write(folder.path().join("next.yaml"), next).unwrap();
    fs::write(folder.path().join("lines.jsonl"), lines).unwrap();
    folder
}

fn replay(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.current_dir(folder).env("ORDERS_TOKEN", "x").env_remove("CHAPERONE_WASM");
    command.args(["replay", "--policy", "policy.yaml"]).args(arguments).arg("lines.jsonl").output().unwrap()
}

/// 60 sessions over a quarter of an hour: what is granted and what is not, sessions that end by denials, by idleness and by the
/// policy's revocations, lines without a token, lines without a time, and lines that cannot be read.
fn a_log() -> String {
    let mut lines = String::new();
    for number in 0..3000_i64 {
        let session = number * 7 % 61 % 60;
        let sid = if session == 9 { "s-2041".to_owned() } else { format!("s-{session}") };
        // Some hammer at what they may not do; some are away for a while.
        let away = session % 10 == 3 && number % 1000 > 300;
        let (method, path) = match (session % 10, number % 7) {
            _ if away => ("GET", "/healthz"),
            (5, _) => ("DELETE", "/v1/orders/7"),
            (_, 0) => ("GET", "/v1/orders/7"),
            (7, 1) => ("GET", "/v1/nothing"),
            (_, _) => ("GET", "/v1/orders"),
        };
        let mut line = json!({"method": method, "path": path, "authority": "orders.example", "headers": [["x-request-id", number.to_string()]]});
        if !away {
            line["claims"] = json!({"iss": "https://broker.example", "aud": "orders", "sub": format!("agent-{session}"), "sid": sid,
                "commands": ["orders.*"], "iat": AT, "exp": AT + 600 + session});
        }
        if number % 5 != 1 {
            line["at"] = json!(jiff::Timestamp::from_second(AT + number / 4).unwrap().to_string());
        }
        lines += &match number % 500 {
            77 => "{\"method\":\"GET\"\n".to_owned(),
            // Before the lines around it.
            78 => {
                line["at"] = json!(jiff::Timestamp::from_second(AT - 1).unwrap().to_string());
                format!("{line}\n")
            }
            79 => "\n".to_owned(),
            _ => format!("{line}\n"),
        };
    }
    lines
}

/// The output's lines without what no two runs have in common: audit ids, and the revision, of which the run's keys are a part.
fn decided(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let without = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for headers in ["upstream_headers", "response_headers"] {
            for header in line[headers].as_array_mut().into_iter().flatten() {
                let name = header[0].as_str().unwrap();
                if name.ends_with("-audit-id") || name.ends_with("-policy") {
                    header[1] = Value::Null;
                }
            }
        }
        line
    };
    text.lines().map(without).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn many_sessions_are_decided_as_by_one_filter_and_in_the_order_of_the_input() {
    let folder = folder(&a_log());
    let (together, apart) = (replay(folder.path(), &[]), replay(folder.path(), &["--sessions-apart"]));
    assert_eq!((together.status.code(), apart.status.code()), (Some(3), Some(3)));
    assert_eq!(text(&together.stderr), text(&apart.stderr), "bad lines are shown alike");
    let (together, apart) = (decided(&together), decided(&apart));
    assert_eq!(together.len(), 3000 - 6);
    for (one, other) in together.iter().zip(&apart) {
        assert_eq!(one, other);
    }
    assert_eq!(together.len(), apart.len());
    for reason in ["session_ended", "idle", "revoked", "expired", "unknown_command", "command_not_granted"] {
        assert!(together.iter().any(|line| line["reason"] == reason), "no line shows {reason}");
    }
}

#[test]
fn what_another_policy_would_change_is_counted_alike_with_the_first_examples() {
    let folder = folder(&a_log());
    let against = ["--against", "next.yaml", "--format", "json"];
    let together = replay(folder.path(), &against);
    let apart = replay(folder.path(), &[&against[..], &["--sessions-apart"]].concat());
    assert_eq!((together.status.code(), apart.status.code()), (Some(3), Some(3)));
    assert_eq!(text(&together.stdout), text(&apart.stdout));
    let report: Value = serde_json::from_slice(&together.stdout).unwrap();
    assert!(report["changed"].as_u64() > Some(100), "{report}");
}

#[test]
fn a_trap_in_one_of_them_is_told_and_denies_what_comes_to_it() {
    let guest = "(module (memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\"))
        (func (export \"proxy_on_memory_allocate\") (param i32) (result i32) i32.const 1024)
        (global $seen (mut i32) (i32.const 0))
        (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32)
          (if (i32.gt_u (global.get $seen) (i32.const 700)) (then unreachable))
          (global.set $seen (i32.add (global.get $seen) (i32.const 1))) (i32.const 0)))";
    let folder = folder(&a_log());
    fs::write(folder.path().join("filter.wasm"), wat::parse_str(guest).unwrap()).unwrap();
    let output = replay(folder.path(), &["--sessions-apart", "--wasm", "filter.wasm"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr).matches("the filter trapped").count(), 1, "{}", text(&output.stderr));
    let lines = decided(&output);
    assert_eq!(lines.len(), 3000 - 6);
    let numbers: Vec<u64> = lines.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted());
    assert!(lines.iter().take(700).all(|line| line["trap"].is_null()));
    assert!(lines.iter().filter(|line| !line["trap"].is_null()).all(|line| line["decision"] == "deny"));
    assert!(lines.iter().any(|line| !line["trap"].is_null()));
}

#[test]
fn a_policy_that_the_filter_rejects_is_told_as_without_it() {
    let rejects = "(module (memory (export \"memory\") 1) (func (export \"proxy_abi_version_0_2_1\"))
        (func (export \"proxy_on_memory_allocate\") (param i32) (result i32) i32.const 1024)
        (func (export \"proxy_on_configure\") (param i32 i32) (result i32) i32.const 0))";
    for lines in [a_log(), String::new()] {
        let folder = folder(&lines);
        fs::write(folder.path().join("filter.wasm"), wat::parse_str(rejects).unwrap()).unwrap();
        let output = replay(folder.path(), &["--sessions-apart", "--wasm", "filter.wasm"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0));
        assert!(text(&output.stderr).contains("rejected the configuration"), "{}", text(&output.stderr));
    }
}
