//! The examples, as their READMEs tell them: every shown command and record checked.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::Document;
use policy_host::{
    files,
    host::{LogSink, Module},
    replay::Replay,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Each example and its requests.
const EXAMPLES: [(&str, &str); 8] = [
    ("agent-orders", "order.jsonl"),
    ("database-agent", "task.jsonl"),
    ("elevated-engineer", "night.jsonl"),
    ("mcp-agent", "desk.jsonl"),
    ("mcp-approval", "desk.jsonl"),
    ("service-account", "day.jsonl"),
    ("third-party-support", "shift.jsonl"),
    ("vendor-support", "ticket.jsonl"),
];

/// The credentials of their targets, and what one is had with.
const CREDENTIALS: [&str; 5] = ["ORDERS_TOKEN", "ADMIN_KEY", "BROKER_CLIENT_SECRET", "ERP_TOKEN", "TICKETS_TOKEN"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn filter() -> Module {
    let path = workspace().join("target/wasm32-wasip1/wasm/chaperone.wasm");
    Module::load(&path).unwrap_or_else(|error| panic!("{error}; `make wasm` builds it"))
}

/// The fenced blocks of a README in this language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Every member of `shown` is in `whole`, at any depth.
fn is_in(shown: &Value, whole: &Value) -> bool {
    match (shown, whole) {
        (Value::Object(shown), Value::Object(whole)) => {
            shown.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| is_in(value, whole)))
        }
        _ => shown == whole,
    }
}

fn binary(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(args).current_dir(workspace()).envs(CREDENTIALS.map(|name| (name, "x"))).env_remove("CHAPERONE_WASM");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_the_readmes_show_is_what_happens() {
    for (example, requests) in EXAMPLES {
        let folder = workspace().join("examples").join(example);
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let policy = format!("examples/{example}/policy.yaml");
        let console = blocks(&readme, "console").remove(0);

        assert!(console.contains(&format!("$ policy-host check {policy}\n")), "{console}");
        assert!(console.contains(&binary(&["check", &policy])), "{example}: {}", binary(&["check", &policy]));

        let folder = format!("examples/{example}");
        let tested = binary(&["test", &folder]);
        let first = tested.lines().next().unwrap();
        assert!(console.contains(&format!("$ policy-host test {folder} | head -1\n{first}\n")), "{console}\n{first}");

        let requests = format!("examples/{example}/{requests}");
        assert!(console.contains(&format!("$ policy-host replay --policy {policy} {requests} \\\n")), "{console}");
        let shown: Vec<&str> = console.lines().filter(|line| line.starts_with('{')).collect();
        let seen: Vec<Value> =
            binary(&["replay", "--policy", &policy, &requests]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(shown.len(), seen.len(), "{example}");
        for (shown, seen) in shown.iter().zip(&seen) {
            let shown: Value = serde_json::from_str(shown).unwrap();
            assert!(is_in(&shown, seen), "{example}: {shown} is not in {seen}");
        }

        let document = files::policy(&workspace().join(&policy)).unwrap();
        for shown in blocks(&readme, "yaml") {
            let shown = Document::parse("README.md", shown).unwrap();
            let shown = shown.value()["revoked"].as_array().unwrap().clone();
            let real = document.value()["revoked"].as_array().unwrap();
            assert!(shown.iter().all(|entry| real.contains(entry)), "{example}: {shown:?}");
        }

        let environment = CREDENTIALS.map(|name| (name.to_owned(), "x".to_owned())).to_vec();
        let mut replay = Replay::new(filter(), document.value(), environment, LogSink::discard()).unwrap();
        let lines = std::fs::read_to_string(workspace().join(&requests)).unwrap();
        let outcomes: Vec<_> =
            (1..).zip(lines.lines()).map(|(number, line)| replay.decide(number, line, jiff::Timestamp::now()).unwrap()).collect();
        let record = outcomes[1].record.clone().unwrap();
        let shown: Value = serde_json::from_str(&blocks(&readme, "json")[0]).unwrap();
        assert!(is_in(&shown, &record), "{example}: {shown:#} is not in {record:#}");
    }
}

/// Whoever tries one example after the other in a clone: nothing of the first is in the way of the second, or in the repository's.
#[test]
fn each_example_writes_into_a_folder_of_its_own_that_git_ignores() {
    let mut keys = 0;
    for (example, _) in EXAMPLES {
        let readme = std::fs::read_to_string(workspace().join("examples").join(example).join("README.md")).unwrap();
        let own = format!("target/demo/{example}");
        let script = blocks(&readme, "sh").concat().replace("$PWD/", "");
        let script = script.replace("\"$D", &format!("\"{own}")).replace('"', "");
        let written = script.split(" > ").skip(1).chain(script.split(" --out ").skip(1)).chain(script.split(" -p ").skip(1));
        for path in written.map(|rest| rest.split_whitespace().next().unwrap()) {
            assert!(path.starts_with(&own), "{example} writes {path}");
        }
        keys += script.matches("keygen").count();
        assert_eq!(
            script.matches("keygen").count(),
            script.lines().filter(|line| line.starts_with("mkdir -p ")).count(),
            "{script}"
        );
    }
    assert_eq!(keys, 3);
    assert!(std::fs::read_to_string(workspace().join(".gitignore")).unwrap().lines().any(|line| line == "/target/"));
}
