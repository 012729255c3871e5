//! Upgrades of the filter under load, again and again: nobody is let through who is revoked, nobody else is disturbed, no record is
//! missing, and memory stays flat. Half a minute among the other tests; `make soak` takes five (`SOAK_SECONDS`).
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the numbers are what `--nocapture` is for")]

use chaperone_tests::{
    client::Call,
    load::Load,
    mesh::Mesh,
    open::Open,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The session that every other update revokes, and one that none does.
const TURNS: &str = "s-1";
const STAYS: &str = "s-2";

/// From the rename until each worker has the newer filter for sure, compiled on a busy machine; and for the cut of what was open.
const TAKEN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_under_load_let_nobody_through_and_disturb_nobody() {
    let seconds = std::env::var("SOAK_SECONDS").ok().map_or(30, |text| text.parse().expect("SOAK_SECONDS is a number"));
    let scenario = Scenario::new();
    let upstream = Upstream::answering(|received| match received.path.as_str() {
        "/v1/feed" => Answer::pieces(&["data: 1\n\n"], Duration::ZERO, true).header("content-type", "text/event-stream"),
        _ => Answer::ok("an order"),
    })
    .await;
    let mesh = Mesh::with("soak", &scenario.policy(), upstream, wasm::chaperone(), &[]).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut load = Load::default();
    // Tokens live for five minutes, and so do these sessions.
    for session in [TURNS, STAYS] {
        let token = scenario.token_with(session, json!({"exp": chaperone_tests::scenario::now() + 880}));
        load.add(4, (0, mesh.envoy.address()), session, &Call::get("/v1/orders").bearer(&token));
    }
    let feed = |session: &str| Call::get("/v1/feed").bearer(&scenario.token(session));
    let (mut rounds, mut cut, mut resident, mut closed_from) = (0, 0, Vec::new(), Vec::new());
    while Instant::now() < until {
        rounds += 1;
        let revokes = rounds % 2 == 1;
        let mut ended = Open::several(&mesh, &feed(if revokes { TURNS } else { STAYS }), 6).await;
        let mut kept = Open::several(&mesh, &feed(STAYS), 6).await;
        let revoked = if revokes { json!([{"session": TURNS}]) } else { json!([]) };
        let upgrade = wasm::renamed(&format!("soak-{rounds}"));
        let renamed = Instant::now();
        mesh.envoy.write_ecds_with(&scenario.revoking(rounds + 1, &revoked), &upgrade, &[]);
        sleep(TAKEN.min(until.saturating_duration_since(renamed).max(Duration::from_secs(4)))).await;
        if revokes {
            for stream in &mut ended {
                stream.cut().await;
                cut += 1;
            }
            closed_from.push((Instant::now(), None));
        } else if let Some((_, opened)) = closed_from.last_mut() {
            *opened = Some(renamed);
        }
        for stream in &mut kept {
            assert!(stream.is_silent().await, "a stream of another session goes on");
        }
        resident.push(mesh.envoy.resident_bytes().map(|bytes| bytes >> 20));
        fs::remove_file(upgrade).ok();
    }
    let seen = load.finish().await;
    sleep(Duration::from_millis(500)).await;

    let mut wrongly = 0;
    for one in &seen {
        if one.session == STAYS {
            assert_eq!(one.status(), 200, "a session that no policy ends is not disturbed: {one:?}");
        }
        let closed = closed_from.iter().any(|(from, to)| one.sent > *from && to.is_none_or(|to| one.done < to));
        wrongly += usize::from(one.session == TURNS && closed && one.status() == 200);
    }
    let mut sequences: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in mesh.log.entries() {
        let sequence = entry.record["unmapped"]["sequence"].as_u64().expect("each answer has a record");
        sequences.entry(entry.worker().to_owned()).or_default().push(sequence);
    }
    // Of the newest VMs the streams are open that were opened last, and so their records are still to come.
    let mut gaps = 0;
    for numbers in sequences.values_mut() {
        numbers.sort_unstable();
        gaps += numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    }
    println!(
        "{seconds} s: {rounds} upgrades, {} requests, {cut} streams cut, {wrongly} wrongly allowed, {gaps} gaps in the records of {} VMs; resident MiB {resident:?}",
        seen.len(),
        sequences.len(),
    );
    assert_eq!((wrongly, gaps), (0, 0));
    assert_eq!(mesh.envoy.traps(), 0);
    assert!(cut > 0 && rounds > 2 && seen.len() > 500);
    if let [_, Some(early), .., Some(last)] = resident[..] {
        assert!(last < early + 150, "memory grows: {resident:?} MiB");
    }
}
