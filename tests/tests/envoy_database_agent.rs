//! `examples/database-agent` as its README tells it: a real database, its broker, a real Envoy and the agent, from the example's own
//! files. Every byte between them goes through relays, so that it is known who had which credential, and who never had it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chaperone_authoring::token::TestKey;
use chaperone_policy::Algorithm;
use chaperone_tests::{
    access_log::{AccessLog, Entry},
    client::{Call, Protocol, Reply},
    envoy::{Envoy, Setup, Update},
    peers::{
        Server,
        database::{self, Agent, example},
    },
    relay::Relay,
    wasm,
    wiring::{CLUSTERS, cluster},
};
use policy_host::files;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const DATABASE_SECRET: &str = "canary-of-the-database";
const CLIENT_SECRET: &str = "canary-of-the-client:ü";
/// The same as a header has it (RFC 6749 §2.3.1).
const CLIENT_PAIR: &str = "chaperone:canary-of-the-client%3A%C3%BC";

/// The database tokens that stand in a text.
fn database_tokens(text: &str) -> BTreeSet<String> {
    let is_of_it = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let rests = text.split("dstok_").skip(1);
    rests.map(|rest| format!("dstok_{}", rest.split(|letter| !is_of_it(letter)).next().unwrap_or_default())).collect()
}

/// The example at work, with a relay on each way.
struct Bench {
    database: Server,
    broker: Server,
    envoy: Envoy,
    log: AccessLog,
    policy: Value,
    /// A session of agent-7.
    session: String,
    /// What the agent says and is told: by the proxy, the broker and the database.
    of_agent: [Relay; 3],
    /// What the proxy says and is told.
    to_broker: Relay,
    to_database: Relay,
}

impl Bench {
    async fn start() -> Self {
        let key = tempfile::NamedTempFile::new().unwrap();
        fs::write(key.path(), TestKey::generate(Algorithm::Es256).unwrap().private_jwk().to_string()).unwrap();
        let database = database::database(DATABASE_SECRET).await;
        let broker = database::broker(key.path(), DATABASE_SECRET, CLIENT_SECRET).await;
        let (to_broker, to_database) = (Relay::start(broker.address()).await, Relay::start(database.address()).await);
        let policy = files::policy(&example().join("policy.yaml")).unwrap().value().clone();
        let envoy = Envoy::start(Setup {
            name: "database-agent",
            policy: &policy,
            wasm: wasm::chaperone(),
            upstream: to_database.address(),
            workers: 2,
            environment: &[("BROKER_CLIENT_SECRET", CLIENT_SECRET)],
            other_settings: &[(CLUSTERS, &cluster("broker", to_broker.address()))],
        })
        .await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while envoy.stats("chaperone.keys.fetched").await.first().is_none_or(|(_, workers)| *workers < 2) {
            assert!(Instant::now() < deadline, "no keys: {}\n{}", envoy.log(), broker.log());
            sleep(Duration::from_millis(50)).await;
        }
        let relays = [envoy.address(), broker.address(), database.address()].map(Relay::start);
        let [proxy, at_broker, at_database] = relays;
        let of_agent = [proxy.await, at_broker.await, at_database.await];
        let (log, session) = (AccessLog(envoy.access_log()), database::open(key.path(), "agent-7", "s-1"));
        Self { database, broker, envoy, log, policy, session, of_agent, to_broker, to_database }
    }

    async fn directly(&self, path: &str, token: &str) -> Reply {
        Call::get(path).bearer(token).send(self.database.address(), Protocol::Http1).await
    }

    /// The policy with the session's end in it, taken by both workers.
    async fn end_session(&self) {
        let mut policy = self.policy.clone();
        policy["generation"] = json!(2);
        policy["revoked"].as_array_mut().unwrap().push(json!({"session": "s-1", "because": "INC-72"}));
        assert_eq!(self.envoy.update(&policy).await, Update::Applied);
        sleep(Duration::from_millis(700)).await;
    }

