//! What single host calls answer, good and bad.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod host_guest;

use host_guest::{get, headers, module, ok, proxy, proxy_with, shown, values};
use policy_host::host::{HostCall, LogLevel, LogSink, PeerCertificate, Properties, Request, Status, Tls, VmOptions};
use std::sync::{Arc, Mutex};

const REQUEST: &str = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;

/// Runs the calls in the request callback and answers the statuses that they showed.
fn statuses(data: &str, calls: &str) -> Vec<u8> {
    let exchange = proxy(&format!("{data} {REQUEST} {calls} (i32.const 0))")).exchange(0, get(&[("x-a", "1")]), ok);
    assert!(exchange.trap.is_none(), "{:?}", exchange.trap);
    shown(&exchange.upstream.unwrap().headers)
}

const INVALID_MEMORY: u8 = Status::InvalidMemoryAccess as u8;
const BAD_ARGUMENT: u8 = Status::BadArgument as u8;
const NOT_FOUND: u8 = Status::NotFound as u8;

#[test]
fn bad_pointers_are_answered_not_followed() {
    let calls = [
        "(call $get (i32.const 0) (i32.const -1) (i32.const 5) (i32.const 1024) (i32.const 1028))",
        "(call $get (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 1024) (i32.const 1028))",
        "(call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const -4) (i32.const 1028))",
        "(call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const -3))",
        "(call $pairs (i32.const 0) (i32.const 262142) (i32.const 1028))",
        "(call $add (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 262143) (i32.const 2))",
        "(call $set_pairs (i32.const 0) (i32.const 262144) (i32.const 1))",
        "(call $property (i32.const -8) (i32.const 16) (i32.const 1024) (i32.const 1028))",
        "(call $set_property (i32.const 0) (i32.const 1) (i32.const -1) (i32.const 1))",
        "(call $now (i32.const 262140))",
        "(call $log (i32.const 2) (i32.const -1) (i32.const 1))",
        "(call $reply (i32.const 200) (i32.const -1) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
        "(call $http_call (i32.const -1) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024))",
        "(call $define_metric (i32.const 0) (i32.const 0) (i32.const 5) (i32.const -1))",
    ];
    for call in calls {
        let shown = statuses(r#"(data (i32.const 0) ":path")"#, &format!("(call $show (i32.const 0) {call})"));
        assert_eq!(shown, [INVALID_MEMORY], "{call}");
    }
}

#[test]
fn an_allocator_that_fails_is_invalid_memory_access() {
    let guest = r#"(module
      (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
      (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "x-statusABCDEFGHIJKLM")
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) (i32.const 0))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $add (i32.const 0) (i32.const 0) (i32.const 8)
          (i32.add (i32.const 8) (call $pairs (i32.const 0) (i32.const 1024) (i32.const 1028))) (i32.const 1)))
        (i32.const 0)))"#;
    let module = policy_host::host::Module::from_bytes(&wat::parse_str(guest).unwrap()).unwrap();
    let exchange = proxy_with(&module, b"", VmOptions::default()).exchange(0, get(&[]), ok);
    assert_eq!(shown(&exchange.upstream.unwrap().headers), [INVALID_MEMORY]);
}

#[test]
fn arguments_out_of_range_are_bad_arguments() {
    let data = r#"(data (i32.const 0) ":path")"#;
    let calls = [
        ("(call $get (i32.const 8) (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028))", BAD_ARGUMENT),
        ("(call $get (i32.const 2) (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028))", BAD_ARGUMENT),
        ("(call $get (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1024) (i32.const 1028))", NOT_FOUND),
        ("(call $pairs (i32.const 2) (i32.const 1024) (i32.const 1028))", 0),
        ("(call $pairs (i32.const 9) (i32.const 1024) (i32.const 1028))", BAD_ARGUMENT),
        ("(call $buffer (i32.const 7) (i32.const 0) (i32.const 9) (i32.const 1024) (i32.const 1028))", NOT_FOUND),
        ("(call $buffer (i32.const 9) (i32.const 0) (i32.const 9) (i32.const 1024) (i32.const 1028))", BAD_ARGUMENT),
        ("(call $log (i32.const 6) (i32.const 0) (i32.const 5))", BAD_ARGUMENT),
        (
            "(call $http_call (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1024))",
            BAD_ARGUMENT,
        ),
        ("(call $foreign (i32.const 0) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))", NOT_FOUND),
        ("(call $get_shared (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028) (i32.const 1032))", NOT_FOUND),
        ("(call $increment_metric (i32.const 4) (i64.const 1))", NOT_FOUND),
        ("(call $property (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028))", NOT_FOUND),
    ];
    for (call, status) in calls {
        assert_eq!(statuses(data, &format!("(call $show (i32.const 0) {call})")), [status], "{call}");
    }
}

