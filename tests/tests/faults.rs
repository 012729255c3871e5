//! Whatever a host call answers, in whatever callback: what is denied stays denied, and what is allowed is denied or passes as
//! if nothing had happened. The host's calls are taken from the module's imports, so that a new one cannot be forgotten.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    scenario::{self, Scenario},
    stages::{Message, Ran, Stage, run},
    wasm,
};
use policy_host::host::{
    Clock, ConfigureError, Head, Headers, HostCall, LocalReply, LogInfo, Module, Outcome, Plugin, Properties, RootId, Status,
    Trap, Vm, VmOptions,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    ops::Range,
    sync::{Arc, Mutex},
};

/// When a host call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The first configuration of a VM: its start, and `proxy_on_configure`.
    Start,
    /// A later configuration.
    Update,
    On(Stage),
}

use Place::{On, Start, Update};

/// The only failures that a request may be allowed in spite of. The test fails on one that is missing here, and on one too many.
const CANNOT_MATTER: &[(Place, &str, &str)] = &[
    (Start, "clock_time_get", "when the policy was configured: its first tick tells as well"),
    (Start, "proxy_call_foreign_function", "without the host's crypto signatures are checked in wasm"),
    (Start, "proxy_define_metric", "a metric that is not there is not counted"),
    (Start, "proxy_get_property", "the proxy's node id is for the record alone"),
    (Start, "proxy_get_shared_data", "whether sessions have ended: if that cannot be read, each request asks"),
    (Start, "proxy_log", "says which policy serves"),
    (Start, "proxy_record_metric", "the policy's generation, for those who watch"),
    (Start, "proxy_set_tick_period_milliseconds", "without ticks what is open and idle is asked about when it next moves"),
    (Update, "clock_time_get", "as at the start"),
    (Update, "proxy_get_property", "as at the start"),
    (Update, "proxy_get_shared_data", "as at the start"),
    (Update, "proxy_log", "as at the start"),
    (Update, "proxy_record_metric", "as at the start"),
    (Update, "proxy_set_tick_period_milliseconds", "as at the start"),
    (On(Stage::RequestHeaders), "proxy_get_property", "the source address is for the record alone"),
    (On(Stage::Log), "proxy_set_property", "the record itself, which Envoy then logs without: all is over"),
];

/// Calls that may fail once, not for good.
const TRIED_AGAIN: &[(Place, &str, &str)] = &[
    (Start, "environ_get", "the VM's state is made when the root context is created, and if that failed when the VM starts"),
    (Start, "environ_sizes_get", "the same"),
    (Start, "random_get", "the same"),
];

/// Calls, by their number, without which the VM may die instead of refusing to serve; both leave it without any configuration.
const DIES_AT_START: &[(&str, u64, &str)] =
    &[("random_get", 2, "std keys its first hash map itself, after our own randomness was taken, and panics if it cannot")];

/// Imports that answer no status.
const NO_STATUS: &[&str] = &["proc_exit"];

/// Wherever this is found, something forged has come through.
const FORGED: &str = "forged-by-somebody";

struct Bench {
    module: Module,
    scenario: Scenario,
    token: String,
    clock: Clock,
    allowed: Message,
    denied: [Message; 2],
}

impl Bench {
    fn new() -> Self {
        let module = Module::load(wasm::chaperone()).expect("the filter loads");
        let scenario = Scenario::new().unhurried();
        let (token, stranger) = (scenario.token("s-1"), scenario.forged("s-1"));
        let denied = [message("DELETE", &token), message("GET", &stranger)];
        let clock = Clock::fixed(scenario::now() * 1_000_000_000);
        Self { module, allowed: message("GET", &token), denied, scenario, token, clock }
    }

    fn start(&self, options: VmOptions) -> Result<Vm, Trap> {
        let (name, value) = scenario::CREDENTIAL;
        let environment = vec![(name.to_owned(), value.to_owned())];
        Vm::start(&self.module, VmOptions { environment, clock: self.clock.clone(), ..options })
    }

    fn serving(&self) -> (Vm, RootId) {
        let mut vm = self.start(VmOptions::default()).expect("starts");
        let root = configure(&mut vm, &self.scenario.policy()).expect("a good policy");
        (vm, root)
    }

