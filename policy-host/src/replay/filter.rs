//! The filter in a local proxy with a clock that can be set: requests in, outcomes out.

use super::stream::Stream;
use crate::host::{
    Clock, Exchange, Headers, LogSink, Module, Plugin, Proxy, ProxyOptions, Response, Trap, UpdateError, VmOptions,
};
use crate::site::Site;
use chaperone_authoring::{
    cases::Exchange as Recorded,
    outcome::{Decision, Outcome, client_reason},
    published::Published,
    request::Request,
};
use jiff::Timestamp;
use serde::Deserialize;
use std::{borrow::Cow, time::Duration};

/// One proxy with the filter in it. A trap is final, as under Envoy's FAIL_CLOSED: what comes after it is denied.
pub struct Filter {
    proxy: Proxy,
    clock: Clock,
    site: Site,
}

impl Filter {
    /// Starts `workers` VMs at this instant with this environment. They deny everything until [`Filter::configure`].
    ///
    /// # Errors
    /// When the filter traps while it starts.
    pub fn start(
        module: &Module,
        environment: Vec<(String, String)>,
        workers: usize,
        at: Timestamp,
        log: LogSink,
    ) -> Result<Self, Trap> {
        let clock = Clock::fixed(nanoseconds(at));
        let (clusters, site) = Site::clusters(Published::default(), clock.clone());
        let vm = VmOptions {
            vm_id: "chaperone".into(),
            environment,
            clock: clock.clone(),
            log,
            // As the wiring that ships has it: `allow_on_headers_stop_iteration`.
            hold_headers_alone: true,
            clusters,
            ..VmOptions::default()
        };
        let plugin = Plugin { name: "chaperone".into(), root_id: "chaperone".into() };
        let proxy = Proxy::start(module, &ProxyOptions { vm, plugin, workers, ..ProxyOptions::default() })?;
        Ok(Self { proxy, clock, site })
    }

    /// Gives every worker this policy.
    ///
    /// # Errors
    /// When the filter rejects it or traps; the older one serves on.
    pub fn configure(&mut self, policy_json: &[u8]) -> Result<(), UpdateError> {
        self.proxy.update(policy_json)?;
        self.fetch();
        Ok(())
    }

    /// From now on the issuers publish this. To be said before the policy that has it fetched.
    pub fn publish(&mut self, published: Published) {
        *self.site.lock() = published;
    }

    /// Sets the filter's clock.
    pub fn set_time(&mut self, at: Timestamp) {
        self.clock.set(nanoseconds(at));
        self.fetch();
    }

    /// Lets the filter have fetched what is due: in a proxy a moment passes between an update and the first request, and here
    /// time stands still.
    fn fetch(&mut self) {
        if self.site.lock().is_empty() {
            return;
        }
        // Lists wait for keys.
        for _ in 0..2 {
            for number in 0..self.proxy.workers() {
                if let Some(worker) = self.proxy.worker(number) {
                    worker.tick();
                }
            }
        }
    }

    /// Sends one request to a worker (from 0, wrapping around). An upstream that says 200 to everything stands behind.
    pub fn send(&mut self, worker: usize, request: &Request) -> Outcome {
        outcome(self.exchange(worker, request.clone()))
    }

    /// As [`Filter::send`], for whoever needs neither the request nor the whole record afterwards.
    pub fn decide(&mut self, worker: usize, request: Request) -> Outcome {
        without_record(self.exchange(worker, request))
    }

    /// Sends one request whose body comes in pieces, or whose answer is known; tells what the client got of that.
    pub fn answered(&mut self, worker: usize, exchange: &Recorded) -> Outcome {
        let number = worker % self.proxy.workers().max(1);
        let Some(worker) = self.proxy.worker(number) else { return Outcome::undecided(0) };
        let outcome = Stream::begin(number, worker, exchange, false).finish(worker);
        match outcome.cut {
            // Not all of it was let through; what was is told.
            Some(_) if outcome.answer.is_none() => Outcome { decision: Decision::Deny, ..outcome },
            // A reason under `allow` is one that was only observed.
            Some(ref cut) => Outcome { reason: outcome.reason.clone().filter(|reason| reason != cut), ..outcome },
            None => outcome,
        }
    }

    fn exchange(&mut self, worker: usize, request: Request) -> Exchange {
        let reply = Response { headers: vec![(b":status".to_vec(), b"200".to_vec())], body: Vec::new() };
        self.proxy.exchange(worker, request.into(), |_| reply)
    }
}

/// The property that holds the filter's record.
const RECORD: &str = "session_audit";

