//! `token` through the binary: what `keygen` makes, `mint` signs with, and `inspect` shows without believing it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

fn token(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_policy-host")).arg("token").args(args).current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const MINT: [&str; 15] = [
    "mint",
    "--key",
    "key.jwk",
    "--iss",
    "https://broker.example",
    "--aud",
    "orders",
    "--sub",
    "agent-7",
    "--sid",
    "s-1",
    "--commands",
    "orders.*,health",
    "--at",
    "2026-11-23T10:00:00Z",
];

#[test]
fn a_key_is_for_its_owner_alone_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let made = token(folder.path(), &["keygen", "--out", "key.jwk"]);
    assert_eq!(made.status.code(), Some(0));
    let public: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!(public["keys"][0]["alg"], "ES256");
    assert!(public["keys"][0].get("d").is_none(), "the private half is not shown");
    let private: Value = serde_json::from_str(&fs::read_to_string(folder.path().join("key.jwk")).unwrap()).unwrap();
    assert!(!text(&made.stderr).contains(private["d"].as_str().unwrap()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder.path().join("key.jwk")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let again = token(folder.path(), &["keygen", "--out", "key.jwk"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("key.jwk: is there already") && text(&again.stderr).contains("remove it"), "{again:?}");
    let nowhere = token(folder.path(), &["keygen", "--out", "new/key.jwk"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("new/key.jwk: its folder is not there"), "{nowhere:?}");
    assert_eq!(token(folder.path(), &["keygen", "--alg", "HS256"]).status.code(), Some(2));
}

#[test]
fn a_minted_token_says_what_it_was_told_to_and_is_shown_without_being_believed() {
    let folder = tempfile::tempdir().unwrap();
    token(folder.path(), &["keygen", "--alg", "EdDSA", "--out", "key.jwk"]);
    let mut args = MINT.to_vec();
    args.extend(["--ttl", "5m", "--claim", "act={\"sub\":\"crawler\"}", "--type", "at+jwt"]);
    let minted = token(folder.path(), &args);
    assert_eq!(minted.status.code(), Some(0), "{}", text(&minted.stderr));
    let minted = text(&minted.stdout);
    let seen = token(folder.path(), &["inspect", "--format", "json", "--at", "2026-11-23T10:04:00Z", minted.trim()]);
    let seen: Value = serde_json::from_slice(&seen.stdout).unwrap();
    assert_eq!((&seen["verified"], &seen["expired"]), (&Value::Bool(false), &Value::Bool(false)));
    assert_eq!((&seen["header"]["typ"], &seen["header"]["alg"]), (&"at+jwt".into(), &"EdDSA".into()));
    assert_eq!(seen["claims"]["exp"], 1_795_428_300);
    assert_eq!(seen["claims"]["commands"], serde_json::json!(["orders.*", "health"]));
    let human = token(folder.path(), &["inspect", "--at", "2026-11-23T10:06:00Z", minted.trim()]);
    let human = text(&human.stdout);
    let kid = seen["header"]["kid"].as_str().unwrap();
    insta::assert_snapshot!(human.replace(kid, "<kid>"));
}

#[test]
fn what_is_wrong_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let missing = token(folder.path(), &MINT);
    assert_eq!(missing.status.code(), Some(3));
    assert!(text(&missing.stderr).contains("key.jwk: cannot be read"));
    let public = token(folder.path(), &["keygen", "--out", "private.jwk"]).stdout;
    let public: Value = serde_json::from_slice(&public).unwrap();
    fs::write(folder.path().join("key.jwk"), public["keys"][0].to_string()).unwrap();
    let wrong = token(folder.path(), &MINT);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(text(&wrong.stderr).contains("a public key, and only a private one can sign"), "{}", text(&wrong.stderr));
    let mut args = MINT.to_vec();
    args.extend(["--claim", "role=support"]);
    let usage = token(folder.path(), &args);
    assert_eq!(usage.status.code(), Some(2));
    assert!(text(&usage.stderr).contains(r#"a string is written 'role="support"'"#), "{}", text(&usage.stderr));
    assert_eq!(token(folder.path(), &["inspect", "a.b"]).status.code(), Some(3));
}
