//! Recorded requests through one filter, line by line: `replay`'s loop, without files and without a terminal.

use super::Filter;
use crate::host::{LogSink, Module, Trap, UpdateError};
use chaperone_authoring::{
    cases::Exchange,
    outcome::Outcome,
    published::Published,
    recorded::{BadLine, Line, issuer},
    token::{KeyError, RunKeys, carrier},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::HashMap, fmt};

/// Tokens of claims that were seen before; a log repeats its sessions. Beyond this they are signed anew.
const SIGNED_TOKENS: usize = 10_000;

/// One filter with its policy and the keys of this run, waiting for lines.
pub struct Replay {
    module: Module,
    environment: Vec<(String, String)>,
    log: LogSink,
    /// The policy with the run's keys.
    policy: Value,
    keys: RunKeys,
    published: Published,
    signed: HashMap<Vec<u8>, Vec<u8>>,
    /// Where tokens go: the header's name, and what stands before the token.
    carrier: (String, String),
    times: Times,
    /// The filter and its time, once the first line has said what that is.
    running: Option<(Filter, Timestamp)>,
}

/// The time of a run: it stands still from line to line until an `at` moves it forward.
#[derive(Debug, Default)]
pub struct Times(Option<Timestamp>);

impl Times {
    /// The time of the next line, which has this `at`; before the first one it is `now`. `text` is for the place of a mistake.
    ///
    /// # Errors
    /// When it is before that of an earlier line.
    pub fn next(&mut self, at: Option<Timestamp>, text: &str, now: Timestamp) -> Result<Timestamp, BadLine> {
        match (at, self.0) {
            (Some(at), Some(time)) if at < time => Err(BadLine {
                offset: text.find("\"at\"").unwrap_or(0),
                message: format!("`at` is {at}, and an earlier line was at {time}"),
                help: Some("time only moves forward: sort the lines by `at`".to_owned()),
            }),
            (at, time) => Ok(*self.0.insert(at.or(time).unwrap_or(now))),
        }
    }
}

/// The most signature checks a second that a policy may ask for.
const MOST_VERIFICATIONS: u32 = 100_000;

/// Does all of its body come at once, and is nothing known of its answer? Most of a log is so, and decided with less work.
fn is_plain(exchange: &Exchange) -> bool {
    exchange.chunks.is_empty() && exchange.reply.is_none()
}

/// Lifts the limit of signature checks a second, unless the policy sets one: it spares a proxy's processor in real
/// seconds, and here time stands still while a day's sessions go by.
fn lift_rate_limit(policy: &mut Value) {
    let Some(members) = policy.as_object_mut() else { return };
    let limits = members.entry("limits").or_insert_with(|| json!({}));
    if let Some(limits) = limits.as_object_mut() {
        limits.entry("verifications_per_second").or_insert(json!(MOST_VERIFICATIONS));
    }
}

