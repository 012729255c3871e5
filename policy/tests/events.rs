//! What an issuer tells of sessions by security events: what it ends, on which workers, when the issuer is told that it was taken, and
//! that nothing it sends instead changes anything.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{
    Answer, Decision, End, Exchange, Failure, Fetch, Head, LocalState, News, Policy, Reason, Secret, SharedState, Timestamp,
    Unavailable, Worker, limits,
};
use serde_json::{Value, json};
use support::{Marked, NOW, claims, compile, context, document, head, jwk, token, token_of, with};

const ISSUER: &str = "https://broker.example";
const AUDIENCE: &str = "https://proxy.example";
const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

fn listening() -> Value {
    let events = json!({"cluster": "broker", "authority": "broker.example", "path": "/ssf/poll", "audience": AUDIENCE,
        "every": "5s", "token": "${env:SSF_TOKEN}"});
    with(document(), "/tokens/issuers/0/events", events)
}

/// What the workers share, until it fails.
#[derive(Default)]
struct Shared(LocalState, Cell<bool>);

impl SharedState for Shared {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        if self.1.get() { Err(Unavailable) } else { self.0.elapsed() }
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        if self.1.get() { Err(Unavailable) } else { self.0.get(key) }
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        if self.1.get() { Err(Unavailable) } else { self.0.put(key, value, version) }
    }
}

/// A proxy of some workers, at a time in milliseconds after [`NOW`].
struct Proxy {
    shared: Rc<Shared>,
    workers: Vec<Worker>,
    policy: Rc<Policy>,
    millis: u64,
}

impl Proxy {
    fn new(workers: u8, document: &Value) -> Self {
        let (shared, policy) = (Rc::new(Shared::default()), compile(document));
        let mut proxy = Self { shared, workers: Vec::new(), policy, millis: 0 };
        (0..workers).for_each(|id| proxy.start(id));
        proxy
    }

    fn start(&mut self, id: u8) {
        let environment = BTreeMap::from([("SSF_TOKEN".to_owned(), Secret::new("s3cret".to_owned()))]);
        let mut worker = Worker::new([id; 16], [id; 32], environment);
        worker.share(Rc::clone(&self.shared) as Rc<dyn SharedState>);
        self.workers.push(worker);
        self.deliver(&self.policy.clone());
    }

    fn deliver(&mut self, policy: &Rc<Policy>) {
        self.policy = Rc::clone(policy);
        for worker in &mut self.workers {
            worker.adopt(policy);
            worker.hold_for(&[Rc::clone(policy)]);
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_nanos((NOW * 1000 + self.millis) * 1_000_000)
    }

    fn wait(&mut self, millis: u64) {
        self.millis += millis;
        self.shared.0.advance(Duration::from_millis(self.millis));
    }

    fn due(&mut self, worker: usize) -> Option<Fetch> {
        let (policy, now) = (Rc::clone(&self.policy), self.now());
        self.workers[worker].due(&policy, now).fetches.pop()
    }

    /// Answers a poll.
    fn answer(&mut self, worker: usize, fetch: &Fetch, body: &str) -> Result<News, Failure> {
        let now = self.now();
        let answer = Answer::Response { status: 200, body: body.as_bytes() };
        self.workers[worker].fetched(fetch.ticket, answer, now, &Marked).expect("it is waited for").result()
    }

    /// Has worker 0 poll, and gives it these tokens.
    fn serve(&mut self, sets: &[(&str, String)]) -> News {
        let fetch = self.due(0).expect("it is due");
        self.answer(0, &fetch, &answer_of(sets)).unwrap()
    }

    /// What worker 0 tells when it may.
    fn told(&mut self) -> Value {
        self.wait(500);
        let fetch = self.due(0).expect("there is something to tell");
        self.answer(0, &fetch, r#"{"sets":{}}"#).unwrap();
        body(&fetch)
    }

    fn ask(&mut self, worker: usize, claims: &Value) -> (Exchange, Option<Reason>) {
        let policy = Rc::clone(&self.policy);
        self.ask_under(&policy, worker, &token(claims))
    }

    fn ask_under(&mut self, policy: &Rc<Policy>, worker: usize, token: &str) -> (Exchange, Option<Reason>) {
        let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {token}"))]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(policy));
        let head = Head { headers: &headers, ..Head::default() };
        let now = self.now();
        let reason = match exchange.request(&head, &mut self.workers[worker], &context(policy, now)) {
            Decision::Forward(permit) => permit.observed(),
            Decision::Hold(need) => panic!("it waits for {need:?}"),
            Decision::Refuse(denial) => Some(denial.reason()),
        };
        (exchange, reason)
    }

    fn recheck(&mut self, worker: usize, stream: &mut Exchange, moved: bool) -> Option<Reason> {
        let (policy, now) = (Rc::clone(&self.policy), self.now());
        stream.recheck(&mut self.workers[worker], &context(&policy, now), moved)
    }
}

fn answer_of(sets: &[(&str, String)]) -> String {
    let sets: serde_json::Map<_, _> = sets.iter().map(|(jti, set)| ((*jti).to_owned(), json!(set))).collect();
    json!({"sets": sets}).to_string()
}

fn body(fetch: &Fetch) -> Value {
    serde_json::from_slice(&fetch.post.as_ref().expect("a POST").body).unwrap()
}

fn set_header() -> Value {
    json!({"alg": "ES256", "kid": "k1", "typ": "secevent+jwt"})
}

/// The claims of a token that tells of an event at this second after [`NOW`].
fn set(jti: &str, event: &str, subject: &Value, at: u64) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "jti": jti, "iat": NOW + at, "sub_id": subject,
        "events": {event: {"event_timestamp": NOW + at}}})
}

fn signed(claims: &Value) -> String {
    token_of(&set_header(), claims, "good")
}