#[test]
fn shared_data_and_metrics_reach_the_embedder() {
    let shared = policy_host::host::Shared::default();
    let vm = VmOptions { shared: shared.clone(), vm_id: "v".into(), ..VmOptions::default() };
    let guest = format!(
        r#"(data (i32.const 0) "keyvaluecount") {REQUEST}
          (call $show (i32.const 0) (call $set_shared (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5) (i32.const 0)))
          (call $show (i32.const 0) (call $set_shared (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5) (i32.const 99)))
          (drop (call $define_metric (i32.const 0) (i32.const 8) (i32.const 5) (i32.const 1024)))
          (call $show (i32.const 0) (call $increment_metric (i32.load (i32.const 1024)) (i64.const 3)))
          (call $show (i32.const 0) (call $increment_metric (i32.load (i32.const 1024)) (i64.const -3)))
          (i32.const 0))"#
    );
    let mut proxy = proxy_with(&module(&guest), b"", vm);
    let exchange = proxy.exchange(0, get(&[]), ok);
    assert_eq!(shown(&exchange.upstream.unwrap().headers), [0, Status::CasMismatch as u8, 0, BAD_ARGUMENT]);
    assert_eq!(shared.get(b"v", b"key").unwrap().0, b"value");
    assert_eq!(shared.metric("count"), 3);
    proxy.exchange(0, get(&[]), ok);
    assert_eq!(shared.metric("count"), 6, "the same name is the same metric");
}

/// Adds the property at 0..`length` as header `x-p`, or its status.
fn property(path: &str, request: Request) -> Result<Vec<u8>, u8> {
    let guest = format!(
        r#"(data (i32.const 0) "{}") (data (i32.const 800) "x-p") {REQUEST} (local $s i32)
          (local.set $s (call $property (i32.const 0) (i32.const {}) (i32.const 1024) (i32.const 1028)))
          (call $show (i32.const 0) (local.get $s))
          (if (i32.eqz (local.get $s)) (then
            (drop (call $add (i32.const 0) (i32.const 800) (i32.const 3) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))))
          (i32.const 0))"#,
        path.replace('.', "\\00"),
        path.len()
    );
    let headers = proxy(&guest).exchange(0, request, ok).upstream.unwrap().headers;
    match shown(&headers)[0] {
        0 => Ok(headers.into_iter().find(|(n, _)| n == b"x-p").unwrap().1),
        status => Err(status),
    }
}

#[test]
fn properties_have_envoys_names_and_encodings() {
    let request = || Request {
        properties: Arc::new(Properties {
            source: Some("192.0.2.7:4711".parse().unwrap()),
            route_name: Some("r1".into()),
            tls: Some(Tls {
                peer: Some(PeerCertificate {
                    sha256_digest: "ab".repeat(32),
                    uri_san: Some("spiffe://a/b".into()),
                    ..Default::default()
                }),
                ..Tls::default()
            }),
            extra: vec![("metadata.x".into(), b"m".to_vec())],
            ..Properties::default()
        }),
        ..get(&[])
    };
    assert_eq!(property("source.address", request()).unwrap(), b"192.0.2.7:4711");
    assert_eq!(property("source.port", request()).unwrap(), 4711_u64.to_le_bytes());
    assert_eq!(property("request.path", request()).unwrap(), b"/p?q=1");
    assert_eq!(property("request.url_path", request()).unwrap(), b"/p");
    assert_eq!(property("request.time", request()).unwrap(), 1_000_000_007_u64.to_le_bytes());
    assert_eq!(property("connection.mtls", request()).unwrap(), [1]);
    assert_eq!(property("connection.mtls", get(&[])).unwrap(), [0]);
    assert_eq!(property("connection.uri_san_peer_certificate", request()).unwrap(), b"spiffe://a/b");
    assert_eq!(property("connection.sha256_peer_certificate_digest", request()).unwrap(), "ab".repeat(32).into_bytes());
    assert_eq!(property("connection.sha256_peer_certificate_digest", get(&[])), Err(NOT_FOUND));
    assert_eq!(property("xds.route_name", request()).unwrap(), b"r1");
    assert_eq!(property("plugin_name", request()).unwrap(), b"plug");
    assert_eq!(property("plugin_root_id", request()).unwrap(), b"root");
    assert_eq!(property("metadata.x", request()).unwrap(), b"m");
    assert_eq!(property("response.code", request()), Err(NOT_FOUND));
    assert_eq!(property("nothing", request()), Err(NOT_FOUND));
}

