//! Which policy is the newest of its name: among the configurations of one VM, and among the VMs of one `vm_id`.
//!
//! A proxy that is given another `.wasm`, another environment or another plugin name builds a new VM. Streams that are open stay
//! in the old one, which hears of no later configuration, while its ticks go on. What both have in common is the shared data of
//! their `vm_id`: there the newer one lays down its document, and the older one judges its streams by it. What an older filter
//! cannot read it treats as a denial of everything.
//!
//! A configuration is told of from the first tick that it serves, never while it is taken: the proxy tries each in a VM of its
//! own (the canary), and may refuse it after all.
//!
//! Whether any configuration still reaches a name is told by VMs that have no streams: there a root context lives, and ticks, just
//! as long as its configuration is in force (Envoy has such a VM on its main thread). Each tick of theirs is a beat in the shared
//! data. Where the beats have stopped, another `vm_id`, another policy name or no filter at all has come in the place of this one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::primitives::limits;
use crate::rules::policy::Policy;
use crate::state::sessions::{SharedState, Unavailable};

/// A VM's id: random, and its own.
pub type VmId = [u8; 16];

/// All configurations of one policy name that a VM knows of.
pub struct Lineage {
    name: Box<str>,
    newest: RefCell<Rc<Policy>>,
    /// When the newest was configured, in the proxy's own time ([`SharedState::elapsed`]); `None` while that is not known.
    since: Cell<Option<Duration>>,
    /// The document of the newest, until the other VMs have been told of it.
    untold: RefCell<Option<Vec<u8>>>,
    /// Bytes of a document that came from another VM.
    heard: Cell<usize>,
    /// Has a stream begun here since the last tick?
    begun: Cell<bool>,
    /// Since when no configuration is known to reach it, and no stream has begun.
    unreached: Cell<Option<Duration>>,
    abandoned: Cell<bool>,
}

/// What a tick has found out about a lineage.
#[derive(Debug, Default)]
pub struct Heard {
    /// A newer policy of another VM, from now on the newest.
    pub policy: Option<Rc<Policy>>,
    /// It is another VM's, and this filter cannot read it: everything is denied.
    pub unreadable: bool,
    /// The own configuration has just been told to the others.
    pub told: bool,
    /// Its open streams have just been given up: nothing reaches it any more.
    pub abandoned: bool,
}

impl Lineage {
    /// Begins with a policy that was configured at this time of the proxy, or at its first tick where the proxy did not tell the
    /// time; `document` is what it was compiled from.
    #[must_use]
    pub fn new(policy: Rc<Policy>, document: Vec<u8>, at: Option<Duration>) -> Self {
        let name = policy.name().unwrap_or_default().into();
        let lineage = Self::closed(name);
        lineage.configured(policy, document, at);
        lineage
    }

    /// Begins with no policy at all: everything is denied.
    #[must_use]
    pub fn deny_all() -> Self {
        Self::closed("".into())
    }

    fn closed(name: Box<str>) -> Self {
        Self {
            name,
            newest: RefCell::new(Rc::new(Policy::deny_all())),
            since: Cell::new(None),
            untold: RefCell::new(None),
            heard: Cell::new(0),
            begun: Cell::new(false),
            unreached: Cell::new(None),
            abandoned: Cell::new(false),
        }
    }

    /// Returns the name that its policies have.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes a later configuration of this VM.
    pub fn configured(&self, policy: Rc<Policy>, document: Vec<u8>, at: Option<Duration>) {
        self.newest.replace(policy);
        self.since.set(at);
        self.untold.replace(Some(document));
        self.heard.set(0);
        self.unreached.set(None);
        self.abandoned.set(false);
    }

    /// Returns the policy that its open streams are judged by.
    #[must_use]
    pub fn newest(&self) -> Rc<Policy> {
        Rc::clone(&self.newest.borrow())
    }

    /// Lets go of a policy for which there is no room, if it is the newest: everything is denied from now on.
    pub fn let_go(&self, policy: &Rc<Policy>) {
        if Rc::ptr_eq(&self.newest.borrow(), policy) {
            self.newest.replace(Rc::new(Policy::deny_all()));
        }
    }

    /// Counts the bytes of the document that it has from another VM.
    #[must_use]
    pub fn heard_bytes(&self) -> usize {
        self.heard.get()
    }

    /// Notes that a stream begins: whoever sends it here still has this configuration.
    pub fn begins(&self) {
        self.begun.set(true);
        self.abandoned.set(false);
    }

    /// Says whether its open streams have been given up. No configuration reaches them, and where the newest policy cannot be
    /// asked they end after `session.orphaned_streams`.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }

    /// Tells the other VMs of this one's configuration, and hears of theirs. `vm` is the VM's random id; `idle` says that it
    /// has never had a stream. `room`: bytes of documents that there is room for.
    pub fn tick(&self, shared: &dyn SharedState, vm: &VmId, idle: bool, room: usize) -> Heard {
        let mut heard = Heard::default();
        let asked = self.since(shared).and_then(|since| {
            heard.told = self.tell(shared, since)?;
            self.hear(shared, room, &mut heard)?;
            self.beat(shared, vm, idle)
        });
        let reached = self.begun.replace(false);
        let was_abandoned = self.abandoned.get();
        let (doubtful_since, now) = match (asked, shared.elapsed()) {
            (Ok(None), Ok(now)) => (None, now),
            (Ok(Some(last)), Ok(now)) => (Some(last).filter(|last| now.saturating_sub(*last) >= limits::BEAT_LOST), now),
            (Err(Unavailable), Ok(now)) => (Some(self.unreached.get().unwrap_or(now)), now),
            // Nobody knows how long it has been so.
            (_, Err(Unavailable)) => (Some(Duration::ZERO), Duration::MAX),
        };
        let since = doubtful_since.map(|since| if reached { now } else { since.max(self.unreached.get().unwrap_or(since)) });
        self.unreached.set(since);
        let bound = self.newest.borrow().orphaned_streams().max(limits::BEAT_LOST);
        let is_over = since.is_some_and(|since| now.saturating_sub(since) >= bound);
        self.abandoned.set(is_over);
        heard.abandoned = is_over && !was_abandoned;
        heard
    }

