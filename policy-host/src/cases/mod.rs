//! `cases.yaml`: what a policy must decide, as its author writes it, resolved into steps that any driver can take.
//!
//! The file is read strictly: what is not known here is an error with its place. Tokens are signed by keys of this run.
//! The policy is the file as a user would ship it; in memory, each of its issuers with inline keys gets the run's key
//! beside its own, and nothing else about it changes.

mod change;
mod expect;
mod file;
mod plan;
mod read;
mod request;
mod steps;
mod tokens;

pub use change::with_generation;
pub use expect::{Expect, HeaderExpect, Mismatch, Verdict, check};
pub use plan::{Action, Case, Clock, Plan, Step};

#[cfg(test)]
mod tests;
