//! What a request costs the .wasm does not grow with the policy or with what the worker holds, and what it holds is bounded.
//!
//! Counted in fuel, roughly wasm instructions, which is the same on every machine. The table is written to
//! `target/bench/growth.md`.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the table is what `--nocapture` is for")]

use chaperone_tests::{
    scenario::{self, CREDENTIAL, Scenario},
    target, wasm,
};
use policy_host::host::{Clock, Head, LogInfo, Module, Outcome, Plugin, Properties, RootId, Vm, VmOptions};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

/// How far apart the costs under the smallest and the largest policy may be.
const FLAT: f64 = 1.10;
/// Bytes of the .wasm: what it had when this was set (2.30 MB, of which 110 kB read and make exchanges of tokens, and 46 kB read
/// security events), and a little more. It is the reading of documents, and of what is fetched, that grows, which no request runs.
const WASM_BYTES: u64 = 2_350_000;

/// Bytes that 100,000 sessions take in one worker, with as many tokens as are kept.
const SESSIONS_BYTES: usize = 12_000_000;

fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| Module::load(wasm::chaperone()).expect("the filter loads"))
}

/// Two of these tests measure time, and nobody else may then use up the cores.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Bench {
    scenario: Scenario,
    vm: Vm,
    root: RootId,
    clock: Clock,
    /// Unix seconds.
    began: u64,
    sent: u64,
}

/// Fuel of the callbacks of one exchange.
#[derive(Clone, Copy, Debug)]
struct Fuel(u64);

impl Bench {
    fn start(change: impl FnOnce(&mut Value)) -> Self {
        let scenario = Scenario::new();
        let mut policy = scenario.policy();
        policy["limits"] = json!({"verifications_per_second": 100_000});
        change(&mut policy);
        let began = scenario::now();
        let clock = Clock::fixed(began * 1_000_000_000);
        let environment = vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())];
        let options = VmOptions { environment, clock: clock.clone(), fuel: u64::MAX, ..VmOptions::default() };
        let mut vm = Vm::start(module(), options).expect("the filter starts");
        let root = vm.configure(&Plugin::default(), policy.to_string().as_bytes()).expect("a good policy");
        Self { scenario, vm, root, clock, began, sent: 0 }
    }

    /// A token issued when this began: signing a hundred thousand takes a while, in which its clock stands still.
    fn token(&self, session: &str) -> String {
        self.scenario.token_with(session, json!({"iat": self.began, "exp": self.began + 600}))
    }

    /// An exchange that must be allowed, or denied.
    fn send(&mut self, token: &str, allowed: bool) -> Fuel {
        let fields = |fields: &[(&str, &str)]| {
            fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
        };
        let request = fields(&[
            (":authority", "orders.example"),
            (":path", "/v1/orders/1017"),
            (":method", if allowed { "GET" } else { "DELETE" }),
            (":scheme", "https"),
            ("user-agent", "orders-agent/1.4"),
            ("accept", "application/json"),
            ("x-request-id", "0f6fbd5a-0c3a-4c1e-9d57-0c3a4c1e9d57"),
            ("authorization", &format!("Bearer {token}")),
        ]);
        let source = Some(([127, 0, 0, 1], 50_000).into());
        let stream = self.vm.open(self.root, Arc::new(Properties { source, ..Properties::default() }));
        let outcome = self.vm.request_headers(stream, Head { headers: request, end_of_stream: true });
        assert_eq!(matches!(outcome, Outcome::Continue(_)), allowed, "{outcome:?}");
        let mut fuel = self.vm.fuel_used();
        if allowed {
            let response = fields(&[(":status", "200"), ("content-type", "application/json"), ("content-length", "3")]);
            let outcome = self.vm.response_headers(stream, Head { headers: response, end_of_stream: false });
            assert!(matches!(outcome, Outcome::Continue(_)));
            fuel += self.vm.fuel_used();
        }
        self.vm.log(stream, LogInfo { response_code: Some(200), ..LogInfo::default() });
        fuel += self.vm.fuel_used();
        self.vm.finish(stream, LogInfo::default());
        self.sent += 1;
        Fuel(fuel)
    }

    /// Cold, warm, denied: medians, as a table that grows costs one request more than the others.
    fn costs(&mut self) -> BTreeMap<&'static str, f64> {
        // Two at a time, as every other request hashes for the audit ids of two.
        let median = |all: Vec<u64>| {
            let mut pairs: Vec<u64> = all.chunks_exact(2).map(|pair| pair.iter().sum()).collect();
            pairs.sort_unstable();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let middle = pairs[pairs.len() / 2] as f64 / 2.0;
            middle
        };
        let tokens: Vec<String> = (0..42).map(|number| self.token(&format!("session-{number:06}"))).collect();
        let cold = tokens.iter().map(|token| self.send(token, true).0).collect();
        // The second time a head is learned, and known from then on; one that is denied the first time.
        for token in &tokens {
            self.send(token, true);
        }
        let warm = tokens.iter().map(|token| self.send(token, true).0).collect();
        for token in &tokens {
            self.send(token, false);
        }
        let denied = tokens.iter().map(|token| self.send(token, false).0).collect();
        BTreeMap::from([("1 cold", median(cold)), ("2 warm", median(warm)), ("3 denied", median(denied))])
    }
}

