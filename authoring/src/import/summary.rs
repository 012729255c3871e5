//! What became of a log: how much was read, what was left out, and why.

use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// Places that are named for each reason; the first ones, as those of a log explain those after them.
const PLACES: usize = 3;
/// Reasons that are told apart; a file of a wrong kind has a thousand.
const REASONS: usize = 20;

/// Why an entry is no request of the result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// It is none of its kind; what is wrong.
    Unreadable(String),
    /// A connection without an HTTP request: TCP, or one that ended before.
    NoRequest,
    /// A path that the record has cut short.
    CutPath,
    /// A line without the filter's record: the proxy answered alone.
    NoRecord,
    /// A record, and no host for its request.
    NoAuthority,
    /// Nothing that goes over HTTP: `data:`, `blob:`, the address of an extension.
    NotHttp,
    /// More bad lines, of more kinds than are told apart.
    Others,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable(message) => message,
            Self::NoRequest => "no HTTP request: a TCP connection, or one that ended before a request was read",
            Self::CutPath => "the record has only the beginning of the path",
            Self::NoRecord => "no record of the filter: the proxy answered before it",
            Self::NoAuthority => "a record does not say which host its request was for",
            Self::NotHttp => "not a URL of http or https",
            Self::Others => "could not be read for other reasons",
        })
    }
}

/// What of a request is not in its line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The query: it takes no part in a decision, and may hold secrets.
    Query,
    /// What a path has after `#`, or an authority before `@`.
    Secret,
    /// A field that may hold a secret, or that no decision looks at.
    Header(String),
    /// The body.
    Body,
    /// The request had no session that was verified.
    NoSession,
    /// No policy was named that says whom the token was for.
    NoAudience,
    /// The token's own list of commands is not in a record; taken to be the command that it named.
    CommandsAssumed,
    /// The time is not in the log, or in no form that is known.
    NoTime,
    /// It stood too far behind later ones to be put in its place.
    OutOfOrder,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query => "without its query, which takes no part in a decision and may hold secrets",
            Self::Secret => "without what stood after `#` or before `@`, which may be a token or a password",
            Self::Header(name) => return write!(f, "without its header `{name}`, which may hold a secret"),
            Self::Body => "without its body, which may hold secrets",
            Self::NoSession => "without claims: no session was verified",
            Self::NoAudience => "claims without `aud`, which a record does not have: name the policy by --policy",
            Self::CommandsAssumed => "the token's own list is not in a record: taken to be the one command that it named here",
            Self::NoTime => "without `at`: no time that is RFC 3339",
            Self::OutOfOrder => "without `at`: too far behind later requests in the log to be put in its place",
        })
    }
}

/// Entries with the same fate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Why, or what is not there.
    pub what: String,
    /// Of how many.
    pub count: u64,
    /// The first of them: lines, or entries where the file has no lines of its own.
    pub first: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Tally {
    count: u64,
    first: Vec<String>,
}

impl Tally {
    fn add(&mut self, place: &dyn Fn() -> String) {
        self.count += 1;
        if self.first.len() < PLACES {
            self.first.push(place());
        }
    }
}

/// What became of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Entries that were read, blank lines aside.
    pub read: u64,
    /// Requests that came of them.
    pub written: u64,
    left_out: BTreeMap<LeftOut, Tally>,
    notes: BTreeMap<Note, Tally>,
}

impl Summary {
    /// An entry gave no request. `place` says which, and is asked for the first ones alone.
    pub fn leave_out(&mut self, why: LeftOut, place: &dyn Fn() -> String) {
        let room = self.left_out.len() < REASONS || self.left_out.contains_key(&why);
        self.left_out.entry(if room { why } else { LeftOut::Others }).or_default().add(place);
    }

    /// A request is not whole.
    pub fn note(&mut self, what: &Note, place: &dyn Fn() -> String) {
        match self.notes.get_mut(what) {
            Some(tally) => tally.add(place),
            None => self.notes.entry(what.clone()).or_default().add(place),
        }
    }

    /// How many could not be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        let bad = self.left_out.iter().filter(|(why, _)| matches!(why, LeftOut::Unreadable(_) | LeftOut::Others));
        bad.map(|(_, tally)| tally.count).sum()
    }

    /// What gave no request, by reason.
    #[must_use]
    pub fn left_out(&self) -> Vec<Group> {
        groups(&self.left_out)
    }

    /// What requests lack.
    #[must_use]
    pub fn notes(&self) -> Vec<Group> {
        groups(&self.notes)
    }
}

fn groups<K: fmt::Display>(all: &BTreeMap<K, Tally>) -> Vec<Group> {
    let group = |(what, tally): (&K, &Tally)| Group { what: what.to_string(), count: tally.count, first: tally.first.clone() };
    all.iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_places_stand_for_all_and_reasons_are_bounded() {
        let mut summary = Summary::default();
        for line in 1..=5 {
            summary.leave_out(LeftOut::NoRequest, &|| format!("line {line}"));
        }
        assert_eq!(summary.left_out()[0].count, 5);
        assert_eq!(summary.left_out()[0].first, ["line 1", "line 2", "line 3"]);
        for line in 0..100 {
            summary.leave_out(LeftOut::Unreadable(format!("wrong in way {line}")), &|| format!("line {line}"));
        }
        assert_eq!(summary.left_out().len(), REASONS + 1);
        assert_eq!(summary.unreadable(), 100);
    }
}
