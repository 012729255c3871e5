//! Denials that one worker could not note among what is shared, because the proxy failed or others were always quicker. The session's
//! next request there notes them first, or is denied.

use std::collections::HashMap;

use crate::primitives::limits;
use crate::token::claims::Claims;

#[derive(Debug, Default)]
pub(super) struct Owed {
    /// By issuer and session: how many, and until when they count, in milliseconds.
    denials: HashMap<(Box<str>, Box<str>), (u8, u64)>,
    /// Until then there may be more than it remembers.
    beyond: u64,
    /// The latest time known.
    latest: u64,
}

impl Owed {
    pub(super) fn is_empty(&self) -> bool {
        self.denials.is_empty() && self.beyond == 0
    }

    /// A denial that counts for so many milliseconds. The time may be what is not known.
    pub(super) fn add(&mut self, claims: &Claims, now: Option<u64>, window: u64) {
        self.at(now.unwrap_or(self.latest));
        let until = self.latest.saturating_add(window);
        let whose = owner(claims);
        let room = self.denials.len() < limits::OWED_DENIALS;
        match self.denials.get_mut(&whose) {
            Some((count, last)) => (*count, *last) = (count.saturating_add(1), until.max(*last)),
            None if room => drop(self.denials.insert(whose, (1, until))),
            None => self.beyond = self.beyond.max(until),
        }
    }

    /// Those of the session, which are then no longer owed; `None` when there are more than are remembered.
    pub(super) fn take(&mut self, claims: &Claims, now: u64) -> Option<u8> {
        self.at(now);
        if self.beyond > now {
            return None;
        }
        self.beyond = 0;
        Some(self.denials.remove(&owner(claims)).map_or(0, |(count, _)| count))
    }

    fn at(&mut self, now: u64) {
        self.latest = self.latest.max(now);
        self.denials.retain(|_, (_, until)| *until > now);
    }
}

fn owner(claims: &Claims) -> (Box<str>, Box<str>) {
    (claims.issuer.as_str().into(), claims.session.as_str().into())
}
