//! Where a guest's log lines, its stdout and its stderr go.

use super::LogLevel;
use std::fmt;
use std::sync::Arc;

type Write = dyn Fn(LogLevel, &str) + Send + Sync;

/// Receives each line that a guest logs.
#[derive(Clone)]
pub struct LogSink(Arc<Write>);

impl LogSink {
    /// Calls `write` with each line.
    pub fn new(write: impl Fn(LogLevel, &str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Drops every line.
    #[must_use]
    pub fn discard() -> Self {
        Self::new(|_, _| {})
    }

    pub(super) fn write(&self, level: LogLevel, text: &[u8]) {
        (self.0)(level, &String::from_utf8_lossy(text));
    }
}

impl Default for LogSink {
    fn default() -> Self {
        Self::discard()
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}
