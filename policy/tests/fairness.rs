//! One caller cannot take what a worker has for all: kept tokens, signature checks, exchanges under way.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{Decision, End, Exchange, Head, Policy, Source, Timestamp, Worker, limits};
use serde_json::{Value, json};
use support::{NOW, claims, compile, context, document, head, token, token_of, with, worker};

/// A request that was let through is under way for as long as this is there.
struct Asked {
    exchange: Exchange,
    code: &'static str,
}

/// What is asked, of whom, from where and when.
struct Bench {
    policy: Rc<Policy>,
    worker: Worker,
    now: u64,
}

impl Bench {
    fn new(document: &Value) -> Self {
        Self { policy: compile(document), worker: worker(), now: NOW }
    }

    fn ask(&mut self, from: &str, body: bool, (method, path): (&str, &str), token: Option<&str>) -> Asked {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let extra: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let fields = head(method, path, &extra);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&self.policy));
        let head = Head { headers: &headers, source: Source::Told(from.as_bytes()), body, ..Head::default() };
        let decision = exchange.request(&head, &mut self.worker, &context(&self.policy, Timestamp::from_seconds(self.now)));
        let code = exchange.reason().map_or("allowed", |reason| reason.code());
        assert_eq!(matches!(decision, Decision::Refuse(_)), code != "allowed" && !self.observes());
        let record: Value = serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap();
        assert_eq!(record["status_code"], code, "it is on record");
        Asked { exchange, code }
    }

    fn observes(&self) -> bool {
        self.policy.name() == Some("observing")
    }

    fn list(&mut self, from: &str, token: &str) -> Asked {
        self.ask(from, false, ("GET", "/v1/orders"), Some(token))
    }

    fn health(&mut self, from: &str) -> Asked {
        self.ask(from, false, ("GET", "/healthz"), None)
    }

    /// So many forgeries of the real `kid`, each for another session; how many were checked.
    fn forge(&mut self, from: &str, count: usize) -> u64 {
        let before = self.worker.counts().token_misses;
        for number in 0..count {
            let code = self.list(from, &signed(&format!("forged-{number}"), 0, "bad")).code;
            assert!(matches!(code, "signature_invalid" | "overloaded"), "{code}");
        }
        self.worker.counts().token_misses - before
    }
}

fn signed(session: &str, number: usize, mark: &str) -> String {
    let mut claims = claims();
    claims["sid"] = json!(session);
    claims["jti"] = json!(format!("{session}-{number}"));
    // No two signatures are alike, and it is them that tokens are found by.
    let unique = format!("{session}-{number}:{:0>32}", number);
    match mark {
        "good" => token(&claims),
        _ => token_of(&json!({"alg": "ES256", "kid": "k1"}), &claims, &unique),
    }
}

fn of(session: &str, number: usize) -> String {
    signed(session, number, "good")
}

#[test]
fn thousands_of_tokens_of_one_session_push_out_nobody_elses() {
    let mut bench = Bench::new(&with(document(), "/limits", json!({"verifications_per_second": 100_000})));
    let neighbour = of("neighbour", 0);
    assert_eq!(bench.list("10.0.0.1:1", &neighbour).code, "allowed");
    for number in 0..4300 {
        assert_eq!(bench.list("10.0.0.2:1", &of("greedy", number)).code, "allowed");
    }
    assert_eq!(bench.worker.counts().kept_tokens, 1 + limits::TOKENS_OF_A_SESSION as u64);
    let hits = bench.worker.counts().token_hits;
    assert_eq!(bench.list("10.0.0.1:1", &neighbour).code, "allowed");
    assert_eq!(bench.list("10.0.0.2:1", &of("greedy", 4299)).code, "allowed");
    assert_eq!(bench.worker.counts().token_hits, hits + 2, "the neighbour's is kept, and the newest");
    // One that was pushed out is verified again, and nothing else: what it may do is what the policy says now.
    assert_eq!(bench.list("10.0.0.2:1", &of("greedy", 0)).code, "allowed");
    bench.policy = compile(&with(document(), "/revoked", json!([{"session": "greedy"}])));
    bench.now += 1;
    assert_eq!(bench.list("10.0.0.2:1", &of("greedy", 1)).code, "revoked");
}

