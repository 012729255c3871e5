//! How often a session may call a command, and after which others, on all workers of a proxy.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{
    CheckStep, Decision, End, Exchange, Head, LocalState, Policy, Reason, SharedState, Timestamp, Unavailable,
};
use serde_json::{Value, json};
use support::proxy::Proxy;
use support::{NOW, claims, compile, context, document, head, token, with, worker};

fn calls(rules: Value) -> Value {
    with(document(), "/grants/0/calls", rules)
}

fn three_a_minute() -> Value {
    calls(json!([{"commands": ["orders.list"], "count": 3, "within": "1m"}]))
}

fn after() -> Value {
    with(document(), "/grants/0/after", json!([{"commands": ["orders.read"], "needs": "orders.list", "within": "5m"}]))
}

/// Asks one of the workers; the response's header fields where it is denied.
fn ask(
    proxy: &mut Proxy,
    worker: usize,
    (policy, newest): (&Rc<Policy>, &Rc<Policy>),
    path: &str,
    session: &str,
) -> (Exchange, Option<Reason>, Vec<(String, String)>) {
    let mut claims = claims();
    claims["sid"] = json!(session);
    let fields = head("GET", path, &[("authorization", &format!("Bearer {}", token(&claims)))]);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let head = Head { headers: &headers, ..Head::default() };
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let now = proxy.now();
    match exchange.request(&head, &mut proxy.workers[worker], &context(newest, now)) {
        Decision::Forward(permit) => {
            let observed = permit.observed();
            (exchange, observed, Vec::new())
        }
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Refuse(denial) => {
            let headers = denial.response().headers.clone();
            (exchange, Some(denial.reason()), headers)
        }
    }
}

fn get(proxy: &mut Proxy, worker: usize, policy: &Rc<Policy>, path: &str, session: &str) -> Option<Reason> {
    ask(proxy, worker, (policy, policy), path, session).1
}

const LIST: &str = "/v1/orders";
const READ: &str = "/v1/orders/7";

#[test]
fn calls_are_counted_over_all_workers_for_each_session() {
    let policy = compile(&three_a_minute());
    let mut proxy = Proxy::new(2);
    for worker in [0, 1, 0] {
        assert_eq!(get(&mut proxy, worker, &policy, LIST, "s-1"), None);
    }
    for worker in [0, 1] {
        let (exchange, reason, headers) = ask(&mut proxy, worker, (&policy, &policy), LIST, "s-1");
        assert_eq!(reason, Some(Reason::CallsExceeded));
        let wait = headers.iter().find(|(name, _)| name == "retry-after").unwrap().1.parse::<u64>().unwrap();
        assert!((60..=68).contains(&wait), "{wait}");
        let record: Value = serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap();
        assert_eq!(
            (&record["status_code"], &record["unmapped"]["grant"]),
            (&json!("calls_exceeded"), &json!("agents")),
            "{record:#}"
        );
        assert_eq!(get(&mut proxy, worker, &policy, READ, "s-1"), None, "another command");
        assert_eq!(get(&mut proxy, worker, &policy, LIST, "s-2"), None, "another session");
    }
    proxy.wait(59);
    assert_eq!(get(&mut proxy, 1, &policy, LIST, "s-1"), Some(Reason::CallsExceeded));
    proxy.wait(9);
    assert_eq!(get(&mut proxy, 1, &policy, LIST, "s-1"), None);
}

#[test]
fn without_a_window_they_count_as_long_as_the_session() {
    let policy = compile(&calls(json!([{"commands": ["orders.*"], "count": 2}])));
    let mut proxy = Proxy::new(1);
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), None);
    proxy.wait(300);
    assert_eq!(get(&mut proxy, 0, &policy, READ, "s-1"), None, "together");
    proxy.wait(299);
    let (_, reason, headers) = ask(&mut proxy, 0, (&policy, &policy), READ, "s-1");
    assert_eq!(reason, Some(Reason::CallsExceeded));
    assert!(headers.iter().all(|(name, _)| name != "retry-after"));
}

