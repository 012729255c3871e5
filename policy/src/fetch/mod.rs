//! What a policy names and others publish, key sets and status lists, fetched while the worker lives. The core says what is due
//! and judges what came; whoever has a network does the fetching.

mod endpoint;
mod keys;
mod list;
mod report;
mod schedule;
mod sources;

use std::rc::Rc;
use std::time::Duration;

use crate::issuers::Keys;
use crate::keys::VerifySignature;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::worker::Worker;

pub(crate) use endpoint::{Endpoint, ListId, Target, is_authority, is_path, read_cluster, read_endpoint};
pub use report::{Failure, Kind, News, Report};
pub(crate) use sources::{Entry, Sources};

/// A GET that is due: through a cluster of the proxy, never by a name that somebody resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// To be given back with the answer.
    pub ticket: Ticket,
    /// The proxy's cluster.
    pub cluster: String,
    /// `:authority`.
    pub authority: String,
    /// `:path`, with its query.
    pub path: String,
    /// `accept`.
    pub accept: &'static str,
    /// How long the answer may take, all in all.
    pub timeout: Duration,
    /// A longer body is not to be read: the answer is [`Answer::TooLarge`].
    pub most_bytes: usize,
}

/// Names one fetch of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// What came of a fetch.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// A response, whole.
    Response {
        /// Its status.
        status: u16,
        /// Its body.
        body: &'a [u8],
    },
    /// A response whose body is longer than [`Fetch::most_bytes`].
    TooLarge,
    /// None: no such cluster, nobody listens, the connection broke, its time ran out.
    Nothing,
}

/// What is to be done now.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// To be fetched.
    pub fetches: Vec<Fetch>,
    /// Fetches that were begun and of which nobody ever told: given up.
    pub lost: Vec<Report>,
}

/// Figures of what was fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchCounts {
    /// Key sets that came and were good, since the VM began.
    pub keys_fetched: u64,
    /// Fetches of key sets that failed, for whatever reason.
    pub keys_failed: u64,
    /// Status lists that came and were good.
    pub lists_fetched: u64,
    /// Fetches of status lists that failed.
    pub lists_failed: u64,
}

impl Worker {
    /// What is to be fetched now for this policy, as the clock says it. Each fetch counts as begun, and must be told of with
    /// [`Worker::fetched`]; one that never is counts as failed when its time has run out.
    pub fn due(&mut self, policy: &Rc<Policy>, now: Timestamp) -> Due {
        let mut due = Due::default();
        for (name, issuer) in policy.issuers() {
            if let Keys::Endpoint(endpoint) = &issuer.keys {
                self.sources.keys_due(name, endpoint, now, &mut due);
            }
            // Without keys a list could not be believed.
            if let Some(status) = issuer.status.as_ref().filter(|_| self.sources.keys_of(issuer).is_some()) {
                for list in status.lists.values() {
                    self.sources.list_due(policy, list, status.most_bytes, now, &mut due);
                }
            }
        }
        due
    }

    /// Takes what came of a fetch. `None` when nobody waits for it any more. Until something good has come, what was held before
    /// is held.
    pub fn fetched(
        &mut self,
        ticket: Ticket,
        answer: Answer<'_>,
        now: Timestamp,
        verifier: &dyn VerifySignature,
    ) -> Option<Report> {
        let latest = self.latest(now);
        self.sources.take_keys(ticket, answer, now).or_else(|| self.sources.take_list(ticket, answer, now, latest, verifier))
    }

    /// Is this fetch still waited for?
    #[must_use]
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.sources.awaits(ticket)
    }

    /// From now on only what these policies name is held: to be called whenever a policy has come. A key set that is held
    /// already serves a policy that names the same issuer and endpoint from the first request on.
    pub fn hold_for(&mut self, policies: &[Rc<Policy>]) {
        self.sources.hold_for(policies);
    }

    /// Figures since the VM began.
    #[must_use]
    pub fn fetch_counts(&self) -> FetchCounts {
        self.sources.counts()
    }

    /// How long ago the oldest of the fetched key sets came; `None` when there is none.
    #[must_use]
    pub fn age_of_keys(&self, now: Timestamp) -> Option<Duration> {
        Some(now.since(self.sources.oldest_keys()?))
    }

    /// The same for status lists.
    #[must_use]
    pub fn age_of_lists(&self, now: Timestamp) -> Option<Duration> {
        Some(now.since(self.sources.oldest_list()?))
    }
}
