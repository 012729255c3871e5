//! In a real Envoy with two workers: what the provider tells by security events ends streams on both before it is acknowledged, and
//! nothing else that the provider does changes anything.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    open::Open,
    scenario::{CREDENTIAL, Scenario, now},
    upstream::{Answer, Received, Upstream},
    wasm,
    wiring::{CLUSTERS, cluster},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How often the time to a cut is taken.
const ROUNDS: usize = 6;
const AUDIENCE: &str = "https://proxy.example";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";

/// A transmitter of RFC 8936: what it has is handed out until it is acknowledged or refused.
#[derive(Default)]
struct Stream {
    /// By `jti`.
    outstanding: BTreeMap<String, String>,
    handed_out: HashMap<String, Instant>,
    acknowledged: HashMap<String, Instant>,
    refused: HashMap<String, String>,
    polls: Vec<Instant>,
    /// What it answers in the place of that, once or always.
    instead: Option<Answer>,
    once: bool,
    /// It forgets nothing of what is acknowledged.
    replays: bool,
}

#[derive(Clone, Default)]
struct Transmitter(Arc<Mutex<Stream>>);

impl Transmitter {
    fn poll(&self, received: &Received) -> Answer {
        let at = Instant::now();
        let mut stream = self.0.lock().unwrap();
        stream.polls.push(at);
        assert_eq!(
            (received.method.as_str(), received.path.as_str(), received.host.as_str()),
            ("POST", "/ssf/poll", "broker.example")
        );
        assert_eq!(received.header("authorization"), Some(&*format!("Bearer {}", CREDENTIAL.1)));
        assert_eq!(received.header("content-type"), Some("application/json"));
        if let Some(instead) = stream.instead.clone() {
            stream.instead = Some(instead.clone()).filter(|_| !stream.once);
            return instead;
        }
        let asked: Value = serde_json::from_slice(&received.body).expect("JSON");
        for jti in asked["ack"].as_array().unwrap() {
            let jti = jti.as_str().unwrap();
            stream.acknowledged.entry(jti.to_owned()).or_insert(at);
            if !stream.replays {
                stream.outstanding.remove(jti);
            }
        }
        for (jti, error) in asked["setErrs"].as_object().unwrap() {
            stream.refused.insert(jti.clone(), error["err"].as_str().unwrap().to_owned());
            stream.outstanding.remove(jti);
        }
        let most = usize::try_from(asked["maxEvents"].as_u64().unwrap()).unwrap();
        let sets: BTreeMap<_, _> = stream.outstanding.clone().into_iter().take(most).collect();
        for jti in sets.keys() {
            stream.handed_out.entry(jti.clone()).or_insert(at);
        }
        let more = stream.outstanding.len() > sets.len();
        Answer::ok(json!({"sets": sets, "moreAvailable": more}).to_string()).header("content-type", "application/json")
    }

