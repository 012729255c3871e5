//! Fifty good and fifty broken policies in turn, under load: each request is decided by a policy that was good, and memory stays flat.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the numbers are what `--nocapture` is for")]

use chaperone_policy::Policy;
use chaperone_tests::{
    access_log::Entry,
    broken::broken,
    client::Call,
    envoy::Update,
    load::{Load, Seen},
    mesh::Mesh,
    scenario::{self, CREDENTIAL, Scenario},
    wasm,
};
use policy_host::host::{Clock, Module, Properties, Proxy, ProxyOptions, Request, Response, VmOptions};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

const GOOD: u64 = 50;
/// From Envoy's verdict on the main thread until the workers have it for sure.
const WORKERS: Duration = Duration::from_secs(1);
/// The session that every other policy revokes, and one that none does.
const TURNS: &str = "s-1";
const STAYS: &str = "s-2";

/// A policy of the storm. Each has another revision, and every other one ends a session.
fn good(scenario: &Scenario, number: u64) -> Value {
    let mut revoked = vec![json!({"session": format!("gone-{number}")})];
    if ends(number) {
        revoked.push(json!({"session": TURNS, "because": format!("INC-{number}")}));
    }
    scenario.revoking(number + 1, &json!(revoked))
}

fn ends(number: u64) -> bool {
    number % 2 == 1
}

fn bad(scenario: &Scenario, number: u64) -> (&'static str, Value) {
    let mut all = broken(scenario, 1000 + number);
    let at = usize::try_from(number).unwrap() % all.len();
    all.swap_remove(at)
}

fn revision(policy: &Value) -> String {
    Policy::compile(policy.to_string().as_bytes()).expect("a good policy").revision().unwrap().to_owned()
}

/// When a good policy can have decided.
struct Reign {
    revision: String,
    from: Instant,
    /// Of Envoy's verdict on it.
    applied: Instant,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_undecided_while_good_and_broken_policies_take_turns() {
    let scenario = Scenario::new();
    let policy = good(&scenario, 0);
    let mesh = Mesh::with("storm", &policy, chaperone_tests::upstream::Upstream::start().await, wasm::chaperone(), &[]).await;
    let began = Instant::now();
    let mut reigns = vec![Reign { revision: revision(&policy), from: began, applied: began }];
    let mut load = Load::default();
    for session in [TURNS, STAYS] {
        let call = Call::get("/v1/orders").bearer(&scenario.token(session));
        load.add(6, (0, mesh.envoy.address()), session, &call);
    }
    let mut resident = Vec::new();
    for number in 1..=GOOD {
        let (from, policy) = (Instant::now(), good(&scenario, number));
        assert_eq!(mesh.envoy.update(&policy).await, Update::Applied, "the good policy {number}");
        reigns.push(Reign { revision: revision(&policy), from, applied: Instant::now() });
        sleep(Duration::from_millis(60)).await;
        let (what, document) = bad(&scenario, number);
        assert_eq!(mesh.envoy.update(&document).await, Update::Rejected, "{what}");
        sleep(Duration::from_millis(60)).await;
        if number % 5 == 0 {
            resident.push((2 * number, mesh.envoy.resident_bytes().map(|bytes| bytes >> 20)));
        }
    }
    let took = began.elapsed();
    sleep(WORKERS).await;
    let seen = load.finish().await;
    sleep(Duration::from_millis(300)).await;

    let entries = mesh.log.entries();
    let log: HashMap<&str, &Entry> = entries
        .iter()
        .map(|entry| (entry.record["metadata"]["uid"].as_str().expect("no answer without a record"), entry))
        .collect();
    let mut by = HashSet::new();
    for one in &seen {
        if let Some(revision) = judge(one, &reigns, &log) {
            by.insert(revision);
        }
    }
    let broke = seen.iter().filter(|one| one.reply.is_err()).count();
    let cut = entries.iter().filter(|entry| entry.record["unmapped"]["ended_by"] == "revoked").count();
    assert!(broke <= cut, "{broke} answers broke, and {cut} were cut");
    let judged = |received: &chaperone_tests::upstream::Received| received.header("x-chaperone-decision") == Some("allow");
    assert!(mesh.upstream.received().iter().all(judged), "something arrived unjudged");
    assert_eq!(mesh.envoy.traps(), 0);
    println!("{} updates in {took:?}, {} requests, {cut} cut, decided by {} policies", 2 * GOOD, seen.len(), by.len());
    let vms = mesh.envoy.stat("wasm.envoy.wasm.runtime.v8.active").await;
    println!("Envoy's resident MiB after so many updates: {resident:?}; {vms} VMs");
    assert!(vms < 10, "VMs in which a policy was tried stay: {vms}");
    assert!(by.len() > 40, "the load has met most policies");
}

/// The revision that decided it, which was in force for a moment between its being sent and answered; none when it was cut.
fn judge<'l>(one: &Seen, reigns: &[Reign], log: &HashMap<&str, &'l Entry>) -> Option<&'l str> {
    let Ok(reply) = &one.reply else {
        assert_eq!(one.session, TURNS, "a session that no policy ends is not disturbed: {one:?}");
        return None;
    };
    let entry = log[reply.audit_id()];
    let version = entry.record["policy"]["version"].as_str().expect("a revision");
    let number = reigns.iter().position(|reign| reign.revision == version).expect("a policy that was good");
    let gone = reigns.get(number + 1).is_some_and(|next| one.sent > next.applied + WORKERS);
    assert!(one.done >= reigns[number].from && !gone, "decided by policy {number} at another time: {:#}", entry.record);
    let ended = one.session == TURNS && ends(number as u64);
    let cut = one.session == TURNS && !ended && entry.record["unmapped"]["ended_by"] == "revoked";
    let fits = match (reply.status, entry.reason()) {
        (200, "allowed") => !ended,
        (401, "revoked") => ended || cut,
        (200, "revoked") => cut,
        _ => false,
    };
    assert!(fits, "under policy {number}: {one:?}\n{:#}", entry.record);
    Some(version)
}

