//! Sessions that end for what they do, or leave undone: too many denials, another place, idleness. What the workers of a proxy
//! know of that they share; an ending is never taken back, and where it cannot be known the request is denied.
//!
//! All of it belongs to issuer and session, whichever policy asks: policies of one proxy that share count each other's denials and
//! end each other's sessions.

mod bytes;
mod entry;
mod key;
mod owed;
mod shard;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod usage;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::rules::ending::{Denials, StateRules};
use crate::rules::policy::Rules;
use crate::state::session::Session;
use crate::token::claims::Claims;

use entry::{Change, Entry, Id, Malformed};
use key::Key;
use owed::Owed;
use shard::Shard;

pub(crate) use bytes::StreamBytes;
pub(crate) use entry::Ending;
pub(crate) use key::StateKey;
pub use shared::{LocalState, SharedState, Unavailable};
pub(crate) use usage::{Bytes, Charge, Count, Excess, Marked, Needed};

/// Why a session may not go on, and whether it was ended just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: Reason,
    pub(crate) ended_now: Option<Ending>,
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self { reason, ended_now: None }
    }
}

impl From<Unavailable> for Stop {
    fn from(_: Unavailable) -> Self {
        Reason::InternalError.into()
    }
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Reason::InternalError.into()
    }
}

/// Calls that are not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) stop: Stop,
    /// In so many seconds they would be, where that is known.
    pub(crate) retry_after: Option<u64>,
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self { stop, retry_after: None }
    }
}

/// What came of a [`Charge`].
#[derive(Debug)]
pub(crate) struct Charged {
    pub(crate) result: Result<(), Refused>,
    /// For each of its counts, the calls that counted before; none where that cannot be known.
    pub(crate) before: Vec<u16>,
}

fn reason_of(ending: Ending) -> Reason {
    match ending {
        Ending::Denials | Ending::ContextChange => Reason::SessionEnded,
        Ending::Idle => Reason::Idle,
    }
}

/// Whose state is asked for, by which rules.
#[derive(Clone, Copy)]
pub(crate) struct StateQuery<'a> {
    pub(crate) rules: &'a StateRules,
    /// The longest that a token can still be valid, in seconds.
    pub(crate) lifetime: u64,
    pub(crate) claims: &'a Claims,
    pub(crate) key: &'a StateKey,
}

/// What one worker does with the shared state.
pub(crate) struct Sessions {
    shared: Option<Rc<dyn SharedState>>,
    /// The key that it proposes, and the one that is in use.
    proposed: Key,
    key: Option<Key>,
    /// Something may have been ended that a policy's rules no longer ask for.
    marked: bool,
    /// The longest that any policy which it was given lets a token be valid, in seconds.
    longest_lifetime: u64,
    /// What the last sweep over the open streams has read, by the shard's number, and that there was no key.
    swept: HashMap<u8, Rc<Shard>>,
    keyless: bool,
    owed: Owed,
}

