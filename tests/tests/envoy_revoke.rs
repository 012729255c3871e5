//! In a real Envoy: what `revoke` does to the watched ECDS file ends a session, and what `--undo` does to it lets it go on; what
//! one proxy has ended by itself, its log ends on another.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::revoke::{Change, Endings, Entry, LogLine, Selectors, revise};
use chaperone_tests::{
    client::{Call, Protocol, Reply},
    mesh::Mesh,
    scenario::Scenario,
    upstream::Upstream,
    wasm,
};
use jiff::Timestamp;
use policy_host::replace::Exclusive;
use serde_json::json;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// As the command does it.
fn revoke(file: &Path, change: &Change) {
    let file = Exclusive::open(file, || {}).expect("nobody else has the lock");
    let document = file.read(None).unwrap_or_else(|findings| panic!("{findings}"));
    let revision = revise(&document, change, Timestamp::now()).unwrap_or_else(|findings| panic!("{findings}")).expect("a change");
    file.replace(&revision.text).expect("the folder can be written");
}

/// Asks on new connections, and so on both workers in the end, until the last ten answers have this status.
async fn until(mesh: &Mesh, call: &Call, status: u16) -> Reply {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut in_a_row = 0;
    loop {
        // What is answered while the session ends may be cut.
        let Ok(reply) = call.try_send(mesh.envoy.address(), Protocol::Http1).await else { continue };
        in_a_row = if reply.status == status { in_a_row + 1 } else { 0 };
        if in_a_row == 10 {
            return reply;
        }
        assert!(Instant::now() < deadline, "still {}", reply.status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_revoked_in_the_watched_file_and_let_go_again() {
    let scenario = Scenario::new();
    let mesh = Mesh::start("revoke-file", &scenario).await;
    let file = mesh.envoy.dir().join("ecds/ecds.yaml");
    let call = |session: &str| Call::get("/v1/orders").host("orders.example").bearer(&scenario.token(session));
    let (ended, other) = (call("s-1"), call("s-2"));
    assert_eq!(until(&mesh, &ended, 200).await.status, 200);

    let selectors = Selectors { session: Some("s-1".to_owned()), ..Selectors::default() };
    let because = Some("INC-1: \"it's\" # odd".to_owned());
    revoke(&file, &Change::Add(Entry { selectors: selectors.clone(), because: because.clone() }));
    let denied = until(&mesh, &ended, 401).await;
    let entry = mesh.log.record(denied.audit_id()).await;
    assert_eq!((entry.reason(), entry.record["status_detail"].as_str()), ("revoked", because.as_deref()));
    assert_eq!(mesh.send(&other, Protocol::Http1).await.status, 200, "and no other");

    revoke(&file, &Change::Undo(selectors));
    assert_eq!(until(&mesh, &ended, 200).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_one_proxy_has_ended_is_ended_on_another_by_its_log() {
    let scenario = Scenario::new();
    let mut policy = scenario.policy();
    policy["end_session_when"] = json!({"denials": {"count": 2, "within": "1m"}});
    let start = async |name| Mesh::with(name, &policy, Upstream::start().await, wasm::chaperone(), &[]).await;
    let (one, two) = (start("revoke-log-1").await, start("revoke-log-2").await);
    let call = |session: &str| Call::get("/v1/orders").host("orders.example").bearer(&scenario.token(session));
    let bad = Call::get("/v1/nothing").host("orders.example").bearer(&scenario.token("s-1"));
    let mut last = one.observe(&bad, Protocol::Http1).await;
    assert_eq!((last.0.status, last.1.record["unmapped"].get("ends_session")), (403, None));
    last = one.observe(&bad, Protocol::Http1).await;
    assert_eq!((last.0.status, &last.1.record["unmapped"]["ends_session"]), (403, &json!("denials")));
    assert_eq!(until(&one, &call("s-1"), 401).await.status, 401);
    assert_eq!(until(&two, &call("s-1"), 200).await.status, 200, "the other proxy knows nothing of it");

    let mut endings = Endings::default();
    let log = fs::read(one.envoy.access_log()).expect("a log");
    for line in log.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        endings.add(LogLine::parse(line).expect("what Envoy logs is read"));
    }
    assert_eq!(endings.of("orders").len(), 1);
    revoke(&two.envoy.dir().join("ecds/ecds.yaml"), &Change::AddAll(endings.of("orders").to_vec()));
    let denied = until(&two, &call("s-1"), 401).await;
    let entry = two.log.record(denied.audit_id()).await;
    let because = format!("too many denials (audit id {})", last.0.audit_id());
    assert_eq!((entry.reason(), entry.record["status_detail"].as_str()), ("revoked", Some(because.as_str())));
    assert_eq!(two.send(&call("s-2"), Protocol::Http1).await.status, 200, "and no other");
}
