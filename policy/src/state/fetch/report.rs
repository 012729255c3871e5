//! What came of a fetch, for a log: never what was in it.

use std::fmt;

use crate::rules::endpoint::Target;

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An issuer's key set.
    Keys,
    /// A status list.
    List,
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
    /// A status list.
    List {
        /// How many entries it has.
        entries: usize,
        /// It does not say what the one that was held said.
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
    /// No key of the issuer has signed it, by an algorithm that is listed.
    KeyUnknown,
    /// The signature does not hold.
    SignatureInvalid,
    /// A list, but for another URI, or of another issuer.
    OfAnother,
    /// It is of a time to come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// The one that is held was issued later.
    Older,
}

impl Report {
    pub(super) fn new(kind: Kind, issuer: &str, target: &Target, result: Result<News, Failure>) -> Self {
        let Target { cluster, authority, path } = target;
        Self { kind, issuer: issuer.to_owned(), place: format!("{authority}{path} (cluster {cluster})"), result }
    }

    /// Returns what came, or what is wrong with it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn result(&self) -> Result<News, Failure> {
        self.result
    }

    /// Says whether it is worth a line in a log. That all is as before is not.
    #[must_use]
    pub fn is_news(&self) -> bool {
        match self.result {
            Ok(News::Keys { changed, .. } | News::List { changed, .. }) => changed,
            Err(_) => true,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, issuer, place, result } = self;
        let what = match kind {
            Kind::Keys => "keys",
            Kind::List => "status list",
        };
        match result {
            Ok(News::Keys { usable, .. }) => write!(f, "{what} of {issuer} from {place}: {usable} can be used"),
            Ok(News::List { entries, .. }) => write!(f, "{what} of {issuer} from {place}: {entries} entries"),
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
            Self::KeyUnknown => f.write_str("signed by no key of the issuer"),
            Self::SignatureInvalid => f.write_str("its signature is invalid"),
            Self::OfAnother => f.write_str("its `sub` or `iss` is another"),
            Self::NotYetValid => f.write_str("not valid yet"),
            Self::Expired => f.write_str("expired"),
            Self::Older => f.write_str("older than the one that is held"),
        }
    }
}
