//! What the host does with what a filter decides: continue, edit, reply, trap, reject, run for ever.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod host_guest;

use host_guest::{get, headers, module, ok, proxy, proxy_with, shown, values};
use policy_host::host::{
    Clock, ConfigureError, FailurePolicy, LoadError, Module, Proxy, ProxyOptions, Request, UpdateError, VmOptions,
};

const REQUEST: &str = r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)"#;
const RESPONSE: &str = r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)"#;
/// Denies with 403, details `why?`, header `x-d: 1` and body `no`.
const DENY: &str = r#"
  (data (i32.const 100) "wh y?no\01\00\00\00\03\00\00\00\01\00\00\00X-D\001\00")
  (func $deny (drop (call $reply (i32.const 403) (i32.const 100) (i32.const 5) (i32.const 105) (i32.const 2) (i32.const 107) (i32.const 18) (i32.const -1))))"#;

#[test]
fn continues_with_every_header_in_order() {
    let mut proxy = proxy(&format!("{REQUEST} (i32.const 0))"));
    let exchange = proxy.exchange(0, get(&[("X-A", "1"), ("x-b", "2"), ("x-a", "3")]), ok);
    let upstream = exchange.upstream.unwrap();
    assert_eq!(upstream.headers[4..], headers(&[("x-a", "1"), ("x-b", "2"), ("x-a", "3")])[..]);
    assert_eq!(exchange.response.unwrap().body, b"hello");
    assert!(exchange.local_reply.is_none() && exchange.trap.is_none());
}

#[test]
fn edits_headers() {
    let mut proxy = proxy(&format!(
        r#"(data (i32.const 0) "X-NewvalueX-Ax-b")
        {REQUEST}
          (drop (call $add (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 5) (i32.const 5)))
          (drop (call $remove (i32.const 0) (i32.const 10) (i32.const 3)))
          (drop (call $replace (i32.const 0) (i32.const 13) (i32.const 3) (i32.const 5) (i32.const 5)))
          (i32.const 0))
        {RESPONSE}
          (call $show (i32.const 2) (call $add (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 5) (i32.const 5)))
          (i32.const 0))"#
    ));
    let exchange = proxy.exchange(0, get(&[("x-a", "1"), ("x-b", "1"), ("x-a", "2"), ("x-b", "2")]), ok);
    assert_eq!(exchange.upstream.unwrap().headers[4..], headers(&[("x-new", "value"), ("x-b", "value")])[..]);
    // Request headers are gone once they went on: BadArgument.
    assert_eq!(shown(&exchange.response.unwrap().headers), [2]);
}

#[test]
fn replies_locally_and_sends_nothing_upstream() {
    let mut proxy = proxy(&format!(
        "{DENY} {REQUEST} (call $deny) (i32.const 0)) {RESPONSE} (call $show (i32.const 2) (i32.const 0)) (i32.const 0))"
    ));
    let exchange = proxy.exchange(0, get(&[]), |_| panic!("reached upstream"));
    assert!(exchange.upstream.is_none());
    let reply = exchange.local_reply.unwrap();
    assert_eq!((reply.status, reply.details.as_str(), reply.grpc_status), (403, "wh_y?", None));
    let response = exchange.response.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(response.body, b"no");
    assert_eq!(values(&response.headers, "x-d"), ["1"]);
    assert_eq!(shown(&response.headers), [0], "the encode path runs for local replies too");
}

#[test]
fn a_grpc_request_gets_a_grpc_reply() {
    let mut proxy = proxy(&format!("{DENY} {REQUEST} (call $deny) (i32.const 1))"));
    let response = proxy.exchange(0, get(&[("content-type", "application/grpc")]), ok).response.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(values(&response.headers, "grpc-status"), ["7"]);
    assert_eq!(values(&response.headers, "grpc-message"), ["no"]);
}

#[test]
fn of_two_replies_the_first_counts_and_one_in_the_callback_for_its_own_response_replaces_it() {
    let mut proxy = proxy(&format!(
        r#"{DENY} {REQUEST} (call $deny)
          (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
          (i32.const 0))
        {RESPONSE}
          (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
          (i32.const 0))"#
    ));
    let exchange = proxy.exchange(0, get(&[]), ok);
    assert_eq!(exchange.response.unwrap().status(), 200, "the third one: a filter must latch its denial itself");
    assert!(exchange.upstream.is_none());
}

#[test]
fn a_reply_to_the_response_replaces_it() {
    let mut proxy = proxy(&format!("{DENY} {RESPONSE} (call $deny) (i32.const 0))"));
    let exchange = proxy.exchange(0, get(&[]), ok);
    assert!(exchange.upstream.is_some());
    assert_eq!(exchange.response.unwrap().status(), 403);
}

