//! Sessions that end for what they do, or leave undone: too many denials, another place, idleness. What the workers of a proxy
//! know of that they share; an ending is never taken back, and where it cannot be known the request is denied.

mod rules;
mod shard;
mod shared;

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use sha2::{Digest as _, Sha256};

use crate::claims::Claims;
use crate::limits;
use crate::reason::Reason;

pub(crate) use rules::{Missing, StateRules};
pub(crate) use shard::{Ending, Entry, Id};
pub use shared::{LocalState, SharedState, Unavailable};

/// A session's place among what is shared, computed when it is first needed.
#[derive(Debug, Default)]
pub(crate) struct Place(OnceCell<Id>);

impl Place {
    fn of(&self, claims: &Claims) -> Id {
        *self.0.get_or_init(|| digest(&[claims.issuer.as_bytes(), claims.session.as_bytes()]))
    }
}

/// The first half of a SHA-256 over the parts, each with its length: nobody can make two lists alike.
fn digest(parts: &[&[u8]]) -> Id {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut id = Id::default();
    id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    id
}

/// Why a session may not go on, and whether it was ended just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) reason: Reason,
    pub(crate) ended_now: Option<Ending>,
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self { reason, ended_now: None }
    }
}

impl From<Unavailable> for Stop {
    fn from(_: Unavailable) -> Self {
        Reason::InternalError.into()
    }
}

impl From<shard::Malformed> for Stop {
    fn from(_: shard::Malformed) -> Self {
        Reason::InternalError.into()
    }
}

fn reason_of(ending: Ending) -> Reason {
    match ending {
        Ending::Denials | Ending::ContextChange => Reason::SessionEnded,
        Ending::Idle => Reason::Idle,
    }
}

/// Whose state is asked for, by which rules.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// The policy's name: its sessions are nobody else's.
    pub(crate) policy: &'a str,
    pub(crate) rules: &'a StateRules,
    /// The longest that a token can still be valid, in seconds.
    pub(crate) lifetime: u64,
    pub(crate) claims: &'a Claims,
    pub(crate) place: &'a Place,
}

impl Asked<'_> {
    fn id(&self) -> Id {
        self.place.of(self.claims)
    }

    fn key(&self) -> String {
        let [first, ..] = self.id();
        format!("chaperone/{}/{first:02x}", self.policy)
    }

    /// How long an entry must be kept from now on, in milliseconds of the proxy's own time: as long as any token that is valid
    /// now, and as long as denials count. One that is ended for a day at least: a later policy may let tokens live longer.
    fn needed_until(&self, now: u64, ended: bool) -> u64 {
        let window = self.rules.denials.map_or(0, |denials| denials.within);
        let longest = self.lifetime.max(window).max(if ended { limits::ENDING_SECONDS } else { 0 });
        now.saturating_add(longest.saturating_mul(1000))
    }

    /// How long it is kept: a sixteenth longer, so that not every request has to lengthen that.
    fn keep_until(&self, now: u64, ended: bool) -> u64 {
        let needed = self.needed_until(now, ended);
        needed.saturating_add(needed.saturating_sub(now) / 16)
    }

    /// Is it to be kept longer than is said so far? An issuer may give a session one token after another.
    fn is_to_keep(&self, entry: &Entry, now: u64) -> bool {
        entry.keep_until < self.needed_until(now, entry.ended.is_some())
    }
}

/// What one worker does with the shared state.
#[derive(Default)]
pub(crate) struct Sessions {
    shared: Option<Rc<dyn SharedState>>,
    /// Policies under which something may have been ended that their rules no longer ask for.
    marked: BTreeSet<Box<str>>,
    /// The others. A worker may follow an update a moment before another one ends the first session.
    unmarked: BTreeSet<Box<str>>,
    /// What the last sweep over the open streams has read.
    swept: HashMap<String, Rc<[Entry]>>,
}

impl Sessions {
    pub(crate) fn share(&mut self, shared: Rc<dyn SharedState>) {
        self.shared = Some(shared);
    }

    /// Looks whether sessions were ended under a policy of this name, now and with each sweep until there are some. Only reads: a
    /// configuration may be a trial.
    pub(crate) fn adopt(&mut self, policy: &str) {
        match self.shared.as_ref().map(|shared| shared.get(&marker(policy))) {
            Some(Ok(None)) => drop(self.unmarked.insert(policy.into())),
            Some(Ok(Some(_)) | Err(Unavailable)) => self.is_to_ask(policy),
            None => {}
        }
    }

