//! `session.idle_timeout` and `end_session_when`, as documents write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;

use crate::document::{At, Errors, Object, duration, each, one_of, whole_number};
use crate::http::head::Head;
use crate::primitives::digest::{Half, digest};
use crate::primitives::limits;

/// What ends a session besides its time and the document.
#[derive(Debug, Default)]
pub(crate) struct StateRules {
    /// Seconds.
    pub(crate) idle_timeout: Option<u64>,
    pub(crate) denials: Option<Denials>,
    pub(crate) contexts: Contexts,
    /// Some grant counts calls or bytes of a session, or asks for one call before another.
    pub(crate) usage: bool,
}

/// So many denials in so many seconds are too many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Denials {
    pub(crate) count: u8,
    pub(crate) within: u64,
}

/// What must stay as it was when the session was first seen.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    /// The leading bits of an IPv4 address that must; of an IPv6 address twice as many.
    source_prefix: Option<u8>,
    /// The certificate of the connection.
    pub(crate) certificate: bool,
}

/// As documents name them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Source,
    Certificate,
}

impl StateRules {
    /// Reads `end_session_when`.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let denials = object.optional("denials", errors, Denials::read);
        let changes = object.optional("context_changes", errors, |value, at, errors| {
            // Without it nothing may be left that ends a session.
            each(value, &at.needed(), errors, |value, at, errors| {
                let words = [("source_address", Context::Source), ("client_certificate", Context::Certificate)];
                one_of(value, at, errors, &words)
            })
        });
        let watched = |context| changes.iter().flatten().any(|other| *other == context);
        let prefix = object.optional("source_prefix", errors, |value, at, errors| {
            const HELP: &str = "write 8 to 32, the leading bits of an IPv4 address that count; of IPv6 it is twice as many";
            let bits = whole_number(value, at, errors, HELP)?;
            let fitting = u8::try_from(bits).ok().filter(|bits| (8..=32).contains(bits));
            if fitting.is_none() {
                errors.add_with_help(at, "must be from 8 to 32", HELP);
            }
            fitting
        });
        if prefix.is_some() && !watched(Context::Source) {
            errors.add_with_help(
                &at.member("source_prefix"),
                "changes nothing",
                "add `context_changes: [source_address]`, or remove it",
            );
        }
        object.finish(errors);
        if denials.is_none() && changes.is_none() {
            errors.add_with_help(at, "ends no session", "for example `denials: {count: 5, within: 1m}`");
        }
        let source_prefix = watched(Context::Source).then(|| prefix.unwrap_or(32));
        let contexts = Contexts { source_prefix, certificate: watched(Context::Certificate) };
        Some(Self { idle_timeout: None, denials, contexts, usage: false })
    }

    /// Is there anything to keep of a session?
    pub(crate) fn ask(&self) -> bool {
        self.denials.is_some() || self.usage || self.keep_each()
    }

    /// Is there anything to keep of every session, whatever it does?
    pub(crate) fn keep_each(&self) -> bool {
        self.idle_timeout.is_some() || self.contexts.ask()
    }

    /// Uses are noted once in a sixteenth of the timeout, and at most once a second: nobody is idle before the timeout, and
    /// everybody is that much after it.
    fn step(&self) -> u64 {
        (self.idle_timeout.unwrap_or(0).saturating_mul(1000) / 16).max(1000)
    }

    /// So many milliseconds after the last use that was noted.
    pub(crate) fn is_idle(&self, since_use: u64) -> bool {
        self.idle_timeout.is_some_and(|timeout| since_use >= timeout.saturating_mul(1000).saturating_add(self.step()))
    }

    pub(crate) fn is_use_to_note(&self, since_use: u64) -> bool {
        self.idle_timeout.is_some() && since_use >= self.step()
    }
}

impl Denials {
    fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let count = object.required("count", "for example `count: 5`", errors, |value, at, errors| {
            const HELP: &str = "write a whole number from 1 to 32, for example `count: 5`";
            let count = whole_number(value, at, errors, HELP)?;
            let fitting = u8::try_from(count).ok().filter(|count| (1..=limits::DENIALS_COUNTED).contains(count));
            if fitting.is_none() {
                errors.add_with_help(at, format!("must be from 1 to {}", limits::DENIALS_COUNTED), HELP);
            }
            fitting
        });
        let within = object.required("within", "for example `within: 1m`", errors, |value, at, errors| {
            let seconds = duration(value, at, errors)?;
            if seconds == 0 {
                errors.add_with_help(at, "a window of no time", "for example `within: 1m`");
            }
            Some(seconds)
        });
        object.finish(errors);
        Some(Self { count: count?, within: within? })
    }

    /// The window in milliseconds.
    pub(crate) fn window(self) -> u64 {
        self.within.saturating_mul(1000)
    }
}

/// The evidence for a context is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing;

impl Contexts {
    fn ask(&self) -> bool {
        self.source_prefix.is_some() || self.certificate
    }

    /// Where a request comes from, as far as it must not change; `None` when nothing of it must stay. That a connection shows no
    /// certificate is a context, too. Its first byte says by which rules it was taken.
    pub(crate) fn of(&self, head: &Head<'_>) -> Result<Option<Half>, Missing> {
        if !self.ask() {
            return Ok(None);
        }
        let network = self.source_prefix.map_or(Ok(String::new()), |bits| network(head, bits))?;
        let certificate = head.peer.filter(|_| self.certificate).and_then(|peer| peer.certificate_sha256).unwrap_or_default();
        let mut context = digest(&[network.as_bytes(), certificate]);
        context[0] = self.source_prefix.unwrap_or(0) | u8::from(self.certificate) << 7;
        Ok(Some(context))
    }
}

fn network(head: &Head<'_>, bits: u8) -> Result<String, Missing> {
    let text = head.source.address().and_then(|address| std::str::from_utf8(address).ok()).ok_or(Missing)?;
    let with_port = text.parse::<SocketAddr>().map(|address| address.ip());
    let address = with_port.or_else(|_| text.parse::<IpAddr>()).map_err(|_| Missing)?;
    Ok(match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & u32::MAX.unbounded_shl(32 - u32::from(bits))).to_string(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX.unbounded_shl(128 - 2 * u32::from(bits))).to_string()
        }
    })
}
