//! Sessions that a proxy has ended by itself, as the records in its access log tell, for `revoked` to end them everywhere.
//!
//! A log is trusted: whoever can write into it can end sessions, and nothing else.

use super::{Entry, Selectors};
use crate::recorded::BadLine;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

/// What a session was ended for, as `ends_session` of a record names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cause {
    Denials,
    ContextChange,
    Idle,
}

impl Cause {
    fn words(self) -> &'static str {
        match self {
            Self::Denials => "too many denials",
            Self::ContextChange => "another context",
            Self::Idle => "not used for too long",
        }
    }
}

/// A session that a request, or a stream's end, has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Ended {
    policy: String,
    issuer: String,
    session: String,
}

/// A line of an access log.
#[derive(Debug)]
pub struct LogLine {
    /// Is it of a proxy that logs records, though this line may have none?
    of_a_filter: bool,
    /// How many it has.
    records: u64,
    ended: Vec<(Ended, String)>,
}

/// Of all lines of a log.
#[derive(Debug, Default)]
pub struct Endings {
    of_a_filter: bool,
    records: u64,
    seen: HashSet<Ended>,
    /// By policy, in the order of the log.
    entries: BTreeMap<String, Vec<Entry>>,
}

/// A line in the shipped format, or one that is a record itself.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object")]
struct Raw<'l> {
    #[serde(borrow)]
    session_audit: Option<&'l RawValue>,
    #[serde(borrow)]
    metadata: Option<&'l RawValue>,
    #[serde(borrow)]
    unmapped: Option<&'l RawValue>,
}

#[derive(Deserialize)]
struct Metadata {
    product: Option<Product>,
}

#[derive(Deserialize)]
struct Product {
    name: Option<String>,
}

/// Of a record as much as is asked for here.
#[derive(Deserialize)]
struct Record {
    metadata: Uid,
    actor: Option<Actor>,
    policy: Option<Uid>,
    unmapped: Unmapped,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

#[derive(Deserialize)]
struct Actor {
    session: Option<Session>,
}

#[derive(Deserialize)]
struct Session {
    uid: String,
    issuer: String,
}

#[derive(Deserialize)]
struct Unmapped {
    ends_session: Option<Cause>,
    ended_under: Option<String>,
}

/// The records in a line of an access log: a JSON object whose `session_audit` is a list of records, one record or its text, as a
/// JSON format of Envoy writes it, or which is a record itself.
pub(crate) struct Found<'l> {
    /// Is it of a proxy that logs records, though this line may have none?
    pub(crate) of_a_filter: bool,
    /// Where in the line they stand.
    at: usize,
    pub(crate) records: Vec<FoundRecord<'l>>,
}

/// The text of a record.
pub(crate) struct FoundRecord<'l> {
    text: Cow<'l, str>,
    /// Where it begins in its line.
    at: usize,
    /// The line's length.
    length: usize,
}

impl FoundRecord<'_> {
    /// Reads as much of it as is asked for.
    ///
    /// # Errors
    /// When it is not there, or of another type.
    pub(crate) fn read<'r, T: Deserialize<'r>>(&'r self) -> Result<T, BadLine> {
        let Self { text, at, length } = self;
        serde_json::from_str(text).map_err(|error| match text {
            Cow::Borrowed(_) => bad(&error, *at, *length),
            // Within a text the escapes would have to be counted.
            Cow::Owned(_) => BadLine { offset: *at, ..bad(&error, *at, *length) },
        })
    }
}

impl<'l> Found<'l> {
    /// Finds them, and does not look into them.
    ///
    /// # Errors
    /// When the line is no JSON object, or what stands for records is none.
    pub(crate) fn in_line(line: &'l [u8]) -> Result<Self, BadLine> {
        let found = |text, at| FoundRecord { text, at, length: line.len() };
        let raw: Raw<'l> = serde_json::from_slice(line).map_err(|error| bad(&error, 0, line.len()))?;
        let audit = match raw {
            Raw { session_audit: Some(audit), metadata: _, unmapped: _ } => audit,
            Raw { session_audit: None, metadata: Some(metadata), unmapped: Some(_) } if is_ours(metadata) => {
                // It is JSON, and so UTF-8.
                return Ok(Self { of_a_filter: true, at: 0, records: vec![found(String::from_utf8_lossy(line), 0)] });
            }
            Raw { session_audit: None, metadata: _, unmapped: _ } => {
                return Ok(Self { of_a_filter: false, at: 0, records: Vec::new() });
            }
        };
        let place = |text: &str| text.as_ptr().addr().saturating_sub(line.as_ptr().addr());
        let (text, at) = (audit.get(), place(audit.get()));
        let wrong = |error: serde_json::Error| bad(&error, at, line.len());
        let records = match text.bytes().next() {
            Some(b'[') => {
                let list: Vec<&'l RawValue> = serde_json::from_str(text).map_err(wrong)?;
                list.into_iter().map(|record| found(Cow::Borrowed(record.get()), place(record.get()))).collect()
            }
            Some(b'"') => {
                let inner: String = serde_json::from_str(text).map_err(wrong)?;
                if matches!(inner.as_str(), "" | "-") { Vec::new() } else { vec![found(Cow::Owned(inner), at)] }
            }
            Some(_) | None => vec![found(Cow::Borrowed(text), at)],
        };
        Ok(Self { of_a_filter: true, at, records })
    }
}