    /// All that the agent had or could have had, and all that somebody might read later, by what it is.
    async fn written(&self, agent: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
        let stats = self.envoy.stats("").await.into_iter().map(|(name, value)| format!("{name} {value}\n")).collect();
        let records = self.log.entries().into_iter().map(|entry| format!("{}\n", entry.record)).collect();
        let mut written = vec![
            ("Envoy's log", self.envoy.log()),
            ("the access log", fs::read_to_string(self.envoy.access_log()).unwrap()),
            ("the records", records),
            ("the stats", stats),
            ("the config dump", self.envoy.config_dump().await),
            ("the broker's terminal", self.broker.said()),
            ("what the agent and the proxy said", self.of_agent[0].carried()),
            ("what the agent and the broker said", self.of_agent[1].carried()),
            ("what the agent and the database said", self.of_agent[2].carried()),
        ];
        written.extend(agent.iter().cloned());
        assert!(written.iter().all(|(_, text)| !text.is_empty()), "there is something to search in everything: {written:#?}");
        // These say nothing where all is well.
        written.push(("the broker's errors", self.broker.log()));
        written.push(("the database's log", self.database.said() + &self.database.log()));
        written
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_agent_nor_a_log_ever_has_the_database_s_credential() {
    let bench = Bench::start().await;
    let urls = bench.of_agent.each_ref().map(|relay| format!("http://{}", relay.address()));
    let mut agent = Agent::start(&bench.session, urls);
    let environment = agent.waits().await;

    // What the broker gave for the session is what the database got, and it says for whom, for how long and for what it is good.
    let tokens = database_tokens(&bench.to_broker.carried());
    // One a worker; within a second the database's tokens for the same are the same.
    assert!((1..=2).contains(&tokens.len()), "{tokens:?}");
    let got = bench.to_database.carried();
    assert_eq!(database_tokens(&got), tokens);
    assert!(got.contains("two chairs") && !got.contains(&bench.session), "rows came for it, and the session's token never went");
    for token in &tokens {
        let payload = token.strip_prefix("dstok_").and_then(|token| token.split('.').next()).unwrap();
        let payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let rights = json!({"r": {"shop": {"orders": ["vt"]}}});
        assert_eq!((&payload["a"], &payload["d"], &payload["_r"]), (&json!("agent-7"), &json!(60), &rights));
    }

    // Each of the two holds what the other does not: the token has the database refuse other tables and SQL…
    let token = tokens.first().unwrap();
    let everything = database::unrestricted(DATABASE_SECRET, "agent-7");
    for path in ["/shop/customers.json", "/shop/orders.json?_where=1", "/shop.json", "/shop/-/query.json?sql=select+1"] {
        let (narrow, wide) = (bench.directly(path, token).await, bench.directly(path, &everything).await);
        assert_eq!((narrow.status, wide.status), (403, 200), "{path}: {}", wide.text());
    }
    // … without which it shows customers in the very row that is allowed …
    for (token, shows) in [(token, false), (&everything, true)] {
        let labelled = bench.directly("/shop/orders.json?_labels=on", token).await;
        assert_eq!((labelled.status, labelled.text().contains("Ada")), (200, shows), "{}", labelled.text());
    }
    // … and the policy's list has the proxy refuse what the token would do.
    for path in ["/shop/orders.csv?_stream=on", "/shop/orders", "/shop/orders/-/schema.json", "/-/actor.json"] {
        assert_eq!(bench.directly(path, token).await.status, 200, "{path}");
        let denied = Call::get(path).bearer(&bench.session).send(bench.envoy.address(), Protocol::Http1).await;
        assert_eq!((denied.status, &denied.json()["reason"]), (403, &json!("unknown_command")), "{path}");
    }
    // A database token that is good at this very moment is no way through the proxy, on the worker that holds it or another.
    let denied = Call::get("/shop/orders.json").bearer(token).send(bench.envoy.address(), Protocol::Http1).await;
    let reason = denied.json()["reason"].as_str().unwrap_or_default().to_owned();
    assert_eq!((denied.status, &*reason), (401, "direct_credential"));

    bench.end_session().await;
    let (said, errors) = agent.goes_on().await;
    let readme = fs::read_to_string(example().join("README.md")).unwrap();
    let told = || format!("{said}\n{errors}\n{}\n{}", bench.broker.log(), bench.envoy.log());
    assert!(said.lines().count() == 13 && readme.contains(&said) && errors.is_empty(), "{}", told());
    let exchanges: Vec<String> = bench.broker.said().lines().skip(1).map(str::to_owned).collect();
    assert!((tokens.len()..=2).contains(&exchanges.len()) && exchanges.iter().all(|line| readme.contains(line)), "{exchanges:?}");

    // The records name the credential of what was allowed, and of nothing else.
    bench.log.wait_for("the end", |entry| entry.reason() == "revoked").await;
    let (allowed, denied): (Vec<Entry>, Vec<Entry>) =
        bench.log.entries().into_iter().partition(|entry| entry.reason() == "allowed");
    assert_eq!((allowed.len(), denied.len()), (3, 12));
    assert!(allowed.iter().all(|entry| entry.record["unmapped"]["credential_ref"] == "exchange:broker:shop-database"));
    assert!(denied.iter().all(|entry| entry.record["unmapped"]["credential_ref"].is_null()));

    let mut of_agent = vec![("what the agent wrote", said)];
    of_agent.extend(environment.map(|environment| ("its environment", environment)));
    let written = bench.written(&of_agent).await;
    let mut secrets: Vec<String> = tokens.iter().map(|token| token.rsplit('.').next().unwrap().to_owned()).collect();
    secrets.extend(["canary-of-the-".to_owned(), STANDARD.encode(CLIENT_PAIR)]);
    for (what, text) in &written {
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "a secret stands in {what}:\n{text}");
    }
    // The same search finds what is there: the session's id in the records, its token where the agent has it, and each secret where
    // it belongs.
    let holds = |wanted: &str, sought: &str| written.iter().any(|(what, text)| *what == wanted && text.contains(sought));
    assert!(holds("the records", "s-1") && holds("the access log", "\"s-1\""));
    assert!(holds("what the agent and the proxy said", &bench.session) && holds("what the agent wrote", "two chairs"));
    assert!(of_agent.get(1).is_none_or(|(_, environment)| environment.contains(&bench.session)));
    assert!(secrets[..tokens.len()].iter().all(|secret| bench.to_database.carried().contains(secret)));
    assert!(bench.to_broker.carried().contains(&STANDARD.encode(CLIENT_PAIR)));
    assert_eq!(bench.envoy.traps(), 0);
}
