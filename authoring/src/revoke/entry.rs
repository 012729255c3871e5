//! One entry of `revoked`: what it names, how far it reaches, and why it is there.

use crate::source::quoted;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::fmt;

/// What an entry names: a conjunction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selectors {
    /// The session claim.
    pub session: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// Any hop of the `act` chain.
    pub agent: Option<String>,
    /// `jti`.
    pub token: Option<String>,
    /// `iss`.
    pub issuer: Option<String>,
    /// Only what began or was issued before this instant.
    pub issued_before: Option<Timestamp>,
}

/// An entry of `revoked`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it names.
    pub selectors: Selectors,
    /// Why, for the record.
    pub because: Option<String>,
}

impl Selectors {
    /// An entry that names nothing would end every session, and is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What the entry of a valid policy names.
    #[must_use]
    pub fn of(entry: &Value) -> Self {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            session: text("session"),
            subject: text("subject"),
            agent: text("agent"),
            token: text("token"),
            issuer: text("issuer"),
            issued_before: text("issued_before").and_then(|instant| instant.parse().ok()),
        }
    }

    /// Does an entry with these selectors end all that one with `other` would?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let Self { session, subject, agent, token, issuer, issued_before } = self;
        let same = |own: &Option<String>, others: &Option<String>| own.is_none() || own == others;
        same(session, &other.session)
            && same(subject, &other.subject)
            && same(agent, &other.agent)
            && same(token, &other.token)
            && same(issuer, &other.issuer)
            && issued_before.is_none_or(|own| other.issued_before.is_some_and(|others| others <= own))
    }

    /// The texts by name, in the order in which an entry is written.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { session, subject, agent, token, issuer, issued_before: _ } = self;
        [("session", session), ("subject", subject), ("agent", agent), ("token", token), ("issuer", issuer)]
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_deref()?)))
    }
}

impl Entry {
    /// Name and value of each member, in the order in which they are written.
    pub(super) fn members(&self) -> Vec<(&'static str, String)> {
        let Self { selectors, because } = self;
        let texts = selectors.texts().map(|(name, text)| (name, text.to_owned()));
        let instant = selectors.issued_before.map(|instant| ("issued_before", instant.to_string()));
        texts.chain(instant).chain(because.clone().map(|because| ("because", because))).collect()
    }

    /// The entry as a value.
    #[must_use]
    pub fn value(&self) -> Value {
        let members = self.members().into_iter().map(|(name, text)| (name.to_owned(), Value::String(text)));
        Value::Object(members.collect::<Map<_, _>>())
    }
}

/// On one line, as an author would write it: every value in quotes, as YAML and Envoy's Struct both change what looks like a number.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<String> = self.members().into_iter().map(|(name, text)| format!("{name}: {}", quoted(&text))).collect();
        write!(f, "{{{}}}", members.join(", "))
    }
}

impl From<&Value> for Entry {
    fn from(value: &Value) -> Self {
        let because = value.get("because").and_then(Value::as_str).map(str::to_owned);
        Self { selectors: Selectors::of(value), because }
    }
}
