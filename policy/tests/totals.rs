//! How many bytes a session may move under a grant in all: on all workers, of all its streams, before any of them goes on.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{Decision, End, Exchange, Given, Head, LocalState, Policy, Reason, SharedState, Unavailable, WholeBody};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::proxy::Proxy;
use support::{claims, compile, context, document, head, token, with};

const DENIED: Option<Reason> = Some(Reason::TransferNotAllowed);

fn ruled(transfers: Value) -> Value {
    let granted = with(document(), "/grants/0/allow", json!(["orders.*", "users.get"]));
    with(granted, "/grants/0/transfers", transfers)
}

fn both(most: u64) -> Value {
    ruled(json!({"max_session_request_bytes": most, "max_session_response_bytes": most}))
}

/// A request of the session with these fields, and what is said of it.
fn send(
    proxy: &mut Proxy,
    worker: usize,
    policy: &Rc<Policy>,
    session: &str,
    extra: &[(&str, &str)],
) -> (Exchange, Option<Reason>) {
    let mut claims = claims();
    claims["sid"] = json!(session);
    let bearer = format!("Bearer {}", token(&claims));
    let mut fields = vec![("authorization", bearer.as_str())];
    fields.extend_from_slice(extra);
    let fields = head("POST", "/v1/orders/7/cancel", &fields);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let now = proxy.now();
    let head = Head { headers: &headers, body: true, ..Head::default() };
    let reason = match exchange.request(&head, &mut proxy.workers[worker], &context(policy, now)) {
        Decision::Forward(permit) => permit.observed(),
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Refuse(denial) => Some(denial.reason()),
    };
    (exchange, reason)
}

fn open(proxy: &mut Proxy, worker: usize, policy: &Rc<Policy>, session: &str) -> Exchange {
    let (exchange, reason) = send(proxy, worker, policy, session, &[]);
    assert_eq!(reason, None);
    exchange
}

fn ask(stream: &mut Exchange, proxy: &mut Proxy, worker: usize, policy: &Rc<Policy>) -> Option<Reason> {
    let now = proxy.now();
    stream.recheck(&mut proxy.workers[worker], &context(policy, now), true)
}

fn up(stream: &mut Exchange, proxy: &mut Proxy, worker: usize, policy: &Rc<Policy>, bytes: u64) -> Option<Reason> {
    stream.request_bytes(bytes);
    ask(stream, proxy, worker, policy)
}

fn down(stream: &mut Exchange, proxy: &mut Proxy, worker: usize, policy: &Rc<Policy>, bytes: u64) -> Option<Reason> {
    stream.response_bytes(bytes);
    ask(stream, proxy, worker, policy)
}

fn record(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap()
}

#[test]
fn the_total_is_of_a_session_over_its_streams_and_workers_each_way() {
    let policy = compile(&both(100));
    let mut proxy = Proxy::new(2);
    for (way, rule) in [
        (up as fn(&mut Exchange, &mut Proxy, usize, &Rc<Policy>, u64) -> _, "session_request_bytes"),
        (down, "session_response_bytes"),
    ] {
        let mut first = open(&mut proxy, 0, &policy, rule);
        let mut second = open(&mut proxy, 1, &policy, rule);
        assert_eq!(way(&mut first, &mut proxy, 0, &policy, 50), None);
        assert_eq!(way(&mut second, &mut proxy, 1, &policy, 40), None);
        first.finish(&mut proxy.workers[0]);
        // Of the piece that would go beyond it nothing goes on, and it stays cut.
        assert_eq!(way(&mut second, &mut proxy, 1, &policy, 11), DENIED);
        assert_eq!(way(&mut second, &mut proxy, 1, &policy, 1), DENIED);
        let record = record(&second);
        assert_eq!((&record["status_detail"], &record["unmapped"]["ended_by"]), (&json!(rule), &json!("transfer_not_allowed")));
        assert!(record["unmapped"]["ended_under"].as_str().unwrap().starts_with("orders@"));
        // What was cut moved nothing; ten are left, and of another session all.
        let mut third = open(&mut proxy, 0, &policy, rule);
        assert_eq!(way(&mut third, &mut proxy, 0, &policy, 10), None);
        assert_eq!(way(&mut third, &mut proxy, 0, &policy, 1), DENIED);
        let mut other = open(&mut proxy, 0, &policy, "s-other");
        assert_eq!(way(&mut other, &mut proxy, 0, &policy, 60), None);
    }
}

