//! A resolved cases file: nothing left to look up, to sign or to compute.

use super::{Expect, file};
use crate::{
    replay::Request,
    source::{Document, Findings},
};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Which instant the file's relative times are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The file's `at`: for drivers whose clock can be set.
    AsWritten,
    /// This instant: for drivers that live in real time. Times in the file that are not relative stay as they are.
    Now(Timestamp),
}

/// A cases file, ready to run. Cases do not know of each other: each begins with the policy as it is here and, where the
/// driver can, with a fresh filter, as a worker never forgets the latest time that it saw.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The cases file as the user named it.
    pub name: String,
    /// The policy's file.
    pub policy_path: PathBuf,
    /// The policy as the filter gets it, with the run's public keys.
    pub policy_json: Vec<u8>,
    /// The environment of the filter's VM, where credentials are.
    pub env: BTreeMap<String, String>,
    /// How many workers the proxy should have.
    pub workers: usize,
    /// The instant at which every case begins.
    pub at: Timestamp,
    /// The cases, tables written out.
    pub cases: Vec<Case>,
}

impl Plan {
    /// Reads and resolves a cases file and the policy that it names.
    ///
    /// # Errors
    /// All mistakes in either file, each with its place.
    pub fn read(path: &Path, clock: Clock) -> Result<Self, Findings> {
        let document = Document::read(path)?;
        file::resolve(&document, path.parent().unwrap_or(Path::new("")), clock)
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, unique in the file.
    pub name: String,
    /// `file:line:column`.
    pub place: String,
    /// What to do, in order; never empty.
    pub steps: Vec<Step>,
}

impl Case {
    /// Can this case only be told to a proxy whose clock can be moved?
    #[must_use]
    pub fn moves_clock(&self, plan: &Plan) -> bool {
        self.steps.iter().any(|step| step.at != plan.at)
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name: the case's when there is only one.
    pub name: String,
    /// `file:line:column`.
    pub place: String,
    /// When; never before the step before it.
    pub at: Timestamp,
    /// What.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sends a request and looks at what was decided.
    Send {
        /// The request.
        request: Box<Request>,
        /// What must be decided.
        expect: Expect,
    },
    /// Gives every worker this policy; it is a valid one.
    Configure(Vec<u8>),
}
