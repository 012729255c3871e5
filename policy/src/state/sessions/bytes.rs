//! What one stream may move of its session's bytes: taken from what workers share in steps, so that a piece of a body costs nothing.

use std::cell::Cell;

use super::entry::Change;
use super::usage::{ByteLimits, Bytes, Usage};
use super::{Sessions, StateQuery, Stop, reason_of};
use crate::rules::grants::RuleId;

/// Bytes that a stream has taken under one grant and not moved yet. What is left is to be given back at the stream's end; with a VM
/// that is gone it is lost to the session.
#[derive(Debug)]
pub(crate) struct StreamBytes {
    limits: ByteLimits,
    left: Bytes,
}

impl StreamBytes {
    pub(crate) fn new(limits: ByteLimits) -> Self {
        Self { limits, left: Bytes::default() }
    }

    /// A piece that is about to be moved, in either direction: it may be, or nothing of it. What workers share is asked where what was
    /// taken does not do, once for each [`crate::primitives::limits::SESSION_BYTES_STEP`] at the most.
    pub(crate) fn charge(&mut self, sessions: &mut Sessions, query: &StateQuery<'_>, piece: Bytes) -> Result<(), Stop> {
        let asked = |limit: Option<u64>, piece: u64, left: u64| limit.map_or(0, |_| piece.saturating_sub(left));
        let asked = Bytes {
            request: asked(self.limits.request, piece.request, self.left.request),
            response: asked(self.limits.response, piece.response, self.left.response),
        };
        if asked != Bytes::default() {
            let taken = sessions.take_bytes(query, &self.limits, asked)?;
            self.left.request = self.left.request.saturating_add(taken.request);
            self.left.response = self.left.response.saturating_add(taken.response);
        }
        self.left.request = self.left.request.saturating_sub(piece.request);
        self.left.response = self.left.response.saturating_sub(piece.response);
        Ok(())
    }

    /// Gives back what is left.
    pub(crate) fn finish(self, sessions: &mut Sessions, query: &StateQuery<'_>) {
        if self.left != Bytes::default() {
            sessions.give_back_bytes(query, &self.limits.rule, self.left);
        }
    }
}

impl Sessions {
    /// Takes bytes of what the session may move under a grant: those that are asked for, or none, and more of the same direction
    /// for what comes next. Tells how many.
    fn take_bytes(&mut self, query: &StateQuery<'_>, most: &ByteLimits, asked: Bytes) -> Result<Bytes, Stop> {
        let taken = Cell::new(Bytes::default());
        self.change(query, |entry, _| {
            if let Some(ending) = entry.and_then(|entry| entry.ended) {
                return Err(reason_of(ending).into());
            }
            let none = Usage::default();
            let known = entry.map_or(&none, |entry| &entry.usage);
            let (after, bytes) = known.taken(most, asked).map_err(|excess| Stop::from(excess.reason()))?;
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
