//! A head that is known is decided exactly as it would be if it were judged in full: two workers get the same requests, and one
//! of them knows no head. Whatever can be seen from outside must be the same, to the byte: decisions, edits, answers, records, what
//! becomes of open streams, and what is counted.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::rc::Rc;

use chaperone_policy::{Context, Decision, Edits, End, Exchange, Head, LocalState, Policy, Source, Timestamp, Worker};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use support::{Marked, NOW, claims, compile, document, token, token_of, with, worker};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The policies that requests are judged by, one after the other.
fn policies() -> Vec<Rc<Policy>> {
    let credential = json!({"credential": {"header": "x-api-key", "value": "${env:ORDERS_TOKEN}"}, "strip": ["x-internal"]});
    let mut given = with(document(), "/upstream", credential);
    // A command that has no body, one that has none at one of its paths, and few streams at once.
    given["commands"]["orders.list"]["http"]["body"] = json!(false);
    given["commands"]["orders.read"] = json!([{"http": {"methods": ["GET"], "path": "/v1/orders/{id}"}},
        {"http": {"methods": ["GET"], "path": "/v1/orders/{id}/items", "body": false}}]);
    given["limits"] = json!({"streams_per_session": 4});
    let grants = json!([
        {"name": "list", "when": {"subject": "agent-*"}, "allow": ["orders.list"], "max_lifetime": "2m"},
        {"name": "read", "when": {"subject": "agent-*"}, "allow": ["orders.read", "orders.list", "orders.cancel", "users.get"]},
    ]);
    let bounded = with(given.clone(), "/grants", grants);
    let transfers = with(
        document(),
        "/grants",
        json!([{"name": "small", "when": {"subject": "agent-*"}, "allow": ["orders.*"], "transfers": {"downloads": "deny",
            "max_request_bytes": 1024}}]),
    );
    let mut revoking = given.clone();
    revoking["revoked"] = json!([{"session": "s-2", "because": "over"}]);
    let counting = with(document(), "/end_session_when", json!({"denials": {"count": 3, "within": "1m"}}));
    let observing = with(document(), "/mode", json!("observe"));
    let combined = with(given.clone(), "/audit", json!({"headers": "combined", "source": "proxy"}));
    [document(), given, bounded, transfers, revoking, counting, observing, combined].iter().map(compile).collect()
}

#[derive(Clone, Debug)]
struct Request {
    policy: usize,
    method: &'static str,
    path: &'static str,
    session: usize,
    body: bool,
    /// Fields beside those, in places of their own.
    more: Vec<(&'static str, &'static str, bool)>,
    request_id: &'static str,
    source: &'static str,
    /// Seconds that pass before it, and milliseconds by which the clock is wrong.
    after: u64,
    back: u64,
    response: usize,
    keeps: bool,
    /// How often it comes.
    times: usize,
}