    /// The last beat of a VM without streams; `None` where none is known of. A VM that has had its first stream takes its own
    /// back: that its ticks go on says nothing from then on.
    fn beat(&self, shared: &dyn SharedState, vm: &VmId, idle: bool) -> Result<Option<Duration>, Unavailable> {
        let key = self.beat_key();
        let found = shared.get(&key)?;
        let last = found.as_ref().and_then(|(value, _)| split(value));
        let version = found.as_ref().map(|(_, version)| *version);
        let now = shared.elapsed()?;
        if idle {
            if last.is_none_or(|(at, _)| now.saturating_sub(at) >= limits::BEAT) {
                shared.put(&key, &[&stamp(now)[..], vm].concat(), version)?;
            }
            return Ok(None);
        }
        match last {
            Some((_, writer)) if writer == vm => {
                shared.put(&key, &[], version)?;
                Ok(None)
            }
            last => Ok(last.map(|(at, _)| at)),
        }
    }

    fn since(&self, shared: &dyn SharedState) -> Result<Duration, Unavailable> {
        let since = self.since.get().map_or_else(|| shared.elapsed(), Ok)?;
        self.since.set(Some(since));
        Ok(since)
    }

    /// True when it had something to tell, and has told it.
    fn tell(&self, shared: &dyn SharedState, since: Duration) -> Result<bool, Unavailable> {
        let Some(document) = self.untold.take() else { return Ok(false) };
        let told = self.publish(shared, &document, since);
        if told.is_err() {
            self.untold.replace(Some(document));
        }
        told.map(|()| true)
    }

    /// First the document, then the time that makes others read it: whoever sees the one finds the other, or one that is newer.
    fn publish(&self, shared: &dyn SharedState, document: &[u8], since: Duration) -> Result<(), Unavailable> {
        let key = self.document_key();
        let value = [&stamp(since), document].concat();
        for _ in 0..limits::SHARED_RETRIES {
            let found = shared.get(&key)?;
            if let Some((known, _)) = &found
                && let Some((told, text)) = split(known)
            {
                if text == document {
                    // Another worker was given the same, and was quicker to tell.
                    self.since.set(Some(told.max(since)));
                    return Ok(());
                }
                if told > since {
                    return Ok(());
                }
            }
            if shared.put(&key, &value, found.map(|(_, version)| version))? {
                return replace_older(shared, &self.stamp_key(), &stamp(since));
            }
        }
        Err(Unavailable)
    }

    fn hear(&self, shared: &dyn SharedState, room: usize, heard: &mut Heard) -> Result<(), Unavailable> {
        let Some((value, _)) = shared.get(&self.stamp_key())? else { return Ok(()) };
        let told = time(&value);
        if told.is_some_and(|told| Some(told) <= self.since.get()) {
            return Ok(());
        }
        let document = shared.get(&self.document_key())?;
        let newer =
            document.as_ref().and_then(|(value, _)| split(value)).filter(|(since, _)| told.is_some_and(|told| *since >= told));
        // What is no time at all is denied until this VM is configured again.
        self.since.set(Some(newer.map(|(since, _)| since).or(told).unwrap_or(Duration::MAX)));
        self.untold.replace(None);
        let fits = newer.filter(|(_, text)| text.len() <= room);
        let policy = fits.and_then(|(_, text)| Policy::compile(text).ok()).filter(|policy| policy.name() == Some(&*self.name));
        if policy.as_ref().is_some_and(|policy| policy.is_same(&self.newest.borrow())) {
            return Ok(());
        }
        heard.unreadable = policy.is_none();
        self.heard.set(fits.filter(|_| policy.is_some()).map_or(0, |(_, text)| text.len()));
        let policy = Rc::new(policy.unwrap_or_else(Policy::deny_all));
        self.newest.replace(Rc::clone(&policy));
        heard.policy = Some(policy);
        Ok(())
    }

    fn stamp_key(&self) -> String {
        format!("chaperone/policy/1/{}/at", self.name)
    }

    fn beat_key(&self) -> String {
        format!("chaperone/policy/1/{}/beat", self.name)
    }

    fn document_key(&self) -> String {
        format!("chaperone/policy/1/{}/document", self.name)
    }
}

/// Bytes of a time: nanoseconds, little-endian.
const STAMP: usize = 8;

fn stamp(time: Duration) -> [u8; STAMP] {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).to_le_bytes()
}

fn time(value: &[u8]) -> Option<Duration> {
    Some(Duration::from_nanos(u64::from_le_bytes(value.try_into().ok()?)))
}

/// The time that a value begins with, and what stands behind it.
fn split(value: &[u8]) -> Option<(Duration, &[u8])> {
    let (since, text) = value.split_first_chunk::<STAMP>()?;
    Some((time(since)?, text))
}

/// Puts a time in the place of an older one, or of what is none.
fn replace_older(shared: &dyn SharedState, key: &str, value: &[u8]) -> Result<(), Unavailable> {
    for _ in 0..limits::SHARED_RETRIES {
        let found = shared.get(key)?;
        if found.as_ref().is_some_and(|(known, _)| time(known) > time(value)) {
            return Ok(());
        }
        if shared.put(key, value, found.map(|(_, version)| version))? {
            return Ok(());
        }
    }
    Err(Unavailable)
}
