//! What a policy names and others publish, key sets, status lists and events, fetched while the worker lives. The core says what is due
//! and judges what came; whoever has a network does the fetching.

mod events;
mod keys;
mod list;
mod report;
mod schedule;
mod set;
mod signed;
mod sources;

use std::fmt;
use std::time::Duration;

use crate::primitives::limits;
use crate::rules::credential::TokenExchange;
use crate::rules::endpoint::{Endpoint, ListId, Target};
use crate::rules::events::EventsId;

pub(in crate::state) use keys::body;
pub use report::{Failure, Kind, News, Report};
pub use set::Refusal;
pub(in crate::state) use sources::Listener;
pub(crate) use sources::{Entry, Sources};

/// A request that is due, a GET unless it has something to send: through a cluster of the proxy, never by a name that somebody resolves.
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
    /// What is sent.
    pub post: Option<Post>,
    /// How long the answer may take, all in all.
    pub timeout: Duration,
    /// A longer body is not to be read: the answer is [`Answer::TooLarge`].
    pub most_bytes: usize,
}

impl Fetch {
    fn keys(ticket: Ticket, endpoint: &Endpoint) -> Self {
        let accept = "application/jwk-set+json, application/json";
        Self::of(ticket, &endpoint.id.target, accept, endpoint.timeout, limits::KEY_SET_BYTES)
    }

    fn list(ticket: Ticket, list: &ListId, most_bytes: usize) -> Self {
        Self::of(ticket, &list.target, "application/statuslist+jwt", limits::STATUS_TIMEOUT, most_bytes)
    }

    fn events(ticket: Ticket, id: &EventsId, post: Post) -> Self {
        let fetch = Self::of(ticket, &id.target, "application/json", limits::EVENTS_TIMEOUT, limits::EVENTS_ANSWER_BYTES);
        Self { post: Some(post), ..fetch }
    }

    pub(in crate::state) fn exchange(ticket: Ticket, exchange: &TokenExchange, post: Post) -> Self {
        let accept = "application/json";
        let get = Self::of(ticket, &exchange.target, accept, exchange.timeout, limits::EXCHANGE_ANSWER_BYTES);
        Self { post: Some(post), ..get }
    }

    fn of(ticket: Ticket, target: &Target, accept: &'static str, timeout: Duration, most_bytes: usize) -> Self {
        let Target { cluster, authority, path } = target;
        Self {
            ticket,
            cluster: cluster.clone(),
            authority: authority.clone(),
            path: path.clone(),
            accept,
            post: None,
            timeout,
            most_bytes,
        }
    }
}

/// What a POST sends. It may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Post {
    /// `content-type`.
    pub content_type: &'static str,
    /// `authorization`, where the endpoint asks for one.
    pub authorization: Option<Vec<u8>>,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("content_type", &self.content_type).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// Names one fetch of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// No other fetch of the worker has it.
    pub(in crate::state) fn number(self) -> u64 {
        self.0
    }
}

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
    /// Fetches that were begun and of which nobody ever told, and what could not be begun: given up.
    pub lost: Vec<Report>,
}

/// Figures of what was fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchCounts {
    /// Key sets that came and were good, since the VM began.
    pub keys_fetched: u64,
    /// Fetches of key sets that failed, for whatever reason.
    pub keys_failed: u64,
    /// Keys of fetched sets that were left out because something is wrong with them, counted with each fetch.
    pub keys_dropped: u64,
    /// Status lists that came and were good.
    pub lists_fetched: u64,
    /// Fetches of status lists that failed.
    pub lists_failed: u64,
    /// Security event tokens that were taken.
    pub events_taken: u64,
    /// Security event tokens that were refused.
    pub events_refused: u64,
    /// Polls for them that failed.
    pub polls_failed: u64,
    /// Tokens that were had for those of sessions.
    pub tokens_exchanged: u64,
    /// Attempts at that which failed.
    pub exchanges_failed: u64,
}
