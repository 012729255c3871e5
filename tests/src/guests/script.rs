//! What is done with a guest, line by line: `open POST /chunks x-a: 1; x-b: 2`, `data one`, `end`, `wait 300`, `config two`.

use std::time::Duration;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A request's head; `end`: there is no more of it.
    Open {
        /// The method.
        method: String,
        /// The path; it tells the upstream what to answer.
        path: String,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// Nothing follows.
        end: bool,
    },
    /// A piece of the last request's body.
    Data {
        /// The bytes.
        bytes: Vec<u8>,
        /// The last one.
        end: bool,
    },
    /// The last request's trailers.
    Trailers(Vec<(String, String)>),
    /// Time goes by.
    Wait(Duration),
    /// What follows comes over another connection, and so perhaps to another worker.
    Connect,
    /// Another configuration.
    Configure(String),
}

/// A guest's steps.
pub type Steps = Vec<Step>;

/// Reads one line.
pub(super) fn parse(line: &str) -> Option<Step> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "open" => head(rest, false)?,
        "send" => head(rest, true)?,
        "data" => Step::Data { bytes: bytes(rest), end: false },
        "last" => Step::Data { bytes: bytes(rest), end: true },
        "end" => Step::Data { bytes: Vec::new(), end: true },
        "trailers" => Step::Trailers(headers(rest)?),
        "connect" => Step::Connect,
        "wait" => Step::Wait(Duration::from_millis(rest.parse().ok()?)),
        "config" => Step::Configure(rest.to_owned()),
        _ => return None,
    })
}

/// `4096 * x` is that many of them.
fn bytes(text: &str) -> Vec<u8> {
    match text.split_once(" * ").and_then(|(count, what)| Some((count.parse().ok()?, what))) {
        Some((count, what)) => what.as_bytes().repeat(count),
        None => text.into(),
    }
}

fn head(text: &str, end: bool) -> Option<Step> {
    let (method, rest) = text.split_once(' ')?;
    let (path, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    Some(Step::Open { method: method.into(), path: path.into(), headers: headers(rest)?, end })
}

fn headers(text: &str) -> Option<Vec<(String, String)>> {
    let fields = text.split("; ").filter(|field| !field.is_empty());
    fields.map(|field| field.split_once(':').map(|(name, value)| (name.into(), value.trim().into()))).collect()
}

/// What the upstream answers a path: the pieces of its body, its trailers, and whether it leaves the response open.
#[must_use]
pub(super) fn answer(path: &str) -> (Vec<&'static str>, Vec<(String, String)>, bool) {
    match path {
        "/chunks" => (vec!["one ", "two ", "three"], Vec::new(), false),
        "/trailers" => (vec!["body"], vec![("x-t-sum".into(), "1".into())], false),
        "/empty" => (Vec::new(), Vec::new(), false),
        "/open" => (vec!["begun"], Vec::new(), true),
        _ => (vec!["hello"], Vec::new(), false),
    }
}

/// The headers of each of the upstream's answers.
pub(super) const ANSWER_HEADERS: [(&str, &str); 3] = [("x-t-from", "upstream"), ("x-t-twice", "1"), ("x-t-twice", "2")];