    fn with<T>(&self, f: impl FnOnce(&mut Stream) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    fn publish(&self, jti: &str, set: String) {
        self.with(|stream| stream.outstanding.insert(jti.to_owned(), set));
    }

    /// Waits for something.
    async fn until<T>(&self, mesh: &Mesh, what: &str, found: impl Fn(&Stream) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            if let Some(found) = self.with(|stream| found(stream)) {
                return found;
            }
            assert!(Instant::now() < deadline, "{what}:\n{}", mesh.envoy.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn acknowledged(&self, mesh: &Mesh, jti: &str) -> Instant {
        self.until(mesh, jti, |stream| stream.acknowledged.get(jti).copied()).await
    }
}

/// A proxy that polls the transmitter, and has an endless silent answer at `/v1/feed`.
async fn mesh(name: &str, scenario: &Scenario, transmitter: &Transmitter) -> (Mesh, Upstream) {
    let polled = transmitter.clone();
    let broker = Upstream::answering(move |received| polled.poll(received)).await;
    let clusters = cluster("broker", broker.address());
    let mut policy = scenario.policy();
    policy["tokens"]["issuers"][0]["events"] = json!({"cluster": "broker", "authority": "broker.example", "path": "/ssf/poll",
        "audience": AUDIENCE, "every": "1s", "token": format!("${{env:{}}}", CREDENTIAL.0)});
    let target = Upstream::answering(|received| match received.path.as_str() {
        "/v1/feed" => Answer::pieces(&["begun"], Duration::ZERO, true),
        _ => Answer::echo(received),
    })
    .await;
    (Mesh::with(name, &policy, target, wasm::chaperone(), &[(CLUSTERS, &clusters)]).await, broker)
}

fn claims(jti: &str, event: &str, subject: Value) -> Value {
    json!({"iss": "https://broker.example", "aud": AUDIENCE, "jti": jti, "iat": now(), "sub_id": subject, "events": {event: {}}})
}

fn signed(scenario: &Scenario, typ: &str, claims: &Value) -> String {
    let header = json!({"alg": "ES256", "kid": scenario.key_id(), "typ": typ});
    scenario.signed(header.to_string().as_bytes(), claims.to_string().as_bytes())
}

fn session(sid: &str) -> Value {
    json!({"format": "complex", "session": {"format": "opaque", "id": sid},
        "user": {"format": "iss_sub", "iss": "https://broker.example", "sub": "agent-7"}})
}

fn revoking(scenario: &Scenario, jti: &str, sid: &str) -> String {
    signed(scenario, "secevent+jwt", &claims(jti, REVOKED, session(sid)))
}

async fn status(mesh: &Mesh, token: &str) -> u16 {
    mesh.send(&Call::get("/v1/orders").host("orders.example").bearer(token), Protocol::Http1).await.status
}

fn feed(token: &str) -> Call {
    Call::get("/v1/feed").host("orders.example").bearer(token)
}

/// So many that the kernel gives both workers some.
const STREAMS: usize = 16;

/// Streams of one session on both workers.
async fn on_both_workers(mesh: &Mesh, token: &str, protocol: Protocol) -> Vec<Open> {
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        open.push(Open::start(mesh, &feed(token), protocol).await);
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_streams_of_both_workers_end_before_the_event_is_acknowledged() {
    let (scenario, transmitter) = (Scenario::new(), Transmitter::default());
    let (mesh, _broker) = mesh("events", &scenario, &transmitter).await;
    let mut other = Open::start(&mesh, &feed(&scenario.token("s-other")), Protocol::Http2).await;
    let mut figures: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for round in 0..ROUNDS {
        let (sid, jti) = (format!("s-{round}"), format!("e-{round}"));
        let token = scenario.token(&sid);
        let mut open = on_both_workers(&mesh, &token, Protocol::Http2).await;
        let mut late = Open::start(&mesh, &feed(&token), Protocol::Http1).await;
        let late = tokio::spawn(async move { late.cut().await });
        transmitter.publish(&jti, revoking(&scenario, &jti, &sid));
        let mut cuts = Vec::new();
        let mut workers = HashSet::new();
        for stream in &mut open {
            cuts.push(stream.cut().await);
        }
        let acknowledged = transmitter.acknowledged(&mesh, &jti).await;
        let handed_out = transmitter.with(|stream| stream.handed_out[&jti]);
        let (first, last) = (*cuts.iter().min().unwrap(), *cuts.iter().max().unwrap());
        assert!(last < acknowledged, "acknowledged before the last was cut");
        figures.entry("first stream, HTTP/2").or_default().push(first - handed_out);
        figures.entry("last of 16 streams, HTTP/2").or_default().push(last - handed_out);
        figures.entry("a stream of HTTP/1.1").or_default().push(late.await.unwrap() - handed_out);
        figures.entry("acknowledged").or_default().push(acknowledged - handed_out);
        assert_eq!(status(&mesh, &token).await, 401);
        if round == 0 {
            for stream in &open {
                let entry = mesh.log.record(&stream.audit_id).await;
                assert_eq!(entry.record["unmapped"]["ended_by"], "revoked");
                assert_eq!(entry.record["status_detail"], "session-revoked from https://broker.example (jti e-0)");
                workers.insert(entry.worker().to_owned());
            }
            assert_eq!(workers.len(), 2, "on both workers");
        }
    }
    assert!(other.is_silent().await, "nothing else has ended");
    assert_eq!(status(&mesh, &scenario.token("s-other")).await, 200);
    for (what, mut figures) in figures {
        figures.sort();
        println!("from the handing out, {what}: median {:?}, worst {:?}", figures[figures.len() / 2], figures[figures.len() - 1]);
    }

    // One polls for all: once a second, while there is nothing.
    let before = transmitter.with(|stream| stream.polls.len());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let polls = transmitter.with(|stream| stream.polls.len()) - before;
    assert!((2..=5).contains(&polls), "{polls} polls in four seconds");
    assert_eq!(mesh.envoy.stat("wasmcustom.chaperone.events.taken").await, ROUNDS as u64);

    // All of somebody, from before: who logs in again goes on.
    let old = scenario.token("s-old");
    assert_eq!(status(&mesh, &old).await, 200);
    let subject = json!({"format": "iss_sub", "iss": "https://broker.example", "sub": "agent-7"});
    let event = claims("e-user", CREDENTIAL_CHANGE, subject);
    let happened = event["iat"].as_u64().unwrap();
    transmitter.publish("e-user", signed(&scenario, "secevent+jwt", &event));
    other.cut().await;
    transmitter.acknowledged(&mesh, "e-user").await;
    assert_eq!(status(&mesh, &old).await, 401);
    while now() <= happened {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status(&mesh, &scenario.token("s-new")).await, 200);
    assert_eq!(status(&mesh, &old).await, 401);

    // What has ended stays so under a later policy.
    let mut later = scenario.policy();
    later["generation"] = json!(2);
    mesh.envoy.update(&later).await;
    assert_eq!(status(&mesh, &old).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_the_transmitter_sends_changes_nothing() {
    let (scenario, transmitter) = (Scenario::new(), Transmitter::default());
    let (mesh, _broker) = mesh("events-bad", &scenario, &transmitter).await;
    let token = scenario.token("s-1");
    let mut open = Open::start(&mesh, &feed(&token), Protocol::Http2).await;
    let good = revoking(&scenario, "e", "s-1");
    let full = json!({"sets": {"e": good}, "x": "x".repeat(10 * 1024 * 1024)}).to_string();
    let answers = [
        ("down", Answer::ok(json!({"sets": {"e": good}}).to_string()).status(500)),
        ("garbage", Answer::ok("<html>".to_owned())),
        ("10 MB", Answer::ok(full)),
        ("slow", Answer::ok(json!({"sets": {"e": good}}).to_string()).after(Duration::from_secs(7))),
    ];
    for (what, answer) in answers {
        let failures = mesh.envoy.stat("wasmcustom.chaperone.events.poll_failures").await;
        transmitter.with(|stream| (stream.instead, stream.once) = (Some(answer), what == "slow"));
        let deadline = Instant::now() + Duration::from_secs(20);
        while mesh.envoy.stat("wasmcustom.chaperone.events.poll_failures").await == failures {
            assert!(Instant::now() < deadline, "{what}:\n{}", mesh.envoy.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(status(&mesh, &token).await, 200, "{what}");
        assert!(open.is_silent().await, "{what}");
    }

    // Each refused for what it is, and nothing ended.
    transmitter.with(|stream| stream.instead = None);
    let event = |jti: &str| claims(jti, REVOKED, session("s-1"));
    let mut for_others = event("e-audience");
    for_others["aud"] = json!("https://else.example");
    let stranger = Scenario::new();
    let foreign = stranger.signed(
        json!({"alg": "ES256", "kid": scenario.key_id(), "typ": "secevent+jwt"}).to_string().as_bytes(),
        event("e-key").to_string().as_bytes(),
    );
    let by_mail = claims("e-mail", REVOKED, json!({"format": "email", "email": "a@b.example"}));
    let bad = [
        ("e-audience", signed(&scenario, "secevent+jwt", &for_others), "invalid_audience"),
        ("e-type", signed(&scenario, "at+jwt", &event("e-type")), "invalid_request"),
        ("e-key", foreign, "authentication_failed"),
        ("e-stranger", signed(&stranger, "secevent+jwt", &event("e-stranger")), "invalid_key"),
        ("e-session", token.clone(), "invalid_request"),
        ("e-mail", signed(&scenario, "secevent+jwt", &by_mail), "invalid_request"),
    ];
    for (jti, set, _) in &bad {
        transmitter.publish(jti, set.clone());
    }
    for (jti, _, expected) in &bad {
        let refused = transmitter.until(&mesh, jti, |stream| stream.refused.get(*jti).cloned()).await;
        assert_eq!(refused, *expected, "{jti}");
    }
    assert_eq!(status(&mesh, &token).await, 200);
    assert!(open.is_silent().await);
    assert!(mesh.envoy.log().contains("`e-audience`: for somebody else (invalid_audience)"), "{}", mesh.envoy.log());
    assert!(!mesh.envoy.log().contains(token.split('.').nth(1).unwrap()), "no token in the log");

    // An event is no session token, and the twin of all of them ends the session.
    let mut as_token = claims("e-token", REVOKED, session("s-1"));
    (as_token["aud"], as_token["sub"], as_token["sid"], as_token["exp"]) =
        (json!("orders"), json!("agent-7"), json!("s-2"), json!(now() + 60));
    assert_eq!(status(&mesh, &signed(&scenario, "secevent+jwt", &as_token)).await, 401);
    assert_eq!(status(&mesh, &signed(&scenario, "at+jwt", &as_token)).await, 401);
    as_token.as_object_mut().unwrap().remove("events");
    assert_eq!(status(&mesh, &signed(&scenario, "at+jwt", &as_token)).await, 200);
    transmitter.publish("e", good);
    open.cut().await;
    transmitter.acknowledged(&mesh, "e").await;
    assert_eq!(status(&mesh, &token).await, 401);
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_and_replays_slow_nobody_down() {
    const FLOOD: usize = 600;
    let (scenario, transmitter) = (Scenario::new(), Transmitter::default());
    let (mesh, _broker) = mesh("events-flood", &scenario, &transmitter).await;
    let token = scenario.token("s-good");
    let mut open = Open::start(&mesh, &feed(&token), Protocol::Http2).await;
    for number in 0..FLOOD {
        let (jti, sid) = (format!("f-{number:04}"), format!("flood-{number}"));
        transmitter.publish(&jti, revoking(&scenario, &jti, &sid));
    }
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    let deadline = Instant::now() + Duration::from_secs(40);
    while transmitter.with(|stream| stream.acknowledged.len()) < FLOOD {
        let begun = Instant::now();
        assert_eq!(status(&mesh, &token).await, 200);
        slowest = slowest.max(begun.elapsed());
        asked += 1;
        assert!(Instant::now() < deadline, "{} of {FLOOD}", transmitter.with(|stream| stream.acknowledged.len()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{FLOOD} events at once: the slowest of {asked} requests took {slowest:?}");
    assert!(slowest < Duration::from_secs(1));
    for number in [0, FLOOD / 2, FLOOD - 1] {
        assert_eq!(status(&mesh, &scenario.token(&format!("flood-{number}"))).await, 401);
    }
    assert!(open.is_silent().await, "none that was not named");

    // What it sends again and again is asked for as seldom as nothing, and taken once.
    transmitter.with(|stream| stream.replays = true);
    transmitter.publish("r", revoking(&scenario, "r", "flood-r"));
    transmitter.acknowledged(&mesh, "r").await;
    let before = transmitter.with(|stream| stream.polls.len());
    tokio::time::sleep(Duration::from_secs(4)).await;
    let polls = transmitter.with(|stream| stream.polls.len()) - before;
    assert!((2..=6).contains(&polls), "{polls} polls in four seconds");
    assert_eq!(mesh.envoy.stat("wasmcustom.chaperone.events.taken").await, FLOOD as u64 + 1);
    assert_eq!(status(&mesh, &token).await, 200);
    assert!(open.is_silent().await);
}
