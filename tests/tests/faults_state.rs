//! Sessions whose state the workers share, while the host fails: what cannot be known is denied or cut, once, and nothing that
//! has ended comes back.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    scenario::{self, Scenario},
    wasm,
};
use policy_host::host::{
    Clock, Head, Headers, HostCall, LogInfo, Module, Outcome, Plugin, Properties, RootId, Status, StreamId, Vm, VmOptions,
};
use serde_json::{Value, json};
use std::ops::Range;

/// What a decision about a session asks of the host, besides what every request does.
const CALLS: [&str; 3] = ["clock_time_get", "proxy_get_shared_data", "proxy_set_shared_data"];

struct Bench {
    scenario: Scenario,
    clock: Clock,
    vm: Vm,
    root: RootId,
    sessions: usize,
}

impl Bench {
    fn new() -> Self {
        Self::with(|policy| {
            policy["end_session_when"] = json!({"denials": {"count": 2, "within": "1m"}, "context_changes": ["source_address"]});
            policy["session"]["idle_timeout"] = json!("2m");
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Self {
        let module = Module::load(wasm::chaperone()).expect("the filter loads");
        let scenario = Scenario::new();
        let clock = Clock::fixed(scenario::now() * 1_000_000_000);
        let (name, value) = scenario::CREDENTIAL;
        let environment = vec![(name.to_owned(), value.to_owned())];
        let mut vm = Vm::start(&module, VmOptions { environment, clock: clock.clone(), ..VmOptions::default() }).expect("starts");
        let mut policy = scenario.policy();
        change(&mut policy);
        let root = vm.configure(&Plugin::default(), policy.to_string().as_bytes()).expect("a good policy");
        Self { scenario, clock, vm, root, sessions: 0 }
    }

    /// The token of a session that nobody has seen yet. Each second has its own allowance of signature checks.
    fn session(&mut self) -> String {
        self.sessions += 1;
        self.clock.set(self.clock.wall() + 20_000_000);
        // Its time is the bench's, which a busy machine's own runs away from.
        let issued = self.clock.wall() / 1_000_000_000;
        self.scenario.token_with(&format!("s-{}", self.sessions), json!({"iat": issued, "exp": issued + 300}))
    }

    fn send(&mut self, method: &str, token: &str) -> (StreamId, Outcome<Headers>) {
        let head = [
            (":method", method),
            (":path", "/v1/orders/7"),
            (":authority", "orders.example"),
            (":scheme", "https"),
            ("authorization", &format!("Bearer {token}")),
        ];
        let headers: Headers = head.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        let source = Some(([10, 0, 0, 7], 4711).into());
        let stream = self.vm.open(self.root, Properties { source, ..Properties::default() });
        let outcome = self.vm.request_headers(stream, Head { headers, end_of_stream: true });
        (stream, outcome)
    }

    /// Sends, and tells the reason of the denial; `None` when it was let through.
    fn ask(&mut self, method: &str, token: &str) -> Option<String> {
        let before = self.vm.call_count(HostCall::SendLocalResponse);
        let (stream, outcome) = self.send(method, token);
        self.vm.finish(stream, LogInfo::default());
        let replies = self.vm.call_count(HostCall::SendLocalResponse) - before;
        assert!(self.vm.trap().is_none());
        match &outcome {
            Outcome::Continue(_) => {
                assert_eq!(replies, 0);
                None
            }
            Outcome::LocalReply(reply) => {
                assert_eq!(replies, 1);
                Some(reply.details.clone())
            }
            Outcome::Paused | Outcome::Reset | Outcome::Trapped { .. } => panic!("{outcome:?}"),
        }
    }

    /// The next tick: as long after the one before as the filter asks for.
    fn tick(&mut self) {
        self.clock.set(self.clock.wall() + 250_000_000);
        assert_eq!(self.vm.tick(self.root).ok(), Some(true));
    }

    fn set(&mut self, failure: &Failure) {
        assert!(self.vm.fail_calls(failure.call, failure.which.clone(), failure.status));
    }

    fn clear(&mut self, failure: &Failure) -> u64 {
        assert!(self.vm.fail_call(failure.call, None));
        self.vm.call_count(HostCall::from_name(failure.call).expect("known"))
    }

    fn count(&self, failure: &Failure) -> u64 {
        self.vm.call_count(HostCall::from_name(failure.call).expect("known"))
    }
}

#[derive(Debug)]
struct Failure {
    call: &'static str,
    which: Range<u64>,
    status: u32,
}

/// Each call with each error for good, and each of its first uses alone.
fn failures() -> Vec<Failure> {
    let known: Vec<u32> = (1..).take_while(|number| Status::from_abi(*number).is_some()).chain([13, 255, u32::MAX]).collect();
    let failures: Vec<_> = CALLS
        .into_iter()
        .flat_map(|call| {
            let whole = known.iter().map(move |status| Failure { call, which: 0..u64::MAX, status: *status });
            let once = (0..4).map(move |at| Failure { call, which: at..at + 1, status: Status::InternalFailure.into() });
            whole.chain(once).collect::<Vec<_>>()
        })
        .collect();
    assert!(failures.len() > 50);
    failures
}

fn is_unknown(details: Option<&str>) -> bool {
    matches!(details, Some("chaperone{internal_error}" | "chaperone{overloaded}"))
}

/// "There is no such value" is no failure to read one.
fn says_absent(failure: &Failure) -> bool {
    failure.call == "proxy_get_shared_data" && failure.status == u32::from(Status::NotFound)
}

#[test]
fn a_session_whose_state_cannot_be_read_or_kept_is_denied() {
    let mut bench = Bench::new();
    let mut denied = 0;
    for failure in failures() {
        let token = bench.session();
        let before = bench.count(&failure);
        bench.set(&failure);
        let reason = bench.ask("GET", &token);
        let reached = bench.clear(&failure) - before > failure.which.start;
        let unchanged = !reached || says_absent(&failure);
        assert!(is_unknown(reason.as_deref()) || unchanged && reason.is_none(), "{failure:?}: {reason:?}");
        denied += u32::from(reason.is_some());
        assert_eq!(bench.ask("GET", &token), None, "{failure:?}: afterwards it is let in");
    }
    assert!(denied > 45, "{denied}");
}

#[test]
fn one_that_was_quicker_is_waited_for_a_few_times() {
    let mut bench = Bench::new();
    let quicker = |which| Failure { call: "proxy_set_shared_data", which, status: Status::CasMismatch.into() };
    let token = bench.session();
    bench.set(&quicker(0..2));
    assert_eq!(bench.ask("GET", &token), None);
    bench.clear(&quicker(0..2));
    let token = bench.session();
    bench.set(&quicker(0..u64::MAX));
    assert_eq!(bench.ask("GET", &token).as_deref(), Some("chaperone{overloaded}"));
}

#[test]
fn an_ended_session_stays_so_whatever_fails() {
    let mut bench = Bench::new();
    for failure in failures() {
        let token = bench.session();
        for _ in 0..2 {
            assert_eq!(bench.ask("DELETE", &token).as_deref(), Some("chaperone{command_not_granted}"));
        }
        bench.set(&failure);
        let reason = bench.ask("GET", &token);
        bench.clear(&failure);
        let ended = reason.as_deref() == Some("chaperone{session_ended}");
        // A host that says that there is nothing is believed while it does.
        let forgotten = says_absent(&failure) && reason.is_none();
        assert!(ended || is_unknown(reason.as_deref()) || forgotten, "{failure:?}: {reason:?}");
        if !forgotten {
            assert_eq!(bench.ask("GET", &token).as_deref(), Some("chaperone{session_ended}"), "{failure:?}: afterwards");
        }
    }
}

#[test]
fn a_denial_that_cannot_be_counted_is_still_one_and_not_forgotten() {
    let (mut bench, mut counted) = (Bench::new(), 0);
    for failure in failures() {
        let token = bench.session();
        assert_eq!(bench.ask("GET", &token), None);
        bench.set(&failure);
        let mut judged = 0;
        for _ in 0..3 {
            let reason = bench.ask("DELETE", &token);
            assert!(reason.is_some(), "{failure:?}");
            judged += u32::from(reason.as_deref() == Some("chaperone{command_not_granted}"));
        }
        bench.clear(&failure);
        counted += u32::from(judged >= 2);
        if judged >= 2 {
            assert_eq!(bench.ask("GET", &token).as_deref(), Some("chaperone{session_ended}"), "{failure:?}: two are too many");
        }
    }
    assert!(counted > 10, "{counted}");
}

#[test]
fn the_stream_of_an_ended_session_is_cut_or_held_whatever_fails() {
    let mut bench = Bench::new();
    for failure in failures().into_iter().filter(|failure| !says_absent(failure)) {
        for in_tick in [true, false] {
            let token = bench.session();
            let (stream, outcome) = bench.send("GET", &token);
            assert!(matches!(outcome, Outcome::Continue(_)), "{outcome:?}");
            let headers = vec![(b":status".to_vec(), b"200".to_vec())];
            assert!(matches!(bench.vm.response_headers(stream, Head { headers, end_of_stream: false }), Outcome::Continue(_)));
            // The positive twin: before the ending it goes on.
            bench.tick();
            assert!(matches!(bench.vm.response_body(stream, b"1".to_vec(), false), Outcome::Continue(_)), "{failure:?}");
            for _ in 0..2 {
                assert!(bench.ask("DELETE", &token).is_some());
            }
            bench.set(&failure);
            bench.tick();
            if !in_tick && !bench.vm.is_closed(stream) {
                let outcome = bench.vm.response_body(stream, b"2".to_vec(), false);
                assert!(matches!(outcome, Outcome::Paused | Outcome::Reset), "{failure:?}: {outcome:?}");
            }
            bench.clear(&failure);
            if !bench.vm.is_closed(stream) {
                bench.tick();
                let outcome = bench.vm.response_body(stream, b"3".to_vec(), false);
                assert!(matches!(outcome, Outcome::Paused | Outcome::Reset), "{failure:?}: {outcome:?}");
            }
            let set = bench.vm.finish(stream, LogInfo::default());
            let (_, record) = set.iter().find(|(name, _)| name == b"session_audit").expect("a record");
            let record: Value = serde_json::from_slice(record).expect("JSON");
            let by = record.pointer("/unmapped/ended_by").and_then(Value::as_str);
            assert!(matches!(by, Some("session_ended" | "internal_error")), "{failure:?}: {record:#}");
            assert!(bench.vm.trap().is_none(), "{failure:?}");
        }
    }
}

#[test]
fn calls_that_cannot_be_counted_are_let_through_in_no_case_and_none_that_was_is_forgotten() {
    let mut bench = Bench::with(|policy| {
        policy["grants"][0]["calls"] = json!([{"commands": policy["grants"][0]["allow"], "count": 2, "within": "10m"}]);
    });
    let mut denied = 0;
    for failure in failures() {
        let token = bench.session();
        assert_eq!(bench.ask("GET", &token), None, "{failure:?}: the first");
        bench.set(&failure);
        let during = bench.ask("GET", &token);
        bench.clear(&failure);
        assert!(is_unknown(during.as_deref()) || during.is_none(), "{failure:?}: {during:?}");
        // A host that says that there is nothing is believed while it does.
        if says_absent(&failure) {
            continue;
        }
        denied += u32::from(during.is_some());
        let after = (0..3).filter(|_| bench.ask("GET", &token).is_none()).count();
        let through = 1 + usize::from(during.is_none()) + after;
        assert!(through <= 2, "{failure:?}: {through} got through");
        assert_eq!(bench.ask("GET", &token).as_deref(), Some("chaperone{calls_exceeded}"), "{failure:?}: afterwards");
    }
    assert!(denied > 45, "{denied}");
}
