//! Filters that others wrote, under `serve`: they run with their own configuration, and what is no filter is one clear error.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// As an SDK lays it out: a reactor with a table of contexts, the configuration kept, a header added to each request.
const GREETER: &str = r#"(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 4096))
  (global $text (mut i32) (i32.const 0))
  (global $size (mut i32) (i32.const 0))
  (data (i32.const 16) "x-greetingnoted")
  (func (export "proxy_abi_version_0_2_0"))
  (func (export "_initialize"))
  (func (export "malloc") (param i32) (result i32)
    (global.get $heap) (global.set $heap (i32.add (global.get $heap) (local.get 0))))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $buffer (i32.const 7) (i32.const 0) (local.get 1) (i32.const 1024) (i32.const 1028)))
    (global.set $text (i32.load (i32.const 1024)))
    (global.set $size (i32.load (i32.const 1028)))
    (drop (call $log (i32.const 2) (global.get $text) (global.get $size)))
    (i32.ne (global.get $size) (i32.const 0)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 10) (global.get $text) (global.get $size)))
    (drop (call $set_property (i32.const 26) (i32.const 5) (global.get $text) (global.get $size)))
    (i32.const 0)))"#;

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn file(dir: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy-host"));
    command.arg("serve").args(arguments).env_remove("CHAPERONE_WASM");
    command
}

#[test]
fn a_foreign_filter_runs_with_its_own_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = file(dir.path(), "greeter.wasm", wat::parse_str(GREETER).unwrap());
    let configuration = file(dir.path(), "greeting.txt", "good day");
    let mut command = serve(&["--wasm", wasm.to_str().unwrap(), "--configuration", configuration.to_str().unwrap()]);
    let mut server = Server(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut said = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(said.next().unwrap(), "filter: good day", "its log");
    let address = said.find_map(|line| Some(line.split_once("http://")?.1.split(' ').next()?.to_owned())).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(b"GET /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#"["x-greeting","good day"]"#), "{answer}");
    let told = BufReader::new(server.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert_eq!(told, r#"{"details":"via_upstream","filter_state":{"noted":"good day"},"status":200}"#);
}

/// Traps on whatever has more than eight fields.
const TRAPPING: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "malloc") (param i32) (result i32) (i32.const 8))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.gt_u (local.get 1) (i32.const 8)) (then unreachable))
    (i32.const 0)))"#;

#[test]
fn after_a_trap_it_heals_unless_it_is_told_not_to() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = file(dir.path(), "trapping.wasm", wat::parse_str(TRAPPING).unwrap());
    let configuration = file(dir.path(), "c", "c");
    let started = |more: &[&str]| {
        let usual = ["--workers", "1", "--wasm", wasm.to_str().unwrap(), "--configuration", configuration.to_str().unwrap()];
        let mut command = serve(&[&usual[..], more].concat());
        let mut server = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
        let mut said = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = said.find_map(|line| Some(line.split_once("http://")?.1.split(' ').next()?.to_owned())).unwrap();
        // Read on, for what it says of the trap must go somewhere.
        std::thread::spawn(move || said.for_each(drop));
        (server, address)
    };
    let status = |address: &str, fields: &str| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        write!(socket, "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{fields}\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let wait = Duration::from_millis(1200);
    for (more, healed) in [(&[][..], 200), (&["--failure-policy", "reload"], 200), (&["--failure-policy", "FAIL_CLOSED"], 503)] {
        let (_server, address) = started(more);
        assert_eq!(status(&address, ""), 200, "{more:?}");
        assert_eq!(status(&address, &"x-a: 1\r\n".repeat(9)), 503, "{more:?}");
        std::thread::sleep(wait);
        assert_eq!(status(&address, ""), healed, "{more:?}");
    }
    let refused = serve(&["--demo", "--failure-policy", "FAIL_OPEN"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("[possible values: reload, closed]"), "{refused:?}");
}

#[test]
fn what_is_no_filter_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let greeter = wat::parse_str(GREETER).unwrap();
    let module = |text: &str| wat::parse_str(format!("(module {text})")).unwrap();
    let abi = r#"(memory (export "memory") 1) (func (export "malloc") (param i32) (result i32) (i32.const 8)) (func (export "proxy_abi_version_0_2_1"))"#;
    let cases: [(&str, Vec<u8>, i32); 7] = [
        ("unknown-import", module(&format!(r#"(import "env" "proxy_open_the_door" (func (result i32))) {abi}"#)), 3),
        ("wrong-import", module(&format!(r#"(import "env" "proxy_log" (func (result i64))) {abi}"#)), 3),
        ("another-abi", module(r#"(func (export "proxy_abi_version_0_9_0"))"#), 3),
        ("no-proxy-wasm", module(""), 3),
        ("truncated", greeter[..greeter.len() / 2].to_vec(), 3),
        ("no-wasm", b"hello".to_vec(), 3),
        ("traps-at-start", module(&format!(r#"{abi} (func (export "_initialize") unreachable)"#)), 4),
    ];
    let configuration = file(dir.path(), "c", "c");
    let mut shown = String::new();
    for (name, bytes, exit) in cases {
        let wasm = file(dir.path(), "filter.wasm", bytes);
        let arguments = ["--wasm", wasm.to_str().unwrap(), "--configuration", configuration.to_str().unwrap()];
        let out = serve(&arguments).output().unwrap();
        assert_eq!(out.status.code(), Some(exit), "{name}: {out:?}");
        assert!(out.stdout.is_empty());
        shown.push_str(&format!(
            "== {name}\n{}",
            String::from_utf8_lossy(&out.stderr).replace(wasm.to_str().unwrap(), "filter.wasm")
        ));
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_rejected_configuration_and_a_missing_one_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = file(dir.path(), "greeter.wasm", wat::parse_str(GREETER).unwrap());
    let empty = file(dir.path(), "empty", "");
    let out = serve(&["--wasm", wasm.to_str().unwrap(), "--configuration", empty.to_str().unwrap()]).output().unwrap();
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("the filter rejected the configuration"), "{out:?}");
    let out = serve(&["--wasm", wasm.to_str().unwrap(), "--configuration", "/nonexistent/file"]).output().unwrap();
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("/nonexistent/file: cannot be read"), "{out:?}");
}

#[test]
fn a_configuration_is_for_another_filter_alone() {
    let usage = |arguments: &[&str]| {
        let out = serve(arguments).output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{out:?}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    assert!(usage(&["--configuration", "c"]).contains("--wasm"));
    assert!(usage(&["--configuration", "c", "--wasm", "w", "--policy", "p"]).contains("cannot be used with"));
    assert!(usage(&["--configuration", "c", "--wasm", "w", "--demo"]).contains("cannot be used with"));
    assert!(usage(&["--demo", "--allow-on-headers-stop-iteration"]).contains("--configuration"));
    let help = serve(&["--help"]).output().unwrap();
    assert!(String::from_utf8_lossy(&help.stdout).contains("policy-host serve --wasm filter.wasm --configuration filter.json"));
}
