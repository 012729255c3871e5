//! The upstream's credential on its way back: what a response, or a redirect that the proxy follows by itself, shows of it.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::http::edits::Edits;
use crate::http::head::Headers;
use crate::http::rpc;
use crate::primitives::coded::{Found, find};
use crate::primitives::limits;
use crate::rules::credential::{BEARER, Credential, Filled, Secret};
use crate::rules::upstream::Bodies;
use crate::state::exchanged::Exchanged;

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
    given: Rc<Filled>,
    bodies: Bodies,
    /// Names of the fields that had it.
    names: Vec<Box<str>>,
    /// The last bytes that went on, where they can be its beginning: fewer than [`limits::ECHO_SHOWN`] of it.
    passed: Vec<u8>,
}

impl Watch {
    pub(crate) fn new(given: Rc<Filled>, bodies: Bodies) -> Self {
        Self { given, bodies, names: Vec::new(), passed: Vec::new() }
    }

    /// What is looked for, and what is done about bodies.
    pub(crate) fn given(&self) -> (Rc<Filled>, Bodies) {
        (Rc::clone(&self.given), self.bodies)
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
        // Those of HTTP, gRPC and Connect.
        const CODINGS: [&[u8]; 3] = [b"content-encoding", b"grpc-encoding", b"connect-content-encoding"];
        let coded = |(name, value): &(&[u8], &[u8])| {
            let value = value.trim_ascii();
            let names_coding = CODINGS.iter().any(|one| name.eq_ignore_ascii_case(one));
            let is_coded = names_coding && !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
            is_coded || (name.eq_ignore_ascii_case(b"content-type") && rpc::is_base64(value))
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
    /// What the request is judged by: all of it, unless a redirect was followed.
    pub(crate) kept: Vec<(&'h [u8], &'h [u8])>,
    /// Names of the fields that had it.
    pub(crate) taken: Vec<&'h [u8]>,
    /// Where the redirect wrote it into the new path or host: what had it there, by its pseudo name.
    pub(crate) in_target: Vec<&'h [u8]>,
}

/// Set by Envoy on what it makes of a redirect.
const REDIRECTED: &[u8] = b"x-envoy-original-url";

impl<'h> Carried<'h> {
    /// `None` where there is nothing of it. Whole values are looked for on each request: they go no further. Without a redirect they are
    /// the caller's own, and judged like anything else he sends: a credential that has leaked is to be seen, and nobody learns from the
    /// answer which one it is. What a redirect's own fields can have brought in in parts is looked for where there was one.
    pub(crate) fn find(
        headers: &Headers<'h>,
        credentials: &[Rc<Credential>],
        environment: &BTreeMap<String, Secret>,
        exchanged: &Exchanged,
    ) -> Option<Self> {
        let redirected = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(REDIRECTED));
        let is_exchanged = |value: &[u8]| value.strip_prefix(BEARER.as_bytes()).is_some_and(|text| exchanged.holds(text));
        let is_whole =
            |value: &[u8]| credentials.iter().any(|credential| credential.is(value, environment)) || is_exchanged(value);
        if !redirected {
            let whole = headers.iter().filter(|(name, value)| is_whole(value) && !name.starts_with(b":"));
            let taken: Vec<_> = whole.map(|(name, _)| *name).collect();
            return (!taken.is_empty()).then(|| Self { kept: headers.to_vec(), taken, in_target: Vec::new() });
        }
        let given: Vec<_> = credentials.iter().filter_map(|credential| credential.fill(environment)).collect();
        let has = |value: &[u8]| is_whole(value) || given.iter().any(|given| given.is_in(value));
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

/// Has a redirect written into this head what its request is given now? Of tokens that were had for sessions' own, which
/// [`Carried::find`] knows as whole values alone: nobody could look for all of them in each text.
pub(crate) fn is_written(headers: &Headers<'_>, given: &Filled) -> bool {
    let redirected = given.of.exchange().is_some() && headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(REDIRECTED));
    redirected && headers.iter().any(|(_, value)| given.is_in(value))
}

impl<'h> Carried<'h> {
    /// What of it a record may show: not the path that has it.
    pub(crate) fn shown(&self) -> Vec<(&'h [u8], &'h [u8])> {
        self.kept.iter().filter(|(name, _)| !self.in_target.contains(name)).copied().collect()
    }
}

#[cfg(test)]
mod tests;
