//! What is kept of one session, and its bytes.

use super::usage::Usage;
use crate::primitives::digest::Half;
use crate::primitives::limits;

/// A session's identity among what is shared: the first half of a keyed SHA-256 over issuer and session. Compared only.
pub(crate) type Id = Half;

/// Whose session it is: the beginning of a keyed SHA-256 over issuer and subject. Two subjects of one tag share their room.
pub(crate) type Tag = [u8; 4];

/// What a session was ended for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Too many denials in the window.
    Denials,
    /// It came from elsewhere.
    ContextChange,
    /// It was not used for too long.
    Idle,
}

impl Ending {
    /// As records name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Denials => "denials",
            Self::ContextChange => "context_change",
            Self::Idle => "idle",
        }
    }

    fn code(ending: Option<Self>) -> u8 {
        match ending {
            None => 0,
            Some(Self::Denials) => 1,
            Some(Self::ContextChange) => 2,
            Some(Self::Idle) => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Denials),
            2 => Some(Self::ContextChange),
            3 => Some(Self::Idle),
            _ => None,
        }
    }
}

/// What is kept of one session. Times are milliseconds of [`crate::SharedState::elapsed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    pub(crate) subject: Tag,
    pub(crate) ended: Option<Ending>,
    /// Until then it is kept: after that no token of the session that there was can be valid.
    pub(crate) keep_until: u64,
    /// The last use that was noted, by policies with an `idle_timeout`.
    pub(crate) used: Option<u64>,
    /// Where it came from when it was first seen by each kind of rules (their first byte): never two of a kind.
    pub(crate) contexts: Vec<Id>,
    /// When it was denied, the latest last.
    pub(crate) denials: Vec<u64>,
    /// For how long each of them is kept: the longest window of the policies that counted them.
    pub(crate) window: u64,
    /// What it has used of what its grants count.
    pub(crate) usage: Usage,
}

/// The bytes are not what a worker writes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What is to be done with a session's entry.
#[derive(Clone)]
pub(super) enum Change {
    Nothing,
    /// Nothing but a context that it has none of this kind of, that it was used, and how long it is kept.
    Note {
        context: Option<Id>,
        used: bool,
    },
    /// A denial, to be kept for so many milliseconds.
    Deny {
        window: u64,
    },
    /// What it has used by then.
    Use(Usage),
    End(Ending),
}

impl Entry {
    pub(super) fn new(id: Id, subject: Tag) -> Self {
        Self {
            id,
            subject,
            ended: None,
            keep_until: 0,
            used: None,
            contexts: Vec::new(),
            denials: Vec::new(),
            window: 0,
            usage: Usage::default(),
        }
    }

    /// The context that was taken by the same rules as this one. Others cannot be compared.
    pub(super) fn context_like(&self, context: &Id) -> Option<&Id> {
        self.contexts.iter().find(|known| known.first() == context.first())
    }

    pub(super) fn apply(&mut self, change: Change, now: u64) -> Option<Ending> {
        match change {
            Change::Nothing => {}
            Change::Note { context, used } => {
                self.contexts.extend(context);
                self.used = if used { Some(now) } else { self.used };
            }
            Change::Deny { window } => {
                let longest = self.window.max(window);
                self.denials.retain(|at| now.saturating_sub(*at) < longest);
                self.window = if self.denials.is_empty() { window } else { longest };
                // No policy counts more.
                let surplus = (self.denials.len() + 1).saturating_sub(usize::from(limits::DENIALS_COUNTED));
                self.denials.drain(..surplus);
                self.denials.push(now);
            }
            Change::Use(usage) => self.usage = usage,
            Change::End(ending) => {
                // Nothing else matters any more.
                *self = Self { ended: Some(ending), keep_until: self.keep_until, ..Self::new(self.id, self.subject) };
            }
        }
        self.ended
    }

    pub(super) fn size(&self) -> usize {
        size(self.used.is_some(), self.contexts.len(), self.denials.len()) + self.usage.size()
    }

    /// Bytes of what grows while it is known.
    pub(super) fn grown(&self) -> usize {
        TIME * self.denials.len() + self.usage.size()
    }

    /// Writes it after `bytes`. More contexts or denials than are ever kept are not written.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        let contexts = self.contexts.get(..self.contexts.len().min(limits::CONTEXTS)).unwrap_or_default();
        let denials = self.denials.get(..self.denials.len().min(usize::from(limits::DENIALS_COUNTED))).unwrap_or_default();
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.subject);
        put_time(bytes, self.keep_until);
        let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
        let used = if self.used.is_some() { USED } else { 0 };
        let usage = if self.usage.is_empty() { 0 } else { USAGE };
        bytes.push(Ending::code(self.ended) | used | usage | count(contexts.len()) << 4);
        bytes.push(count(denials.len()));
        self.used.into_iter().for_each(|used| put_time(bytes, used));
        contexts.iter().for_each(|context| bytes.extend_from_slice(context));
        if !denials.is_empty() {
            put_time(bytes, self.window);
            denials.iter().for_each(|at| put_time(bytes, *at));
        }
        self.usage.write(bytes);
    }
}

/// Bytes of an entry that holds nothing but that there is one.
const HEAD: usize = 16 + 4 + TIME + 1 + 1;
/// Bytes of a time: nine thousand years of milliseconds.
pub(super) const TIME: usize = 6;
/// In the byte that tells an entry's shape: a use is noted. Two bits below it tell its ending, four above it count its contexts.
const USED: u8 = 1 << 2;
/// The same for what it has used, which is at the end.
const USAGE: u8 = 1 << 3;

fn size(used: bool, contexts: usize, denials: usize) -> usize {
    let window = if denials == 0 { 0 } else { TIME };
    HEAD + if used { TIME } else { 0 } + 16 * contexts + window + TIME * denials
}

