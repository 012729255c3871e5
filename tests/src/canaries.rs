//! Secrets that are given to the filter, and must stand in nothing that it says: every Envoy of these tests is searched for them when it
//! ends, every answer and every record on the way, and every outcome of the corpus.

use chaperone_authoring::outcome::{Decision, Outcome};

/// The secrets of one environment.
#[derive(Debug, Clone)]
pub struct Canaries(Vec<String>);

/// Shorter ones are parts of other words.
const LEAST: usize = 8;

impl Canaries {
    /// All that is long enough to be nothing else.
    #[must_use]
    pub fn of<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        Self(values.into_iter().filter(|value| value.len() >= LEAST).map(str::to_owned).collect())
    }

    /// # Panics
    /// When one of them stands in this text, which is part of `what`.
    pub fn assert_absent(&self, what: &str, text: &str) {
        for secret in &self.0 {
            assert!(!text.contains(secret.as_str()), "{secret:?} stands in {what}");
        }
    }

    /// # Panics
    /// When one of them stands in what is told of a request: its record, or the filter's own answer.
    pub fn assert_untold(&self, outcome: &Outcome, place: &str) {
        if let Some(record) = &outcome.record {
            self.assert_absent(&format!("{place}: the record"), &record.to_string());
        }
        self.assert_absent(&format!("{place}: the answer's head"), &format!("{:?}", outcome.response_headers));
        if outcome.decision == Decision::Deny {
            self.assert_absent(&format!("{place}: the denial"), outcome.response_body.as_deref().unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "stands in a log")]
    fn one_is_found_where_it_stands() {
        Canaries::of(["short", "a-long-secret"]).assert_absent("a log", "x=a-long-secret;");
    }

    #[test]
    fn nothing_is_found_where_none_stands() {
        Canaries::of(["short", "a-long-secret"]).assert_absent("a log", "short x=a-long-secre;");
    }
}