#[test]
fn forgeries_from_one_address_leave_the_others_and_its_known_sessions_theirs() {
    let mut bench = Bench::new(&document());
    let (forger, elsewhere) = ("10.0.0.2", "10.0.0.1:1");
    assert_eq!(bench.list("10.0.0.2:7", &of("known", 0)).code, "allowed");
    bench.now += 10;
    let checked = bench.forge("10.0.0.2:8", 566);
    assert_eq!(checked, u64::from(limits::VERIFICATIONS_PER_SECOND) / 4, "a quarter of the allowance, of a known address");
    for number in 0..50 {
        assert_eq!(bench.list(&format!("10.1.0.{number}:1"), &of(&format!("new-{number}"), 0)).code, "allowed");
    }
    assert_eq!(bench.list(elsewhere, &of("new", 0)).code, "allowed");
    assert_eq!(bench.list(&format!("{forger}:9"), &of("known", 1)).code, "allowed", "the session's next token");
    // What it does not hold for: another address, another session, and a forgery of the name.
    assert_eq!(bench.list(&format!("{forger}:9"), &of("unknown", 0)).code, "overloaded");
    assert_eq!(bench.list(&format!("{forger}:9"), &signed("known", 3, "bad")).code, "signature_invalid");
    bench.now += 1;
    assert_eq!(bench.list(&format!("{forger}:9"), &of("unknown", 0)).code, "allowed", "the next second");
}

#[test]
fn strangers_from_everywhere_do_not_take_what_is_for_known_callers() {
    let mut bench = Bench::new(&document());
    assert_eq!(bench.list("[2001:db8:1::1]:7", &of("known", 0)).code, "allowed");
    bench.now += 60;
    let checked: u64 = (0..600).map(|number| bench.forge(&format!("[2001:db8:2:{number:x}::1]:1"), 1)).sum();
    assert_eq!(checked, u64::from(limits::VERIFICATIONS_PER_SECOND) / 2);
    assert_eq!(bench.list("10.0.0.1:1", &of("stranger", 0)).code, "overloaded");
    // From the same network another session, and the known one's next token.
    assert_eq!(bench.list("[2001:db8:1::2]:9", &of("another", 0)).code, "allowed");
    assert_eq!(bench.list("[2001:db8:1::1]:7", &of("known", 1)).code, "allowed");
    assert_eq!(bench.list("[2001:db8:1::1]:7", &of("known", 0)).code, "allowed", "and one that is kept");
}

#[test]
fn a_session_has_so_many_exchanges_under_way_whatever_its_tokens() {
    let mut bench = Bench::new(&with(document(), "/limits", json!({"streams_per_session": 3})));
    let mut open: Vec<Asked> = (0..3).map(|number| bench.list("10.0.0.1:1", &of("s-1", number))).collect();
    assert!(open.iter().all(|asked| asked.code == "allowed"));
    let other_token = of("s-1", 9);
    assert_eq!(bench.list("10.0.0.9:1", &other_token).code, "overloaded");
    // It tells nothing that another reason would tell, and takes no part in it.
    assert_eq!(bench.ask("10.0.0.1:1", false, ("DELETE", "/v1/orders"), Some(&other_token)).code, "unknown_command");
    let of_another_issuer = bench.list("10.0.0.1:1", &of("s-2", 0));
    assert_eq!(of_another_issuer.code, "allowed", "the neighbour");
    // Denied ones have no seat: it is the end of one that was let through which frees one.
    drop(open.pop());
    let again = bench.list("10.0.0.1:1", &other_token);
    assert_eq!(again.code, "allowed");
    assert_eq!(bench.list("10.0.0.1:1", &other_token).code, "overloaded");
    // However an exchange ends: by its policy, by the proxy's failure.
    let [mut cut, mut failed] = [again, open.pop().unwrap()];
    let newest = with(document(), "/limits", json!({"streams_per_session": 3}));
    let revoked = compile(&with(newest, "/revoked", json!([{"token": "s-1-9"}])));
    let now = Timestamp::from_seconds(NOW);
    assert!(cut.exchange.recheck(&mut bench.worker, &context(&revoked, now), false).is_some());
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 0)).code, "overloaded", "what is cut is still there");
    drop(cut);
    let instead = bench.list("10.0.0.1:1", &of("s-1", 0));
    assert_eq!(instead.code, "allowed");
    let _ = failed.exchange.fail(&mut bench.worker);
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 0)).code, "allowed", "a denial after all has none");
    // And whatever became of the tokens in the meantime.
    bench.policy = compile(&with(document(), "/limits", json!({"streams_per_session": 1})));
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 5)).code, "overloaded", "under the next policy, too");
}

#[test]
fn an_exchange_is_counted_when_its_token_is_not_kept_any_more() {
    let limits = json!({"streams_per_session": 1, "verifications_per_second": 100_000});
    let mut bench = Bench::new(&with(document(), "/limits", limits));
    let open = bench.list("10.0.0.1:1", &of("s-1", 0));
    for number in 0..2 * limits::VERIFIED_TOKENS {
        assert_eq!(bench.list("10.0.0.1:1", &of(&format!("flood-{number}"), 0)).code, "allowed");
    }
    let hits = bench.worker.counts().token_hits;
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 0)).code, "overloaded");
    assert_eq!(bench.worker.counts().token_hits, hits, "it was pushed out");
    drop(open);
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 0)).code, "allowed");
}

