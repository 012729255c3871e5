//! Sessions that were allowed something, until their end. For a metric alone.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

use crate::primitives::limits;
use crate::state::session::Session;
use crate::state::tally::Tally;

/// Counted by the second in which they end. Which one a session is under is known by a keyed hash of its name: two of one hash would
/// be counted as one.
#[derive(Default)]
pub(crate) struct LiveSessions {
    key: RandomState,
    ends: HashMap<u64, u64>,
    by_end: BTreeMap<u64, u32>,
    count: u64,
    /// So many entries, and those that are over are cleared away.
    clear_at: usize,
}

impl LiveSessions {
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn note(&mut self, session: &Session, tally: &Tally, ends: u64, now: u64) {
        while let Some(first) = self.by_end.first_entry().filter(|first| *first.key() <= now) {
            self.count -= u64::from(first.remove());
        }
        // Noted with this very end: the usual case, without a look into the maps.
        if tally.noted.replace(ends) == ends && ends > now {
            return;
        }
        let name = self.key.hash_one((&session.claims.issuer, &session.claims.session));
        match self.ends.get(&name).copied().filter(|known| *known > now) {
            Some(known) if known == ends => return,
            Some(known) => self.leave(known),
            None if self.count >= limits::LIVE_SESSIONS as u64 => return,
            None => {}
        }
        if ends <= now {
            self.ends.remove(&name);
            return;
        }
        if self.ends.len() >= self.clear_at {
            // Half of the entries at the most are left, so that clearing costs each new session a fixed amount.
            self.ends.retain(|_, end| *end > now);
            self.clear_at = (2 * self.ends.len()).max(1024);
        }
        self.ends.insert(name, ends);
        *self.by_end.entry(ends).or_default() += 1;
        self.count += 1;
    }

    fn leave(&mut self, end: u64) {
        if let Some(count) = self.by_end.get_mut(&end) {
            *count -= 1;
            self.count -= 1;
        }
    }
}