fn event(jti: &str, event: &str, subject: &Value, at: u64) -> (String, String) {
    (jti.to_owned(), signed(&set(jti, event, subject, at)))
}

fn subject(sub: &str) -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": sub})
}

fn session(sub: &str, sid: &str, issued: u64) -> Value {
    let mut claims = claims();
    (claims["sub"], claims["sid"], claims["jti"]) = (json!(sub), json!(sid), json!(format!("t-{sid}")));
    (claims["iat"], claims["exp"]) = (json!(NOW + issued), json!(NOW + issued + 600));
    claims
}

const EMPTY: &str = r#"{"sets":{}}"#;

#[test]
fn events_end_what_they_name_and_nothing_else_on_all_workers() {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let revoked = format!("{CAEP}session-revoked");
    let credential = format!("{CAEP}credential-change");
    let claims_change = format!("{CAEP}token-claims-change");
    let disabled = format!("{RISC}account-disabled");
    let complex = |members: Value| {
        let mut all = json!({"format": "complex"});
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        all
    };
    // Of agent-7: s-1 and s-2, both issued at 0. Of agent-8: s-3. The event is of second 10; s-4 of agent-7 is issued at 11.
    for (what, uri, named, ended) in [
        ("a session", &revoked, opaque("s-1"), "s-1"),
        ("a session of a user", &revoked, complex(json!({"session": opaque("s-1"), "user": subject("agent-7")})), "s-1"),
        ("all of a user", &revoked, subject("agent-7"), "s-1 s-2"),
        ("all of a user on a device", &revoked, complex(json!({"user": subject("agent-7"), "device": opaque("d")})), "s-1 s-2"),
        (
            "a user whose session is no text",
            &revoked,
            complex(json!({"session": {"format": "opaque", "id": 7}, "user": subject("agent-7")})),
            "s-1 s-2",
        ),
        ("a token", &revoked, json!({"format": "jwt_id", "iss": ISSUER, "jti": "t-s-2"}), "s-2"),
        (
            "one of several names",
            &revoked,
            json!({"format": "aliases", "identifiers": [{"format": "email", "email": "a@b.example"}, subject("agent-7")]}),
            "s-1 s-2",
        ),
        ("a user", &credential, subject("agent-7"), "s-1 s-2"),
        ("a user, opaque", &credential, opaque("agent-8"), "s-3"),
        (
            "a user, with a session",
            &credential,
            complex(json!({"session": opaque("s-1"), "user": subject("agent-7")})),
            "s-1 s-2",
        ),
        ("a user", &claims_change, subject("agent-7"), "s-1 s-2"),
        ("a session", &claims_change, complex(json!({"session": opaque("s-1"), "user": subject("agent-7")})), "s-1"),
        ("a user", &disabled, subject("agent-8"), "s-3"),
        ("nobody here", &disabled, subject("agent-9"), ""),
        ("an event that ends nothing", &format!("{CAEP}assurance-level-change"), subject("agent-7"), ""),
        (
            "one about the stream",
            &"https://schemas.openid.net/secevent/ssf/event-type/verification".to_owned(),
            opaque("stream"),
            "",
        ),
    ] {
        let mut proxy = Proxy::new(2, &listening());
        proxy.wait(11_000);
        let (jti, set) = event("e-1", uri, &named, 10);
        assert_eq!(proxy.serve(&[(&jti, set)]), News::Events { taken: 1, refused: 0, waiting: false }, "{what}");
        for worker in [0, 1] {
            for (sub, sid, issued) in
                [("agent-7", "s-1", 0), ("agent-7", "s-2", 10), ("agent-8", "s-3", 0), ("agent-7", "s-4", 11)]
            {
                let expected = ended.split(' ').any(|ended| ended == sid).then_some(Reason::Revoked);
                for time in ["at first", "from the cache"] {
                    let (_, reason) = proxy.ask(worker, &session(sub, sid, issued));
                    assert_eq!(reason, expected, "{uri} {what}: {sid} on {worker} {time}");
                }
            }
        }
        assert_eq!(proxy.told()["ack"], json!(["e-1"]), "{what}");
    }
}

#[test]
fn a_session_that_goes_on_with_new_claims_goes_on_and_one_that_is_revoked_does_not() {
    let mut document = listening();
    document["tokens"]["issuers"][0]["claims"] = json!({"started": "auth_time"});
    // A token that was refreshed after the event, of a session from before.
    let mut refreshed = session("agent-7", "s-1", 20);
    refreshed["auth_time"] = json!(NOW);
    for (uri, named, expected) in [
        ("token-claims-change", json!({"format": "complex", "session": {"format": "opaque", "id": "s-1"}}), None),
        ("token-claims-change", subject("agent-7"), None),
        ("credential-change", subject("agent-7"), Some(Reason::Revoked)),
        ("session-revoked", subject("agent-7"), Some(Reason::Revoked)),
        ("session-revoked", json!({"format": "opaque", "id": "s-1"}), Some(Reason::Revoked)),
    ] {
        let mut proxy = Proxy::new(1, &document);
        proxy.wait(20_000);
        let (jti, set) = event("e-1", &format!("{CAEP}{uri}"), &named, 10);
        proxy.serve(&[(&jti, set)]);
        assert_eq!(proxy.ask(0, &refreshed).1, expected, "{uri} {named}");
    }
}

