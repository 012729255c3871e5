//! How a session's entry is found and changed among what the workers share, by compare-and-swap alone.
//!
//! A session has a few shards. Its entry is put into the first that does not say that it has overflowed, so that two workers that put
//! it at the same time always want the same shard, and one of them is told to look again. A shard says so before anything that
//! belongs there is put elsewhere, and for longer than that is kept.

use std::rc::Rc;

use super::entry::{Change, Ending, Entry};
use super::key::{Key, Spot};
use super::shard::{Lack, Shard};
use super::{Sessions, SharedState, StateQuery, Stop, Unavailable, milliseconds};
use crate::primitives::digest::hash;
use crate::primitives::limits;
use crate::primitives::reason::Reason;

/// Where the key of the hash is. The number is that of all these bytes' form.
const KEY: &str = "chaperone/state/1/key";
/// Is there once any session was ended.
const MARKER: &str = "chaperone/state/1/ended";

/// A shard as it was read.
struct Read {
    key: String,
    shard: Shard,
    version: Option<u32>,
}

impl Read {
    fn of(shared: &dyn SharedState, number: u8) -> Result<Self, Stop> {
        let key = format!("chaperone/state/1/{number:02x}");
        Ok(match shared.get(&key)? {
            Some((bytes, version)) => Self { key, shard: Shard::read(&bytes)?, version: Some(version) },
            None => Self { key, shard: Shard::default(), version: None },
        })
    }

    /// False when another worker was quicker.
    fn put(&self, shared: &dyn SharedState) -> Result<bool, Unavailable> {
        shared.put(&self.key, &self.shard.write(), self.version)
    }
}

/// Where a session's entry is, or is to be put.
struct Home {
    /// The shards before it, which have overflowed.
    earlier: Vec<Read>,
    at: Read,
    last: bool,
    /// It may be over; it is put there again all the same, as another worker may not think so yet.
    entry: Option<Entry>,
}

impl Home {
    fn find(shared: &dyn SharedState, spot: &Spot, now: u64) -> Result<Self, Stop> {
        let mut earlier = Vec::new();
        let mut shards = spot.shards.into_iter().peekable();
        while let Some(number) = shards.next() {
            let (at, last) = (Read::of(shared, number)?, shards.peek().is_none());
            let entry = at.shard.find(&spot.id)?;
            if last || entry.is_some() || at.shard.overflowed_until <= now {
                return Ok(Self { earlier, at, last, entry });
            }
            earlier.push(at);
        }
        Err(Reason::InternalError.into())
    }
}

impl Sessions {
    pub(super) fn shared(&self) -> Result<Rc<dyn SharedState>, Stop> {
        self.shared.as_ref().map(Rc::clone).ok_or_else(|| Reason::InternalError.into())
    }

    /// The key of the hash; `None` while nobody has written anything.
    fn key(&mut self, shared: &dyn SharedState) -> Result<Option<Key>, Stop> {
        if self.key.is_none()
            && let Some((bytes, _)) = shared.get(KEY)?
        {
            self.key = Some(Key::read(&bytes)?);
        }
        Ok(self.key)
    }

    /// A key for another purpose, of the one that the workers share; made where there is none yet.
    pub(crate) fn derived_key(&mut self, purpose: &[u8]) -> Result<[u8; 32], Stop> {
        let shared = self.shared()?;
        for _ in 0..limits::SHARED_RETRIES {
            if let Some(key) = self.key(&*shared)? {
                return Ok(hash(&[key.bytes(), purpose]));
            }
            let proposed = self.proposed;
            self.key = shared.put(KEY, proposed.bytes(), None)?.then_some(proposed);
        }
        Err(Reason::Overloaded.into())
    }

