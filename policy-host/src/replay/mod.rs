//! Requests on their way in, what was decided about them on their way out: the `replay` contract, and the filter between.

mod compare;
mod filter;
mod line;
mod outcome;
mod request;
mod run;

pub use compare::{Change, Comparison, Example, Kind, Verdict};
pub use filter::Filter;
pub use line::{BadLine, Line};
pub use outcome::{Decision, Outcome, client_reason};
pub use request::{Headers, Request, peer};
pub use run::{Replay, ReplayError};

pub(crate) use filter::{outcome, text};
pub(crate) use request::parse_address;