fn any_request() -> impl Strategy<Value = Request> {
    let method = prop_oneof![24 => Just("GET"), 1 => Just("HEAD"), 2 => Just("POST"), 1 => Just("DELETE"), 1 => Just("get")];
    let path = prop_oneof![
        14 => Just("/v1/orders"),
        14 => Just("/v1/orders/7"),
        8 => Just("/v1/orders/8?page=2"),
        1 => Just("/v1/orders/8?connect=v1&encoding=json&message=%7B%7D"),
        3 => Just("/v1/orders/7/items"),
        1 => Just("/v1/orders/7/cancel"),
        1 => Just("/users.v1.Users/Get"),
        1 => Just("/healthz"),
        1 => Just("/v1/orders/%2e%2e"),
        1 => Just("/v1/orders/a%2Fb"),
        1 => Just("//v1/orders"),
        1 => Just("/v1/orders#x"),
        4 => Just("/v1/other"),
    ];
    let more = prop::sample::select(vec![
        ("host", "orders.example"),
        ("host", "other.example"),
        ("x-chaperone-session", "s-9"),
        ("x-chaperone-audit", "session=\"s-9\""),
        ("X_Chaperone_Session", "s-9"),
        ("x-http-method-override", "DELETE"),
        ("x-envoy-original-url", "https://orders.example/v1/orders"),
        ("x-api-key", "mine"),
        ("x-note", "upstream-secret"),
        ("traceparent", "upstream-secret"),
        ("idempotency-key", "k-1"),
        ("x-request-id", "second"),
        ("authorization", "Bearer other"),
        ("cookie", "a=b"),
        ("connection", "x-chaperone-policy"),
        ("upgrade", "websocket"),
        ("content-type", "application/grpc"),
        ("content-type", "application/json"),
        ("content-length", "7"),
        ("content-length", "70"),
        ("range", "bytes=0-1"),
        ("origin", "https://a.example"),
        ("x-internal", "1"),
    ]);
    let more = prop_oneof![
        12 => Just(Vec::new()),
        3 => prop::collection::vec((more.clone(), any::<bool>()), 1..2),
        1 => prop::collection::vec((more, any::<bool>()), 2..4),
    ];
    let request_id = prop_oneof![6 => Just("0f6fbd5a-1"), 6 => Just("0f6fbd5a-2"), 1 => Just("upstream-secret"), 1 => Just("")];
    let source =
        prop::sample::select(vec!["10.0.0.7:4711", "10.0.0.8:99", "[::1]:8", "@socket", "10.0.0.7:99999", ":1", "1.2.3.4"]);
    let policy = prop_oneof![20 => Just(1_usize), 10 => Just(7), 3 => 0..8_usize];
    let after = prop_oneof![24 => Just(0), 4 => 1..20_u64, 1 => 60..200_u64];
    let back = prop_oneof![6 => Just(0), 1 => 1000..60_000_u64];
    (
        (
            policy,
            method,
            path,
            prop_oneof![12 => Just(0_usize), 3 => Just(3), 3 => Just(4), 4 => 1..6_usize],
            prop::bool::weighted(0.15),
            more,
        ),
        (
            request_id,
            source,
            after,
            back,
            0..5_usize,
            prop::bool::weighted(0.2),
            prop_oneof![3 => Just(1_usize), 2 => 2..6_usize],
        ),
    )
        .prop_map(
            |((policy, method, path, session, body, more), (request_id, source, after, back, response, keeps, times))| Request {
                policy,
                method,
                path,
                session,
                body,
                more: more.into_iter().map(|((name, value), front)| (name, value, front)).collect(),
                request_id,
                source,
                after,
                back,
                response,
                keeps,
                times,
            },
        )
}

/// What is shown as a token: of sessions that are alike but for a few things.
fn bearer(session: usize) -> String {
    let with_member = |name: &str, value: Value| {
        let mut all = claims();
        all[name] = value;
        all
    };
    match session {
        0 => token(&claims()),
        1 => token(&with_member("sid", json!("s-2"))),
        2 => token(&with_member("exp", json!(NOW + 90))),
        3 => token(&with_member("commands", json!(["orders.list"]))),
        4 => token(&with_member("nbf", json!(NOW + 99))),
        // One whose signature does not hold, with the end of one whose does.
        _ => token_of(&json!({"alg": "ES256", "kid": "k1"}), &claims(), "bad-good"),
    }
}

fn fields(request: &Request) -> Fields {
    let authorization = format!("Bearer {}", bearer(request.session));
    let mut fields: Vec<(&str, &str)> = vec![
        (":authority", "orders.example"),
        (":path", request.path),
        (":method", request.method),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("x-request-id", request.request_id),
    ];
    let (front, back): (Vec<_>, Vec<_>) = request.more.iter().partition(|(_, _, front)| *front);
    fields.extend(front.iter().map(|(name, value, _)| (*name, *value)));
    fields.push(("authorization", &authorization));
    fields.extend(back.iter().map(|(name, value, _)| (*name, *value)));
    fields.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

const RESPONSES: [&[(&[u8], &[u8])]; 5] = [
    &[(b":status", b"200"), (b"content-type", b"application/json"), (b"content-length", b"3")],
    &[(b":status", b"200"), (b"x-chaperone-session", b"forged"), (b"content-type", b"application/octet-stream")],
    &[(b":status", b"200"), (b"x-debug", b"a upstream%2Dsecret b"), (b"content-type", b"application/json")],
    &[(b":status", b"204"), (b"Connection", b"X-Chaperone-Policy")],
    &[(b":status", b"206"), (b"content-range", b"bytes 0-1/9"), (b"X_chaperone_x", b"1")],
];

fn shown(edits: &Edits) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = |fields: Vec<(&[u8], &[u8])>| fields.into_iter().map(|(n, v)| json!([text(n), text(v)])).collect::<Vec<_>>();
    json!({"removed": edits.removed().map(text).collect::<Vec<_>>(), "replaced": pairs(edits.replaced().collect()),
        "added": pairs(edits.added().collect())})
}

/// One worker with what is open in it.
struct Side {
    worker: Worker,
    policies: Vec<Rc<Policy>>,
    open: Vec<Exchange>,
    decisions: Vec<Decision>,
    /// Denials of heads that were known.
    denied_again: u64,
}