#[test]
fn what_says_how_long_it_is_is_denied_by_its_head_and_takes_no_more_than_that() {
    let policy = compile(&both(100));
    let mut proxy = Proxy::new(2);
    let length = |bytes: &'static str| [("content-length", bytes)];
    let (exchange, reason) = send(&mut proxy, 0, &policy, "s-1", &length("101"));
    let record = record(&exchange);
    assert_eq!((reason, &record["status_detail"]), (DENIED, &json!("session_request_bytes")));
    assert_eq!((&record["unmapped"]["decision"], &record["unmapped"]["grant"]), (&json!("deny"), &json!("agents")));
    // It took nothing. What is let through has all of it, before a byte has come, so that another is told at once.
    let (mut first, reason) = send(&mut proxy, 0, &policy, "s-1", &length("60"));
    assert_eq!(reason, None);
    assert_eq!(send(&mut proxy, 1, &policy, "s-1", &length("41")).1, DENIED);
    assert_eq!(send(&mut proxy, 1, &policy, "s-1", &length("40")).1, None);
    for bytes in [20, 40] {
        assert_eq!(up(&mut first, &mut proxy, 0, &policy, bytes), None);
    }
    // The same of a response, which is answered in its stead.
    let respond = |stream: &mut Exchange, status: &str, length: &str| {
        stream.can_carry_response(&[(b":status", status.as_bytes()), (b"content-length", length.as_bytes())])
    };
    assert!(!respond(&mut first, "200", "70"), "the total has to be asked");
    assert_eq!(ask(&mut first, &mut proxy, 0, &policy), None);
    let mut second = open(&mut proxy, 1, &policy, "s-1");
    assert!(!respond(&mut second, "200", "31"));
    assert_eq!(ask(&mut second, &mut proxy, 1, &policy), DENIED);
    assert_eq!(second.answer_of_cut(&policy).unwrap().response().status, 403);
    // The length that the head of nothing names is none.
    let mut third = open(&mut proxy, 1, &policy, "s-1");
    assert!(respond(&mut third, "304", "1000"));
    // What ends early gives back what has not come.
    assert_eq!(down(&mut first, &mut proxy, 0, &policy, 10), None);
    first.finish(&mut proxy.workers[0]);
    first.finish(&mut proxy.workers[0]);
    let mut fourth = open(&mut proxy, 1, &policy, "s-1");
    assert_eq!(down(&mut fourth, &mut proxy, 1, &policy, 90), None);
    assert_eq!(down(&mut fourth, &mut proxy, 1, &policy, 1), DENIED);
}

#[test]
fn what_is_denied_counts_nothing_and_a_call_that_is_denied_gives_its_bytes_back() {
    let mut document = both(100);
    document["grants"][0]["calls"] = json!([{"commands": ["orders.cancel"], "count": 1}]);
    let policy = compile(&document);
    let mut proxy = Proxy::new(1);
    let length = [("content-length", "50")];
    let (mut first, reason) = send(&mut proxy, 0, &policy, "s-1", &length);
    assert_eq!((reason, up(&mut first, &mut proxy, 0, &policy, 50)), (None, None));
    for _ in 0..9 {
        assert_eq!(send(&mut proxy, 0, &policy, "s-1", &length).1, Some(Reason::CallsExceeded));
    }
    document["grants"][0].as_object_mut().unwrap().remove("calls");
    let policy = compile(&document);
    // Nor does what is denied because the proxy fails.
    let (mut failed, reason) = send(&mut proxy, 0, &policy, "s-1", &length);
    assert_eq!(reason, None);
    let _ = failed.fail(&mut proxy.workers[0]);
    assert_eq!(send(&mut proxy, 0, &policy, "s-1", &length).1, None);
    assert_eq!(send(&mut proxy, 0, &policy, "s-1", &[("content-length", "1")]).1, DENIED);
}

struct Broken(LocalState, std::cell::Cell<bool>);

impl SharedState for Broken {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        self.0.elapsed()
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        if self.1.get() { Err(Unavailable) } else { self.0.get(key) }
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        self.0.put(key, value, version)
    }
}

#[test]
fn where_the_total_cannot_be_known_nothing_goes_on() {
    let policy = compile(&both(1000));
    let mut proxy = Proxy::new(1);
    let state = Rc::new(Broken(LocalState::default(), std::cell::Cell::new(false)));
    proxy.workers[0].share(state.clone());
    let mut stream = open(&mut proxy, 0, &policy, "s-1");
    let mut begun = open(&mut proxy, 0, &policy, "s-1");
    assert_eq!(up(&mut begun, &mut proxy, 0, &policy, 1), None);
    state.1.set(true);
    assert_eq!(up(&mut stream, &mut proxy, 0, &policy, 1), Some(Reason::InternalError));
    assert_eq!(send(&mut proxy, 0, &policy, "s-1", &[("content-length", "1")]).1, Some(Reason::InternalError));
    state.1.set(false);
    state
        .0
        .put("chaperone/state/1/key", b"none", state.get("chaperone/state/1/key").unwrap().map(|(_, version)| version))
        .unwrap();
    proxy.workers[0].share(state.clone());
    assert_eq!(up(&mut begun, &mut proxy, 0, &policy, 999), Some(Reason::InternalError));
}

