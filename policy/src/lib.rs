//! The core of Chaperone: what is decided about a request, and why.
//!
//! Pure: no clock, no I/O, no log, no proxy. Time, randomness, the environment and signature checks come as arguments, so
//! that the filter in a proxy, the tests and any other host drive the very same [`Exchange`].
//!
//! ```
//! use std::rc::Rc;
//! use chaperone_policy::{Decision, Exchange, Head, Policy, RustCrypto, Timestamp, Worker};
//!
//! let mut worker = Worker::new([1; 16], [2; 32], Default::default());
//! let mut exchange = Exchange::begin(Rc::new(Policy::deny_all()));
//! let head = Head { headers: &[(b":method", b"GET"), (b":path", b"/")], ..Head::default() };
//! let decision = exchange.request(&head, &mut worker, Timestamp::from_seconds(1_795_428_000), &RustCrypto);
//! assert!(matches!(decision, Decision::Refuse(denial) if denial.reason().code() == "no_policy"));
//! ```
#![forbid(unsafe_code)]

mod address;
mod allowances;
mod authenticate;
mod binding;
mod check;
mod claims;
mod commands;
mod credential;
mod denial;
mod document;
mod echo;
mod edits;
mod exchange;
mod fetch;
mod grants;
mod issuers;
mod json;
mod keys;
pub mod limits;
mod lineage;
mod pace;
mod path;
mod path_pattern;
mod pattern;
mod policy;
mod reason;
mod record;
mod request;
mod revocations;
mod router;
mod seats;
mod sessions;
mod standing;
mod status;
mod tally;
mod time;
mod token;
mod trace;
mod verified;
mod worker;

pub use binding::{Peer, PeerWanted};
pub use credential::Secret;
pub use denial::{Denial, Response};
pub use document::{DocumentError, DocumentErrors, kind as json_kind, nearest as nearest_name};
pub use echo::Passage;
pub use edits::Edits;
pub use exchange::{Decision, Exchange, Permit};
pub use fetch::{Answer, Due, Failure, Fetch, FetchCounts, Kind, News, Report, Ticket};
pub use keys::{
    Algorithm, KeyFingerprint, KnownAnswer, RustCrypto, UnknownAlgorithm, VerificationKey, VerifySignature, known_answers,
    thumbprint,
};
pub use lineage::{Heard, Lineage, VmId};
pub use path_pattern::PathPattern;
pub use pattern::Pattern;
pub use policy::{HEADER_PREFIX, Policy};
pub use reason::Reason;
pub use record::End;
pub use request::{Head, Headers};
pub use sessions::{LocalState, SharedState, Unavailable};
pub use time::{Timestamp, parse_seconds};
pub use trace::{ConditionSeen, Explanation, GrantSeen, Identity, Place, Seen};
pub use worker::{Counts, Worker};
