//! A session, as a worker remembers it with a verified token.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use crate::rules::status::Reference;
use crate::state::sessions::StateKey;
use crate::state::tally::Tally;
use crate::state::verified::Verified;
use crate::token::actor::Actor;
use crate::token::claims::Claims;

/// What a verified token means under one policy. Nothing here depends on the time.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) claims: Claims,
    /// An entry of `revoked` that names it, by its `because`.
    pub(crate) revoked: Option<Option<String>>,
    /// Where its issuer says whether it still is one.
    pub(crate) status: Option<Reference>,
    /// Places of the grants whose conditions hold, in the document's order.
    pub(crate) grants: Vec<usize>,
    /// Where what the workers share of it is.
    pub(crate) key: StateKey,
    /// Its part of audit records.
    pub(crate) actor: Actor,
    /// Does the policy listen to what its issuer tells of sessions?
    pub(crate) listens: bool,
    /// The epoch of what has been told when it was last looked for, and what was found, which is never taken back.
    pub(crate) heard: Cell<u64>,
    pub(crate) told: OnceCell<Rc<str>>,
    /// What the worker counts of it, looked up when it is first needed.
    pub(crate) tally: OnceCell<Rc<Tally>>,
}

impl Session {
    /// What is said of its end, by the document or by its issuer.
    pub(crate) fn because(&self) -> Option<&str> {
        self.revoked.as_ref().and_then(Option::as_deref).or(self.told.get().map(|told| &**told))
    }
}

/// A verified token and what the policy of the moment makes of it.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated {
    pub(crate) token: Rc<Verified>,
    pub(crate) session: Rc<Session>,
}
