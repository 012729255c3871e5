//! What came of a fetch, for a log: never what was in it.

use std::fmt;

use super::endpoint::Target;

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An issuer's key set.
    Keys,
}

/// What came of one fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    kind: Kind,
    issuer: String,
    place: String,
    result: Result<News, Failure>,
}

/// It is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A key set.
    Keys {
        /// How many of its keys can be used here.
        usable: usize,
        /// It is not the one that was held.
        changed: bool,
    },
}

/// It is not, and what was held before is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such cluster, nobody listens, the connection broke, or the time ran out.
    NoAnswer,
    /// A status other than 200.
    Status(u16),
    /// More bytes or more keys than the bounds.
    TooLarge,
    /// Not what it should be.
    Malformed,
    /// No key in it is for verifying by an algorithm that the issuer lists.
    NoUsableKey,
    /// Two of its keys could not be told apart.
    KeysAlike,
}

impl Report {
    pub(super) fn new(kind: Kind, issuer: &str, target: &Target, result: Result<News, Failure>) -> Self {
        let Target { cluster, authority, path } = target;
        Self { kind, issuer: issuer.to_owned(), place: format!("{authority}{path} (cluster {cluster})"), result }
    }

    /// Good or not.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn result(&self) -> Result<News, Failure> {
        self.result
    }

    /// Worth a line in a log? That all is as before is not.
    #[must_use]
    pub fn is_news(&self) -> bool {
        !matches!(self.result, Ok(News::Keys { changed: false, .. }))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, issuer, place, result } = self;
        let what = match kind {
            Kind::Keys => "keys",
        };
        match result {
            Ok(News::Keys { usable, .. }) => write!(f, "{what} of {issuer} from {place}: {usable} can be used"),
            Err(failure) => write!(f, "{what} of {issuer} could not be fetched from {place}: {failure}; what is held stays"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge => f.write_str("too large"),
            Self::Malformed => f.write_str("malformed"),
            Self::NoUsableKey => f.write_str("none of its keys can be used"),
            Self::KeysAlike => f.write_str("two of its keys have the same `kid`"),
        }
    }
}
