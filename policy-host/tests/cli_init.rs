//! `policy-host init` as an author runs it: what it writes for each provider is checked and tested as it stands.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use clap::ValueEnum;
use policy_host::init::Kind;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(args).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn init(folder: &Path, kind: Kind, more: &[&str]) -> Output {
    let preset = kind.preset();
    let mut args =
        vec!["init", "--issuer-kind", kind.word(), "--issuer", preset.issuer.example, "--audience", preset.audience.example];
    args.extend(preset.caller.iter().flat_map(|caller| ["--caller", caller.example]));
    run(folder, &[&args, more].concat())
}

#[test]
fn what_is_written_for_each_provider_passes_check_and_its_cases() {
    for kind in Kind::value_variants() {
        let folder = tempfile::tempdir().unwrap();
        let written = init(folder.path(), *kind, &[]);
        assert_eq!(written.status.code(), Some(0), "{kind:?}: {}", said(&written));
        let policy = fs::read_to_string(folder.path().join("policy.yaml")).unwrap();
        let checked = run(folder.path(), &["check", "--deny-warnings", "policy.yaml"]);
        assert_eq!(checked.status.code(), Some(0), "{kind:?}: {}\n{policy}", said(&checked));
        let tested = run(folder.path(), &["test", "."]);
        assert_eq!(tested.status.code(), Some(0), "{kind:?}: {}", said(&tested));
        let rendered = run(folder.path(), &["render", "envoy", "--policy", "policy.yaml", "--upstream", "items.internal:8080"]);
        assert_eq!(rendered.status.code(), Some(0), "{kind:?}: {}", said(&rendered));
    }
}

#[test]
fn a_file_that_is_there_stays_unless_it_may_be_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let cases = folder.path().join("new/cases.yaml");
    fs::create_dir(folder.path().join("new")).unwrap();
    fs::write(&cases, "mine").unwrap();
    let refused = init(folder.path(), Kind::Spire, &["--dir", "new"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("cases.yaml: is there already; --force"), "{}", said(&refused));
    assert_eq!(fs::read_to_string(&cases).unwrap(), "mine");
    assert!(!folder.path().join("new/policy.yaml").exists(), "nothing is written by halves");

    let forced = init(folder.path(), Kind::Spire, &["--dir", "new", "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", said(&forced));
    assert!(fs::read_to_string(&cases).unwrap().starts_with("# What the policy beside this file must decide"));
    let left: Vec<_> = fs::read_dir(folder.path().join("new")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn without_a_terminal_what_is_missing_is_named_by_its_flag() {
    let folder = tempfile::tempdir().unwrap();
    for (args, flag) in [
        (&["init"][..], "--issuer-kind"),
        (&["init", "--issuer-kind", "keycloak"], "--issuer"),
        (&["init", "--issuer-kind", "google"], "--audience"),
        (&["init", "--issuer-kind", "google", "--audience", "a"], "--caller"),
        (&["init", "--issuer-kind", "entra", "--issuer", "common"], "stands for many"),
        (
            &["init", "--issuer-kind", "cognito", "--issuer", "https://c.example/p", "--audience", "a", "--caller", "b"],
            "says it by --audience",
        ),
        (&["init", "--issuer-kind", "google", "--audience", "a", "--caller", "1", "--name", "a b"], "is not a name"),
    ] {
        let output = run(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(flag), "{args:?}: {}", said(&output));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_next_steps_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let output = init(folder.path(), Kind::Github, &["--dir", "ci"]);
    let text = said(&output);
    assert!(text.starts_with("wrote ci/policy.yaml and ci/cases.yaml\nnext:\n  policy-host test ci\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  policy-host ")).count(), 3, "{text}");
}