/// Each size's costs; the largest may cost a tenth more than the smallest.
fn flat(what: &str, sizes: &[usize], change: impl Fn(&mut Value, usize)) {
    let _alone = alone();
    let mut rows = String::new();
    let mut first: Option<BTreeMap<&str, f64>> = None;
    for size in sizes {
        let mut bench = Bench::start(|policy| change(policy, *size));
        let costs = bench.costs();
        let cells: Vec<String> = costs.values().map(|fuel| format!("{fuel:.0}")).collect();
        writeln!(rows, "| {what} | {size} | {} |", cells.join(" | ")).expect("a string");
        let first = first.get_or_insert_with(|| costs.clone());
        for (kind, fuel) in &costs {
            assert!(fuel / first[kind] < FLAT, "{what}, {kind}: {} at {}, {fuel} at {size}\n{rows}", first[kind], sizes[0]);
        }
    }
    note(what, &rows);
}

fn note(name: &str, text: &str) {
    println!("{text}");
    let dir = target().join("bench/growth");
    fs::create_dir_all(&dir).expect("the build folder can be written");
    fs::write(dir.join(format!("{name}.md")), text).expect("the build folder can be written");
}

#[test]
fn cost_is_flat_in_commands() {
    flat("commands", &[10, 1_000, 10_000], |policy, size| {
        for number in 0..size {
            let path = format!("/v1/things-{number}/{{id}}/parts");
            policy["commands"][format!("things-{number}.parts")] = json!({"http": {"methods": ["GET"], "path": path}});
        }
    });
}

#[test]
fn cost_is_flat_in_grants() {
    flat("grants", &[10, 100, 1_000], |policy, size| {
        let grants = policy["grants"].as_array_mut().expect("a list");
        for number in 0..size {
            let when = match number % 4 {
                0 => json!({"subject": format!("robot-{number}")}),
                1 => json!({"subject": format!("team-{number}-*")}),
                2 => json!({"agent": format!("helper-{number}"), "subject": "agent-*"}),
                _ => json!({"claims": {"role": format!("role-{number}")}, "subject": "agent-*"}),
            };
            grants.insert(0, json!({"name": format!("g-{number}"), "when": when, "allow": ["orders.*"]}));
        }
    });
}

#[test]
fn cost_is_flat_in_revocations() {
    flat("revocations", &[0, 1_000, 100_000], |policy, size| {
        policy["revoked"] = (0..size).map(|number| json!({"session": format!("gone-{number}"), "because": "left"})).collect();
    });
}

