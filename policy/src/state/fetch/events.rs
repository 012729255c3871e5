//! Polling a provider's security events (RFC 8936): one worker of a proxy for all. What it has heard is written into what the workers
//! share, and only then, with the next poll, the provider is told that it was taken.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use serde_json::Value;

use super::keys::body;
use super::schedule::Schedule;
use super::set::{self, Expected, Fault, Refusal};
use super::{Answer, Failure, Fetch, News, Post, Ticket};
use crate::primitives::json::{self, Line};
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::rules::events::{Events, EventsId};
use crate::rules::issuers::Issuer;
use crate::rules::policy::Policy;
use crate::state::sessions::{SharedState, Unavailable};
use crate::state::told::Told;
use crate::token::keys::{KeySet, VerifySignature};

/// What a worker knows of one stream of events.
#[derive(Default)]
pub(super) struct Poll {
    pub(super) schedule: Schedule,
    /// By whose rules what is under way is to be judged.
    asked_by: Option<Weak<Policy>>,
    /// What came of each token, by its `jti`: to be told with the next poll.
    outcomes: Vec<(String, Outcome)>,
    /// What was told with the one that is under way.
    told: Vec<(String, Outcome)>,
    /// When the workers have heard of all of that, in the proxy's own time: no poll begins before.
    settled: Duration,
    /// There is something to tell: the next poll is due as soon as it may begin.
    soon: bool,
    /// Tokens were left there, as their key was not known.
    waiting: bool,
}

/// What the transmitter is told of a token.
#[derive(Clone, Copy)]
enum Outcome {
    Taken,
    Refused(Refusal),
}

/// What came with one answer.
pub(super) struct Heard {
    pub(super) news: News,
    /// The tokens that are refused, by their `jti`.
    pub(super) refused: Vec<(String, Refusal)>,
    /// A key was asked for that the issuer does not have.
    pub(super) key_unknown: bool,
}

impl Poll {
    /// Is it this worker's to ask now? Tells the other workers for as long as it is.
    pub(super) fn is_due(&mut self, id: &EventsId, events: &Events, owner: &str, told: &Told, salt: u64, now: Timestamp) -> bool {
        let Some(shared) = told.shared() else { return false };
        let Ok(true) = leads(shared, id, owner) else { return false };
        let Ok(elapsed) = shared.elapsed() else { return false };
        let refresh = if self.soon { limits::EVENTS_SETTLE.min(events.every) } else { events.every };
        elapsed >= self.settled && self.schedule.is_due(refresh, salt, now)
    }

    /// The request, which counts as begun; `authorization` is what it shows.
    pub(super) fn begin(
        &mut self,
        ticket: Ticket,
        policy: &Rc<Policy>,
        id: &EventsId,
        authorization: Option<&[u8]>,
        now: Timestamp,
    ) -> Fetch {
        self.schedule.begin(ticket, now);
        self.asked_by = Some(Rc::downgrade(policy));
        self.told = self.outcomes.clone();
        let post = Post {
            content_type: "application/json",
            authorization: authorization.map(<[u8]>::to_vec),
            body: request(&self.told).into_bytes(),
        };
        Fetch::events(ticket, id, post)
    }

    /// The policy that asked, and its rules for this stream.
    pub(super) fn asked_by(&self) -> Option<Rc<Policy>> {
        self.asked_by.as_ref()?.upgrade()
    }

