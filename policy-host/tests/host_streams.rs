//! Open streams: fed piece by piece, held, changed, answered, cut, and what comes due while they are open.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod host_guest;

use host_guest::{get, headers, module, module_with, proxy, proxy_with, values};
use policy_host::host::{
    CalloutAnswer, CalloutResponse, Clock, Clusters, Event, Head, LogInfo, Properties, Proxy, StreamId, Traffic, VmOptions,
};
use std::time::Duration;

fn head(end_of_stream: bool) -> Head {
    Head { headers: get(&[]).headers, end_of_stream }
}

fn begin(proxy: &mut Proxy, end_of_stream: bool) -> StreamId {
    proxy.worker(0).unwrap().begin(head(end_of_stream), Properties::default()).unwrap()
}

fn traffic(proxy: &mut Proxy, stream: StreamId) -> Traffic {
    let mut traffic = Traffic::default();
    for event in proxy.worker(0).unwrap().events(stream) {
        traffic.record(event);
    }
    traffic
}

fn fixed() -> VmOptions {
    VmOptions { clock: Clock::fixed(1_000_000_000), ..VmOptions::default() }
}

/// Pauses where `$head` says so, appends "!" to the body at its end.
const BODY: &str = r#"
  (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))"#;

#[test]
fn a_body_is_held_until_its_end_and_can_be_changed() {
    let guest = module_with(
        BODY,
        r#"(data (i32.const 0) "!")
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
          (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
          (drop (call $set_buffer (i32.const 0) (local.get 1) (i32.const 0) (i32.const 0) (i32.const 1)))
          (drop (call $add (i32.const 0) (i32.const 900) (i32.const 8) (i32.const 0) (i32.const 1)))
          (i32.const 0))"#,
    );
    let mut proxy = proxy_with(&guest, b"", VmOptions { hold_headers_alone: true, ..fixed() });
    let stream = begin(&mut proxy, false);
    let worker = proxy.worker(0).unwrap();
    worker.request_data(stream, *b"one ", false);
    assert_eq!(worker.events(stream), [], "nothing goes upstream yet");
    worker.request_data(stream, *b"two", true);
    let seen = traffic(&mut proxy, stream);
    assert_eq!(String::from_utf8_lossy(&seen.request_body), "one two!");
    assert_eq!(values(&seen.request.unwrap(), "x-status"), ["!"], "the held head could still be changed");
    assert!(seen.request_ended);
}

#[test]
fn without_holding_headers_alone_a_pause_hides_the_body_until_the_stream_is_continued() {
    let guest = module_with(
        r#"(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
           (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
           (import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))"#,
        r#"(global $stream (mut i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $ticks (i32.const 100))) (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (global.set $stream (local.get 0)) (i32.const 1))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $effective (global.get $stream)))
          (drop (call $continue (i32.const 0))))"#,
    );
    let mut proxy = proxy_with(&guest, b"", fixed());
    let stream = begin(&mut proxy, false);
    proxy.worker(0).unwrap().request_data(stream, *b"body", true);
    proxy.advance(Duration::from_millis(99));
    assert_eq!(traffic(&mut proxy, stream), Traffic::default());
    proxy.advance(Duration::from_millis(1));
    let seen = traffic(&mut proxy, stream);
    assert_eq!((seen.request_body.as_slice(), seen.request_ended), (&b"body"[..], true));
}

