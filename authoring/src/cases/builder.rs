//! What cases and steps are made with.

use super::{
    read::{Errors, Members},
    request::Requests,
};
use crate::published::Published;
use jiff::Timestamp;
use serde_json::Value;
use std::cell::{Cell, RefCell};

/// The rest of a cases file, which its cases refer to.
pub(super) struct Builder<'v> {
    pub(super) requests: Requests<'v>,
    /// The policy with the run's keys: where each case begins.
    pub(super) policy: Value,
    pub(super) at: Timestamp,
    /// What the issuers of all the policies of the file publish.
    pub(super) published: RefCell<Published>,
    /// How many workers the proxy has.
    pub(super) workers: u64,
    /// The last generation that was given out; no two configurations of a file share one.
    pub(super) generation: Cell<u64>,
}

impl<'v> Builder<'v> {
    /// When a case, row or step with these members is: what its `at` says, else `default`.
    pub(super) fn instant(&self, members: &Members<'v>, default: Timestamp, errors: &Errors<'_>) -> Option<Timestamp> {
        members.get("at").map_or(Some(default), |node| node.instant(errors, self.at))
    }
}
