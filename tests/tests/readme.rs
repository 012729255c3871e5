//! README.md is true: its policy compiles, its table of reasons is complete, its links lead somewhere, its targets exist.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_policy::Reason;
use chaperone_tests::root;
use policy_host::files;
use std::{collections::BTreeSet, fs};

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).expect("README.md")
}

/// The fenced blocks of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    let opened = text.split(fence.as_str()).skip(1);
    opened.map(|rest| rest.split("\n```").next().expect("a closed block")).collect()
}

#[test]
fn its_policies_compile() {
    let text = readme();
    let policies = blocks(&text, "yaml");
    assert_eq!(policies.len(), 1);
    let dir = tempfile::tempdir().unwrap();
    for policy in policies {
        let path = dir.path().join("policy.yaml");
        fs::write(&path, policy).unwrap();
        let document = files::policy(&path).unwrap_or_else(|findings| panic!("{findings}"));
        document.compile().unwrap_or_else(|findings| panic!("{findings}"));
        // A member more, and it does not: the check above can fail.
        fs::write(&path, format!("{policy}\nnonsense: true\n")).unwrap();
        assert!(files::policy(&path).is_err() || files::policy(&path).unwrap().compile().is_err());
    }
}

#[test]
fn its_table_has_each_reason_with_its_status_in_order() {
    let text = readme();
    let rows: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    let reasons: Vec<(String, String)> =
        Reason::ALL.iter().map(|reason| (reason.code().to_owned(), reason.status().to_string())).collect();
    assert_eq!(rows, reasons);
}

#[test]
fn its_links_lead_to_files_and_its_targets_are_in_the_makefile() {
    let text = readme();
    let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let local: BTreeSet<&str> = targets.filter(|target| !target.starts_with("http") && !target.starts_with('#')).collect();
    assert!(local.len() >= 5, "{local:?}");
    for target in local {
        assert!(root().join(target).is_file(), "{target}");
    }
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let named: BTreeSet<&str> =
        text.split("make ").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next()).collect();
    for target in ["run", "run-envoy", "test", "lint", "help"] {
        assert!(named.contains(target), "README names make {target}");
        assert!(makefile.contains(&format!("\n{target}:")), "the Makefile has {target}");
    }
}
