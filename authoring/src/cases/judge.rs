//! What was seen, held against what a case expects.

use super::{
    expect::{Expect, HeaderExpect, Verdict},
    plan::StreamState,
};
use crate::dictionary;
use crate::outcome::{Decision, Outcome};
use std::fmt;

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What was looked at: `decision`, `status`, `upstream header x`.
    pub what: String,
    /// What the case says.
    pub expected: String,
    /// What was.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// Everything about the outcome that is not as expected; empty when all is.
#[must_use]
pub fn check(expect: &Expect, outcome: &Outcome) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut same = |what: &str, expected: &str, seen: Option<&str>| {
        if seen != Some(expected) {
            let seen = seen.unwrap_or("none").to_owned();
            found.push(Mismatch { what: what.to_owned(), expected: expected.to_owned(), found: seen });
        }
    };
    let (decision, reason, cut) = match &expect.verdict {
        Verdict::Allow => (Decision::Allow, None, None),
        Verdict::Deny(reason) => (Decision::Deny, Some(reason), None),
        Verdict::Observed(reason) => (Decision::Allow, Some(reason), None),
        Verdict::Cut(reason) => (Decision::Allow, None, Some(reason)),
    };
    same("decision", decision.word(), Some(outcome.decision.word()));
    if cut.is_none() {
        same("reason", reason.map_or("none", String::as_str), Some(outcome.reason.as_deref().unwrap_or("none")));
    }
    same("cut", cut.map_or("none", String::as_str), Some(outcome.cut.as_deref().unwrap_or("none")));
    // A trap is never what a policy's author meant, whatever was decided.
    same("trap", "none", Some(outcome.trap.as_deref().unwrap_or("none")));
    if decision == outcome.decision {
        // A filter's word for it is not enough.
        let sent = if outcome.upstream_headers.is_some() { "something" } else { "nothing" };
        same("sent upstream", if decision == Decision::Deny { "nothing" } else { "something" }, Some(sent));
    }
    if let Some(command) = &expect.command {
        same("command", command, outcome.command.as_deref());
    }
    if let Some(status) = expect.status {
        same("status", &status.to_string(), outcome.status.map(|status| status.to_string()).as_deref());
    }
    if let Some(reason) = &expect.client_reason {
        same("client_reason", reason, outcome.client_reason.as_deref());
    }
    if let Some(bytes) = expect.upstream_bytes {
        same("upstream_bytes", &bytes.to_string(), outcome.upstream_bytes.map(|bytes| bytes.to_string()).as_deref());
    }
    if let Some(body) = &expect.response_body {
        let seen = outcome.response_body.as_deref();
        let is_that = |seen: &str| serde_json::from_str::<serde_json::Value>(seen).is_ok_and(|seen| seen == *body);
        match body.as_str() {
            Some(text) => same("response_body", text, seen),
            None if seen.is_some_and(is_that) => {}
            None => same("response_body", &body.to_string(), seen),
        }
    }
    if let Some(session) = &expect.session {
        same("session", session, outcome.session.as_deref());
    }
    found.extend(check_headers("upstream", &expect.upstream, outcome.upstream_headers.as_deref()));
    found.extend(check_headers("response", &expect.response, outcome.response_headers.as_deref()));
    found
}

/// What keeps a stream from being open, where its step expects no more than that.
#[must_use]
pub fn check_opened(outcome: &Outcome) -> Vec<Mismatch> {
    if outcome.decision == Decision::Allow {
        return Vec::new();
    }
    let reason = outcome.reason.as_deref().unwrap_or("without a reason on record");
    vec![Mismatch { what: "decision".into(), expected: "allow".into(), found: format!("deny ({reason})") }]
}

/// Streams that are not as a step expects them to be; `seen` tells how the stream of a name is, and `None` when there is no such one.
#[must_use]
pub fn check_streams(expected: &[(String, StreamState)], seen: impl Fn(&str) -> Option<StreamState>) -> Vec<Mismatch> {
    let mismatch = |(name, expected): &(String, StreamState)| {
        let seen = seen(name)?;
        (seen != *expected).then(|| Mismatch {
            what: format!("stream {name}"),
            expected: expected.to_string(),
            found: seen.to_string(),
        })
    };
    expected.iter().filter_map(mismatch).collect()
}

fn check_headers(whose: &str, expected: &[HeaderExpect], seen: Option<&[(String, String)]>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for HeaderExpect { name, member, values } in expected {
        let lines = seen.unwrap_or_default().iter().filter(|(seen, _)| seen.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let seen: Vec<String> = match member {
            None => lines.cloned().collect(),
            Some(member) => lines
                .flat_map(|line| match dictionary::strings(line) {
                    Some(all) => all.into_iter().filter(|(key, _)| key == member).map(|(_, value)| value).collect(),
                    None => vec![format!("no dictionary of strings: {line}")],
                })
                .collect(),
        };
        if seen != *values {
            let show = |values: &[String]| if values.is_empty() { "absent".to_owned() } else { values.join(" | ") };
            let member = member.as_ref().map(|member| format!(", member {member}")).unwrap_or_default();
            let what = format!("{whose} header {name}{member}");
            found.push(Mismatch { what, expected: show(values), found: show(&seen) });
        }
    }
    found
}
