//! `make bench`: what the filter costs beside Envoy's own filters, in CPU time of a real Envoy per request.
//!
//! All variants run side by side, each an Envoy of its own; one at a time is under load, in rounds that alternate, so that
//! whatever else the machine does meets all of them. The minimum of the rounds is the figure that others disturb least.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people: what fails ends it with a message, and nothing is served by it"
)]

mod calls;
mod filters;
mod load;
mod machine;
mod options;
mod proxy;
mod report;
mod rows;
mod steps;
mod tokens;

use chaperone_policy::Algorithm;
use chaperone_tests::{install, root, target, wasm};
use jiff::Timestamp;
use load::Load;
use options::Options;
use proxy::Proxy;
use report::{Facts, Figures, Rounds};
use rows::{Row, Setup};
use std::{
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use tokens::Keys;
use tokio::runtime::Runtime;

/// Envoy's core and the load's. Two cores are enough: whoever is not under load sleeps.
const CORES: (usize, usize) = (0, 1);
/// Requests a second for the latency figures: pure-Rust ES256 in wasm would not keep up with 1,000.
const RATE: u32 = 500;
/// Seconds of it.
const SECONDS: u32 = 3;
/// What comes after the last answer is part of its price: logs, deferred deletes, and the kernel's own bookkeeping.
const AFTERMATH: Duration = Duration::from_millis(20);

/// The filter reports its metrics each second.
const REPORTED: Duration = Duration::from_millis(1500);

/// One row under measurement.
struct Bench {
    row: Row,
    /// One for each count of connections.
    loads: Vec<Load>,
    feed: Feed,
    proxy: usize,
    sent: u64,
}

/// Where requests come from.
enum Feed {
    Same(Vec<u8>),
    Fresh(std::vec::IntoIter<Vec<u8>>),
}

impl Feed {
    fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let taken: Vec<Vec<u8>> = match self {
            Self::Same(request) => vec![request.clone(); count],
            Self::Fresh(requests) => requests.by_ref().take(count).collect(),
        };
        assert_eq!(taken.len(), count, "enough tokens were minted");
        taken
    }
}

impl Bench {
    /// Sends `count` requests by the load at this place; gives what `f` gives, and Envoy's CPU microseconds per request.
    fn measured<T>(
        &mut self,
        proxies: &[Proxy],
        at: usize,
        count: u32,
        f: impl FnOnce(&mut Load, &mut dyn Iterator<Item = &[u8]>) -> Result<T, String>,
    ) -> Result<(T, f64), String> {
        self.sent += u64::from(count);
        let rendered = self.feed.take(count as usize);
        let proxy = &proxies[self.proxy];
        let before = proxy.cpu();
        let done = f(&mut self.loads[at], &mut rendered.iter().map(Vec::as_slice));
        std::thread::sleep(AFTERMATH);
        let spent = Duration::from_nanos(proxy.cpu() - before);
        let done = done.map_err(|error| format!("{}: {error}", self.row.name()))?;
        Ok((done, spent.as_secs_f64() * 1e6 / f64::from(count)))
    }
}