/// Why a line was not decided.
#[derive(Debug)]
pub enum ReplayError {
    /// The line is no recorded request, or its time is before that of the line before it: it was not decided.
    Bad(BadLine),
    /// No key could be made.
    Key(KeyError),
    /// The filter trapped while it started or was configured.
    Trapped(Trap),
    /// The filter does not take the policy.
    Rejected(UpdateError),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(line) => line.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Trapped(trap) => trap.fmt(f),
            Self::Rejected(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReplayError {}

impl Replay {
    /// Prepares a run: the policy gets a key of this run for each of its issuers.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(module: Module, policy: &Value, environment: Vec<(String, String)>, log: LogSink) -> Result<Self, ReplayError> {
        let mut keys = RunKeys::for_policy(policy).map_err(ReplayError::Key)?;
        let mut policy = policy.clone();
        keys.add_to(&mut policy);
        lift_rate_limit(&mut policy);
        let published = Published::of(&policy, &mut keys).map_err(ReplayError::Key)?;
        let carrier = carrier(&policy);
        Ok(Self {
            module,
            environment,
            log,
            policy,
            keys,
            published,
            signed: HashMap::new(),
            carrier,
            times: Times::default(),
            running: None,
        })
    }

    /// Starts the filter now rather than with the first line, so that a policy it rejects is known even without any.
    ///
    /// # Errors
    /// When the filter traps or does not take the policy.
    pub fn start(&mut self, at: Timestamp) -> Result<(), ReplayError> {
        self.running = Some(self.launch(at)?);
        Ok(())
    }

    fn launch(&self, at: Timestamp) -> Result<(Filter, Timestamp), ReplayError> {
        let environment = self.environment.clone();
        let mut filter = Filter::start(&self.module, environment, 1, at, self.log.clone()).map_err(ReplayError::Trapped)?;
        filter.publish(self.published.clone());
        filter.configure_alone(self.policy.to_string().as_bytes()).map_err(ReplayError::Rejected)?;
        Ok((filter, at))
    }

    /// Decides one line at the time that [`Times`] says.
    ///
    /// # Errors
    /// When the line is no recorded request, or the filter does not start.
    pub fn decide(&mut self, number: u64, text: &str, now: Timestamp) -> Result<Outcome, ReplayError> {
        let line = Line::parse(text).map_err(ReplayError::Bad)?;
        let at = self.times.next(line.at, text, now).map_err(ReplayError::Bad)?;
        let (filter, exchange) = self.ready(line, at)?;
        let outcome = if is_plain(&exchange) { filter.send(0, &exchange.request) } else { filter.answered(0, &exchange) };
        Ok(Outcome { line: number, ..outcome })
    }

    /// As [`Replay::decide`], with the line already parsed, at this time, and without the filter's record, which takes a while to read.
    ///
    /// # Errors
    /// When the filter does not start.
    pub fn decide_line(&mut self, number: u64, line: Line, at: Timestamp) -> Result<Outcome, ReplayError> {
        let (filter, exchange) = self.ready(line, at)?;
        let outcome = if is_plain(&exchange) { filter.decide(0, *exchange.request) } else { filter.answered(0, &exchange) };
        Ok(Outcome { line: number, ..outcome })
    }

    /// The filter at this time, and what the line has.
    fn ready(&mut self, line: Line, at: Timestamp) -> Result<(&mut Filter, Exchange), ReplayError> {
        let moves = line.at.is_some();
        let exchange = self.exchange(line)?;
        let running = match self.running.take() {
            Some(running) => running,
            None => self.launch(at)?,
        };
        let (filter, time) = self.running.insert(running);
        if moves || *time != at {
            *time = at;
            filter.set_time(at);
        }
        Ok((filter, exchange))
    }

    /// What the line has, its request with the token of its claims; the same one for the same claims.
    ///
    /// # Errors
    /// When no key can be made.
    pub(crate) fn exchange(&mut self, line: Line) -> Result<Exchange, ReplayError> {
        let Line { mut exchange, claims, at: _ } = line;
        if let Some(claims) = claims {
            let value = self.sign(claims)?;
            exchange.request.headers.push((self.carrier.0.clone().into_bytes(), value));
        }
        Ok(exchange)
    }

    /// The policy with the keys of this run.
    pub(crate) fn policy(&self) -> &Value {
        &self.policy
    }

    /// What the issuers publish in this run.
    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// The header value that carries a token of these claims: signed once, as a log repeats its sessions.
    fn sign(&mut self, claims: Vec<u8>) -> Result<Vec<u8>, ReplayError> {
        if let Some(value) = self.signed.get(&claims) {
            return Ok(value.clone());
        }
        let issuer = issuer(&claims);
        let token = self.keys.sign(&self.policy, issuer.as_deref(), &claims).map_err(ReplayError::Key)?;
        let value = format!("{}{token}", self.carrier.1).into_bytes();
        if self.signed.len() >= SIGNED_TOKENS {
            self.signed.clear();
        }
        self.signed.insert(claims, value.clone());
        Ok(value)
    }
}
