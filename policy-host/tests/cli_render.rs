//! `policy-host render` as a user runs it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn policy_host(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).args(arguments).output().expect("policy-host runs")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/agent-orders/policy.yaml")
}

/// `name@revision` of what `check` says.
fn label(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    said.rsplit_once(": ").expect("file: a valid policy: label").1.split(',').next().unwrap().to_owned()
}

#[test]
fn what_envoy_watches_holds_the_policy_and_no_placeholder() {
    let example = example();
    let rendered = policy_host(&["render", "ecds", "--policy", example.to_str().unwrap(), "--wasm", "/etc/envoy/chaperone.wasm"]);
    assert_eq!(rendered.status.code(), Some(0), "{rendered:?}");
    let text = String::from_utf8(rendered.stdout).unwrap();
    assert!(!text.replace("${env:", "").contains("${"), "{text}");
    assert!(
        text.contains("filename: \"/etc/envoy/chaperone.wasm\"") && text.contains("host_env_keys: [\"ORDERS_TOKEN\"]"),
        "{text}"
    );
    assert!(!text.contains("\"generation\":1,") && text.contains("\"generation\":"), "moved on");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let check = |path: &Path| label(&policy_host(&["check", path.to_str().unwrap()]));
    assert_eq!(check(file.path()), check(&example), "the same policy, its revision says");
}

#[test]
fn a_wrong_policy_is_not_rendered() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "version: 1\n").unwrap();
    let rendered = policy_host(&["render", "ecds", "--policy", file.path().to_str().unwrap(), "--wasm", "x.wasm"]);
    assert_eq!((rendered.status.code(), rendered.stdout.is_empty()), (Some(3), true), "{rendered:?}");
    assert!(String::from_utf8_lossy(&rendered.stderr).contains("`name` is missing"));
}
