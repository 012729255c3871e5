//! How each check went: the last one that can deny for the reason of the decision is the one that did.

use crate::outcome::Decision;
use chaperone_policy::{CheckStep, Reason};
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
    pub seen: CheckStep,
}

pub(super) fn judge(seen: Vec<CheckStep>, reason: Option<Reason>, decision: Decision) -> Vec<Checked> {
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
fn would_deny(seen: &CheckStep) -> bool {
    match seen {
        CheckStep::Command { command } => command.is_none(),
        CheckStep::TokenCommands { listed, .. } => !listed,
        CheckStep::Grants { granted_by, .. } => granted_by.is_none(),
        CheckStep::Arguments { .. } | CheckStep::Handle { .. } => true,
        CheckStep::Transfer { broken, .. } => broken.is_some(),
        CheckStep::Request { .. }
        | CheckStep::Path { .. }
        | CheckStep::Lookup { .. }
        | CheckStep::Direct { .. }
        | CheckStep::Token { .. }
        | CheckStep::Form { .. }
        | CheckStep::Kind { .. }
        | CheckStep::Issuer { .. }
        | CheckStep::Audience { .. }
        | CheckStep::Key { .. }
        | CheckStep::Pace { .. }
        | CheckStep::Signature
        | CheckStep::Claims { .. }
        | CheckStep::Binding { .. }
        | CheckStep::Begin { .. }
        | CheckStep::Expiry { .. }
        | CheckStep::Lifetime { .. }
        | CheckStep::Revocation { .. }
        | CheckStep::State { .. }
        | CheckStep::Status { .. }
        | CheckStep::Calls { .. }
        | CheckStep::Credential { .. }
        | CheckStep::Message { .. }
        | CheckStep::Body { .. }
        | CheckStep::Room { .. } => false,
    }
}
