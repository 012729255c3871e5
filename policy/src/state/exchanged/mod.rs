//! Tokens that a worker has got for its sessions' own (RFC 8693, RFC 7523): one flight for a session token and a target, what came of
//! it until shortly before its end, and for a moment that nothing came.
//!
//! Nothing here lets anybody in: a token is given to a request that has just been allowed, and to no other.

mod answer;
mod request;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use self::answer::Issued;
use crate::primitives::digest::hash;
use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::credential::{Secret, TokenExchange};
use crate::rules::policy::Policy;
use crate::state::fetch::{Answer, Failure, Fetch, News, Report, Ticket};
use crate::state::session::Session;
use crate::state::tally::Tally;

/// What was had for which session token, by its digest, and where.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    token: [u8; 32],
    exchange: Rc<TokenExchange>,
}

struct Entry {
    state: State,
    session: Rc<Session>,
    /// When that ends, in Unix seconds: nothing is held longer.
    ends: u64,
    /// For as long as it is here, its session's tally says so.
    counted: Counted,
}

enum State {
    UnderWay {
        ticket: Ticket,
        waiting: Rc<Cell<u32>>,
        /// When a tick first saw it, by the clock: the worker's latest instant may stand still for long.
        seen: Cell<Option<Timestamp>>,
    },
    /// Until this instant in Unix seconds.
    Held {
        token: Rc<str>,
        until: u64,
    },
    Failed {
        at: Timestamp,
        seen: Cell<Option<Timestamp>>,
    },
}

/// What there is for a request that is to be given a token.
pub(crate) enum Obtained {
    Has(Rc<str>),
    /// It comes with this fetch, or not at all.
    Waits(Ticket, Waiting),
}

/// One who waits for a flight, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Waiting(Rc<Cell<u32>>);

