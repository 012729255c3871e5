//! Wrong files: each mistake with its place and what to write instead, exit 3, no file touched, nothing run.

use super::{HEAD, MIXED, POLICY, files, folder, run, text, write};
use serde_json::Value;
use std::path::Path;

/// Runs a folder that must be refused; what is said about it.
fn refused(folder: &Path) -> String {
    let before = files(folder);
    let output = run(folder, &[]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), ""), "{}", text(&output.stderr));
    assert_eq!(files(folder), before);
    text(&output.stderr)
}

fn refused_cases(cases: &str) -> String {
    refused(folder(cases).path())
}

#[test]
fn unknown_members_names_and_wrong_types() {
    insta::assert_snapshot!(
        "members",
        refused_cases(
            r#"  - name: members
    send: {token: agent, get: /v1/orders, hots: orders.example}
    expect: {alow: orders.list}
  - name: types
    send: {token: agent, get: 7}
    expect: {allow: orders.list, upstream_bytes: -1, status: "403"}
"#
        )
    );
    insta::assert_snapshot!(
        "names",
        refused_cases(
            r#"  - {name: a token, send: {token: agnt, get: /v1/orders}, expect: {allow: orders.list}}
  - {name: a request, send: lits, expect: {allow: orders.list}}
  - {name: a reason, send: list, expect: {deny: signature_invalit}}
  - name: a stream
    steps:
      - {open: feed, send: list}
      - {after: 1s, expect: {fed: {cut: revoked}}}
  - {name: a worker, worker: 3, send: list, expect: {allow: orders.list}}
"#
        )
    );
}

#[test]
fn steps_that_make_no_sense() {
    insta::assert_snapshot!(refused_cases(
        r#"  - name: steps
    steps:
      - {expect: {allow: orders.list}}
      - {name: nothing}
      - {after: -1s, send: list, expect: {allow: orders.list}}
      - {at: 1m, after: 1s}
      - {at: 0s}
      - {open: feed, send: list, reply: {status: 99, chunk: [a]}}
      - {open: feed, send: list}
      - {expect: {feed: opened}}
      - {expect: {feed: {cut: expird}}}
      - {config: {ad: {}}}
      - {config: {add: {}}, worker: 2}
      - {worker: 2}
      - {send: list, body: x, expect: {allow: orders.list}}
      - {token: agent, post: /x, body: x, chunks: [y], expect: {allow: orders.list}}
      - {token: agent, post: /x, chunks: [""], expect: {allow: orders.list}}
  - {name: no steps, steps: []}
  - {name: no rows, each: [], expect: {allow: orders.list}}
"#
    ));
}

#[test]
fn a_policy_that_is_missing_or_wrong_is_shown_in_its_own_file() {
    let folder = folder(MIXED);
    write(folder.path(), "policy.yaml", POLICY.replace("allow: [orders.list, orders.read]", "allow: [orders.list, orders.raed]"));
    // Two files about one policy: its mistake is one.
    write(folder.path(), "more.cases.yaml", format!("{HEAD}{MIXED}"));
    insta::assert_snapshot!("policy_wrong", refused(folder.path()));
    std::fs::remove_file(folder.path().join("policy.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("more.cases.yaml")).unwrap();
    insta::assert_snapshot!("policy_missing", refused(folder.path()));
}

#[test]
fn a_change_that_makes_the_policy_invalid() {
    insta::assert_snapshot!(refused_cases(
        "  - {name: change, steps: [{config: {set: {session: {max_lifetime: long}}}}, {send: list, expect: {allow: orders.list}}]}\n"
    ));
}

#[test]
fn files_that_are_none() {
    let folder = folder("  - {name: [\n");
    insta::assert_snapshot!("broken_yaml", refused(folder.path()));
    write(folder.path(), "cases.yaml", "");
    insta::assert_snapshot!("empty", refused(folder.path()));
    write(folder.path(), "cases.yaml", HEAD.replace("cases:\n", "cases: []\n"));
    insta::assert_snapshot!("no_cases", refused(folder.path()));
    std::fs::remove_file(folder.path().join("cases.yaml")).unwrap();
    insta::assert_snapshot!("no_file", refused(folder.path()));

    let output = run(folder.path(), &["nowhere", "cases.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    insta::assert_snapshot!("no_such_path", text(&output.stderr));
    let output = run(folder.path(), &["policy.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    insta::assert_snapshot!("another_kind_of_file", text(&output.stderr));
}

#[test]
fn no_case_with_the_name() {
    let folder = folder(MIXED);
    let output = run(folder.path(), &["--filter", "nobody"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), ""));
    assert_eq!(text(&output.stderr).trim(), "× --filter: no case has `nobody` in its name");
}

#[test]
fn programs_get_mistakes_too() {
    let folder = folder("  - {name: x, send: lits, expect: {allow: orders.list}}\n");
    let output = run(folder.path(), &["--format", "json"]);
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(3), ""));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = &seen["errors"][0];
    assert_eq!((&error["file"], &error["line"], &error["column"]), (&"cases.yaml".into(), &11.into(), &21.into()));
    assert_eq!((&error["message"], &error["help"]), (&"there is no request `lits`".into(), &"did you mean `list`?".into()));
}

#[test]
fn a_filter_that_is_none() {
    let folder = folder(MIXED);
    let output = run(folder.path(), &["--wasm", "policy.yaml"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), ""));
    assert!(
        text(&output.stderr).starts_with("policy-host: policy.yaml: not a valid WebAssembly module"),
        "{}",
        text(&output.stderr)
    );
    let output = run(folder.path(), &["--wasm", "nowhere.wasm"]);
    assert_eq!(output.status.code(), Some(3));
}
