//! In the .wasm under `transfers`: what cannot be answered or reset is not passed on, and counting asks the proxy for nothing.
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
    fn new(transfers: Option<Value>) -> Self {
        let module = Module::load(wasm::chaperone()).expect("the filter loads");
        let scenario = Scenario::new();
        let environment = vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())];
        let began = scenario::now();
        let clock = Clock::fixed(began * 1_000_000_000);
        let mut vm = Vm::start(&module, VmOptions { environment, clock, ..VmOptions::default() }).expect("the filter starts");
        let mut policy = scenario.policy();
        if let Some(rules) = transfers {
            policy["grants"][0]["transfers"] = rules;
        }
        let root = vm.configure(&Plugin::default(), policy.to_string().as_bytes()).expect("a good policy");
        Self { vm, root, token: scenario.token_with("s-1", json!({"iat": began, "exp": began + 300})) }
    }

    /// A stream whose request was let through, its body to come.
    fn open(&mut self) -> StreamId {
        let stream = self.vm.open(self.root, Properties::default());
        let headers = fields(&[
            (":authority", "orders.example"),
            (":path", "/v1/orders"),
            (":method", "POST"),
            (":scheme", "https"),
            ("content-type", "application/json"),
            ("authorization", &format!("Bearer {}", self.token)),
        ]);
        let outcome = self.vm.request_headers(stream, Head { headers, end_of_stream: false });
        assert!(matches!(outcome, Outcome::Continue(_)), "{outcome:?}");
        stream
    }

    fn head(&mut self, stream: StreamId, kind: &str) -> Outcome<Headers> {
        let headers = fields(&[(":status", "200"), ("content-type", kind)]);
        self.vm.response_headers(stream, Head { headers, end_of_stream: false })
    }

    fn record(&mut self, stream: StreamId) -> Value {
        let set = self.vm.finish(stream, LogInfo::default());
        let record = set.iter().find(|(name, _)| name == b"session_audit").expect("a record");
        serde_json::from_slice(&record.1).expect("JSON")
    }
}

#[test]
fn a_file_that_cannot_be_answered_is_reset_and_one_that_cannot_be_reset_is_held() {
    let mut bench = Bench::new(Some(json!({"downloads": "deny"})));
    for status in [1, 2, 7, 10, 99] {
        let stream = bench.open();
        bench.vm.fail_call("proxy_send_local_response", Some(status));
        let outcome = bench.head(stream, "application/pdf");
        assert!(matches!(outcome, Outcome::Reset), "{status}: {outcome:?}");
        bench.vm.fail_call("proxy_send_local_response", None);
        assert_eq!(bench.record(stream)["unmapped"]["ended_by"], "transfer_not_allowed");

        let stream = bench.open();
        bench.vm.fail_call("proxy_send_local_response", Some(status));
        bench.vm.fail_call("proxy_close_stream", Some(status));
        assert!(matches!(bench.head(stream, "application/pdf"), Outcome::Paused));
        assert!(matches!(bench.vm.response_body(stream, b"%PDF".to_vec(), false), Outcome::Paused));
        bench.vm.fail_call("proxy_close_stream", None);
        assert!(matches!(bench.vm.response_body(stream, b"-1.7".to_vec(), true), Outcome::Reset));
        bench.vm.fail_call("proxy_send_local_response", None);
    }
    let stream = bench.open();
    assert!(matches!(bench.head(stream, "application/pdf"), Outcome::LocalReply(_)));
    let stream = bench.open();
    assert!(matches!(bench.head(stream, "application/json"), Outcome::Continue(_)), "the twin");
}

#[test]
fn bytes_beyond_the_bound_are_held_however_the_proxy_fails() {
    let mut bench = Bench::new(Some(json!({"max_request_bytes": 8, "max_response_bytes": 8})));
    for status in [1, 2, 7, 10, 99] {
        let stream = bench.open();
        assert!(matches!(bench.vm.request_body(stream, b"01234567".to_vec(), false), Outcome::Continue(_)), "the twin");
        bench.vm.fail_call("proxy_send_local_response", Some(status));
        bench.vm.fail_call("proxy_close_stream", Some(status));
        assert!(matches!(bench.vm.request_body(stream, b"8".to_vec(), false), Outcome::Paused));
        assert!(matches!(bench.vm.request_body(stream, b"9".to_vec(), true), Outcome::Paused));
        bench.vm.fail_call("proxy_send_local_response", None);
        bench.vm.fail_call("proxy_close_stream", None);
        assert_eq!(bench.record(stream)["status_detail"], "request_bytes");

        let stream = bench.open();
        assert!(matches!(bench.head(stream, "application/json"), Outcome::Continue(_)));
        assert!(matches!(bench.vm.response_body(stream, b"01234567".to_vec(), false), Outcome::Continue(_)), "the twin");
        bench.vm.fail_call("proxy_close_stream", Some(status));
        assert!(matches!(bench.vm.response_body(stream, b"8".to_vec(), false), Outcome::Paused));
        bench.vm.fail_call("proxy_close_stream", None);
        assert!(matches!(bench.vm.response_body(stream, b"9".to_vec(), true), Outcome::Reset));
        assert_eq!(bench.record(stream)["status_detail"], "response_bytes");
    }
}

#[test]
fn what_is_carried_costs_no_call_of_the_proxy() {
    let calls = |rules: Option<Value>| {
        let mut bench = Bench::new(rules);
        let before: u64 = bench.vm.call_counts().iter().map(|(_, count)| count).sum();
        let stream = bench.open();
        for _ in 0..3 {
            assert!(matches!(bench.vm.request_body(stream, b"{}".to_vec(), false), Outcome::Continue(_)));
        }
        assert!(matches!(bench.head(stream, "application/json"), Outcome::Continue(_)));
        for last in [false, false, true] {
            assert!(matches!(bench.vm.response_body(stream, b"{}".to_vec(), last), Outcome::Continue(_)));
        }
        bench.record(stream);
        bench.vm.call_counts().iter().map(|(_, count)| count).sum::<u64>() - before
    };
    let all = json!({"uploads": "deny", "downloads": "deny", "max_request_bytes": 99, "max_response_bytes": 99});
    let without = calls(None);
    assert!(without > 10, "{without}");
    assert_eq!(calls(Some(all)), without);
}
