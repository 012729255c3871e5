//! How far a long file has been read, on a terminal.

use super::output;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{IsTerminal, stderr, stdout},
    time::{Duration, Instant},
};

/// Shorter than this nobody asks how far it has come.
const QUICK: Duration = Duration::from_secs(1);

/// A bar on stderr, once something takes long.
pub(crate) struct Progress {
    length: Option<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to count. `length` is that of the whole in bytes; `None` when it is not known.
    pub(crate) fn new(length: Option<u64>) -> Self {
        Self { length, started: Instant::now(), bar: None }
    }

    /// So many bytes have been read. Where the results scroll by on the same terminal there is no bar.
    pub(crate) fn at(&mut self, read: u64, what: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(read);
            let left =
                self.length.map(|length| self.started.elapsed().mul_f64(length.saturating_sub(read) as f64 / read.max(1) as f64));
            let left = left.map_or_else(String::new, |left| format!(", about {}s left", left.as_secs()));
            bar.set_message(format!("{}{left}", what()));
        } else if self.started.elapsed() > QUICK && stderr().is_terminal() && !stdout().is_terminal() {
            self.bar = Some(bar(self.length));
        }
    }

    /// Writes a diagnostic above the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::diagnostic(text)),
            None => output::diagnostic(text),
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, style) = match length {
        Some(length) => (ProgressBar::new(length), "{wide_bar} {percent:>3}%  {msg}"),
        None => (ProgressBar::no_length(), "{spinner} {msg}  {elapsed}"),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
    // The templates above are good; were they not, the default says the same in other words.
    bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
}