    fn is_to_ask(&mut self, policy: &str) {
        self.unmarked.remove(policy);
        self.marked.insert(policy.into());
    }

    /// Must the state be asked, though the rules of the policy want nothing of it?
    pub(crate) fn is_marked(&self, policy: &str) -> bool {
        !self.marked.is_empty() && self.marked.contains(policy)
    }

    /// From now on open streams are judged by what is read anew, and so is whether any session was ended.
    pub(crate) fn sweep(&mut self) {
        self.swept.clear();
        let Some(shared) = &self.shared else { return };
        let found: Vec<_> =
            self.unmarked.iter().filter(|policy| matches!(shared.get(&marker(policy)), Ok(Some(_)))).cloned().collect();
        found.iter().for_each(|policy| self.is_to_ask(policy));
    }

    /// A request of the session, from this context: may it go on?
    pub(crate) fn enter(&mut self, asked: &Asked<'_>, context: Option<Id>) -> Result<(), Stop> {
        let rules = asked.rules;
        let ended_before = Cell::new(false);
        self.change(asked, |entry, now| match entry {
            Some(entry) => {
                if let Some(ending) = entry.ended {
                    ended_before.set(true);
                    return if asked.is_to_keep(entry, now) { Ok(Change::Keep) } else { Err(reason_of(ending).into()) };
                }
                if rules.is_idle(now.saturating_sub(entry.used)) {
                    return Ok(Change::End(Ending::Idle));
                }
                Ok(match context {
                    // The rules have changed, not the place.
                    Some(context) if !rules::by_same_rules(&context, &entry.context) => Change::Begin(context),
                    Some(context) if context != entry.context => Change::End(Ending::ContextChange),
                    Some(_) | None if rules.is_use_to_note(now.saturating_sub(entry.used)) => Change::Use,
                    Some(_) | None if asked.is_to_keep(entry, now) => Change::Keep,
                    Some(_) | None => Change::Nothing,
                })
            }
            None if rules.idle_timeout.is_some() || context.is_some() => Ok(Change::Begin(context.unwrap_or_default())),
            None => Ok(Change::Nothing),
        })
        .and_then(|ended| {
            let stop = |ending| Stop { reason: reason_of(ending), ended_now: Some(ending).filter(|_| !ended_before.get()) };
            ended.map(stop).map_or(Ok(()), Err)
        })
    }

    /// A denial of the session for what it wanted to do. Tells what it was ended for, if that was one too many.
    pub(crate) fn denied(&mut self, asked: &Asked<'_>) -> Option<Ending> {
        let rules = asked.rules.denials?;
        self.change(asked, |entry, now| {
            let window = rules.within.saturating_mul(1000);
            let earlier =
                entry.into_iter().flat_map(|entry| &entry.denials).filter(|at| now.saturating_sub(**at) < window).count();
            Ok(match entry {
                Some(entry) if entry.ended.is_some() => Change::Nothing,
                Some(_) | None if earlier + 1 >= usize::from(rules.count) => Change::End(Ending::Denials),
                Some(_) | None => Change::Deny { window },
            })
        })
        .ok()
        .flatten()
    }

    /// May a stream of the session that is open go on? `moved`: a piece of it has just come, which is use of the session.
    pub(crate) fn stays(&mut self, asked: &Asked<'_>, moved: bool) -> Result<(), Stop> {
        let shared = Rc::clone(self.shared.as_ref().ok_or(Reason::InternalError)?);
        let (key, id) = (asked.key(), asked.id());
        let entries = match self.swept.get(&key) {
            Some(entries) => Rc::clone(entries),
            None => {
                let bytes = shared.get(&key)?.map(|(bytes, _)| bytes).unwrap_or_default();
                let entries: Rc<[Entry]> = shard::read(&bytes)?.into();
                self.swept.insert(key.clone(), Rc::clone(&entries));
                entries
            }
        };
        let Some(entry) = entries.iter().find(|entry| entry.id == id) else {
            // Its policy had no `idle_timeout` when it was admitted: its time begins now.
            if asked.rules.idle_timeout.is_some() {
                self.swept.remove(&key);
                self.change(asked, |entry, _| Ok(entry.map_or(Change::Begin(Id::default()), |_| Change::Nothing)))?;
            }
            return Ok(());
        };
        if let Some(ending) = entry.ended {
            return Err(reason_of(ending).into());
        }
        if asked.rules.idle_timeout.is_none() {
            return Ok(());
        }
        let idle = milliseconds(&*shared)?.saturating_sub(entry.used);
        if asked.rules.is_idle(idle) || (moved && asked.rules.is_use_to_note(idle)) {
            // By what is shared now, not by what was read a while ago.
            self.swept.remove(&key);
            if moved && !asked.rules.is_idle(idle) {
                return self.enter(asked, None);
            }
            let ended = self.change(asked, |entry, now| {
                Ok(match entry {
                    Some(entry) if entry.ended.is_none() && asked.rules.is_idle(now.saturating_sub(entry.used)) => {
                        Change::End(Ending::Idle)
                    }
                    Some(_) | None => Change::Nothing,
                })
            })?;
            if let Some(ending) = ended {
                return Err(Stop { reason: reason_of(ending), ended_now: Some(ending) });
            }
        }
        Ok(())
    }

