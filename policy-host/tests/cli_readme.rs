//! The verbs that README.md lists are there, and the help of each has an example.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, path::Path, process::Command};

#[test]
fn the_readmes_verbs_have_help_with_an_example() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("README.md");
    let block = readme.split("```sh\n").find(|block| block.starts_with("policy-host ")).expect("the verbs");
    let lines: Vec<&str> = block.lines().take_while(|line| line.starts_with("policy-host ")).collect();
    assert!(lines.len() >= 4, "{lines:?}");
    for line in lines {
        let before_comment = line.split('#').next().unwrap();
        let words: Vec<&str> = before_comment.split_whitespace().skip(1).collect();
        // `token keygen | mint | inspect` is three.
        let verbs: Vec<Vec<&str>> = if before_comment.contains('|') {
            words[1..].iter().filter(|word| **word != "|").map(|second| vec![words[0], second]).collect()
        } else {
            vec![vec![words[0]]]
        };
        for verb in verbs {
            let output =
                Command::new(env!("CARGO_BIN_EXE_policy-host")).args(&verb).arg("--help").output().expect("policy-host runs");
            assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(String::from_utf8_lossy(&output.stdout).contains("Example"), "{verb:?} has no example");
        }
    }
}
