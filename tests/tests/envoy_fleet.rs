//! Three real Envoys that watch one ECDS file: `policy-host revoke` ends a session on all of them, and nothing in between is heard.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what `--nocapture` is for")]

use chaperone_tests::{
    access_log::{AccessLog, Entry},
    client::Call,
    command::{policy_host, revoke},
    envoy::{Envoy, Setup},
    load::{Load, Seen},
    scenario::{CREDENTIAL, Scenario},
    target,
    upstream::Upstream,
    wasm,
};
use policy_host::files;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{task::spawn_blocking, time::sleep};

const PROXIES: usize = 3;
const ROUNDS: usize = 6;
/// From the start of the command to the last proxy's last allowance.
const BOUND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// The session that ends, and the one that goes on.
const ENDED: &str = "s-1";
const OTHER: &str = "s-2";

/// One run of the command.
struct Step {
    began: Instant,
    exited: Instant,
    /// Every answer that was sent from here on is the new policy's.
    settled: Instant,
    /// The revisions before it and after it.
    revisions: [String; 2],
    /// Why, where it revokes; an undo has none.
    because: Option<String>,
}

async fn fleet(scenario: &Scenario, upstream: &Upstream) -> Vec<Envoy> {
    let policy = scenario.policy();
    let setup = |name| Setup {
        name,
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: upstream.address(),
        workers: 2,
        environment: &[CREDENTIAL],
        other_settings: &[],
    };
    let first = Envoy::start(setup("fleet-1")).await;
    let (second, third) = tokio::join!(first.start_beside(setup("fleet-2")), first.start_beside(setup("fleet-3")));
    vec![first, second, third]
}

fn revision(file: &Path) -> String {
    let document = files::policy(file).unwrap_or_else(|findings| panic!("{findings}"));
    let policy = document.compile().unwrap_or_else(|findings| panic!("{findings}"));
    policy.revision().expect("a revision").to_owned()
}

/// The answers of the session that ends on a proxy, to what was sent in this time.
fn of_ended(seen: &[Seen], proxy: usize, from: Instant, to: Instant) -> impl Iterator<Item = &Seen> {
    seen.iter().filter(move |one| one.session == ENDED && one.proxy == proxy && (from..to).contains(&one.sent))
}