impl Sessions {
    /// Of a worker with a random seed.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        Self {
            shared: None,
            proposed: Key::proposed(seed),
            key: None,
            marked: false,
            longest_lifetime: 0,
            swept: HashMap::new(),
            keyless: false,
            owed: Owed::default(),
        }
    }

    pub(crate) fn share(&mut self, shared: Rc<dyn SharedState>) {
        (self.shared, self.key) = (Some(shared), None);
    }

    /// A policy comes whose tokens are valid for so many seconds at the most. Looks whether sessions were ended, now and with
    /// each sweep until there are some.
    pub(crate) fn adopt(&mut self, lifetime: u64) {
        self.longest_lifetime = self.longest_lifetime.max(lifetime);
        self.look_for_endings();
    }

    /// Must the state be asked, though the rules of the policy want nothing of it?
    pub(crate) fn is_marked(&self) -> bool {
        self.marked
    }

    /// From now on open streams are judged by what is read anew, and so is whether any session was ended.
    pub(crate) fn sweep(&mut self) {
        self.swept.clear();
        self.keyless = false;
        if !self.marked {
            self.look_for_endings();
        }
    }

    /// A request of the session, from this context: may it go on?
    pub(crate) fn enter(&mut self, query: &StateQuery<'_>, context: Option<Id>) -> Result<(), Stop> {
        if !self.owed.is_empty() {
            self.settle(query)?;
        }
        let (rules, longest) = (query.rules, self.longest_lifetime);
        let ended_before = Cell::new(false);
        self.change(query, |entry, now| {
            let Some(entry) = entry else {
                let used = rules.idle_timeout.is_some();
                return Ok(if used || context.is_some() { Change::Note { context, used } } else { Change::Nothing });
            };
            let is_to_keep = entry.keep_until < query.needed_until(longest, entry, now);
            if let Some(ending) = entry.ended {
                ended_before.set(true);
                let keep = Change::Note { context: None, used: false };
                return if is_to_keep { Ok(keep) } else { Err(reason_of(ending).into()) };
            }
            // Only policies with an `idle_timeout` note uses: for those its time begins with the first of them.
            let unused_for = entry.used.map(|used| now.saturating_sub(used));
            if unused_for.is_some_and(|unused_for| rules.is_idle(unused_for)) {
                return Ok(Change::End(Ending::Idle));
            }
            let known = context.as_ref().and_then(|context| entry.context_like(context));
            if known.is_some() && known != context.as_ref() {
                return Ok(Change::End(Ending::ContextChange));
            }
            // None by these rules: the rules are others, not the place. What other rules know of it stays.
            let context = context.filter(|_| known.is_none());
            if context.is_some() && entry.contexts.len() >= limits::CONTEXTS {
                return Err(Reason::Overloaded.into());
            }
            let used = rules.idle_timeout.is_some() && unused_for.is_none_or(|unused_for| rules.is_use_to_note(unused_for));
            Ok(if used || context.is_some() || is_to_keep { Change::Note { context, used } } else { Change::Nothing })
        })
        .and_then(|ended| {
            let stop = |ending| Stop { reason: reason_of(ending), ended_now: Some(ending).filter(|_| !ended_before.get()) };
            ended.map(stop).map_or(Ok(()), Err)
        })
    }

    /// Calls of the session that nothing else denies: counts them, all or none, where all may be let through.
    pub(crate) fn charge(&mut self, query: &StateQuery<'_>, charge: &Charge) -> Charged {
        let (before, wait) = (RefCell::new(Vec::new()), Cell::new(None));
        let ended = self.change(query, |entry, now| {
            if let Some(ending) = entry.and_then(|entry| entry.ended) {
                return Err(reason_of(ending).into());
            }
            let none = usage::Usage::default();
            let known = entry.map_or(&none, |entry| &entry.usage);
            before.replace(charge.counts.iter().map(|count| known.calls(count, now)).collect());
            let after = known.charged(charge, now).map_err(|excess| {
                wait.set(if let Excess::Calls(wait) = excess { wait } else { None });
                Stop::from(excess.reason())
            })?;
            Ok(if after == *known { Change::Nothing } else { Change::Use(after) })
        });
        let retry_after = wait.get().map(|wait| wait.div_ceil(1000).max(1));
        Charged { result: ended.map(drop).map_err(|stop| Refused { stop, retry_after }), before: before.into_inner() }
    }

    /// A denial of the session for what it wanted to do. Tells what it was ended for, if that was one too many.
    pub(crate) fn denied(&mut self, query: &StateQuery<'_>) -> Option<Ending> {
        let denials = query.rules.denials?;
        self.count(query, denials).unwrap_or_else(|_| {
            let now = self.shared.as_ref().and_then(|shared| milliseconds(&**shared).ok());
            self.owed.add(query.claims, now, denials.window());
            None
        })
    }

    fn count(&mut self, query: &StateQuery<'_>, denials: Denials) -> Result<Option<Ending>, Stop> {
        self.change(query, |entry, now| {
            let window = denials.window();
            let earlier =
                entry.into_iter().flat_map(|entry| &entry.denials).filter(|at| now.saturating_sub(**at) < window).count();
            Ok(match entry {
                Some(entry) if entry.ended.is_some() => Change::Nothing,
                Some(_) | None if earlier + 1 >= usize::from(denials.count) => Change::End(Ending::Denials),
                Some(_) | None => Change::Deny { window },
            })
        })
    }

    /// Notes what denials of the session could not be noted before.
    fn settle(&mut self, query: &StateQuery<'_>) -> Result<(), Stop> {
        let (Some(denials), Some(shared)) = (query.rules.denials, &self.shared) else { return Ok(()) };
        let now = milliseconds(&**shared)?;
        let owed = self.owed.take(query.claims, now).ok_or(Reason::Overloaded)?;
        for left in (0..owed).rev() {
            match self.count(query, denials) {
                Ok(None) => {}
                Ok(Some(ending)) => return Err(Stop { reason: reason_of(ending), ended_now: Some(ending) }),
                Err(stop) => {
                    (0..=left).for_each(|_| self.owed.add(query.claims, Some(now), denials.window()));
                    return Err(stop);
                }
            }
        }
        Ok(())
    }

    /// May a stream of the session that is open go on? `moved`: a piece of it has just come, which is use of the session.
    pub(crate) fn stays(&mut self, query: &StateQuery<'_>, moved: bool) -> Result<(), Stop> {
        let rules = query.rules;
        let found = self.swept(query)?;
        if let Some(ending) = found.as_ref().and_then(|entry| entry.ended) {
            return Err(reason_of(ending).into());
        }
        if rules.idle_timeout.is_none() {
            return Ok(());
        }
        let Some(used) = found.and_then(|entry| entry.used) else {
            // No policy had an `idle_timeout` when it was admitted: its time begins now.
            self.forget_swept(query);
            return self.enter(query, None);
        };
        let idle = milliseconds(&*self.shared()?)?.saturating_sub(used);
        if rules.is_idle(idle) || (moved && rules.is_use_to_note(idle)) {
            // By what is shared now, not by what was read a while ago.
            self.forget_swept(query);
            if moved && !rules.is_idle(idle) {
                return self.enter(query, None);
            }
            let ended = self.change(query, |entry, now| {
                Ok(match entry {
                    Some(Entry { ended: None, used: Some(used), .. }) if rules.is_idle(now.saturating_sub(*used)) => {
                        Change::End(Ending::Idle)
                    }
                    Some(_) | None => Change::Nothing,
                })
            })?;
            if let Some(ending) = ended {
                return Err(Stop { reason: reason_of(ending), ended_now: Some(ending) });
            }
        }
        Ok(())
    }
}