    /// Takes an answer. Where it is none, or what it says could not be shared, nothing of it is ever told as taken.
    #[expect(clippy::too_many_arguments, reason = "whose keys, by whom, into what, and when")]
    pub(super) fn take(
        &mut self,
        answer: Answer<'_>,
        id: &EventsId,
        issuer: &Issuer,
        keys: Option<&KeySet>,
        told: &mut Told,
        now: Timestamp,
        verifier: &dyn VerifySignature,
    ) -> Result<Heard, Failure> {
        let mut answer = json::parse_object(body(answer, limits::EVENTS_ANSWER_BYTES)?, limits::EVENTS_JSON_DEPTH);
        let sets = answer.as_mut().and_then(|answer| answer.remove("sets"));
        let Some(Value::Object(sets)) = sets else { return Err(Failure::Malformed) };
        let keys = keys.ok_or(Failure::KeyUnknown)?;
        let checks = Cell::new(limits::EVENTS_A_POLL);
        let expected = Expected { name: &id.issuer, issuer, keys, audience: &id.audience, now, checks: &checks };
        let (mut outcomes, mut endings, mut new) = (Vec::new(), Vec::new(), 0);
        let (mut refused, mut key_unknown) = (Vec::new(), false);
        for (jti, token) in sets {
            // The transmitter has been told, and sends it all the same: it is taken once.
            if let Some((_, outcome)) = self.told.iter().find(|(told, _)| *told == jti) {
                outcomes.push((jti, *outcome));
                continue;
            }
            let read = match token.as_str() {
                _ if jti.len() > limits::IDENTIFIER_BYTES => Err(Fault::Refused(Refusal::Malformed)),
                Some(token) => set::read(&jti, token, &expected, verifier),
                None => Err(Fault::Refused(Refusal::Malformed)),
            };
            let outcome = match read {
                Ok(ends) => {
                    endings.extend(ends);
                    Outcome::Taken
                }
                Err(Fault::KeyUnknown) => {
                    key_unknown = true;
                    continue;
                }
                Err(Fault::Later) => continue,
                Err(Fault::Refused(refusal)) => {
                    refused.push((jti.clone(), refusal));
                    Outcome::Refused(refusal)
                }
            };
            new += 1;
            outcomes.push((jti, outcome));
        }
        if !endings.is_empty() {
            let written = told.write(&id.issuer, &endings, now).map_err(|Unavailable| Failure::NotShared)?;
            self.settled = written.saturating_add(limits::EVENTS_SETTLE);
        }
        self.outcomes = outcomes;
        self.soon = new > 0;
        let waits = std::mem::replace(&mut self.waiting, key_unknown);
        let news = News::Events { taken: new - refused.len(), refused: refused.len(), waiting: key_unknown && !waits };
        Ok(Heard { news, refused, key_unknown })
    }

    /// It came to nothing: what is to be told is told with the next one, which is not sooner for it.
    pub(super) fn failed(&mut self) {
        self.soon = false;
    }
}

/// The body of a poll (RFC 8936 §2.4): what is asked for, and what came of the tokens before.
fn request(told: &[(String, Outcome)]) -> String {
    let mut line = Line(String::new());
    line.number(r#"{"maxEvents":"#, limits::EVENTS_A_POLL as u64);
    line.raw(r#","returnImmediately":true,"ack":["#);
    let taken = told.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Taken));
    for (index, (jti, _)) in taken.enumerate() {
        line.member(if index == 0 { "" } else { "," }, jti);
    }
    line.raw(r#"],"setErrs":{"#);
    let refused = told.iter().filter_map(|(jti, outcome)| match outcome {
        Outcome::Taken => None,
        Outcome::Refused(refusal) => Some((jti, refusal)),
    });
    for (index, (jti, refusal)) in refused.enumerate() {
        line.member(if index == 0 { "" } else { "," }, jti);
        line.member(r#":{"err":"#, refusal.code());
        line.member(r#","description":"#, refusal.text());
        line.raw("}");
    }
    line.raw("}}");
    line.0
}

/// Does this worker poll for all? The one that says so first, until it is gone for as long as its lease.
fn leads(shared: &dyn SharedState, id: &EventsId, owner: &str) -> Result<bool, Unavailable> {
    let EventsId { issuer, target, audience } = id;
    let key = format!("chaperone/events/1/poll/{issuer} {audience} {}{} {}", target.authority, target.path, target.cluster);
    let now = shared.elapsed()?;
    let found = shared.get(&key)?;
    // What cannot be read is nobody's.
    let until = |bytes: &[u8; 8]| Duration::from_nanos(u64::from_le_bytes(*bytes));
    let known = found.as_ref().and_then(|(value, _)| value.split_first_chunk::<8>()).map(|(bytes, owner)| (until(bytes), owner));
    // A time that is further away than any worker says was written by none.
    let known = known.filter(|(until, _)| *until > now && *until - now <= limits::EVENTS_LEASE);
    match known {
        Some((until, leader)) if leader == owner.as_bytes() && until - now > limits::EVENTS_LEASE / 2 => Ok(true),
        Some((_, leader)) if leader != owner.as_bytes() => Ok(false),
        Some(_) | None => {
            let until = u64::try_from((now + limits::EVENTS_LEASE).as_nanos()).unwrap_or(u64::MAX);
            let value = [&until.to_le_bytes(), owner.as_bytes()].concat();
            shared.put(&key, &value, found.map(|(_, version)| version))
        }
    }
}