fn main() -> ExitCode {
    let done = Options::parse(std::env::args().skip(1))
        .map_err(|error| format!("{error}\n{}", options::USAGE))
        .and_then(|options| run(&options));
    match done {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String, String> {
    let (rows, cold) = (options.rows(), options.cold_requests());
    let dir = target().join("bench");
    fs::create_dir_all(&dir).expect("the build folder can be written");
    let chaperone = options.wasm.as_deref().map_or_else(|| wasm::chaperone().to_path_buf(), Path::to_path_buf);
    // A copy: another build must not change what is measured.
    let (ours, before, empty) = (dir.join("chaperone.wasm"), dir.join("before.wasm"), dir.join("empty.wasm"));
    let copy = |from: &Path, to| fs::copy(from, to).map_err(|error| format!("{}: {error}", from.display()));
    copy(&chaperone, &ours)?;
    if let Some(earlier) = &options.before {
        copy(earlier, &before)?;
    }
    let text = fs::read(root().join("tests/fixtures/empty-filter.wat")).expect("the fixture is there");
    fs::write(&empty, wat::parse_bytes(&text).expect("the fixture is WebAssembly")).expect("the build folder can be written");

    let load_before = machine::load();
    let keys = Keys::generate();
    let each = cold as usize * (options.rounds + 1) * options.connections.len() + (RATE * SECONDS) as usize + 2;
    let warm = keys.mint(Algorithm::Es256, 1).remove(0);
    let mint = |alg: Algorithm| {
        let count = if rows.iter().any(|row| row.fresh() == Some(alg)) { each } else { 0 };
        eprintln!("bench: minting {count} tokens with {}", alg.name());
        keys.mint(alg, count)
    };
    let (es256, rs256) = (mint(Algorithm::Es256), mint(Algorithm::Rs256));

    let runtime = Runtime::new().expect("threads can be started");
    let mut setups: Vec<Setup> = Vec::new();
    for row in &rows {
        if !setups.contains(&row.setup()) {
            setups.push(row.setup());
        }
    }
    eprintln!("bench: starting {} Envoys", setups.len());
    let start = |setup: &Setup| Proxy::start(&dir, setup.name(), &setup.filters(&keys, &ours, &before, &empty), &setup.record());
    let mut proxies: Vec<Proxy> = setups.iter().map(start).collect();
    let mut pinned = machine::pin(std::process::id(), CORES.1);
    for proxy in &mut proxies {
        pinned &= proxy.wait(&runtime, CORES.0);
    }

    let mut benches: Vec<Bench> = Vec::new();
    for row in rows {
        let proxy = setups.iter().position(|setup| *setup == row.setup()).expect("each row has its setup");
        let all = |tokens: &[String]| Feed::Fresh(tokens.iter().map(|token| row.request(token)).collect::<Vec<_>>().into_iter());
        let feed = match row.fresh() {
            None => Feed::Same(row.request(&warm)),
            Some(Algorithm::Rs256) => all(&rs256),
            Some(_) => all(&es256),
        };
        benches.push(Bench {
            row,
            loads: options
                .connections
                .iter()
                .map(|connections| Load::open(proxies[proxy].address(), *connections, row.expected()))
                .collect(),
            feed,
            proxy,
            sent: 0,
        });
    }

    let count = |row: Row| if row.fresh().is_some() { cold } else { options.requests };
    let mut figures: Vec<Figures> = benches
        .iter()
        .map(|bench| Figures {
            row: bench.row,
            rounds: options.connections.iter().map(|connections| Rounds::of(*connections)).collect(),
            times: Vec::new(),
            paced_cpu: 0.0,
            touched: None,
        })
        .collect();
    for round in 0..=options.rounds {
        eprint!("\rbench: {}", if round == 0 { "warming up".to_owned() } else { format!("round {round} of {}", options.rounds) });
        // Another one begins each time, so that none is always the one after the busiest.
        for step in 0..benches.len() {
            let at = (step + round) % benches.len();
            let bench = &mut benches[at];
            let requests = count(bench.row);
            for (place, rounds) in figures[at].rounds.iter_mut().enumerate() {
                let run = |load: &mut Load, rendered: &mut dyn Iterator<Item = &[u8]>| {
                    let begun = Instant::now();
                    load.run(rendered)?;
                    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(requests))
                };
                let (wall, cpu) = bench.measured(&proxies, place, requests, run)?;
                if round > 0 {
                    rounds.cpu.push(cpu);
                    rounds.wall.push(wall);
                }
            }
        }
    }
    for (bench, figures) in benches.iter_mut().zip(&mut figures) {
        eprint!("\rbench: latency of {:<45}", bench.row.name());
        let period = Duration::from_secs(1) / RATE;
        (figures.times, figures.paced_cpu) =
            bench.measured(&proxies, 0, RATE * SECONDS, |load, requests| load.paced(requests, period))?;
    }
    eprintln!("\rbench: {:<70}", "checking the counters");
    std::thread::sleep(REPORTED);
    for (setup, proxy) in setups.iter().zip(&proxies) {
        let looked_at = |bench: &&Bench| bench.row.setup() == *setup && bench.row != Row::DeniedNoToken;
        let sent = benches.iter().filter(looked_at).map(|bench| bench.sent).sum();
        for (counter, wanted) in setup.proof(sent) {
            let found = proxy.counter(&runtime, counter);
            if found != wanted {
                return Err(format!("{}: {counter} is {found} after {sent} requests, and not {wanted}", setup.name()));
            }
        }
    }

    for (bench, figures) in benches.iter_mut().zip(&mut figures) {
        eprint!("\rbench: code of {:<48}", bench.row.name());
        let [followed, after] = bench.feed.take(2).try_into().expect("two were asked for");
        figures.touched = Some(steps::follow(proxies[bench.proxy].pid(), &mut bench.loads[0], &followed, &after));
    }
    eprintln!();

    let facts = Facts {
        date: Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        machine: machine::class(),
        load: (load_before, machine::load()),
        envoy: install::version(),
        wasm_bytes: fs::metadata(&ours).map_or(0, |file| file.len()),
        rounds: options.rounds,
        requests: options.requests,
        cold_requests: cold,
        connections: options.connections.clone(),
        rate: RATE,
        pinned,
    };
    let calls = calls::count(&ours, &keys, &warm);
    let table = report::markdown(&facts, &figures, &calls);
    fs::write(dir.join("bench.md"), &table).expect("the build folder can be written");
    fs::write(dir.join("bench.json"), format!("{:#}\n", report::json(&facts, &figures, &calls)))
        .expect("the build folder can be written");
    eprintln!("bench: written to {} and bench.json", dir.join("bench.md").display());
    Ok(table)
}
