//! The claims of a line, which `replay` signs: what a record tells of them, or the same ones for every line.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// How long the token of a line without one is valid, in seconds, from its minute on: short enough for any policy's
/// `max_lifetime`, and the same token for the lines of a minute.
const LIFETIME: i64 = 300;

/// What a policy says of its issuers' claims: where session, agent and start stand, and whom tokens are for.
#[derive(Debug, Clone, Copy)]
pub struct OfPolicy<'p>(&'p Value);

impl<'p> OfPolicy<'p> {
    /// Reads them from a policy document's value.
    #[must_use]
    pub fn new(policy: &'p Value) -> Self {
        Self(policy)
    }

    /// The issuer's entry; `None` when the policy has none of that name.
    pub(super) fn issuer(self, name: &str) -> Option<&'p Value> {
        let issuers = self.0.pointer("/tokens/issuers").and_then(Value::as_array);
        issuers.into_iter().flatten().find(|issuer| issuer.get("issuer").and_then(Value::as_str) == Some(name))
    }

    /// Is a token without its own list of commands refused?
    pub(super) fn wants_commands(self) -> bool {
        self.0.pointer("/session/token_commands").and_then(Value::as_str) == Some("required")
    }
}

/// Where an issuer keeps something: the names from the token's root on. The first one where the policy names several.
pub(super) fn place(issuer: Option<&Value>, what: &str, default: &[&str]) -> Vec<String> {
    let named = issuer.and_then(|issuer| issuer.pointer("/claims")?.get(what));
    let first = named.map(|named| named.pointer("/first_of/0").unwrap_or(named));
    match first {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            default.iter().map(|name| (*name).to_owned()).collect()
        }
    }
}

/// Puts a value where an issuer keeps it.
pub(super) fn put(claims: &mut Map<String, Value>, place: &[String], value: Value) {
    match place {
        [] => {}
        [name] => {
            claims.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = claims.entry(name).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// The same claims for every line.
#[derive(Debug, Clone)]
pub struct EachLine(Map<String, Value>);

impl EachLine {
    /// Reads them; `None` when the text is no JSON object.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// The claims of a line of this time: `iat` and `exp` around it, where they are not given.
    #[must_use]
    pub fn at(&self, at: Option<Timestamp>) -> Value {
        let mut claims = self.0.clone();
        if let Some(at) = at {
            let minute = at.as_second() - at.as_second().rem_euclid(60);
            claims.entry("iat").or_insert(json!(minute));
            claims.entry("exp").or_insert(json!(minute.saturating_add(LIFETIME)));
        }
        Value::Object(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_stand_where_the_issuer_keeps_them() {
        let issuer =
            json!({"claims": {"session": {"first_of": ["sid", "jti"]}, "agent": ["act", "sub"], "started": "auth_time"}});
        let mut claims = Map::new();
        put(&mut claims, &place(Some(&issuer), "session", &["sid"]), json!("s-1"));
        put(&mut claims, &place(Some(&issuer), "agent", &["x"]), json!("planner"));
        put(&mut claims, &place(Some(&issuer), "started", &["iat"]), json!(1));
        put(&mut claims, &place(None, "commands", &["commands"]), json!(["a"]));
        assert_eq!(Value::Object(claims), json!({"sid": "s-1", "act": {"sub": "planner"}, "auth_time": 1, "commands": ["a"]}));
    }

    #[test]
    fn the_lines_of_a_minute_share_a_token() {
        let each = EachLine::parse(r#"{"sub":"agent-7"}"#).unwrap();
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(each.at(at("2026-11-23T10:00:01Z")), each.at(at("2026-11-23T10:00:59Z")));
        assert_eq!(each.at(at("2026-11-23T10:00:01Z")), json!({"sub": "agent-7", "iat": 1_795_428_000, "exp": 1_795_428_300}));
        assert_eq!(each.at(None), json!({"sub": "agent-7"}));
        assert!(EachLine::parse("[]").is_none());
    }
}
