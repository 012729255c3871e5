//! In a real Envoy: what `revoke` does to the watched ECDS file ends a session, and what `--undo` does to it lets it go on.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol, Reply},
    mesh::Mesh,
    scenario::Scenario,
};
use jiff::Timestamp;
use policy_host::revoke::{Change, Entry, Exclusive, Selectors, revise};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// As the command does it.
fn revoke(file: &Path, change: &Change) {
    let file = Exclusive::open(file, || {}).expect("nobody else has the lock");
    let document = file.read().unwrap_or_else(|findings| panic!("{findings}"));
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
