//! The pace of signature checks: how many a worker makes in a second, and for whom.
//!
//! A check is what a forgery costs us and not its maker, so that one caller's forgeries must not use up what others need. The
//! allowance is shared out: a part for sessions that the worker knows, a part for addresses from which a signature has lately
//! held, a part for all others, and what is left for whoever comes first. Within these, one address has its share. What a token
//! claims to be, before its signature is checked, decides which share pays for the check, and nothing else.

use std::collections::HashMap;

use crate::primitives::address::Address;
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::state::tally::Tally;

/// Whose check it is.
#[derive(Clone, Copy)]
pub(crate) struct Payer<'p> {
    pub(crate) address: Address,
    /// The session that the token says it is of, where the worker knows it.
    pub(crate) session: Option<&'p Tally>,
}

/// What one second's allowance is made of; the rest is for whoever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    sessions: u32,
    known: u32,
    strangers: u32,
    first_come: u32,
}

impl Parts {
    /// An eighth, three eighths, a quarter. Sessions renew their tokens every few minutes: those of all tokens that a worker
    /// keeps ([`limits::VERIFIED_TOKENS`]), renewed every five minutes, are 14 a second, and an eighth of the usual 200 is 25.
    fn of(allowance: u32) -> Self {
        let (sessions, known, strangers) = (allowance / 8, allowance / 8 * 3, allowance / 4);
        Self { sessions, known, strangers, first_come: allowance - sessions - known - strangers }
    }
}

/// The checks of the current second.
#[derive(Default)]
pub(crate) struct Pace {
    second: u64,
    sessions: u32,
    known: u32,
    strangers: u32,
    /// What each address has used: one for a check, one more if the signature did not hold. No more entries than checks.
    by_address: HashMap<Address, u64>,
    lately: KnownAddresses,
}

impl Pace {
    /// Takes one check of this second's allowance; false when there is none left for this payer.
    pub(crate) fn take(&mut self, allowance: u32, payer: &Payer<'_>, now: Timestamp) -> bool {
        if self.second != now.seconds() {
            (self.second, self.sessions, self.known, self.strangers) = (now.seconds(), 0, 0, 0);
            self.by_address.clear();
        }
        if allowance >= limits::VERIFICATIONS_MOST {
            // More than a worker can make: there is nothing to be shared out.
            let free = self.known < allowance;
            self.known += u32::from(free);
            return free;
        }
        let parts = Parts::of(allowance);
        let of_known_session = |session: &Tally| {
            let one = (parts.sessions / 4).max(1);
            self.sessions < parts.sessions && session.is_from(payer.address) && session.renew(one, self.second)
        };
        if payer.session.is_some_and(of_known_session) {
            self.sessions += 1;
            return true;
        }
        let known = self.lately.has(payer.address, now);
        // Of a stranger no signature has held: all that it has used was for nothing, and counts twice.
        let most = if known { allowance / 2 } else { allowance / 4 }.max(limits::CHECKS_OF_AN_ADDRESS);
        if self.by_address.get(&payer.address).is_some_and(|used| *used >= u64::from(most)) {
            return false;
        }
        let beyond = self.known.saturating_sub(parts.known) + self.strangers.saturating_sub(parts.strangers);
        let (used, part) = if known { (&mut self.known, parts.known) } else { (&mut self.strangers, parts.strangers) };
        let free = *used < part || beyond < parts.first_come;
        if free {
            *used += 1;
            *self.by_address.entry(payer.address).or_default() += 1;
        }
        free
    }

    /// What came of so many checks that were taken for one signature: whoever brings what holds is known for a while.
    pub(crate) fn came_to(&mut self, held: bool, checks: u64, payer: &Payer<'_>, now: Timestamp) {
        if held {
            self.lately.note(payer.address, now);
        } else {
            *self.by_address.entry(payer.address).or_default() += checks;
        }
    }
}

/// Addresses from which a signature held, and until when each is known for that.
#[derive(Default)]
struct KnownAddresses {
    until: HashMap<Address, u64>,
    cleared: u64,
}

impl KnownAddresses {
    fn has(&self, address: Address, now: Timestamp) -> bool {
        self.until.get(&address).is_some_and(|until| *until > now.seconds())
    }

