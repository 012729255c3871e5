//! Why a statement is not judged. None of its text is in here: it may hold what is nobody's to print.

use std::fmt;

/// The text is refused, whatever a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not in UTF-8, or holds a NUL.
    NotText,
    /// It has too many bytes, or too many operators and keywords.
    TooLong,
    /// It could mean two things; which part of it.
    Ambiguous(&'static str),
    /// It is not in the grammar, or nested too deeply.
    Grammar,
    /// It does something that is not judged here; what.
    Unknown(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("it is not in UTF-8, or holds a NUL"),
            Self::TooLong => f.write_str("it is too long"),
            Self::Ambiguous(what) => write!(f, "it could be read in two ways: {what}"),
            Self::Grammar => f.write_str("it is not in the grammar that is known here, or nested too deeply"),
            Self::Unknown(what) => write!(f, "it has something that is not judged: {what}"),
        }
    }
}