#[test]
fn the_time_of_an_event_is_its_own_and_never_later_than_its_token() {
    for (timestamp, ended) in [
        (json!(NOW + 5), "0 5"),
        (json!(NOW as f64 + 5.5), "0 5"),
        (json!(null), "0 5 6 10"),
        (json!("5"), "0 5 6 10"),
        (json!(NOW + 500), "0 5 6 10"),
        (json!((NOW + 5) * 1000), "0 5 6 10"),
    ] {
        let mut proxy = Proxy::new(1, &listening());
        proxy.wait(20_000);
        let uri = format!("{CAEP}credential-change");
        let mut claims = set("e-1", &uri, &subject("agent-7"), 10);
        claims["events"][&uri]["event_timestamp"] = timestamp.clone();
        proxy.serve(&[("e-1", signed(&claims))]);
        for issued in [0, 5, 6, 10, 11] {
            let expected = ended.split(' ').any(|ended| ended == issued.to_string()).then_some(Reason::Revoked);
            assert_eq!(proxy.ask(0, &session("agent-7", "s", issued)).1, expected, "{timestamp}: {issued}");
        }
    }
}

#[test]
fn open_streams_end_with_a_tick_or_their_next_piece_and_say_why() {
    let mut proxy = Proxy::new(2, &listening());
    let mut streams: Vec<_> =
        [0, 1, 1].into_iter().map(|worker| (worker, proxy.ask(worker, &session("agent-7", "s-1", 0)).0)).collect();
    let mut other = proxy.ask(1, &session("agent-8", "s-2", 0)).0;
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": "s-1"}), 0);
    proxy.serve(&[(&jti, set)]);
    proxy.wait(100);
    // The tick of worker 0 and of worker 1, for the first of its streams.
    for (worker, stream) in &mut streams[..2] {
        proxy.workers[*worker].sweep();
        assert_eq!(proxy.recheck(*worker, stream, false), Some(Reason::Revoked), "{worker}");
        let record: Value = serde_json::from_str(&stream.record(&End::default()).unwrap()).unwrap();
        assert_eq!(record["unmapped"]["ended_by"], "revoked");
        assert_eq!(record["status_detail"], "session-revoked from https://broker.example (jti e-1)");
    }
    assert_eq!(proxy.recheck(1, &mut other, false), None);

    // A worker whose ticks do not come: a piece within a tick's time may go on, none after that.
    let mut proxy = Proxy::new(2, &listening());
    let mut stream = proxy.ask(1, &session("agent-7", "s-1", 0)).0;
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": "s-1"}), 0);
    proxy.serve(&[(&jti, set)]);
    proxy.wait(249);
    assert_eq!(proxy.recheck(1, &mut stream, true), None);
    proxy.wait(1);
    assert_eq!(proxy.recheck(1, &mut stream, true), Some(Reason::Revoked));
    // And a request's record says the same.
    let (denied, reason) = proxy.ask(1, &session("agent-7", "s-1", 0));
    assert_eq!(reason, Some(Reason::Revoked));
    let record: Value = serde_json::from_str(&denied.record(&End::default()).unwrap()).unwrap();
    assert_eq!(record["status_detail"], "session-revoked from https://broker.example (jti e-1)");
}

#[test]
fn the_provider_is_told_after_all_workers_can_know_and_not_before() {
    let mut proxy = Proxy::new(2, &listening());
    let first = proxy.due(0).expect("at once");
    assert_eq!((&*first.cluster, &*first.authority, &*first.path), ("broker", "broker.example", "/ssf/poll"));
    let post = first.post.as_ref().unwrap();
    assert_eq!((post.content_type, post.authorization.as_deref()), ("application/json", Some(b"Bearer s3cret".as_slice())));
    assert!(!format!("{first:?}").contains("s3cret"));
    assert_eq!(body(&first), json!({"maxEvents": 50, "returnImmediately": true, "ack": [], "setErrs": {}}));
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &subject("agent-7"), 0);
    proxy.answer(0, &first, &answer_of(&[(&jti, set.clone())])).unwrap();
    for _ in 0..4 {
        assert!(proxy.due(0).is_none());
        proxy.wait(124);
    }
    proxy.wait(4);
    let second = proxy.due(0).expect("half a second later");
    assert_eq!(body(&second)["ack"], json!(["e-1"]));
    // The answer is lost: it is told again, and then no more.
    let now = proxy.now();
    let report = proxy.workers[0].fetched(second.ticket, Answer::Nothing, now, &Marked).unwrap();
    assert_eq!(report.result(), Err(Failure::NoAnswer));
    assert!(report.is_news() && report.is_fault());
    proxy.wait(1000);
    let third = proxy.due(0).expect("after a failure");
    assert_eq!(body(&third)["ack"], json!(["e-1"]));
    proxy.answer(0, &third, EMPTY).unwrap();
    proxy.wait(4400);
    assert!(proxy.due(0).is_none());
    proxy.wait(700);
    let fourth = proxy.due(0).expect("every 5s");
    assert_eq!(body(&fourth)["ack"], json!([]));
    proxy.answer(0, &fourth, EMPTY).unwrap();
    assert_eq!(proxy.workers[0].fetch_counts().events_taken, 1);
    assert_eq!(proxy.workers[0].fetch_counts().polls_failed, 1);
}

#[test]
fn half_a_second_begins_when_it_was_written() {
    let mut proxy = Proxy::new(1, &listening());
    let fetch = proxy.due(0).unwrap();
    proxy.wait(3000);
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &subject("agent-7"), 0);
    proxy.answer(0, &fetch, &answer_of(&[(&jti, set)])).unwrap();
    proxy.wait(499);
    assert!(proxy.due(0).is_none());
    proxy.wait(1);
    assert_eq!(body(&proxy.due(0).unwrap())["ack"], json!(["e-1"]));
}

#[test]
fn what_could_not_be_shared_is_never_told_as_taken() {
    let mut proxy = Proxy::new(1, &listening());
    let fetch = proxy.due(0).unwrap();
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &subject("agent-7"), 0);
    proxy.shared.1.set(true);
    assert_eq!(proxy.answer(0, &fetch, &answer_of(&[(&jti, set.clone())])), Err(Failure::NotShared));
    proxy.shared.1.set(false);
    proxy.wait(1000);
    let fetch = proxy.due(0).unwrap();
    assert_eq!(body(&fetch)["ack"], json!([]));
    // It comes again.
    proxy.answer(0, &fetch, &answer_of(&[(&jti, set)])).unwrap();
    assert_eq!(proxy.told()["ack"], json!(["e-1"]));
}