impl Side {
    fn new(in_full: bool) -> Self {
        let mut worker = worker();
        worker.share(Rc::new(LocalState::default()));
        if in_full {
            worker.judge_in_full();
        }
        let policies = policies();
        policies.iter().for_each(|policy| worker.adopt(policy));
        worker.hold_for(&policies);
        Self { worker, policies, open: Vec::new(), decisions: Vec::new(), denied_again: 0 }
    }

    /// Everything that can be seen of a request, and of the streams that are open.
    fn ask(&mut self, request: &Request, now: u64) -> Vec<Value> {
        let newest = Rc::clone(&self.policies[request.policy]);
        let at = Timestamp::from_seconds(now - request.back / 1000);
        let context = Context { now: at, newest: &newest, verifier: &Marked };
        let mut seen = Vec::new();
        // First what is open, as the tick does.
        for exchange in &mut self.open {
            let cut = exchange.recheck(&mut self.worker, &context, now.is_multiple_of(2));
            seen.push(json!(cut.map(|reason| reason.code())));
            seen.push(json!(exchange.answer_of_cut(&newest).map(|denial| denial.response().body.clone())));
        }
        let fields = fields(request);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let head = Head { headers: &headers, source: Source::Told(request.source.as_bytes()), body: request.body, peer: None };
        let mut exchange = Exchange::begin(Rc::clone(&newest));
        let followed = self.worker.counts().followed;
        let decision = exchange.request(&head, &mut self.worker, &context);
        seen.push(match &decision {
            Decision::Forward(permit) => {
                json!({"permit": shown(permit.edits()), "observed": permit.observed().map(|r| r.code())})
            }
            Decision::Refuse(denial) => json!({"denied": denial.reason().code(), "answer": format!("{:?}", denial.response())}),
            Decision::Hold(need) => json!({"waits": format!("{need:?}")}),
        });
        if matches!(decision, Decision::Refuse(_)) {
            self.denied_again += self.worker.counts().followed - followed;
        }
        // Who still has what was made for the one before gets the next one made anew.
        self.decisions.extend(Some(decision).filter(|_| request.keeps && request.response == 3));
        if self.decisions.len() > 1 {
            drop(self.decisions.remove(0));
        }
        exchange.request_bytes(if request.body { 5000 } else { 0 });
        let response = RESPONSES[request.response];
        seen.push(json!(exchange.reads_response()));
        seen.push(json!(exchange.can_read_response(response)));
        seen.push(json!(exchange.can_carry_response(response)));
        seen.push(shown(&exchange.response_edits(response, false)));
        exchange.response_bytes(3);
        seen.push(json!(exchange.recheck(&mut self.worker, &context, true).map(|reason| reason.code())));
        let end = End { response_code: Some(200), bytes_up: Some(1), bytes_down: Some(now) };
        seen.push(json!(exchange.reason().map(|reason| reason.code())));
        seen.push(json!(exchange.credential_came_back()));
        seen.push(json!(exchange.record(&end)));
        if request.keeps {
            self.open.push(exchange);
        } else {
            exchange.finish(&mut self.worker);
            if request.response == 4 {
                seen.push(json!(exchange.fail(&mut self.worker).response().headers.clone()));
                seen.push(json!(exchange.record(&end)));
            }
        }
        if self.open.len() > 6 {
            let mut oldest = self.open.remove(0);
            oldest.release_place();
            seen.push(shown(&oldest.response_trailer_edits(RESPONSES[1])));
            seen.push(json!(oldest.record(&end)));
        }
        let counts = self.worker.counts();
        seen.push(json!([counts.token_hits, counts.token_misses, counts.kept_tokens, counts.live_sessions]));
        seen
    }
}

#[test]
fn what_is_known_is_decided_as_if_it_were_not() {
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let (followed, denied) = (Cell::new(0), Cell::new(0));
    runner
        .run(&prop::collection::vec(any_request(), 20..80), |requests| {
            let (mut quick, mut full) = (Side::new(false), Side::new(true));
            let mut now = NOW + 100;
            for request in requests.iter().flat_map(|request| std::iter::repeat_n(request, request.times)) {
                now += request.after;
                let (quick, full) = (quick.ask(request, now), full.ask(request, now));
                prop_assert_eq!(quick, full, "at {}: {:?}", now - NOW, request);
            }
            prop_assert_eq!(full.worker.counts().followed, 0);
            followed.set(followed.get() + quick.worker.counts().followed);
            denied.set(denied.get() + quick.denied_again);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(followed.get() > 5000, "only {} requests were known", followed.get());
    assert!(denied.get() > 1500, "only {} denied ones were known", denied.get());
}
