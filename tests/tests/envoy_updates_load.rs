//! In a real Envoy with two workers: what a request waits for when policies are replaced under load. A file of its own, so that no other
//! test runs beside it.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the times are what `--nocapture` is for")]

use chaperone_tests::{
    client::{Call, Connection, Protocol},
    mesh::Mesh,
    scenario::Scenario,
};
use serde_json::json;
use std::time::{Duration, Instant};

/// Requests of one half of a try, one each [`PERIOD`]: of so many the second slowest is p99.9.
const PACED: usize = 1500;
const PERIOD: Duration = Duration::from_millis(6);
/// Requests between two updates.
const BETWEEN: usize = 50;

/// Asks at a fixed pace, whatever the answers take, and tells how long each came after it was due; `update` is called now and then.
async fn paced(open: &mut [Connection], call: &Call, mut update: impl FnMut()) -> Vec<Duration> {
    let (mut times, mut due) = (Vec::with_capacity(PACED), Instant::now());
    for number in 0..PACED {
        if number % BETWEEN == 0 {
            update();
            // What writing the file takes is not Envoy's.
            due = due.max(Instant::now());
        }
        due += PERIOD;
        tokio::time::sleep_until(due.into()).await;
        let at = number % open.len();
        assert_eq!(open[at].send(call).await.expect("an answer on an open connection").status, 200);
        times.push(due.elapsed());
    }
    times.sort_unstable();
    times
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_under_load_delay_nobody_by_more_than_a_few_milliseconds() {
    const ADDED: Duration = Duration::from_millis(5);
    // What else the machine does only adds: one try in which it did little is enough, and one in which it did much says nothing.
    const TRIES: usize = 6;
    const LITTLE: Duration = Duration::from_millis(50);
    let scenario = Scenario::new();
    let mesh = Mesh::start("updates-load", &scenario).await;
    let call = Call::get("/v1/orders").bearer(&scenario.token("s-1"));
    let mut open = Vec::new();
    for _ in 0..24 {
        let mut connection = Connection::open(mesh.envoy.address(), Protocol::Http1).await.expect("Envoy listens");
        connection.send(&call).await.expect("an answer on an open connection");
        open.push(connection);
    }
    let mut generation = 1;
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let quiet = paced(&mut open, &call, || ()).await;
        let before = mesh.envoy.updates_taken().await;
        let updated = paced(&mut open, &call, || {
            generation += 1;
            mesh.envoy.write_ecds(&scenario.revoking(generation, &json!([{"session": format!("s-other-{generation}")}])));
        })
        .await;
        let applied = mesh.envoy.updates_taken().await - before;
        // Two that come at once may be one.
        assert!(applied as usize > PACED / BETWEEN / 2, "{applied} updates were taken");
        let slow = |times: &[Duration]| times[PACED - PACED / 1000 - 1];
        println!(
            "p99.9 {:?} without and {:?} with {applied} updates; p50 {:?} and {:?}; slowest {:?} and {:?}",
            slow(&quiet),
            slow(&updated),
            quiet[PACED / 2],
            updated[PACED / 2],
            quiet[PACED - 1],
            updated[PACED - 1],
        );
        seen.push((slow(&quiet), slow(&updated)));
        if slow(&quiet) < LITTLE && slow(&updated) <= slow(&quiet) + ADDED {
            return;
        }
    }
    panic!("p99.9 without updates and with: {seen:?}");
}
