//! What issuers have told of sessions and subjects since they issued their tokens, by security events: what has ended. One worker
//! hears it and writes it into what the workers of the proxy share; each worker reads that when it has changed.
//!
//! The law: from the instant at which an ending is written no worker lets a request of what it names through, for each such request
//! looks whether there is anything new; open streams end with the worker's next tick, and none of their pieces goes on after
//! [`limits::EVENTS_FRESH`]. Only [`limits::EVENTS_SETTLE`] later is the issuer told that its event was taken.
//!
//! Endings belong to their issuer, whatever policy asks, and outlive all configurations. Applying one twice is applying it once.

mod endings;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::state::session::Session;
use crate::state::sessions::{SharedState, Unavailable};

pub(crate) use endings::{Ending, EventKind, Named};

use endings::{Added, Endings};

/// Moves on with each change of what has been told. The number is that of all these bytes' form.
const STAMP: &str = "chaperone/events/1/at";

/// What one worker knows of it.
pub(crate) struct Told {
    shared: Option<Rc<dyn SharedState>>,
    issuers: Vec<(Rc<str>, Heard)>,
    /// A policy has some of them polled: each of its requests looks whether there is anything new.
    polled: bool,
    /// The stamp of what was read last.
    stamp: Option<Vec<u8>>,
    /// Counts the changes of what is known here; 0 while nothing is.
    epoch: u64,
    /// What the workers share could not be read.
    failed: bool,
    read_at: Timestamp,
    /// The longest that any policy which it was given lets a token be valid, in seconds.
    longest_lifetime: u64,
}

#[derive(Default)]
struct Heard {
    version: Option<u32>,
    endings: Endings,
}

impl Told {
    pub(crate) fn new() -> Self {
        Self {
            shared: None,
            issuers: Vec::new(),
            polled: false,
            stamp: None,
            epoch: 0,
            failed: false,
            read_at: Timestamp::default(),
            longest_lifetime: 0,
        }
    }

    pub(crate) fn share(&mut self, shared: Rc<dyn SharedState>) {
        (self.shared, self.stamp) = (Some(shared), None);
    }

    pub(crate) fn shared(&self) -> Option<&dyn SharedState> {
        self.shared.as_deref()
    }

    /// A policy comes whose tokens are valid for so many seconds at the most.
    pub(crate) fn adopt(&mut self, lifetime: u64) {
        self.longest_lifetime = self.longest_lifetime.max(lifetime);
    }

    /// From now on what is told of these issuers is read; `polled`: by policies that have them polled. What has been heard of others
    /// stays.
    pub(crate) fn listen_to<'i>(&mut self, issuers: impl Iterator<Item = (&'i str, bool)>, now: Timestamp) {
        self.polled = false;
        let mut new = false;
        for (issuer, polled) in issuers {
            self.polled |= polled;
            if !self.issuers.iter().any(|(known, _)| **known == *issuer) {
                self.issuers.push((issuer.into(), Heard::default()));
                new = true;
            }
        }
        if new {
            // By a worker that began a moment ago others may have been told already.
            self.stamp = None;
            self.sweep(now);
        }
    }

    /// Reads what is new: for each request of a policy that has issuers polled. Costs a look at eight bytes where nothing is.
    pub(crate) fn refresh(&mut self, now: Timestamp) {
        if self.polled {
            self.sweep(now);
        }
    }

    /// The same with each tick, whatever the policies of the moment are: their issuers may have been polled for others.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        if !self.issuers.is_empty() {
            self.read_at = now;
            self.failed = self.read().is_err();
        }
    }

    /// As [`Self::refresh`], unless that was done a moment ago.
    pub(crate) fn freshen(&mut self, now: Timestamp) {
        if now.since(self.read_at) >= limits::EVENTS_FRESH {
            self.refresh(now);
        }
    }

    fn read(&mut self) -> Result<(), Unavailable> {
        let shared = self.shared.as_deref().ok_or(Unavailable)?;
        let stamp = shared.get(STAMP)?.map(|(stamp, _)| stamp).unwrap_or_default();
        if self.stamp.as_ref() == Some(&stamp) {
            return Ok(());
        }
        for (issuer, heard) in &mut self.issuers {
            let Some((bytes, version)) = shared.get(&key(issuer))? else { continue };
            if heard.version != Some(version) {
                // What is none is no ending, either: nothing is known then.
                heard.endings = Endings::read(&bytes).ok_or(Unavailable)?;
                heard.version = Some(version);
                self.epoch += 1;
            }
        }
        // Last, or what failed half-way would not be read again.
        self.stamp = Some(stamp);
        Ok(())
    }

    /// What has ended the session, by what was read last. An error where that is not known and the policy `listens`.
    pub(crate) fn of<'s>(&self, session: &'s Session) -> Result<Option<&'s Rc<str>>, Unavailable> {
        if session.heard.replace(self.epoch) != self.epoch
            && let Some((_, heard)) = self.issuers.iter().find(|(issuer, _)| **issuer == *session.claims.issuer)
            && let Some(because) = heard.endings.find(&session.claims)
        {
            let _ = session.told.set(because.into());
        }
        match session.told.get() {
            None if self.failed && session.listens => Err(Unavailable),
            told => Ok(told),
        }
    }

    /// Writes endings into what the workers share; returns when that was. An error where not all of them are there.
    pub(crate) fn write(&mut self, issuer: &str, new: &[Ending], now: Timestamp) -> Result<Duration, Unavailable> {
        let shared = self.shared.as_deref().ok_or(Unavailable)?;
        let keep = self.longest_lifetime.max(limits::EVENT_SECONDS);
        let full = Cell::new(false);
        change(shared, &key(issuer), |known| {
            let mut endings = Endings::read(known.unwrap_or_default()).ok_or(Unavailable)?;
            let added = endings.add(new, keep, now.seconds());
            full.set(added == Added::Full);
            Ok((added != Added::Nothing).then(|| endings.write()))
        })?;
        // Also where all of it was known: whoever wrote that may not have come to this.
        change(shared, STAMP, |known| {
            let known = known.and_then(|known| known.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes));
            Ok(Some(known.wrapping_add(1).to_le_bytes().to_vec()))
        })?;
        if full.get() { Err(Unavailable) } else { shared.elapsed() }
    }
}

fn key(issuer: &str) -> String {
    format!("chaperone/events/1/of/{issuer}")
}

/// By compare-and-swap alone; `None` leaves it as it is.
fn change(
    shared: &dyn SharedState,
    key: &str,
    new: impl Fn(Option<&[u8]>) -> Result<Option<Vec<u8>>, Unavailable>,
) -> Result<(), Unavailable> {
    for _ in 0..limits::SHARED_RETRIES {
        let found = shared.get(key)?;
        let Some(value) = new(found.as_ref().map(|(value, _)| value.as_slice()))? else { return Ok(()) };
        if shared.put(key, &value, found.map(|(_, version)| version))? {
            return Ok(());
        }
    }
    Err(Unavailable)
}
