//! In a real Envoy: the target is told all in one field and cannot be told anything else in it, and the access log says where a request
//! comes from that the record leaves out.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::dictionary;
use chaperone_policy::Policy;
use chaperone_tests::{
    client::{Call, Protocol},
    envoy::Update,
    mesh::Mesh,
    scenario::Scenario,
    upstream::{Received, Upstream},
    wasm,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

const SEPARATE: [&str; 8] = ["session", "subject", "agent", "command", "decision", "expires-at", "policy", "audit-id"];

fn audited(scenario: &Scenario, generation: u64, audit: Value) -> Value {
    let mut policy = scenario.policy();
    (policy["generation"], policy["audit"]) = (json!(generation), audit);
    policy["grants"][0]["when"] = json!({"issuer": "https://broker.example"});
    policy["tokens"]["issuers"][0]["claims"] = json!({"agent": ["act", "sub"]});
    policy
}

/// What the target was told, by the names of the separate fields; each once.
fn told(seen: &Received, combined: bool) -> Vec<(String, String)> {
    let ours = |name: &&(String, String)| name.0.to_ascii_lowercase().replace('_', "-").starts_with("x-chaperone-");
    let fields: Vec<_> = seen.headers.iter().filter(ours).collect();
    let mut told: Vec<(String, String)> = if combined {
        assert_eq!(fields.len(), 1, "{fields:?}");
        assert_eq!(fields[0].0, "x-chaperone-audit");
        let members = dictionary::strings(&fields[0].1).unwrap_or_else(|| panic!("no dictionary: {fields:?}"));
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    } else {
        fields.iter().map(|(name, value)| (name.strip_prefix("x-chaperone-").unwrap().to_owned(), value.clone())).collect()
    };
    told.sort();
    assert!(told.windows(2).all(|two| two[0].0 != two[1].0), "{told:?}");
    told
}

/// Has both workers serve this policy. All the while nobody is refused.
async fn serve(mesh: &Mesh, scenario: &Scenario, policy: &Value) {
    assert_eq!(mesh.envoy.update(policy).await, Update::Applied);
    let wanted = Policy::compile(policy.to_string().as_bytes()).unwrap().revision().unwrap().to_owned();
    let call = Call::get("/v1/orders").bearer(&scenario.token("s-0"));
    let (mut workers, deadline) = (BTreeSet::new(), Instant::now() + Duration::from_secs(20));
    while workers.len() < 2 {
        assert!(Instant::now() < deadline, "both workers follow");
        let (reply, entry) = mesh.observe(&call, Protocol::Http1).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        if entry.record["policy"]["version"] == wanted {
            workers.insert(entry.worker().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_field_says_what_many_say_whatever_is_written_into_it() {
    let scenario = Scenario::new();
    let separate = audited(&scenario, 2, json!({"headers": "separate"}));
    let mesh = Mesh::with("audit-forms", &separate, Upstream::start().await, wasm::chaperone(), &[]).await;
    let mut seen: Vec<Vec<Vec<(String, String)>>> = Vec::new();
    for (generation, combined) in [(2, false), (3, true)] {
        if combined {
            // The shipped wiring takes either: no restart, and nobody is refused in between.
            let next = audited(&scenario, generation, json!({"headers": "combined"}));
            serve(&mesh, &scenario, &next).await;
        }
        let mut all = Vec::new();
        for (session, subject, agent) in [
            ("s-1", "agent-7", "planner"),
            ("s-2", r#"agent-7", session="root"#, r#"\"#),
            (r#"s-3\"#, r#"agent-7\", session="root"#, r#"", decision="x"#),
            ("s-4,", "agent-7\r\nx-chaperone-audit: session=\"root\"", "\u{e9}\u{0}%"),
        ] {
            let token = scenario.token_with(session, json!({"sub": subject, "act": {"sub": agent}}));
            for protocol in Protocol::ALL {
                // The second one is known.
                for _ in 0..2 {
                    let call = Call::get("/v1/orders")
                        .bearer(&token)
                        .header("x-chaperone-audit", r#"session="root""#)
                        .header("x-chaperone-session", "root");
                    let (reply, entry) = mesh.observe(&call, protocol).await;
                    assert_eq!(reply.status, 200, "{reply:?}");
                    let mut told = told(&mesh.upstream.last(), combined);
                    for (name, value) in &mut told {
                        match name.as_str() {
                            "audit-id" => assert_eq!(std::mem::take(value), entry.record["metadata"]["uid"]),
                            // Another policy has another revision, and each token its own end.
                            "policy" | "expires-at" => value.clear(),
                            _ => {}
                        }
                    }
                    all.push(told);
                }
            }
        }
        seen.push(all);
    }
    assert_eq!(seen[0], seen[1]);
    let mut names = SEPARATE.to_vec();
    names.sort_unstable();
    for told in &seen[1] {
        assert_eq!(told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_address_that_the_record_leaves_out() {
    let scenario = Scenario::new();
    let policy = audited(&scenario, 2, json!({"source": "filter"}));
    let mesh = Mesh::with("audit-source", &policy, Upstream::start().await, wasm::chaperone(), &[]).await;
    let token = scenario.token("s-1");
    let calls = [Call::get("/v1/orders").bearer(&token), Call::get("/v1/orders").bearer(&token), Call::get("/v1/orders")];
    for call in calls.iter().chain([&Call::get("/healthz")]) {
        let (_, entry) = mesh.observe(call, Protocol::Http1).await;
        let source = &entry.record["src_endpoint"];
        let shown = format!("{}:{}", source["ip"].as_str().unwrap(), source["port"]);
        assert_eq!(entry.line["downstream_remote_address"], shown, "the log says what the record says");
    }
    let next = audited(&scenario, 3, json!({"source": "proxy"}));
    serve(&mesh, &scenario, &next).await;
    for call in calls.iter().chain([&Call::get("/healthz")]) {
        let (_, entry) = mesh.observe(call, Protocol::Http1).await;
        assert_eq!(entry.record["src_endpoint"], json!({}), "{:#}", entry.record);
        assert!(!entry.record.to_string().contains("127.0.0.1"));
        let shown = entry.line["downstream_remote_address"].as_str().unwrap();
        assert!(shown.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback()), "{shown}");
    }
}
