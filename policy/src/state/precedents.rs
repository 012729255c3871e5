//! Heads that were decided about a moment ago, each with what was decided: the same question is not worked out twice.
//!
//! Nothing is judged here. A head is known only if each of its fields, but for a few that nothing looks at, has the very bytes that
//! it had when all checks were made, under the same policy and the same keys; what depends on the time and on what is counted
//! is asked anew by whoever goes by it. Whatever is not known is judged as if there were no such thing.

use std::any::Any;
use std::rc::{Rc, Weak};

use crate::http::head::{Head, Headers};
use crate::primitives::ascii::same;
use crate::primitives::limits;
use crate::rules::policy::{Policy, Rules};
use crate::state::session::Authenticated;

/// Fields whose values no check and no rule looks at, and which differ from request to request: of tracing, correlation and retries.
const FREE: [&[u8]; 13] = [
    b"x-request-id",
    b"traceparent",
    b"tracestate",
    b"baggage",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-correlation-id",
    b"x-amzn-trace-id",
    b"x-cloud-trace-context",
    b"x-datadog-trace-id",
    b"x-datadog-parent-id",
    b"idempotency-key",
];

/// A head that was decided about.
pub(crate) struct Precedent {
    /// The weak pointer keeps the policy's address from being used again, not its rules.
    by: Weak<Policy>,
    epoch: u64,
    /// Something followed it.
    body: bool,
    fields: Box<[Expected]>,
    /// Names and values, one after the other.
    text: Box<[u8]>,
    pub(crate) authenticated: Authenticated,
    /// From this instant on it says nothing any more, in Unix seconds.
    pub(crate) over: u64,
    /// What was decided: of those who make precedents.
    pub(crate) decided: Rc<dyn Any>,
}

struct Expected {
    name: usize,
    value: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its value must be the same.
    Same,
    /// Its value may be any, but for a credential.
    Free,
    /// `:path`: for the caller to compare.
    Path,
}

/// A head that is as it was, but perhaps for its path.
pub(crate) struct Known<'h> {
    pub(crate) precedent: Rc<Precedent>,
    pub(crate) path: &'h [u8],
    /// The path is the same as well.
    pub(crate) same_path: bool,
}

impl Precedent {
    /// `None` for a head that is too large to be kept.
    pub(crate) fn of(
        policy: &Rc<Policy>,
        rules: &Rules,
        epoch: u64,
        head: &Head<'_>,
        authenticated: Authenticated,
        over: u64,
        decided: Rc<dyn Any>,
    ) -> Option<Self> {
        let bytes: usize = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > limits::PRECEDENT_BYTES {
            return None;
        }
        let carries_token = |name: &[u8]| rules.tokens.sources.iter().any(|source| name == source.header.as_bytes());
        let kind = |name: &[u8]| match name {
            b":path" => Kind::Path,
            _ if FREE.contains(&name) && !carries_token(name) => Kind::Free,
            _ => Kind::Same,
        };
        let expected = |(name, value): &(&[u8], &[u8])| Expected { name: name.len(), value: value.len(), kind: kind(name) };
        let mut text = Vec::with_capacity(bytes);
        for (name, value) in head.headers {
            text.extend_from_slice(name);
            text.extend_from_slice(value);
        }
        let fields = head.headers.iter().map(expected).collect();
        let by = Rc::downgrade(policy);
        Some(Self { by, epoch, body: head.body, fields, text: text.into(), authenticated, over, decided })
    }

    /// Was it this policy by which it was decided about, with these keys?
    pub(crate) fn is_under(&self, policy: &Rc<Policy>, epoch: u64) -> bool {
        std::ptr::eq(self.by.as_ptr(), Rc::as_ptr(policy)) && self.epoch == epoch
    }

    /// The policy by which it was decided about, and the epoch of the keys.
    pub(crate) fn basis(&self) -> (Weak<Policy>, u64) {
        (Weak::clone(&self.by), self.epoch)
    }