impl<'a> StateQuery<'a> {
    /// `None` when there is nothing to ask about a session, and while the policy only observes.
    pub(crate) fn of(rules: &'a Rules, session: &'a Session, sessions: &Sessions) -> Option<Self> {
        let ask = rules.enforces() && (rules.state.ask() || sessions.is_marked());
        ask.then(|| Self::to_count(rules, session))
    }

    /// To count what a session moves, also while the policy only observes.
    pub(crate) fn to_count(rules: &'a Rules, session: &'a Session) -> Self {
        Self { rules: &rules.state, lifetime: rules.longest_token(), claims: &session.claims, key: &session.key }
    }

    /// How long an entry is needed from now on: as long as any token that is valid now, where the policy wants to know of every
    /// session; as long as its denials count; one that is ended as long as any policy lets tokens live, and for a day at least,
    /// as a later policy may let them live longer.
    fn needed_until(&self, longest_lifetime: u64, entry: &Entry, now: u64) -> u64 {
        let seconds = match entry.ended {
            Some(_) => self.lifetime.max(longest_lifetime).max(limits::ENDING_SECONDS),
            None if self.rules.keep_each() => self.lifetime,
            None => 0,
        };
        // What it has used counts as long as any token of it is valid, and a window may be longer.
        let used = if entry.usage.is_empty() { 0 } else { self.lifetime.max(longest_lifetime) };
        let counts = entry.denials.last().map_or(0, |last| last.saturating_add(entry.window)).max(entry.usage.counts_until());
        now.saturating_add(seconds.max(used).saturating_mul(1000)).max(counts)
    }
}

fn milliseconds(shared: &dyn SharedState) -> Result<u64, Unavailable> {
    Ok(u64::try_from(shared.elapsed()?.as_millis()).unwrap_or(u64::MAX))
}