#[test]
fn what_is_no_event_for_us_is_refused_with_a_reason_and_ends_nothing() {
    let uri = format!("{CAEP}session-revoked");
    let base = || set("e-1", &uri, &subject("agent-7"), 0);
    let change = |pointer: &str, value: Value| signed(&with(base(), pointer, value));
    let without = |name: &str| {
        let mut claims = base();
        claims.as_object_mut().unwrap().remove(name);
        signed(&claims)
    };
    let headed = |header: Value| token_of(&header, &base(), "good");
    let with_subject = |subject: Value| change("/sub_id", subject);
    let long = "x".repeat(257);
    for (what, set, expected) in [
        ("a session token", token(&claims()), "invalid_request"),
        ("another type", headed(json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"})), "invalid_request"),
        ("no type", headed(json!({"alg": "ES256", "kid": "k1"})), "invalid_request"),
        ("crit", headed(json!({"alg": "ES256", "kid": "k1", "typ": "secevent+jwt", "crit": ["x"]})), "invalid_request"),
        ("no algorithm of ours", headed(json!({"alg": "none", "typ": "secevent+jwt"})), "invalid_key"),
        ("one that is not accepted", headed(json!({"alg": "RS256", "kid": "k1", "typ": "secevent+jwt"})), "invalid_key"),
        ("a key that is not in the document", headed(json!({"alg": "ES256", "kid": "k2", "typ": "secevent+jwt"})), "invalid_key"),
        ("a forged one", token_of(&set_header(), &base(), "bad!"), "authentication_failed"),
        ("another issuer's", change("/iss", json!("https://else.example")), "invalid_issuer"),
        ("no issuer", without("iss"), "invalid_issuer"),
        ("for the target", change("/aud", json!("orders")), "invalid_audience"),
        ("for others", change("/aud", json!(["orders", "else"])), "invalid_audience"),
        ("for nobody", without("aud"), "invalid_audience"),
        ("no jti", without("jti"), "invalid_request"),
        ("another jti", change("/jti", json!("e-2")), "invalid_request"),
        ("no iat", without("iat"), "invalid_request"),
        ("iat as text", change("/iat", json!("1")), "invalid_request"),
        ("of next year", change("/iat", json!(NOW + 301)), "invalid_request"),
        ("no events", without("events"), "invalid_request"),
        ("none in it", change("/events", json!({})), "invalid_request"),
        ("a list of them", change("/events", json!([uri])), "invalid_request"),
        ("one that is no object", change("/events", json!({uri.as_str(): true})), "invalid_request"),
        ("no subject", without("sub_id"), "invalid_request"),
        ("a subject without a format", with_subject(json!({"iss": ISSUER, "sub": "agent-7"})), "invalid_request"),
        ("an e-mail address", with_subject(json!({"format": "email", "email": "agent-7"})), "invalid_request"),
        (
            "a subject of another issuer",
            with_subject(json!({"format": "iss_sub", "iss": "https://else.example", "sub": "agent-7"})),
            "invalid_request",
        ),
        ("a tenant", with_subject(json!({"format": "complex", "tenant": {"format": "opaque", "id": "t"}})), "invalid_request"),
        ("no name", with_subject(json!({"format": "opaque", "id": ""})), "invalid_request"),
        ("a name longer than any", with_subject(json!({"format": "opaque", "id": long})), "invalid_request"),
        (
            "aliases of aliases",
            with_subject(
                json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [subject("agent-7")]}]}),
            ),
            "invalid_request",
        ),
        ("a web page", "<html>".to_owned(), "invalid_request"),
        ("too long", format!("{}.", "A".repeat(9000)), "invalid_request"),
    ] {
        let mut proxy = Proxy::new(2, &listening());
        let news = proxy.serve(&[("e-1", set)]);
        assert_eq!(news, News::Events { taken: 0, refused: 1, waiting: false }, "{what}");
        for worker in [0, 1] {
            assert_eq!(proxy.ask(worker, &claims()).1, None, "{what}");
        }
        let told = proxy.told();
        assert_eq!((&told["ack"], &told["setErrs"]["e-1"]["err"]), (&json!([]), &json!(expected)), "{what}");
        assert_eq!(proxy.workers[0].fetch_counts().events_refused, 1);
    }
    // What is refused keeps nobody from what is good beside it; and these are good.
    let also = [
        ("audiences", change("/aud", json!(["orders", AUDIENCE]))),
        ("expired, which events do not", change("/exp", json!(1))),
        ("a little ahead", change("/iat", json!(NOW + 300))),
        ("its type in full", headed(json!({"alg": "ES256", "kid": "k1", "typ": "application/secevent+jwt"}))),
    ];
    for (what, good) in also {
        let mut proxy = Proxy::new(1, &listening());
        let bad = signed(&with(set("e-0", &uri, &subject("agent-8"), 0), "/aud", json!("else")));
        let news = proxy.serve(&[("e-0", bad), ("e-1", good)]);
        assert_eq!(news, News::Events { taken: 1, refused: 1, waiting: false }, "{what}");
        assert_eq!(proxy.ask(0, &claims()).1, Some(Reason::Revoked), "{what}");
        let told = proxy.told();
        assert_eq!((&told["ack"], &told["setErrs"]["e-0"]["err"]), (&json!(["e-1"]), &json!("invalid_audience")), "{what}");
    }
}

