//! `test` through the binary: results in each format, streams and workers, mistakes with their places, saved files run again.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod filters;
mod formats;
mod mistakes;
mod streams;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const POLICY: &str = r#"version: 1
name: orders
tokens:
  issuers:
    - issuer: https://broker.example
      audiences: [orders]
      algorithms: [ES256]
      keys: {jwks: {keys: [{kty: EC, crv: P-256, kid: example, x: f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU, y: x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0}]}}
session: {max_lifetime: 15m}
commands:
  orders.list: {http: {methods: [GET], path: /v1/orders}}
  orders.read: {http: {methods: [GET], path: "/v1/orders/{id}"}}
  orders.cancel: {http: {methods: [POST], path: "/v1/orders/{id}/cancel"}}
grants:
  - {name: agents, when: {subject: "agent-*"}, allow: [orders.list, orders.read]}
  - {name: support, when: {claims: {role: support}}, allow: ["orders.*"]}
"#;

const HEAD: &str = r#"version: 1
policy: policy.yaml
at: 2026-11-23T10:00:00Z
workers: 2
tokens:
  agent: {iat: 0s, exp: 10m, claims: {iss: https://broker.example, aud: orders, sub: agent-7, sid: s-1}}
  forged: {like: agent, key: stranger}
requests:
  list: {token: agent, get: /v1/orders}
cases:
"#;

/// A folder with the policy, and these cases in `cases.yaml`.
fn folder(cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "policy.yaml", POLICY);
    write(folder.path(), "cases.yaml", format!("{HEAD}{cases}"));
    folder
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.arg("test").args(args).current_dir(folder).env_remove("CHAPERONE_WASM");
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Every file of a folder with its bytes: to see that none was touched.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Two cases that hold, and two that do not.
const MIXED: &str = r#"  - name: an agent lists orders
    send: list
    expect: {allow: orders.list, session: s-1, upstream: {x-chaperone-subject: agent-7, authorization: null}, upstream_bytes: 0}
  - name: "{token} {get}"
    each:
      - {token: forged, get: /v1/orders, expect: {deny: signature_invalid, client_reason: token_rejected}}
      - {token: agent, get: /v1/orders/7, expect: {deny: command_not_granted, status: 403}}
  - name: revoked on the way
    steps:
      - {send: list, expect: {allow: orders.list}}
      - {config: {add: {revoked: [{session: s-1}]}}}
      - {name: on the other worker, worker: 2, after: 1m, send: list, expect: {allow: orders.list, upstream: {x-chaperone-session: s-1, x-a: [one, two]}}}
"#;
