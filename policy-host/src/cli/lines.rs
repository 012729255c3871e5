//! The lines of a log, of recorded requests or a proxy's: read one by one, counted, with what is wrong shown where it is, and a
//! progress bar.

use super::{Exit, output};
use chaperone_authoring::recorded::{BadLine, Line};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fs::File,
    io::{BufRead, BufReader, IsTerminal, Read, stderr, stdin, stdout},
    path::Path,
    time::{Duration, Instant},
};

/// Shorter than this nobody asks how far it has come.
const QUICK: Duration = Duration::from_secs(1);

/// The lines of one input, and what became of them.
pub(crate) struct Lines {
    input: BufReader<Box<dyn Read>>,
    name: String,
    bytes: Vec<u8>,
    number: u64,
    read: u64,
    bad: u64,
    trapped: bool,
    length: Option<u64>,
    started: Instant,
    bar: Option<ProgressBar>,
}

/// A line that is not blank.
pub(crate) struct Next<T> {
    /// From 1.
    pub(crate) number: u64,
    /// What it says; `None` when it could not be read, which has been said.
    pub(crate) content: Option<T>,
}

impl Lines {
    /// Opens a file, `-` for stdin.
    pub(crate) fn open(path: &Path) -> Result<Self, Exit> {
        let (name, length, input): (_, _, Box<dyn Read>) = if path.as_os_str() == "-" {
            ("<stdin>".to_owned(), None, Box::new(stdin().lock()))
        } else {
            let name = path.display().to_string();
            let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
            let (about, file) = opened.map_err(|error| {
                output::diagnostic(&format!("policy-host: {name}: cannot be read: {error}"));
                Exit::Invalid
            })?;
            (name, about.is_file().then_some(about.len()), Box::new(file))
        };
        let input = BufReader::with_capacity(1 << 16, input);
        let started = Instant::now();
        Ok(Self { input, name, bytes: Vec::new(), number: 0, read: 0, bad: 0, trapped: false, length, started, bar: None })
    }

    /// The next line that is not blank: a recorded request, and its text.
    pub(crate) fn next_request(&mut self) -> Result<Option<Next<(Line, String)>>, Exit> {
        self.next(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) => Line::parse(text).map(|line| (line, text.to_owned())),
            Err(error) => Err(BadLine {
                offset: error.valid_up_to(),
                message: "is not UTF-8 from here on".to_owned(),
                help: Some("write other bytes of a body as body_base64".to_owned()),
            }),
        })
    }

    /// The next line that is not blank, as `parse` reads it.
    pub(crate) fn next<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T, BadLine>) -> Result<Option<Next<T>>, Exit> {
        loop {
            self.bytes.clear();
            let read = self.input.read_until(b'\n', &mut self.bytes);
            let read = read.map_err(|error| output::failed(&format!("{}: cannot be read on: {error}", self.name)))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.read += read as u64;
            self.progress();
            if self.bytes.trim_ascii().is_empty() {
                continue;
            }
            let content = parse(self.bytes.trim_ascii_end()).map_err(|bad| self.bad(&bad)).ok();
            return Ok(Some(Next { number: self.number, content }));
        }
    }

    /// The line read last is wrong.
    pub(crate) fn bad(&mut self, line: &BadLine) {
        self.bad += 1;
        let column = String::from_utf8_lossy(self.bytes.get(..line.offset).unwrap_or_default()).chars().count() + 1;
        let help = line.help.as_ref().map_or_else(String::new, |help| format!("\n  help: {help}"));
        self.say(&format!("{}:{}:{column}: {}{help}", self.name, self.number, line.message));
    }

    /// What the filter died of at the line read last, if it did; said once.
    pub(crate) fn trapped(&mut self, trap: Option<&str>) {
        if let Some(trap) = trap.filter(|_| !self.trapped) {
            self.trapped = true;
            self.say(&format!("{}:{}: {trap}", self.name, self.number));
        }
    }

    /// Is the next line yet to come from whoever writes them?
    pub(crate) fn must_wait(&self) -> bool {
        self.input.buffer().is_empty()
    }

    /// Was there not even a blank line?
    pub(crate) fn is_empty(&self) -> bool {
        self.number == 0
    }

    /// How many could not be read.
    pub(crate) fn bad_lines(&self) -> u64 {
        self.bad
    }

    /// Takes the bar away, says how many lines were wrong and what that means, and how it went.
    pub(crate) fn finish(self, so: &str) -> Exit {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.bad > 0 {
            output::diagnostic(&format!("{} of {} lines could not be read {so}", self.bad, self.number));
        }
        match (self.trapped, self.bad) {
            (true, _) => Exit::Trapped,
            (false, 0) => Exit::Fine,
            (false, _) => Exit::Invalid,
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::diagnostic(text)),
            None => output::diagnostic(text),
        }
    }

    /// Moves the bar now and then. Where the results scroll by on the same terminal there is none.
    fn progress(&mut self) {
        if !self.number.is_multiple_of(256) {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.read);
            let left = self
                .length
                .map(|length| self.started.elapsed().mul_f64(length.saturating_sub(self.read) as f64 / self.read as f64));
            let left = left.map_or_else(String::new, |left| format!(", about {}s left", left.as_secs()));
            bar.set_message(format!("{} lines{left}", self.number));
        } else if self.started.elapsed() > QUICK && stderr().is_terminal() && !stdout().is_terminal() {
            self.bar = Some(bar(self.length));
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
