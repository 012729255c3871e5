//! How each check went: the last one that can deny for the reason of the decision is the one that did.

use crate::outcome::Decision;
use chaperone_policy::{Reason, Seen};
use serde::Serialize;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing against the request.
    Passed,
    /// It would have denied, and the policy only observes that.
    Observed,
    /// It denied.
    Failed,
}

/// A check, what it saw, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How it went.
    pub verdict: Verdict,
    /// What it saw.
    #[serde(flatten)]
    pub seen: Seen,
}

pub(super) fn judge(seen: Vec<Seen>, reason: Option<Reason>, decision: Decision) -> Vec<Checked> {
    let decisive = reason.and_then(|reason| seen.iter().rposition(|seen| seen.reasons().contains(&reason)));
    let judged = seen.into_iter().enumerate().map(|(place, seen)| {
        let verdict = match (Some(place) == decisive, decision) {
            (true, Decision::Deny) => Verdict::Failed,
            (true, Decision::Allow) => Verdict::Observed,
            (false, _) if would_deny(&seen) => Verdict::Observed,
            (false, _) => Verdict::Passed,
        };
        Checked { verdict, seen }
    });
    judged.collect()
}

/// A denial after which the checks can go on, as `observe` asks: another reason may be the one on record.
fn would_deny(seen: &Seen) -> bool {
    match seen {
        Seen::Command { command } => command.is_none(),
        Seen::TokenCommands { listed, .. } => !listed,
        Seen::Grants { granted_by, .. } => granted_by.is_none(),
        Seen::Request { .. }
        | Seen::Path { .. }
        | Seen::Lookup { .. }
        | Seen::Token { .. }
        | Seen::Form { .. }
        | Seen::Kind { .. }
        | Seen::Issuer { .. }
        | Seen::Audience { .. }
        | Seen::Key { .. }
        | Seen::Pace { .. }
        | Seen::Signature
        | Seen::Claims { .. }
        | Seen::Binding { .. }
        | Seen::Begin { .. }
        | Seen::Expiry { .. }
        | Seen::Lifetime { .. }
        | Seen::Revocation { .. }
        | Seen::State { .. }
        | Seen::Status { .. }
        | Seen::Credential { .. }
        | Seen::Body { .. }
        | Seen::Room { .. } => false,
    }
}
