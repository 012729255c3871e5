//! Which session a recorded request is of, before the filter has said so: what is of one session is decided by one filter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chaperone_authoring::recorded::Line;
use serde_json::Value;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// Claims that were seen before; a log repeats its sessions. Beyond this they are read anew.
const KNOWN_CLAIMS: usize = 10_000;

/// Where tokens are, and where in their claims the session is.
#[derive(Debug, Default)]
pub struct Sessions {
    /// By issuer, the paths of which the first counts that a token has; none where two policies differ.
    paths: HashMap<String, Vec<Vec<String>>>,
    /// The fields that carry tokens.
    fields: Vec<String>,
    known: HashMap<Vec<u8>, u64>,
}

impl Sessions {
    /// Of these policies, all of which judge each request. Where they look for an issuer's sessions in other claims, all of its sessions
    /// count as one.
    #[must_use]
    pub fn of(policies: &[&Value]) -> Self {
        let mut sessions = Self::default();
        for (issuer, read) in
            policies.iter().flat_map(|policy| items(policy, "/tokens/issuers")).map(|issuer| (issuer, paths(issuer)))
        {
            let Some(name) = issuer.get("issuer").and_then(Value::as_str) else { continue };
            let known = sessions.paths.entry(name.to_owned()).or_insert_with(|| read.clone());
            if *known != read {
                known.clear();
            }
        }
        for policy in policies {
            let named = items(policy, "/tokens/from").filter_map(|from| from.get("header")?.as_str());
            let fields: Vec<_> = named.map(str::to_ascii_lowercase).collect();
            // Where it says nothing, that is where tokens are.
            sessions.fields.extend(if fields.is_empty() { vec!["authorization".to_owned()] } else { fields });
        }
        sessions
    }

    /// A number that all lines of one session have in common, and few others; `None` for a line without a token.
    pub fn of_line(&mut self, line: &Line) -> Option<u64> {
        if let Some(claims) = &line.claims {
            if let Some(known) = self.known.get(claims) {
                return Some(*known);
            }
            let number = self.of_claims(claims);
            if self.known.len() >= KNOWN_CLAIMS {
                self.known.clear();
            }
            self.known.insert(claims.clone(), number);
            return Some(number);
        }
        let headers = &line.exchange.request.headers;
        let is_field = |name: &[u8]| self.fields.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes()));
        let values: Vec<_> = headers.iter().filter(|(name, _)| is_field(name)).map(|(_, value)| value).collect();
        // One of several such fields may be no token of a session at all, as where the target has a credential of its own.
        values.iter().find_map(|value| self.of_token(value)).or_else(|| values.first().map(|value| hash(*value)))
    }

    /// The session of a token of an issuer that is known.
    fn of_token(&self, value: &[u8]) -> Option<u64> {
        let payload = value.split(|byte| *byte == b'.').nth(1)?;
        let read: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        self.of_read(&read)
    }

    /// What is no JSON object, or of no issuer that is known, is judged by itself.
    fn of_claims(&self, claims: &[u8]) -> u64 {
        serde_json::from_slice(claims).ok().and_then(|read| self.of_read(&read)).unwrap_or_else(|| hash(claims))
    }

    fn of_read(&self, claims: &Value) -> Option<u64> {
        let issuer = claims.get("iss")?.as_str()?;
        let found = |path: &Vec<String>| path.iter().try_fold(claims, |value, name| value.get(name));
        let session = self.paths.get(issuer)?.iter().find_map(found).map(Value::to_string);
        Some(hash(&(issuer, session)))
    }
}

/// The paths to the session in an issuer's claims: a name, names that descend, or the first of several.
fn paths(issuer: &Value) -> Vec<Vec<String>> {
    let one = |path: &Value| match path {
        Value::Array(names) => names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            vec![other.as_str().unwrap_or_default().to_owned()]
        }
    };
    match issuer.pointer("/claims/session") {
        None => vec![vec!["sid".to_owned()]],
        Some(path) => match path.get("first_of").and_then(Value::as_array) {
            Some(several) => several.iter().map(one).collect(),
            None => vec![one(path)],
        },
    }
}

fn items<'v>(policy: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    policy.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn hash(of: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(headers: &Value, claims: Option<&Value>) -> Line {
        let mut line = json!({"method": "GET", "path": "/", "authority": "a", "headers": headers});
        if let Some(claims) = claims {
            line["claims"] = claims.clone();
        }
        Line::parse(&line.to_string()).unwrap()
    }

    #[test]
    fn a_session_is_where_the_policy_says_and_a_token_is_of_it_too() {
        let policy = json!({"tokens": {"from": [{"header": "X-Session"}], "issuers": [
            {"issuer": "a"},
            {"issuer": "b", "claims": {"session": {"first_of": ["sid", ["ext", "id"]]}}},
        ]}});
        let mut sessions = Sessions::of(&[&policy]);
        let mut of = |claims: Value| sessions.of_line(&line(&json!([]), Some(&claims))).unwrap();
        assert_eq!(of(json!({"iss": "a", "sid": "1", "jti": "x"})), of(json!({"jti": "y", "sid": "1", "iss": "a"})));
        assert_ne!(of(json!({"iss": "a", "sid": "1"})), of(json!({"iss": "b", "sid": "1"})));
        assert_eq!(of(json!({"iss": "b", "ext": {"id": "1"}, "n": 1})), of(json!({"iss": "b", "ext": {"id": "1"}, "n": 2})));
        assert_ne!(of(json!({"iss": "a", "sid": "1"})), of(json!({"iss": "a", "sid": "2"})));
        let payload = URL_SAFE_NO_PAD.encode(json!({"iss": "a", "sid": "1"}).to_string());
        let carried = line(&json!([["x-session", format!("e30.{payload}.e30")]]), None);
        let claimed = line(&json!([]), Some(&json!({"iss": "a", "sid": "1"})));
        assert_eq!(sessions.of_line(&carried), sessions.of_line(&claimed));
        // The target's own credential beside it, another with each line, is of no session.
        for secret in ["Basic dTpw", "Bearer e30.e30.e30"] {
            let beside = line(&json!([["authorization", secret], ["x-session", format!("e30.{payload}.e30")]]), None);
            assert_eq!(sessions.of_line(&beside), sessions.of_line(&claimed));
        }
        assert!(sessions.of_line(&line(&json!([["x-session", "Bearer x"]]), None)).is_some());
        assert_eq!(sessions.of_line(&line(&json!([["authorization", "Bearer x"]]), None)), None);
        assert_eq!(sessions.of_line(&line(&json!([["accept", "*/*"]]), None)), None);
    }

    #[test]
    fn where_two_policies_differ_an_issuers_sessions_are_one() {
        let policy = |path: &str| json!({"tokens": {"issuers": [{"issuer": "a", "claims": {"session": path}}]}});
        let mut sessions = Sessions::of(&[&policy("sid"), &policy("jti")]);
        let mut of = |claims: Value| sessions.of_line(&line(&json!([]), Some(&claims)));
        assert_eq!(of(json!({"iss": "a", "sid": "1", "jti": "1"})), of(json!({"iss": "a", "sid": "2", "jti": "2"})));
    }
}
