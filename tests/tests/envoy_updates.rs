//! In a real Envoy with two workers: policies are replaced by renaming the ECDS file. Revoke, undo, bad updates, cold starts.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    broken::broken,
    client::{Call, Connection, Error, Protocol, Reply},
    envoy::Update,
    mesh::Mesh,
    scenario::Scenario,
    upstream::Upstream,
    wasm,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Open connections, which stay with the worker that took them. That all of them are with one of the two workers
/// happens once in 2^23 runs.
async fn connections(mesh: &Mesh) -> Vec<Connection> {
    let mut open = Vec::new();
    for number in 0..24 {
        let protocol = if number % 2 == 0 { Protocol::Http1 } else { Protocol::Http2 };
        open.push(Connection::open(mesh.envoy.address(), protocol).await.expect("Envoy listens"));
    }
    open
}

async fn ask_all(connections: &mut [Connection], call: &Call) -> Vec<Reply> {
    try_ask_all(connections, call).await.expect("an answer on an open connection")
}

/// The same, where an answer may be cut: its session may end in the middle of it.
async fn try_ask_all(connections: &mut [Connection], call: &Call) -> Result<Vec<Reply>, Error> {
    let mut replies = Vec::new();
    for connection in connections {
        replies.push(connection.send(call).await?);
    }
    Ok(replies)
}

/// The workers that decided these, and that all of them decided for this reason.
async fn workers(mesh: &Mesh, replies: &[Reply], reason: &str) -> BTreeSet<String> {
    let mut workers = BTreeSet::new();
    for reply in replies {
        let entry = mesh.log.record(reply.audit_id()).await;
        assert_eq!(entry.reason(), reason, "{:#}", entry.record);
        workers.insert(entry.worker().to_owned());
    }
    workers
}

