//! The core itself, without wasm and without a proxy.

use super::{Ran, run};
use chaperone_policy::{Decision as Answer, End, Exchange, Head, Policy, RustCrypto, Secret, Timestamp, Worker};
use policy_host::{
    cases::{Case, Plan},
    replay::{Decision, Outcome, Request, client_reason},
};
use serde_json::Value;
use std::{cell::RefCell, rc::Rc};

/// Runs a case with a worker of its own.
#[must_use]
pub fn case(plan: &Plan, case: &Case) -> Ran {
    let environment = plan.env.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
    let mut worker = Worker::new([1; 16], [2; 32], environment);
    let compile = |json: &[u8]| Rc::new(Policy::compile(json).unwrap_or_else(|errors| panic!("{}: {errors}", plan.name)));
    let policy = RefCell::new(compile(&plan.policy_json));
    let send = |request: &Request, at: jiff::Timestamp| {
        let now = Timestamp::from_nanos(u64::try_from(at.as_nanosecond()).expect("after 1970"));
        ask(&policy.borrow(), &mut worker, request, now)
    };
    run(plan, case, send, |json| drop(policy.replace(compile(json))))
}

/// Puts one request to the core.
pub fn ask(policy: &Rc<Policy>, worker: &mut Worker, request: &Request, now: Timestamp) -> Outcome {
    let owned = request.head();
    let fields: Vec<(&[u8], &[u8])> = owned.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let source = request.source_address.map(|address| address.to_string());
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &fields, source_address: source.as_deref().map(str::as_bytes) };
    let answer = exchange.request(&head, worker, now, &RustCrypto);
    let record = exchange.record(&End::default()).expect("a judged request has a record");
    let record: Value = serde_json::from_str(&record).expect("the record is JSON");
    let said = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut outcome = Outcome {
        reason: said("/status_code").filter(|code| code != "allowed"),
        command: said("/api/operation"),
        session: said("/actor/session/uid"),
        ..Outcome::undecided(0)
    };
    match answer {
        Answer::Forward(permit) => {
            let mut fields = owned;
            let edits = permit.edits();
            fields.retain(|(name, _)| !edits.removed().any(|removed| removed == name.as_slice()));
            for (name, value) in edits.set() {
                fields.retain(|(found, _)| found != name);
                fields.push((name.to_vec(), value.to_vec()));
            }
            let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            outcome.decision = Decision::Allow;
            outcome.upstream_headers = Some(fields.iter().map(|(name, value)| (lossy(name), lossy(value))).collect());
        }
        Answer::Refuse(denial) => {
            let response = denial.response();
            outcome.status = Some(response.status);
            let grpc = response.grpc_status.map(|status| ("grpc-status".to_owned(), status.to_string()));
            outcome.response_headers = Some(response.headers.iter().cloned().chain(grpc).collect());
            outcome.client_reason = client_reason(response.body.as_bytes());
        }
    }
    outcome
}
