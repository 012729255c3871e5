//! `check` through the binary: every mistake with its line and what to write instead.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");

fn check(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).arg("check").args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with `policy.yaml`: the example with these replacements.
fn broken(replacements: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut policy = fs::read_to_string(EXAMPLE).unwrap();
    for (from, to) in replacements {
        assert!(policy.contains(from), "{from}");
        policy = policy.replacen(from, to, 1);
    }
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    folder
}

fn three_mistakes() -> tempfile::TempDir {
    broken(&[
        ("max_lifetime: 15m", "max_lifetime: 15"),
        ("orders.list:   {http: {methods:", "orders.list:   {http: {metods:"),
        ("allow: [orders.list, orders.read]", "allow: [orders.list, orders.raed]"),
    ])
}

#[test]
fn three_mistakes_are_shown_with_their_lines_and_what_to_write_instead() {
    let folder = three_mistakes();
    let output = check(folder.path(), &["policy.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "");
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn programs_get_the_same_as_json() {
    let folder = three_mistakes();
    let output = check(folder.path(), &["--format", "json", "policy.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "");
    insta::assert_snapshot!(text(&output.stdout));
    let good = check(folder.path(), &["--format", "json", EXAMPLE]);
    assert_eq!((good.status.code(), text(&good.stdout).as_str()), (Some(0), "[]\n"));
}

#[test]
fn yaml_that_two_readers_would_see_differently_is_shown_too() {
    let folder = broken(
        &[
            ("name: agent-orders\n", "name: agent-orders\nname: other\n"),
            ("audiences: [orders]", "audiences: &a [orders]"),
            ("sid: s", "sid: s"),
        ][..2],
    );
    let output = check(folder.path(), &["policy.yaml"]);
    assert_eq!(output.status.code(), Some(3));
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn a_policy_in_an_ecds_file_is_checked_and_errors_point_into_it() {
    let folder = broken(&[]);
    let policy: Value = serde_json::from_str(
        &fs::read_to_string(folder.path().join("policy.yaml"))
            .map(|yaml| {
                let document = chaperone_authoring::source::Document::parse("p.yaml", yaml).unwrap();
                document.value().to_string()
            })
            .unwrap(),
    )
    .unwrap();
    let ecds = |policy: &Value| {
        json!({"resources": [{
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "chaperone",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {"configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy.to_string()}},
            },
        }]})
        .to_string()
    };
    fs::write(folder.path().join("ecds.json"), ecds(&policy)).unwrap();
    let good = check(folder.path(), &["ecds.json"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stdout).starts_with("ecds.json: a valid policy: agent-orders@"));
    let mut wrong = policy;
    wrong["session"]["max_lifetime"] = json!(15);
    fs::write(folder.path().join("ecds.json"), ecds(&wrong)).unwrap();
    let bad = check(folder.path(), &["ecds.json"]);
    assert_eq!(bad.status.code(), Some(3));
    assert!(text(&bad.stderr).contains("ecds.json:1:"), "{}", text(&bad.stderr));
    assert!(text(&bad.stderr).contains("must be a duration"), "{}", text(&bad.stderr));
}

#[test]
fn what_is_no_policy_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.yaml"), "").unwrap();
    fs::write(folder.path().join("list.yaml"), "- a\n").unwrap();
    fs::write(folder.path().join("bytes.yaml"), b"name: \xff\n").unwrap();
    fs::write(folder.path().join("tabs.yaml"), "a:\n\tb: 1\n").unwrap();
    let mut seen = String::new();
    for file in ["missing.yaml", "empty.yaml", "list.yaml", "bytes.yaml", "tabs.yaml", "."] {
        let output = check(folder.path(), &[file]);
        assert_eq!(output.status.code(), Some(3), "{file}");
        seen.push_str(&text(&output.stderr));
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn warnings_do_not_fail_the_check() {
    let folder = broken(&[("unmediated: [health] ", "unmediated: [health, orders.cancel] ")]);
    let output = check(folder.path(), &["policy.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stderr).contains("`orders.cancel` lets anybody send DELETE without a session"),
        "{}",
        text(&output.stderr)
    );
    assert!(text(&output.stdout).starts_with("policy.yaml: a valid policy: agent-orders@"));
}

/// A folder with this fixture in it, so that the output names no folder of this machine.
fn fixture(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::copy(fixtures.join(name), folder.path().join(name)).unwrap();
    folder
}

#[test]
fn ten_mistakes_that_a_reviewer_would_find_are_shown() {
    let folder = fixture("ten-mistakes.yaml");
    let output = check(folder.path(), &["ten-mistakes.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("ten-mistakes.yaml: a valid policy: orders@"));
    insta::assert_snapshot!(text(&output.stderr));
    let denied = check(folder.path(), &["--deny-warnings", "ten-mistakes.yaml"]);
    assert!(text(&denied.stderr).ends_with("10 warnings; --deny-warnings makes that a failure\n"), "{}", text(&denied.stderr));
    let denied = check(folder.path(), &["--deny-warnings", "--format", "json", "ten-mistakes.yaml"]);
    assert_eq!(denied.status.code(), Some(1));
    let list: Vec<Value> = serde_json::from_slice(&denied.stdout).unwrap();
    let codes: Vec<&str> = list.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(
        codes,
        [
            "observe_mode",
            "types_missing",
            "lifetime_long",
            "command_unused",
            "unmediated_writes",
            "when_wide",
            "allow_pattern",
            "grant_repeated",
            "revoked_issuer_unknown",
            "revoked_expired"
        ]
    );
    assert!(list.iter().all(|finding| finding["severity"] == "warning" && finding["help"].is_string()));
}

#[test]
fn a_manifest_of_istio_is_checked_and_warnings_point_into_it() {
    let folder = fixture("mistakes.wasmplugin.yaml");
    let output = check(folder.path(), &["mistakes.wasmplugin.yaml"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stderr));
}

#[test]
fn the_ways_round_are_noted_where_they_are_asked_for() {
    let said = check(Path::new("."), &["--ways-round", "--deny-warnings", EXAMPLE]);
    assert_eq!(said.status.code(), Some(0), "notes deny nothing");
    let notes = text(&said.stderr);
    assert!(notes.contains("way_round") && notes.contains("`cookie`") && notes.ends_with("2 notes\n"), "{notes}");
    let json = check(Path::new("."), &["--ways-round", "--format", "json", EXAMPLE]);
    let list: Vec<Value> = serde_json::from_slice(&json.stdout).unwrap();
    assert!(
        list.iter().all(|note| note["severity"] == "note" && note["code"] == "way_round" && note["line"].is_u64()),
        "{list:#?}"
    );
}

#[test]
fn what_is_shipped_raises_nothing() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut checked = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let policy = entry.unwrap().path().join("policy.yaml");
        if policy.is_file() {
            let output = check(Path::new("."), &["--deny-warnings", policy.to_str().unwrap()]);
            assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
            let istio = check(Path::new("."), &["--deny-warnings", "--target", "istio", policy.to_str().unwrap()]);
            // With commands in bodies it is another object than a policy's author would take without being told.
            let in_bodies = fs::read_to_string(&policy).unwrap().contains("mcp:");
            let said = text(&istio.stderr);
            assert_eq!((istio.status.code(), said.is_empty()), (Some(i32::from(in_bodies)), !in_bodies), "{said}");
            assert!(!in_bodies || said.contains("body_unavailable") && said.contains("1 warning; "), "{said}");
            checked += 1;
        }
    }
    assert!(checked >= 4);

    // The one of docs/policy.md shows an entry with a date, and by now that has passed.
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy.md")).unwrap();
    let shown = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), shown).unwrap();
    let output = check(folder.path(), &["--format", "json", "policy.yaml"]);
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let raised: Vec<&str> = findings.as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(raised, ["revoked_expired"]);
}

#[test]
fn every_verb_helps_with_an_example() {
    for verb in
        [&["check"][..], &["explain"], &["replay"], &["serve"], &["token", "keygen"], &["token", "mint"], &["token", "inspect"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_policy-host")).args(verb).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("Example:"), "{verb:?}");
    }
    assert_eq!(Command::new(env!("CARGO_BIN_EXE_policy-host")).arg("chekc").output().unwrap().status.code(), Some(2));
}

#[test]
fn a_secret_on_the_line_of_a_mistake_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let secrets = ["jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI", "sk-live-abcdef"];
    let policy = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/agent-orders/policy.yaml")).unwrap();
    let key = policy.replacen("{kty: EC,", &format!("{{kty: EC, d: {},", secrets[0]), 1);
    let credential = policy.replacen("Bearer ${env:ORDERS_TOKEN}", &format!("Bearer {}", secrets[1]), 1);
    for (text, secret) in [(key, secrets[0]), (credential, secrets[1])] {
        assert!(text.contains(secret), "the example has changed");
        fs::write(&path, text).unwrap();
        for format in ["human", "json"] {
            let output = Command::new(env!("CARGO_BIN_EXE_policy-host"))
                .args(["check", path.to_str().unwrap(), "--format", format])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert_eq!(output.status.code(), Some(3), "{said}");
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// What `render ecds` prints for the example.
fn rendered(folder: &Path, more: &[&str]) -> String {
    let render = ["render", "ecds", "--policy", EXAMPLE, "--wasm", "/chaperone.wasm"];
    let output = Command::new(env!("CARGO_BIN_EXE_policy-host")).args([&render[..], more].concat()).current_dir(folder).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_would_be_lost_is_said_before_a_file_replaces_another() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let old = rendered(folder.path(), &[]);
    write("old.yaml", &old);
    let (entry, generation) = (r#","revoked":["#, r#""generation":"#);
    assert!(old.contains(entry) && old.contains(generation));
    let next = old.replace(generation, r#""generation":9"#);
    write("same.yaml", &next);
    let same = check(folder.path(), &["same.yaml", "--against", "old.yaml", "--deny-warnings"]);
    assert_eq!((same.status.code(), text(&same.stderr).as_str()), (Some(0), ""));

    let changed = next.replace("vm_id: \"chaperone\"", "vm_id: \"v2\"").replace("INC-42", "INC-0").replace("s-2041", "s-2042");
    write("next.yaml", &changed);
    let human = check(folder.path(), &["next.yaml", "--against", "old.yaml"]);
    assert_eq!(human.status.code(), Some(0), "warnings do not fail it");
    let said = text(&human.stderr);
    for part in [
        "streams_orphaned",
        "revocations_lost",
        "s-2041",
        "next.yaml:22:",
        "keep `vm_id: chaperone`",
        "--keep-revoked",
        "2 warnings",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json = check(folder.path(), &["next.yaml", "--against", "old.yaml", "--format", "json", "--deny-warnings"]);
    assert_eq!(json.status.code(), Some(1));
    let list: Vec<Value> = serde_json::from_slice(&json.stdout).unwrap();
    let codes: Vec<&str> = list.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["revocations_lost", "streams_orphaned"], "in the file's order");
    assert!(list.iter().all(|finding| finding["line"].is_u64() && finding["help"].is_string()));

    write("broken.yaml", "version: 1\n");
    let broken = check(folder.path(), &["next.yaml", "--against", "broken.yaml"]);
    assert_eq!(broken.status.code(), Some(3));
    assert!(text(&broken.stderr).contains("broken.yaml:1:1"), "{}", text(&broken.stderr));
}

#[test]
fn a_bootstrap_is_checked_for_what_keeps_one_caller_from_filling_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let render = ["render", "envoy", "--policy", EXAMPLE, "--upstream", "orders.internal:8080"];
    let rendered = Command::new(env!("CARGO_BIN_EXE_policy-host")).args(render).output().unwrap();
    let bootstrap = text(&rendered.stdout);
    let path = folder.path().join("bootstrap.yaml");
    fs::write(&path, &bootstrap).unwrap();
    let good = check(folder.path(), &["bootstrap.yaml", "--deny-warnings"]);
    assert_eq!((good.status.code(), text(&good.stderr).as_str()), (Some(0), ""));
    assert_eq!(text(&good.stdout), "bootstrap.yaml: wires a filter whose policy comes from elsewhere\n");
    let (before, rest) = bootstrap.split_once("      circuit_breakers:").unwrap();
    let (_, after) = rest.split_once("      load_assignment:").unwrap();
    let without = format!("{before}      load_assignment:{after}").replace("request_timeout: 30s", "request_timeout: 0s");
    fs::write(&path, without).unwrap();
    let bad = check(folder.path(), &["bootstrap.yaml", "--format", "json", "--deny-warnings"]);
    let list: Vec<Value> = serde_json::from_slice(&bad.stdout).unwrap();
    let codes: Vec<&str> = list.iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    assert_eq!((bad.status.code(), codes), (Some(1), vec!["timeout_missing", "circuit_breakers_missing"]));
    // It has no policy that could be compared.
    assert_eq!(check(folder.path(), &["bootstrap.yaml", "--against", EXAMPLE]).status.code(), Some(3));
}

#[test]
fn manifests_that_are_delivered_together_are_checked_for_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let codes = |text: &str| {
        fs::write(folder.path().join("m.yaml"), text).unwrap();
        let output = check(folder.path(), &["m.yaml", "--format", "json"]);
        let list: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        list.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let shipped = |file: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy").join(file)).unwrap();
    let (istio, gateway) = (shipped("istio.yaml"), shipped("envoy-gateway.yaml"));
    assert_eq!((codes(&istio), codes(&gateway)), (vec![], vec![]));
    assert_eq!(codes(&istio.replace("            request_timeout: 30s\n", "")), ["timeout_missing"]);
    assert_eq!(codes(&gateway.replace("requestReceivedTimeout: 30s, ", "")), ["timeout_missing"]);
    assert_eq!(codes(&gateway.replace("maxParallelRequests: 10000, ", "")), ["circuit_breakers_missing"]);
}
