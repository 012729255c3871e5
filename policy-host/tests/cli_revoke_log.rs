//! `policy-host revoke --from-log` as an operator runs it: on logs in each format, with what is not of this policy, broken or not there.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use policy_host::files;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agent-orders/policy.yaml");

/// A folder with the example's policy, which is called `agent-orders`, and a log of these lines.
fn folder(lines: &[String]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(EXAMPLE, folder.path().join("policy.yaml")).unwrap();
    fs::write(folder.path().join("access.log"), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    folder
}

fn revoke(folder: &Path, args: &[&str], stdin: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.arg("revoke").args(args).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Who does not read it closes it early.
    child.stdin.take().unwrap().write_all(stdin).ok();
    child.wait_with_output().unwrap()
}

const FROM_LOG: [&str; 3] = ["--from-log", "access.log", "policy.yaml"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn policy_text(folder: &Path) -> String {
    fs::read_to_string(folder.join("policy.yaml")).unwrap()
}

fn revoked(folder: &Path) -> Vec<Value> {
    let document = files::policy(&folder.join("policy.yaml")).unwrap_or_else(|findings| panic!("{findings}"));
    document.compile().unwrap_or_else(|findings| panic!("{findings}"));
    document.value()["revoked"].as_array().unwrap().clone()
}

/// As the filter writes it, with what matters here.
fn record(audit_id: &str, policy: &str, session: &str, ends: Option<&str>) -> Value {
    let mut record = json!({
        "metadata": {"uid": audit_id, "version": "1.6.0", "product": {"name": "Chaperone"}},
        "class_uid": 6003, "status_code": "unknown_command",
        "actor": {"user": {"uid": "agent-7"}, "session": {"uid": session, "issuer": "https://broker.example", "created_time": 1}},
        "policy": {"uid": policy, "version": "0123456789abcdef"},
        "unmapped": {"decision": "deny", "worker": "w", "sequence": 7},
    });
    if let Some(ends) = ends {
        record["unmapped"]["ends_session"] = json!(ends);
    }
    record
}

/// A line of the shipped format.
fn line(record: &Value) -> String {
    format!(r#"{{"start_time":"2026-11-26T10:00:00Z","response_code":403,"session_audit":[{record}]}}"#)
}

fn ending(audit_id: &str, session: &str, ends: &str) -> String {
    line(&record(audit_id, "agent-orders", session, Some(ends)))
}

fn nobody() -> String {
    line(&json!({"metadata": {"uid": "a-0"}, "actor": {"user": {"type_id": 0}}, "unmapped": {"decision": "deny"}}))
}

#[test]
fn what_a_proxy_has_ended_is_revoked_once_and_nothing_else() {
    let folder = folder(&[
        line(&record("a-1", "agent-orders", "s-quiet", None)),
        ending("a-2", "s-d", "denials"),
        r#"{"response_code":403,"session_audit":[]}"#.to_owned(),
        nobody(),
        ending("a-3", "s-\"c\" # ü", "context_change"),
        String::new(),
        // Another proxy has ended it for itself.
        ending("a-4", "s-d", "idle"),
        ending("a-5", "s-i", "idle"),
        line(&record("a-6", "billing", "s-b", Some("denials"))),
    ]);
    let before = policy_text(folder.path());
    let output = revoke(folder.path(), &FROM_LOG, b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let entry =
        |session: &str, because: &str| json!({"session": session, "issuer": "https://broker.example", "because": because});
    assert_eq!(
        revoked(folder.path())[2..],
        [
            entry("s-d", "too many denials (audit id a-2)"),
            entry("s-\"c\" # ü", "another context (audit id a-3)"),
            entry("s-i", "not used for too long (audit id a-5)"),
        ]
    );
    assert_eq!(
        text(&output.stderr),
        "policy-host: access.log: sessions ended under policies of other names are left alone (billing: 1)\n"
    );
    let (said, after) = (text(&output.stdout), policy_text(folder.path()));
    assert_eq!(said.lines().filter(|line| line.starts_with("policy.yaml: revoked {session: ")).count(), 3, "{said}");
    let new: Vec<&str> = after.lines().filter(|line| !before.contains(line)).collect();
    assert_eq!(new.len(), 4, "three entries and the generation; the comments stay: {new:?}");
    assert!(new[0].starts_with("generation: 1") && new[0].contains("# moved on"), "{new:?}");

    let again = revoke(folder.path(), &FROM_LOG, b"");
    assert_eq!(again.status.code(), Some(0));
    assert_eq!(text(&again.stdout), "policy.yaml: all 3 sessions that the log ends are revoked already; nothing was changed\n");
    assert_eq!(policy_text(folder.path()), after, "untouched");
}

#[test]
fn what_is_covered_by_a_wider_entry_is_not_revoked_again_and_what_is_not_is() {
    let folder = folder(&[ending("a-1", "s-1", "denials"), ending("a-2", "s-2", "denials")]);
    for args in [
        &["policy.yaml", "--session", "s-1"][..],
        // Of the same name at another issuer, and only for a while: neither ends all of it.
        &["policy.yaml", "--session", "s-2", "--issuer", "https://other.example"],
        &["policy.yaml", "--session", "s-2", "--issued-before", "2026-11-26T00:00:00Z"],
    ] {
        assert_eq!(revoke(folder.path(), args, b"").status.code(), Some(0));
    }
    let output = revoke(folder.path(), &[&FROM_LOG[..], &["--format", "json"]].concat(), b"");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["changed"], json["added"].as_array().unwrap().len()), (&json!(true), 1));
    assert_eq!((&json["added"][0]["session"], &json["generation"]), (&json!("s-2"), &generation(folder.path())));
    assert_eq!(json["log"], json!({"records": 2, "ended": 2, "ended_elsewhere": 0, "unreadable_lines": 0}));
    let again = revoke(folder.path(), &[&FROM_LOG[..], &["--format", "json"]].concat(), b"");
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["changed"], &again["added"], &again["log"]["ended"]), (&json!(false), &json!([]), &json!(2)));
}

