//! `expect:`: what a case says must be decided.

use super::read::{Errors, Node, unix_seconds, unknown_name};
use jiff::Timestamp;
use serde_json::Value;

const VERDICTS: [&str; 4] = ["allow", "deny", "observed", "cut"];
const KNOWN: [&str; 12] = [
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
    "response_body",
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
    /// What the client gets: a text as it is, or else what the body is as JSON.
    pub response_body: Option<Value>,
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
    /// The member of a Dictionary of Strings (RFC 9651) that is meant, where it is not the whole field.
    pub member: Option<String>,
    /// The values, each a field line of its own, or of the member.
    pub values: Vec<String>,
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
            response_body: members.get("response_body").map(|node| node.value.clone()),
        })
    }
}

pub(super) fn reason(node: &Node<'_>, errors: &Errors<'_>) -> Option<String> {
    let code = node.text(errors)?;
    let known = || chaperone_policy::Reason::ALL.iter().map(|reason| reason.code());
    if !known().any(|known| known == code) {
        unknown_name(node, errors, "reason", code, known());
        return None;
    }
    Some(code.to_owned())
}

/// A name to its value, to a list of values, to null for absent, or to the members of a Dictionary, each to the same. `${at+10m}` in a
/// value is that instant in Unix seconds.
fn headers(node: &Node<'_>, at: Timestamp, errors: &Errors<'_>) -> Option<Vec<HeaderExpect>> {
    let value = |node: &Node<'_>| unix_seconds(node, node.text(errors)?, at, errors);
    let values = |node: &Node<'_>| {
        if node.value.is_null() {
            Some(Vec::new())
        } else if node.value.is_array() {
            node.items(errors)?.iter().map(value).collect()
        } else {
            Some(vec![value(node)?])
        }
    };
    let mut list = Vec::new();
    for (name, node) in node.any_members(errors)? {
        let name = name.to_ascii_lowercase();
        if node.value.is_object() {
            for (member, node) in node.any_members(errors)? {
                list.push(HeaderExpect { name: name.clone(), member: Some(member.to_owned()), values: values(&node)? });
            }
        } else {
            list.push(HeaderExpect { name, member: None, values: values(&node)? });
        }
    }
    Some(list)
}
