//! Where in what the target was sent the secrets of a run stand: not for its output, and not for a log of it.

use chaperone_authoring::{outcome::Outcome, source::credentials};
use serde_json::Value;

/// The fields and the parameters of the query that hold credentials of the target's, or tokens.
#[derive(Debug, Default)]
pub struct Secrets {
    fields: Vec<String>,
    parameters: Vec<String>,
}

/// What stands there in its place.
const HIDDEN: &str = "[not shown]";

impl Secrets {
    /// Of a policy.
    #[must_use]
    pub fn of(policy: &Value) -> Self {
        let mut secrets = Self::default();
        secrets.fields.extend(["authorization", "dpop"].map(str::to_owned));
        let from = policy.pointer("/tokens/from").and_then(Value::as_array).into_iter().flatten();
        secrets.fields.extend(from.filter_map(|from| Some(from.get("header")?.as_str()?.to_ascii_lowercase())));
        for (_, credential) in credentials(policy) {
            let text = |name: &str| credential.get(name).and_then(Value::as_str);
            secrets.fields.extend(text("header").map(str::to_ascii_lowercase));
            secrets.parameters.extend(text("query").map(str::to_owned));
        }
        secrets
    }

    /// And of another one.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.fields.extend(other.fields);
        self.parameters.extend(other.parameters);
        self
    }

    /// Takes them out of what the target was sent.
    pub fn hide(&self, outcome: &mut Outcome) {
        for (name, value) in outcome.upstream_headers.iter_mut().flatten() {
            if self.is_field(name) {
                HIDDEN.clone_into(value);
            } else if name == ":path" && !self.parameters.is_empty() {
                *value = self.without_parameters(value);
            }
        }
    }

    /// Was the target sent other ones?
    pub(super) fn differ(&self, old: &Outcome, new: &Outcome) -> bool {
        let all = |outcome: &Outcome| {
            let fields = outcome.upstream_headers.iter().flatten();
            let mut all: Vec<_> = fields.filter(|(name, _)| self.is_field(name) || name == ":path").cloned().collect();
            all.sort();
            all
        };
        old.upstream_headers.is_some() && new.upstream_headers.is_some() && all(old) != all(new)
    }

    fn is_field(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.eq_ignore_ascii_case(name))
    }

    fn without_parameters(&self, path: &str) -> String {
        let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
        let pairs = query.split('&').map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            if self.parameters.iter().any(|known| known == name) { format!("{name}={HIDDEN}") } else { pair.to_owned() }
        });
        format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sent(fields: &[(&str, &str)]) -> Outcome {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Outcome { upstream_headers: Some(fields), ..Outcome::undecided(1) }
    }

    #[test]
    fn what_is_secret_is_hidden_and_told_apart() {
        let credential = json!([{"header": "X-Key", "value": "${env:A}"}, {"for": ["q"], "query": "key", "value": "${env:B}"}]);
        let from = json!([{"header": "x-session"}]);
        let secrets = Secrets::of(&json!({"upstream": {"credential": credential}, "tokens": {"from": from}}));
        let path = (":path", "/q?a=1&key=secret&keys=2");
        let mut outcome =
            sent(&[path, ("x-key", "secret"), ("x-session", "e30.e30.x"), ("authorization", "Basic x"), ("x-other", "shown")]);
        let copy = outcome.clone();
        secrets.hide(&mut outcome);
        let values: Vec<_> = outcome.upstream_headers.iter().flatten().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["/q?a=1&key=[not shown]&keys=2", HIDDEN, HIDDEN, HIDDEN, "shown"]);
        assert!(!secrets.differ(&copy, &copy));
        for other in [sent(&[path, ("x-key", "other")]), sent(&[(":path", "/q?a=1&key=other&keys=2"), ("x-key", "secret")])] {
            assert!(secrets.differ(&sent(&[path, ("x-key", "secret")]), &other));
        }
        assert!(!secrets.differ(&sent(&[path, ("x-other", "1")]), &sent(&[path, ("x-other", "2")])));
        assert!(!secrets.differ(&copy, &Outcome::undecided(1)), "what is sent nothing is no other credential");
    }
}
