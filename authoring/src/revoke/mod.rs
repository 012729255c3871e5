//! `revoked` changed in the file that holds it: a policy, an Envoy file or a manifest. The text is edited where the entries stand, so
//! that comments and order stay; what comes out is read anew and compared with what was meant before it may replace the old one.

mod change;
mod embedded;
mod entry;
mod log;
mod patch;
mod revise;
mod splice;
mod text;

pub use change::{Change, next_generation};
pub(crate) use change::{is_past, longest};
pub use entry::{Entry, Selectors};
pub(crate) use log::Found;
pub use log::{Endings, LogLine};
pub use patch::patch;
pub use revise::{Nothing, Revision, entries, revise};

#[cfg(test)]
mod tests;
