//! In the .wasm under `echoed_credential: cut`: what of a response cannot be read or cleaned is not passed on.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    scenario::{self, CREDENTIAL, Scenario},
    wasm,
};
use policy_host::host::{Clock, Head, Headers, LogInfo, Module, Outcome, Plugin, Properties, RootId, StreamId, Vm, VmOptions};
use serde_json::{Value, json};

struct Bench {
    vm: Vm,
    root: RootId,
    token: String,
}

fn fields(fields: &[(&str, &str)]) -> Headers {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

impl Bench {
    fn new(echoed: &str) -> Self {
        let module = Module::load(wasm::chaperone()).expect("the filter loads");
        let scenario = Scenario::new();
        let environment = vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())];
        let began = scenario::now();
        let clock = Clock::fixed(began * 1_000_000_000);
        let mut vm = Vm::start(&module, VmOptions { environment, clock, ..VmOptions::default() }).expect("the filter starts");
        let mut policy = scenario.policy();
        policy["upstream"]["echoed_credential"] = json!(echoed);
        let root = vm.configure(&Plugin::default(), policy.to_string().as_bytes()).expect("a good policy");
        Self { vm, root, token: scenario.token_with("s-1", json!({"iat": began, "exp": began + 300})) }
    }

    /// A stream whose request was let through.
    fn open(&mut self) -> StreamId {
        let stream = self.vm.open(self.root, Properties::default());
        let headers = fields(&[
            (":authority", "orders.example"),
            (":path", "/v1/orders/1"),
            (":method", "GET"),
            (":scheme", "https"),
            ("authorization", &format!("Bearer {}", self.token)),
        ]);
        let outcome = self.vm.request_headers(stream, Head { headers, end_of_stream: true });
        assert!(matches!(outcome, Outcome::Continue(_)), "{outcome:?}");
        stream
    }

    fn head(&mut self, stream: StreamId, extra: &[(&str, &str)]) -> Outcome<Headers> {
        let headers = [fields(&[(":status", "200")]), fields(extra)].concat();
        self.vm.response_headers(stream, Head { headers, end_of_stream: false })
    }

    fn record(&mut self, stream: StreamId) -> Value {
        let set = self.vm.finish(stream, LogInfo::default());
        let record = set.iter().find(|(name, _)| name == b"session_audit").expect("a record");
        serde_json::from_slice(&record.1).expect("JSON")
    }
}

#[test]
fn a_body_that_cannot_be_read_is_cut() {
    let mut bench = Bench::new("cut");
    for status in [1, 2, 7, 10, 99] {
        let stream = bench.open();
        assert!(matches!(bench.head(stream, &[]), Outcome::Continue(_)));
        assert!(matches!(bench.vm.response_body(stream, b"one".to_vec(), false), Outcome::Continue(_)), "the twin");
        bench.vm.fail_call("proxy_get_buffer_bytes", Some(status));
        let outcome = bench.vm.response_body(stream, b"two".to_vec(), false);
        bench.vm.fail_call("proxy_get_buffer_bytes", None);
        assert!(matches!(outcome, Outcome::Reset), "{status}: {outcome:?}");
        assert_eq!(bench.record(stream)["unmapped"]["ended_by"], "internal_error");
    }
    // Who does not read needs no buffer.
    let mut bench = Bench::new("remove");
    let stream = bench.open();
    assert!(matches!(bench.head(stream, &[]), Outcome::Continue(_)));
    bench.vm.fail_call("proxy_get_buffer_bytes", Some(10));
    let before = bench.vm.call_counts();
    assert!(matches!(bench.vm.response_body(stream, CREDENTIAL.1.as_bytes().to_vec(), true), Outcome::Continue(_)));
    let made = |counts: Vec<(&'static str, u64)>| counts.into_iter().find(|(name, _)| *name == "proxy_get_buffer_bytes");
    assert_eq!(made(before), made(bench.vm.call_counts()), "bodies are not read");
}

#[test]
fn a_cut_whose_reset_fails_is_held_and_asked_for_again() {
    let mut bench = Bench::new("cut");
    let stream = bench.open();
    assert!(matches!(bench.head(stream, &[]), Outcome::Continue(_)));
    bench.vm.fail_call("proxy_close_stream", Some(10));
    let shown = CREDENTIAL.1.as_bytes();
    assert!(matches!(bench.vm.response_body(stream, shown.to_vec(), false), Outcome::Paused));
    bench.vm.fail_call("proxy_close_stream", None);
    assert!(matches!(bench.vm.response_body(stream, b"more".to_vec(), false), Outcome::Reset));
    assert_eq!(bench.record(stream)["status_code"], "credential_echoed");
}

#[test]
fn a_field_that_cannot_be_removed_is_not_passed_on() {
    let mut bench = Bench::new("remove");
    let stream = bench.open();
    bench.vm.fail_call("proxy_remove_header_map_value", Some(10));
    let outcome = bench.head(stream, &[("x-debug", CREDENTIAL.1)]);
    bench.vm.fail_call("proxy_remove_header_map_value", None);
    assert!(matches!(outcome, Outcome::LocalReply(_)), "{outcome:?}");
    // The twin, with a neighbour that stays.
    let stream = bench.open();
    let Outcome::Continue(headers) = bench.head(stream, &[("x-debug", CREDENTIAL.1), ("x-own", "mine")]) else {
        panic!("it passes")
    };
    assert!(headers.iter().any(|(name, _)| name == b"x-own") && !headers.iter().any(|(name, _)| name == b"x-debug"));
    assert_eq!(bench.record(stream)["unmapped"]["credential_echoed"], json!(["x-debug"]));
}
