//! One corpus, three drivers, one answer: the native core, the .wasm in policy-host, the .wasm in a real Envoy.
//!
//! The golden matrix has a row for each request of each case, so that a reason without a case, a case that a driver does
//! not run, and a driver that answers differently are all seen in a diff. After a wanted change:
//! `INSTA_UPDATE=always cargo test -p chaperone-tests --test corpus`.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::{
    cases::{Case, Clock, Plan},
    outcome::Decision,
    published::Published,
    request::Request,
};
use chaperone_policy::{End, Exchange, Policy, Reason, Timestamp, Worker};
use chaperone_tests::{
    drivers::{self, Ran, Seen},
    root, wasm,
};
use policy_host::{
    files,
    host::{LogSink, Module},
    replay::Filter,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    rc::Rc,
};

/// The files of the corpus, and the examples, which are part of it.
fn files() -> Vec<PathBuf> {
    let listed = |dir: PathBuf| std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
    let corpus = listed(root().join("tests/corpus")).filter(|path| path.to_string_lossy().ends_with(".cases.yaml"));
    let examples = listed(root().join("examples")).map(|dir| dir.join("cases.yaml"));
    let mut files: Vec<_> = corpus.chain(examples).collect();
    files.sort();
    assert!(files.len() > 5, "{files:?}");
    files
}

fn read(path: &Path, clock: Clock) -> Plan {
    files::plan(path, clock).unwrap_or_else(|findings| panic!("{findings}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_drivers_agree_and_every_reason_has_a_case() {
    let module = Module::load(wasm::chaperone()).expect("the filter loads");
    let mut matrix: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in files() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let plan = read(&path, Clock::AsWritten);
        let now = read(&path, Clock::Now(jiff::Timestamp::now()));
        let envoy = if now.cases.iter().any(|case| drivers::envoy::cannot(&now, case).is_none()) {
            Some(drivers::envoy::Driver::start(&now).await)
        } else {
            None
        };
        for (case, case_now) in plan.cases.iter().zip(&now.cases) {
            let native = drivers::native::cannot(case).map_or_else(|| Ok(drivers::native::case(&plan, case)), Err);
            let host = drivers::host::case(&module, &plan, case);
            let real = match (drivers::envoy::cannot(&now, case_now), &envoy) {
                (None, Some(envoy)) => Ok(envoy.case(&now, case_now).await),
                (why, _) => Err(why.unwrap_or("no Envoy")),
            };
            wrong.extend(native.iter().flat_map(|ran| &ran.mismatches).map(|mismatch| format!("native: {mismatch}")));
            wrong.extend(host.mismatches.iter().map(|mismatch| format!("policy-host: {mismatch}")));
            compare(&name, case, native, &host, real, &mut matrix, &mut wrong);
        }
    }
    beyond_documents(&module, &mut matrix);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    for reason in Reason::ALL {
        assert!(matrix.contains_key(reason.code()), "no case of the corpus is denied with {reason}");
    }
    assert!(matrix.contains_key("allowed"));
    insta::assert_snapshot!("matrix", print(&matrix));
}

/// Adds a row for each request of a case, and what the drivers do not agree on. policy-host runs every case; what another
/// driver cannot run stands in its column.
fn compare(
    file: &str,
    case: &Case,
    native: Result<Ran, &'static str>,
    host: &Ran,
    real: Result<Ran, &'static str>,
    matrix: &mut BTreeMap<String, Vec<String>>,
    wrong: &mut Vec<String>,
) {
    for (index, seen) in host.seen.iter().enumerate() {
        let name = if host.seen.len() == 1 { case.name.clone() } else { format!("{} [{}]", case.name, index + 1) };
        let native = match &native {
            Err(why) => format!("not run: {why}"),
            Ok(ran) => {
                let native = ran.seen.get(index);
                if native != Some(seen) {
                    wrong.push(format!("{file}: {name}: native and policy-host differ\n  {native:?}\n  {seen:?}"));
                }
                native.map_or("none".to_owned(), Seen::word)
            }
        };
        let envoy = match &real {
            Err(why) => format!("not run: {why}"),
            Ok(ran) => in_envoy(file, &name, seen, ran, index, wrong),
        };
        let reason = seen.reason.clone().unwrap_or("allowed".to_owned());
        matrix.entry(reason).or_default().push(format!("{file}: {name} | {native} | {} | {envoy}", seen.word()));
    }
}

/// Envoy's column. It may refuse a request by itself, without the filter; a denial is then a denial still, and on show here.
fn in_envoy(file: &str, name: &str, host: &Seen, ran: &Ran, index: usize, wrong: &mut Vec<String>) -> String {
    let Some(seen) = ran.seen.get(index) else {
        wrong.push(format!("{file}: {name}: Envoy was not asked"));
        return "none".to_owned();
    };
    if seen.decision == Decision::Deny && seen.reason.is_none() {
        if host.decision != Decision::Deny {
            wrong.push(format!("{file}: {name}: Envoy refused what is allowed: {seen:?}"));
        }
        return format!("{} by Envoy itself", seen.word());
    }
    if seen != host {
        let about = ran.mismatches.iter().filter(|mismatch| mismatch.contains(name)).cloned().collect::<Vec<_>>().join("\n  ");
        wrong.push(format!("{file}: {name}: policy-host and Envoy differ\n  {host:?}\n  {seen:?}\n  {about}"));
    }
    seen.word()
}

/// The two reasons that no document leads to: there is none yet, and the proxy fails the filter.
fn beyond_documents(module: &Module, matrix: &mut BTreeMap<String, Vec<String>>) {
    let at = Timestamp::from_seconds(1_795_428_000);
    let request = Request::new("GET", "orders.example", "/healthz");
    let native = drivers::native::ask(&Rc::new(Policy::deny_all()), &mut worker(), &Published::default(), &request, at);
    let mut filter = Filter::start(module, Vec::new(), 1, jiff::Timestamp::UNIX_EPOCH, LogSink::discard()).expect("starts");
    filter.set_time("2026-11-23T10:00:00Z".parse().unwrap());
    let host = filter.send(0, &request);
    assert_eq!(native.reason.as_deref(), Some("no_policy"));
    assert_eq!((host.decision, host.trap.as_deref()), (Decision::Deny, None), "{host:?}");
    let row = format!(
        "no policy yet | {} | {} by the proxy itself | see envoy_updates.rs: a cold start on a bad policy",
        503,
        host.status.unwrap_or(0)
    );
    matrix.entry("no_policy".to_owned()).or_default().push(row);

    let mut exchange = Exchange::begin(Rc::new(Policy::deny_all()));
    let denial = exchange.fail(&mut worker());
    assert_eq!(denial.reason(), Reason::InternalError);
    let record = exchange.record(&End::default()).expect("judged");
    assert!(record.contains("\"status_code\":\"internal_error\""));
    let row = format!(
        "a host call fails | {} | see faults.rs: each host call with each status | not run: Envoy's calls do not fail on demand",
        denial.response().status
    );
    matrix.entry("internal_error".to_owned()).or_default().push(row);
}

fn worker() -> Worker {
    Worker::new([1; 16], [2; 32], BTreeMap::new())
}

fn print(matrix: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = String::from("reason: file: case | native | policy-host | Envoy\n");
    let order = Reason::ALL.iter().map(|reason| reason.code()).chain(["allowed"]);
    for reason in order {
        let rows = matrix.get(reason).map(Vec::as_slice).unwrap_or_default();
        write!(text, "\n{reason}\n").unwrap();
        for row in rows {
            writeln!(text, "  {row}").unwrap();
        }
    }
    text
}
