//! Requests written in the order of their times, which `replay` asks for: a proxy logs a request when it ends, and long ones come
//! late. Memory is bounded: what comes later than the window is wide goes without its time.

use chaperone_authoring::import::{Drawn, EachLine, Note};
use jiff::Timestamp;
use std::{cmp::Reverse, collections::BinaryHeap, io::Write};

/// Bytes of lines that are held back, some 100,000 requests: minutes of a busy proxy.
const WINDOW: usize = 32 << 20;

/// Lines on their way out.
pub(crate) struct InOrder<'c, W> {
    out: W,
    claims: Option<&'c EachLine>,
    /// By time, then as they came.
    held: BinaryHeap<Reverse<(Timestamp, u64, String)>>,
    bytes: usize,
    window: usize,
    count: u64,
    /// The time of the line read last.
    latest: Timestamp,
    /// The time of the line written last.
    written: Timestamp,
}

impl<'c, W: Write> InOrder<'c, W> {
    /// Writes to `out`; every line that has no claims gets these.
    pub(crate) fn new(out: W, claims: Option<&'c EachLine>) -> Self {
        let (latest, written) = (Timestamp::MIN, Timestamp::MIN);
        Self { out, claims, held: BinaryHeap::new(), bytes: 0, window: WINDOW, count: 0, latest, written }
    }

    /// Takes a request.
    pub(crate) fn push(&mut self, drawn: &mut Drawn) -> std::io::Result<()> {
        if drawn.at.is_some_and(|at| at < self.written) {
            drawn.at = None;
            drawn.notes.push(Note::OutOfOrder);
        }
        // Without a time of its own it keeps its place.
        let time = drawn.at.unwrap_or(self.latest).max(self.written);
        if let (Some(claims), None) = (self.claims, &drawn.claims) {
            drawn.claims = Some(claims.at(Some(time).filter(|time| *time > Timestamp::MIN)));
        }
        let line = serde_json::to_string(drawn)?;
        self.latest = self.latest.max(time);
        self.bytes += line.len();
        self.count += 1;
        self.held.push(Reverse((time, self.count, line)));
        while self.bytes > self.window && self.pop()? {}
        Ok(())
    }

    /// Writes all that is held back.
    pub(crate) fn finish(mut self) -> std::io::Result<()> {
        while self.pop()? {}
        self.out.flush()
    }

    fn pop(&mut self) -> std::io::Result<bool> {
        let Some(Reverse((time, _, line))) = self.held.pop() else { return Ok(false) };
        self.bytes = self.bytes.saturating_sub(line.len());
        self.written = time;
        writeln!(self.out, "{line}")?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaperone_authoring::import::{Entry, envoy_log};

    fn drawn(second: &str) -> Drawn {
        let line = format!(r#"{{"method":"GET","path":"/{second}","authority":"a","start_time":"{second}"}}"#);
        let Entry::Request(mut drawn) = envoy_log(line.as_bytes()).unwrap() else { panic!() };
        drawn.notes.clear();
        *drawn
    }

    fn run(window: usize, seconds: &[&str]) -> (Vec<(String, bool)>, Vec<bool>) {
        let mut out = Vec::new();
        let mut order = InOrder { window, ..InOrder::new(&mut out, None) };
        let mut late = Vec::new();
        for second in seconds {
            let time = if second.is_empty() { String::new() } else { format!("2026-11-23T10:00:0{second}Z") };
            let mut drawn = drawn(&time);
            drawn.path = format!("/{second}");
            order.push(&mut drawn).unwrap();
            late.push(drawn.notes.contains(&Note::OutOfOrder));
        }
        order.finish().unwrap();
        let lines = String::from_utf8(out).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        (lines.map(|line| (line["path"].as_str().unwrap().to_owned(), line["at"].is_string())).collect(), late)
    }

    #[test]
    fn lines_are_put_in_order_and_those_without_a_time_stay() {
        let (lines, late) = run(WINDOW, &["3", "", "1", "2"]);
        let expected = [("/1", true), ("/2", true), ("/3", true), ("/", false)].map(|(path, at)| (path.to_owned(), at));
        assert_eq!((lines, late), (expected.to_vec(), vec![false; 4]));
    }

    #[test]
    fn what_is_too_late_goes_without_its_time() {
        let (lines, late) = run(0, &["3", "1", "4"]);
        let expected = [("/3", true), ("/1", false), ("/4", true)].map(|(path, at)| (path.to_owned(), at));
        assert_eq!((lines, late), (expected.to_vec(), vec![false, true, false]));
    }
}
