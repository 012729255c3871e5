//! A shard: what is kept of some sessions, as bytes that all workers of a proxy read and write, and who gets room in it.

use std::collections::BTreeMap;

use super::entry::{Entry, Id, Malformed, Raw, TIME, Tag, put_time, take, take_time};
use crate::limits;

/// The entries stay bytes: a request wants one of some hundreds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shard {
    /// Until then a session that is not in it may be in the next of its shards.
    pub(super) overflowed_until: u64,
    /// Until then a session that is not in it may be one whose denial there was no room for.
    shut_until: u64,
    /// The same for the sessions of single subjects.
    shut: Vec<(Tag, u64)>,
    entries: Vec<u8>,
}

/// What an entry would need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Its subject holds as much as one may.
    Share,
    Room,
}

const HEADER: usize = 2 * TIME + 1;
const SHUT: usize = 4 + TIME;
/// Bytes that all entries may have together.
const ENTRIES: usize = limits::SHARD_BYTES - HEADER - limits::SHUT_SUBJECTS * SHUT;

impl Shard {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut rest = bytes;
        let (overflowed_until, shut_until, [count]) = (take_time(&mut rest)?, take_time(&mut rest)?, take::<1>(&mut rest)?);
        if usize::from(count) > limits::SHUT_SUBJECTS {
            return Err(Malformed);
        }
        let shut = (0..count).map(|_| Ok((take::<4>(&mut rest)?, take_time(&mut rest)?))).collect::<Result<_, _>>()?;
        if rest.len() > ENTRIES {
            return Err(Malformed);
        }
        Ok(Self { overflowed_until, shut_until, shut, entries: rest.to_vec() })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + SHUT * self.shut.len() + self.entries.len());
        put_time(&mut bytes, self.overflowed_until);
        put_time(&mut bytes, self.shut_until);
        bytes.push(u8::try_from(self.shut.len()).unwrap_or(u8::MAX));
        for (subject, until) in &self.shut {
            bytes.extend_from_slice(subject);
            put_time(&mut bytes, *until);
        }
        bytes.extend_from_slice(&self.entries);
        bytes
    }

    fn all(&self) -> impl Iterator<Item = Result<Raw<'_>, Malformed>> {
        let mut rest = self.entries.as_slice();
        std::iter::from_fn(move || (!rest.is_empty()).then(|| Raw::take(&mut rest)))
    }

    /// Reads the others, too: of bytes that are no shard nothing is believed.
    pub(super) fn find(&self, id: &Id) -> Result<Option<Entry>, Malformed> {
        let mut found = None;
        for raw in self.all() {
            let raw = raw?;
            if raw.id == *id && found.is_none() {
                found = Some(raw.entry()?);
            }
        }
        Ok(found)
    }

    /// Takes out what is over, and this session.
    pub(super) fn clear(&mut self, id: &Id, now: u64) -> Result<(), Malformed> {
        self.shut.retain(|(_, until)| *until > now);
        self.keep(|raw| raw.keep_until > now && raw.id != *id)
    }

    fn keep(&mut self, stays: impl Fn(&Raw<'_>) -> bool) -> Result<(), Malformed> {
        let mut kept = Vec::with_capacity(limits::SHARD_BYTES.min(self.entries.len() + 256));
        for raw in self.all() {
            let raw = raw?;
            if stays(&raw) {
                kept.extend_from_slice(raw.bytes);
            }
        }
        self.entries = kept;
        Ok(())
    }

    /// Puts in an entry that is not there, whatever it lacks.
    pub(super) fn put(&mut self, entry: &Entry) {
        entry.write(&mut self.entries);
    }

    /// What this entry lacks, which is not there; `was` its size before, if it was known. What is known may grow into room that is
    /// kept from new ones, and a subject holds a small share, or as much as is free for all others together.
    pub(super) fn lack(&self, entry: &Entry, was: Option<usize>) -> Result<Option<Lack>, Malformed> {
        let size = entry.size();
        if was.is_some_and(|was| size <= was) {
            return Ok(None);
        }
        let (room, share) = match was {
            None => (ENTRIES - limits::GROWTH_BYTES, limits::SUBJECT_BYTES),
            Some(_) => (ENTRIES, limits::SUBJECT_BYTES + limits::GROWTH_BYTES / 4),
        };
        let after = self.entries.len() + size;
        let mut held = size;
        for raw in self.all() {
            let raw = raw?;
            held += if raw.subject == entry.subject { raw.bytes.len() } else { 0 };
        }
        Ok(if held > share.max(room.saturating_sub(after)) { Some(Lack::Share) } else { (after > room).then_some(Lack::Room) })
    }

    /// Makes room for this entry by what matters least: the sessions of which only denials are known, of the subject that holds the
    /// most. That subject pays for it: until those denials no longer count, a session of it that is not known is not let in.
    pub(super) fn make_room(&mut self, entry: &Entry, was: Option<usize>) -> Result<Option<Lack>, Malformed> {
        loop {
            let lack = self.lack(entry, was)?;
            if lack != Some(Lack::Room) {
                return Ok(lack);
            }
            // Of each subject, what it holds and until when the denials count that could be forgotten.
            let mut held: BTreeMap<Tag, (usize, u64)> = BTreeMap::new();
            for raw in self.all() {
                let raw = raw?;
                let (bytes, until) = held.entry(raw.subject).or_default();
                *bytes += raw.bytes.len();
                *until = (*until).max(if raw.only_denials() { raw.keep_until } else { 0 });
            }
            let most = held.into_iter().filter(|(_, (_, until))| *until > 0).max_by_key(|(_, (bytes, _))| *bytes);
            let Some((subject, (_, until))) = most else { return Ok(lack) };
            if self.shut.len() >= limits::SHUT_SUBJECTS && self.shut.iter().all(|(other, _)| *other != subject) {
                return Ok(lack);
            }
            self.shut_for(subject, until);
            self.keep(|raw| raw.subject != subject || !raw.only_denials())?;
        }
    }

    /// From now on the subject's sessions that are not known are not let in.
    pub(super) fn shut_for(&mut self, subject: Tag, until: u64) {
        if let Some((_, known)) = self.shut.iter_mut().find(|(other, _)| *other == subject) {
            *known = until.max(*known);
        } else if self.shut.len() < limits::SHUT_SUBJECTS {
            self.shut.push((subject, until));
        } else {
            self.shut_for_all(until);
        }
    }

    /// From now on no session is let in that is not known.
    pub(super) fn shut_for_all(&mut self, until: u64) {
        self.shut_until = self.shut_until.max(until);
    }

    /// May a denial of a session of the subject that is not in it have been forgotten? Nothing is asked where that is plain.
    pub(super) fn is_shut<E>(&self, subject: impl Fn() -> Tag, now: impl FnOnce() -> Result<u64, E>) -> Result<bool, E> {
        if self.shut_until == 0 && self.shut.is_empty() {
            return Ok(false);
        }
        let now = now()?;
        Ok(self.shut_until > now || self.shut.iter().any(|(other, until)| *until > now && *other == subject()))
    }
}