#[test]
fn a_log_line_says_what_was_refused_and_shows_no_token() {
    let mut proxy = Proxy::new(1, &listening());
    let fetch = proxy.due(0).unwrap();
    let jtis: Vec<_> = (0..10).map(|number| format!("e\n{number}")).collect();
    let sets: Vec<_> = jtis.iter().map(|jti| (jti.as_str(), token(&claims()))).collect();
    let answer = answer_of(&sets);
    let now = proxy.now();
    let answer = Answer::Response { status: 200, body: answer.as_bytes() };
    let report = proxy.workers[0].fetched(fetch.ticket, answer, now, &Marked).unwrap();
    let line = report.to_string();
    assert!(line.starts_with("events of https://broker.example from broker.example/ssf/poll (cluster broker): 0 taken, 10 refused; `e0`: not a security event token"), "{line}");
    assert!(line.ends_with("(invalid_request); and 2 more") && !line.contains('\n') && line.len() < 1024, "{line}");
    assert!(!line.contains("eyJ") && report.is_fault());
}

#[test]
fn whatever_else_is_answered_changes_nothing() {
    let mut proxy = Proxy::new(1, &listening());
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": "s-0"}), 0);
    proxy.serve(&[(&jti, set)]);
    proxy.wait(500);
    let large = format!("{{\"sets\":{{}},\"x\":\"{}\"}}", "x".repeat(limits::EVENTS_ANSWER_BYTES));
    for (status, text, expected) in [
        (500, "{}", Failure::Status(500)),
        (202, "{\"sets\":{}}", Failure::Status(202)),
        (302, "", Failure::Status(302)),
        (200, "", Failure::Malformed),
        (200, "<html>", Failure::Malformed),
        (200, "[]", Failure::Malformed),
        (200, "{}", Failure::Malformed),
        (200, "{\"sets\":[]}", Failure::Malformed),
        (200, "{\"sets\":{},\"sets\":{}}", Failure::Malformed),
        (200, &*large, Failure::TooLarge),
    ] {
        let fetch = proxy.due(0).expect("it is tried again");
        assert_eq!(body(&fetch)["ack"], json!(["e-1"]));
        let now = proxy.now();
        let answer = Answer::Response { status, body: text.as_bytes() };
        let report = proxy.workers[0].fetched(fetch.ticket, answer, now, &Marked).unwrap();
        assert_eq!(report.result(), Err(expected), "{status} {text:.40}");
        assert_eq!(proxy.ask(0, &claims()).1, None);
        assert_eq!(proxy.ask(0, &session("agent-7", "s-0", 0)).1, Some(Reason::Revoked), "what has ended has ended");
        // Never later than `every`, and a second at the least.
        assert!(proxy.due(0).is_none());
        proxy.wait(900);
        assert!(proxy.due(0).is_none());
        proxy.wait(4100);
    }
    // Of one nothing is ever heard.
    let lost = proxy.due(0).unwrap();
    proxy.wait(6001);
    let (policy, now) = (Rc::clone(&proxy.policy), proxy.now());
    let mut due = proxy.workers[0].due(&policy, now);
    assert_eq!(due.lost[0].result(), Err(Failure::NoAnswer));
    assert!(!proxy.workers[0].awaits(lost.ticket));
    let fetch = due.fetches.pop().expect("at once");
    proxy.answer(0, &fetch, EMPTY).unwrap();
    assert_eq!(proxy.workers[0].fetch_counts().polls_failed, 11);
}

#[test]
fn without_its_token_nobody_is_asked() {
    let mut proxy = Proxy::new(0, &with(listening(), "/tokens/issuers/0/events/token", json!("${env:NONE}")));
    proxy.start(0);
    let (policy, now) = (Rc::clone(&proxy.policy), proxy.now());
    let due = proxy.workers[0].due(&policy, now);
    assert!(due.fetches.is_empty());
    assert_eq!(due.lost[0].result(), Err(Failure::VariableMissing));
    assert!(proxy.workers[0].due(&policy, now).lost.is_empty(), "said once a second at the most");
    // The twin without one.
    let mut document = listening();
    document["tokens"]["issuers"][0]["events"].as_object_mut().unwrap().remove("token");
    let fetch = Proxy::new(1, &document).due(0).unwrap();
    assert_eq!(fetch.post.unwrap().authorization, None);
}

#[test]
fn one_worker_polls_until_it_is_gone_and_another_follows() {
    let mut proxy = Proxy::new(3, &listening());
    let (mut polls, mut last) = ([0; 3], None);
    for tick in 0..240 {
        for (worker, polls) in polls.iter_mut().enumerate() {
            // Worker 0 is gone after a while.
            if worker == 0 && tick > 120 {
                continue;
            }
            if let Some(fetch) = proxy.due(worker) {
                *polls += 1;
                last = Some(tick);
                proxy.answer(worker, &fetch, EMPTY).unwrap();
            }
        }
        if tick == 120 {
            assert_eq!((polls[1], polls[2]), (0, 0));
            assert!((6..=8).contains(&polls[0]), "{polls:?}");
        }
        proxy.wait(250);
    }
    assert_eq!((polls[2], polls[1] > 0), (0, true), "{polls:?}");
    assert!(last > Some(210));
    // What is there in its place and is no lease is nobody's.
    for junk in [&b"x"[..], &[0xff; 40], &[]] {
        let mut proxy = Proxy::new(1, &listening());
        let key = "chaperone/events/1/poll/https://broker.example https://proxy.example broker.example/ssf/poll broker";
        assert!(proxy.shared.put(key, junk, None).unwrap());
        assert!(proxy.due(0).is_some());
    }
}

