//! A resolved cases file: nothing left to look up, to sign or to compute.

use super::{expect::Expect, location::Location};
use crate::{
    published::{Published, Script},
    request::{Headers, Request},
};
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt, path::PathBuf};

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
    /// What the policies of the file have fetched.
    pub published: Published,
    /// The cases, tables written out.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, unique in the file.
    pub name: String,
    /// Where it is written.
    pub location: Location,
    /// What to do, in order; never empty.
    pub steps: Vec<Step>,
}

impl Case {
    /// Can this case only be told to a proxy whose clock can be moved?
    #[must_use]
    pub fn moves_clock(&self, plan: &Plan) -> bool {
        self.steps.iter().any(|step| step.at != plan.at)
    }

    /// Does this case leave streams open from step to step?
    #[must_use]
    pub fn opens_streams(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.action, Action::Open { .. }))
    }

    /// Does this case name a worker beyond the first?
    #[must_use]
    pub fn names_workers(&self) -> bool {
        self.steps.iter().any(|step| step.worker > 0)
    }

    /// Does this case rely on what is fetched?
    #[must_use]
    pub fn fetches(&self, plan: &Plan) -> bool {
        !plan.published.is_empty() || self.steps.iter().any(|step| matches!(step.action, Action::Publish(_)))
    }

    /// Does the upstream say something of its own to a request of this case?
    #[must_use]
    pub fn scripts_replies(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Send { exchange, .. } | Action::Open { exchange, .. } => exchange.reply.is_some(),
            Action::Configure(_) | Action::Publish(_) | Action::Look(_) => false,
        })
    }

    /// Does a client of this case show a certificate?
    #[must_use]
    pub fn shows_certificates(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Send { exchange, .. } | Action::Open { exchange, .. } => {
                exchange.request.client_certificate_sha256.is_some() || exchange.request.peer_uri_san.is_some()
            }
            Action::Configure(_) | Action::Publish(_) | Action::Look(_) => false,
        })
    }

    /// Does a request of this case say that the proxy made it of a redirect? Envoy takes that off what comes from outside.
    #[must_use]
    pub fn plays_redirects(&self) -> bool {
        self.steps.iter().any(|step| match &step.action {
            Action::Send { exchange, .. } | Action::Open { exchange, .. } => {
                exchange.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"x-envoy-original-url"))
            }
            Action::Configure(_) | Action::Publish(_) | Action::Look(_) => false,
        })
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name: the case's when there is only one.
    pub name: String,
    /// Where it is written.
    pub location: Location,
    /// When; never before the step before it. Time that passed is time in which ticks run.
    pub at: Timestamp,
    /// The worker that gets the request, from 0.
    pub worker: usize,
    /// What.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Sends a request, waits for its end and looks at what was decided.
    Send {
        /// The request and what comes back.
        exchange: Exchange,
        /// What must be decided.
        expect: Expect,
    },
    /// Sends a request whose response stays open until it is cut, ends by trailers, or the case is over.
    Open {
        /// What later steps call the stream.
        stream: String,
        /// The request and what comes back for now.
        exchange: Exchange,
        /// What must be decided; `None` is: that it opens.
        expect: Option<Expect>,
    },
    /// Gives every worker this policy; it is a valid one.
    Configure(Vec<u8>),
    /// Changes what the policy has fetched, by URL.
    Publish(BTreeMap<String, Script>),
    /// Lets time pass and looks at streams that were opened, by their names.
    Look(Vec<(String, StreamState)>),
}

/// A request and what the upstream says to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The request; its body is whole.
    pub request: Box<Request>,
    /// The lengths of the pieces in which the body arrives; empty when it comes in one.
    pub chunks: Vec<usize>,
    /// What the upstream answers. `None`: 200 with nothing, or, where the stream stays open, nothing yet.
    pub reply: Option<Reply>,
}

/// What the upstream answers, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Header fields.
    pub headers: Headers,
    /// The body's pieces.
    pub chunks: Vec<Vec<u8>>,
    /// Trailers end the response.
    pub trailers: Option<Headers>,
}

impl Reply {
    /// 200, and nothing more.
    #[must_use]
    pub fn quick() -> Self {
        Self { status: 200, headers: Vec::new(), chunks: Vec::new(), trailers: None }
    }
}

/// How a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamState {
    /// Neither side has ended it.
    Open,
    /// It came to its own end: the response is complete, or the filter answered instead.
    Closed,
    /// The filter reset it after it had let it through, for this reason.
    Cut(String),
}

impl fmt::Display for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Closed => f.write_str("closed"),
            Self::Cut(reason) => write!(f, "cut: {reason}"),
        }
    }
}
