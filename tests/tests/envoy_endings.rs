//! In a real Envoy with two workers: what one of them knows of a session's misbehaviour and idleness, both do.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    mesh::Mesh,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

fn call(method: &str, token: &str) -> Call {
    Call::new(method, "/v1/orders/7").host("orders.example").bearer(token)
}

struct Bench {
    scenario: Scenario,
    mesh: Mesh,
}

impl Bench {
    async fn new(name: &str, change: impl Fn(&mut Value)) -> Self {
        let scenario = Scenario::new();
        let mut policy = scenario.policy();
        change(&mut policy);
        let upstream = Upstream::answering(|received| match received.path.as_str() {
            "/v1/feed" => Answer::pieces(&["data: 1\n\n"], Duration::ZERO, true),
            _ => Answer::pieces(&["[]"], Duration::ZERO, false),
        })
        .await;
        let mesh = Mesh::with(name, &policy, upstream, wasm::chaperone(), &[]).await;
        Self { scenario, mesh }
    }

    /// Sends on a new connection; the reason (`allowed` is one), and the record.
    async fn ask(&self, method: &str, token: &str) -> (String, Value) {
        let (_, entry) = self.mesh.observe(&call(method, token), Protocol::Http1).await;
        (entry.record["status_code"].as_str().expect("a reason").to_owned(), entry.record)
    }

    /// On new connections until both workers have said the same.
    async fn both_say(&self, reason: &str, token: &str) {
        for entry in self.mesh.observe_on_both(&call("GET", token), Protocol::Http1).await {
            assert_eq!(entry.reason(), reason, "{:#}", entry.record);
        }
    }

    async fn open(&self, token: &str) -> Feed {
        let mut connection = Connection::open(self.mesh.envoy.address(), Protocol::Http1).await.expect("Envoy listens");
        let response = connection.start(&Call::get("/v1/feed").bearer(token)).await.expect("a response");
        assert_eq!(response.status(), 200);
        let audit_id = response.headers()["x-chaperone-audit-id"].to_str().unwrap().to_owned();
        let mut feed = Feed { _connection: connection, body: response.into_body(), audit_id };
        assert!(feed.body.frame().await.expect("a piece").is_ok());
        feed
    }

    async fn ended_by(&self, feed: &Feed) -> Value {
        self.mesh.log.record(&feed.audit_id).await.record["unmapped"]["ended_by"].clone()
    }
}

struct Feed {
    _connection: Connection,
    body: Incoming,
    audit_id: String,
}

impl Feed {
    async fn is_cut_within(&mut self, time: Duration) -> bool {
        timeout(time, async { while let Some(Ok(_)) = self.body.frame().await {} }).await.is_ok()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_denials_end_a_session_on_both_workers_for_good() {
    let denials = json!({"denials": {"count": 4, "within": "1m"}});
    let bench = Bench::new("endings", |policy| policy["end_session_when"] = denials.clone()).await;
    let (bad, good) = (bench.scenario.token("s-1"), bench.scenario.token("s-2"));
    bench.both_say("allowed", &bad).await;
    let (mut theirs, mut other) = (bench.open(&bad).await, bench.open(&good).await);
    let mut ends = Vec::new();
    for _ in 0..4 {
        let (reason, record) = bench.ask("DELETE", &bad).await;
        assert_eq!(reason, "command_not_granted", "the last of them, too, has its own reason");
        ends.push(record["unmapped"]["ends_session"].clone());
    }
    assert_eq!(ends, [json!(null), json!(null), json!(null), json!("denials")]);
    assert!(theirs.is_cut_within(Duration::from_secs(1)).await, "a stream of the session goes on");
    assert_eq!(bench.ended_by(&theirs).await, "session_ended");
    bench.both_say("session_ended", &bad).await;
    bench.both_say("allowed", &good).await;
    // Neither a policy without the rule nor the old one again brings it back.
    let mut policy = bench.scenario.policy();
    for (generation, rule) in [(2, None), (3, Some(&denials))] {
        policy["generation"] = json!(generation);
        policy.as_object_mut().unwrap().remove("end_session_when");
        if let Some(rule) = rule {
            policy["end_session_when"] = rule.clone();
        }
        bench.mesh.envoy.update(&policy).await;
        sleep(Duration::from_secs(1)).await;
        bench.both_say("session_ended", &bad).await;
        bench.both_say("allowed", &good).await;
    }
    assert!(!other.is_cut_within(Duration::from_millis(100)).await, "a stream of another session was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_used_on_any_worker_is_not_idle_and_one_that_is_not_ends_on_both() {
    let bench = Bench::new("idle", |policy| policy["session"]["idle_timeout"] = json!("3s")).await;
    let (used, left) = (bench.scenario.token("s-1"), bench.scenario.token("s-2"));
    bench.both_say("allowed", &used).await;
    assert_eq!(bench.ask("GET", &left).await.0, "allowed");
    let mut feed = bench.open(&left).await;
    let opened = Instant::now();
    let keeping = async {
        // More than twice the timeout, with no pause as long as it.
        for _ in 0..8 {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(bench.ask("GET", &used).await.0, "allowed");
        }
    };
    let watching = async {
        assert!(feed.is_cut_within(Duration::from_secs(10)).await, "an idle stream goes on");
        opened.elapsed()
    };
    let ((), cut) = tokio::join!(keeping, watching);
    // Not before the timeout, and at most a second, a tick and Envoy's own close after it.
    let (least, most) = (Duration::from_millis(2_900), Duration::from_millis(5_500));
    assert!((least..most).contains(&cut), "cut after {cut:?}");
    assert_eq!(bench.ended_by(&feed).await, "idle");
    bench.both_say("idle", &left).await;
    bench.both_say("allowed", &used).await;
}
