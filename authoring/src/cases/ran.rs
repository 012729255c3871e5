//! What became of a case, whoever ran it.

use super::{judge::Mismatch, location::Location};
use crate::outcome::Outcome;
use std::time::Duration;

/// What became of a case.
#[derive(Debug, Clone)]
pub struct Ran {
    /// What is not as the case expects, in the order of its steps; empty when it passed.
    pub failures: Vec<Failure>,
    /// What each request came to, with the index of its step, in the order of the steps.
    pub outcomes: Vec<(usize, Outcome)>,
    /// What the filter died of, with its backtrace; the case ended there.
    pub trap: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// A step that did not come out as expected.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The step's index in its case.
    pub step: usize,
    /// The step's name; the case's where it has one step.
    pub name: String,
    /// Where the step is written.
    pub location: Location,
    /// What is different.
    pub mismatches: Vec<Mismatch>,
}

impl Ran {
    /// Is everything as the case expects?
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.trap.is_none()
    }
}