/// Two workers and a canary, as Envoy has them: what the filter's own memory does.
#[test]
fn linear_memory_is_flat_after_the_first_ten_updates() {
    let scenario = Scenario::new();
    let module = Module::load(wasm::chaperone()).expect("the filter loads");
    let environment = vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())];
    let clock = Clock::fixed(scenario::now() * 1_000_000_000);
    let vm = VmOptions { environment, clock, ..VmOptions::default() };
    let mut proxy =
        Proxy::start(&module, &ProxyOptions { vm, workers: 2, ..ProxyOptions::default() }).expect("the filter starts");
    let tokens = [TURNS, STAYS].map(|session| (session, scenario.token(session)));
    let memory = |proxy: &mut Proxy| [0, 1].map(|number| proxy.worker(number).expect("a worker").vm().memory_bytes());
    let mut sizes = Vec::new();
    for number in 0..=GOOD {
        proxy.update(good(&scenario, number).to_string().as_bytes()).expect("a good policy");
        for round in 0..2 {
            for at in 0..20 {
                let (session, token) = &tokens[at % 2];
                let denied = *session == TURNS && ends(number);
                let exchange = proxy.exchange(at / 2, request(token), |_| ok());
                assert_eq!(exchange.upstream.is_none(), denied, "policy {number}, {session}: {exchange:?}");
            }
            proxy.advance(Duration::from_millis(200));
            if round == 0 {
                let (what, document) = bad(&scenario, number);
                let text = chaperone_tests::ecds::policy_text(&document);
                assert!(proxy.update(text.as_bytes()).is_err(), "{what}");
            }
        }
        sizes.push(memory(&mut proxy));
    }
    let at = |updates: usize| sizes[updates / 2];
    println!("bytes of the two workers' memory after 0, 10, 20, 50, 100 updates: {:?}", [0, 10, 20, 50, 100].map(at));
    // Ten updates are five good and five broken ones.
    assert!(sizes.iter().skip(5).all(|size| *size == sizes[5]), "{sizes:?}");
}

fn request(token: &str) -> Request {
    let bearer = format!("Bearer {token}");
    let headers = [
        (":authority", "orders.example"),
        (":path", "/v1/orders"),
        (":method", "GET"),
        (":scheme", "https"),
        ("authorization", bearer.as_str()),
    ];
    let headers = headers.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).to_vec();
    let properties = Properties { source: Some(([127, 0, 0, 1], 50_000).into()), ..Properties::default() };
    Request { headers, properties: Arc::new(properties), ..Request::default() }
}

fn ok() -> Response {
    let headers = vec![(b":status".to_vec(), b"200".to_vec()), (b"content-type".to_vec(), b"text/plain".to_vec())];
    Response { headers, body: b"ok".to_vec() }
}