#[test]
fn trailers_run_and_can_refuse() {
    let guest =
        format!(r#"{DENY} (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) (call $deny) (i32.const 0))"#);
    let mut refusing = proxy(&guest);
    let with_trailers = || Request { body: b"b".to_vec(), trailers: Some(headers(&[("x-t", "1")])), ..get(&[]) };
    assert!(refusing.exchange(0, with_trailers(), ok).upstream.is_none());
    assert!(refusing.exchange(0, get(&[]), ok).upstream.is_some(), "no trailers, no callback");
    let passed = proxy("").exchange(0, with_trailers(), ok).upstream.unwrap();
    assert_eq!(passed.trailers.unwrap(), headers(&[("x-t", "1")]));
    assert_eq!(passed.body, b"b");
}

#[test]
fn a_pause_that_nobody_ends_answers_nothing() {
    let exchange = proxy(&format!("{REQUEST} (i32.const 1))")).exchange(0, get(&[]), ok);
    assert!(exchange.upstream.is_none() && exchange.response.is_none());
}

/// Traps on `:path` beginning with `/t`, otherwise continues.
fn trapping() -> String {
    format!(
        r#"(data (i32.const 0) ":path") {REQUEST}
          (drop (call $get (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028)))
          (if (i32.eq (i32.load8_u offset=1 (i32.load (i32.const 1024))) (i32.const 116)) (then (call $die)))
          (i32.const 0))
        (func $die unreachable)"#
    )
}

fn trap_request() -> Request {
    let mut request = get(&[]);
    request.headers[1].1 = b"/t".to_vec();
    request
}

#[test]
fn a_trap_is_reported_and_the_worker_stays_closed() {
    let mut proxy = proxy(&trapping());
    assert!(proxy.exchange(0, get(&[]), ok).upstream.is_some());
    let exchange = proxy.exchange(0, trap_request(), ok);
    let trap = exchange.trap.unwrap();
    assert!(trap.message.contains("unreachable"), "{trap}");
    assert!(trap.backtrace[0].contains("die"), "{trap}");
    assert!(exchange.upstream.is_none());
    for _ in 0..3 {
        let exchange = proxy.exchange(0, get(&[]), ok);
        assert!(exchange.upstream.is_none());
        assert_eq!(exchange.response.unwrap().status(), 503);
        assert_eq!(exchange.local_reply.unwrap().details, "wasm_fail_stream");
    }
}

#[test]
fn a_configuration_brings_a_dead_worker_back_and_leaves_its_old_streams_dead() {
    use policy_host::host::{Head, LogInfo, Outcome, Properties};
    let mut proxy = proxy(&trapping());
    let old = proxy.worker(0).unwrap().open(Properties::default()).unwrap();
    assert!(proxy.exchange(0, trap_request(), ok).trap.is_some());
    proxy.update(b"new").unwrap();
    assert!(proxy.exchange(0, get(&[]), ok).upstream.is_some());
    let vm = proxy.worker(0).unwrap().vm();
    let head = Head { headers: get(&[]).headers, end_of_stream: true };
    assert!(matches!(vm.request_headers(old, head), Outcome::Trapped { .. }));
    assert!(vm.finish(old, LogInfo::default()).is_empty());
    assert!(proxy.exchange(0, get(&[]), ok).upstream.is_some());
}

#[test]
fn fail_reload_opens_again_after_a_second() {
    let clock = Clock::fixed(0);
    let options = ProxyOptions {
        vm: VmOptions { clock: clock.clone(), ..VmOptions::default() },
        failure: FailurePolicy::Reload,
        ..ProxyOptions::default()
    };
    let mut proxy = Proxy::start(&module(&trapping()), &options).unwrap();
    proxy.update(b"c").unwrap();
    assert_eq!(proxy.exchange(0, trap_request(), ok).response.unwrap().status(), 503);
    clock.set(999_999_999);
    assert_eq!(proxy.exchange(0, get(&[]), ok).response.unwrap().status(), 503);
    clock.set(1_000_000_000);
    assert!(proxy.exchange(0, get(&[]), ok).upstream.is_some());
}

#[test]
fn an_endless_loop_runs_out_of_fuel() {
    let vm = VmOptions { fuel: 1_000_000, ..VmOptions::default() };
    let mut proxy = proxy_with(&module(&format!("{REQUEST} (loop $l (br $l)) (i32.const 0))")), b"", vm);
    let exchange = proxy.exchange(0, get(&[]), ok);
    assert!(exchange.trap.unwrap().message.contains("fuel"));
    assert!(exchange.upstream.is_none());
}

#[test]
fn memory_is_bounded() {
    // 16,380 pages more would be just below 1 GiB and a little; the guest shows whether it got them.
    let grow = |pages: u32| {
        let body = format!(
            "{REQUEST} (call $show (i32.const 0) (i32.eq (memory.grow (i32.const {pages})) (i32.const -1))) (i32.const 0))"
        );
        let exchange = proxy(&body).exchange(0, get(&[]), ok);
        shown(&exchange.upstream.unwrap().headers)
    };
    assert_eq!(grow(16_384 - 4), [0], "1 GiB is allowed");
    assert_eq!(grow(16_384 - 3), [1], "a page more is not");
}

