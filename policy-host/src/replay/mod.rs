//! Requests on their way in, what was decided about them on their way out: the `replay` contract, and the filter between.

mod compare;
mod filter;
mod request;
mod run;
mod secrets;
mod sessions;
mod stream;

pub use compare::{Answered, Change, Comparison, Example, Kind, Verdict};
pub use filter::Filter;
pub use run::{Replay, ReplayError, Times};
pub use secrets::Secrets;
pub use sessions::Sessions;

pub(crate) use stream::{End, Stream};
