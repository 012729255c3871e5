//! The core itself, without wasm and without a proxy.

use super::{Ran, Seen};
use chaperone_authoring::{
    cases::{Action, Case, Plan, check},
    outcome::{Decision, Outcome, client_reason},
    published::Published,
    request::Request,
};
use chaperone_policy::{
    Context, Decision as Answer, End, Exchange, Given, Head, LocalState, Need, Policy, RustCrypto, Secret, Source, Timestamp,
    WholeBody, Worker,
};
use serde_json::Value;
use std::{collections::BTreeMap, rc::Rc};

/// Why the core alone cannot be asked about a case: what it does beyond judging requests. (A body in pieces is a whole one
/// here: putting it together is the filter's work.)
#[must_use]
pub fn cannot(case: &Case) -> Option<&'static str> {
    if case.opens_streams() {
        return Some("leaves streams open");
    }
    case.scripts_replies().then_some("scripts a reply")
}

/// Runs a case with workers of its own.
///
/// # Panics
/// When [`cannot`] says why not.
#[must_use]
pub fn case(plan: &Plan, case: &Case) -> Ran {
    let environment: BTreeMap<_, _> = plan.env.iter().map(|(name, value)| (name.clone(), Secret::new(value.clone()))).collect();
    let shared = Rc::new(LocalState::default());
    let worker = |number: usize| {
        let mut worker = Worker::new([u8::try_from(number).expect("few"); 16], [2; 32], environment.clone());
        worker.share(shared.clone());
        worker
    };
    let mut workers: Vec<Worker> = (0..plan.workers).map(worker).collect();
    let compile = |json: &[u8]| Rc::new(Policy::compile(json).unwrap_or_else(|errors| panic!("{}: {errors}", plan.name)));
    let mut policy = compile(&plan.policy_json);
    let mut published = plan.published.clone();
    let instant = |at: jiff::Timestamp| Timestamp::from_nanos(u64::try_from(at.as_nanosecond()).expect("after 1970"));
    workers.iter_mut().for_each(|worker| published.fetch_for(worker, &policy, instant(plan.at)));
    let mut ran = Ran { seen: Vec::new(), mismatches: Vec::new() };
    for step in &case.steps {
        shared.advance((step.at - plan.at).try_into().unwrap_or_default());
        match &step.action {
            Action::Configure(json) => {
                policy = compile(json);
                workers.iter_mut().for_each(|worker| published.fetch_for(worker, &policy, instant(step.at)));
            }
            Action::Publish(scripts) => published.script(scripts),
            Action::Send { exchange, expect } => {
                let now = instant(step.at);
                published.fetch_for(&mut workers[step.worker], &policy, now);
                let outcome = ask(&policy, &mut workers[step.worker], &published, &exchange.request, now);
                ran.seen.push(Seen::under(plan, &outcome));
                ran.mismatches.extend(
                    check(expect, &outcome).iter().map(|mismatch| format!("{}: {}: {mismatch}", step.location, case.name)),
                );
            }
            Action::Open { .. } | Action::Look(_) => panic!("{}: the core has no streams", step.location),
        }
    }
    ran
}

/// Puts one request to the core.
pub fn ask(policy: &Rc<Policy>, worker: &mut Worker, published: &Published, request: &Request, now: Timestamp) -> Outcome {
    let owned = request.head();
    let fields: Vec<(&[u8], &[u8])> = owned.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let source = request.source_address.map(|address| address.to_string());
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head {
        headers: &fields,
        source: source.as_deref().map_or(Source::Unknown, |source| Source::Told(source.as_bytes())),
        body: request.has_body(),
        peer: request.peer(),
    };
    let context = Context { now, newest: policy, verifier: &RustCrypto };
    let mut answer = exchange.request(&head, worker, &context);
    if let Answer::Hold(Need::Body { most_bytes }) = answer {
        let body = WholeBody::of_ended(&request.body);
        let given = if request.body.len() > most_bytes { Given::TooLarge } else { Given::Body(body) };
        answer = exchange.resume(&given, &fields, worker, &context);
    }
    if let Answer::Hold(Need::Credential(_)) = answer {
        published.fetch_wanted(worker, now);
        answer = exchange.resume(&Given::Nothing, &fields, worker, &context);
    }
    // A body in one piece, as a proxy hands it on.
    exchange.request_bytes(request.body.len() as u64);
    let cut = exchange.recheck(worker, &context, true).and_then(|_| exchange.answer_of_cut(policy));
    let answer = cut.map_or(answer, Answer::Refuse);
    exchange.finish(worker);
    let record = exchange.record(&End::default()).expect("a judged request has a record");
    let record: Value = serde_json::from_str(&record).expect("the record is JSON");
    let said = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut outcome = Outcome {
        reason: said("/status_code").filter(|code| code != "allowed"),
        command: said("/api/operation"),
        session: said("/actor/session/uid"),
        record: Some(record.clone()),
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
            outcome.upstream_bytes = Some(permit.body().map_or(request.body.len(), str::len) as u64);
            outcome.upstream_headers = Some(fields.iter().map(|(name, value)| (lossy(name), lossy(value))).collect());
        }
        Answer::Hold(need) => panic!("it still waits for {need:?}"),
        Answer::Refuse(denial) => {
            let response = denial.response();
            outcome.upstream_bytes = Some(0);
            outcome.status = Some(response.status);
            outcome.response_body = Some(String::from_utf8_lossy(&response.body).into_owned());
            let grpc = response.grpc_status.map(|status| ("grpc-status".to_owned(), status.to_string()));
            outcome.response_headers = Some(response.headers.iter().cloned().chain(grpc).collect());
            outcome.client_reason = client_reason(&response.body);
        }
    }
    outcome
}
