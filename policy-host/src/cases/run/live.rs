//! One case: a proxy at an instant, the streams that are open in it, and time that passes.

use super::Taken;
use crate::{
    host::{ConfigureError, LogSink, Module, UpdateError},
    replay::{End, Filter, Stream},
};
use chaperone_authoring::{
    cases::{
        Action, Case, Exchange, Expect, Failure, Mismatch, Plan, Ran, Step, StreamState, check, check_opened, check_streams,
    },
    outcome::{Decision, Outcome},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

/// Runs a case from its beginning to its end.
pub(super) fn run(module: &Module, log: &LogSink, taken: &Taken, plan: &Plan, case: &Case) -> Ran {
    let mut ran = Ran { failures: Vec::new(), outcomes: Vec::new(), trap: None, took: Duration::ZERO };
    let environment = plan.env.clone().into_iter().collect();
    match Filter::start(module, environment, plan.workers, plan.at, log.clone()) {
        Ok(mut filter) => {
            filter.publish(plan.published.clone());
            let mut live = Live { filter, now: plan.at, streams: BTreeMap::new(), taken, case, ran: &mut ran };
            if live.all(plan).is_some() {
                live.finish();
            }
        }
        Err(trap) => ran.trap = Some(trap.to_string()),
    }
    ran.failures.sort_by_key(|failure| failure.step);
    ran.outcomes.sort_by_key(|(step, _)| *step);
    ran
}

struct Live<'r> {
    filter: Filter,
    now: Timestamp,
    streams: BTreeMap<String, Opened<'r>>,
    taken: &'r Taken,
    case: &'r Case,
    ran: &'r mut Ran,
}

/// A stream with what its step expects, which is looked at when the stream is over and its record written.
struct Opened<'r> {
    step: usize,
    expect: Option<&'r Expect>,
    state: State,
}

enum State {
    Open(Box<Stream>),
    Over(StreamState),
}

/// The filter is dead, and so is the case.
type Alive = Option<()>;

impl<'r> Live<'r> {
    fn all(&mut self, plan: &Plan) -> Alive {
        self.configure(0, &plan.policy_json)?;
        for (index, step) in self.case.steps.iter().enumerate() {
            self.advance(step.at)?;
            self.step(index, step)?;
            // The filter may act on any stream from any callback.
            self.look_after_streams()?;
        }
        Some(())
    }

    fn step(&mut self, index: usize, step: &'r Step) -> Alive {
        match &step.action {
            Action::Configure(policy) => self.configure(index, policy),
            Action::Publish(scripts) => {
                self.filter.site().lock().script(scripts);
                Some(())
            }
            Action::Send { exchange, expect } => {
                let outcome = self.begin(step.worker, exchange, false).and_then(|stream| self.end(stream));
                self.judge(index, Some(expect), outcome?)
            }
            Action::Open { stream, exchange, expect } => {
                let begun = self.begin(step.worker, exchange, true)?;
                let opened = Opened { step: index, expect: expect.as_ref(), state: State::Open(Box::new(begun)) };
                self.streams.insert(stream.clone(), opened);
                Some(())
            }
            Action::Look(expected) => {
                let seen = |name: &str| {
                    self.streams.get(name).map(|opened| match &opened.state {
                        State::Open(_) => StreamState::Open,
                        State::Over(state) => state.clone(),
                    })
                };
                let mismatches = check_streams(expected, seen);
                self.fail(index, mismatches);
                Some(())
            }
        }
    }

    fn configure(&mut self, index: usize, policy: &[u8]) -> Alive {
        let given = match self.taken.holds(policy) {
            true => self.filter.configure_workers(policy),
            false => self.filter.configure(policy),
        };
        let Err(error) = given else {
            self.taken.add(policy);
            return Some(());
        };
        let (UpdateError::Canary(why) | UpdateError::Worker { error: why, .. }) = &error;
        match why {
            ConfigureError::Trapped(trap) => self.died(trap.to_string()),
            ConfigureError::Rejected => {
                let mismatch = Mismatch { what: "policy".into(), expected: "taken".into(), found: error.to_string() };
                self.fail(index, vec![mismatch]);
                // Nothing that follows would mean anything.
                None
            }
        }
    }