#[test]
fn what_is_cut_gives_back_at_once_what_it_had_ahead() {
    let policy = compile(&both(80));
    let mut proxy = Proxy::new(2);
    let mut stream = open(&mut proxy, 0, &policy, "s-1");
    assert_eq!(down(&mut stream, &mut proxy, 0, &policy, 1), None);
    let mut second = open(&mut proxy, 1, &policy, "s-1");
    assert_eq!(down(&mut second, &mut proxy, 1, &policy, 71), DENIED, "an eighth is taken by the other");
    assert_eq!(down(&mut stream, &mut proxy, 0, &policy, 100), DENIED);
    let mut third = open(&mut proxy, 1, &policy, "s-1");
    assert_eq!(down(&mut third, &mut proxy, 1, &policy, 79), None);
}

#[test]
fn a_body_that_is_waited_for_counts_as_soon_as_it_is_let_through() {
    let message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": {}}}).to_string();
    let length = message.len() as u64;
    let mut document = ruled(json!({"max_session_request_bytes": 2 * length}));
    document["commands"]["search"] = json!({"mcp": {"path": "/mcp", "tools": ["search"]}});
    document["grants"][0]["allow"] = json!(["search"]);
    let policy = compile(&document);
    let mut proxy = Proxy::new(1);
    let mut call = |body: &str| {
        let bearer = format!("Bearer {}", token(&claims()));
        let fields = head("POST", "/mcp", &[("authorization", &bearer), ("content-type", "application/json")]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let (mut exchange, now) = (Exchange::begin(Rc::clone(&policy)), proxy.now());
        let head = Head { headers: &headers, body: true, ..Head::default() };
        let worker = &mut proxy.workers[0];
        assert!(matches!(exchange.request(&head, worker, &context(&policy, now)), Decision::Hold(_)));
        exchange.request_bytes(body.len() as u64);
        let given = Given::Body(WholeBody::of_ended(body.as_bytes()));
        let decision = exchange.resume(&given, &headers, worker, &context(&policy, now));
        // It is reset before anything else of it is seen.
        exchange.finish(worker);
        match decision {
            Decision::Forward(_) => None,
            Decision::Hold(need) => panic!("it waits for {need:?}"),
            Decision::Refuse(denial) => Some(denial.reason()),
        }
    };
    assert_eq!(call(&message), None);
    // What is denied counts nothing.
    assert_eq!(call(&message.replace("search", "delete")), Some(Reason::UnknownCommand));
    assert_eq!((call(&message), call(&message)), (None, DENIED));
}

#[test]
fn what_is_only_observed_goes_on_and_is_on_record() {
    let document = both(10);
    for observing in
        [with(document.clone(), "/observe", json!(["transfer_not_allowed"])), with(document, "/mode", json!("observe"))]
    {
        let policy = compile(&observing);
        let mut proxy = Proxy::new(1);
        let mut stream = open(&mut proxy, 0, &policy, "s-1");
        for bytes in [10, 1, 100] {
            assert_eq!(down(&mut stream, &mut proxy, 0, &policy, bytes), None, "{bytes}");
        }
        let seen = record(&stream);
        let said = (&seen["status_code"], &seen["status_detail"], &seen["unmapped"]["decision"]);
        assert_eq!(said, (&json!("transfer_not_allowed"), &json!("session_response_bytes"), &json!("observed-deny")));
        let (stream, reason) = send(&mut proxy, 0, &policy, "s-1", &[("content-length", "11")]);
        let seen = record(&stream);
        assert_eq!((reason, &seen["status_detail"]), (DENIED, &json!("session_request_bytes")));
        assert_eq!(&seen["unmapped"]["decision"], &json!("observed-deny"));
        // The twin: what stays within it is allowed.
        let mut stream = open(&mut proxy, 0, &policy, "s-2");
        assert_eq!(down(&mut stream, &mut proxy, 0, &policy, 10), None);
        assert_eq!(record(&stream)["status_code"], json!("allowed"));
    }
}

#[test]
fn a_newer_policy_goes_on_with_what_was_counted_and_counts_what_is_open() {
    let (narrow, wide) = (compile(&both(100)), compile(&both(150)));
    let mut proxy = Proxy::new(1);
    let mut stream = open(&mut proxy, 0, &narrow, "s-1");
    assert_eq!(down(&mut stream, &mut proxy, 0, &narrow, 100), None);
    assert_eq!(down(&mut stream, &mut proxy, 0, &wide, 50), None);
    assert_eq!(down(&mut stream, &mut proxy, 0, &wide, 1), DENIED);
    // A total that comes while a stream is open has all of it; one by another name begins with what comes from then on.
    let mut bare = both(1);
    bare["grants"][0].as_object_mut().unwrap().remove("transfers");
    let mut stream = open(&mut proxy, 0, &compile(&bare), "s-2");
    assert_eq!(down(&mut stream, &mut proxy, 0, &compile(&bare), 90), None);
    assert_eq!(down(&mut stream, &mut proxy, 0, &narrow, 10), None);
    let renamed = compile(&with(both(20), "/grants/0/name", json!("others")));
    assert_eq!(down(&mut stream, &mut proxy, 0, &renamed, 20), None);
    assert_eq!(down(&mut stream, &mut proxy, 0, &renamed, 1), DENIED);
    let mut again = open(&mut proxy, 0, &narrow, "s-2");
    assert_eq!(down(&mut again, &mut proxy, 0, &narrow, 1), DENIED);
}

#[test]
fn a_stream_takes_little_ahead_and_few_looks_at_what_is_shared() {
    let most = 64 << 20;
    let policy = compile(&both(most));
    let mut proxy = Proxy::new(1);
    let state = Rc::new(LocalState::default());
    proxy.workers[0].share(state.clone());
    let mut stream = open(&mut proxy, 0, &policy, "s-1");
    let writes = |state: &LocalState| -> u64 {
        let version =
            |number: u32| state.get(&format!("chaperone/state/1/{number:02x}")).unwrap().map_or(0, |(_, version)| version);
        (0..256).map(|number| u64::from(version(number))).sum()
    };
    for _ in 0..1000 {
        assert_eq!(down(&mut stream, &mut proxy, 0, &policy, 16 << 10), None);
    }
    assert!(writes(&state) <= 16_000 / 64 + 2, "{}", writes(&state));
    stream.finish(&mut proxy.workers[0]);
    let mut rest = open(&mut proxy, 0, &policy, "s-1");
    assert_eq!(down(&mut rest, &mut proxy, 0, &policy, most - (16_000 << 10)), None);
    assert_eq!(down(&mut rest, &mut proxy, 0, &policy, 1), DENIED);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever streams of a session do on whatever workers, no more goes on than it may, and what is left after them all can.
    #[test]
    fn no_more_goes_on_than_the_session_may(
        most in 1u64..400_000,
        events in prop::collection::vec((0usize..2, 0usize..4, 0u8..8, 0u64..90_000), 0..60),
    ) {
        let policy = compile(&ruled(json!({"max_session_response_bytes": most})));
        let mut proxy = Proxy::new(2);
        let mut streams: Vec<Option<Exchange>> = (0..8).map(|_| None).collect();
        let mut moved = 0;
        for (worker, place, what, bytes) in events {
            let place = worker * 4 + place;
            let stream = match streams[place].take() {
                Some(stream) => stream,
                None => open(&mut proxy, worker, &policy, "s-1"),
            };
            streams[place] = Some(stream);
            let stream = streams[place].as_mut().unwrap();
            match what {
                0 => { stream.finish(&mut proxy.workers[worker]); streams[place] = None; }
                1 => {
                    let length = bytes.to_string();
                    let _ = stream.can_carry_response(&[(b":status", b"200"), (b"content-length", length.as_bytes())]);
                    let _ = ask(stream, &mut proxy, worker, &policy);
                }
                _ => if down(stream, &mut proxy, worker, &policy, bytes).is_none() { moved += bytes; },
            }
            prop_assert!(moved <= most, "{moved} of {most}");
        }
        for (place, stream) in streams.iter_mut().enumerate() {
            if let Some(stream) = stream { stream.finish(&mut proxy.workers[place / 4]); }
        }
        let mut last = open(&mut proxy, 0, &policy, "s-1");
        prop_assert_eq!(down(&mut last, &mut proxy, 0, &policy, most - moved), None);
        prop_assert_eq!(down(&mut last, &mut proxy, 0, &policy, 1), DENIED);
    }
}