#[test]
fn cost_is_flat_and_memory_bounded_in_sessions() {
    let _alone = alone();
    let mut bench = Bench::start(|_| {});
    let first = bench.costs();
    let (mut rows, mut live) = (format!("| sessions | 1 | {first:?} |\n"), bench.sent / 4);
    let mut memory = vec![(live, bench.vm.memory_bytes())];
    for goal in [4_000, 100_000] {
        let tokens = mint(&bench, live, goal);
        for (number, token) in tokens.iter().enumerate() {
            if number % 50_000 == 0 {
                // Each second has its own allowance of signature checks.
                bench.clock.set(bench.clock.wall() + 1_000_000_000);
            }
            bench.send(token, true);
        }
        live = goal;
        memory.push((live, bench.vm.memory_bytes()));
        let costs = bench.costs();
        writeln!(rows, "| sessions | {live} | {costs:?} | memory {} |", bench.vm.memory_bytes()).expect("a string");
        for kind in ["2 warm", "3 denied"] {
            // The costs are those of the first sessions, whose tokens are kept.
            assert!(costs[kind] / first[kind] < FLAT, "{kind}: {first:?} with few sessions, {costs:?} with {live}");
        }
    }
    let each = |from: (u64, usize), to: (u64, usize)| (to.1 - from.1) as u64 / (to.0 - from.0);
    let (kept, counted) = (each(memory[0], memory[1]), each(memory[1], memory[2]));
    writeln!(
        rows,
        "| bytes | each kept token with its session {kept} | each further session {counted} | all {} |",
        memory[2].1 - memory[0].1
    )
    .expect("a string");
    note("sessions", &rows);
    assert!(kept < 2 * 1024, "a kept token takes {kept} bytes");
    assert!(counted < 128, "a session that is only counted takes {counted} bytes");
    let all = memory[2].1 - memory[0].1;
    assert!(all < SESSIONS_BYTES, "100,000 sessions take {all} bytes");
}

/// Tokens of sessions, on two threads.
fn mint(bench: &Bench, from: u64, to: u64) -> Vec<String> {
    let (scenario, began, middle) = (&bench.scenario, bench.began, u64::midpoint(from, to));
    let claims = json!({"iat": began, "exp": began + 600});
    let sign = |number| scenario.token_with(&format!("s-{number:08}"), claims.clone());
    std::thread::scope(|scope| {
        let first = scope.spawn(|| (from..middle).map(sign).collect::<Vec<_>>());
        let second: Vec<String> = (middle..to).map(sign).collect();
        let mut tokens = first.join().expect("minting does not fail");
        tokens.extend(second);
        tokens
    })
}

/// 10,000 commands and 100,000 revocations, taken in less than a second: minimum of three, as the machine may be busy.
#[test]
fn a_large_document_is_taken_in_under_a_second() {
    let _alone = alone();
    let took = |_| {
        let begun = std::cell::Cell::new(Instant::now());
        Bench::start(|policy| {
            for number in 0..10_000 {
                let path = format!("/v1/things-{number}/{{id}}/parts");
                policy["commands"][format!("things-{number}.parts")] = json!({"http": {"methods": ["GET"], "path": path}});
            }
            policy["revoked"] = (0..100_000).map(|number| json!({"session": format!("gone-{number}")})).collect();
            begun.set(Instant::now());
        });
        begun.get().elapsed()
    };
    let best = (0..3).map(took).min().expect("three");
    note("document", &format!("| a document of 10,000 commands and 100,000 revocations | {} ms |\n", best.as_millis()));
    assert!(best.as_secs_f64() < 1.0, "{best:?}");
}

/// From nothing to a decision: a VM, its policy, and a first request with a signature to check.
#[test]
fn a_vm_decides_soon_after_its_creation() {
    let _alone = alone();
    module();
    let took = |_| {
        let begun = Instant::now();
        let mut bench = Bench::start(|_| {});
        let token = bench.token("s-1");
        bench.send(&token, true);
        begun.elapsed()
    };
    let best = (0..5).map(took).min().expect("five");
    note("start", &format!("| VM creation to first decision | {} ms |\n", best.as_millis()));
    assert!(best.as_secs_f64() < 0.5, "{best:?}");
}

#[test]
fn the_filter_stays_small() {
    let bytes = fs::metadata(wasm::chaperone()).expect("the filter is built").len();
    assert!(bytes < WASM_BYTES, "chaperone.wasm has {bytes} bytes: find out why, or raise the bound on purpose");
}
