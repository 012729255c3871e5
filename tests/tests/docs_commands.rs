//! The commands of the documentation: each block is run as it stands, and the list of verbs is that of the program.
//!
//! A block of `sh` runs in a folder with what an operator would have: a policy, an access log, the file that Envoy watches. What
//! the pages have under `/etc/envoy` is in that folder; `envoy` is the real one, asked to validate; `kubectl` gives out and takes an
//! object, as it would.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    command::policy_host,
    install,
    pages::{self, Page},
    root, wasm,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

/// Commands that build or test: a test that ran them would run itself. docs.rs looks whether the targets exist.
fn builds(line: &str) -> bool {
    line.starts_with("make ") || line.starts_with("cargo ")
}

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\nset -eu\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A folder with what the pages speak of.
fn workplace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::create_dir_all(path.join("bin")).unwrap();
    fs::create_dir_all(path.join("etc/envoy/ecds")).unwrap();
    for name in ["examples", "envoy"] {
        symlink(root().join(name), path.join(name)).unwrap();
    }
    symlink(policy_host(), path.join("bin/policy-host")).unwrap();
    fs::create_dir_all(path.join("target/wasm32-wasip1/wasm")).unwrap();
    for place in ["etc/envoy", "target/wasm32-wasip1/wasm"] {
        symlink(wasm::chaperone(), path.join(place).join("chaperone.wasm")).unwrap();
    }
    fs::copy(root().join("examples/agent-orders/policy.yaml"), path.join("policy.yaml")).unwrap();
    let rendered = Command::new(policy_host())
        .args(["render", "ecds", "--wasm", "/etc/envoy/chaperone.wasm", "--policy", "policy.yaml"])
        .current_dir(path)
        .output()
        .expect("policy-host runs");
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    fs::write(path.join("etc/envoy/ecds/ecds.yaml"), rendered.stdout).unwrap();
    fs::write(path.join("digest"), format!("sha256:{}", "0".repeat(64))).unwrap();
    let record = json!({
        "metadata": {"uid": "a-1"}, "policy": {"uid": "agent-orders"},
        "actor": {"user": {"uid": "agent-7"}, "session": {"uid": "s-d", "issuer": "https://broker.example"}},
        "unmapped": {"ends_session": "denials"},
    });
    fs::write(path.join("access.log"), format!("{}\n", json!({"session_audit": [record]}))).unwrap();
    program(path, "envoy", &format!("exec {} --mode validate \"$@\"", install::envoy().display()));
    let manifests = fs::read_to_string(root().join("envoy/istio.yaml")).unwrap();
    fs::write(path.join("object.yaml"), manifests).unwrap();
    // What it is given must name the session: an empty patch would be taken for nothing to do.
    program(
        path,
        "kubectl",
        r#"case "$1" in
get) cat object.yaml ;;
apply) cat > applied.yaml; grep -q s-123 applied.yaml ;;
esac"#,
    );
    folder
}

#[test]
fn every_block_of_commands_runs() {
    let mut run = 0;
    for page in pages::documentation() {
        let folder = workplace();
        for block in page.blocks_in("sh") {
            let commands: Vec<&str> = block.lines().filter(|line| !line.is_empty()).collect();
            if commands.iter().any(|line| builds(line)) {
                assert!(commands.iter().all(|line| builds(line)), "{}: one kind a block\n{block}", page.path);
                continue;
            }
            let script = block.replace("/etc/envoy", folder.path().join("etc/envoy").to_str().unwrap());
            let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
            let output = Command::new("bash")
                .args(["-euo", "pipefail", "-c", &script])
                .current_dir(folder.path())
                .env("PATH", path)
                .env_remove("CHAPERONE_WASM")
                .output()
                .expect("bash runs");
            assert!(output.status.success(), "{}:\n{block}\n{}", page.path, String::from_utf8_lossy(&output.stderr));
            run += 1;
        }
    }
    assert!(run >= 8, "{run}");
}

fn help(verb: &[String]) -> String {
    let output = Command::new(policy_host()).args(verb).arg("--help").output().expect("policy-host runs");
    assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs that a help lists.
fn listed(help: &str) -> BTreeSet<String> {
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Below the options, a line of a paragraph ends where the next word would not have fitted.
fn is_folded_once(help: &str) {
    let below: Vec<&str> = help.lines().skip_while(|line| !line.contains("Print help")).skip(2).collect();
    for pair in below.windows(2) {
        let goes_on = |line: &str| !line.is_empty() && !line.starts_with(' ');
        let word = pair[1].split(' ').next().unwrap_or_default();
        assert!(!(goes_on(pair[0]) && goes_on(pair[1])) || pair[0].len() + word.len() >= 100, "{pair:#?}\n{help}");
    }
}

#[test]
fn the_list_of_verbs_is_complete_and_each_has_help_with_an_example() {
    let page = Page::read("docs/policy-host.md");
    let block = page.blocks_in("text").into_iter().find(|text| text.starts_with("policy-host ")).expect("the verbs");
    // By verb: the second words, and the options that the lines name.
    let mut verbs: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for line in block.lines() {
        let (command, _) = line.split_once('#').expect("what it is for");
        let words: Vec<&str> = command.split_whitespace().collect();
        let (seconds, options) = verbs.entry(words[1].to_owned()).or_default();
        // `token keygen | mint | inspect` is three.
        let lower = |word: &&&str| word.chars().all(|letter| letter.is_ascii_lowercase());
        if words[1] == "token" || words[1] == "render" {
            seconds.extend(words[2..].iter().take_while(|word| !word.starts_with('-')).filter(lower).map(ToString::to_string));
        }
        let named = line.split([' ', ';', ',']).filter(|word| word.starts_with("--"));
        options.extend(named.map(str::to_owned));
    }
    assert_eq!(verbs.keys().cloned().collect::<BTreeSet<_>>(), listed(&help(&[])));
    for (verb, (seconds, options)) in verbs {
        let own = help(std::slice::from_ref(&verb));
        let mut helps = vec![own.clone()];
        for second in listed(&own) {
            helps.push(help(&[verb.clone(), second]));
        }
        assert!(seconds.is_subset(&listed(&own)), "{verb}: {seconds:?}");
        assert!(options.iter().all(|option| helps.iter().any(|help| help.contains(option))), "{verb}: {options:?}");
        let leaves = if helps.len() == 1 { &helps[..] } else { &helps[1..] };
        assert!(leaves.iter().all(|help| help.contains("Example")), "{verb} has no example");
        helps.iter().for_each(|help| is_folded_once(help));
    }
}
