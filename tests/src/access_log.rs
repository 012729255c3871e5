//! Envoy's JSON access log, with the filter's record taken out of its list.

use serde_json::Value;
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Envoy flushes every 50 ms here; the rest is for a loaded machine.
const WAIT: Duration = Duration::from_secs(10);

/// One line of the access log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The line as Envoy wrote it.
    pub line: Value,
    /// The filter's record; `Null` when Envoy answered without the filter.
    pub record: Value,
}

impl Entry {
    /// The response code details.
    #[must_use]
    pub fn details(&self) -> &str {
        self.line["response_code_details"].as_str().unwrap_or_default()
    }

    /// The record's reason code.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.record["status_code"].as_str().unwrap_or_default()
    }

    /// The id of the worker that decided.
    #[must_use]
    pub fn worker(&self) -> &str {
        self.record["unmapped"]["worker"].as_str().unwrap_or_default()
    }
}

/// An access log.
#[derive(Debug, Clone)]
pub struct AccessLog(pub PathBuf);

impl AccessLog {
    /// All entries written so far.
    ///
    /// # Panics
    /// When a whole line is not JSON, record included.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(parse).collect()
    }

    /// The entry whose record has this audit id.
    ///
    /// # Panics
    /// When there is none in time.
    pub async fn record(&self, audit_id: &str) -> Entry {
        self.wait_for(&format!("audit id {audit_id}"), |entry| entry.record["metadata"]["uid"] == audit_id).await
    }

    /// The first entry that fits.
    ///
    /// # Panics
    /// When there is none in time; the message shows what there is.
    pub async fn wait_for(&self, what: &str, fits: impl Fn(&Entry) -> bool) -> Entry {
        let deadline = Instant::now() + WAIT;
        loop {
            let entries = self.entries();
            if let Some(found) = entries.iter().find(|entry| fits(entry)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "no log entry with {what} among {}: {entries:#?}", entries.len());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn parse(line: &str) -> Entry {
    let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("a log line is no JSON: {error}: {line}"));
    let records = line["session_audit"].as_array().unwrap_or_else(|| panic!("a log line has no list of records: {line}"));
    assert!(records.len() <= 1, "a request has one record: {line}");
    Entry { record: records.first().cloned().unwrap_or_default(), line }
}