    /// Changes the session's entry as `decide` says of what is there, by compare-and-swap; tells what it was ended for by this
    /// very change. Others may be quicker a bounded number of times.
    fn change(
        &mut self,
        asked: &Asked<'_>,
        decide: impl Fn(Option<&Entry>, u64) -> Result<Change, Stop>,
    ) -> Result<Option<Ending>, Stop> {
        let shared = Rc::clone(self.shared.as_ref().ok_or(Reason::InternalError)?);
        let (key, id) = (asked.key(), asked.id());
        for _ in 0..limits::SHARED_RETRIES {
            let now = milliseconds(&*shared)?;
            let (bytes, version) = match shared.get(&key)? {
                Some((bytes, version)) => (bytes, Some(version)),
                None => (Vec::new(), None),
            };
            let mut entries = shard::read(&bytes)?;
            let place = entries.iter().position(|entry| entry.id == id && entry.keep_until > now);
            let change = decide(place.and_then(|place| entries.get(place)), now)?;
            if matches!(change, Change::Nothing) {
                return Ok(None);
            }
            let mut entry = place.map_or_else(
                || Entry { id, ended: None, keep_until: 0, used: now, context: Id::default(), denials: Vec::new() },
                |place| entries.swap_remove(place),
            );
            let ended = entry.apply(change, now);
            entry.keep_until = asked.keep_until(now, ended.is_some());
            entries.retain(|other| other.keep_until > now && other.id != id);
            entries.push(entry);
            let bytes = shard::write(&entries).ok_or(Reason::Overloaded)?;
            if ended.is_some() {
                // Before the ending itself: whoever looks for it must know to look.
                mark(&*shared, asked.policy)?;
                self.is_to_ask(asked.policy);
            }
            if shared.put(&key, &bytes, version)? {
                return Ok(ended);
            }
        }
        Err(Reason::Overloaded.into())
    }
}

/// What is to be done with a session's entry.
enum Change {
    Nothing,
    /// It was never seen before, or not by these rules; from this context it comes.
    Begin(Id),
    Use,
    /// Nothing but how long it is kept.
    Keep,
    /// Denials that are older than this no longer count, in milliseconds.
    Deny {
        window: u64,
    },
    End(Ending),
}

impl Entry {
    fn apply(&mut self, change: Change, now: u64) -> Option<Ending> {
        match change {
            Change::Nothing | Change::Keep => {}
            Change::Begin(context) => (self.context, self.used) = (context, now),
            Change::Use => self.used = now,
            Change::Deny { window } => {
                self.denials.retain(|at| now.saturating_sub(*at) < window);
                self.denials.push(now);
            }
            Change::End(ending) => {
                self.ended = Some(ending);
                self.denials.clear();
            }
        }
        self.ended
    }
}

fn milliseconds(shared: &dyn SharedState) -> Result<u64, Unavailable> {
    Ok(u64::try_from(shared.elapsed()?.as_millis()).unwrap_or(u64::MAX))
}

fn marker(policy: &str) -> String {
    format!("chaperone/{policy}/ended")
}

/// Says that something was ended under a policy of this name. That another worker is quicker is as good.
fn mark(shared: &dyn SharedState, policy: &str) -> Result<(), Unavailable> {
    let key = marker(policy);
    if shared.get(&key)?.is_none() {
        shared.put(&key, b"1", None)?;
    }
    Ok(())
}