#[test]
fn what_needs_no_session_has_room_of_its_own_and_an_address_a_quarter_of_it() {
    let mut bench = Bench::new(&with(document(), "/limits", json!({"unmediated_streams": 8})));
    let mut greedy: Vec<Asked> = (0..1080).map(|_| bench.health("10.0.0.2:1")).collect();
    assert_eq!(greedy.iter().filter(|asked| asked.code == "allowed").count(), 2);
    assert!(greedy.iter().skip(2).all(|asked| asked.code == "overloaded"));
    let neighbours: Vec<Asked> = (1..=6).map(|number| bench.health(&format!("10.0.1.{number}:1"))).collect();
    assert!(neighbours.iter().all(|asked| asked.code == "allowed"));
    assert_eq!(bench.health("10.0.2.1:1").code, "overloaded", "there are no more");
    assert_eq!(bench.list("10.0.0.2:1", &of("s-1", 0)).code, "allowed", "sessions are another matter");
    greedy.remove(0);
    assert_eq!(bench.health("10.0.2.1:1").code, "allowed");
    // Everybody has one, however few there are.
    bench.policy = compile(&with(document(), "/limits", json!({"unmediated_streams": 1})));
    drop((greedy, neighbours));
    let one = bench.health("10.0.0.2:1");
    assert_eq!([one.code, bench.health("10.0.0.3:1").code], ["allowed", "overloaded"]);
}

#[test]
fn an_unmediated_command_is_without_a_body_unless_the_policy_says_so() {
    let mut document = document();
    document["commands"]["echo"] = json!({"http": {"methods": ["POST"], "path": "/echo", "body": true}});
    document["commands"]["talk"] = json!({"http": {"methods": ["GET"], "path": "/talk", "upgrade": true}});
    document["commands"]["orders.bare"] = json!({"http": {"methods": ["PUT"], "path": "/v1/orders", "body": false}});
    document["unmediated"] = json!(["health", "echo", "talk", "users.get"]);
    document["grants"][0]["allow"] = json!(["orders.*"]);
    let mut bench = Bench::new(&document);
    let good = of("s-1", 0);
    for (request, body, token, code) in [
        (("GET", "/healthz"), true, None, "overloaded"),
        (("GET", "/healthz"), false, None, "allowed"),
        (("POST", "/echo"), true, None, "allowed"),
        (("GET", "/talk"), true, None, "overloaded"),
        (("GET", "/talk"), false, None, "allowed"),
        (("GET", "/v1/orders"), true, Some(good.as_str()), "allowed"),
        (("PUT", "/v1/orders"), true, Some(good.as_str()), "overloaded"),
        (("PUT", "/v1/orders"), false, Some(good.as_str()), "allowed"),
        (("PUT", "/v1/orders"), true, None, "token_missing"),
    ] {
        assert_eq!(bench.ask("10.0.0.1:1", body, request, token).code, code, "{request:?} {body}");
    }
    // An upgrade is a stream both ways, and so is a gRPC call.
    for (method, path, extra) in
        [("GET", "/talk", ("upgrade", "websocket")), ("POST", "/users.v1.Users/Get", ("content-type", "application/grpc"))]
    {
        let fields = head(method, path, &[extra]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&bench.policy));
        let head = Head { headers: &headers, body: true, ..Head::default() };
        let decision = exchange.request(&head, &mut bench.worker, &context(&bench.policy, Timestamp::from_seconds(NOW)));
        assert!(matches!(decision, Decision::Forward(_)), "{path}");
    }
}

#[test]
fn where_the_policy_only_observes_too_many_are_recorded_and_counted() {
    let mut document = with(document(), "/limits", json!({"streams_per_session": 1, "unmediated_streams": 1}));
    document["name"] = json!("observing");
    document["mode"] = json!("observe");
    let mut bench = Bench::new(&document);
    let (first, second) = (bench.list("10.0.0.1:1", &of("s-1", 0)), bench.list("10.0.0.1:1", &of("s-1", 0)));
    assert_eq!([first.code, second.code], ["allowed", "overloaded"]);
    drop(first);
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 0)).code, "overloaded", "the one that was let through all the same");
    drop(second);
    assert_eq!(bench.list("10.0.0.1:1", &of("s-1", 0)).code, "allowed");
    assert_eq!(bench.ask("10.0.0.1:1", true, ("GET", "/healthz"), None).code, "overloaded");
}