/// An entry as it lies among others.
pub(super) struct Raw<'b> {
    pub(super) id: Id,
    pub(super) subject: Tag,
    pub(super) keep_until: u64,
    shape: u8,
    denials: u8,
    /// Bytes of what it has used.
    usage: usize,
    /// Behind its head.
    rest: &'b [u8],
    pub(super) bytes: &'b [u8],
}

impl<'b> Raw<'b> {
    /// Takes the next one of some.
    pub(super) fn take(rest: &mut &'b [u8]) -> Result<Self, Malformed> {
        let whole = *rest;
        let (id, subject, keep_until) = (take::<16>(rest)?, take::<4>(rest)?, take_time(rest)?);
        let ([shape], [denials]) = (take::<1>(rest)?, take::<1>(rest)?);
        let contexts = usize::from(shape >> 4);
        if contexts > limits::CONTEXTS || denials > limits::DENIALS_COUNTED {
            return Err(Malformed);
        }
        let size = size(shape & USED != 0, contexts, usize::from(denials));
        let (_, behind) = whole.split_at_checked(size).ok_or(Malformed)?;
        let usage = if shape & USAGE == 0 { 0 } else { Usage::size_of(behind)? };
        let (bytes, after) = whole.split_at_checked(size + usage).ok_or(Malformed)?;
        let (_, behind) = bytes.split_at_checked(HEAD).ok_or(Malformed)?;
        *rest = after;
        Ok(Self { id, subject, keep_until, shape, denials, usage, rest: behind, bytes })
    }

    /// See [`Entry::grown`].
    pub(super) fn grown(&self) -> usize {
        TIME * usize::from(self.denials) + self.usage
    }

    /// Does it hold denials that were counted, and nothing else?
    pub(super) fn only_denials(&self) -> bool {
        self.shape == 0
    }

    pub(super) fn entry(&self) -> Result<Entry, Malformed> {
        let mut rest = self.rest;
        let used = if self.shape & USED == 0 { None } else { Some(take_time(&mut rest)?) };
        let contexts = (0..self.shape >> 4).map(|_| take::<16>(&mut rest)).collect::<Result<_, _>>()?;
        let window = if self.denials == 0 { 0 } else { take_time(&mut rest)? };
        let denials = (0..self.denials).map(|_| take_time(&mut rest)).collect::<Result<_, _>>()?;
        let usage = if self.shape & USAGE == 0 { Usage::default() } else { Usage::read(&mut rest)? };
        let ended = Ending::from_code(self.shape & 3);
        let Self { id, subject, keep_until, .. } = *self;
        Ok(Entry { id, subject, ended, keep_until, used, contexts, denials, window, usage })
    }
}

pub(super) fn put_time(bytes: &mut Vec<u8>, time: u64) {
    const LATEST: u64 = (1 << (8 * TIME)) - 1;
    bytes.extend(time.min(LATEST).to_le_bytes().into_iter().take(TIME));
}

pub(super) fn take_time(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let taken = take::<TIME>(rest)?;
    let mut whole = [0; 8];
    whole.iter_mut().zip(taken).for_each(|(to, from)| *to = from);
    Ok(u64::from_le_bytes(whole))
}

pub(super) fn take<const SIZE: usize>(rest: &mut &[u8]) -> Result<[u8; SIZE], Malformed> {
    let (taken, after) = rest.split_first_chunk::<SIZE>().ok_or(Malformed)?;
    *rest = after;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u8) -> Entry {
        let count = usize::from(number);
        Entry {
            ended: [None, Some(Ending::Denials), Some(Ending::ContextChange), Some(Ending::Idle)][count % 4],
            keep_until: u64::from(number) << 40,
            used: number.is_multiple_of(3).then_some(7),
            contexts: vec![[number; 16]; count % 9],
            denials: vec![9; count],
            window: if number == 0 { 0 } else { 60_000 },
            ..Entry::new([number; 16], [number; 4])
        }
    }

    fn bytes(entry: &Entry) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry.write(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        for number in 0..32 {
            let (entry, bytes) = (entry(number), bytes(&entry(number)));
            assert_eq!(bytes.len(), entry.size());
            let mut rest = bytes.as_slice();
            assert_eq!(Raw::take(&mut rest).unwrap().entry().unwrap(), entry);
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = bytes(&entry(3));
        for end in 0..good.len() {
            assert!(Raw::take(&mut &good[..end]).is_err(), "{end}");
        }
        for (at, other) in [(HEAD - 2, 9 << 4), (HEAD - 1, limits::DENIALS_COUNTED + 1)] {
            let mut bad = good.clone();
            bad.resize(1000, 0);
            bad[at] = other;
            assert!(Raw::take(&mut bad.as_slice()).is_err(), "{other}");
        }
    }

    #[test]
    fn a_denial_is_kept_for_the_longest_window_that_it_was_counted_by() {
        let mut entry = Entry::new([1; 16], [1; 4]);
        for (now, window) in [(0, 1000), (999, 1000), (1500, 10_000), (9000, 1000), (9001, 1000)] {
            entry.apply(Change::Deny { window }, now);
        }
        assert_eq!(entry.denials, [0, 999, 1500, 9000, 9001]);
        entry.apply(Change::Deny { window: 1000 }, 40_000);
        assert_eq!((entry.denials.as_slice(), entry.window), ([40_000].as_slice(), 1000));
        for now in 0..100 {
            entry.apply(Change::Deny { window: 1000 }, 40_000 + now);
        }
        assert_eq!(entry.denials.len(), usize::from(limits::DENIALS_COUNTED));
        assert_eq!(entry.denials.last(), Some(&40_099));
    }
}
