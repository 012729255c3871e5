//! What a policy names and others publish: key sets that are fetched while the worker lives. The core says what is due and
//! judges what came; whoever has a network does the fetching.

mod endpoint;
mod keys;
mod report;
mod schedule;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::issuers::{Issuer, Keys};
use crate::keys::KeySet;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::worker::Worker;

pub(crate) use endpoint::{Endpoint, KeysId, read_endpoint};
pub use report::{Failure, Kind, News, Report};
use schedule::Schedule;

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
}

/// All that one worker has fetched. It survives config changes: what is held is found by issuer and place, not by policy.
pub(crate) struct Sources {
    keys: HashMap<KeysId, Source<KeysHeld>>,
    /// Counts the changes of what is held. Whatever was judged before the last one is judged again.
    epoch: u64,
    tickets: u64,
    /// Shortens this worker's intervals, so that a fleet that was started at once does not fetch at once for ever.
    salt: u64,
    counts: FetchCounts,
}

struct Source<T> {
    schedule: Schedule,
    held: Option<T>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { schedule: Schedule::default(), held: None }
    }
}

struct KeysHeld {
    set: KeySet,
    /// As it came: another policy may accept other algorithms of the same set.
    document: Box<[u8]>,
}

impl Sources {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let salt = seed.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self { keys: HashMap::new(), epoch: 0, tickets: 0, salt, counts: FetchCounts::default() }
    }

    /// Another number means that what is held has changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The issuer's keys; `None` while none have come.
    pub(crate) fn keys_of<'k>(&'k self, issuer: &'k Issuer) -> Option<&'k KeySet> {
        match &issuer.keys {
            Keys::Inline(set) => Some(set),
            Keys::Endpoint(endpoint) => self.keys.get(&endpoint.id)?.held.as_ref().map(|held| &held.set),
        }
    }

    /// A key that the issuer does not have was asked for: it may have a new one.
    pub(crate) fn miss_key(&self, issuer: &Issuer) {
        if let Keys::Endpoint(endpoint) = &issuer.keys
            && let Some(source) = self.keys.get(&endpoint.id)
        {
            source.schedule.hasten();
        }
    }

    /// The instant of the oldest set that is held.
    fn oldest_keys(&self) -> Option<Timestamp> {
        self.keys.values().filter(|source| source.held.is_some()).filter_map(|source| source.schedule.succeeded()).min()
    }
}

impl Worker {
    /// What is to be fetched now for this policy, as the clock says it. Each fetch counts as begun, and must be told of with
    /// [`Worker::fetched`]; one that never is counts as failed when its time has run out.
    pub fn due(&mut self, policy: &Policy, now: Timestamp) -> Due {
        let mut due = Due::default();
        let sources = &mut self.sources;
        for (name, issuer) in policy.issuers() {
            if let Keys::Endpoint(endpoint) = &issuer.keys {
                let Endpoint { id, refresh, timeout } = endpoint;
                let source = sources.keys.entry(id.clone()).or_default();
                if source.schedule.gave_up(*timeout, now) {
                    sources.counts.keys_failed += 1;
                    due.lost.push(Report::new(Kind::Keys, name, &id.target, Err(Failure::NoAnswer)));
                }
                if source.schedule.is_due(*refresh, sources.salt, now) {
                    sources.tickets += 1;
                    let ticket = Ticket(sources.tickets);
                    source.schedule.begin(ticket, now);
                    due.fetches.push(endpoint.fetch(ticket));
                }
            }
        }
        due
    }

    /// Takes what came of a fetch. `None` when nobody waits for it any more. Until then what was held before is held.
    pub fn fetched(&mut self, ticket: Ticket, answer: Answer<'_>, now: Timestamp) -> Option<Report> {
        let sources = &mut self.sources;
        let (id, source) = sources.keys.iter_mut().find(|(_, source)| source.schedule.awaits(ticket))?;
        let result = keys::read(answer, &id.algorithms).map(|(set, document)| {
            let news = News::Keys { usable: set.len(), changed: source.held.as_ref().is_none_or(|held| held.set != set) };
            source.held = Some(KeysHeld { set, document });
            news
        });
        source.schedule.end(result.is_ok(), now);
        match result {
            Ok(News::Keys { changed, .. }) => {
                sources.counts.keys_fetched += 1;
                sources.epoch += u64::from(changed);
            }
            Err(_) => sources.counts.keys_failed += 1,
        }
        Some(Report::new(Kind::Keys, &id.issuer, &id.target, result))
    }

    /// Is this fetch still waited for?
    #[must_use]
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.sources.keys.values().any(|source| source.schedule.awaits(ticket))
    }

    /// From now on only what these policies name is held: to be called whenever a policy has come. A key set that is held
    /// already serves a policy that names the same issuer and endpoint from the first request on.
    pub fn hold_for(&mut self, policies: &[Rc<Policy>]) {
        let mut kept: HashMap<KeysId, Source<KeysHeld>> = HashMap::new();
        for (_, issuer) in policies.iter().flat_map(|policy| policy.issuers()) {
            let Keys::Endpoint(Endpoint { id, .. }) = &issuer.keys else { continue };
            if kept.contains_key(id) {
                continue;
            }
            let same = |other: &KeysId| other.issuer == id.issuer && other.target == id.target;
            let source = self.sources.keys.remove(id).or_else(|| {
                // The same place under other algorithms: what it said is known.
                let other = self.sources.keys.iter().chain(&kept).find(|(other, source)| same(other) && source.held.is_some());
                let (_, Source { schedule, held }) = other?;
                let (set, document) = keys::parse(&held.as_ref()?.document, &id.algorithms).ok()?;
                Some(Source { schedule: schedule.of_another(), held: Some(KeysHeld { set, document }) })
            });
            kept.insert(id.clone(), source.unwrap_or_default());
        }
        self.sources.keys = kept;
        self.sources.epoch += 1;
    }

    /// Figures since the VM began.
    #[must_use]
    pub fn fetch_counts(&self) -> FetchCounts {
        self.sources.counts
    }

    /// How long ago the oldest of the fetched key sets came; `None` when there is none.
    #[must_use]
    pub fn age_of_keys(&self, now: Timestamp) -> Option<Duration> {
        Some(now.since(self.sources.oldest_keys()?))
    }
}
