//! `policy-host schema` as a user runs it, and the help of the verbs that write files for others.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::Value;
use std::process::{Command, Output};

fn policy_host(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).args(arguments).output().expect("policy-host runs")
}

#[test]
fn a_schema_is_json_of_draft_2020_12_and_describes_every_member() {
    for (what, title, member) in [("policy", "Chaperone policy", "tokens"), ("cases", "Chaperone cases", "requests")] {
        let output = policy_host(&["schema", what]);
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&schema["title"], &schema["additionalProperties"]), (&title.into(), &false.into()));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(schema["properties"][member]["description"].is_string());
        assert!(!schema.to_string().contains("\"null\""), "what may be left out is not null");
    }
    assert_eq!(policy_host(&["schema"]).stdout, policy_host(&["schema", "policy"]).stdout);
    assert_eq!(policy_host(&["schema", "polices"]).status.code(), Some(2));
}

#[test]
fn every_verb_helps_with_an_example() {
    for verb in [
        &["revoke"][..],
        &["render", "envoy"],
        &["render", "ecds"],
        &["render", "istio"],
        &["render", "envoy-gateway"],
        &["schema"],
    ] {
        let output = policy_host(&[verb, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("Example"), "{verb:?}");
    }
}
