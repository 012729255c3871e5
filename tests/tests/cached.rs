//! Speed loosens no check: a request decided by a worker that has seen much, its own token included, is decided as by a new one.
//!
//! Every request of the corpus and of the examples, once by a worker of its own and then four times each, in many orders and with the
//! policies of its file in turn, by one worker: its token is kept by then, and its head is known. In the core and in the .wasm, and in
//! the core once more with no head ever known.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::{
    cases::{Action, Clock, Plan},
    outcome::Outcome,
    published::Published,
    request::Request,
};
use chaperone_policy::{Policy, Secret, Timestamp, Worker};
use chaperone_tests::{
    drivers::{self, Seen},
    root, wasm,
};
use policy_host::{files, host::Module};
use serde_json::{Value, json};
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

/// A request, under which policy of its file.
struct Job {
    policy: usize,
    request: Request,
    what: String,
}

/// The requests of a file, by the instant at which they are sent, and its policies: nobody's allowance of signature checks is used up.
fn jobs(plan: &Plan) -> (BTreeMap<jiff::Timestamp, Vec<Job>>, Vec<Vec<u8>>) {
    let unbounded = |json: &[u8]| {
        let mut policy: Value = serde_json::from_slice(json).unwrap();
        policy["limits"]["verifications_per_second"] = json!(100_000);
        policy.to_string().into_bytes()
    };
    let mut policies = vec![unbounded(&plan.policy_json)];
    let mut jobs: BTreeMap<_, Vec<Job>> = BTreeMap::new();
    for case in &plan.cases {
        let mut policy = 0;
        for step in &case.steps {
            match &step.action {
                Action::Configure(json) => {
                    policy = policies.len();
                    policies.push(unbounded(json));
                }
                Action::Send { exchange, .. } => {
                    let job =
                        Job { policy, request: (*exchange.request).clone(), what: format!("{}: {}", step.location, case.name) };
                    jobs.entry(step.at).or_default().push(job);
                }
                Action::Open { .. } | Action::Publish(_) | Action::Look(_) => {}
            }
        }
    }
    (jobs, policies)
}

/// What must be the same: the record, too, but for what is each request's and each worker's own.
fn made(mut outcome: Outcome, at: jiff::Timestamp) -> (Seen, Value) {
    let mut record = outcome.record.take().unwrap_or_default();
    if record.is_object() {
        record["metadata"]["uid"] = Value::Null;
        record["unmapped"]["worker"] = Value::Null;
        record["unmapped"]["sequence"] = Value::Null;
    }
    (Seen::of(&outcome, at), record)
}

/// The order of a seed (xorshift and Fisher-Yates), each job in two places, and twice there: a head is known the third time.
fn order(jobs: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..jobs).chain(0..jobs).collect();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for last in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, usize::try_from(state % (last as u64 + 1)).unwrap());
    }
    order.into_iter().flat_map(|job| [job, job]).collect()
}

fn plans() -> Vec<Plan> {
    let listed = |dir: &str| std::fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path());
    let corpus = listed("tests/corpus").filter(|path| path.to_string_lossy().ends_with(".cases.yaml"));
    let files = corpus.chain(listed("examples").map(|dir| dir.join("cases.yaml")));
    let plans = files.map(|path| files::plan(&path, Clock::AsWritten).unwrap_or_else(|findings| panic!("{findings}")));
    // Where what came before is meant to count (uses, denials, proofs, bytes, what was fetched), no order is like another.
    let remembers = [
        "\"endpoint\":",
        "\"idle_timeout\":",
        "\"end_session_when\":",
        "\"dpop\":",
        "\"calls\":",
        "\"after\":",
        "\"max_session_request_bytes\":",
        "\"max_session_response_bytes\":",
    ];
    let plans: Vec<Plan> = plans
        .filter(|plan| {
            let policy = String::from_utf8_lossy(&plan.policy_json);
            !remembers.iter().any(|member| policy.contains(member))
        })
        .collect();
    assert!(plans.len() > 8, "{}", plans.len());
    plans
}

/// `alone` decides a job with a worker of its own; `together` is one worker for all of an instant.
fn compare<W>(
    who: &str,
    orders: u64,
    new: impl Fn(&Plan, jiff::Timestamp) -> W,
    decide: impl Fn(&mut W, usize, &[u8], &Request, jiff::Timestamp) -> Outcome,
    done: impl Fn(&W),
) {
    let mut decided = 0;
    for plan in plans() {
        let (by_instant, policies) = jobs(&plan);
        for (at, jobs) in by_instant {
            let ask =
                |worker: &mut W, job: &Job| made(decide(worker, job.policy, &policies[job.policy], &job.request, at), plan.at);
            let alone: Vec<_> = jobs.iter().map(|job| ask(&mut new(&plan, at), job)).collect();
            for seed in 0..orders {
                let mut worker = new(&plan, at);
                for index in order(jobs.len(), seed) {
                    let job = &jobs[index];
                    assert_eq!(ask(&mut worker, job), alone[index], "{who}, order {seed}: {}", job.what);
                    decided += 1;
                }
                done(&worker);
            }
        }
    }
    assert!(decided > 1000, "{who}: {decided}");
}

/// Gives how many requests were let through because their heads were known.
fn core(orders: u64, in_full: bool) -> u64 {
    type Known = (Worker, HashMap<usize, Rc<Policy>>);
    let new = |plan: &Plan, _| -> Known {
        let environment = plan.env.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
        let mut worker = Worker::new([1; 16], [2; 32], environment);
        if in_full {
            worker.judge_in_full();
        }
        (worker, HashMap::new())
    };
    let followed = Cell::new(0);
    compare(
        "the core",
        orders,
        new,
        |(worker, known), policy, json, request, at| {
            let policy = known.entry(policy).or_insert_with(|| Rc::new(Policy::compile(json).unwrap()));
            let now = Timestamp::from_nanos(u64::try_from(at.as_nanosecond()).unwrap());
            drivers::native::ask(policy, worker, &Published::default(), request, now)
        },
        |(worker, _)| followed.set(followed.get() + worker.counts().followed),
    );
    followed.get()
}

#[test]
fn the_core_decides_alike_whatever_it_has_seen() {
    let followed = core(40, false);
    assert!(followed > 1000, "only {followed} heads were known");
}

#[test]
fn the_core_decides_alike_when_no_head_is_ever_known() {
    assert_eq!(core(4, true), 0);
}

#[test]
fn the_wasm_decides_alike_whatever_it_has_seen() {
    let module = Module::load(wasm::chaperone()).expect("the filter loads");
    let new = |plan: &Plan, at| {
        let mut filter = drivers::host::start(&module, plan);
        filter.set_time(at);
        (filter, usize::MAX)
    };
    compare(
        "the .wasm",
        10,
        new,
        |(filter, serving), policy, json, request, _| {
            if *serving != policy {
                filter.configure(json).unwrap_or_else(|error| panic!("{error}"));
                *serving = policy;
            }
            filter.send(0, request)
        },
        |_| (),
    );
}
