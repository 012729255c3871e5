//! Whose tokens, for how long, and whether anything is enforced at all.

use super::{Lint, Linter, and, items};
use crate::source::seconds;
use serde_json::Value;

/// What a stolen token is good for at worst; brokers renew sessions that go on.
const LONG_SECONDS: i64 = 3600;
/// Clocks of one mesh differ by well under a second; what is more than this is a broken clock.
const SKEW_SECONDS: i64 = 30;

impl Linter<'_> {
    pub(super) fn session(&mut self) {
        let text = |pointer: &str| self.policy.pointer(pointer).and_then(Value::as_str);
        let lifetime = text("/session/max_lifetime");
        let skew = text("/session/clock_skew");
        let observes = text("/mode") == Some("observe");
        if let Some(lifetime) = lifetime.filter(|text| seconds(text).is_some_and(|seconds| seconds > LONG_SECONDS)) {
            self.warn(
                Lint::LifetimeLong,
                "/session/max_lifetime",
                format!("a session may last {lifetime}: for that long a stolen token is good"),
                "write `1h` or less, such as `15m`, and let the issuer open a new session for work that goes on",
            );
        }
        if let Some(skew) = skew.filter(|text| seconds(text).is_some_and(|seconds| seconds > SKEW_SECONDS)) {
            self.warn(
                Lint::ClockSkewLarge,
                "/session/clock_skew",
                format!("every token is good for {skew} after its end"),
                "keep clocks in step and write `0s`, at most `30s`",
            );
        }
        if observes {
            self.warn(
                Lint::ObserveMode,
                "/mode",
                "nothing is denied: every request goes upstream, whatever is decided about it",
                "write `mode: enforce` once the records show no denial that is not meant",
            );
        }
        let observed: Vec<String> =
            items(self.policy, "/observe").filter_map(|(_, reason)| Some(format!("`{}`", reason.as_str()?))).collect();
        if !observed.is_empty() {
            self.warn(
                Lint::ObserveReasons,
                "/observe/0",
                format!("only recorded, and not denied: {}", and(&observed)),
                "remove `observe` once the records show no denial that is not meant",
            );
        }
        if self.policy.pointer("/upstream/forward_token") == Some(&Value::Bool(true)) {
            self.warn(
                Lint::ForwardToken,
                "/upstream/forward_token",
                "the target gets the session token, and could use it as the caller",
                "remove it: the target is told session, subject and command in x-chaperone- headers",
            );
        }
    }
}
