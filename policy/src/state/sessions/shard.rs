//! A shard: what is kept of some sessions, as bytes that all workers of a proxy read and write, and who gets room in it.

use std::collections::BTreeMap;

use super::entry::{Entry, Id, Malformed, Raw, TIME, Tag, put_time, take, take_time};
use crate::primitives::limits;

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

    /// What this entry lacks, which is not there; `was` its size before, if it was known. A subject's sessions hold a small
    /// share, or as much as is free for all others together. What is known may grow into room that is kept from new ones, of
    /// which a subject's denials and uses, not its sessions, take such a share.
    pub(super) fn lack(&self, entry: &Entry, was: Option<usize>) -> Result<Option<Lack>, Malformed> {
        let size = entry.size();
        if was.is_some_and(|was| size <= was) {
            return Ok(None);
        }
        let is_new = was.is_none();
        let (room, share) = match is_new {
            true => (ENTRIES - limits::GROWTH_BYTES, limits::SUBJECT_BYTES),
            false => (ENTRIES, limits::GROWTH_BYTES / 4),
        };
        let after = self.entries.len() + size;
        let counted = |size: usize, grown: usize| if is_new { size } else { grown };
        let mut held = counted(size, entry.grown());
        for raw in self.all() {
            let raw = raw?;
            let theirs = raw.subject == entry.subject;
            held += if theirs { counted(raw.bytes.len(), raw.grown()) } else { 0 };
        }
        Ok(match held > share.max(room.saturating_sub(after)) {
            true => Some(Lack::Share),
            false => (after > room).then_some(Lack::Room),
        })
    }

    /// Makes room for this entry by what matters least: the sessions of which only denials are known, of the subject that holds
    /// the most. That subject pays for it: until those denials no longer count, a session of it that is not known is not let in.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::sessions::entry::Ending;

    fn entry(id: u16, subject: u8) -> Entry {
        let mut whole = [0; 16];
        whole[..2].copy_from_slice(&id.to_le_bytes());
        Entry { keep_until: 1000, ..Entry::new(whole, [subject; 4]) }
    }

    fn denied(id: u16, subject: u8) -> Entry {
        Entry { denials: vec![5], window: 9, ..entry(id, subject) }
    }

    fn shut(shard: &Shard, subject: u8, now: u64) -> bool {
        shard.is_shut(|| [subject; 4], || Ok::<_, ()>(now)).unwrap()
    }

    /// Puts in so many, each if it lacks nothing.
    fn put(shard: &mut Shard, entries: impl Iterator<Item = Entry>) -> usize {
        entries.filter(|entry| shard.lack(entry, None).unwrap().is_none().then(|| shard.put(entry)).is_some()).count()
    }

    #[test]
    fn what_is_written_is_read_and_other_bytes_are_refused() {
        let mut shard = Shard { overflowed_until: 7, shut_until: 8, shut: vec![([1; 4], 9), ([2; 4], 10)], entries: Vec::new() };
        put(&mut shard, (0..9).map(|id| denied(id, 3)));
        let good = shard.write();
        assert_eq!(Shard::read(&good).unwrap(), shard);
        assert_eq!(shard.find(&denied(4, 3).id).unwrap(), Some(denied(4, 3)));
        assert_eq!(shard.find(&denied(9, 3).id).unwrap(), None);
        let whole = denied(0, 3).size();
        for end in 0..good.len() {
            let read = Shard::read(&good[..end]).and_then(|shard| shard.find(&denied(0, 3).id));
            let between = end >= HEADER + 2 * SHUT && (end - HEADER - 2 * SHUT).is_multiple_of(whole);
            assert_eq!(read.is_ok(), between, "{end}");
        }
        assert_eq!(Shard::read(&[]), Err(Malformed));
        let mut long = Shard::default().write();
        long.resize(limits::SHARD_BYTES, 0);
        assert_eq!(Shard::read(&long), Err(Malformed));
        let mut many = good;
        many[HEADER - 1] = 17;
        assert_eq!(Shard::read(&many), Err(Malformed));
    }

    #[test]
    fn one_subject_holds_as_much_as_it_leaves_free_and_what_is_known_may_grow() {
        let used = |id: u16, subject| Entry { used: Some(1), ..entry(id, subject) };
        let mut shard = Shard::default();
        put(&mut shard, (0..1000).map(|id| used(id, 1)));
        let half = shard.entries.len();
        assert!((ENTRIES / 2 - 1100..ENTRIES / 2).contains(&half), "{half}");
        assert_eq!(shard.lack(&used(1000, 1), None).unwrap(), Some(Lack::Share));
        assert_eq!(shard.lack(&used(1000, 2), None).unwrap(), None);
        // Each of many has its small share, until nothing is left but what is kept for those that are known.
        for subject in 2..40 {
            put(&mut shard, (0..1000).map(|id| used(u16::from(subject) * 1000 + id, subject)));
        }
        assert_eq!(shard.lack(&used(1, 41), None).unwrap(), Some(Lack::Room));
        // The denials of one subject's sessions take as much of that as they leave to others.
        let mut grow = |id: u16, subject| {
            let known = used(id, subject);
            shard.clear(&known.id, 6).unwrap();
            let grown = Entry { denials: vec![5; 20], window: 9, ..known.clone() };
            let lack = shard.lack(&grown, Some(known.size())).unwrap();
            shard.put(if lack.is_none() { &grown } else { &known });
            lack
        };
        let grown: Vec<_> = (0..10).map(|id| grow(id, 1)).take_while(Option::is_none).collect();
        assert!((2..6).contains(&grown.len()), "{}", grown.len());
        assert_eq!(grow(9, 1), Some(Lack::Share));
        assert_eq!(grow(2000, 2), None);
        assert!(shard.write().len() <= limits::SHARD_BYTES);
    }

    #[test]
    fn room_is_made_by_what_only_was_denied_of_the_subject_that_holds_the_most_and_it_pays_for_that() {
        let mut shard = Shard::default();
        let ended = Entry { ended: Some(Ending::Denials), ..entry(1, 1) };
        let used = Entry { used: Some(1), denials: vec![5], window: 9, ..entry(2, 1) };
        let bound = Entry { contexts: vec![[1; 16]], denials: vec![5], window: 9, ..entry(3, 1) };
        let kept = [ended, used, bound];
        kept.iter().for_each(|entry| shard.put(entry));
        put(&mut shard, (100..1000).map(|id| denied(id, 1)));
        for subject in 2..40 {
            put(&mut shard, (0..1000).map(|id| denied(u16::from(subject) * 1000 + id, subject)));
        }
        let new = denied(1, 50);
        assert_eq!(shard.lack(&new, None).unwrap(), Some(Lack::Room));
        assert_eq!(shard.make_room(&new, None).unwrap(), None);
        kept.iter().for_each(|entry| assert_eq!(shard.find(&entry.id).unwrap().as_ref(), Some(entry)));
        assert_eq!(shard.find(&denied(100, 1).id).unwrap(), None);
        assert!(shard.find(&denied(2000, 2).id).unwrap().is_some(), "another subject's");
        assert!(shut(&shard, 1, 999) && !shut(&shard, 1, 1000) && !shut(&shard, 2, 999));
        // What is ended, bound or used makes room for nothing.
        let mut shard = Shard::default();
        put(&mut shard, (0..10_000).map(|id| Entry { ended: Some(Ending::Idle), ..entry(id, u8::try_from(id % 256).unwrap()) }));
        let full = shard.write();
        assert_eq!(shard.make_room(&denied(10_000, 3), None).unwrap(), Some(Lack::Room));
        assert_eq!(shard.write(), full);
    }

    #[test]
    fn where_more_subjects_are_shut_out_than_are_noted_all_are() {
        let mut shard = Shard::default();
        for subject in 0..16 {
            shard.shut_for([subject; 4], 100);
        }
        assert!(shut(&shard, 3, 99) && !shut(&shard, 20, 99));
        shard.shut_for([16; 4], 50);
        assert!(shut(&shard, 16, 49) && shut(&shard, 20, 49) && !shut(&shard, 20, 50));
        shard.clear(&[0; 16], 100).unwrap();
        assert!(shard.shut.is_empty());
    }
}
