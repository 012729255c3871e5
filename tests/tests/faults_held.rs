//! In the build for tests, with requests that wait: whatever host call fails when they are taken up, nothing goes upstream that was
//! not let through whole, and nothing ends the VM.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    scenario::{CREDENTIAL, Scenario, now},
    wasm,
};
use policy_host::host::{
    CalloutAnswer, CalloutResponse, Clock, Clusters, FailurePolicy, Head, Headers, HostCall, LogInfo, Module, Plugin, Properties,
    Proxy, ProxyOptions, StreamId, Traffic, VmOptions,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How a request is taken up.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// The end of its body.
    Body,
    /// Its trailers.
    Trailers,
    /// The answer of the endpoint that its credential is had from.
    Answer,
}

struct Bench {
    proxy: Proxy,
    scenario: Scenario,
    began: u64,
    /// How many tokens its session has had: a token is exchanged once.
    tokens: usize,
}

fn fields(fields: &[(&str, &str)]) -> Headers {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

impl Bench {
    fn new() -> Self {
        let module = Module::load(wasm::for_tests()).expect("the filter loads");
        let scenario = Scenario::new();
        let began = now();
        let mut policy = scenario.policy();
        let at = |path: &str| json!({"http": {"methods": ["POST"], "path": path}});
        policy["commands"]["hold.body"] =
            json!({"matchers": at("/v1/body"), "needs": {"body": {"most_bytes": 64, "has": "please"}}});
        policy["commands"]["hold.later"] = at("/v1/later");
        let exchange = json!({"cluster": "sts", "authority": "sts.example", "path": "/token", "audience": "orders",
            "client": {"id": "chaperone", "secret": format!("${{env:{}}}", CREDENTIAL.0)}});
        let known = policy["upstream"]["credential"].clone();
        policy["upstream"]["credential"] = json!([{"exchange": exchange, "for": ["hold.later"]}, known]);
        policy["grants"][0]["allow"] = json!(["hold.*"]);
        let answer = json!({"access_token": CREDENTIAL.1, "token_type": "Bearer", "expires_in": 300,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"});
        let clusters = Clusters::new(move |request| {
            assert_eq!(request.cluster, "sts");
            CalloutAnswer::Response(CalloutResponse::new(200, answer.to_string()), Duration::from_millis(900))
        });
        let vm = VmOptions {
            clusters,
            environment: vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())],
            clock: Clock::fixed(began * 1_000_000_000),
            hold_headers_alone: true,
            ..VmOptions::default()
        };
        let options = ProxyOptions { vm, plugin: Plugin::default(), workers: 1, failure: FailurePolicy::Closed };
        let mut proxy = Proxy::start(&module, &options).expect("the filter starts");
        proxy.update(policy.to_string().as_bytes()).expect("a good policy");
        Self { proxy, scenario, began, tokens: 0 }
    }

    /// A request that waits.
    fn begin(&mut self, by: By) -> StreamId {
        // Time stands still for the others, and so many signatures are not checked in a second.
        self.tokens += usize::from(by == By::Answer);
        let claims = json!({"iat": self.began, "exp": self.began + 900, "jti": format!("t-{}", self.tokens)});
        let token = self.scenario.token_with("s-1", claims);
        let path = if by == By::Answer { "/v1/later" } else { "/v1/body" };
        let headers = fields(&[
            (":authority", "orders.example"),
            (":path", path),
            (":method", "POST"),
            (":scheme", "https"),
            ("authorization", &format!("Bearer {token}")),
        ]);
        let worker = self.proxy.worker(0).unwrap();
        let stream = worker.begin(Head { headers, end_of_stream: false }, Properties::default()).expect("the VM lives");
        worker.request_data(stream, *b"pretty ", false);
        assert_eq!(worker.events(stream), [], "nothing goes upstream yet");
        stream
    }

    /// What it waits for comes.
    fn come(&mut self, stream: StreamId, by: By) {
        let worker = self.proxy.worker(0).unwrap();
        match by {
            By::Body => worker.request_data(stream, *b"please", true),
            By::Trailers => {
                worker.request_data(stream, *b"please", false);
                worker.request_trailers(stream, fields(&[("x-sum", "1"), ("x-chaperone-session", "somebody")]));
            }
            By::Answer => {
                worker.request_data(stream, *b"please", true);
                self.proxy.advance(Duration::from_millis(1300));
            }
        }
    }

    fn traffic(&mut self, stream: StreamId) -> Traffic {
        let mut traffic = Traffic::default();
        self.proxy.worker(0).unwrap().events(stream).into_iter().for_each(|event| traffic.record(event));
        traffic
    }

    fn fail(&mut self, call: HostCall, status: Option<u32>) {
        assert!(self.proxy.worker(0).unwrap().vm().fail_call(call.name(), status));
    }

    fn record(&mut self, stream: StreamId) -> Option<Value> {
        let set = self.proxy.worker(0).unwrap().end(stream, LogInfo::default());
        let record = set.iter().find(|(name, _)| name == b"session_audit")?;
        serde_json::from_slice(&record.1).expect("JSON")
    }
}

fn assert_whole(seen: &Traffic, by: By, of: &str) {
    let head = seen.request.as_ref().unwrap();
    let has = |name: &str, value: &str| head.iter().any(|(n, v)| n == name.as_bytes() && v == value.as_bytes());
    assert!(has("authorization", &format!("Bearer {}", CREDENTIAL.1)) && has("x-chaperone-session", "s-1"), "{of}: {head:?}");
    assert_eq!(String::from_utf8_lossy(&seen.request_body), "pretty please", "{of}");
    assert!(seen.request_ended && seen.local_reply.is_none(), "{of}");
    let trailers = (by == By::Trailers).then(|| fields(&[("x-sum", "1")]));
    assert_eq!(seen.request_trailers, trailers, "{of}");
}

#[test]
fn whatever_fails_when_it_is_taken_up_nothing_goes_on_by_halves() {
    let mut bench = Bench::new();
    for by in [By::Body, By::Trailers, By::Answer] {
        // The twin: nothing fails.
        let stream = bench.begin(by);
        bench.come(stream, by);
        assert_whole(&bench.traffic(stream), by, "nothing fails");
        assert_eq!(bench.record(stream).expect("a record")["status_code"], "allowed");
        let mut denied = Vec::new();
        for call in HostCall::ALL {
            // Not a call of the ABI: a trap of its own (the guest exits), or an environment that was read long ago.
            if call.name().starts_with("proc_") {
                continue;
            }
            for status in [1, 2, 7, 10, 12, 99] {
                let of = format!("{by:?} {} {status}", call.name());
                let stream = bench.begin(by);
                bench.fail(*call, Some(status));
                bench.come(stream, by);
                let seen = bench.traffic(stream);
                bench.fail(*call, None);
                assert!(bench.proxy.worker(0).unwrap().vm().trap().is_none(), "{of}");
                match &seen.request {
                    Some(_) => assert_whole(&seen, by, &of),
                    None => {
                        assert!(seen.request_body.is_empty() && seen.request_trailers.is_none(), "{of}");
                        assert!(seen.local_reply.as_ref().is_none_or(|reply| reply.status >= 400), "{of}");
                        denied.push(call.name());
                        // What was held for good is let go of with its stream.
                        let record = bench.record(stream);
                        let code = record.as_ref().map(|record| record["status_code"].clone());
                        assert_ne!(code, Some(json!("allowed")), "{of}");
                        continue;
                    }
                }
                bench.record(stream);
            }
        }
        denied.dedup();
        let always = [
            "proxy_get_current_time_nanoseconds",
            "proxy_get_header_map_pairs",
            "proxy_replace_header_map_value",
            // Of the body, or of the endpoint's answer.
            "proxy_get_buffer_bytes",
        ];
        assert!(always.iter().all(|call| denied.contains(call)), "{by:?}: {denied:?}");
        for call in ["proxy_continue_stream", "proxy_set_effective_context"] {
            assert_eq!(denied.contains(&call), by == By::Answer, "{denied:?}");
        }
        // Nobody holds a seat any more, or these would be too many.
        for _ in 0..chaperone_policy::limits::STREAMS_PER_SESSION + 1 {
            let stream = bench.begin(by);
            bench.come(stream, by);
            assert_whole(&bench.traffic(stream), by, "afterwards");
            bench.record(stream);
        }
    }
}