#[test]
fn what_is_denied_is_no_call_and_a_call_too_many_is_a_denial() {
    let mut document = three_a_minute();
    document["end_session_when"] = json!({"denials": {"count": 3, "within": "1m"}});
    let policy = compile(&document);
    let revoking = compile(&with(document.clone(), "/revoked", json!([{"session": "s-1"}])));
    let mut proxy = Proxy::new(1);
    for _ in 0..5 {
        // By the newest policy alone.
        assert_eq!(ask(&mut proxy, 0, (&policy, &revoking), LIST, "s-1").1, Some(Reason::Revoked));
    }
    for expected in [None, None, None, Some(Reason::CallsExceeded), Some(Reason::CallsExceeded), Some(Reason::CallsExceeded)] {
        assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), expected);
    }
    assert_eq!(get(&mut proxy, 0, &policy, READ, "s-1"), Some(Reason::SessionEnded));
}

#[test]
fn the_newest_policy_counts() {
    let (none, policy) = (compile(&document()), compile(&three_a_minute()));
    let mut proxy = Proxy::new(1);
    for expected in [None, None, None, Some(Reason::CallsExceeded)] {
        assert_eq!(ask(&mut proxy, 0, (&none, &policy), LIST, "s-1").1, expected);
    }
    assert_eq!(ask(&mut proxy, 0, (&policy, &none), LIST, "s-1").1, None);
    // Another count goes on with what was counted, and so does the rule when it comes back.
    let fewer = compile(&calls(json!([{"commands": ["orders.list"], "count": 2, "within": "1m"}])));
    let more = compile(&calls(json!([{"commands": ["orders.list"], "count": 4, "within": "1m"}])));
    for (policy, expected) in [
        (&fewer, Some(Reason::CallsExceeded)),
        (&policy, Some(Reason::CallsExceeded)),
        (&more, None),
        (&more, Some(Reason::CallsExceeded)),
    ] {
        assert_eq!(get(&mut proxy, 0, policy, LIST, "s-1"), expected);
    }
}

#[test]
fn a_command_comes_after_another_of_the_same_session() {
    let policy = compile(&after());
    let mut proxy = Proxy::new(2);
    assert_eq!(get(&mut proxy, 0, &policy, READ, "s-1"), Some(Reason::CallOutOfOrder));
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-2"), None);
    assert_eq!(get(&mut proxy, 0, &policy, READ, "s-1"), Some(Reason::CallOutOfOrder), "another session's");
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), None);
    assert_eq!(get(&mut proxy, 1, &policy, READ, "s-1"), None);
    proxy.wait(299);
    assert_eq!(get(&mut proxy, 1, &policy, READ, "s-1"), None);
    proxy.wait(1);
    assert_eq!(get(&mut proxy, 1, &policy, READ, "s-1"), Some(Reason::CallOutOfOrder));
}

#[test]
fn another_policy_of_the_proxy_counts_for_itself() {
    let (mine, theirs) = (compile(&after()), compile(&with(after(), "/name", json!("others"))));
    let mut proxy = Proxy::new(1);
    assert_eq!(get(&mut proxy, 0, &theirs, LIST, "s-1"), None);
    assert_eq!(get(&mut proxy, 0, &mine, READ, "s-1"), Some(Reason::CallOutOfOrder));
    assert_eq!(get(&mut proxy, 0, &theirs, READ, "s-1"), None);
}

#[test]
fn while_it_is_observed_a_call_too_many_goes_on_and_is_not_counted() {
    let observed = compile(&with(three_a_minute(), "/observe", json!(["calls_exceeded"])));
    let enforced = compile(&calls(json!([{"commands": ["orders.list"], "count": 4, "within": "1m"}])));
    let mut proxy = Proxy::new(1);
    for expected in [None, None, None, Some(Reason::CallsExceeded), Some(Reason::CallsExceeded)] {
        assert_eq!(get(&mut proxy, 0, &observed, LIST, "s-1"), expected);
    }
    assert_eq!(get(&mut proxy, 0, &enforced, LIST, "s-1"), None, "three were counted");
    let observing = compile(&with(three_a_minute(), "/mode", json!("observe")));
    for _ in 0..5 {
        assert_eq!(get(&mut proxy, 0, &observing, LIST, "s-2"), None, "nothing is counted");
    }
}

