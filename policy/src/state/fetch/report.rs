//! What came of a fetch, for a log: never what was in it.

use std::fmt;

use super::set::Refusal;
use crate::rules::credential::TokenExchange;
use crate::rules::endpoint::Target;
use crate::token::keys::DroppedKey;

/// Keys that one line of a log tells of; a set of others' keys is not a page long.
const NAMED: usize = 8;

/// Characters that it shows of a `jti`.
const ID_SHOWN: usize = 64;

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An issuer's key set.
    Keys,
    /// A status list.
    List,
    /// Security events.
    Events,
    /// A token for that of a session.
    Exchange,
}

/// What came of one fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    kind: Kind,
    issuer: String,
    place: String,
    result: Result<News, Failure>,
    dropped: Vec<DroppedKey>,
    refused: Vec<(String, Refusal)>,
    /// Its like has been told of a moment ago.
    unsaid: bool,
}

/// It is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A key set.
    Keys {
        /// How many of its keys can be used here. With none the issuer has no keys any more.
        usable: usize,
        /// It is not the one that was held, or other keys of it are left out.
        changed: bool,
    },
    /// A status list.
    List {
        /// How many entries it has.
        entries: usize,
        /// It does not say what the one that was held said.
        changed: bool,
    },
    /// Security events.
    Events {
        /// Tokens that were taken, and had not been before.
        taken: usize,
        /// Tokens that were refused, and had not been before.
        refused: usize,
        /// There are some, and with the last answer there were none, whose key is not known: they are to come again.
        waiting: bool,
    },
    /// A token.
    Token,
}

/// It is not, and what was held before is still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No such cluster, nobody listens, the connection broke, or the time ran out.
    NoAnswer,
    /// A status other than 200.
    Status(u16),
    /// More bytes than the bound.
    TooLarge,
    /// Not what it should be.
    Malformed,
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
    /// What the workers share failed, or others changed it all the time.
    NotShared,
    /// A token that cannot be given to a target: empty, too long, no visible ASCII, or the one that was sent.
    TokenUnusable,
    /// A token of another type than was asked for.
    WrongType,
    /// A token for somebody else.
    AnotherAudience,
    /// A token of which is not said when it ends.
    NoEnd,
    /// A variable of the proxy's environment is absent or empty: nothing was asked.
    VariableMissing,
    /// A variable holds no key that could sign: nothing was asked.
    KeyUnusable,
}

impl Report {
    pub(super) fn new(kind: Kind, issuer: &str, target: &Target, result: Result<News, Failure>) -> Self {
        let Target { cluster, authority, path } = target;
        let place = format!("{authority}{path} (cluster {cluster})");
        Self { kind, issuer: issuer.to_owned(), place, result, dropped: Vec::new(), refused: Vec::new(), unsaid: false }
    }

    /// `variable`: the name of the one that is to blame.
    pub(in crate::state) fn of_exchange(
        exchange: &TokenExchange,
        result: Result<News, Failure>,
        variable: Option<String>,
    ) -> Self {
        Self::new(Kind::Exchange, &variable.unwrap_or_default(), &exchange.target, result)
    }

    /// Not worth a line.
    pub(in crate::state) fn unsaid(self) -> Self {
        Self { unsaid: true, ..self }
    }

    /// Adds the keys of the set that were not taken.
    pub(super) fn without(self, dropped: Vec<DroppedKey>) -> Self {
        Self { dropped, ..self }
    }

    /// Adds the events that were refused, and had not been before.
    pub(super) fn refusing(self, refused: Vec<(String, Refusal)>) -> Self {
        Self { refused, ..self }
    }

    /// Returns the keys of the set that were not taken, in its order.
    #[must_use]
    pub fn dropped(&self) -> &[DroppedKey] {
        &self.dropped
    }

    /// Says whether somebody has to do something about it: nothing came, nothing of it is of use, or an entry is wrong.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        match self.result {
            Ok(News::Keys { usable, .. }) => usable == 0 || self.dropped.iter().any(|key| !key.is_foreign()),
            Ok(News::List { .. } | News::Token) => false,
            Ok(News::Events { refused, waiting, .. }) => refused > 0 || waiting,
            Err(_) => true,
        }
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
            Ok(News::Events { taken, refused, waiting }) => taken + refused > 0 || waiting,
            Ok(News::Token) => false,
            Err(_) => !self.unsaid,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, issuer, place, result, dropped, refused, unsaid: _ } = self;
        let what = match kind {
            Kind::Keys => "keys",
            Kind::List => "status list",
            Kind::Events => "events",
            Kind::Exchange => "token",
        };
        match result {
            Ok(News::Keys { usable: 0, .. }) => {
                write!(f, "{what} of {issuer} from {place}: none of its keys can be used, and none is held any more")?;
            }
            Ok(News::Keys { usable, .. }) => write!(f, "{what} of {issuer} from {place}: {usable} can be used")?,
            Ok(News::List { entries, .. }) => write!(f, "{what} of {issuer} from {place}: {entries} entries")?,
            Ok(News::Events { taken, refused, waiting }) => {
                write!(f, "{what} of {issuer} from {place}: {taken} taken, {refused} refused")?;
                if *waiting {
                    f.write_str(", and some left there that are signed by a key that is not known")?;
                }
            }
            Ok(News::Token) => write!(f, "{what} from {place}")?,
            Err(failure) if *kind == Kind::Exchange => {
                write!(f, "no {what} for a session's could be had from {place}: {failure}")?;
                if !issuer.is_empty() {
                    write!(f, ": {issuer}")?;
                }
            }
            Err(failure) => write!(f, "{what} of {issuer} could not be fetched from {place}: {failure}; what is held stays")?,
        }
        // What is wrong comes before what is only for others.
        let (foreign, wrong): (Vec<_>, Vec<_>) = dropped.iter().partition(|key| key.is_foreign());
        let mut left_out = wrong.into_iter().chain(foreign);
        for (index, key) in left_out.by_ref().take(NAMED).enumerate() {
            write!(f, "{}{key}", if index == 0 { "; left out: " } else { "; " })?;
        }
        for (index, (id, refusal)) in refused.iter().take(NAMED).enumerate() {
            // Whoever answers has written it.
            let id: String = id.chars().filter(char::is_ascii_graphic).take(ID_SHOWN).collect();
            let text = refusal.text();
            write!(f, "{}`{id}`: {text} ({})", if index == 0 { "; " } else { ", " }, refusal.code())?;
        }
        match left_out.count() + refused.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
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
            Self::KeyUnknown => f.write_str("signed by no key of the issuer"),
            Self::SignatureInvalid => f.write_str("its signature is invalid"),
            Self::OfAnother => f.write_str("its `sub` or `iss` is another"),
            Self::NotYetValid => f.write_str("not valid yet"),
            Self::Expired => f.write_str("expired"),
            Self::Older => f.write_str("older than the one that is held"),
            Self::NotShared => f.write_str("the workers' shared data did not take them"),
            Self::TokenUnusable => f.write_str("a token that cannot be given to a target"),
            Self::WrongType => f.write_str("a token of another type"),
            Self::AnotherAudience => f.write_str("a token for another audience"),
            Self::NoEnd => f.write_str("a token without `expires_in`"),
            Self::VariableMissing => f.write_str("a variable of the environment is missing"),
            Self::KeyUnusable => f.write_str("a variable of the environment holds no P-256 key in PKCS #8 PEM"),
        }
    }
}