    /// What is allowed, undisturbed: the positive twin of everything below.
    fn twin(&self, vm: &mut Vm, root: RootId) -> Ran {
        let twin = run(vm, root, &self.allowed, |_, _| {});
        assert!(twin.passed(), "{twin:?}");
        let upstream = twin.upstream.as_ref().expect("passed");
        assert_eq!(value(upstream, "authorization"), Some(format!("Bearer {}", scenario::CREDENTIAL.1)));
        assert_eq!(value(upstream, "x-chaperone-session").as_deref(), Some("s-1"));
        assert_eq!(status_code(&twin).as_deref(), Some("allowed"));
        assert_eq!(self.leaks(&twin), None);
        twin
    }

    fn messages(&self) -> impl Iterator<Item = (&Message, bool)> {
        std::iter::once((&self.allowed, true)).chain(self.denied.iter().map(|message| (message, false)))
    }

    /// Something forged, or the session's token, where it must never be.
    fn leaks(&self, ran: &Ran) -> Option<String> {
        let parts = [
            ("upstream", &ran.upstream),
            ("upstream", &ran.upstream_trailers),
            ("client", &ran.client),
            ("client", &ran.client_trailers),
        ];
        for (whom, (name, value)) in
            parts.into_iter().flat_map(|(whom, part)| part.iter().flatten().map(move |field| (whom, field)))
        {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            let credential = whom == "client" && value.contains(scenario::CREDENTIAL.1);
            if value.contains(FORGED) || value.contains(&self.token) || name.contains("method-override") || credential {
                return Some(format!("the {whom} got {name}: {value}"));
            }
        }
        None
    }
}

/// A message with forged fields in each of its parts.
fn message(method: &str, token: &str) -> Message {
    let head = [
        (":method", method),
        (":path", "/v1/orders/7"),
        (":authority", "orders.example"),
        (":scheme", "https"),
        ("x-chaperone-session", FORGED),
        ("authorization", &format!("Bearer {token}")),
        ("x_chaperone_subject", FORGED),
        ("x-chaperone-else", FORGED),
        ("x-http-method-override", "DELETE"),
        ("connection", "x-chaperone-session"),
        ("accept", "*/*"),
    ];
    let trailers = [("x-sum", "1"), ("x-chaperone-agent", FORGED), ("x_chaperone_agent", FORGED)];
    let response = [(":status", "200"), ("x-chaperone-audit-id", FORGED), ("x_chaperone_audit_id", FORGED), ("server", "orders")];
    Message {
        request: fields(&head),
        request_body: Some(b"up".to_vec()),
        request_trailers: Some(fields(&trailers)),
        response: fields(&response),
        response_body: Some(b"down".to_vec()),
        response_trailers: Some(fields(&trailers)),
        properties: Arc::new(Properties { source: Some(([10, 0, 0, 7], 4711).into()), ..Properties::default() }),
    }
}

