//! The core of Chaperone: what is decided about a request, and why.
//!
//! Pure: no clock, no I/O, no log, no proxy. Time, randomness, the environment and signature checks come as arguments, so
//! that the filter in a proxy, the tests and any other host drive the very same [`Exchange`].
//!
//! ```
//! use std::rc::Rc;
//! use chaperone_policy::{Context, Decision, Exchange, Head, Policy, RustCrypto, Timestamp, Worker};
//!
//! let mut worker = Worker::new([1; 16], [2; 32], Default::default());
//! let policy = Rc::new(Policy::deny_all());
//! let mut exchange = Exchange::begin(Rc::clone(&policy));
//! let head = Head { headers: &[(b":method", b"GET"), (b":path", b"/")], ..Head::default() };
//! let now = Timestamp::from_seconds(1_795_428_000);
//! let decision = exchange.request(&head, &mut worker, &Context { now, newest: &policy, verifier: &RustCrypto });
//! assert!(matches!(decision, Decision::Refuse(denial) if denial.reason().code() == "no_policy"));
//! ```
#![forbid(unsafe_code)]

mod answer;
mod commands;
mod decide;
mod document;
mod exchange;
mod http;
mod primitives;
mod rules;
mod state;
mod token;

pub use answer::denial::{Denial, Response};
pub use answer::explain::{ConditionSeen, Explanation, GrantSeen};
pub use answer::record::End;
pub use commands::mcp::uri::uri_is_plain;
pub use commands::path_index::PathIndex;
pub use commands::path_pattern::PathPattern;
pub use commands::sql;
pub use decide::context::Context;
pub use decide::echo::Passage;
pub use decide::need::{Given, Need, WholeBody};
pub use decide::trace::{CallsSeen, CheckStep, Identity, TokenLocation};
pub use document::{DocumentError, DocumentErrors, kind as json_kind, nearest as nearest_name};
pub use exchange::{Decision, Exchange, Permit};
pub use http::edits::Edits;
pub use http::head::{AskSource, Head, Headers, Source};
pub use http::host::HostPattern;
pub use http::names::HEADER_PREFIX;
pub use http::peer::{Peer, PeerWanted};
pub use primitives::limits;
pub use primitives::pattern::Pattern;
pub use primitives::reason::Reason;
pub use primitives::time::{Timestamp, parse_seconds};
pub use rules::credential::Secret;
pub use rules::policy::Policy;
pub use state::fetch::{Answer, Due, Failure, Fetch, FetchCounts, Kind, News, Post, Refusal, Report, Ticket};
pub use state::lineage::{Heard, Lineage, VmId};
pub use state::sessions::{LocalState, SharedState, Unavailable};
pub use state::worker::{Counts, Worker};
pub use token::keys::{
    Accepted, Algorithm, DroppedKey, KeyFingerprint, KeyNote, KeyUse, KnownAnswer, RustCrypto, UnknownAlgorithm, VerificationKey,
    VerifySignature, key_notes, known_answers, thumbprint,
};
