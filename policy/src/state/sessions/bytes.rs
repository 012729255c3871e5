//! What one stream may move of its session's bytes: taken from what workers share in steps, so that a piece of a body costs nothing.

use std::cell::Cell;

use super::entry::Change;
use super::usage::{Bytes, Usage};
use super::{Sessions, StateKey, StateQuery, Stop, reason_of};
use crate::rules::ending::StateRules;
use crate::rules::grants::{RuleId, SessionBytes};
use crate::token::claims::Claims;

/// Bytes that a stream has taken under one grant and not moved yet. What is left is to be given back at the stream's end; with a VM
/// that is gone it is lost to the session.
#[derive(Debug)]
pub(crate) struct StreamBytes {
    rule: RuleId,
    left: Bytes,
}

impl StreamBytes {
    pub(crate) fn under(rule: RuleId) -> Self {
        Self { rule, left: Bytes::default() }
    }

    pub(crate) fn rule(&self) -> RuleId {
        self.rule
    }

    /// Sees to it that so many bytes may be moved, all of them or none. What workers share is asked where what was taken does not do,
    /// once for each [`crate::primitives::limits::SESSION_BYTES_STEP`] at the most. `ahead`: how many will follow is not known.
    pub(crate) fn take(
        &mut self,
        sessions: &mut Sessions,
        query: &StateQuery<'_>,
        most: &SessionBytes,
        needed: Bytes,
        ahead: bool,
    ) -> Result<(), Stop> {
        let asked = |limit: Option<u64>, needed: u64, left: u64| limit.map_or(0, |_| needed.saturating_sub(left));
        let asked = Bytes {
            request: asked(most.request, needed.request, self.left.request),
            response: asked(most.response, needed.response, self.left.response),
        };
        if asked != Bytes::default() {
            let taken = sessions.take_bytes(query, most, asked, ahead)?;
            self.left.request = self.left.request.saturating_add(taken.request);
            self.left.response = self.left.response.saturating_add(taken.response);
        }
        Ok(())
    }

    /// A piece that is moved now: what was taken for it is not given back.
    pub(crate) fn spend(&mut self, piece: Bytes) {
        self.left.request = self.left.request.saturating_sub(piece.request);
        self.left.response = self.left.response.saturating_sub(piece.response);
    }

    /// Gives back what is left. No rules are asked for that: it makes nothing last longer.
    pub(crate) fn finish(self, sessions: &mut Sessions, claims: &Claims, key: &StateKey) {
        if self.left != Bytes::default() {
            let query = StateQuery { rules: &StateRules::default(), lifetime: 0, claims, key };
            sessions.give_back_bytes(&query, &self.rule, self.left);
        }
    }
}

impl Sessions {
    /// Takes bytes of what the session may move under a grant: those that are asked for, or none, and more of the same direction
    /// for what comes next. Tells how many.
    fn take_bytes(&mut self, query: &StateQuery<'_>, most: &SessionBytes, asked: Bytes, ahead: bool) -> Result<Bytes, Stop> {
        let taken = Cell::new(Bytes::default());
        self.change(query, |entry, _| {
            if let Some(ending) = entry.and_then(|entry| entry.ended) {
                return Err(reason_of(ending).into());
            }
            let none = Usage::default();
            let known = entry.map_or(&none, |entry| &entry.usage);
            let (after, bytes) = known.taken(most, asked, ahead).map_err(|excess| Stop::from(excess.reason()))?;
            taken.set(bytes);
            Ok(Change::Use(after))
        })?;
        Ok(taken.get())
    }

    /// Gives back what a stream has taken and not used. What cannot be given back stays taken.
    fn give_back_bytes(&mut self, query: &StateQuery<'_>, rule: &RuleId, unused: Bytes) {
        let _ = self.change(query, |entry, _| {
            let known = entry.filter(|entry| entry.ended.is_none());
            Ok(known.map_or(Change::Nothing, |entry| Change::Use(entry.usage.given_back(rule, unused))))
        });
    }
}