fn fields(fields: &[(&str, &str)]) -> Headers {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

fn value(fields: &Headers, name: &str) -> Option<String> {
    let (_, value) = fields.iter().find(|(found, _)| found == name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn configure(vm: &mut Vm, policy: &Value) -> Result<RootId, ConfigureError> {
    vm.configure(&Plugin::default(), policy.to_string().as_bytes())
}

fn status_code(ran: &Ran) -> Option<String> {
    let record: Value = serde_json::from_slice(ran.record.as_deref()?).expect("the record is JSON");
    record["status_code"].as_str().map(str::to_owned)
}

/// Fields without the audit id, which is each message's own.
fn neutral(fields: &Option<Headers>) -> Option<Headers> {
    let mut fields = fields.clone()?;
    for (_, value) in fields.iter_mut().filter(|(name, _)| name == b"x-chaperone-audit-id") {
        *value = format!("{} bytes", value.len()).into_bytes();
    }
    Some(fields)
}

fn parts(ran: &Ran) -> [Option<Headers>; 4] {
    [&ran.upstream, &ran.upstream_trailers, &ran.client, &ran.client_trailers].map(neutral)
}

fn is_internal(reply: &LocalReply) -> bool {
    reply.status == 503 && reply.details == "chaperone{internal_error}"
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// As if nothing had failed.
    Unmoved,
    /// Refused, or held for ever.
    Closed,
}

/// What a disturbed message came to; `Err` is what must never be.
fn verdict(bench: &Bench, ran: &Ran, twin: &Ran, allowed: bool) -> Result<Verdict, String> {
    if let Some(trap) = &ran.trap {
        return Err(format!("trapped: {}", trap.message));
    }
    if ran.replies > 1 {
        return Err(format!("{} local replies", ran.replies));
    }
    if let Some(leak) = bench.leaks(ran) {
        return Err(leak);
    }
    if !allowed {
        // Its own reason, or that something failed; nothing of it goes upstream in any case.
        return match (&ran.upstream, &ran.upstream_trailers, &ran.reply, ran.held) {
            (None, None, Some(reply), None)
                if is_internal(reply) || ["401", "403"].contains(&reply.status.to_string().as_str()) =>
            {
                Ok(Verdict::Closed)
            }
            (None, None, None, Some(_)) => Ok(Verdict::Closed),
            _ => Err(format!("a denied request came to {ran:?}")),
        };
    }
    if ran.upstream.is_some() && neutral(&ran.upstream) != neutral(&twin.upstream) {
        return Err(format!("half of the edits went upstream: {:?}", ran.upstream));
    }
    if ran.passed() {
        return if parts(ran) == parts(twin) { Ok(Verdict::Unmoved) } else { Err(format!("passed with other edits: {ran:?}")) };
    }
    match &ran.reply {
        Some(reply) if !is_internal(reply) => Err(format!("refused with {reply:?}")),
        // The head was not let through, so that the record must not say that it was.
        Some(_) if ran.upstream.is_none() && status_code(ran).is_some_and(|code| code != "internal_error") => {
            Err(format!("the record says {:?}", status_code(ran)))
        }
        _ => Ok(Verdict::Closed),
    }
}

/// Every status of the ABI that is an error, some that it does not define, one that is negative.
fn statuses() -> Vec<u32> {
    let known = (1..).take_while(|number| Status::from_abi(*number).is_some());
    let statuses: Vec<u32> = known.chain([13, 99, 255, 65_536, u32::MAX, 1 << 31]).collect();
    assert!(statuses.len() >= 18 && statuses.contains(&12), "{statuses:?}");
    statuses
}

/// Calls that fail together, which of them, and their answer.
struct Failure {
    calls: Vec<&'static str>,
    which: Range<u64>,
    status: u32,
}

impl Failure {
    fn set(&self, vm: &mut Vm) {
        for call in &self.calls {
            assert!(vm.fail_calls(call, self.which.clone(), self.status), "the host cannot make {call} fail");
        }
    }

    fn clear(&self, vm: &mut Vm) {
        self.calls.iter().for_each(|call| assert!(vm.fail_call(call, None)));
    }

    fn count(&self, vm: &Vm) -> u64 {
        self.calls.iter().map(|call| vm.call_count(HostCall::from_name(call).expect("known"))).sum()
    }

    fn is_one(&self, call: &str, number: u64) -> bool {
        self.calls == [call] && self.which == (number..number + 1)
    }

    fn name(&self) -> String {
        let what = if self.calls.len() == 1 { self.calls[0] } else { "every call" };
        let which = if self.which.end == u64::MAX { String::new() } else { format!(" number {}", self.which.start) };
        format!("{what}{which} answers {}", self.status)
    }
}

/// What the filter imports, by the names under which the host makes calls fail.
fn calls(module: &Module) -> Vec<&'static str> {
    let fails = module.imports().filter(|(_, name)| !NO_STATUS.contains(name));
    let known = fails.map(|(_, name)| HostCall::from_name(name).unwrap_or_else(|| panic!("nothing makes {name} fail")).name());
    let calls: Vec<_> = known.collect();
    assert!(calls.len() > 10, "{calls:?}");
    calls
}

/// Each call with each status for good; each call alone, the others before and after it done, so that edits are done by half;
/// and all calls together.
fn failures(module: &Module) -> Vec<Failure> {
    let (calls, statuses) = (calls(module), statuses());
    let whole = calls
        .iter()
        .flat_map(|call| statuses.iter().map(|status| Failure { calls: vec![*call], which: 0..u64::MAX, status: *status }));
    let single = calls.iter().flat_map(|call| {
        (0..MADE_AT_MOST).map(|at| Failure { calls: vec![*call], which: at..at + 1, status: Status::InternalFailure.into() })
    });
    let all = statuses.iter().map(|status| Failure { calls: calls.clone(), which: 0..u64::MAX, status: *status });
    whole.chain(single).chain(all).collect()
}

/// More than the filter makes of one kind in one callback: metrics at the start are the most.
const MADE_AT_MOST: u64 = 64;

/// Which failures were survived, and what went wrong.
#[derive(Default)]
struct Findings {
    survived: BTreeSet<(Place, &'static str)>,
    survived_once: BTreeSet<(Place, &'static str)>,
    wrong: Vec<String>,
    tried: u64,
}

impl Findings {
    fn take(&mut self, place: Place, failure: &Failure, made: u64, verdict: Result<Verdict, String>) {
        // A number that is never reached disturbs nothing.
        if made <= failure.which.start {
            if !matches!(verdict, Ok(Verdict::Unmoved)) {
                self.wrong.push(format!("{place:?}: {}: not even made, but {verdict:?}", failure.name()));
            }
            return;
        }
        self.tried += 1;
        if failure.calls.len() == 1 {
            assert!(made <= MADE_AT_MOST, "{}: made {made} times, so that some never failed alone", failure.name());
        }
        match verdict {
            Ok(Verdict::Closed) => {}
            Ok(Verdict::Unmoved) if failure.calls.len() == 1 => {
                let survived = if failure.which.end == u64::MAX { &mut self.survived } else { &mut self.survived_once };
                survived.insert((place, failure.calls[0]));
            }
            // All of them fail, and among them one that must not.
            Ok(Verdict::Unmoved) if place == On(Stage::Log) => {}
            Ok(Verdict::Unmoved) => self.wrong.push(format!("{place:?}: {}: allowed", failure.name())),
            Err(wrong) => self.wrong.push(format!("{place:?}: {}: {wrong}", failure.name())),
        }
    }

    fn check(&self, here: impl Fn(Place) -> bool) {
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        let known = |table: &[(Place, &'static str, &str)]| -> BTreeSet<_> {
            table.iter().filter(|(place, ..)| here(*place)).map(|(place, call, _)| (*place, *call)).collect()
        };
        assert_eq!(self.survived, known(CANNOT_MATTER), "allowed in spite of a failure (left), and what cannot matter (right)");
        let once: BTreeSet<_> = self.survived_once.difference(&self.survived).copied().collect();
        assert_eq!(once, known(TRIED_AGAIN), "allowed in spite of one failure (left), and what is tried again (right)");
        assert!(self.tried > 80, "only {} failures were met", self.tried);
    }
}

#[test]
fn a_stream_with_a_failing_call_is_closed_or_unmoved() {
    let bench = Bench::new();
    let (mut vm, mut root) = bench.serving();
    let twin = bench.twin(&mut vm, root);
    let mut findings = Findings::default();
    for failure in failures(&bench.module) {
        for stage in Stage::ALL {
            for (message, allowed) in bench.messages() {
                // Each second has its own allowance of signature checks.
                tick(&bench.clock);
                let (mut begin, mut end) = (None, None);
                let ran = run(&mut vm, root, message, |now, vm| {
                    if now == stage {
                        begin.get_or_insert(failure.count(vm));
                        failure.set(vm);
                    } else if begin.is_some() {
                        end.get_or_insert(failure.count(vm));
                        failure.clear(vm);
                    }
                });
                let made = end.unwrap_or(failure.count(&vm)) - begin.unwrap_or(failure.count(&vm));
                failure.clear(&mut vm);
                let verdict = verdict(&bench, &ran, &twin, allowed);
                if allowed {
                    findings.take(On(stage), &failure, made, verdict);
                } else if let Err(wrong) = verdict {
                    findings.wrong.push(format!("denied, {stage:?}: {}: {wrong}", failure.name()));
                }
                if vm.trap().is_some() {
                    (vm, root) = bench.serving();
                }
            }
        }
        // Nothing of it stays.
        bench.twin(&mut vm, root);
    }
    findings.check(|place| matches!(place, On(_)));
}

/// The token lives for five minutes and the test has thousands of steps: a few milliseconds each.
fn tick(clock: &Clock) {
    clock.set(clock.wall() + 6_000_000);
}

#[test]
fn a_start_with_a_failing_call_serves_nothing_or_serves_unmoved() {
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    let twin = bench.twin(&mut vm, root);
    let mut findings = Findings::default();
    for failure in failures(&bench.module) {
        let mut vm = bench.start(VmOptions::default()).expect("starts");
        assert_eq!(vm.call_counts(), [], "the filter asks for something before a test can make it fail");
        failure.set(&mut vm);
        let configured = configure(&mut vm, &bench.scenario.policy());
        let made = failure.count(&vm);
        failure.clear(&mut vm);
        let verdict = match configured {
            // Envoy serves nothing then.
            Err(ConfigureError::Rejected) => Ok(Verdict::Closed),
            Err(ConfigureError::Trapped(_)) if DIES_AT_START.iter().any(|(call, at, _)| failure.is_one(call, *at)) => {
                Ok(Verdict::Closed)
            }
            Err(ConfigureError::Trapped(trap)) => Err(format!("trapped: {}", trap.message)),
            Ok(root) => {
                for message in &bench.denied {
                    let ran = run(&mut vm, root, message, |_, _| {});
                    if let Err(wrong) = verdict(&bench, &ran, &twin, false) {
                        findings.wrong.push(format!("denied, {}: {wrong}", failure.name()));
                    }
                }
                verdict(&bench, &run(&mut vm, root, &bench.allowed, |_, _| {}), &twin, true)
            }
        };
        findings.take(Start, &failure, made, verdict);
    }
    findings.check(|place| place == Start);
}

#[test]
fn an_update_with_a_failing_call_is_taken_whole_or_not_at_all() {
    let bench = Bench::new();
    let (mut vm, mut root) = bench.serving();
    let twin = bench.twin(&mut vm, root);
    let revoking = bench.scenario.revoking(2, &json!([{"session": "s-1"}]));
    let mut findings = Findings::default();
    for failure in failures(&bench.module) {
        tick(&bench.clock);
        failure.set(&mut vm);
        let before = failure.count(&vm);
        let updated = configure(&mut vm, &revoking);
        let made = failure.count(&vm) - before;
        failure.clear(&mut vm);
        let verdict = match updated {
            // Taken, and then it revokes.
            Ok(updated) => {
                let ran = run(&mut vm, updated, &bench.allowed, |_, _| {});
                vm.retire(updated);
                // Its open streams too would be judged by what was taken.
                vm.retire(root);
                root = configure(&mut vm, &bench.scenario.policy()).expect("a good policy");
                match &ran.reply {
                    Some(reply) if ran.upstream.is_none() && reply.details == "chaperone{revoked}" => Ok(Verdict::Unmoved),
                    _ => Err(format!("taken, but not serving: {ran:?}")),
                }
            }
            Err(ConfigureError::Rejected) => Ok(Verdict::Closed),
            Err(ConfigureError::Trapped(trap)) => Err(format!("trapped: {}", trap.message)),
        };
        findings.take(Update, &failure, made, verdict);
        if vm.trap().is_some() {
            (vm, root) = bench.serving();
        }
        // Whatever became of it, the root before it serves as before.
        let old = run(&mut vm, root, &bench.allowed, |_, _| {});
        assert_eq!(parts(&old), parts(&twin), "{}", failure.name());
    }
    findings.check(|place| place == Update);
}

/// Broken forms of a serialised map, by name: what a host that is out of its mind might hand over. No bytes at all is not
/// among them: to the ABI that is a map that is not there.
fn spoilt(map: &[u8]) -> Vec<(String, Vec<u8>)> {
    type Change = fn(u32) -> u32;
    const CHANGES: [(&str, Change); 7] = [
        ("0", |_| 0),
        ("1 less", |number| number.wrapping_sub(1)),
        ("1 more", |number| number + 1),
        ("doubled", |number| number * 2 + 1),
        ("i32::MAX", |_| i32::MAX.cast_unsigned()),
        ("u32::MAX / 8", |_| u32::MAX / 8),
        ("u32::MAX", |_| u32::MAX),
    ];
    let word = |at: usize, change: Change| {
        let mut map = map.to_vec();
        let number = u32::from_le_bytes(map[at..at + 4].try_into().expect("4 bytes"));
        map[at..at + 4].copy_from_slice(&change(number).to_le_bytes());
        map
    };
    let words = 1 + 2 * u32::from_le_bytes(map[..4].try_into().expect("4 bytes")) as usize;
    let mut all: Vec<_> = (1..map.len()).map(|end| (format!("cut at {end}"), map[..end].to_vec())).collect();
    for (name, change) in CHANGES {
        all.extend((0..words).map(|at| (format!("word {at} is {name}"), word(at * 4, change))));
    }
    // The sum of all sizes stays what it was.
    all.extend((1..words - 1).map(|at| {
        let mut map = word(at * 4, |number| number + 1);
        let next = u32::from_le_bytes(map[at * 4 + 4..at * 4 + 8].try_into().expect("4 bytes")).wrapping_sub(1);
        map[at * 4 + 4..at * 4 + 8].copy_from_slice(&next.to_le_bytes());
        (format!("word {at} takes a byte of the next"), map)
    }));
    all.push(("a byte more".to_owned(), [map, b"x"].concat()));
    all.push(("only 0xff".to_owned(), vec![0xff; map.len()]));
    all.retain(|(_, spoilt)| spoilt != map);
    all
}

/// Gives the filter this in place of each map that it reads in one callback.
fn run_spoilt(
    vm: &mut Vm,
    root: RootId,
    message: &Message,
    stage: Stage,
    spoil: impl FnMut(&mut Vec<u8>) + Send + Clone + 'static,
) -> Ran {
    let ran = run(vm, root, message, |now, vm| {
        let spoil = spoil.clone();
        vm.spoil_maps(if now == stage { Some(Box::new(spoil)) } else { None });
    });
    vm.spoil_maps(None);
    ran
}

#[test]
fn a_malformed_header_map_is_never_edited_and_passed_on() {
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    let twin = bench.twin(&mut vm, root);
    let mut wrong = Vec::new();
    for stage in [Stage::RequestHeaders, Stage::RequestTrailers, Stage::ResponseHeaders, Stage::ResponseTrailers] {
        for (message, allowed) in bench.messages() {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let look = Arc::clone(&seen);
            run_spoilt(&mut vm, root, message, stage, move |map| map.clone_into(&mut look.lock().expect("one thread")));
            let map = std::mem::take(&mut *seen.lock().expect("one thread"));
            if map.is_empty() {
                assert!(!allowed, "{stage:?} of an allowed message reads no map");
                continue;
            }
            for (name, form) in spoilt(&map) {
                tick(&bench.clock);
                let ran = run_spoilt(&mut vm, root, message, stage, move |map| map.clone_from(&form));
                match verdict(&bench, &ran, &twin, allowed) {
                    Ok(Verdict::Closed) => {}
                    Ok(Verdict::Unmoved) => wrong.push(format!("{stage:?}: {name}: passed")),
                    Err(what) => wrong.push(format!("{stage:?}: {name}: {what}")),
                }
            }
            bench.twin(&mut vm, root);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_clock_at_zero_denies() {
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    let twin = bench.twin(&mut vm, root);
    let now = bench.clock.wall();
    for (message, allowed) in bench.messages() {
        bench.clock.set(0);
        let ran = run(&mut vm, root, message, |_, _| {});
        assert_eq!(verdict(&bench, &ran, &twin, allowed), Ok(Verdict::Closed));
        assert!(is_internal(&ran.reply.expect("a denial")));
        bench.clock.set(now);
        bench.twin(&mut vm, root);
    }
    bench.clock.set(0);
    let (mut vm, root) = bench.serving();
    let ran = run(&mut vm, root, &bench.allowed, |_, _| {});
    assert_eq!(verdict(&bench, &ran, &twin, true), Ok(Verdict::Closed), "from the start on");
}

/// A guest that gets no more memory may die, which FAIL_CLOSED makes a denial; where the host only fails to hand something
/// over, the request is denied and the VM lives.
#[test]
fn without_memory_nothing_passes_half_edited() {
    const PAGE: usize = 64 * 1024;
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    let small = bench.twin(&mut vm, root);
    let big = |message: &Message| {
        let mut message = message.clone();
        message.request.push((b"x-big".to_vec(), vec![b'b'; 1 << 20]));
        message
    };
    let twin = run(&mut vm, root, &big(&bench.allowed), |_, _| {});
    assert!(twin.passed());
    let (mut refused, mut passed) = (0, 0);
    for pages in 17..100 {
        let Ok(mut vm) = bench.start(VmOptions { memory_bytes: pages * PAGE, ..VmOptions::default() }) else { continue };
        let Ok(root) = configure(&mut vm, &bench.scenario.policy()) else { continue };
        for (message, allowed) in bench.messages() {
            let ran = run(&mut vm, root, &big(message), |_, _| {});
            if ran.trap.is_some() {
                assert_eq!(bench.leaks(&ran), None, "{pages} pages");
                assert!(ran.upstream.is_none() || allowed && neutral(&ran.upstream) == neutral(&twin.upstream), "{pages} pages");
                break;
            }
            match verdict(&bench, &ran, &twin, allowed) {
                Ok(Verdict::Unmoved) => passed += 1,
                Ok(Verdict::Closed) if allowed => {
                    refused += 1;
                    let again = run(&mut vm, root, &bench.allowed, |_, _| {});
                    assert_eq!(parts(&again), parts(&small), "{pages} pages: what is small is still served");
                }
                Ok(Verdict::Closed) => {}
                Err(wrong) => panic!("{pages} pages: {wrong}"),
            }
        }
    }
    assert!(refused > 0, "no bound under which the host could not hand over a map");
    assert!(passed > 0, "no bound under which a big header passes");
}

/// After a denial Envoy may call on; it gets no second answer and nothing to send upstream.
#[test]
fn callbacks_after_a_denial_change_nothing() {
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    bench.twin(&mut vm, root);
    for fail in [None, Some(Status::InternalFailure.into())] {
        for message in &bench.denied {
            let before = vm.call_count(HostCall::SendLocalResponse);
            let stream = vm.open(root, Properties::default());
            vm.fail_call("proxy_send_local_response", fail);
            let head = Head { headers: message.request.clone(), end_of_stream: false };
            let first = vm.request_headers(stream, head.clone());
            assert!(matches!((&first, fail), (Outcome::LocalReply(_), None) | (Outcome::Paused, Some(_))), "{first:?}");
            let trailers = message.request_trailers.clone().expect("it has some");
            assert!(matches!(vm.request_trailers(stream, trailers.clone()), Outcome::Paused));
            assert!(matches!(vm.request_headers(stream, head), Outcome::Paused));
            assert!(matches!(vm.request_trailers(stream, trailers), Outcome::Paused));
            vm.finish(stream, LogInfo::default());
            vm.fail_call("proxy_send_local_response", None);
            assert_eq!(vm.call_count(HostCall::SendLocalResponse) - before, 1);
        }
    }
}

/// Of requests a tick decides nothing, so that nothing that fails in it may show.
#[test]
fn a_tick_with_a_failing_call_changes_nothing() {
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    let twin = bench.twin(&mut vm, root);
    let mut made = 0;
    for failure in failures(&bench.module) {
        let before = failure.count(&vm);
        failure.set(&mut vm);
        assert_eq!(vm.tick(root).ok(), Some(true), "{}", failure.name());
        made += failure.count(&vm) - before;
        failure.clear(&mut vm);
        for (message, allowed) in bench.messages() {
            tick(&bench.clock);
            let ran = run(&mut vm, root, message, |_, _| {});
            assert!(
                matches!(verdict(&bench, &ran, &twin, allowed), Ok(Verdict::Unmoved) | Ok(Verdict::Closed)),
                "{}",
                failure.name()
            );
            assert_eq!(ran.passed(), allowed, "{}", failure.name());
        }
    }
    assert!(made > 100, "the tick makes host calls: {made}");
}

/// A stream that is open, its session ended by an update; then a tick in which something fails, and a piece of its body.
#[test]
fn a_stream_whose_session_has_ended_is_cut_or_held_whatever_fails() {
    let bench = Bench::new();
    let (mut vm, mut root) = bench.serving();
    let mut generation = 1;
    let mut configure_next = |vm: &mut Vm, revoked: Value| {
        generation += 1;
        configure(vm, &bench.scenario.revoking(generation, &revoked)).expect("a good policy")
    };
    let mut made = 0;
    for failure in failures(&bench.module) {
        for in_tick in [true, false] {
            tick(&bench.clock);
            let stream = vm.open(root, Properties::default());
            let head = Head { headers: bench.allowed.request.clone(), end_of_stream: true };
            assert!(matches!(vm.request_headers(stream, head), Outcome::Continue(_)));
            let head = Head { headers: bench.allowed.response.clone(), end_of_stream: false };
            assert!(matches!(vm.response_headers(stream, head), Outcome::Continue(_)));
            let name = failure.name();
            // The positive twin: before the update it goes on.
            assert!(matches!(vm.response_body(stream, b"1".to_vec(), false), Outcome::Continue(_)), "{name}");
            root = configure_next(&mut vm, json!([{"session": "s-1"}]));
            let before = failure.count(&vm);
            failure.set(&mut vm);
            if in_tick {
                assert_eq!(vm.tick(root).ok(), Some(true), "{name}");
            }
            let with_failure = (!in_tick).then(|| vm.response_body(stream, b"2".to_vec(), false));
            made += failure.count(&vm) - before;
            failure.clear(&mut vm);
            if let Some(outcome) = with_failure {
                assert!(matches!(outcome, Outcome::Paused | Outcome::Reset), "{name}: {outcome:?}");
            }
            if !vm.is_closed(stream) {
                let outcome = vm.response_body(stream, b"3".to_vec(), false);
                assert!(matches!(outcome, Outcome::Paused | Outcome::Reset), "{name}: {outcome:?}");
            }
            let set = vm.finish(stream, LogInfo::default());
            let record = set.iter().find(|(name, _)| name == b"session_audit").expect("a record");
            let record: Value = serde_json::from_slice(&record.1).expect("JSON");
            let by = record["unmapped"]["ended_by"].as_str();
            assert!(matches!(by, Some("revoked" | "internal_error")), "{name}: {record:#}");
            assert!(vm.trap().is_none(), "{name}");
            root = configure_next(&mut vm, json!([]));
        }
    }
    assert!(made > 100, "{made}");
}

/// What a request costs in host calls. After a wanted change: `INSTA_UPDATE=always cargo test -p chaperone-tests --test faults`.
#[test]
fn host_calls_of_a_request() {
    let bench = Bench::new();
    let (mut vm, root) = bench.serving();
    bench.twin(&mut vm, root);
    let plain = |method: &str| {
        let mut message = message(method, &bench.token);
        let ours = ["x-http-method-override", "connection"];
        for head in [&mut message.request, &mut message.response] {
            head.retain(|(name, value)| value != FORGED.as_bytes() && !ours.iter().any(|ours| name == ours.as_bytes()));
        }
        Message { request_body: None, request_trailers: None, response_trailers: None, ..message }
    };
    let mut text = String::new();
    let mut count = |vm: &mut Vm, root, name: &str, message: &Message, allowed: bool| {
        let before: BTreeMap<_, _> = vm.call_counts().into_iter().collect();
        assert_eq!(run(vm, root, message, |_, _| {}).passed(), allowed);
        let made = vm.call_counts().into_iter().map(|(call, count)| (call, count - before.get(call).copied().unwrap_or(0)));
        let made: Vec<_> = made.filter(|(_, count)| *count > 0).collect();
        writeln!(text, "{name}: {}", made.iter().map(|(_, count)| count).sum::<u64>()).expect("a string");
        made.iter().for_each(|(call, count)| writeln!(text, "  {call} {count}").expect("a string"));
    };
    let denied = "a denied one whose token is known (command_not_granted)";
    count(&mut vm, root, "an allowed request whose token is known", &plain("GET"), true);
    count(&mut vm, root, denied, &plain("DELETE"), false);
    count(&mut vm, root, "an allowed one with forged fields, and with trailers both ways", &bench.allowed, true);
    for (name, audit) in [
        ("headers: combined", json!({"headers": "combined"})),
        ("source: proxy", json!({"source": "proxy"})),
        ("headers: combined, source: proxy", json!({"headers": "combined", "source": "proxy"})),
    ] {
        let mut policy = bench.scenario.policy();
        policy["audit"] = audit;
        let mut vm = bench.start(VmOptions::default()).expect("starts");
        let root = configure(&mut vm, &policy).expect("a good policy");
        assert!(run(&mut vm, root, &plain("GET"), |_, _| {}).passed(), "its token is known from now on");
        count(&mut vm, root, &format!("an allowed request, {name}"), &plain("GET"), true);
        count(&mut vm, root, &format!("{denied}, {name}"), &plain("DELETE"), false);
    }
    insta::assert_snapshot!("host_calls", text);
}