/// Waits until the last forty answers of each proxy have this status: more than its callers have connections.
async fn until_everywhere(load: &Load, began: Instant, status: u16) {
    loop {
        let settled = load.look(|seen| {
            let last = |proxy| of_ended(seen, proxy, began, Instant::now()).map(Seen::status).collect::<Vec<_>>();
            (0..PROXIES).all(|proxy| last(proxy).rchunks(40).next().is_some_and(|last| last == [status; 40]))
        });
        if settled {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "not everywhere {status}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn run(file: &Path, load: &Load, because: Option<String>) -> Step {
    let before = revision(file);
    let (path, reason) = (file.to_path_buf(), because.clone());
    let began = Instant::now();
    let exited = spawn_blocking(move || {
        match &reason {
            Some(because) => revoke(&path, &["--session", ENDED, "--because", because]),
            None => revoke(&path, &["--session", ENDED, "--undo"]),
        };
        Instant::now()
    });
    let exited = exited.await.expect("the command succeeds");
    until_everywhere(load, began, if because.is_some() { 401 } else { 200 }).await;
    let settled = Instant::now();
    // One that has not heard of it, if there is one, has time to show.
    sleep(Duration::from_millis(400)).await;
    Step { began, exited, settled, revisions: [before, revision(file)], because }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_revoke_ends_a_session_on_three_proxies() {
    policy_host();
    let scenario = Scenario::new();
    let upstream = Upstream::start().await;
    let fleet = fleet(&scenario, &upstream).await;
    let file = fleet[0].ecds_file();
    let mut load = Load::default();
    for (proxy, envoy) in fleet.iter().enumerate() {
        for (session, callers) in [(ENDED, 6), (OTHER, 4)] {
            let call = Call::get("/v1/orders").bearer(&scenario.token(session));
            load.add(callers, (proxy, envoy.address()), session, &call);
        }
    }
    until_everywhere(&load, Instant::now(), 200).await;
    let mut steps = Vec::new();
    for round in 0..ROUNDS {
        steps.push(run(&file, &load, Some(format!("INC-{round}"))).await);
        steps.push(run(&file, &load, None).await);
    }
    let seen = load.finish().await;
    sleep(Duration::from_millis(300)).await;

    let logs: Vec<HashMap<String, Entry>> = fleet.iter().map(|envoy| by_id(AccessLog(envoy.access_log()).entries())).collect();
    for one in &seen {
        judge(one, &steps, &logs[one.proxy]);
    }
    for (proxy, log) in logs.iter().enumerate() {
        nobody_goes_back(&seen, &steps, proxy, log);
        cuts_are_of_the_ended(&seen, &steps, proxy, log);
        assert_eq!(fleet[proxy].traps(), 0);
    }
    let judged = |received: &chaperone_tests::upstream::Received| received.header("x-chaperone-decision") == Some("allow");
    assert!(upstream.received().iter().all(judged), "something arrived unjudged");
    measured(&seen, &steps);
}

fn by_id(entries: Vec<Entry>) -> HashMap<String, Entry> {
    entries.into_iter().map(|entry| (entry.record["metadata"]["uid"].as_str().expect("a record").to_owned(), entry)).collect()
}

/// An answer is that of the old policy or of the new one, by its status and by its record, and only the new one's once it has settled.
fn judge(one: &Seen, steps: &[Step], log: &HashMap<String, Entry>) {
    let Ok(reply) = &one.reply else {
        assert_eq!(one.session, ENDED, "the other session is not disturbed: {one:?}");
        return;
    };
    let entry = &log[reply.audit_id()];
    let version = entry.record["policy"]["version"].as_str().expect("a revision");
    // Which policies can have been in force while it was on its way.
    let mut possible: Vec<(&str, Option<&str>)> = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let because = |number: usize| number.checked_sub(1).and_then(|before| steps[before].because.as_deref());
        let until = step.settled;
        let from = number.checked_sub(1).map(|before| steps[before].began);
        if one.sent < until && from.is_none_or(|from| one.done >= from) {
            possible.push((&step.revisions[0], because(number)));
        }
    }
    let last = steps.last().expect("a step");
    if one.done >= last.began {
        possible.push((&last.revisions[1], None));
    }
    let (record, reason) = (&entry.record, entry.reason());
    // Let through by the old policy, and ended by the new one: before the answer (which is a denial then) or in it.
    let cut_by = |revision: &str, because: &str| {
        let under = record["unmapped"]["ended_under"].as_str().and_then(|under| under.strip_prefix("orders@"));
        under.is_some_and(|under| revision.starts_with(under)) && record["status_detail"] == because
    };
    let cut = || possible.iter().any(|(revision, because)| because.is_some_and(|because| cut_by(revision, because)));
    let fits = possible.iter().any(|(revision, because)| {
        version == *revision
            && match because.filter(|_| one.session == ENDED) {
                Some(because) => (reply.status, reason) == (401, "revoked") && record["status_detail"] == *because,
                None if (reply.status, reason) == (200, "allowed") => true,
                None => one.session == ENDED && reason == "revoked" && matches!(reply.status, 200 | 401) && cut(),
            }
    });
    assert!(fits, "{one:?}\n{:#}\npossible: {possible:?}", record);
}

/// Once a worker has denied, it allows nothing any more until the undo.
fn nobody_goes_back(seen: &[Seen], steps: &[Step], proxy: usize, log: &HashMap<String, Entry>) {
    let mut workers = BTreeSet::new();
    for (number, step) in steps.iter().enumerate() {
        let Some(until) = steps.get(number + 1).map(|next| next.began) else { continue };
        let mut switched: BTreeMap<&str, Instant> = BTreeMap::new();
        for one in of_ended(seen, proxy, step.began, until) {
            let Ok(reply) = &one.reply else { continue };
            let entry = &log[reply.audit_id()];
            if entry.record["policy"]["version"] == step.revisions[1] {
                switched.entry(entry.worker()).or_insert(one.done);
            } else if let Some(at) = switched.get(entry.worker()) {
                assert!(one.sent < *at, "a worker went back to the old policy: {:#}", entry.record);
            }
            workers.insert(entry.worker());
        }
        assert_eq!(switched.len(), 2, "both workers have answered under the new policy");
    }
    assert_eq!(workers.len(), 2, "and they are the same VMs all the time");
}

/// What broke at a caller are streams of the session that ended, cut for that.
fn cuts_are_of_the_ended(seen: &[Seen], steps: &[Step], proxy: usize, log: &HashMap<String, Entry>) {
    let broke = seen.iter().filter(|one| one.proxy == proxy && one.reply.is_err()).count();
    let cuts: Vec<&Entry> = log.values().filter(|entry| entry.record["unmapped"]["ended_by"].is_string()).collect();
    assert!(broke <= cuts.len(), "{broke} broke, {} were cut", cuts.len());
    for cut in cuts {
        let (record, actor) = (&cut.record, cut.record["actor"].to_string());
        assert!(actor.contains(ENDED) && record["unmapped"]["ended_by"] == "revoked", "{record:#}");
        assert!(steps.iter().any(|step| step.because.as_deref() == record["status_detail"].as_str()), "{record:#}");
    }
}

fn measured(seen: &[Seen], steps: &[Step]) {
    let (mut last_allowed, mut denied, mut command) = (Vec::new(), Vec::new(), Vec::new());
    for (number, step) in steps.iter().enumerate().filter(|(_, step)| step.because.is_some()) {
        command.push(step.exited - step.began);
        for proxy in 0..PROXIES {
            let until = steps[number + 1].began;
            let all: Vec<&Seen> = of_ended(seen, proxy, step.began, until).collect();
            let last = all.iter().filter(|one| one.status() == 200).map(|one| one.done).max().unwrap_or(step.began);
            let lasting = all.iter().filter(|one| one.status() == 401 && one.done > last).map(|one| one.done).min();
            last_allowed.push(last - step.began);
            denied.push(lasting.expect("denied in the end") - step.began);
        }
    }
    let line = |what: &str, times: &mut Vec<Duration>| {
        times.sort();
        format!("| {what} | {} | {} |\n", times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis())
    };
    let table = format!(
        "Milliseconds from the start of `policy-host revoke`, {ROUNDS} revocations on {PROXIES} real Envoys with two workers each that watch one \
         ECDS file, {} requests on the way.\n\n| | median | worst |\n|---|---|---|\n{}{}{}",
        seen.len(),
        line("the command itself (a build without optimisation)", &mut command),
        line("last allowance on a proxy", &mut last_allowed),
        line("first lasting denial on a proxy", &mut denied)
    );
    print!("{table}");
    fs::create_dir_all(target().join("bench")).unwrap();
    fs::write(target().join("bench/fleet.md"), &table).unwrap();
    assert!(denied.iter().chain(&last_allowed).all(|took| *took < BOUND), "{table}");
}
