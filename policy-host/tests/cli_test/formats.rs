//! What a run prints, for people and for programs, and how it ends.

use super::{HEAD, MIXED, files, filters, folder, run, text, write};
use serde_json::{Value, json};
use std::path::Path;

/// The text with times taken out.
fn timeless(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for key in ["\"seconds\": ", " time=\""] {
            if let Some((before, after)) = line.clone().split_once(key) {
                let rest = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                line = format!("{before}{key}..{rest}");
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn what_failed_is_shown_with_its_place_expected_above_seen() {
    let folder = folder(MIXED);
    let before = files(folder.path());
    let output = run(folder.path(), &[]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
    insta::assert_snapshot!(text(&output.stdout));
    assert_eq!(files(folder.path()), before);
}

#[test]
fn what_passed_is_a_line_and_what_was_not_touched() {
    let passing = MIXED.split("  - name: \"{token}").next().unwrap();
    let folder = folder(passing);
    let output = run(folder.path(), &["cases.yaml"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn programs_get_every_case() {
    let folder = folder(MIXED);
    let output = run(folder.path(), &["--format", "json"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
    insta::assert_snapshot!(timeless(&text(&output.stdout)));
}

#[test]
fn collectors_get_junit() {
    let folder = folder(MIXED);
    let output = run(folder.path(), &["--format", "junit"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
    insta::assert_snapshot!(timeless(&text(&output.stdout)));
    let trapper = filters::trapper(folder.path());
    let output = run(folder.path(), &["--format", "junit", "--wasm", trapper.to_str().unwrap(), "--filter", "lists"]);
    assert_eq!(output.status.code(), Some(4));
    insta::assert_snapshot!("junit_of_a_trap", timeless(&text(&output.stdout)));
}

#[test]
fn coverage_names_what_no_case_touched() {
    let folder = folder(MIXED);
    // A second file about the same policy touches more of it.
    write(
        folder.path(),
        "more.cases.yaml",
        format!("{HEAD}  - {{name: support cancels, send: {{token: support, post: /v1/orders/7/cancel}}, expect: {{allow: orders.cancel}}}}\n")
            .replace("requests:", "  support: {like: agent, claims: {sub: jo, role: support}}\nrequests:"),
    );
    let output = run(folder.path(), &["--format", "json"]);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let coverage = seen["coverage"].as_array().unwrap();
    assert_eq!(coverage.len(), 1, "one policy");
    assert_eq!(coverage[0]["commands"], json!({"known": ["orders.cancel", "orders.list", "orders.read"], "untouched": []}));
    assert_eq!(coverage[0]["grants"], json!({"known": ["agents", "support"], "untouched": []}));
    let reasons = |what: &str| coverage[0]["reasons"][what].as_array().unwrap().clone();
    assert!(reasons("untouched").contains(&json!("expired")));
    assert!(!reasons("untouched").contains(&json!("signature_invalid")), "touched");
    assert!(!reasons("known").contains(&json!("credential_unavailable")), "the policy has no credential");

    let some = run(folder.path(), &["--filter", "support cancels"]);
    assert_eq!(some.status.code(), Some(0));
    assert_eq!(text(&some.stdout), "more.cases.yaml: 1 case passed\n", "coverage of a part would say nothing");
}

#[test]
fn of_several_policies_what_no_case_touches_is_counted_unless_asked_for() {
    let folder = folder("  - {name: a, send: list, expect: {allow: orders.list}}\n");
    write(folder.path(), "other.yaml", super::POLICY);
    let cases = std::fs::read_to_string(folder.path().join("cases.yaml")).unwrap();
    write(folder.path(), "other.cases.yaml", cases.replace("policy: policy.yaml", "policy: other.yaml"));
    let brief = text(&run(folder.path(), &[]).stdout);
    let line = |file: &str| format!("no case touches, in {file}: 2 of 3 commands, 1 of 2 grants, ");
    assert!(["policy.yaml", "other.yaml"].iter().all(|file| brief.contains(&line(file))), "{brief}");
    assert!(brief.ends_with("\n(--untouched lists them)\n") && !brief.contains("orders.cancel"), "{brief}");
    let long = text(&run(folder.path(), &["--untouched"]).stdout);
    assert_eq!(long.matches("  commands  orders.cancel, orders.read\n").count(), 2, "{long}");
}

#[test]
fn a_trap_ends_with_its_backtrace() {
    let folder = folder(MIXED);
    let trapper = filters::trapper(folder.path());
    let output = run(folder.path(), &["--wasm", trapper.to_str().unwrap(), "--filter", "lists"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(4), ""));
    insta::assert_snapshot!(text(&output.stdout));
    let output = run(folder.path(), &["--wasm", trapper.to_str().unwrap(), "--filter", "lists", "--format", "json"]);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&seen["trapped"], &seen["files"][0]["cases"][0]["result"]), (&json!(1), &json!("trapped")));

    let starter = filters::starter(folder.path());
    let output = run(folder.path(), &["--wasm", starter.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stdout).contains("4 cases, 4 trapped"), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("at on_configure"), "{}", text(&output.stdout));

    let asleep = super::folder("  - {name: time, steps: [{after: 2s}]}\n");
    let sleeper = filters::sleeper(asleep.path());
    let output = run(asleep.path(), &["--wasm", sleeper.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("on_tick"), "{}", text(&output.stdout));
}

#[test]
fn a_filter_that_does_not_take_the_policy_fails_every_case() {
    let folder = folder(MIXED);
    let refuser = filters::refuser(folder.path());
    let output = run(folder.path(), &["--wasm", refuser.to_str().unwrap(), "--filter", "lists"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("+ the filter rejected the configuration"), "{}", text(&output.stdout));
}

#[test]
fn the_examples_hold() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = run(&workspace, &["examples"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{}", text(&output.stdout));
    for example in std::fs::read_dir(workspace.join("examples")).unwrap() {
        let line = format!("{}: ", Path::new("examples").join(example.unwrap().file_name()).join("cases.yaml").display());
        let shown = text(&output.stdout);
        let shown = shown.lines().find(|shown| shown.starts_with(&line)).unwrap_or_else(|| panic!("{line} is not in {shown}"));
        assert!(shown.ends_with(" cases passed"), "{shown}");
    }
}

#[test]
fn help_has_examples_and_usage_errors_are_two() {
    let here = Path::new(".");
    let help = run(here, &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("policy-host test --watch examples/agent-orders/cases.yaml"));
    assert_eq!(run(here, &["--format", "xml"]).status.code(), Some(2));
    assert_eq!(run(here, &["--watch", "--format", "junit"]).status.code(), Some(2));
}