/// Rejects configurations that begin with `n`, and adds the first byte of its own as header `x-c` to each request.
/// It assumes one root context at a time, as the last one configured.
const CONFIGURED: &str = r#"
  (data (i32.const 0) "x-cz")
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $buffer (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 1024) (i32.const 1028)))
    (if (i32.eq (i32.load8_u (i32.load (i32.const 1024))) (i32.const 110)) (then (return (i32.const 0))))
    (i32.store8 (i32.add (i32.const 2048) (local.get 0)) (i32.load8_u (i32.load (i32.const 1024))))
    (i32.const 1))
  (func (export "proxy_on_context_create") (param i32 i32)
    (i32.store8 (i32.add (i32.const 3072) (local.get 0)) (local.get 1)))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 0) (i32.const 0) (i32.const 3)
      (i32.add (i32.const 2048) (i32.load8_u (i32.add (i32.const 3072) (local.get 0)))) (i32.const 1)))
    (i32.const 0))"#;

#[test]
fn a_rejected_configuration_changes_nothing() {
    let mut proxy = proxy_with(&module(CONFIGURED), b"a", VmOptions::default());
    let seen = |proxy: &mut Proxy| values(&proxy.exchange(0, get(&[]), ok).upstream.unwrap().headers, "x-c");
    assert_eq!(seen(&mut proxy), ["a"]);
    for _ in 0..2 {
        assert!(matches!(proxy.update(b"no"), Err(UpdateError::Canary(ConfigureError::Rejected))));
        assert_eq!(seen(&mut proxy), ["a"]);
    }
    proxy.update(b"b").unwrap();
    assert_eq!(seen(&mut proxy), ["b"]);
}

#[test]
fn without_a_first_good_configuration_everything_is_refused() {
    let mut proxy = Proxy::start(&module(CONFIGURED), &ProxyOptions::default()).unwrap();
    assert!(proxy.update(b"no").is_err());
    let exchange = proxy.exchange(0, get(&[]), ok);
    assert!(exchange.upstream.is_none());
    assert_eq!(exchange.response.unwrap().status(), 500);
}

#[test]
fn an_open_stream_keeps_its_root_and_lets_its_bytes_be_reused() {
    use policy_host::host::{Applied, Head, HostCall, LogInfo, Outcome, Properties};
    let mut proxy = proxy_with(&module(CONFIGURED), b"a", VmOptions::default());
    let worker = proxy.worker(0).unwrap();
    let stream = worker.open(Properties::default()).unwrap();
    assert_eq!(worker.apply(b"b").unwrap(), Applied::Configured);
    let Outcome::Continue(headers) = worker.vm().request_headers(stream, Head { headers: get(&[]).headers, end_of_stream: true })
    else {
        panic!("no continue");
    };
    assert_eq!(values(&headers, "x-c"), ["a"], "admitted under the old configuration");
    let reads = worker.vm().call_count(HostCall::GetBufferBytes);
    assert_eq!(worker.apply(b"a").unwrap(), Applied::Reused, "the old root is alive");
    assert_eq!(worker.vm().call_count(HostCall::GetBufferBytes), reads, "on_configure was skipped");
    worker.vm().finish(stream, LogInfo::default());
    worker.apply(b"b").unwrap();
    assert_eq!(worker.apply(b"a").unwrap(), Applied::Configured, "the old root is gone");
}

#[test]
fn an_unknown_import_is_refused_by_name() {
    let load = |text: &str| Module::from_bytes(&wat::parse_str(text).unwrap());
    let abi = r#"(memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 8))"#;
    assert!(load(&format!("(module {abi})")).is_ok());
    let error = load(&format!(r#"(module (import "env" "proxy_open_the_door" (func (result i32))) {abi})"#)).unwrap_err();
    assert!(matches!(&error, LoadError::UnknownImport { name, .. } if name == "proxy_open_the_door"));
    assert!(error.to_string().contains("proxy_open_the_door"), "{error}");
    let error = load(&format!(r#"(module (import "env" "proxy_log" (func (result i64))) {abi})"#)).unwrap_err();
    assert!(matches!(error, LoadError::WrongImport { .. }), "{error}");
    assert!(matches!(load("(module)").unwrap_err(), LoadError::NotAFilter { .. }));
    assert!(matches!(Module::from_bytes(b"text").unwrap_err(), LoadError::Invalid { .. }));
    assert!(matches!(Module::load("/nonexistent.wasm").unwrap_err(), LoadError::Read { .. }));
}

#[test]
fn a_restricted_call_while_starting_is_a_trap() {
    let guest = r#"(func (export "_initialize") (drop (call $now (i32.const 1024))))"#;
    let trap = policy_host::host::Vm::start(&module(guest), VmOptions::default()).unwrap_err();
    assert!(trap.message.contains("restricted"), "{trap}");
}
