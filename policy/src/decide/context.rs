//! What a decision goes by besides the policy that it began under, the worker and the request.

use std::rc::Rc;

use crate::primitives::time::Timestamp;
use crate::rules::policy::Policy;
use crate::token::keys::VerifySignature;

/// What every decision is given anew: the time, the newest policy, and who checks signatures.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// What the clock says. What is over stays over by the latest instant that the worker has seen, whatever the clock says
    /// later ([`crate::Worker::latest`]).
    pub now: Timestamp,
    /// The newest policy of the plugin: nothing is let through, or goes on, that it denies.
    pub newest: &'c Rc<Policy>,
    /// Checks signatures.
    pub verifier: &'c dyn VerifySignature,
}