impl Waiting {
    fn begin(room: &Rc<Cell<u32>>) -> Result<Self, Reason> {
        if room.get() >= limits::EXCHANGE_WAITING {
            return Err(Reason::Overloaded);
        }
        room.set(room.get() + 1);
        Ok(Self(Rc::clone(room)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// One of the tokens that were had for a session.
struct Counted(Rc<Tally>);

impl Counted {
    fn of(tally: &Rc<Tally>) -> Self {
        tally.exchanged.set(tally.exchanged.get() + 1);
        Self(Rc::clone(tally))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.exchanged.set(self.0.exchanged.get().saturating_sub(1));
    }
}

/// Who asks for a token, and for which.
pub(crate) struct Asker<'a> {
    pub(crate) exchange: &'a Rc<TokenExchange>,
    /// The session's own token, and its digest.
    pub(crate) text: &'a [u8],
    pub(crate) digest: [u8; 32],
    pub(crate) session: &'a Rc<Session>,
    pub(crate) tally: &'a Rc<Tally>,
    pub(crate) ends: u64,
}

/// What of its worker an exchange needs to begin.
pub(crate) struct Means<'w> {
    pub(crate) environment: &'w BTreeMap<String, Secret>,
    pub(crate) seed: &'w [u8; 32],
    pub(crate) latest: Timestamp,
    pub(crate) ticket: Ticket,
}

#[derive(Default)]
pub(crate) struct Exchanged {
    entries: HashMap<Key, Entry>,
    flights: HashMap<Ticket, Key>,
    /// How many of what is held are this text: an endpoint may give the same twice.
    texts: HashMap<Rc<str>, u32>,
    wanted: Vec<Fetch>,
    lost: Vec<Report>,
    /// The second in which a failure was last worth a line.
    told: Option<u64>,
    made: u64,
    failed: u64,
}

impl Exchanged {
    /// What was had for the token; where nothing was, it is wanted from now on.
    pub(crate) fn ask(&mut self, asker: &Asker<'_>, means: &Means<'_>) -> Result<Obtained, Reason> {
        let key = Key { token: asker.digest, exchange: Rc::clone(asker.exchange) };
        match self.entries.get(&key).map(|entry| &entry.state) {
            Some(State::Held { token, until }) if means.latest.seconds() < *until => return Ok(Obtained::Has(Rc::clone(token))),
            Some(State::UnderWay { ticket, waiting, .. }) => return Ok(Obtained::Waits(*ticket, Waiting::begin(waiting)?)),
            Some(State::Failed { at, .. }) if means.latest.since(*at) < limits::EXCHANGE_FAILED => {
                return Err(Reason::CredentialUnavailable);
            }
            Some(State::Held { .. } | State::Failed { .. }) => self.drop_entry(&key),
            None => {}
        }
        if self.flights.len() >= limits::EXCHANGES_UNDER_WAY || !self.make_room(asker.tally) {
            return Err(Reason::Overloaded);
        }
        // What is sent is the token by whose digest its answer is found.
        if hash(&[asker.text]) != asker.digest {
            return Err(Reason::InternalError);
        }
        let waiting = Rc::default();
        let state = match request::post(asker, means) {
            Ok(post) => {
                self.wanted.push(Fetch::exchange(means.ticket, asker.exchange, post));
                self.flights.insert(means.ticket, key.clone());
                State::UnderWay { ticket: means.ticket, waiting: Rc::clone(&waiting), seen: Cell::default() }
            }
            Err(unsent) => {
                let report = Report::of_exchange(&key.exchange, Err(unsent.failure), Some(unsent.variable));
                let report = self.tell(report, means.latest);
                self.lost.push(report);
                State::Failed { at: means.latest, seen: Cell::default() }
            }
        };
        let began = matches!(state, State::UnderWay { .. });
        let entry = Entry { state, session: Rc::clone(asker.session), ends: asker.ends, counted: Counted::of(asker.tally) };
        self.entries.insert(key, entry);
        if began { Ok(Obtained::Waits(means.ticket, Waiting::begin(&waiting)?)) } else { Err(Reason::CredentialUnavailable) }
    }

    /// Pushes out the token that ends the soonest, where there is no room for another: the session's own, where it has its share. False
    /// where all are on their way.
    fn make_room(&mut self, tally: &Rc<Tally>) -> bool {
        let has_share = tally.exchanged.get() >= limits::EXCHANGED_A_SESSION;
        if self.entries.len() < limits::EXCHANGED_TOKENS && !has_share {
            return true;
        }
        let within = self.entries.iter().filter(|(_, entry)| !has_share || Rc::ptr_eq(&entry.counted.0, tally));
        let held = within.filter_map(|(key, entry)| match entry.state {
            State::Held { until, .. } => Some((until, key)),
            State::Failed { .. } => Some((0, key)),
            State::UnderWay { .. } => None,
        });
        let Some(key) = held.min_by_key(|(until, _)| *until).map(|(_, key)| key.clone()) else { return false };
        self.drop_entry(&key);
        true
    }

    fn drop_entry(&mut self, key: &Key) {
        match self.entries.remove(key).map(|entry| entry.state) {
            Some(State::Held { token, .. }) => {
                let left = self.texts.get(&token).map_or(0, |count| count.saturating_sub(1));
                match left {
                    0 => drop(self.texts.remove(&token)),
                    left => drop(self.texts.insert(token, left)),
                }
            }
            Some(State::UnderWay { ticket, .. }) => {
                self.flights.remove(&ticket);
                self.wanted.retain(|fetch| fetch.ticket != ticket);
            }
            Some(State::Failed { .. }) | None => {}
        }
    }

    fn drop_where(&mut self, is_over: impl Fn(&Key, &Entry) -> bool) {
        let over: Vec<_> = self.entries.iter().filter(|(key, entry)| is_over(key, entry)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| self.drop_entry(key));
    }

    /// What was had for this token, by its digest, is over.
    pub(crate) fn end_token(&mut self, token: &[u8; 32]) {
        self.drop_where(|key, _| key.token == *token);
    }

    /// What was had for the session of this tally is over.
    pub(crate) fn end_session(&mut self, tally: &Rc<Tally>) {
        if tally.exchanged.get() > 0 {
            self.drop_where(|_, entry| Rc::ptr_eq(&entry.counted.0, tally));
        }
    }

    /// What this policy revokes is over.
    pub(in crate::state) fn adopt(&mut self, policy: &Policy) {
        if let Some(rules) = policy.rules() {
            self.drop_where(|_, entry| rules.revoked.find(&entry.session.claims).is_some());
        }
    }

    /// Keeps what these policies name.
    pub(in crate::state) fn hold_for(&mut self, policies: &[Rc<Policy>]) {
        let named = |exchange: &Rc<TokenExchange>| {
            let all = policies.iter().filter_map(|policy| policy.rules()).flat_map(|rules| &rules.all_credentials);
            all.filter_map(|credential| credential.exchange()).any(|other| other == exchange)
        };
        self.drop_where(|key, _| !named(&key.exchange));
    }

    /// Is nothing held?
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Is this one of the tokens that are held?
    pub(crate) fn holds(&self, text: &[u8]) -> bool {
        !self.texts.is_empty() && std::str::from_utf8(text).is_ok_and(|text| self.texts.contains_key(text))
    }

    pub(in crate::state) fn is_wanting(&self) -> bool {
        !self.wanted.is_empty() || !self.lost.is_empty()
    }

    /// What is to be asked for now, and what could not be.
    pub(in crate::state) fn take_wanted(&mut self) -> (Vec<Fetch>, Vec<Report>) {
        (std::mem::take(&mut self.wanted), std::mem::take(&mut self.lost))
    }

    pub(in crate::state) fn awaits(&self, ticket: Ticket) -> bool {
        self.flights.contains_key(&ticket)
    }

    /// Takes what came of a flight.
    pub(in crate::state) fn take(&mut self, ticket: Ticket, answer: Answer<'_>, latest: Timestamp) -> Option<Report> {
        let key = self.flights.remove(&ticket)?;
        let entry = self.entries.get_mut(&key)?;
        let issued = answer::read(answer, &key.exchange, &key.token, latest).and_then(|issued| {
            let until = issued.until.min(entry.ends);
            // Whoever waits would ask for another at once, and again.
            if until > latest.seconds() { Ok(Issued { until, ..issued }) } else { Err(Failure::Expired) }
        });
        let result = match issued {
            Ok(Issued { token, until }) => {
                *self.texts.entry(Rc::clone(&token)).or_default() += 1;
                entry.state = State::Held { token, until };
                self.made += 1;
                Ok(News::Token)
            }
            Err(failure) => {
                entry.state = State::Failed { at: latest, seen: Cell::default() };
                Err(failure)
            }
        };
        let report = Report::of_exchange(&key.exchange, result, None);
        Some(if result.is_err() { self.tell(report, latest) } else { report })
    }

    /// Counts a failure; one in a second is worth a line.
    fn tell(&mut self, report: Report, latest: Timestamp) -> Report {
        self.failed += 1;
        let second = Some(latest.seconds());
        if std::mem::replace(&mut self.told, second) == second { report.unsaid() } else { report }
    }

    /// Time passes: gives up flights of which nothing was heard, forgets failures, and lets go of what is over.
    pub(in crate::state) fn tick(&mut self, now: Timestamp, latest: Timestamp) -> Vec<Report> {
        let (mut silent, mut over) = (Vec::new(), Vec::new());
        for (key, entry) in &self.entries {
            match &entry.state {
                State::UnderWay { ticket, seen, .. } if has_passed(key.exchange.timeout + limits::FETCH_GRACE, seen, now) => {
                    silent.push(*ticket);
                }
                State::Failed { seen, .. } if has_passed(limits::EXCHANGE_FAILED, seen, now) => over.push(key.clone()),
                State::Held { until, .. } if *until <= latest.seconds() => over.push(key.clone()),
                State::UnderWay { .. } | State::Held { .. } | State::Failed { .. } => {}
            }
        }
        over.iter().for_each(|key| self.drop_entry(key));
        silent.into_iter().filter_map(|ticket| self.take(ticket, Answer::Nothing, latest)).collect()
    }

    /// How many were had, and how many attempts failed.
    pub(in crate::state) fn counts(&self) -> (u64, u64) {
        (self.made, self.failed)
    }
}

/// Has as much time passed since a tick first saw it, by a clock that may step back?
fn has_passed(time: Duration, seen: &Cell<Option<Timestamp>>, now: Timestamp) -> bool {
    let since = seen.get().unwrap_or(now);
    seen.set(Some(since));
    now < since || now.since(since) >= time
}

/// Why nothing could be asked: the name of the variable that is missing or cannot be used.
struct Unsent {
    failure: Failure,
    variable: String,
}