    /// Moves time and runs what comes due on the way. While streams are open it stops at each such moment to see what became
    /// of them.
    fn advance(&mut self, to: Timestamp) -> Alive {
        let end = self.filter.now().saturating_add(to.duration_since(self.now).unsigned_abs());
        self.now = to;
        loop {
            let now = self.filter.now();
            let open = self.streams.values().any(|opened| matches!(opened.state, State::Open(_)));
            let stop = self.filter.next_due().filter(|due| open && *due < end).unwrap_or(end);
            self.filter.proxy().advance(stop.saturating_sub(now));
            self.look_after_streams()?;
            if let Some(trap) = self.filter.trap() {
                return self.died(trap);
            }
            if stop == end {
                return Some(());
            }
        }
    }

    /// Streams that are over are ended at once, so that their records have the time at which they were.
    fn look_after_streams(&mut self) -> Alive {
        let names: Vec<String> = self.streams.keys().cloned().collect();
        for name in names {
            let Some(opened) = self.streams.get_mut(&name) else { continue };
            let State::Open(stream) = &mut opened.state else { continue };
            let Some(worker) = self.filter.proxy().worker(stream.worker) else { continue };
            let end = stream.end(worker);
            if end == End::Open {
                continue;
            }
            let State::Open(stream) = std::mem::replace(&mut opened.state, State::Over(StreamState::Closed)) else { continue };
            let (step, expect) = (opened.step, opened.expect);
            let mut outcome = self.end(*stream)?;
            if let (Some(reason), Some(opened)) = (outcome.cut.take(), self.streams.get_mut(&name)) {
                opened.state = State::Over(StreamState::Cut(reason));
                // What its record says, and its answer, is why it ended; when it opened there was nothing to say against it.
                (outcome.decision, outcome.reason) = (Decision::Allow, None);
            }
            self.judge(step, expect, outcome)?;
        }
        Some(())
    }

    /// The case is over, and with it what is still open.
    fn finish(&mut self) {
        for (_, opened) in std::mem::take(&mut self.streams) {
            let State::Open(stream) = opened.state else { continue };
            let alive = self.end(*stream).and_then(|outcome| self.judge(opened.step, opened.expect, outcome));
            if alive.is_none() {
                return;
            }
        }
    }

    fn begin(&mut self, worker: usize, exchange: &Exchange, stays_open: bool) -> Option<Stream> {
        let found = self.filter.proxy().worker(worker)?;
        Some(Stream::begin(worker, found, exchange, stays_open))
    }

    fn end(&mut self, stream: Stream) -> Option<Outcome> {
        let worker = self.filter.proxy().worker(stream.worker)?;
        Some(stream.finish(worker))
    }

    fn judge(&mut self, index: usize, expect: Option<&Expect>, outcome: Outcome) -> Alive {
        let trap = outcome.trap.clone();
        if trap.is_none() {
            let mismatches = match expect {
                Some(expect) => check(expect, &outcome),
                None => check_opened(&outcome),
            };
            self.fail(index, mismatches);
        }
        self.ran.outcomes.push((index, outcome));
        match trap {
            Some(trap) => {
                self.fail_at(index, Vec::new());
                self.died(trap)
            }
            None => Some(()),
        }
    }

    fn died(&mut self, trap: String) -> Alive {
        self.ran.trap = Some(trap);
        None
    }

    fn fail(&mut self, index: usize, mismatches: Vec<Mismatch>) {
        if !mismatches.is_empty() {
            self.fail_at(index, mismatches);
        }
    }

    fn fail_at(&mut self, index: usize, mismatches: Vec<Mismatch>) {
        if let Some(step) = self.case.steps.get(index) {
            self.ran.failures.push(Failure { step: index, name: step.name.clone(), location: step.location.clone(), mismatches });
        }
    }
}