fn generation(folder: &Path) -> Value {
    files::policy(&folder.join("policy.yaml")).unwrap().value()["generation"].clone()
}

#[test]
fn a_log_that_ends_nothing_changes_nothing_and_says_so() {
    for lines in [
        vec![],
        vec![line(&record("a-1", "agent-orders", "s-1", None)), nobody()],
        vec![r#"{"response_code":403,"session_audit":[]}"#.to_owned()],
        vec![line(&record("a-1", "billing", "s-1", Some("denials")))],
    ] {
        let folder = folder(&lines);
        let before = policy_text(folder.path());
        let output = revoke(folder.path(), &FROM_LOG, b"");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(
            text(&output.stdout),
            "policy.yaml: the log ends no session of the policy `agent-orders`; nothing was changed\n"
        );
        assert_eq!(policy_text(folder.path()), before);
    }
}

#[test]
fn a_file_that_is_no_log_of_the_filter_is_not_taken_for_a_quiet_one() {
    for lines in [
        vec![r#"{"response_code":200,"path":"/"}"#.to_owned()],
        // A record, but somebody else's.
        vec![record("a-1", "agent-orders", "s-1", Some("denials")).to_string().replace("Chaperone", "Other")],
        vec!["[2026-11-26] \"GET / HTTP/1.1\" 200".to_owned()],
    ] {
        let folder = folder(&lines);
        let before = policy_text(folder.path());
        let output = revoke(folder.path(), &FROM_LOG, b"");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(3), 0), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("is this the proxy's access log?"), "{}", text(&output.stderr));
        assert_eq!(policy_text(folder.path()), before);
    }
    let folder = folder(&[]);
    let missing = revoke(folder.path(), &["--from-log", "none.log", "policy.yaml"], b"");
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(3), 0));
}

#[test]
fn other_formats_are_read_and_stdin_is() {
    let first = record("a-1", "agent-orders", "s-1", Some("denials"));
    let escaped = json!({"code": 403, "session_audit": record("a-2", "agent-orders", "s-2", Some("denials")).to_string()});
    let object = json!({"code": 403, "session_audit": record("a-3", "agent-orders", "s-3", Some("denials"))});
    let absent = [json!({"session_audit": "-"}), json!({"session_audit": ""}), json!({"session_audit": null})];
    // Bytes that are no UTF-8 in what a client wrote are no reason not to read the record.
    let mut odd = br#"{"user_agent":""#.to_vec();
    odd.extend(b"\xff\",");
    odd.extend(&line(&record("a-4", "agent-orders", "s-4", Some("idle"))).as_bytes()[1..]);
    let mut log: Vec<u8> = [first, escaped, object].iter().chain(&absent).flat_map(|l| format!("{l}\n").into_bytes()).collect();
    log.extend(odd);

    let folder = folder(&[]);
    let output = revoke(folder.path(), &["--from-log", "-", "policy.yaml"], &log);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let sessions: Vec<Value> = revoked(folder.path())[2..].iter().map(|entry| entry["session"].clone()).collect();
    assert_eq!(sessions, ["s-1", "s-2", "s-3", "s-4"]);

    // A stream that a newer policy has ended counts for that one.
    let mut stream = record("a-5", "old", "s-5", Some("idle"));
    stream["unmapped"]["ended_under"] = json!("agent-orders@0123456789ab");
    let output = revoke(folder.path(), &["--from-log", "-", "policy.yaml"], stream.to_string().as_bytes());
    assert_eq!((output.status.code(), &revoked(folder.path())[6]["session"]), (Some(0), &json!("s-5")));

    let both = revoke(folder.path(), &["--from-log", "-", "-", "--emit", "patch"], b"");
    assert_eq!((both.status.code(), both.stdout.len()), (Some(2), 0), "{}", text(&both.stderr));
    for more in [&["--session", "s"][..], &["--because", "x"], &["--undo"], &["--list"], &["--prune"]] {
        let output = revoke(folder.path(), &[&FROM_LOG[..], more].concat(), b"");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{more:?}");
    }
}

