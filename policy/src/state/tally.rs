//! What one worker counts of a session, whichever of its tokens it comes with.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};

use crate::primitives::address::Address;

/// The counts of one session. Its tokens, its open exchanges and whatever else speaks of it share this one, for as long as any of
/// them is there: what is counted cannot be forgotten while it lasts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Exchanges that were let through and are not over.
    pub(super) open: Cell<u32>,
    /// The end under which the worker has it among the live ones; 0 when it has not been noted.
    pub(super) noted: Cell<u64>,
    /// Places of its tokens among those that are kept, the oldest first.
    pub(super) kept: RefCell<VecDeque<usize>>,
    /// Tokens that were had for it, or are on their way.
    pub(super) exchanged: Cell<u32>,
    /// Where the last of its tokens whose signature was checked came from.
    from: Cell<Option<Address>>,
    /// Checks in a second that were paid out of the share of known sessions.
    renewals: Cell<(u64, u32)>,
}

impl Tally {
    /// A signature for it held, of a request from here.
    pub(crate) fn came_from(&self, address: Address) {
        self.from.set(Some(address));
    }

    pub(crate) fn is_from(&self, address: Address) -> bool {
        self.from.get() == Some(address)
    }

    /// Takes one of so many checks a second that the session may have of the share of known ones.
    pub(crate) fn renew(&self, most: u32, second: u64) -> bool {
        let (then, used) = self.renewals.get();
        let used = if then == second { used } else { 0 };
        let free = used < most;
        self.renewals.set((second, used + u32::from(free)));
        free
    }
}

/// All tallies that somebody still holds, by issuer and session.
#[derive(Default)]
pub(crate) struct Tallies {
    by_session: HashMap<Box<str>, Weak<Tally>>,
    /// So many entries, and those that nobody holds any more are cleared away.
    clear_at: usize,
}

impl Tallies {
    /// The one of a session, if the worker knows it.
    pub(crate) fn find(&self, issuer: &str, session: &str) -> Option<Rc<Tally>> {
        self.by_session.get(&*key(issuer, session))?.upgrade()
    }

    /// The one of a session whose token has been verified.
    pub(crate) fn of(&mut self, issuer: &str, session: &str) -> Rc<Tally> {
        if let Some(tally) = self.find(issuer, session) {
            return tally;
        }
        if self.by_session.len() >= self.clear_at {
            // Half of the entries at the most are left, so that clearing costs each new session a fixed amount.
            self.by_session.retain(|_, tally| tally.strong_count() > 0);
            self.clear_at = (2 * self.by_session.len()).max(1024);
        }
        let tally = Rc::new(Tally::default());
        self.by_session.insert(key(issuer, session), Rc::downgrade(&tally));
        tally
    }
}

/// The issuer with its length: no two pairs are alike.
fn key(issuer: &str, session: &str) -> Box<str> {
    format!("{}:{issuer}{session}", issuer.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_kept_by_whoever_counts_on_it_and_by_nobody_else() {
        let mut tallies = Tallies::default();
        let held = tallies.of("i", "s");
        held.open.set(3);
        for number in 0..10_000 {
            drop(tallies.of("i", &format!("s-{number}")));
            assert!(tallies.by_session.len() <= 1024);
        }
        assert_eq!(tallies.of("i", "s").open.get(), 3);
        assert!(tallies.find("is", "").is_none() && tallies.find("j", "s").is_none() && tallies.find("i", "s-1").is_none());
        drop(held);
        assert!(tallies.find("i", "s").is_none());
    }
}
