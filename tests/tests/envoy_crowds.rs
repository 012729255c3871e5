//! In a real Envoy with two workers: a session that was ended stays so when its policy gets another name, and sessions whose ids were
//! chosen for one place take nothing from their neighbours.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    mesh::Mesh,
    scenario::Scenario,
    upstream::Upstream,
    wasm,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use tokio::time::sleep;

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
        let mesh = Mesh::with(name, &policy, Upstream::start().await, wasm::chaperone(), &[]).await;
        Self { scenario, mesh }
    }

    /// Sends on a new connection; the reason (`allowed` is one).
    async fn ask(&self, method: &str, token: &str) -> String {
        let (_, entry) = self.mesh.observe(&call(method, token), Protocol::Http1).await;
        entry.reason().to_owned()
    }

    /// On new connections until both workers have said the same.
    async fn both_say(&self, reason: &str, token: &str) {
        for entry in self.mesh.observe_on_both(&call("GET", token), Protocol::Http1).await {
            assert_eq!(entry.reason(), reason, "{:#}", entry.record);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_stays_ended_when_the_policy_is_renamed() {
    let denials = json!({"denials": {"count": 4, "within": "10m"}});
    let bench = Bench::new("renamed", |policy| policy["end_session_when"] = denials.clone()).await;
    let [ended, noted, good] = ["s-1", "s-2", "s-3"].map(|session| bench.scenario.token(session));
    for _ in 0..4 {
        assert_eq!(bench.ask("DELETE", &ended).await, "command_not_granted");
    }
    for _ in 0..3 {
        assert_eq!(bench.ask("DELETE", &noted).await, "command_not_granted");
    }
    bench.both_say("session_ended", &ended).await;
    for (generation, name, rules) in [(2, "billing", Some(&denials)), (3, "plain", None), (4, "orders-v2", Some(&denials))] {
        let mut policy = bench.scenario.policy();
        (policy["name"], policy["generation"]) = (json!(name), json!(generation));
        if let Some(rules) = rules {
            policy["end_session_when"] = rules.clone();
        }
        bench.mesh.envoy.update(&policy).await;
        sleep(Duration::from_secs(1)).await;
        bench.both_say("session_ended", &ended).await;
        bench.both_say("allowed", &noted).await;
        bench.both_say("allowed", &good).await;
    }
    // The denials under the first name count under the last one.
    assert_eq!(bench.ask("DELETE", &noted).await, "command_not_granted");
    bench.both_say("session_ended", &noted).await;
    bench.both_say("allowed", &good).await;
}

/// Where a session was kept when that was an unkeyed hash.
fn place_without_key(session: &str) -> u8 {
    let mut hash = Sha256::new();
    for part in ["https://broker.example", session] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_chosen_for_one_place_take_nothing_from_their_neighbours() {
    let rules = json!({"denials": {"count": 3, "within": "10m"}, "context_changes": ["source_address"]});
    let bench = Bench::new("crowds", |policy| {
        policy["end_session_when"] = rules.clone();
        policy["limits"] = json!({"verifications_per_second": 100_000});
    })
    .await;
    let place = place_without_key("victim");
    let chosen = |prefix: &'static str| {
        (0..).map(move |number| format!("{prefix}-{number}")).filter(move |session| place_without_key(session) == place)
    };
    let theirs = json!({"sub": "agent-8"});
    let neighbours = |prefix| chosen(prefix).take(10).map(|session| bench.scenario.token_with(&session, theirs.clone()));
    let known: Vec<String> = neighbours("known").collect();
    for token in &known {
        assert_eq!(bench.ask("GET", token).await, "allowed");
    }
    let mut connection = Connection::open(bench.mesh.envoy.address(), Protocol::Http1).await.expect("Envoy listens");
    for session in chosen("attack").take(1_500) {
        let token = bench.scenario.token(&session);
        for method in ["GET", "DELETE"] {
            connection.send(&call(method, &token)).await.expect("an answer");
        }
    }
    let (mut refused, mut uncounted) = (0, 0);
    for token in known.into_iter().chain(neighbours("new")) {
        refused += u32::from(bench.ask("GET", &token).await != "allowed");
        for _ in 0..3 {
            bench.mesh.send(&call("DELETE", &token), Protocol::Http1).await;
        }
        uncounted += u32::from(bench.ask("GET", &token).await != "session_ended");
    }
    println!("of 20 neighbours {refused} were refused, and the denials of {uncounted} not counted");
    assert_eq!((refused, uncounted), (0, 0));
}
