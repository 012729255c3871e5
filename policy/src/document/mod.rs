//! Reading the policy document: JSON in, parsed values or located errors out. All mistakes are reported at once.

mod errors;
mod read;

pub(crate) use errors::Errors;
pub use errors::{DocumentError, DocumentErrors};
pub(crate) use read::{
    At, Object, as_whole_number, boolean, command_pattern, duration, each, list, name, one_of, pattern, string, strings, text,
    whole_number,
};
pub use read::{kind, nearest};
