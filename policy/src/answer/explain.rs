//! What a judgement saw, for whoever asks why.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::router::CommandId;
use crate::decide::trace::{CheckStep, Trace};
use crate::document::kind;
use crate::primitives::pattern::Pattern;
use crate::primitives::time::Timestamp;
use crate::rules::grants::{ClaimCondition, Grant, When};
use crate::rules::policy::Rules;
use crate::token::claims::Claims;

/// What was seen while a request was judged. Nothing in it is a token, a key, a credential or a query. Claims of a token whose
/// signature did not hold are what somebody claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What each check saw, in the order of the checks. The last one is where a denial was decided.
    pub seen: Vec<CheckStep>,
    /// All grants of the policy, and how this session stands to them; without a session none of their conditions holds.
    pub grants: Vec<GrantSeen>,
}

impl Explanation {
    /// Of a request under these rules, until it is known whose session it is.
    pub(crate) fn begin(rules: Option<&Rules>) -> Self {
        Self { seen: Vec::new(), grants: rules.map(|rules| grants_seen(rules, None)).unwrap_or_default() }
    }
}

impl Trace for Explanation {
    fn saw(&mut self, seen: impl FnOnce() -> CheckStep) {
        self.seen.push(seen());
    }

    fn session(&mut self, rules: &Rules, claims: &Claims, payload: &Map<String, Value>, now: Timestamp) {
        self.grants = grants_seen(rules, Some((claims, payload, now)));
    }
}

/// A grant and its conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantSeen {
    /// Its name.
    pub name: String,
    /// The commands that it allows.
    pub allow: Vec<String>,
    /// Its `max_lifetime`.
    pub max_lifetime: Option<u64>,
    /// It is for programs alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub machine: bool,
    /// It has run out for this session.
    pub ended: bool,
    /// All of them must hold.
    pub conditions: Vec<ConditionSeen>,
}

/// One condition of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConditionSeen {
    /// `issuer`, `subject`, `session`, `agent` or `claims.NAME`.
    pub about: String,
    /// The text, or the beginning and `*`.
    pub wanted: String,
    /// What the session has there; several when the claim is a list.
    pub seen: Vec<String>,
    /// It is met.
    pub holds: bool,
}

fn grants_seen(rules: &Rules, session: Option<(&Claims, &Map<String, Value>, Timestamp)>) -> Vec<GrantSeen> {
    rules.grants.all().iter().map(|grant| grant_seen(grant, rules, session)).collect()
}

fn of_another_form(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => format!("{value} ({})", kind(value)),
        Value::String(text) => format!("{text} (a string)"),
        Value::Null | Value::Array(_) | Value::Object(_) => format!("({})", kind(value)),
    }
}

fn claim_seen(condition: &ClaimCondition, all: Option<&Map<String, Value>>) -> ConditionSeen {
    let texts: Vec<String> = all.into_iter().flat_map(|all| condition.subject.texts(all)).map(Cow::into_owned).collect();
    // What the condition does not look at is no text of it, but it is not absent either.
    let other = || all.and_then(|all| condition.subject.path.find(all)).map(of_another_form);
    ConditionSeen {
        about: format!("claims.{}", condition.subject.path),
        wanted: condition.to_string(),
        seen: if texts.is_empty() { other().into_iter().collect() } else { texts },
        holds: all.is_some_and(|all| condition.holds(all)),
    }
}

/// A grant, and how a session stands to it at this instant; without one nothing holds.
fn grant_seen(grant: &Grant, rules: &Rules, session: Option<(&Claims, &Map<String, Value>, Timestamp)>) -> GrantSeen {
    // What is carried and counted under it is for checks of their own.
    let Grant { name, when, allow, max_lifetime, machine, transfers: _, usage: _, credentials: _ } = grant;
    let When { issuer, subject, session: session_id, agent, claims: conditions } = when;
    let claims = session.map(|(claims, _, _)| claims);
    let one = |text: Option<&String>| text.cloned().into_iter().collect::<Vec<_>>();
    let issuer = issuer.clone().map(Pattern::Exact);
    let fixed = [
        ("issuer", issuer.as_ref(), one(claims.map(|claims| &claims.issuer))),
        ("subject", subject.as_ref(), one(claims.map(|claims| &claims.subject))),
        ("session", session_id.as_ref(), one(claims.map(|claims| &claims.session))),
        ("agent", agent.as_ref(), one(claims.and_then(|claims| claims.agents.first()))),
    ];
    let fixed = fixed.into_iter().filter_map(|(about, pattern, seen)| Some((about.to_owned(), pattern?, seen)));
    let fixed = fixed.map(|(about, pattern, seen)| ConditionSeen {
        about,
        wanted: pattern.to_string(),
        holds: seen.iter().any(|text| pattern.matches(text)),
        seen,
    });
    let conditions = fixed.chain(conditions.iter().map(|condition| claim_seen(condition, session.map(|(_, all, _)| all))));
    let command = |id: &CommandId| rules.commands.get(id.0 as usize).map(|command| command.name.to_string());
    let ended = session.zip(*max_lifetime).is_some_and(|((claims, _, now), longest)| {
        now.seconds() >= claims.started.saturating_add(longest).saturating_add(rules.session.clock_skew)
    });
    GrantSeen {
        name: name.to_string(),
        allow: allow.iter().filter_map(command).collect(),
        max_lifetime: *max_lifetime,
        machine: *machine,
        ended,
        conditions: conditions.collect(),
    }
}