#[test]
fn broken_lines_are_shown_and_the_others_still_count() {
    let mut nameless = record("a-3", "agent-orders", "s-3", Some("denials"));
    nameless["actor"] = json!({"user": {"type_id": 0}});
    let mut lawless = record("a-4", "agent-orders", "s-4", Some("denials"));
    lawless.as_object_mut().unwrap().remove("policy");
    let good = ending("a-1", "s-1", "denials");
    let folder = folder(&[
        good.clone(),
        good.chars().take(40).collect(),
        "not JSON".to_owned(),
        "7".to_owned(),
        line(&nameless),
        line(&lawless),
        ending("a-5", "s-5", "boredom"),
        line(&json!({"metadata": {}, "unmapped": {}})),
        json!({"session_audit": "{"}).to_string(),
        ending("a-2", "s-2", "idle"),
    ]);
    let output = revoke(folder.path(), &FROM_LOG, b"");
    assert_eq!(output.status.code(), Some(3), "something was not read");
    insta::assert_snapshot!(text(&output.stderr));
    let sessions: Vec<Value> = revoked(folder.path())[2..].iter().map(|entry| entry["session"].clone()).collect();
    assert_eq!(sessions, ["s-1", "s-2"], "and the rest is revoked");
    // Nor is it fine when there is nothing new.
    assert_eq!(revoke(folder.path(), &FROM_LOG, b"").status.code(), Some(3));
}

#[test]
fn a_patch_has_them_all_and_leaves_the_file_alone() {
    let folder = folder(&[ending("a-1", "s-1", "denials"), ending("a-2", "s-2", "idle")]);
    let head = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: orders}\nspec:\n  pluginConfig:\n";
    let manifest = head.to_owned() + &policy_text(folder.path()).lines().map(|l| format!("    {l}\n")).collect::<String>();
    fs::write(folder.path().join("plugin.yaml"), &manifest).unwrap();
    let patch = revoke(folder.path(), &["--from-log", "access.log", "plugin.yaml", "--emit", "patch"], b"");
    assert_eq!(patch.status.code(), Some(0), "{}", text(&patch.stderr));
    let patch: Value = serde_json::from_slice(&patch.stdout).unwrap();
    assert_eq!(patch["spec"]["pluginConfig"]["revoked"].as_array().unwrap().len(), 4);
    assert_eq!(fs::read_to_string(folder.path().join("plugin.yaml")).unwrap(), manifest);
    assert_eq!(revoke(folder.path(), &["--from-log", "access.log", "plugin.yaml"], b"").status.code(), Some(0));
    let after = fs::read_to_string(folder.path().join("plugin.yaml")).unwrap();
    assert_eq!(after.lines().count(), manifest.lines().count() + 2, "in place");
}

#[test]
fn a_document_without_revocations_gets_the_list() {
    let folder = folder(&[ending("a-1", "s-1", "denials"), ending("a-2", "s-2", "idle")]);
    let document = files::policy(&folder.path().join("policy.yaml")).unwrap();
    let mut policy = document.value().clone();
    policy.as_object_mut().unwrap().remove("revoked");
    fs::write(folder.path().join("policy.json"), policy.to_string()).unwrap();
    let output = revoke(folder.path(), &["--from-log", "access.log", "policy.json"], b"");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let after: Value = serde_json::from_slice(&fs::read(folder.path().join("policy.json")).unwrap()).unwrap();
    assert_eq!(after["revoked"].as_array().unwrap().len(), 2);
}
