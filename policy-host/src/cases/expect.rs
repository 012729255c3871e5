//! `expect:`: what a case says must be decided, and how an outcome is held against it.

use super::read::{Errors, Node, unix_seconds};
use crate::replay::{Decision, Outcome};
use jiff::Timestamp;
use std::fmt;

const VERDICTS: [&str; 4] = ["allow", "deny", "observed", "cut"];
const KNOWN: [&str; 11] = [
    "allow",
    "deny",
    "observed",
    "cut",
    "command",
    "status",
    "client_reason",
    "session",
    "upstream",
    "upstream_bytes",
    "response",
];

/// What must be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The decision.
    pub verdict: Verdict,
    /// The command that the request must be known as; `allow` names it too.
    pub command: Option<String>,
    /// The status of the filter's own reply.
    pub status: Option<u16>,
    /// The reason that the client is told.
    pub client_reason: Option<String>,
    /// The session's id.
    pub session: Option<String>,
    /// Fields that go upstream, pseudo-headers included.
    pub upstream: Vec<HeaderExpect>,
    /// How many bytes of the request's body go upstream.
    pub upstream_bytes: Option<u64>,
    /// Fields of the filter's own reply.
    pub response: Vec<HeaderExpect>,
}

/// The decision that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Let through, with nothing to say against it.
    Allow,
    /// Denied for this reason, and nothing goes upstream.
    Deny(String),
    /// Let through, though this reason was recorded.
    Observed(String),
    /// Let through at first, and then reset for this reason.
    Cut(String),
}

/// All values of one field, in order; none when it must be absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderExpect {
    /// In lower case.
    pub name: String,
    /// The values, each a field line of its own.
    pub values: Vec<String>,
}

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

impl Expect {
    pub(super) fn read(node: &Node<'_>, at: Timestamp, errors: &Errors<'_>) -> Option<Self> {
        let members = node.members(errors, &KNOWN)?;
        let text = |name: &str| members.get(name).and_then(|node| node.text(errors)).map(str::to_owned);
        let verdicts: Vec<_> = VERDICTS.into_iter().filter(|name| members.contains_key(name)).collect();
        let (verdict, allowed) = match verdicts.as_slice() {
            ["allow"] => (Verdict::Allow, Some(text("allow")?)),
            ["deny"] => (Verdict::Deny(reason(members.get("deny")?, errors)?), None),
            ["observed"] => (Verdict::Observed(reason(members.get("observed")?, errors)?), None),
            ["cut"] => (Verdict::Cut(reason(members.get("cut")?, errors)?), None),
            _ => {
                node.wrong(errors, "must say one of `allow`, `deny`, `observed` and `cut`", "`allow: command` or `deny: reason`");
                return None;
            }
        };
        let status = members.get("status").and_then(|node| node.whole_number(errors, 100, 599));
        Some(Self {
            verdict,
            command: allowed.or_else(|| text("command")),
            status: status.and_then(|status| u16::try_from(status).ok()),
            client_reason: text("client_reason"),
            session: text("session"),
            upstream: members.get("upstream").map_or(Some(Vec::new()), |node| headers(node, at, errors))?,
            upstream_bytes: members.get("upstream_bytes").and_then(|node| node.whole_number(errors, 0, u64::MAX)),
            response: members.get("response").map_or(Some(Vec::new()), |node| headers(node, at, errors))?,
        })
    }
}

pub(super) fn reason(node: &Node<'_>, errors: &Errors<'_>) -> Option<String> {
    let code = node.text(errors)?;
    let known = || chaperone_policy::Reason::ALL.iter().map(|reason| reason.code());
    if !known().any(|known| known == code) {
        super::tokens::unknown_name(node, errors, "reason", code, known());
        return None;
    }
    Some(code.to_owned())
}

/// A name to its value, to a list of values, or to null for absent. `${at+10m}` in a value is that instant in Unix seconds.
fn headers(node: &Node<'_>, at: Timestamp, errors: &Errors<'_>) -> Option<Vec<HeaderExpect>> {
    let value = |node: &Node<'_>| unix_seconds(node, node.text(errors)?, at, errors);
    let mut list = Vec::new();
    for (name, node) in node.any_members(errors)? {
        let values = if node.value.is_null() {
            Vec::new()
        } else if node.value.is_array() {
            node.items(errors)?.iter().map(value).collect::<Option<_>>()?
        } else {
            vec![value(&node)?]
        };
        list.push(HeaderExpect { name: name.to_ascii_lowercase(), values });
    }
    Some(list)
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
    if let Some(session) = &expect.session {
        same("session", session, outcome.session.as_deref());
    }
    found.extend(check_headers("upstream", &expect.upstream, outcome.upstream_headers.as_deref()));
    found.extend(check_headers("response", &expect.response, outcome.response_headers.as_deref()));
    found
}

/// What keeps a stream from being open, where its step expects no more than that.
pub(super) fn check_opened(outcome: &Outcome) -> Vec<Mismatch> {
    if outcome.decision == Decision::Allow {
        return Vec::new();
    }
    let reason = outcome.reason.as_deref().unwrap_or("without a reason on record");
    vec![Mismatch { what: "decision".into(), expected: "allow".into(), found: format!("deny ({reason})") }]
}

fn check_headers(whose: &str, expected: &[HeaderExpect], seen: Option<&[(String, String)]>) -> Vec<Mismatch> {
    let mut found = Vec::new();
    for HeaderExpect { name, values } in expected {
        let seen: Vec<&str> = seen
            .unwrap_or_default()
            .iter()
            .filter(|(seen, _)| seen.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        if seen != *values {
            let show = |values: &[&str]| if values.is_empty() { "absent".to_owned() } else { values.join(" | ") };
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            found.push(Mismatch { what: format!("{whose} header {name}"), expected: show(&values), found: show(&seen) });
        }
    }
    found
}