#[test]
fn the_log_callback_reads_the_outcome_and_sets_properties() {
    let guest = r#"(data (i32.const 0) "response\00code\00response\00code_details:path") (data (i32.const 800) "codedetailspath")
      (func (export "proxy_on_log") (param i32)
        (drop (call $property (i32.const 0) (i32.const 13) (i32.const 1024) (i32.const 1028)))
        (drop (call $set_property (i32.const 800) (i32.const 4) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
        (drop (call $property (i32.const 14) (i32.const 21) (i32.const 1024) (i32.const 1028)))
        (drop (call $set_property (i32.const 804) (i32.const 7) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
        (drop (call $get (i32.const 0) (i32.const 35) (i32.const 5) (i32.const 1024) (i32.const 1028)))
        (drop (call $set_property (i32.const 811) (i32.const 4) (i32.load (i32.const 1024)) (i32.load (i32.const 1028)))))"#;
    let exchange = proxy(guest).exchange(0, get(&[]), ok);
    assert_eq!(exchange.property("code"), Some(&200_u64.to_le_bytes()[..]));
    assert_eq!(exchange.property("details"), Some(&b"via_upstream"[..]));
    assert_eq!(exchange.property("path"), Some(&b"/p?q=1"[..]));
}

#[test]
fn logs_and_standard_output_reach_the_sink() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let log = LogSink::new(move |level, text| kept.lock().unwrap().push((level, text.to_owned())));
    let guest = format!(
        r#"(data (i32.const 0) "hello\n") (data (i32.const 16) "\00\00\00\00\06\00\00\00") {REQUEST}
          (drop (call $log (i32.const 3) (i32.const 0) (i32.const 5)))
          (drop (call $log (i32.const 0) (i32.const 0) (i32.const 5)))
          (drop (call $fd_write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 1024)))
          (call $show (i32.const 0) (call $fd_write (i32.const 3) (i32.const 16) (i32.const 1) (i32.const 1024)))
          (i32.const 0))"#
    );
    let exchange = proxy_with(&module(&guest), b"", VmOptions { log, ..VmOptions::default() }).exchange(0, get(&[]), ok);
    assert_eq!(*lines.lock().unwrap(), [(LogLevel::Warn, "hello".to_owned()), (LogLevel::Error, "hello".to_owned())]);
    assert_eq!(shown(&exchange.upstream.unwrap().headers), [8], "EBADF");
}

#[test]
fn randomness_is_bounded_and_the_environment_is_the_embedders() {
    let guest = format!(
        r#"(data (i32.const 0) "x-env") {REQUEST}
          (call $show (i32.const 0) (i32.eq (call $random (i32.const 4096) (i32.const 65537)) (i32.const 28)))
          (call $show (i32.const 0) (call $random (i32.const 4096) (i32.const 4096)))
          (drop (call $environ_sizes (i32.const 1024) (i32.const 1028)))
          (drop (call $environ (i32.const 1032) (i32.const 1100)))
          (drop (call $add (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 1100) (i32.sub (i32.load (i32.const 1028)) (i32.const 1))))
          (i32.const 0))"#
    );
    let vm = VmOptions { environment: vec![("A".into(), "b c".into())], ..VmOptions::default() };
    let headers = proxy_with(&module(&guest), b"", vm).exchange(0, get(&[]), ok).upstream.unwrap().headers;
    assert_eq!(shown(&headers), [1, 0]);
    assert_eq!(values(&headers, "x-env"), ["A=b c"]);
}

#[test]
fn any_host_call_can_be_made_to_fail_and_is_counted() {
    let guest = format!(
        "{REQUEST} (call $show (i32.const 0) (call $pairs (i32.const 0) (i32.const 1024) (i32.const 1028))) (i32.const 0))"
    );
    let mut proxy = proxy(&guest);
    let mut seen = Vec::new();
    for status in [Some(Status::InternalFailure.into()), Some(12), None] {
        assert!(proxy.worker(0).unwrap().vm().fail_call("proxy_get_header_map_pairs", status));
        seen.extend(shown(&proxy.exchange(0, get(&[]), ok).upstream.unwrap().headers));
    }
    assert_eq!(seen, [10, 12, 0]);
    let vm = proxy.worker(0).unwrap().vm();
    assert!(!vm.fail_call("proxy_nothing", Some(1)));
    assert_eq!(vm.call_count(HostCall::GetHeaderMapPairs), 3);
    assert!(vm.call_counts().contains(&("proxy_add_header_map_value", 3)));
}

#[test]
fn malformed_pairs_clear_the_map_as_in_envoy() {
    let guest = format!("{REQUEST} (drop (call $set_pairs (i32.const 0) (i32.const 0) (i32.const 3))) (i32.const 0))");
    assert_eq!(proxy(&guest).exchange(0, get(&[]), ok).upstream.unwrap().headers, headers(&[]));
}
