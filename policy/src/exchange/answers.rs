//! The part of an exchange that reads what a server answers to what a body asked for.

use super::{Exchange, Stage};
use crate::commands::mcp::endpoint::NameKind;
use crate::decide::context::Context;
use crate::state::worker::Worker;

impl Exchange {
    /// Says whether the pieces of the response's body must be shown to [`Exchange::answer_piece`], and what that gives must go on in
    /// their place.
    #[must_use]
    pub fn rewrites_response(&self) -> bool {
        matches!(&self.stage, Stage::Judged(judged) if judged.answers.as_ref().is_some_and(|answers| answers.reads()))
    }

    /// Takes a piece of the response's body, and gives what goes on in its place: lists cut down to what the session may use under
    /// the newest policy. `last`: none follows.
    #[must_use]
    pub fn answer_piece(&mut self, piece: &[u8], last: bool, worker: &Worker, context: &Context<'_>) -> Vec<u8> {
        let Stage::Judged(judged) = &mut self.stage else { return piece.to_vec() };
        let (Some(answers), Some(session)) = (&mut judged.answers, &judged.session) else { return piece.to_vec() };
        let (admission, latest) = (judged.admission.as_ref(), worker.latest());
        let may_see = |command: &str, kind: NameKind| {
            admission
                .zip(context.newest.rules())
                .is_some_and(|(admission, rules)| admission.may_see(rules, command, kind, latest))
        };
        answers.piece(piece, last, &session.claims, &may_see)
    }

    /// Says whether pieces have come of which nothing has gone on: a response that ends now, without a last piece, has lost them.
    #[must_use]
    pub fn keeps_answer(&self) -> bool {
        matches!(&self.stage, Stage::Judged(judged) if judged.answers.as_ref().is_some_and(|answers| answers.is_waiting()))
    }
}
