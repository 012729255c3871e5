//! `serve --demo` through the binary: the four printed requests, sent as printed, behave as said.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Lines, Read, Write},
    net::TcpStream,
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Ends the server with the test, by its own process id.
struct Server {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    told: Lines<BufReader<ChildStderr>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a pasted curl line says.
struct Pasted {
    title: String,
    method: String,
    authorization: String,
    address: String,
    path: String,
}

fn binary(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.args(args).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).env_remove("CHAPERONE_WASM");
    command
}

impl Server {
    fn demo() -> Self {
        Self::start(&["--demo"])
    }

    fn start(options: &[&str]) -> Self {
        let mut command = binary(&["serve"]);
        command.args(options).env_remove("ORDERS_TOKEN").env("TICKETS_TOKEN", "the-tickets-credential");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, told }
    }

    fn pasted(&mut self) -> Vec<Pasted> {
        let mut found = Vec::new();
        let mut title = String::new();
        while found.len() < 4 {
            let line = self.out.next().expect("four requests are printed").unwrap();
            if let Some(said) = line.strip_prefix("# ") {
                title = said.to_owned();
            } else if let Some(curl) = line.strip_prefix("curl -i ") {
                let (before, url) = curl.rsplit_once(' ').unwrap();
                let method = before.strip_prefix("-X ").map_or("GET", |rest| rest.split(' ').next().unwrap());
                let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
                found.push(Pasted {
                    title: title.clone(),
                    method: method.to_owned(),
                    authorization: before.split('\'').nth(1).unwrap().to_owned(),
                    address: address.to_owned(),
                    path: format!("/{path}"),
                });
            }
        }
        found
    }
}

fn send(pasted: &Pasted) -> (u16, String) {
    let mut socket = TcpStream::connect(&pasted.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let Pasted { method, path, authorization, address, .. } = pasted;
    write!(socket, "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn the_four_printed_requests_behave_as_said() {
    let mut server = Server::demo();
    let pasted = server.pasted();
    let expected = [
        ("allowed", 200, None),
        ("command denied", 403, Some("command_not_granted")),
        ("expired", 401, Some("expired")),
        ("revoked", 401, Some("revoked")),
    ];
    for (pasted, (title, status, reason)) in pasted.iter().zip(expected) {
        assert!(pasted.title.starts_with(&format!("{title}: {status}")), "{}", pasted.title);
        let (seen, body) = send(pasted);
        assert_eq!(seen, status, "{title}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body.get("reason").and_then(Value::as_str), reason, "{title}");
        if reason.is_none() {
            let headers = body["headers"].to_string();
            assert!(headers.contains("demo-credential-of-the-upstream") && headers.contains("x-chaperone-session"), "{headers}");
            assert!(!headers.contains(pasted.authorization.split(' ').next_back().unwrap()), "the session token went upstream");
        }
        let record: Value = loop {
            let line = server.out.next().unwrap().unwrap();
            if !line.is_empty() {
                break serde_json::from_str(&line).unwrap();
            }
        };
        assert_eq!(record["status_code"], reason.unwrap_or("allowed"));
    }
}

#[test]
fn a_demo_of_another_policy_is_refused_rather_than_wrong() {
    let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/elevated-engineer/policy.yaml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    let output = command.args(["serve", "--demo", "--policy", policy]).env_remove("CHAPERONE_WASM").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the demo's sessions are those of examples/agent-orders"));
}

#[test]
fn what_nobody_here_publishes_is_told_before_it_listens() {
    let mut server = Server::start(&["--policy", "examples/mcp-agent/policy.yaml"]);
    let told = server.told.next().unwrap().unwrap();
    assert!(told.contains("https://broker.example/jwks.json") && told.contains("no token of theirs will be accepted"), "{told}");
    assert!(server.told.by_ref().map(Result::unwrap).any(|line| line.starts_with("listening on")), "it listens all the same");
    // With a key of its own there is nothing to tell.
    let mut server = Server::demo();
    assert!(server.told.next().unwrap().unwrap().starts_with("listening on"));
}

#[test]
fn a_taken_port_and_a_wrong_upstream_are_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let serve = |args: &[&str]| {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
        command.arg("serve").args(args).current_dir(workspace).env_remove("CHAPERONE_WASM").output().unwrap()
    };
    let output = serve(&["--demo", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("cannot listen on {address}")));
    assert_eq!(serve(&["--demo", "--upstream", "ftp://x"]).status.code(), Some(2));
    assert_eq!(serve(&[]).status.code(), Some(2), "no policy");
}

/// Only where heads are held can a request be judged by its body, as the wiring that ships has it.
#[test]
fn a_command_in_a_body_is_judged() {
    const POLICY: &str = "examples/mcp-agent/policy.yaml";
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.jwk");
    let key = key.to_str().unwrap();
    assert!(binary(&["token", "keygen", "--out", key]).stdout(Stdio::null()).status().unwrap().success());
    let mint =
        ["--iss", "https://broker.example", "--aud", "tickets", "--sub", "agent-7", "--sid", "s-1", "--type", "session+jwt"];
    let minted = binary(&["token", "mint", "--key", key]).args(mint).output().unwrap();
    let token = String::from_utf8(minted.stdout).unwrap();
    let mut server = Server::start(&["--policy", POLICY, "--key", key]);
    let line =
        server.told.by_ref().map(Result::unwrap).find(|line| line.contains("listening")).expect("it says where it listens");
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let call = |tool: &str| {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"id":"t-1"}}}}}}"#
        );
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = "POST /mcp HTTP/1.1\r\ncontent-type: application/json\r\naccept: application/json\r\nmcp-protocol-version: 2025-11-25\r\nconnection: close";
        write!(
            socket,
            "{head}\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            token.trim(),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    // It listens once every worker has its keys.
    for _ in 0..4 {
        let answer = call("read_ticket");
        assert!(!answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    let allowed = call("read_ticket");
    // The echo's answer is no message of the protocol's, and shows what it was sent.
    assert!(allowed.contains("x-chaperone-decision"), "{allowed}");
    let denied = call("delete_ticket");
    assert!(denied.contains("command_not_granted") && !denied.contains("x-chaperone-decision"), "{denied}");
}
