//! Requests on their way in, what was decided about them on their way out: the two halves of the `replay` contract.

mod outcome;
mod request;

pub use outcome::{Decision, Outcome, client_reason};
pub use request::{Headers, Request};