    /// Full means that new ones stay strangers: none that is known is pushed out by others, however many come.
    fn note(&mut self, address: Address, now: Timestamp) {
        let until = now.seconds().saturating_add(limits::KNOWN_ADDRESS_SECONDS);
        if let Some(known) = self.until.get_mut(&address) {
            *known = until;
            return;
        }
        if self.until.len() >= limits::KNOWN_ADDRESSES && self.cleared != now.seconds() {
            self.cleared = now.seconds();
            self.until.retain(|_, until| *until > now.seconds());
        }
        if self.until.len() < limits::KNOWN_ADDRESSES {
            self.until.insert(address, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u32 = limits::VERIFICATIONS_PER_SECOND;
    const HOME: Address = Address::V6(1);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn from(address: Address) -> Payer<'static> {
        Payer { address, session: None }
    }

    /// So many checks of this kind of so many are made.
    fn checked(pace: &mut Pace, payer: &Payer<'_>, times: u32, held: bool) -> u32 {
        let mut made = 0;
        for _ in 0..times {
            if pace.take(A, payer, at(1000)) {
                pace.came_to(held, 1, payer, at(1000));
                made += 1;
            }
        }
        made
    }

    #[test]
    fn the_parts_are_the_whole_and_a_small_allowance_is_one_callers_if_nobody_else_comes() {
        for allowance in 1..1000 {
            let Parts { sessions, known, strangers, first_come } = Parts::of(allowance);
            assert_eq!(sessions + known + strangers + first_come, allowance);
            let mut pace = Pace::default();
            let taken = (0..2 * allowance).filter(|_| {
                let free = pace.take(allowance, &from(HOME), at(1000));
                if free {
                    pace.came_to(true, 1, &from(HOME), at(1000));
                }
                free
            });
            let taken = u32::try_from(taken.count()).unwrap();
            assert!(if allowance < 8 { taken == allowance } else { taken >= allowance / 2 }, "{taken} of {allowance}");
        }
    }

    #[test]
    fn one_address_of_forgeries_leaves_most_of_it_to_others() {
        for known in [false, true] {
            let mut pace = Pace::default();
            if known {
                pace.came_to(true, 1, &from(HOME), at(990));
            }
            let forged = checked(&mut pace, &from(HOME), 566, false);
            assert_eq!(forged, if known { A / 4 } else { A / 8 });
            let others = (2..200).filter(|other| checked(&mut pace, &from(Address::V6(*other)), 1, true) == 1).count();
            assert!(others >= 50, "{others} of others when the forger is known: {known}");
        }
    }

    #[test]
    fn strangers_from_everywhere_do_not_take_the_part_of_those_who_are_known() {
        let mut pace = Pace::default();
        for number in 0..100 {
            pace.came_to(true, 1, &from(Address::V6(number)), at(990));
        }
        let strangers: u32 = (1000..3000).map(|number| checked(&mut pace, &from(Address::V6(number)), 1, false)).sum();
        assert_eq!(strangers, A / 2);
        let known: u32 = (0..100).map(|number| checked(&mut pace, &from(Address::V6(number)), 1, true)).sum();
        assert_eq!(known, Parts::of(A).known);
        assert_eq!(pace.lately.until.len(), 100, "who brings forgeries is not remembered");
    }

    #[test]
    fn a_known_session_has_its_share_where_it_was_and_nowhere_else() {
        let (mut pace, mine, other) = (Pace::default(), Tally::default(), Tally::default());
        mine.came_from(HOME);
        other.came_from(HOME);
        assert!(checked(&mut pace, &from(HOME), 566, false) < A);
        let claims = |session, address| Payer { address, session: Some(session) };
        // Somebody at the same address knows the session's name; what is left is another's.
        assert_eq!(checked(&mut pace, &claims(&mine, HOME), 566, false), A / 8 / 4);
        assert_eq!(checked(&mut pace, &claims(&other, HOME), 1, true), 1);
        // Elsewhere the name buys nothing that strangers do not have.
        let elsewhere = Address::V6(2);
        assert_eq!(checked(&mut pace, &claims(&other, elsewhere), 566, false), A / 8);
    }

    #[test]
    fn the_table_of_known_addresses_is_bounded_and_nobody_is_pushed_out() {
        let mut lately = KnownAddresses::default();
        lately.note(HOME, at(1000));
        for number in 10..10 + 2 * limits::KNOWN_ADDRESSES as u64 {
            lately.note(Address::V6(number), at(1000));
        }
        assert_eq!(lately.until.len(), limits::KNOWN_ADDRESSES);
        assert!(lately.has(HOME, at(1000)) && lately.has(Address::V6(10), at(1000)));
        let later = at(1000 + limits::KNOWN_ADDRESS_SECONDS);
        assert!(!lately.has(HOME, later), "not for ever");
        lately.note(Address::V6(5), later);
        assert_eq!(lately.until.len(), 1);
    }
}