#[test]
fn what_comes_again_changes_nothing_and_hastens_nothing() {
    let mut proxy = Proxy::new(2, &listening());
    let (jti, set) = event("e-1", &format!("{CAEP}credential-change"), &subject("agent-7"), 0);
    let mut polls = 0;
    for _ in 0..240 {
        if let Some(fetch) = proxy.due(0) {
            polls += 1;
            proxy.answer(0, &fetch, &answer_of(&[(&jti, set.clone())])).unwrap();
        }
        assert!(proxy.due(1).is_none());
        proxy.wait(250);
    }
    assert!((12..=15).contains(&polls), "{polls} in a minute");
    assert_eq!(proxy.workers[0].fetch_counts().events_taken, 1);
    assert_eq!(proxy.ask(1, &session("agent-7", "s", 0)).1, Some(Reason::Revoked));
    assert_eq!(proxy.ask(1, &session("agent-7", "s", 1)).1, None, "whoever has logged in since");
    // Heard by another worker, it is written once more and is still the same.
    let (jti, set) = event("e-1", &format!("{CAEP}credential-change"), &subject("agent-7"), 0);
    proxy.wait(6000);
    let fetch = proxy.due(1).unwrap();
    proxy.answer(1, &fetch, &answer_of(&[(&jti, set)])).unwrap();
    assert_eq!(proxy.ask(0, &session("agent-7", "s", 1)).1, None);
}

#[test]
fn an_older_event_takes_nothing_back() {
    let mut proxy = Proxy::new(1, &listening());
    proxy.wait(20_000);
    let uri = format!("{CAEP}credential-change");
    for (jti, at) in [("e-2", 10), ("e-1", 5)] {
        let (jti, set) = event(jti, &uri, &subject("agent-7"), at);
        proxy.serve(&[(&jti, set)]);
        // Each another session, of which nothing has been found yet.
        assert_eq!(proxy.ask(0, &session("agent-7", &jti, 10)).1, Some(Reason::Revoked), "{jti}");
        proxy.told();
        proxy.wait(5000);
    }
}

