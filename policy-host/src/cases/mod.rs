//! Cases run through the filter itself, from files and into reports.
//!
//! [`Runner`] runs cases through the filter, [`Report`] shows what came of it.

mod files;
mod report;
mod run;
mod watch;

pub use files::find;
pub use report::{Counts, Palette, Report};
pub use run::Runner;
pub use watch::{Change, Watch};