    /// Changes the session's entry as `decide` says of what is there; tells what it was ended for by then. Others may be quicker
    /// a bounded number of times. A denial that there is no room for ends its session, or shuts out what is not known.
    pub(super) fn change(
        &mut self,
        query: &StateQuery<'_>,
        decide: impl Fn(Option<&Entry>, u64) -> Result<Change, Stop>,
    ) -> Result<Option<Ending>, Stop> {
        let shared = self.shared()?;
        for _ in 0..limits::SHARED_RETRIES {
            let now = milliseconds(&*shared)?;
            let Some(key) = self.key(&*shared)? else {
                if matches!(decide(None, now)?, Change::Nothing) {
                    return Ok(None);
                }
                let proposed = self.proposed;
                self.key = shared.put(KEY, proposed.bytes(), None)?.then_some(proposed);
                continue;
            };
            let spot = query.key.spot(&key, query.claims);
            let subject = || query.key.subject(&key, query.claims);
            let mut home = Home::find(&*shared, &spot, now)?;
            let known = home.entry.as_ref().filter(|entry| entry.keep_until > now);
            let change = decide(known, now)?;
            let mut shut = false;
            if known.is_none() {
                for read in home.earlier.iter().chain([&home.at]) {
                    shut |= read.shard.is_shut(subject, || Ok::<_, Stop>(now))?;
                }
            }
            let is_denial = match change {
                Change::Nothing | Change::Note { .. } | Change::Use(_) if shut => return Err(Reason::Overloaded.into()),
                Change::Nothing => return Ok(None),
                Change::Note { .. } | Change::Use(_) => false,
                Change::Deny { .. } | Change::End(_) => true,
            };
            let was = known.map(Entry::size);
            let mut entry = known.cloned().unwrap_or_else(|| Entry::new(spot.id, subject()));
            let mut ended = entry.apply(change, now);
            entry.keep_until = self.keep_until(query, &entry, now);
            let shard = &mut home.at.shard;
            shard.clear(&spot.id, now)?;
            let lack = match was {
                _ if shut => Some(Lack::Share),
                None if !home.last => shard.lack(&entry, was)?,
                _ => shard.make_room(&entry, was)?,
            };
            match (lack, was) {
                (None, _) => {}
                (Some(Lack::Room), None) if !home.last => {
                    shard.overflowed_until = shard.overflowed_until.max(overflow(&entry, now));
                    home.at.put(&*shared)?;
                    continue;
                }
                (Some(_), Some(_)) if is_denial => {
                    ended = entry.apply(Change::End(Ending::Denials), now);
                    entry.keep_until = self.keep_until(query, &entry, now);
                }
                (Some(lack), None) if is_denial => {
                    match lack {
                        Lack::Share => shard.shut_for(subject(), entry.keep_until),
                        Lack::Room => shard.shut_for_all(entry.keep_until),
                    }
                    match home.at.put(&*shared)? {
                        true => return Ok(None),
                        false => continue,
                    }
                }
                (Some(_), _) => return Err(Reason::Overloaded.into()),
            }
            shard.put(&entry);
            if !keep_overflowed(&*shared, &mut home.earlier, &entry, now)? {
                continue;
            }
            if ended.is_some() {
                // Before the ending itself: whoever looks for it must know to look.
                mark(&*shared)?;
                self.marked = true;
            }
            if home.at.put(&*shared)? {
                return Ok(ended);
            }
        }
        Err(Reason::Overloaded.into())
    }

    /// How long it is kept: a sixteenth longer, so that not every request has to lengthen that. What another policy has said is
    /// not shortened.
    fn keep_until(&self, query: &StateQuery<'_>, entry: &Entry, now: u64) -> u64 {
        let needed = query.needed_until(self.longest_lifetime, entry, now);
        entry.keep_until.max(needed.saturating_add(needed.saturating_sub(now) / 16))
    }

    /// The session's entry as the last sweep has found it, or would have.
    pub(super) fn swept(&mut self, query: &StateQuery<'_>) -> Result<Option<Entry>, Stop> {
        let shared = self.shared()?;
        if self.keyless {
            return Ok(None);
        }
        let Some(key) = self.key(&*shared)? else {
            self.keyless = true;
            return Ok(None);
        };
        let spot = query.key.spot(&key, query.claims);
        for number in spot.shards {
            let shard = match self.swept.get(&number) {
                Some(shard) => Rc::clone(shard),
                None => {
                    let shard = Rc::new(Read::of(&*shared, number)?.shard);
                    self.swept.insert(number, Rc::clone(&shard));
                    shard
                }
            };
            if let Some(entry) = shard.find(&spot.id)? {
                return Ok(Some(entry));
            }
            if shard.is_shut(|| query.key.subject(&key, query.claims), || milliseconds(&*shared))? {
                return Err(Reason::Overloaded.into());
            }
            // Whether that is over by now takes a look at the time, and no harm is done by looking further.
            if shard.overflowed_until == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// What is asked of this session next is read anew.
    pub(crate) fn forget_swept(&mut self, query: &StateQuery<'_>) {
        self.keyless = false;
        if let Some(key) = &self.key {
            query.key.spot(key, query.claims).shards.iter().for_each(|number| drop(self.swept.remove(number)));
        }
    }

    /// Was any session ended? Only reads: a configuration may be a trial.
    pub(super) fn look_for_endings(&mut self) {
        self.marked |= match self.shared.as_ref().map(|shared| shared.get(MARKER)) {
            None | Some(Ok(None)) => false,
            Some(Ok(Some(_)) | Err(Unavailable)) => true,
        };
    }
}

/// Until when a shard says that it has overflowed, where this entry is put elsewhere.
fn overflow(entry: &Entry, now: u64) -> u64 {
    entry.keep_until.saturating_add(entry.keep_until.saturating_sub(now) / 4).saturating_add(limits::OVERFLOW_MILLISECONDS)
}

/// Has the shards before the entry's say that they have overflowed for longer than it is kept; false when another worker was
/// quicker.
///
/// Longer by a minute: a worker that read the time before another one finds that over would have to stand still for a minute,
/// and for as long as the entry is kept, to put in what the other one does not look for.
fn keep_overflowed(shared: &dyn SharedState, earlier: &mut [Read], entry: &Entry, now: u64) -> Result<bool, Unavailable> {
    for read in earlier {
        if read.shard.overflowed_until < entry.keep_until.saturating_add(limits::OVERFLOW_MILLISECONDS) {
            read.shard.overflowed_until = overflow(entry, now);
            if !read.put(shared)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Says that something was ended. That another worker is quicker is as good.
fn mark(shared: &dyn SharedState) -> Result<(), Unavailable> {
    if shared.get(MARKER)?.is_none() {
        shared.put(MARKER, b"1", None)?;
    }
    Ok(())
}