/// Shared state that fails from some call on.
struct Failing {
    of: Rc<LocalState>,
    left: Cell<usize>,
    asked: Cell<usize>,
}

impl Failing {
    fn may(&self) -> Result<(), Unavailable> {
        self.asked.set(self.asked.get() + 1);
        self.left.set(self.left.get().checked_sub(1).ok_or(Unavailable)?);
        Ok(())
    }
}

impl SharedState for Failing {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        self.may()?;
        self.of.elapsed()
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        self.may()?;
        self.of.get(key)
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        self.may()?;
        self.of.put(key, value, version)
    }
}

fn with_calls_to_shared_state(policy: &Rc<Policy>, left: usize) -> (Option<Reason>, usize) {
    let failing = Rc::new(Failing { of: Rc::default(), left: Cell::new(left), asked: Cell::new(0) });
    let mut proxy = Proxy::new(1);
    proxy.workers = vec![worker()];
    proxy.workers[0].share(failing.clone());
    proxy.workers[0].adopt(policy);
    failing.asked.set(0);
    failing.left.set(left);
    let reason = get(&mut proxy, 0, policy, LIST, "s-1");
    (reason, failing.asked.get())
}

#[test]
fn where_what_workers_share_fails_nothing_is_let_through_and_without_rules_it_is_not_asked() {
    let policy = compile(&three_a_minute());
    let (reason, needed) = with_calls_to_shared_state(&policy, 1000);
    assert_eq!(reason, None);
    assert!(needed > 0);
    for left in 0..needed {
        assert_eq!(with_calls_to_shared_state(&policy, left).0, Some(Reason::InternalError), "{left}");
    }
    // Rules of other commands cost what they cost a session, and no rules nothing.
    assert_eq!(with_calls_to_shared_state(&compile(&document()), 1000), (None, 0));
    let none = worker();
    let mut proxy = Proxy::new(1);
    proxy.workers = vec![none];
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), Some(Reason::InternalError), "no state at all");
}

#[test]
fn hostile_bytes_let_nothing_through() {
    let policy = compile(&three_a_minute());
    let mut proxy = Proxy::new(1);
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), None);
    for number in 0..=255_u8 {
        let key = format!("chaperone/state/1/{number:02x}");
        let known = proxy.shared.get(&key).unwrap();
        let (bytes, version) =
            known.map_or((vec![7; 13], None), |(bytes, version)| (bytes[..bytes.len() - 1].to_vec(), Some(version)));
        assert!(proxy.shared.put(&key, &bytes, version).unwrap());
    }
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), Some(Reason::InternalError));
}

#[test]
fn an_open_stream_is_not_counted_again() {
    let policy = compile(&calls(json!([{"commands": ["orders.list"], "count": 1, "within": "1m"}])));
    let mut proxy = Proxy::new(1);
    let (mut stream, reason, _) = ask(&mut proxy, 0, (&policy, &policy), LIST, "s-1");
    assert_eq!(reason, None);
    let other =
        compile(&with(calls(json!([{"commands": ["orders.list"], "count": 1, "within": "1m"}])), "/generation", json!(2)));
    for newest in [&policy, &other] {
        let now = proxy.now();
        assert_eq!(stream.recheck(&mut proxy.workers[0], &context(newest, now), true), None);
    }
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), Some(Reason::CallsExceeded));
}

#[test]
fn the_explanation_says_how_many_there_were() {
    let policy = compile(&three_a_minute());
    let mut proxy = Proxy::new(1);
    assert_eq!(get(&mut proxy, 0, &policy, LIST, "s-1"), None);
    let fields = head("GET", LIST, &[("authorization", &format!("Bearer {}", token(&claims())))]);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let head = Head { headers: &headers, ..Head::default() };
    let mut exchange = Exchange::begin(Rc::clone(&policy));
    let (_, explanation) = exchange.explain(&head, &mut proxy.workers[0], &context(&policy, Timestamp::from_seconds(NOW)));
    let last = explanation.seen.last().unwrap();
    let CheckStep::Calls { counted, stopped: None } = last else { panic!("{last:?}") };
    assert_eq!((counted[0].before, counted[0].calls, counted[0].most, counted[0].within), (1, 1, 3, Some(60)));
}
