//! A proxy of the core: some workers, what they share, and its time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{Decision, Exchange, Head, LocalState, Policy, Reason, Source, Timestamp, Worker};
use serde_json::{Value, json};

use super::{NOW, claims, context, document, head, token, with, worker};

/// A proxy: its workers, what they share, and its time.
pub struct Proxy {
    pub shared: Rc<LocalState>,
    pub workers: Vec<Worker>,
    pub elapsed: Cell<u64>,
    /// When the tokens are issued, in seconds of its time.
    pub issued: u64,
}

impl Proxy {
    pub fn new(workers: usize) -> Self {
        let shared = Rc::new(LocalState::default());
        let started = |_| {
            let mut worker = worker();
            worker.share(shared.clone());
            worker
        };
        Self { workers: (0..workers).map(started).collect(), elapsed: Cell::new(0), issued: 0, shared }
    }

    pub fn wait(&self, seconds: u64) {
        self.elapsed.set(self.elapsed.get() + seconds);
        self.shared.advance(Duration::from_secs(self.elapsed.get()));
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_seconds(NOW + self.elapsed.get())
    }

    pub fn ask(
        &mut self,
        worker: usize,
        policy: &Rc<Policy>,
        session: &str,
        method: &str,
        source: &str,
    ) -> (Exchange, Option<Reason>) {
        let mut claims = claims();
        claims["sid"] = json!(session);
        (claims["iat"], claims["exp"]) = (json!(NOW + self.issued), json!(NOW + self.issued + 600));
        self.ask_with(worker, policy, &claims, method, Some(source))
    }

    pub fn ask_with(
        &mut self,
        worker: usize,
        policy: &Rc<Policy>,
        claims: &Value,
        method: &str,
        source: Option<&str>,
    ) -> (Exchange, Option<Reason>) {
        let fields = head(method, "/v1/orders", &[("authorization", &format!("Bearer {}", token(claims)))]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(policy));
        let head = Head {
            headers: &headers,
            source: source.map_or(Source::Unknown, |source| Source::Told(source.as_bytes())),
            ..Head::default()
        };
        let now = self.now();
        let reason = match exchange.request(&head, &mut self.workers[worker], &context(policy, now)) {
            Decision::Forward(permit) => permit.observed(),
            Decision::Hold(need) => panic!("it waits for {need:?}"),
            Decision::Refuse(denial) => Some(denial.reason()),
        };
        (exchange, reason)
    }

    pub fn get(&mut self, worker: usize, policy: &Rc<Policy>, session: &str) -> Option<Reason> {
        self.ask(worker, policy, session, "GET", "192.0.2.7:1000").1
    }

    /// A method that is none of the commands.
    pub fn bad(&mut self, worker: usize, policy: &Rc<Policy>, session: &str) -> Option<Reason> {
        self.ask(worker, policy, session, "DELETE", "192.0.2.7:1000").1
    }
}

/// Three denials in a minute end a session.
pub fn counting() -> Value {
    with(document(), "/end_session_when", json!({"denials": {"count": 3, "within": "1m"}}))
}