/// What an outcome takes from the filter's record. Borrowed: a log has many records.
#[derive(Deserialize)]
struct Said<'r> {
    #[serde(borrow, default)]
    status_code: Cow<'r, str>,
    #[serde(borrow, default)]
    api: Api<'r>,
    #[serde(borrow, default)]
    actor: Actor<'r>,
}

#[derive(Deserialize, Default)]
struct Api<'r> {
    #[serde(borrow, default)]
    operation: Cow<'r, str>,
}

#[derive(Deserialize, Default)]
struct Actor<'r> {
    #[serde(borrow, default)]
    session: SessionOf<'r>,
}

#[derive(Deserialize, Default)]
struct SessionOf<'r> {
    #[serde(borrow, default)]
    uid: Cow<'r, str>,
}

impl Filter {
    /// The proxy, for who drives streams callback by callback.
    pub(crate) fn proxy(&mut self) -> &mut Proxy {
        &mut self.proxy
    }

    /// [`Filter::configure`] with a policy that a canary of this filter has taken before.
    pub(crate) fn configure_workers(&mut self, policy_json: &[u8]) -> Result<(), UpdateError> {
        for number in 0..self.proxy.workers() {
            let given = self.proxy.worker(number).map(|worker| worker.apply(policy_json));
            given.transpose().map_err(|error| UpdateError::Worker { worker: number, error })?;
        }
        self.fetch();
        Ok(())
    }

    /// [`Filter::configure`] where there is one worker, which is its own canary: it serves nobody yet.
    pub(crate) fn configure_alone(&mut self, policy_json: &[u8]) -> Result<(), UpdateError> {
        self.configure_workers(policy_json).map_err(|error| match error {
            UpdateError::Canary(error) | UpdateError::Worker { error, .. } => UpdateError::Canary(error),
        })
    }

    /// What the issuers publish, to be changed.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// The filter's monotonic time.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_nanos(self.clock.monotonic())
    }

    /// When a tick or an answer to a callout is due next, in monotonic time.
    pub(crate) fn next_due(&mut self) -> Option<Duration> {
        let workers = self.proxy.workers();
        let due = (0..workers).filter_map(|number| self.proxy.worker(number)?.next_due()).min();
        due.map(Duration::from_nanos)
    }

    /// What a worker died of, with its backtrace.
    pub(crate) fn trap(&mut self) -> Option<String> {
        let workers = self.proxy.workers();
        (0..workers).find_map(|number| self.proxy.worker(number)?.vm().trap().map(|trap| trap.to_string()))
    }
}

/// What an exchange says, once it is over, by the filter's own record.
pub(super) fn outcome(exchange: Exchange) -> Outcome {
    let record = exchange.property(RECORD).and_then(|bytes| serde_json::from_slice(bytes).ok());
    let own = exchange.local_reply.as_ref().map(|reply| &reply.body);
    let body = own.or(exchange.response.as_ref().map(|response| &response.body));
    let response_body = body.map(|body| String::from_utf8_lossy(body).into_owned());
    Outcome { record, response_body, ..without_record(exchange) }
}

fn without_record(exchange: Exchange) -> Outcome {
    let record = exchange.property(RECORD).and_then(|bytes| serde_json::from_slice::<Said<'_>>(bytes).ok());
    let text_of = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    let reason = record.as_ref().and_then(|said| text_of(&said.status_code)).filter(|code| code != "allowed");
    let command = record.as_ref().and_then(|said| text_of(&said.api.operation));
    let session = record.as_ref().and_then(|said| text_of(&said.actor.session.uid));
    let Exchange { upstream, local_reply: local, response, filter_state: _, trap } = exchange;
    let forwarded = upstream.as_ref().filter(|_| local.is_none());
    Outcome {
        line: 0,
        decision: if forwarded.is_some() { Decision::Allow } else { Decision::Deny },
        reason,
        status: local.as_ref().and_then(|reply| u16::try_from(reply.status).ok()),
        command,
        session,
        upstream_bytes: Some(forwarded.map_or(0, |request| request.body.len() as u64)),
        upstream_headers: upstream.map(|request| text(request.headers)),
        response_headers: local.as_ref().and(response).map(|response| text(response.headers)),
        response_body: None,
        cut: None,
        trap: trap.map(|trap| trap.to_string()),
        answer: None,
        client_reason: local.and_then(|reply| client_reason(&reply.body)),
        record: None,
    }
}

/// Field values are bytes and JSON is text: what is no UTF-8 shows as U+FFFD.
pub(super) fn text(headers: Headers) -> Vec<(String, String)> {
    let lossy = |bytes| String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    headers.into_iter().map(|(name, value)| (lossy(name), lossy(value))).collect()
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}
