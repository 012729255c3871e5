//! `check` of policies of 1 MB: its work grows with the policy, not with its square.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fmt::Write as _,
    fs,
    process::Command,
    time::{Duration, Instant},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");
/// Far more than it takes, on a machine that is busy with other tests; comparing each command with each took 25 seconds.
const LONG: Duration = Duration::from_secs(5);

/// The example with these commands and grants in the place of its own; the first line of what `check` said of it.
fn check(commands: impl Iterator<Item = String>, grants: impl Iterator<Item = String>) -> String {
    let example = fs::read_to_string(EXAMPLE).unwrap();
    let mut policy = example.split_once("\ncommands:").unwrap().0.to_owned() + "\ncommands:\n";
    commands.for_each(|command| writeln!(policy, "  {command}").unwrap());
    policy.push_str("grants:\n");
    grants.for_each(|grant| writeln!(policy, "  - {grant}").unwrap());
    assert!(policy.len() > 900_000, "{}", policy.len());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    let begun = Instant::now();
    let mut check = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    let output = check.args(["check", "policy.yaml"]).current_dir(folder.path()).output().unwrap();
    let took = begun.elapsed();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(took < LONG, "{took:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn thousands_of_commands() {
    let command = |n: usize| {
        format!("svc{}.op{n}: {{http: {{methods: [GET, POST], path: \"/v1/svc{}/resource{n}/{{id}}/items\"}}}}", n / 50, n / 50)
    };
    let grant = |n: usize| format!("{{name: g{n}, when: {{subject: \"agent-{n}-*\"}}, allow: [\"svc{n}.*\"]}}");
    let said = check((0..11_000).map(command), (0..200).map(grant));
    assert!(said.contains("11000 commands, 200 grants"), "{said}");
}

#[test]
fn thousands_that_nobody_is_granted() {
    let command = |n: usize| {
        format!("svc{}.op{n}: {{http: {{methods: [GET, POST], path: \"/v1/svc{}/resource{n}/{{*rest}}\"}}}}", n / 50, n / 50)
    };
    check((0..11_000).map(command), std::iter::once("{name: g, when: {subject: agent-7}, allow: [svc0.op1]}".to_owned()));
}

#[test]
fn thousands_of_tools_at_one_endpoint() {
    let command =
        |n: usize| format!("svc{}.op{n}: {{mcp: {{path: /mcp, tools: [tool_{n}, \"many_tools_of_this_kind_{n}_*\"]}}}}", n / 50);
    let begin = "begin: {mcp: {path: /mcp, methods: [initialize, tools/list]}}".to_owned();
    let grant = |n: usize| format!("{{name: g{n}, when: {{subject: agent-{n}}}, allow: [\"svc{n}.*\", begin]}}");
    check((0..11_000).map(command).chain([begin]), (0..110).map(grant));
}

#[test]
fn thousands_of_grants() {
    let grant = |n: usize| {
        format!(
            "{{name: grant-number-{n}, when: {{subject: agent-{n}, issuer: \"https://broker.example\"}}, allow: [orders.read]}}"
        )
    };
    let command = "orders.read: {http: {methods: [GET], path: \"/v1/orders/{id}\"}}".to_owned();
    check(std::iter::once(command), (0..9_500).map(grant));
}
