//! What ends a session by itself, too soon or never.

use super::{Lint, Linter, Target};
use crate::source::seconds;
use serde_json::Value;

impl Linter<'_> {
    pub(super) fn endings(&mut self) {
        let text = |pointer: &str| self.policy.pointer(pointer).and_then(Value::as_str);
        let (idle, lifetime) = (text("/session/idle_timeout"), text("/session/max_lifetime"));
        if let (Some(idle), Some(lifetime)) = (idle, lifetime)
            && let (Some(idle_seconds), Some(lifetime_seconds)) = (seconds(idle), seconds(lifetime))
            && idle_seconds >= lifetime_seconds
        {
            self.warn(
                Lint::IdleTimeoutMoot,
                "/session/idle_timeout",
                format!("no session is idle for {idle}: after {lifetime} it is over anyway"),
                "write less than `max_lifetime`, such as a third of it, or remove it",
            );
        }
        if self.policy.pointer("/end_session_when/denials/count").and_then(Value::as_u64) == Some(1) {
            self.warn(
                Lint::DenialsAtOnce,
                "/end_session_when/denials/count",
                "the first denial ends the session: one request for what is not granted, and all work of the session stops",
                "write `count: 3` or more, and let the window `within` tell trying from mistaking",
            );
        }
        self.source_address();
        self.source_asked();
    }

    /// What a decision needs is asked for, whoever writes it down.
    fn source_asked(&mut self) {
        let names = |pointer: &str, name: &str| {
            self.policy.pointer(pointer).and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name))
        };
        let by = if names("/end_session_when/context_changes", "source_address") {
            "`context_changes: [source_address]`"
        } else if names("/session/bind", "dpop") {
            "`bind: [dpop]`"
        } else {
            return;
        };
        if self.policy.pointer("/audit/source").is_some_and(|source| source == "proxy") {
            self.warn(
                Lint::SourceAsked,
                "/audit/source",
                format!("saves nothing: {by} has the filter ask for the address with every request of a session"),
                "remove it; or write `# check: allow source_asked` beside it where the record is not to have the address",
            );
        }
    }

    /// Istio's sidecars and waypoints do not have `use_remote_address`: Envoy then believes `x-forwarded-for`.
    fn source_address(&mut self) {
        let contexts = "/end_session_when/context_changes";
        let watched = self.policy.pointer(contexts).and_then(Value::as_array);
        if self.target == Target::Istio
            && watched.is_some_and(|watched| watched.iter().any(|context| context == "source_address"))
        {
            self.warn(
                Lint::SourceAddressClaimed,
                contexts,
                "in a sidecar or waypoint the source address is the last entry of `x-forwarded-for`, which a client can write",
                "watch `client_certificate` there; at a gateway with `use_remote_address` allow this by a comment",
            );
        }
    }
}