#[test]
fn a_flood_ends_more_and_never_less() {
    let mut proxy = Proxy::new(2, &listening());
    proxy.wait(10_000);
    let first = json!({"format": "opaque", "id": "s-first"});
    let (jti, set) = event("e-first", &format!("{CAEP}session-revoked"), &first, 0);
    proxy.serve(&[(&jti, set)]);
    let name = |number: usize| format!("{number:0>250}");
    let (mut number, mut full) = (0, false);
    while !full {
        proxy.wait(500);
        let fetch = proxy.due(0).expect("as long as there is something to tell");
        let sets: Vec<_> = (number..number + 50)
            .map(|number| {
                event(&name(number), &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": name(number)}), 10)
            })
            .collect();
        let sets: Vec<_> = sets.iter().map(|(jti, set)| (jti.as_str(), set.clone())).collect();
        let read = proxy.answer(0, &fetch, &answer_of(&sets));
        full = read == Err(Failure::NotShared);
        assert!(full || read == Ok(News::Events { taken: 50, refused: 0, waiting: false }), "{read:?}");
        number += if full { 0 } else { 50 };
        for ended in ["s-first".to_owned(), name(0), name(number - 1)] {
            assert_eq!(proxy.ask(1, &session("agent-7", &ended, 0)).1, Some(Reason::Revoked), "after {number}: {ended}");
        }
        // All that there was ends with those that there is no room for.
        let (denied, reason) = proxy.ask(1, &session("agent-7", "s-other", 0));
        assert_eq!(reason.is_some(), full, "after {number}");
        if full {
            let record: Value = serde_json::from_str(&denied.record(&End::default()).unwrap()).unwrap();
            assert_eq!(record["status_detail"], "too many events from https://broker.example");
        }
    }
    assert!((3600..4400).contains(&number), "{number}");
    // A new session is none of those, and what was ended by its id stays so, whenever its tokens are issued.
    proxy.wait(1000);
    let later = proxy.millis / 1000;
    assert_eq!(proxy.ask(1, &session("agent-7", "s-other", later)).1, None);
    for ended in ["s-first".to_owned(), name(0), name(number - 1)] {
        assert_eq!(proxy.ask(1, &session("agent-7", &ended, later)).1, Some(Reason::Revoked), "{ended}");
    }
}

/// What names a time can be put together; what does not keeps its place.
#[test]
fn a_flood_of_another_kind_takes_nothing_back() {
    let mut proxy = Proxy::new(3, &listening());
    proxy.wait(10_000);
    let (jti, set) = event("e-first", &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": "s-first"}), 0);
    proxy.serve(&[(&jti, set)]);
    let name = |number: usize| format!("{number:0>250}");
    for round in 0..90 {
        proxy.wait(500);
        let fetch = proxy.due(0).expect("as long as there is something to tell");
        let sets: Vec<_> = (round * 50..round * 50 + 50)
            .map(|number| event(&name(number), &format!("{CAEP}credential-change"), &subject(&name(number)), 10))
            .collect();
        let sets: Vec<_> = sets.iter().map(|(jti, set)| (jti.as_str(), set.clone())).collect();
        proxy.answer(0, &fetch, &answer_of(&sets)).unwrap();
    }
    assert_eq!(proxy.ask(1, &session("agent-7", "s-other", 0)).1, Some(Reason::Revoked), "all from before");
    proxy.wait(1000);
    let later = proxy.millis / 1000;
    assert_eq!(proxy.ask(1, &session("agent-7", "s-other", later)).1, None);
    for worker in [1, 2] {
        assert_eq!(proxy.ask(worker, &session("agent-7", "s-first", later)).1, Some(Reason::Revoked), "{worker}");
    }
}

/// A session may outlive what is said of it once: said again, it is kept as long again.
#[test]
fn an_ending_that_is_told_again_is_kept_as_long_again() {
    let mut proxy = Proxy::new(1, &listening());
    let ended = json!({"format": "opaque", "id": "s-1"});
    for (jti, at) in [("e-1", 0), ("e-2", 3300)] {
        proxy.millis = at * 1000;
        proxy.wait(1000);
        let (jti, set) = event(jti, &format!("{CAEP}session-revoked"), &ended, at);
        proxy.serve(&[(&jti, set)]);
        proxy.told();
    }
    proxy.millis = 3_700_000;
    proxy.wait(1000);
    let (jti, set) = event("e-3", &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": "s-3"}), 3700);
    proxy.serve(&[(&jti, set)]);
    assert_eq!(proxy.ask(0, &session("agent-7", "s-1", 3600)).1, Some(Reason::Revoked));
}

#[test]
fn more_than_was_asked_for_is_taken_with_the_next_polls() {
    let mut proxy = Proxy::new(1, &listening());
    let all: Vec<_> = (0..120)
        .map(|n| {
            event(&format!("e-{n}"), &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": format!("s-{n}")}), 0)
        })
        .collect();
    let mut left: BTreeMap<_, _> = all.into_iter().collect();
    let mut polls = 0;
    while !left.is_empty() {
        let fetch = proxy.due(0).expect("there is more");
        polls += 1;
        for jti in body(&fetch)["ack"].as_array().unwrap() {
            left.remove(jti.as_str().unwrap());
        }
        let sets: Vec<_> = left.iter().map(|(jti, set)| (jti.as_str(), set.clone())).collect();
        proxy.answer(0, &fetch, &answer_of(&sets)).unwrap();
        proxy.wait(500);
    }
    assert_eq!(polls, 4);
    assert_eq!(proxy.workers[0].fetch_counts().events_taken, 120);
}

#[test]
fn an_event_by_a_key_that_is_not_known_yet_is_left_there_and_the_keys_are_fetched() {
    let keys = json!({"endpoint": {"cluster": "broker", "authority": "broker.example", "path": "/jwks.json", "refresh": "5m"}});
    let mut proxy = Proxy::new(1, &with(listening(), "/tokens/issuers/0/keys", keys));
    let publish = |proxy: &mut Proxy, kid: &str| {
        let fetch = proxy.due(0).expect("keys are due");
        assert!(fetch.post.is_none(), "without keys there is nothing to poll for");
        proxy.answer(0, &fetch, &json!({"keys": [with(jwk(), "/kid", json!(kid))]}).to_string()).unwrap();
    };
    publish(&mut proxy, "k1");
    let uri = format!("{CAEP}session-revoked");
    let by_new =
        token_of(&json!({"alg": "ES256", "kid": "k2", "typ": "secevent+jwt"}), &set("e-1", &uri, &subject("agent-7"), 0), "good");
    assert_eq!(proxy.serve(&[("e-1", by_new.clone())]), News::Events { taken: 0, refused: 0, waiting: true });
    assert_eq!(proxy.ask(0, &claims()).1, None);
    proxy.wait(5000);
    let fetch = proxy.due(0).unwrap();
    assert_eq!((&body(&fetch)["ack"], &body(&fetch)["setErrs"]), (&json!([]), &json!({})));
    assert_eq!(
        proxy.answer(0, &fetch, &answer_of(&[("e-1", by_new.clone())])),
        Ok(News::Events { taken: 0, refused: 0, waiting: false })
    );
    // Its keys are asked for well before their time.
    proxy.wait(5000);
    let (policy, now) = (Rc::clone(&proxy.policy), proxy.now());
    let fetches = proxy.workers[0].due(&policy, now).fetches;
    let [keys, poll] = fetches.as_slice() else { panic!("{fetches:?}") };
    proxy.answer(0, keys, &json!({"keys": [with(jwk(), "/kid", json!("k2"))]}).to_string()).unwrap();
    assert_eq!(proxy.answer(0, poll, &answer_of(&[("e-1", by_new)])), Ok(News::Events { taken: 1, refused: 0, waiting: false }));
    let by_k2 = token_of(&json!({"alg": "ES256", "kid": "k2"}), &claims(), "good");
    let policy = Rc::clone(&proxy.policy);
    assert_eq!(proxy.ask_under(&policy, 0, &by_k2).1, Some(Reason::Revoked));
}

#[test]
fn an_event_is_no_session_token_whatever_types_the_policy_takes() {
    for document in [document(), with(document(), "/tokens/issuers/0/types", json!(["secevent+jwt", "logout+jwt", "at+jwt"]))] {
        let mut proxy = Proxy::new(1, &document);
        let policy = Rc::clone(&proxy.policy);
        let mut ask = |typ: &str, claims: &Value| {
            proxy.ask_under(&policy, 0, &token_of(&json!({"alg": "ES256", "kid": "k1", "typ": typ}), claims, "good")).1
        };
        assert_eq!(ask("at+jwt", &claims()), None);
        assert_eq!(ask("secevent+jwt", &claims()), Some(Reason::TokenUnsupported));
        assert_eq!(ask("application/SecEvent+JWT", &claims()), Some(Reason::TokenUnsupported));
        let logout = with(claims(), "/events", json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
        assert_eq!(ask("logout+jwt", &logout), Some(Reason::TokenUnsupported));
        assert_eq!(ask("at+jwt", &with(claims(), "/events", json!(null))), Some(Reason::TokenUnsupported));
    }
}

#[test]
fn what_has_ended_stays_so_under_later_policies_and_others_that_name_the_issuer() {
    let mut proxy = Proxy::new(2, &listening());
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &json!({"format": "opaque", "id": "s-1"}), 0);
    proxy.serve(&[(&jti, set)]);
    // Beside it, and without `events`: by what the worker has read at its last tick.
    let other = compile(&with(document(), "/name", json!("other")));
    proxy.workers[1].sweep();
    assert_eq!(proxy.ask_under(&other, 1, &token(&claims())).1, Some(Reason::Revoked));
    proxy.deliver(&compile(&with(listening(), "/generation", json!(7))));
    assert_eq!(proxy.ask(1, &claims()).1, Some(Reason::Revoked));
    assert_eq!(proxy.told()["ack"], json!(["e-1"]), "nor is the provider's answer forgotten");
    proxy.deliver(&compile(&document()));
    assert_eq!(proxy.ask(1, &claims()).1, Some(Reason::Revoked), "a policy that listens no more");
    // Nor does a worker let it in that has never known another policy.
    proxy.start(2);
    assert_eq!(proxy.ask(2, &claims()).1, Some(Reason::Revoked));
    // A worker that begins later finds it.
    proxy.deliver(&compile(&listening()));
    proxy.start(3);
    assert_eq!(proxy.ask(3, &claims()).1, Some(Reason::Revoked));
    // As much as this is another issuer's.
    let else_ = with(with(document(), "/tokens/issuers/0/issuer", json!("https://else.example")), "/name", json!("else"));
    assert_eq!(proxy.ask_under(&compile(&else_), 2, &token(&with(claims(), "/iss", json!("https://else.example")))).1, None);
}

#[test]
fn an_ending_is_forgotten_when_nothing_that_it_names_can_be_valid() {
    let mut proxy = Proxy::new(1, &listening());
    let session_ended = json!({"format": "opaque", "id": "s-1"});
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &session_ended, 0);
    proxy.serve(&[(&jti, set)]);
    proxy.told();
    let size = |proxy: &Proxy| proxy.shared.get("chaperone/events/1/of/https://broker.example").unwrap().unwrap().0.len();
    let one = size(&proxy);
    for (seconds, number, entries) in [(3500, 2, 2), (200, 3, 2)] {
        proxy.wait(seconds * 1000);
        let id = json!({"format": "opaque", "id": format!("s-{number}")});
        let (jti, set) = event(&format!("e-{number}"), &format!("{CAEP}session-revoked"), &id, 0);
        proxy.serve(&[(&jti, set)]);
        assert_eq!(size(&proxy), entries * one);
        proxy.told();
    }
    // An event of long ago has nothing left to end.
    proxy.wait(5000);
    let (jti, set) = event("e-4", &format!("{CAEP}credential-change"), &subject("agent-7"), 0);
    proxy.serve(&[(&jti, set)]);
    assert_eq!(size(&proxy), 2 * one);
    assert_eq!(proxy.told()["ack"], json!(["e-4"]));
}

#[test]
fn where_nobody_can_say_what_has_ended_a_policy_that_listens_denies() {
    let mut proxy = Proxy::new(1, &listening());
    assert_eq!(proxy.ask(0, &claims()).1, None);
    let mut stream = proxy.ask(0, &claims()).0;
    proxy.shared.1.set(true);
    assert_eq!(proxy.ask(0, &claims()).1, Some(Reason::InternalError));
    let other = compile(&with(document(), "/name", json!("other")));
    assert_eq!(proxy.ask_under(&other, 0, &token(&claims())).1, None);
    assert!(proxy.due(0).is_none());
    proxy.shared.1.set(false);
    assert_eq!(proxy.ask(0, &claims()).1, None);
    assert_eq!(proxy.recheck(0, &mut stream, false), None);
    // What others wrote there is believed in no part.
    for junk in [&b"x"[..], &[0; 23], &[9; 64]] {
        let mut proxy = Proxy::new(1, &listening());
        assert_eq!(proxy.ask(0, &claims()).1, None);
        assert!(proxy.shared.put("chaperone/events/1/of/https://broker.example", junk, None).unwrap());
        assert!(proxy.shared.put("chaperone/events/1/at", b"12345678", None).unwrap());
        let expected = if junk == [0; 23] { None } else { Some(Reason::InternalError) };
        assert_eq!(proxy.ask(0, &claims()).1, expected, "{junk:?}");
    }
}

#[test]
fn an_observing_policy_ends_nothing() {
    let mut proxy = Proxy::new(1, &with(listening(), "/mode", json!("observe")));
    let (jti, set) = event("e-1", &format!("{CAEP}session-revoked"), &subject("agent-7"), 0);
    proxy.serve(&[(&jti, set)]);
    assert_eq!(proxy.ask(0, &claims()).1, Some(Reason::Revoked), "observed");
    let mut stream = proxy.ask(0, &claims()).0;
    proxy.workers[0].sweep();
    assert_eq!(proxy.recheck(0, &mut stream, false), None);
}

#[test]
fn what_is_wrong_with_the_member_is_said_where_it_is() {
    let place = "/tokens/issuers/0/events";
    for (member, value, message) in [
        ("token", json!("abc"), "must hold `${env:NAME}`, and no credential itself"),
        ("token", json!("Bearer ${env:SSF_TOKEN}"), "must be a token alone"),
        ("every", json!("0s"), "must be from 1s to 5m"),
        ("every", json!("6m"), "must be from 1s to 5m"),
        ("audience", json!(""), "must not be empty"),
        ("path", json!("ssf"), "is no path"),
        ("authority", json!("a/b"), "is no host"),
        ("pol", json!(1), "unknown member"),
    ] {
        let text = with(listening(), &format!("{place}/{member}"), value).to_string();
        let errors = Policy::compile(text.as_bytes()).unwrap_err().to_string();
        assert!(errors.contains(&format!("{place}/{member}: ")) && errors.contains(message), "{member}: {errors}");
        assert!(!errors.contains("abc"));
    }
    for needed in ["cluster", "authority", "path", "audience"] {
        let mut document = listening();
        document["tokens"]["issuers"][0]["events"].as_object_mut().unwrap().remove(needed);
        assert!(Policy::compile(document.to_string().as_bytes()).is_err(), "{needed}");
    }
}
