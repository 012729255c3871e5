//! What was decided about one request: a line of `replay`'s output, and what every driver of cases reports.

use serde::Serialize;
use serde_json::Value;

/// Let through or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The request goes upstream.
    Allow,
    /// Nothing goes upstream.
    Deny,
}

impl Decision {
    /// The word in the output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// The decision about one request, member by member as the `replay` contract has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The line of the input, from 1; 0 where there are no lines.
    pub line: u64,
    /// Let through or not. A request that could not be judged counts as denied.
    pub decision: Decision,
    /// Why it was denied, or, under `allow`, what was only observed.
    pub reason: Option<String>,
    /// The status of the filter's own reply.
    pub status: Option<u16>,
    /// The name of the command, where the request is one.
    pub command: Option<String>,
    /// The session's id, where there is one.
    pub session: Option<String>,
    /// What goes upstream, pseudo-headers included; `None` when nothing does.
    pub upstream_headers: Option<Vec<(String, String)>>,
    /// The filter's own reply; `None` when it made none.
    pub response_headers: Option<Vec<(String, String)>>,
    /// The trap that killed the filter's VM.
    pub trap: Option<String>,
    /// The reason that the client was told, which is vaguer; not part of the contract's output.
    #[serde(skip)]
    pub client_reason: Option<String>,
}

impl Outcome {
    /// A denial of which nothing else is known.
    #[must_use]
    pub fn undecided(line: u64) -> Self {
        Self {
            line,
            decision: Decision::Deny,
            reason: None,
            status: None,
            command: None,
            session: None,
            upstream_headers: None,
            response_headers: None,
            trap: None,
            client_reason: None,
        }
    }
}

/// The reason in an RFC 9457 problem, which is what a client of a denied request is told.
#[must_use]
pub fn client_reason(body: &[u8]) -> Option<String> {
    let problem: Value = serde_json::from_slice(body).ok()?;
    problem.get("reason")?.as_str().map(str::to_owned)
}
