//! What of a policy no case has touched.

use super::{plan::Plan, ran::Ran};
use chaperone_policy::{Policy, Reason};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::PathBuf};

/// The names of one kind that a policy has, and those that cases came upon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// All, in the policy's order.
    pub known: Vec<String>,
    touched: BTreeSet<String>,
}

impl Names {
    /// Those that no case came upon, in the policy's order.
    pub fn untouched(&self) -> impl Iterator<Item = &str> {
        self.known.iter().filter(|name| !self.touched.contains(*name)).map(String::as_str)
    }

    fn json(&self) -> Value {
        json!({"known": self.known, "untouched": self.untouched().collect::<Vec<_>>()})
    }
}

/// How much of one policy the cases about it reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The policy's file.
    pub policy: PathBuf,
    /// Commands that a request was known as, whatever was decided.
    pub commands: Names,
    /// Grants that let a request through.
    pub grants: Names,
    /// Reasons for which something was denied, observed or cut, of those that this policy can give.
    pub reasons: Names,
}

impl Coverage {
    /// Nothing touched yet.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let names = |list: Vec<String>| Names { known: list, touched: BTreeSet::new() };
        let policy = Policy::compile(&plan.policy_json).unwrap_or_else(|_| Policy::deny_all());
        let document: Value = serde_json::from_slice(&plan.policy_json).unwrap_or_default();
        let reasons = Reason::ALL.into_iter().filter(|reason| can_give(&document, *reason));
        Self {
            policy: plan.policy_path.clone(),
            commands: names(policy.command_names().map(str::to_owned).collect()),
            grants: names(policy.grant_names().map(str::to_owned).collect()),
            reasons: names(reasons.map(|reason| reason.code().to_owned()).collect()),
        }
    }

    /// Adds what a case came upon.
    pub fn add(&mut self, ran: &Ran) {
        for (_, outcome) in &ran.outcomes {
            self.commands.touched.extend(outcome.command.clone());
            self.reasons.touched.extend(outcome.reason.clone().or_else(|| outcome.cut.clone()));
            let grant = outcome.record.as_ref().and_then(|record| record.pointer("/unmapped/grant")?.as_str());
            self.grants.touched.extend(grant.map(str::to_owned));
        }
    }

    /// `{"policy","commands","grants","reasons"}`, each of the three with `known` and `untouched`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "policy": self.policy.display().to_string(),
            "commands": self.commands.json(), "grants": self.grants.json(), "reasons": self.reasons.json(),
        })
    }
}

/// Can a request under this policy ever be denied so? Two reasons need a filter without a policy, or a proxy that fails it.
fn can_give(policy: &Value, reason: Reason) -> bool {
    let of_issuer = |pointer: &str| {
        let issuers = policy.pointer("/tokens/issuers").and_then(Value::as_array);
        issuers.into_iter().flatten().any(|issuer| issuer.pointer(pointer).is_some())
    };
    let in_body = || {
        let commands = policy.get("commands").and_then(Value::as_object);
        commands.into_iter().flat_map(|commands| commands.values()).any(|command| {
            command.get("mcp").is_some()
                || command.as_array().is_some_and(|several| several.iter().any(|one| one.get("mcp").is_some()))
        })
    };
    let of_grant = |name: &str| {
        let grants = policy.get("grants").and_then(Value::as_array);
        grants.into_iter().flatten().any(|grant| grant.get(name).is_some())
    };
    match reason.code() {
        "body_too_large"
        | "body_unsupported"
        | "body_malformed"
        | "arguments_not_allowed"
        | "handle_foreign"
        | "answer_unreadable" => in_body(),
        "no_policy" | "internal_error" => false,
        "keys_unavailable" => of_issuer("/keys/endpoint"),
        "status_unavailable" => of_issuer("/status"),
        "session_ended" => policy.get("end_session_when").is_some(),
        "transfer_not_allowed" => of_grant("transfers"),
        "idle" => policy.pointer("/session/idle_timeout").is_some(),
        "calls_exceeded" => of_grant("calls"),
        "call_out_of_order" => of_grant("after"),
        "credential_unavailable" | "credential_echoed" => {
            policy.pointer("/upstream/credential").is_some() || of_grant("credential")
        }
        "direct_credential" => policy.pointer("/upstream/direct_credentials").is_some(),
        "interactive_use" => of_grant("use"),
        _ => true,
    }
}