impl LogLine {
    /// Reads one line: a JSON object whose `session_audit` is a list of records, one record or its text, as a JSON format of
    /// Envoy writes it, or which is a record itself. A line of another kind has none: Envoy answers some requests alone.
    ///
    /// # Errors
    /// When it is no JSON object, or a record in it ends a session without saying whose.
    pub fn parse(line: &[u8]) -> Result<Self, BadLine> {
        let found = Found::in_line(line)?;
        let mut read = Self { of_a_filter: found.of_a_filter, records: 0, ended: Vec::new() };
        for record in &found.records {
            read.add(record.read()?, found.at)?;
        }
        Ok(read)
    }

    fn add(&mut self, record: Record, offset: usize) -> Result<(), BadLine> {
        self.of_a_filter = true;
        self.records += 1;
        let Record { metadata, actor, policy, unmapped: Unmapped { ends_session, ended_under } } = record;
        let Some(cause) = ends_session else { return Ok(()) };
        let session = actor.and_then(|actor| actor.session);
        // A stream may be ended by a newer policy than the one that let it through.
        let newer = ended_under.as_deref().and_then(|label| label.rsplit_once('@')).map(|(name, _)| name.to_owned());
        let policy = newer.or(policy.map(|policy| policy.uid));
        let named = |text: &String| !text.is_empty();
        match (session.filter(|session| named(&session.uid) && named(&session.issuer)), policy.filter(named)) {
            (Some(Session { uid: session, issuer }), Some(policy)) => {
                let because = format!("{} (audit id {})", cause.words(), metadata.uid);
                self.ended.push((Ended { policy, issuer, session }, because));
                Ok(())
            }
            (None, _) => Err(BadLine { offset, message: "a record ends a session that it does not name".to_owned(), help: None }),
            (Some(_), None) => Err(BadLine {
                offset,
                message: "a record ends a session under a policy that it does not name".to_owned(),
                help: None,
            }),
        }
    }
}

impl Endings {
    /// Takes in what one line says.
    pub fn add(&mut self, line: LogLine) {
        let LogLine { of_a_filter, records, ended } = line;
        self.of_a_filter |= of_a_filter;
        self.records += records;
        for (ended, because) in ended {
            // Each proxy tells of its own ending.
            if !self.seen.insert(ended.clone()) {
                continue;
            }
            let Ended { policy, issuer, session } = ended;
            let selectors = Selectors { session: Some(session), issuer: Some(issuer), ..Selectors::default() };
            self.entries.entry(policy).or_default().push(Entry { selectors, because: Some(because) });
        }
    }

    /// Was there a record, or the place of one?
    #[must_use]
    pub fn are_of_a_filter(&self) -> bool {
        self.of_a_filter
    }

    /// How many records there were, whatever they say.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// One entry for each session that was ended under a policy of this name.
    #[must_use]
    pub fn of(&self, policy: &str) -> &[Entry] {
        self.entries.get(policy).map_or(&[], Vec::as_slice)
    }

    /// The other policies under which sessions were ended, and how many.
    pub fn others(&self, policy: &str) -> impl Iterator<Item = (&str, usize)> {
        let others = self.entries.iter().filter(move |(name, _)| *name != policy);
        others.map(|(name, entries)| (name.as_str(), entries.len()))
    }
}

/// Are these the `metadata` of a record of the filter?
fn is_ours(metadata: &RawValue) -> bool {
    let product = serde_json::from_str::<Metadata>(metadata.get()).ok().and_then(|metadata| metadata.product);
    product.and_then(|product| product.name).as_deref() == Some("Chaperone")
}

fn bad(error: &serde_json::Error, at: usize, length: usize) -> BadLine {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(&*text, |(before, _)| before);
    let message = if error.is_eof() { "the line ends in the middle".to_owned() } else { text.replace(" field `", " member `") };
    let help =
        "the proxy's access log, one JSON object a line, with the filter's record in `session_audit`; or such records alone";
    BadLine { offset: (at + error.column().saturating_sub(1)).min(length), message, help: Some(help.to_owned()) }
}