    /// The path of a head that is otherwise the same, and whether that is the same, too.
    fn knows<'h>(&self, headers: &Headers<'h>, is_credential: &impl Fn(&[u8]) -> bool) -> Option<(&'h [u8], bool)> {
        if headers.len() != self.fields.len() {
            return None;
        }
        let mut rest = &*self.text;
        let mut path = None;
        for (expected, &(name, value)) in self.fields.iter().zip(headers) {
            let (known_name, after) = rest.split_at_checked(expected.name)?;
            let (known, after) = after.split_at_checked(expected.value)?;
            rest = after;
            if !same(name, known_name) {
                return None;
            }
            match expected.kind {
                Kind::Same if !same(value, known) => return None,
                Kind::Free if is_credential(value) => return None,
                Kind::Path => path = Some((value, same(value, known))),
                Kind::Same | Kind::Free => {}
            }
        }
        path
    }
}

/// The precedents of one worker, by the end of the token: of tokens whose signatures hold nobody can choose that.
#[derive(Default)]
pub(crate) struct Precedents {
    /// None until the first one comes.
    slots: Vec<Slot>,
    made: usize,
    off: bool,
    followed: u64,
}

#[derive(Clone, Default)]
struct Slot {
    tail: u64,
    precedent: Option<Rc<Precedent>>,
}

/// Places for one token: it has as many kinds of requests.
const WAYS: usize = 8;

impl Precedents {
    /// From now on every head is judged as if it were the first.
    pub(crate) fn turn_off(&mut self) {
        (self.off, self.slots) = (true, Vec::new());
    }

    /// How many heads were known.
    pub(crate) fn followed(&self) -> u64 {
        self.followed
    }

    pub(crate) fn follow(&mut self) {
        self.followed += 1;
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) {
        self.slots = Vec::new();
    }

    /// A head that was decided about under this policy and with these keys.
    pub(crate) fn find<'h>(
        &self,
        policy: &Rc<Policy>,
        rules: &Rules,
        epoch: u64,
        head: &Head<'h>,
        is_credential: &impl Fn(&[u8]) -> bool,
    ) -> Option<Known<'h>> {
        if self.slots.is_empty() {
            return None;
        }
        let tail = tail(rules, head.headers)?;
        for slot in self.slots.get(set(tail))? {
            if slot.tail == tail
                && let Some(precedent) = &slot.precedent
                && precedent.body == head.body
                && precedent.authenticated.token.is_kept()
                && precedent.is_under(policy, epoch)
                && let Some((path, same_path)) = precedent.knows(head.headers, is_credential)
            {
                return Some(Known { precedent: Rc::clone(precedent), path, same_path });
            }
        }
        None
    }

    /// Keeps one, in the place of one that says nothing any more, or else of any.
    pub(crate) fn keep(&mut self, rules: &Rules, headers: &Headers<'_>, precedent: Precedent, latest: u64) {
        let Some(tail) = tail(rules, headers).filter(|_| !self.off) else { return };
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); limits::PRECEDENTS];
        }
        let made = self.made;
        self.made = made.wrapping_add(1);
        let Some(ways) = self.slots.get_mut(set(tail)) else { return };
        let is_free = |slot: &Slot| {
            slot.precedent
                .as_ref()
                .is_none_or(|known| known.over <= latest || known.by.strong_count() == 0 || !known.authenticated.token.is_kept())
        };
        let place = ways.iter().position(is_free).unwrap_or(made % WAYS);
        if let Some(slot) = ways.get_mut(place) {
            *slot = Slot { tail, precedent: Some(Rc::new(precedent)) };
        }
    }
}

/// The end of the field that most likely has the token.
fn tail(rules: &Rules, headers: &Headers<'_>) -> Option<u64> {
    let name = rules.tokens.sources.first()?.header.as_bytes();
    let (_, value) = headers.iter().find(|(found, _)| same(found, name))?;
    Some(u64::from_ne_bytes(*value.last_chunk()?))
}

/// The places for what ends so.
fn set(tail: u64) -> std::ops::Range<usize> {
    const SETS: u64 = (limits::PRECEDENTS / WAYS) as u64;
    let mixed = tail.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let first = usize::try_from(mixed % SETS).unwrap_or(0) * WAYS;
    first..first + WAYS
}
