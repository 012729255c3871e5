//! A worker that has documents to fetch, as time passes.

use std::rc::Rc;

use chaperone_policy::{Answer, Decision, Exchange, Failure, Fetch, Head, News, Policy, Timestamp, Worker};

use super::{Marked, NOW, ask, context, head};

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(NOW + seconds)
}

pub fn due(worker: &mut Worker, policy: &Rc<Policy>, seconds: u64) -> Option<Fetch> {
    let mut fetches = worker.due(policy, at(seconds)).fetches;
    assert!(fetches.len() < 2, "{fetches:?}");
    fetches.pop()
}

/// Answers what is due with this body, and says what came of it.
pub fn serve(worker: &mut Worker, policy: &Rc<Policy>, seconds: u64, body: &str) -> Result<News, Failure> {
    let fetch = due(worker, policy, seconds).expect("something is due");
    let answer = Answer::Response { status: 200, body: body.as_bytes() };
    worker.fetched(fetch.ticket, answer, at(seconds), &Marked).expect("it is waited for").result()
}

pub fn reason(policy: &Rc<Policy>, worker: &mut Worker, seconds: u64, token: &str) -> String {
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {token}"))]);
    ask(policy, worker, NOW + seconds, &fields).code().to_owned()
}

pub fn open(policy: &Rc<Policy>, worker: &mut Worker, token: &str) -> Exchange {
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {token}"))]);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &headers, ..Head::default() };
    assert!(matches!(exchange.request(&head, worker, &context(policy, at(0))), Decision::Forward(_)));
    exchange
}
