//! The upstream's credential on its way back: what a response, or a redirect that the proxy follows by itself, shows of it.

use std::collections::BTreeMap;

use crate::credential::{Credential, Filled, Secret};
use crate::edits::Edits;
use crate::limits;
use crate::path::hex;
use crate::request::Headers;

/// What is done about bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// They pass unread.
    #[default]
    Unread,
    /// They are read, and a response with the credential in it is cut.
    Cut,
}

/// What may become of a piece of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Passage {
    /// It may go on.
    Pass,
    /// It ends as the credential begins: held, to be shown again with the next piece after it.
    Hold,
    /// The credential is in it: not a byte of it goes on.
    Cut,
}

/// Looks for the credential that an exchange was given, in what its target answers.
#[derive(Debug)]
pub(crate) struct Watch {
    given: Filled,
    bodies: Bodies,
    /// Names of the fields that had it.
    names: Vec<Box<str>>,
    /// The last bytes that went on, where they can be its beginning: fewer than [`limits::ECHO_SHOWN`] of it.
    passed: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(given: Filled, bodies: Bodies) -> Self {
        Self { given, bodies, names: Vec::new(), passed: Vec::new() }
    }

    /// Takes off each field of a head or of trailers that has the credential in it: all fields of its name, as no host call takes
    /// one of several.
    pub(crate) fn strip(&mut self, headers: &Headers<'_>, edits: &mut Edits) {
        for (name, value) in headers {
            if !name.starts_with(b":") && self.given.is_in(value) {
                edits.remove(name);
                self.note(name);
            }
        }
    }

    fn note(&mut self, name: &[u8]) {
        let name = name.get(..limits::ECHO_NAME_BYTES).unwrap_or(name);
        let name = String::from_utf8_lossy(name);
        if self.names.len() < limits::ECHO_NAMES && !self.names.iter().any(|known| **known == *name) {
            self.names.push(name.into());
        }
    }

    /// The fields that had it, in the order in which they were found.
    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    pub(crate) fn reads_bodies(&self) -> bool {
        self.bodies == Bodies::Cut && self.given.in_part().next().is_some()
    }

    /// Can nothing be found in the body that follows this head, because it is coded?
    pub(crate) fn cannot_read(&self, headers: &Headers<'_>) -> bool {
        let coded = |(name, value): &(&[u8], &[u8])| {
            let names_coding =
                [b"content-encoding".as_slice(), b"grpc-encoding"].iter().any(|one| name.eq_ignore_ascii_case(one));
            names_coding && !value.trim_ascii().is_empty() && !value.trim_ascii().eq_ignore_ascii_case(b"identity")
        };
        self.reads_bodies() && headers.iter().any(coded)
    }

    /// `piece`: all bytes that have come and have not gone on; `last`: none follow.
    pub(crate) fn body(&mut self, piece: &[u8], last: bool) -> Passage {
        let joined = (!self.passed.is_empty()).then(|| [&self.passed, piece].concat());
        let text = joined.as_deref().unwrap_or(piece);
        let mut begins: Option<(usize, usize)> = None;
        for sought in self.given.in_part() {
            match find(text, sought) {
                Found::Whole => return Passage::Cut,
                Found::Begun { at, bytes } => {
                    let (first, most) = begins.unwrap_or((at, bytes));
                    begins = Some((first.min(at), most.max(bytes)));
                }
                Found::Nothing => {}
            }
        }
        match begins {
            Some((_, bytes)) if bytes >= limits::ECHO_SHOWN && !last => return Passage::Hold,
            Some((at, _)) => self.passed = text.get(at..).unwrap_or_default().to_vec(),
            None => self.passed.clear(),
        }
        Passage::Pass
    }
}

/// What a request brings along of the credential, although its caller has never had it: a proxy that follows a redirect by itself
/// begins anew with the fields as we left them.
pub(crate) struct Carried<'h> {
    /// What is left without it.
    pub(crate) kept: Vec<(&'h [u8], &'h [u8])>,
    /// Names of the fields that had it.
    pub(crate) taken: Vec<&'h [u8]>,
    /// Where the redirect wrote it into the new path or host: what had it there, by its pseudo name.
    pub(crate) in_target: Vec<&'h [u8]>,
}

/// Set by Envoy on what it makes of a redirect.
const REDIRECTED: &[u8] = b"x-envoy-original-url";

