//! The lines of a log, of recorded requests or a proxy's: read one by one, counted, with what is wrong shown where it is, and a
//! progress bar.

use super::{Exit, output, progress::Progress};
use chaperone_authoring::{
    import::recognise,
    recorded::{BadLine, Line},
    source::MAX_BYTES,
};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, stdin},
    path::Path,
};

/// As much of a file's first line is looked at to tell what file it is.
const FIRST: u64 = 1 << 16;
/// A progress bar moves once in so many bytes.
const STEP: u64 = 1 << 20;

/// The lines of one input, and what became of them.
pub(crate) struct Lines {
    input: BufReader<Box<dyn Read>>,
    name: String,
    /// The line read last.
    bytes: Vec<u8>,
    /// Its beginning has been read to tell what file it is, and nothing else.
    begun: bool,
    number: u64,
    /// A recorded request has been asked for before.
    seen: bool,
    read: u64,
    bad: u64,
    trapped: bool,
    progress: Progress,
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
        let progress = Progress::new(length);
        Ok(Self {
            input,
            name,
            bytes: Vec::new(),
            begun: false,
            number: 0,
            seen: false,
            read: 0,
            bad: 0,
            trapped: false,
            progress,
        })
    }

    /// The name to show.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next line that is not blank: a recorded request. A file that is of another kind as a whole is refused.
    pub(crate) fn next_request(&mut self) -> Result<Option<Next<Line>>, Exit> {
        let Some(number) = self.next_line()? else { return Ok(None) };
        let content = match std::str::from_utf8(self.line()) {
            Ok(text) => Line::parse(text),
            Err(error) => Err(BadLine::not_utf8(error, Some("write other bytes of a body as body_base64"))),
        };
        let is_first = !std::mem::replace(&mut self.seen, true);
        if is_first
            && content.is_err()
            && let Some(kind) = recognise(self.line(), self.input.buffer())
        {
            let help = kind.help(if self.name.starts_with('<') { "-" } else { &self.name });
            output::diagnostic(&format!("policy-host: {}: {}\n  help: {help}", self.name, kind.message()));
            return Err(Exit::Invalid);
        }
        Ok(Some(Next { number, content: content.map_err(|bad| self.bad(&bad)).ok() }))
    }

    /// The next line that is not blank, as `parse` reads it.
    pub(crate) fn next<T>(&mut self, parse: impl FnOnce(&[u8]) -> Result<T, BadLine>) -> Result<Option<Next<T>>, Exit> {
        let Some(number) = self.next_line()? else { return Ok(None) };
        let content = parse(self.line()).map_err(|bad| self.bad(&bad)).ok();
        Ok(Some(Next { number, content }))
    }

    /// Reads on to the next line that is not blank, and gives its number; `None` at the end.
    pub(crate) fn next_line(&mut self) -> Result<Option<u64>, Exit> {
        loop {
            if !std::mem::take(&mut self.begun) && !self.begin_line()? {
                return Ok(None);
            }
            if !self.bytes.ends_with(b"\n") {
                self.read_to_end_of_line(MAX_BYTES)?;
            }
            if self.bytes.len() as u64 >= MAX_BYTES && !self.bytes.ends_with(b"\n") {
                output::diagnostic(&format!("policy-host: {}:{}: a line of more than 64 MiB", self.name, self.number));
                return Err(Exit::Invalid);
            }
            if self.number.is_multiple_of(256) || self.bytes.len() as u64 > STEP {
                let number = self.number;
                self.progress.at(self.read, || format!("{number} lines"));
            }
            if !self.bytes.trim_ascii().is_empty() {
                return Ok(Some(self.number));
            }
        }
    }

    /// The line read last, without its end.
    pub(crate) fn line(&self) -> &[u8] {
        self.bytes.trim_ascii_end()
    }

    /// The same as text; empty when it is none.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.line()).unwrap_or_default()
    }

    /// The beginning of the file's first line that is not blank, which is still to come; empty when there is none.
    pub(crate) fn peek(&mut self) -> Result<&[u8], Exit> {
        while !self.begun && self.begin_line()? {
            self.begun = !self.bytes.trim_ascii().is_empty();
        }
        Ok(if self.begun { &self.bytes } else { &[] })
    }

    /// Reads the beginning of the next line; `false` at the end.
    fn begin_line(&mut self) -> Result<bool, Exit> {
        self.bytes.clear();
        if self.read_to_end_of_line(FIRST)? == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.number == 1 {
            let coded = match self.bytes.as_slice() {
                [0x1f, 0x8b, ..] => Some(format!("gunzip -c {} |", self.name)),
                [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(format!("zstd -dc {} |", self.name)),
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(format!("iconv -f UTF-16 -t UTF-8 {} |", self.name)),
                _ => None,
            };
            if let Some(help) = coded {
                let what = if help.starts_with("iconv") { "is UTF-16, not UTF-8" } else { "is compressed" };
                output::diagnostic(&format!("policy-host: {}: {what}\n  help: {help} policy-host … -", self.name));
                return Err(Exit::Invalid);
            }
            // A byte order mark (RFC 3629 §6), which some editors write.
            if self.bytes.starts_with(b"\xef\xbb\xbf") {
                self.bytes.drain(..3);
                self.read = self.read.saturating_sub(3);
            }
        }
        Ok(true)
    }

    fn read_to_end_of_line(&mut self, most: u64) -> Result<usize, Exit> {
        let most = most.saturating_sub(self.bytes.len() as u64);
        let read = (&mut self.input).take(most).read_until(b'\n', &mut self.bytes);
        let read = read.map_err(|error| output::failed(&format!("{}: cannot be read on: {error}", self.name)))?;
        self.read += read as u64;
        Ok(read)
    }

    /// The line read last is wrong.
    pub(crate) fn bad(&mut self, line: &BadLine) {
        self.bad += 1;
        let help = line.help.as_ref().map_or_else(String::new, |help| format!("\n  help: {help}"));
        self.progress.say(&format!("{}:{}:{}: {}{help}", self.name, self.number, self.column(line), line.message));
    }

    /// Where in the line read last it is wrong, in characters from 1.
    pub(crate) fn column(&self, line: &BadLine) -> usize {
        String::from_utf8_lossy(self.bytes.get(..line.offset).unwrap_or_default()).chars().count() + 1
    }

    /// What the filter died of at this line, if it did; said once.
    pub(crate) fn trapped(&mut self, number: u64, trap: Option<&str>) {
        if let Some(trap) = trap.filter(|_| !self.trapped) {
            self.trapped = true;
            self.progress.say(&format!("{}:{number}: {trap}", self.name));
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

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.progress.clear();
    }

    /// Takes the bar away, says how many lines were wrong and what that means, and how it went.
    pub(crate) fn finish(self, so: &str) -> Exit {
        self.end();
        if self.bad > 0 {
            output::diagnostic(&format!("{} of {} lines could not be read {so}", self.bad, self.number));
        }
        match (self.trapped, self.bad) {
            (true, _) => Exit::Trapped,
            (false, 0) => Exit::Fine,
            (false, _) => Exit::Invalid,
        }
    }
}

/// The whole from the line on that [`Lines::peek`] has shown, as a document.
impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.bytes.is_empty() {
            let length = self.bytes.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..length)) {
                *to = from;
            }
            return Ok(length);
        }
        let length = self.input.read(buffer)?;
        let steps = self.read / STEP;
        self.read += length as u64;
        if self.read / STEP > steps {
            let mib = self.read >> 20;
            self.progress.at(self.read, || format!("{mib} MiB"));
        }
        Ok(length)
    }
}