#[test]
fn a_tick_can_cut_an_open_stream() {
    let guest = module_with(
        r#"(import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
           (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
           (import "env" "proxy_set_tick_period_milliseconds" (func $ticks (param i32) (result i32)))"#,
        r#"(global $stream (mut i32) (i32.const 0))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $ticks (i32.const 1000))) (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (global.set $stream (local.get 0)) (i32.const 0))
        (func (export "proxy_on_tick") (param i32)
          (drop (call $effective (global.get $stream)))
          (drop (call $close (i32.const 1))))"#,
    );
    let mut proxy = proxy_with(&guest, b"", fixed());
    let stream = begin(&mut proxy, true);
    let worker = proxy.worker(0).unwrap();
    worker.response_head(stream, Head { headers: headers(&[(":status", "200")]), end_of_stream: false });
    worker.response_data(stream, *b"data: 1\n\n", false);
    let before = traffic(&mut proxy, stream);
    assert!(before.response.is_some() && !before.is_over());
    // An update of the configuration in between: the stream keeps its root context, whose ticks go on.
    proxy.update(b"new").unwrap();
    proxy.advance(Duration::from_secs(1));
    assert_eq!(proxy.worker(0).unwrap().eventful(), [stream]);
    assert_eq!(proxy.worker(0).unwrap().events(stream), [Event::Reset]);
    proxy.worker(0).unwrap().response_data(stream, *b"data: 2\n\n", false);
    assert_eq!(proxy.worker(0).unwrap().events(stream), [], "nothing gets through any more");
    proxy.worker(0).unwrap().end(stream, LogInfo::default());
}

/// Calls out to `policy` from the request's head and continues with the answer's status as a header.
const CALLER: &str = r#"
  (data (i32.const 0) "policy:status")
  (data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00p\00")
  (global $stream (mut i32) (i32.const 0))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $s i32)
    (global.set $stream (local.get 0))
    (local.set $s (call $http_call (i32.const 0) (i32.const 6) (i32.const 64) (i32.const 61) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 500) (i32.const 1024)))
    (if (local.get $s) (then (call $show (i32.const 0) (local.get $s)) (return (i32.const 0))))
    (i32.const 1))
  (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
    (local $s i32)
    (local.set $s (call $get (i32.const 6) (i32.const 6) (i32.const 7) (i32.const 1024) (i32.const 1028)))
    (drop (call $effective (global.get $stream)))
    (if (i32.eqz (local.get $s)) (then
      (drop (call $add (i32.const 0) (i32.const 900) (i32.const 8) (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))))
    (drop (call $continue (i32.const 0))))"#;

#[test]
fn a_callout_is_answered_by_the_script() {
    let imports = r#"(import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
           (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))"#;
    let seen = |answer: CalloutAnswer| {
        let clusters = Clusters::new(move |request| {
            assert_eq!(request.cluster, "policy");
            answer.clone()
        });
        let mut proxy = proxy_with(&module_with(imports, CALLER), b"", VmOptions { clusters, ..fixed() });
        let stream = begin(&mut proxy, true);
        let at_once = traffic(&mut proxy, stream).request;
        proxy.advance(Duration::from_millis(499));
        let sooner = traffic(&mut proxy, stream).request;
        proxy.advance(Duration::from_millis(1));
        let later = traffic(&mut proxy, stream).request;
        [at_once, sooner, later].map(|headers| headers.map(|headers| values(&headers, "x-status").join(",")))
    };
    let ok = || CalloutResponse::new(204, "");
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(seen(CalloutAnswer::Response(ok(), Duration::ZERO)), [is("204"), None, None]);
    assert_eq!(seen(CalloutAnswer::Response(ok(), Duration::from_millis(200))), [None, is("204"), None]);
    assert_eq!(seen(CalloutAnswer::Response(ok(), Duration::from_millis(600))), [None, None, is("")], "timeout: no headers");
    assert_eq!(seen(CalloutAnswer::Silence), [None, None, is("")]);
    assert_eq!(seen(CalloutAnswer::Unreachable(Duration::ZERO)), [is("503"), None, None]);
    assert_eq!(seen(CalloutAnswer::Reset(Duration::ZERO)), [is(""), None, None], "no headers");
    assert_eq!(seen(CalloutAnswer::NoCluster), [is("C"), None, None], "BadArgument at once");
}

#[test]
fn a_reply_after_the_response_has_begun_cuts_the_stream() {
    let guest = module(
        r#"(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
          (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
          (i32.const 0))"#,
    );
    let mut cut = proxy_with(&guest, b"", fixed());
    let stream = begin(&mut cut, true);
    let worker = cut.worker(0).unwrap();
    worker.response_head(stream, Head { headers: headers(&[(":status", "200")]), end_of_stream: false });
    worker.response_data(stream, *b"x", true);
    let seen = traffic(&mut cut, stream);
    assert!(seen.reset && seen.response_body.is_empty(), "{seen:?}");
    let mut open = proxy("");
    let stream = begin(&mut open, true);
    let worker = open.worker(0).unwrap();
    worker.response_head(stream, Head { headers: headers(&[(":status", "200")]), end_of_stream: false });
    worker.response_data(stream, *b"x", true);
    assert!(traffic(&mut open, stream).response_ended);
}