/// Replaces the file and asks until every connection gets this status; how long that took since the rename.
async fn until_all(mesh: &Mesh, open: &mut Vec<Connection>, policy: &Value, call: &Call, status: u16) -> (Duration, Vec<Reply>) {
    let renamed = Instant::now();
    mesh.envoy.write_ecds(policy);
    loop {
        let Ok(replies) = try_ask_all(open, call).await else {
            // A connection of HTTP/1.1 is gone with the answer that was cut on it.
            *open = connections(mesh).await;
            continue;
        };
        let took = renamed.elapsed();
        if replies.iter().all(|reply| reply.status == status) {
            return (took, replies);
        }
        assert!(
            took < Duration::from_secs(10),
            "not everywhere {status}: {:?}",
            replies.iter().map(|r| r.status).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_is_denied_on_every_worker_within_a_second_and_back_when_undone() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("revoke", &scenario).await;
    let mut open = connections(&mesh).await;
    let call = Call::get("/v1/orders").bearer(&scenario.token("s-1"));
    let other = Call::get("/v1/orders").bearer(&scenario.token("s-2"));

    let before = ask_all(&mut open, &call).await;
    assert!(before.iter().all(|reply| reply.status == 200));
    let both = workers(&mesh, &before, "allowed").await;
    assert_eq!(both.len(), 2, "the connections reach both workers");

    let revoked = scenario.revoking(2, &json!([{"session": "s-1", "because": "INC-42"}]));
    let (took, replies) = until_all(&mesh, &mut open, &revoked, &call, 401).await;
    assert!(took < Duration::from_secs(1), "revoked everywhere only after {took:?}");
    assert_eq!(workers(&mesh, &replies, "revoked").await, both, "the same VMs, under the new policy");
    assert!(replies.iter().all(|reply| reply.json()["reason"] == "revoked"), "the caller is told that renewing will not help");
    let count = mesh.upstream.count();
    assert_eq!(mesh.send(&call, Protocol::Http1).await.status, 401, "on a new connection, too");
    assert_eq!(mesh.upstream.count(), count, "nothing of the revoked session arrives");
    let others = ask_all(&mut open, &other).await;
    assert!(others.iter().all(|reply| reply.status == 200), "another session goes on");

    let (_, replies) = until_all(&mesh, &mut open, &scenario.revoking(3, &json!([])), &call, 200).await;
    assert_eq!(workers(&mesh, &replies, "allowed").await, both);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_revocation_takes_hold_and_only_on_whom_it_names() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("revoke-forms", &scenario).await;
    let named = scenario.token_with("s-1", json!({"jti": "t-1", "act": {"sub": "crawler"}}));
    let bystander = scenario.token_with("s-2", json!({"sub": "agent-8", "jti": "t-2", "act": {"sub": "clerk"}}));
    let forms = [
        json!({"session": "s-1"}),
        json!({"subject": "agent-7"}),
        json!({"token": "t-1"}),
        json!({"agent": "crawler"}),
        json!({"session": "s-1", "subject": "agent-7"}),
        json!({"subject": "agent-7", "issued_before": "2100-01-01T00:00:00Z"}),
    ];
    for (generation, form) in (2..).zip(&forms) {
        assert_eq!(mesh.envoy.update(&scenario.revoking(generation, &json!([form]))).await, Update::Applied);
        let reply = until(&mesh, &Call::get("/v1/orders").bearer(&named), 401).await;
        assert_eq!(reply.json()["reason"], "revoked", "{form}");
        assert_eq!(mesh.send(&Call::get("/v1/orders").bearer(&bystander), Protocol::Http1).await.status, 200, "{form}");
    }
    let none_holds = json!([
        {"session": "s-1", "subject": "agent-8"},
        {"subject": "agent-7", "issued_before": "2026-01-01T00:00:00Z"},
        {"issuer": "https://else.example", "session": "s-1"},
    ]);
    assert_eq!(mesh.envoy.update(&scenario.revoking(50, &none_holds)).await, Update::Applied);
    until(&mesh, &Call::get("/v1/orders").bearer(&named), 200).await;
}

/// Asks on new connections until the answer has this status ten times in a row: on whichever worker.
async fn until(mesh: &Mesh, call: &Call, status: u16) -> Reply {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut in_a_row = 0;
    loop {
        let Ok(reply) = call.try_send(mesh.envoy.address(), Protocol::Http1).await else { continue };
        in_a_row = if reply.status == status { in_a_row + 1 } else { 0 };
        if in_a_row == 10 {
            return reply;
        }
        assert!(Instant::now() < deadline, "not {status}: {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_update_changes_nothing_and_the_next_good_one_is_taken() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("bad-update", &scenario).await;
    let revoked = Call::get("/v1/orders").bearer(&scenario.token("s-1"));
    let live = Call::get("/v1/orders").bearer(&scenario.token("s-2"));
    assert_eq!(mesh.envoy.update(&scenario.revoking(2, &json!([{"session": "s-1"}]))).await, Update::Applied);
    until(&mesh, &revoked, 401).await;
    for (what, document) in broken(&scenario, 9) {
        assert_eq!(mesh.envoy.update(&document).await, Update::Rejected, "{what}");
        for protocol in Protocol::ALL {
            assert_eq!(mesh.send(&revoked, protocol).await.status, 401, "after {what}");
            assert_eq!(mesh.send(&live, protocol).await.status, 200, "after {what}");
        }
    }
    assert_eq!(mesh.envoy.update(&scenario.revoking(3, &json!([]))).await, Update::Applied);
    until(&mesh, &revoked, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_on_a_bad_policy_denies_until_a_good_one_comes() {
    let scenario = Scenario::new();
    let good = Call::get("/v1/orders").bearer(&scenario.token("s-1"));
    for (what, document) in broken(&scenario, 9).into_iter().step_by(4) {
        let mesh = Mesh::with("cold-start", &document, Upstream::start().await, wasm::chaperone(), &[]).await;
        for protocol in Protocol::ALL {
            for call in [&good, &Call::get("/healthz"), &Call::get("/")] {
                let reply = mesh.send(call, protocol).await;
                assert!(matches!(reply.status, 500 | 503), "{what}: {reply:?}");
            }
        }
        assert_eq!(mesh.upstream.count(), 0, "{what}");
        assert_eq!(mesh.envoy.update(&scenario.policy()).await, Update::Applied, "{what}");
        until(&mesh, &good, 200).await;
    }
}
