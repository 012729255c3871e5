//! What is fetched from an issuer: how soon its word counts, and whether it does at all.

use super::{Lint, Linter, items};
use crate::source::seconds;
use serde_json::Value;

/// For so long a key may be good after its issuer has removed it. Who rotates keys in an emergency cannot wait longer.
const REFRESH_SECONDS: i64 = 3600;

impl Linter<'_> {
    pub(super) fn fetched(&mut self) {
        for (pointer, issuer) in items(self.policy, "/tokens/issuers") {
            let name = issuer.get("issuer").and_then(Value::as_str).unwrap_or_default();
            let refresh = issuer.pointer("/keys/endpoint/refresh").and_then(Value::as_str);
            if let Some(refresh) = refresh.filter(|text| seconds(text).is_some_and(|seconds| seconds > REFRESH_SECONDS)) {
                self.warn(
                    Lint::KeysRefreshLong,
                    &format!("{pointer}/keys/endpoint/refresh"),
                    format!("a key that `{name}` has taken back is good for up to {refresh} more"),
                    "write `1h` or less; the default of 5m costs each worker one request in that time",
                );
            }
            if issuer.pointer("/status/required") == Some(&Value::Bool(false)) {
                self.warn(
                    Lint::StatusOptional,
                    &format!("{pointer}/status/required"),
                    format!("a token of `{name}` without `status` passes, and no status list can end it"),
                    "remove it once every token names its place in a list",
                );
            }
        }
    }
}
