//! What a stream takes of the bytes that its session may move in all, before any of them goes on.

use std::rc::Rc;

use super::{Admission, Cut};
use crate::primitives::reason::Reason;
use crate::rules::policy::Policy;
use crate::state::session::Session;
use crate::state::sessions::{Bytes, StateQuery, Stop, StreamBytes};
use crate::state::worker::Worker;

/// Bytes, and the session from whose total they are: the stream can come to be another's, when a policy says by another claim whose.
#[derive(Debug)]
pub(super) struct Taken {
    of: Rc<Session>,
    bytes: StreamBytes,
}

impl Admission {
    /// Takes what has come and has not gone on yet, and what is to come as far as it says: `transfer_not_allowed` where the session
    /// has not so much left, and why it is not known what it has. Where that is only observed it is noted.
    pub(crate) fn carry(&mut self, newest: &Policy, worker: &mut Worker) -> Result<(), Cut> {
        if let Err(Stop { reason, ended_now }) = self.take_bytes(newest, worker) {
            if reason != Reason::TransferNotAllowed || !newest.only_notes(reason) {
                let because = self.transfer.broken().filter(|_| reason == Reason::TransferNotAllowed);
                let because = because.map(|rule| rule.name().to_owned());
                let cut = newest.rules().map_or_else(|| Cut::of(reason), |rules| Cut::by(rules, reason));
                return Err(Cut { because, ended_now, ..cut });
            }
            self.transfer.note();
        }
        self.spend_bytes();
        Ok(())
    }

    /// Takes it, and moves nothing yet.
    pub(crate) fn take_bytes(&mut self, newest: &Policy, worker: &mut Worker) -> Result<(), Stop> {
        let most = self.transfer.session_bytes();
        if most.is_none() && self.taken.is_none() {
            return Ok(());
        }
        let session = self.session().map(Rc::clone);
        let stays = |taken: &Taken| {
            most.is_some_and(|most| most.rule == taken.bytes.rule())
                && session.as_ref().is_some_and(|session| Rc::ptr_eq(session, &taken.of))
        };
        if self.taken.as_ref().is_some_and(|taken| !stays(taken)) {
            self.give_back_bytes(worker);
        }
        let (Some(most), Some(rules), Some(session)) = (most, newest.rules(), &session) else { return Ok(()) };
        let Taken { bytes, .. } =
            self.taken.get_or_insert_with(|| Taken { of: Rc::clone(session), bytes: StreamBytes::under(most.rule) });
        let query = StateQuery::to_count(rules, session);
        for (rule, needed, moved) in self.transfer.uncharged() {
            // Of what says how long it is nothing more will come.
            let ahead = needed == moved;
            match bytes.take(&mut worker.sessions, &query, &most, needed, ahead) {
                Err(stop) if stop.reason == Reason::TransferNotAllowed => {
                    self.transfer.outgrows(rule);
                    return Err(stop);
                }
                // Observing denies nothing for what is no matter of what is carried.
                Err(stop) if rules.enforces() => return Err(stop),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// What has come goes on now.
    pub(crate) fn spend_bytes(&mut self) {
        if let Some(Taken { bytes, .. }) = &mut self.taken {
            let [(.., request), (.., response)] = self.transfer.uncharged();
            bytes.spend(Bytes { request: request.request, response: response.response });
            self.transfer.is_charged();
        }
    }

    /// Gives back what it has taken and not moved.
    pub(crate) fn give_back_bytes(&mut self, worker: &mut Worker) {
        if let Some(Taken { of, bytes }) = self.taken.take() {
            bytes.finish(&mut worker.sessions, &of.claims, &of.key);
        }
    }
}