impl<'h> Carried<'h> {
    /// `None` where there is nothing of it. Whole values are looked for on each request; the rest, which a redirect's own fields
    /// can have brought in, only where there was one.
    pub(crate) fn find(headers: &Headers<'h>, credential: &Credential, environment: &BTreeMap<String, Secret>) -> Option<Self> {
        let is_whole = |value: &[u8]| credential.is(value, environment);
        let mut redirected = false;
        let mut whole = false;
        for (name, value) in headers {
            redirected |= name.eq_ignore_ascii_case(REDIRECTED);
            whole |= is_whole(value);
        }
        if !redirected && !whole {
            return None;
        }
        let given = credential.fill(environment).filter(|_| redirected);
        let has = |value: &[u8]| is_whole(value) || given.as_ref().is_some_and(|given| given.is_in(value));
        let mut carried = Self { kept: Vec::with_capacity(headers.len()), taken: Vec::new(), in_target: Vec::new() };
        for (name, value) in headers {
            match (has(value), name.starts_with(b":")) {
                (true, false) => carried.taken.push(name),
                (true, true) => {
                    carried.in_target.push(name);
                    carried.kept.push((name, value));
                }
                (false, _) => carried.kept.push((name, value)),
            }
        }
        Some(carried)
    }
}

impl<'h> Carried<'h> {
    /// What of it a record may show: not the path that has it.
    pub(crate) fn shown(&self) -> Vec<(&'h [u8], &'h [u8])> {
        self.kept.iter().filter(|(name, _)| !self.in_target.contains(name)).copied().collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Whole,
    /// From `at` on the text is the beginning of it, so many bytes.
    Begun {
        at: usize,
        bytes: usize,
    },
}

/// Is it in the text, plainly or coded as URLs and JSON do?
pub(crate) fn is_in(text: &[u8], sought: &[u8]) -> bool {
    // No coding is shorter.
    text.len() >= sought.len() && find(text, sought) == Found::Whole
}

fn find(text: &[u8], sought: &[u8]) -> Found {
    let Some(first) = sought.first() else { return Found::Nothing };
    let mut begun = None;
    for (at, byte) in text.iter().enumerate() {
        if byte != first && *byte != b'%' && *byte != b'\\' {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        for coded in [false, true] {
            match follow(rest, sought, coded) {
                Followed::Whole => return Found::Whole,
                Followed::ToTheEnd(bytes) => {
                    begun.get_or_insert((at, bytes));
                }
                Followed::Apart => {}
            }
        }
    }
    begun.map_or(Found::Nothing, |(at, bytes)| Found::Begun { at, bytes })
}

enum Followed {
    Whole,
    /// The text ends before they differ, after so many bytes.
    ToTheEnd(usize),
    Apart,
}

fn follow(mut text: &[u8], sought: &[u8], coded: bool) -> Followed {
    for (place, wanted) in sought.iter().enumerate() {
        let step = if coded { decoded(text) } else { text.split_first().map_or(Step::Ends, |(byte, _)| Step::Is(*byte, 1)) };
        match step {
            Step::Is(byte, size) if byte == *wanted => text = text.get(size..).unwrap_or_default(),
            Step::Is(..) => return Followed::Apart,
            Step::Ends => return Followed::ToTheEnd(place),
        }
    }
    Followed::Whole
}

enum Step {
    /// This byte, written in so many.
    Is(u8, usize),
    /// The text is over, or ends within an escape.
    Ends,
}

/// The first byte of the text: `%2F` is `/`, and so are JSON's `\/` and `\u002f`.
fn decoded(text: &[u8]) -> Step {
    let digit = |at: usize| text.get(at).map(|byte| hex(*byte));
    match text {
        [] => Step::Ends,
        [b'%', ..] => match (digit(1), digit(2)) {
            (Some(Some(high)), Some(Some(low))) => Step::Is(high << 4 | low, 3),
            (None | Some(Some(_)), None) => Step::Ends,
            _ => Step::Is(b'%', 1),
        },
        [b'\\'] => Step::Ends,
        [b'\\', b'u', rest @ ..] => match (rest, digit(4), digit(5)) {
            ([b'0', b'0', ..], Some(Some(high)), Some(Some(low))) => Step::Is(high << 4 | low, 6),
            (rest, _, None) if b"00".starts_with(rest.get(..2).unwrap_or(rest)) => Step::Ends,
            _ => Step::Is(b'\\', 1),
        },
        [b'\\', byte @ (b'/' | b'"' | b'\\'), ..] => Step::Is(*byte, 2),
        [byte, ..] => Step::Is(*byte, 1),
    }
}

#[cfg(test)]
mod tests;
