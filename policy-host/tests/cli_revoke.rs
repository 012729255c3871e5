//! `policy-host revoke` as an operator runs it: on files, several at once, interrupted, and on what it must not touch.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use policy_host::files;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.arg("revoke").args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn revoke(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with the example's policy.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::copy(EXAMPLE, &policy).unwrap();
    (folder, policy)
}

fn policy(path: &Path) -> Value {
    let document = files::policy(path).unwrap_or_else(|findings| panic!("{findings}"));
    document.compile().unwrap_or_else(|findings| panic!("{findings}"));
    document.value().clone()
}

#[test]
fn a_session_is_revoked_listed_and_let_go_again() {
    let (folder, path) = folder();
    let before = fs::read_to_string(&path).unwrap();
    let output = revoke(folder.path(), &["policy.yaml", "--session", "s-9", "--because", "INC-9: \"odd\" # here"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.starts_with("policy.yaml: revoked {session: \"s-9\", because: \"INC-9: \\\"odd\\\" # here\"}\n"), "{said}");
    let after = fs::read_to_string(&path).unwrap();
    let new: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!(new.len(), 2, "one line for the entry, one for the generation, whose remark is still there: {new:?}");
    assert!(
        new[0].starts_with("generation: 1")
            && new[0].ends_with("# moved on by whoever delivers a change, so that Envoy takes it")
    );
    assert_eq!(new[1], "  - {session: \"s-9\", because: \"INC-9: \\\"odd\\\" # here\"}");
    assert_eq!(policy(&path)["revoked"][2], json!({"session": "s-9", "because": "INC-9: \"odd\" # here"}));

    let again = revoke(folder.path(), &["policy.yaml", "--session", "s-9"]);
    assert_eq!(again.status.code(), Some(0));
    assert!(text(&again.stdout).contains("revoked already by {session: \"s-9\""), "{}", text(&again.stdout));
    assert_eq!(fs::read_to_string(&path).unwrap(), after, "untouched");

    let list = revoke(folder.path(), &["policy.yaml", "--list", "--format", "json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!((list.as_array().unwrap().len(), &list[2]["session"]), (3, &json!("s-9")));
    let list = revoke(folder.path(), &["policy.yaml", "--list", "--agent", "crawler"]);
    assert_eq!(text(&list.stdout).lines().count(), 1);

    let undone = revoke(folder.path(), &["policy.yaml", "--session", "s-9", "--undo"]);
    assert_eq!(undone.status.code(), Some(0));
    assert!(text(&undone.stdout).starts_with("policy.yaml: no longer revoked {session: \"s-9\""));
    let without_generation =
        |text: &str| text.lines().filter(|line| !line.starts_with("generation")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_generation(&fs::read_to_string(&path).unwrap()), without_generation(&before));
    let missing = revoke(folder.path(), &["policy.yaml", "--session", "s-9", "--undo"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0), "{}", text(&missing.stderr));
    let json = revoke(folder.path(), &["policy.yaml", "--token", "t", "--format", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&json["changed"], &json["added"], &json["generation"]),
        (&json!(true), &json!({"token": "t"}), &policy(&path)["generation"])
    );
}

#[test]
fn an_ecds_file_is_changed_and_still_the_one_that_envoy_watches() {
    let (folder, _) = folder();
    let wasm = Command::new(env!("CARGO_BIN_EXE_policy-host"))
        .args(["render", "ecds", "--policy", EXAMPLE, "--wasm", "/etc/envoy/chaperone.wasm"])
        .output()
        .unwrap();
    let path = folder.path().join("ecds.yaml");
    fs::write(&path, &wasm.stdout).unwrap();
    let (before, old) = (fs::read_to_string(&path).unwrap(), policy(&path));
    assert_eq!(
        revoke(folder.path(), &["ecds.yaml", "--subject", "agent-7", "--issued-before", "2026-11-24T00:00:00Z"]).status.code(),
        Some(0)
    );
    let (after, new) = (fs::read_to_string(&path).unwrap(), policy(&path));
    let changed: Vec<(&str, &str)> = before.lines().zip(after.lines()).filter(|(old, new)| old != new).collect();
    assert_eq!((changed.len(), before.lines().count()), (1, after.lines().count()), "the policy's line alone");
    assert_eq!(
        new["revoked"].as_array().unwrap().last().unwrap(),
        &json!({"subject": "agent-7", "issued_before": "2026-11-24T00:00:00Z"})
    );
    assert!(new["generation"].as_u64() > old["generation"].as_u64());
}

const MANIFEST: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: chaperone-orders
  namespace: orders
spec:
  # the workload
  selector: {matchLabels: {app: orders}}
  pluginConfig:
";

fn manifest() -> String {
    let policy = fs::read_to_string(EXAMPLE).unwrap();
    MANIFEST.to_owned() + &policy.lines().map(|line| format!("    {line}\n")).collect::<String>()
}

#[test]
fn a_manifest_is_changed_in_place_or_patched_in_part() {
    let (folder, _) = folder();
    let path = folder.path().join("plugin.yaml");
    fs::write(&path, manifest()).unwrap();
    let patch = revoke(folder.path(), &["plugin.yaml", "--agent", "scraper", "--emit", "patch"]);
    assert_eq!(patch.status.code(), Some(0), "{}", text(&patch.stderr));
    assert_eq!(fs::read_to_string(&path).unwrap(), manifest(), "a patch leaves the file alone");
    let patch: Value = serde_json::from_slice(&patch.stdout).unwrap();
    let spec = &patch["spec"]["pluginConfig"];
    assert_eq!(spec["revoked"][2], json!({"agent": "scraper"}));
    assert_eq!(spec.as_object().unwrap().keys().collect::<Vec<_>>(), ["generation", "revoked"]);
    assert_eq!(patch["metadata"], json!({"name": "chaperone-orders", "namespace": "orders"}));
    assert_eq!((&patch["kind"], &patch["apiVersion"]), (&json!("WasmPlugin"), &json!("extensions.istio.io/v1alpha1")));

    let mut piped = command(folder.path(), &["-", "--agent", "crawler", "--undo", "--emit", "patch"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(manifest().as_bytes()).unwrap();
    let piped: Value = serde_json::from_slice(&piped.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(piped["spec"]["pluginConfig"]["revoked"].as_array().unwrap().len(), 1);
    assert_eq!(piped["metadata"].get("resourceVersion"), None);

    let versioned = manifest().replacen("metadata:\n", "metadata:\n  resourceVersion: \"4711\"\n", 1);
    fs::write(folder.path().join("versioned.yaml"), versioned).unwrap();
    let versioned = revoke(folder.path(), &["versioned.yaml", "--agent", "scraper", "--emit", "patch"]);
    let versioned: Value = serde_json::from_slice(&versioned.stdout).unwrap();
    assert_eq!(versioned["metadata"]["resourceVersion"], "4711", "so that a second patch from the same version is refused");

    assert_eq!(revoke(folder.path(), &["plugin.yaml", "--agent", "scraper"]).status.code(), Some(0));
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(MANIFEST) && after.contains("\n      - {agent: \"scraper\"}\n"), "{after}");
    assert_eq!(policy(&path)["revoked"][2], json!({"agent": "scraper"}));

    let none = revoke(folder.path(), &["policy.yaml", "--agent", "scraper", "--emit", "patch"]);
    assert_eq!((none.status.code(), none.stdout.len()), (Some(3), 0));
}

#[test]
fn old_entries_are_pruned_and_undated_ones_stay() {
    let (folder, path) = folder();
    assert_eq!(
        revoke(folder.path(), &["policy.yaml", "--subject", "m", "--issued-before", "2026-01-01T00:00:00Z"]).status.code(),
        Some(0)
    );
    let pruned = revoke(folder.path(), &["policy.yaml", "--prune"]);
    assert_eq!(pruned.status.code(), Some(0));
    assert!(text(&pruned.stdout).contains("no longer revoked {subject: \"m\", issued_before: \"2026-01-01T00:00:00Z\"}"));
    assert_eq!(policy(&path)["revoked"].as_array().unwrap().len(), 2);
    let before = fs::read_to_string(&path).unwrap();
    let again = revoke(folder.path(), &["policy.yaml", "--prune"]);
    assert_eq!(
        (again.status.code(), text(&again.stdout).as_str()),
        (Some(0), "policy.yaml: every entry may still matter; nothing was changed\n")
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
}

#[test]
fn many_at_once_lose_none() {
    let (folder, path) = folder();
    let children: Vec<_> = (0..24)
        .map(|number| {
            command(folder.path(), &["policy.yaml", "--session", &format!("c-{number}")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    let mut sessions: Vec<String> = policy(&path)["revoked"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| Some(entry["session"].as_str()?.to_owned()))
        .filter(|id| id.starts_with("c-"))
        .collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 24);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left in the folder");
}

#[test]
fn a_killed_one_leaves_the_old_file_or_the_new_one() {
    let (folder, path) = folder();
    // Large enough that writing takes a moment.
    let mut policy_text = fs::read_to_string(&path).unwrap();
    let many: String = (0..3000).map(|number| format!("  - {{session: old-{number}}}\n")).collect();
    policy_text = policy_text.replace("revoked: ", "revoked: # ").replacen(
        "  - {session: s-2041",
        &format!("{many}  - {{session: s-2041"),
        1,
    );
    fs::write(&path, &policy_text).unwrap();
    let started = Instant::now();
    assert_eq!(revoke(folder.path(), &["policy.yaml", "--session", "first"]).status.code(), Some(0));
    let usual = started.elapsed();
    let (mut killed, mut done) = (0, 0);
    for number in 0..30_u32 {
        let before = fs::read_to_string(&path).unwrap();
        let id = format!("k-{number}");
        let mut child = command(folder.path(), &["policy.yaml", "--session", &id])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(usual * (number + 5) / 30);
        child.kill().ok();
        child.wait().unwrap();
        let after = fs::read_to_string(&path).unwrap();
        if after == before {
            killed += 1;
        } else {
            done += 1;
            assert!(after.contains(&format!("{{session: \"{id}\"}}")));
            assert_eq!(after.lines().count(), before.lines().count() + 1, "the whole of it");
        }
    }
    policy(&path);
    assert!(killed > 0, "{done} were done before they could be killed");
    assert_eq!(
        revoke(folder.path(), &["policy.yaml", "--session", "last"]).status.code(),
        Some(0),
        "the lock went with its holder"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "what the killed ones left is gone");
}

#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_leaves_the_old_file() {
    let (folder, path) = folder();
    let before = fs::read_to_string(&path).unwrap();
    // A limit of 0 blocks: the first byte written to a file ends the process.
    let script = format!("ulimit -f 0; exec '{}' revoke policy.yaml --session s-9", env!("CARGO_BIN_EXE_policy-host"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(
        revoke(folder.path(), &["policy.yaml", "--session", "s-9"]).status.code(),
        Some(0),
        "and without the limit it works"
    );
}

#[cfg(unix)]
#[test]
fn mode_and_links_are_kept_and_mounted_files_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    let (folder, path) = folder();
    // Another group than our own, where we may: the proxy's.
    let group = if chown(&path, None, Some(4242)).is_ok() { 4242 } else { fs::metadata(&path).unwrap().gid() };
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let link = folder.path().join("etc/policy.yaml");
    symlink("../policy.yaml", &link).unwrap();
    assert_eq!(revoke(folder.path(), &["etc/policy.yaml", "--session", "s-9"]).status.code(), Some(0));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "the link stays, what it names is replaced");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata(&path).unwrap().gid(), group);
    assert_eq!(policy(&path)["revoked"][2]["session"], "s-9");

    // As the kubelet mounts a ConfigMap.
    let mount = folder.path().join("mount");
    fs::create_dir_all(mount.join("..2026_11_24")).unwrap();
    fs::copy(&path, mount.join("..2026_11_24/policy.yaml")).unwrap();
    symlink("..2026_11_24", mount.join("..data")).unwrap();
    symlink("..data/policy.yaml", mount.join("policy.yaml")).unwrap();
    let refused = revoke(folder.path(), &["mount/policy.yaml", "--session", "s-10"]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(3), 0));
    assert!(text(&refused.stderr).contains("mounted from a ConfigMap"), "{}", text(&refused.stderr));
    assert_eq!(revoke(folder.path(), &["mount/policy.yaml", "--list"]).status.code(), Some(0), "looking is allowed");
}

#[test]
fn what_makes_no_sense_or_is_no_policy_touches_nothing() {
    let (folder, path) = folder();
    let good = fs::read_to_string(&path).unwrap();
    for args in [
        &["policy.yaml"][..],
        &["policy.yaml", "--session", ""],
        &["policy.yaml", "--session", "s", "--undo", "--list"],
        &["policy.yaml", "--session", "s", "--prune"],
        &["policy.yaml", "--issued-before", "yesterday"],
        &["policy.yaml", "--because", "no reason"],
        &["-", "--session", "s"],
        &["policy.yaml", "--session", "s", "--undo", "--because", "x"],
    ] {
        let output = revoke(folder.path(), args);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{args:?}: {}", text(&output.stderr));
    }
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("wrong.yaml", &good.replace("max_lifetime: 15m", "max_lifetime: 15"));
    write("two.yaml", &format!("{good}---\n{good}"));
    write("anchor.yaml", &good.replace("audiences: [orders]", "audiences: &a [orders]"));
    write("explicit.yaml", &good.replace("version: 1\n", "? version\n: 1\n").replace("generation: 1 ", "# "));
    write("config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    let mut seen = String::new();
    for file in ["missing.yaml", "wrong.yaml", "two.yaml", "anchor.yaml", "explicit.yaml", "config.yaml", "."] {
        let before = fs::read(folder.path().join(file)).ok();
        let output = revoke(folder.path(), &[file, "--session", "s"]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{file}: {}", text(&output.stderr));
        assert_eq!(fs::read(folder.path().join(file)).ok(), before);
        seen.push_str(&text(&output.stderr));
    }
    insta::assert_snapshot!(seen);
    assert_eq!(fs::read_to_string(&path).unwrap(), good);
}

#[test]
fn what_is_probably_not_meant_is_said() {
    let (folder, _) = folder();
    let output = revoke(folder.path(), &["policy.yaml", "--subject", "agent-*", "--issuer", "https://broker.exampel"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stderr);
    assert!(said.contains("`*` is a plain character") && said.contains("is not an issuer of this policy"), "{said}");
    let plain = revoke(folder.path(), &["policy.yaml", "--subject", "agent-7", "--issuer", "https://broker.example"]);
    assert_eq!((plain.status.code(), text(&plain.stderr).as_str()), (Some(0), ""));
}

#[test]
fn another_one_is_waited_for() {
    let (folder, path) = folder();
    let lock = fs::File::open(folder.path()).unwrap();
    lock.lock().unwrap();
    let mut child = command(folder.path(), &["policy.yaml", "--session", "s-9"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    assert_eq!(policy(&path)["revoked"].as_array().unwrap().len(), 2);
    drop(lock);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("another revoke is at work"));
    assert_eq!(policy(&path)["revoked"].as_array().unwrap().len(), 3);
}

#[test]
fn what_a_changed_file_would_lose_against_another_is_said() {
    let (folder, path) = folder();
    let render = ["render", "ecds", "--policy", EXAMPLE, "--wasm", "/chaperone.wasm"];
    let rendered = Command::new(env!("CARGO_BIN_EXE_policy-host")).args(render).output().unwrap();
    let old = text(&rendered.stdout);
    fs::write(folder.path().join("old.yaml"), &old).unwrap();
    let next = old.replace("vm_id: \"chaperone\"", "vm_id: \"v2\"");
    fs::write(folder.path().join("next.yaml"), next).unwrap();
    let output = revoke(folder.path(), &["next.yaml", "--session", "s-9", "--against", "old.yaml"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "the revocation is written: {said}");
    assert!(said.contains("streams_orphaned") && said.contains("end within 10s"), "{said}");
    let json = revoke(folder.path(), &["next.yaml", "--session", "s-8", "--against", "old.yaml", "--format", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&report["against"][0]["code"], &report["changed"]), (&json!("streams_orphaned"), &json!(true)));
    assert_eq!(text(&json.stderr), "");
    // The file itself as it was: only what is taken out is missing.
    let itself = revoke(folder.path(), &["old.yaml", "--session", "s-9", "--against", "old.yaml"]);
    assert_eq!((itself.status.code(), text(&itself.stderr).as_str()), (Some(0), ""));
    let undone = revoke(folder.path(), &["old.yaml", "--session", "s-9", "--undo", "--against", "old.yaml"]);
    assert!(text(&undone.stderr).contains("revocations_lost"), "{}", text(&undone.stderr));

    let before = fs::read_to_string(&path).unwrap();
    let missing = revoke(folder.path(), &["policy.yaml", "--session", "s-9", "--against", "nowhere.yaml"]);
    assert_eq!((missing.status.code(), fs::read_to_string(&path).unwrap() == before), (Some(3), true), "nothing was changed");
}
