//! What the document ends: `revoked`, indexed so that the cost of a lookup does not grow with the list.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::document::{At, Errors, Object, string, text};
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::token::claims::Claims;

/// The selectors of an entry: a conjunction. All absent is possible only with `issued_before`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Selectors {
    issuer: Option<String>,
    session: Option<String>,
    subject: Option<String>,
    agent: Option<String>,
    token: Option<String>,
}

/// How far an entry reaches, and why it was made.
#[derive(Clone, Debug)]
struct Ending {
    /// Only what was issued before this instant; `None` for all.
    issued_before: Option<Timestamp>,
    because: Option<String>,
}

/// The most selective member of an entry, by which it is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Token(String),
    Session(String),
    Subject(String),
    Agent(String),
    Issuer(String),
    Everyone,
}

/// All entries of `revoked`.
#[derive(Debug, Default)]
pub(crate) struct Revocations(HashMap<Key, Vec<(Selectors, Ending)>>);

impl Revocations {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        if value.as_array().is_some_and(|entries| entries.len() > limits::REVOCATIONS) {
            errors.add_with_help(
                at,
                format!("more than {} entries", limits::REVOCATIONS),
                "take out those whose sessions have reached their longest lifetime",
            );
            return None;
        }
        let entries = crate::document::list(value, at, errors, read_entry)?;
        // Of entries with equal selectors the widest is enough; so no index entry is longer than what differs.
        let mut widest: HashMap<Selectors, Ending> = HashMap::with_capacity(entries.len());
        for (selectors, ending) in entries {
            let wider = widest.get(&selectors).is_none_or(|known| match (known.issued_before, ending.issued_before) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(known), Some(new)) => new > known,
            });
            if wider {
                widest.insert(selectors, ending);
            }
        }
        let mut index: HashMap<Key, Vec<(Selectors, Ending)>> = HashMap::with_capacity(widest.len());
        for (selectors, ending) in widest {
            index.entry(selectors.key()).or_default().push((selectors, ending));
        }
        Some(Self(index))
    }

    /// Is a session with these claims ended? If so, the entry's `because`.
    pub(crate) fn find(&self, claims: &Claims) -> Option<Option<&str>> {
        if self.0.is_empty() {
            return None;
        }
        let keys = claims
            .token_id
            .iter()
            .map(|token| Key::Token(token.clone()))
            .chain([Key::Session(claims.session.clone()), Key::Subject(claims.subject.clone())])
            .chain(claims.agents.iter().map(|agent| Key::Agent(agent.clone())))
            .chain([Key::Issuer(claims.issuer.clone()), Key::Everyone]);
        for key in keys {
            let found = self
                .0
                .get(&key)
                .into_iter()
                .flatten()
                .find(|(selectors, ending)| selectors.name(claims) && ending.reaches(claims));
            if let Some((_, ending)) = found {
                return Some(ending.because.as_deref());
            }
        }
        None
    }
}

impl Selectors {
    fn key(&self) -> Key {
        let Self { issuer, session, subject, agent, token } = self;
        match (token, session, subject, agent, issuer) {
            (Some(token), ..) => Key::Token(token.clone()),
            (None, Some(session), ..) => Key::Session(session.clone()),
            (None, None, Some(subject), ..) => Key::Subject(subject.clone()),
            (None, None, None, Some(agent), _) => Key::Agent(agent.clone()),
            (None, None, None, None, Some(issuer)) => Key::Issuer(issuer.clone()),
            (None, None, None, None, None) => Key::Everyone,
        }
    }

    fn name(&self, claims: &Claims) -> bool {
        let Self { issuer, session, subject, agent, token } = self;
        issuer.as_ref().is_none_or(|issuer| *issuer == claims.issuer)
            && session.as_ref().is_none_or(|session| *session == claims.session)
            && subject.as_ref().is_none_or(|subject| *subject == claims.subject)
            && agent.as_ref().is_none_or(|agent| claims.agents.contains(agent))
            && token.as_ref().is_none_or(|token| claims.token_id.as_ref() == Some(token))
    }
}

impl Ending {
    fn reaches(&self, claims: &Claims) -> bool {
        self.issued_before.is_none_or(|instant| Timestamp::from_seconds(claims.issued.min(claims.started)) < instant)
    }
}

fn read_entry(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<(Selectors, Ending)> {
    let mut object = Object::open(value, at, errors)?;
    let mut selector = |name: &'static str, errors: &mut Errors| object.optional(name, errors, string).map(str::to_owned);
    let selectors = Selectors {
        issuer: selector("issuer", errors),
        session: selector("session", errors),
        subject: selector("subject", errors),
        agent: selector("agent", errors),
        token: selector("token", errors),
    };
    let issued_before = object.optional("issued_before", errors, |value, at, errors| {
        const HELP: &str = "write it as \"2026-11-23T10:00:00Z\"";
        let parsed = Timestamp::from_rfc3339(text(value, at, errors, HELP)?);
        if parsed.is_none() {
            errors.add_with_help(at, "must be an instant of RFC 3339", HELP);
        }
        parsed
    });
    let because = object.optional("because", errors, string).map(str::to_owned);
    object.finish(errors);
    let selective = |members: &Map<String, Value>| members.keys().any(|name| name != "because");
    if !value.as_object().is_some_and(selective) {
        errors.add_with_help(
            at,
            "an entry that names nothing would end every session",
            "name a session, subject, agent, token, issuer or issued_before",
        );
        return None;
    }
    Some((selectors, Ending { issued_before, because }))
}
