//! Whose token it is, as audit records say it.

use crate::primitives::json::Line;
use crate::primitives::time::Timestamp;
use crate::token::claims::Claims;

/// A session's part of its records, written once for each token and policy.
#[derive(Debug)]
pub(crate) struct Actor {
    /// The members of `actor`, up to the value of the session's `expiration_time`.
    pub(crate) actor: Box<str>,
    /// The member `agent_chain` of `unmapped` with its comma; empty without one.
    pub(crate) agents: Box<str>,
}

impl Actor {
    pub(crate) fn of(claims: &Claims) -> Self {
        let mut actor = Line(String::with_capacity(256));
        actor.member(r#""user":{"uid":"#, &claims.subject);
        actor.member(r#"},"idp":{"uid":"#, &claims.issuer);
        actor.member(r#"},"session":{"uid":"#, &claims.session);
        actor.member(r#","issuer":"#, &claims.issuer);
        actor.number(r#","created_time":"#, Timestamp::from_seconds(claims.started).millis());
        if let Some(id) = &claims.token_id {
            actor.member(r#","credential_uid":"#, id);
        }
        actor.raw(r#","expiration_time":"#);
        let mut agents = Line(String::new());
        for (index, agent) in claims.agents.iter().enumerate() {
            agents.member(if index == 0 { r#""agent_chain":["# } else { "," }, agent);
        }
        if !claims.agents.is_empty() {
            agents.raw("],");
        }
        Self { actor: actor.0.into(), agents: agents.0.into() }
    }
}
