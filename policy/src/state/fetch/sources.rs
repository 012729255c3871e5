//! All that one worker has fetched. It survives config changes: what is held is found by issuer and place, not by policy.

use std::collections::{BTreeMap, HashMap};
use std::rc::{Rc, Weak};

use super::events::Poll;
use super::keys::{self, Published};
use super::list::{Expected, List, longest_body};
use super::schedule::Schedule;
use super::{Answer, Due, Failure, Fetch, FetchCounts, Kind, News, Report, Ticket};
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::rules::credential::Secret;
use crate::rules::endpoint::{Endpoint, KeysId, ListId};
use crate::rules::events::{Events, EventsId};
use crate::rules::issuers::{Issuer, Keys};
use crate::rules::policy::Policy;
use crate::rules::status::Reference;
use crate::state::told::Told;
use crate::token::keys::{KeySet, VerifySignature};

pub(crate) struct Sources {
    keys: HashMap<KeysId, Source<Published>>,
    lists: HashMap<ListId, Source<List>>,
    polls: Vec<(EventsId, Poll)>,
    /// Counts the changes of what is held. Whatever was judged before the last one is judged again.
    epoch: u64,
    tickets: u64,
    /// Shortens this worker's intervals, so that a fleet that was started at once does not fetch at once for ever.
    salt: u64,
    counts: FetchCounts,
}

struct Source<T> {
    schedule: Schedule,
    held: Option<T>,
    /// By whose keys, and within which bound, what is under way is to be judged.
    asked_by: Option<(Weak<Policy>, usize)>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { schedule: Schedule::default(), held: None, asked_by: None }
    }
}

/// What a status list says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// This value, until this instant in Unix seconds.
    Is(u8, u64),
    /// Nothing: no list, an old one, one of a key that is gone, or one that does not reach as far.
    Unavailable,
}

/// Who asks, and what it knows.
pub(in crate::state) struct Listener<'w> {
    /// Another one for each worker.
    pub(in crate::state) name: &'w str,
    pub(in crate::state) environment: &'w BTreeMap<String, Secret>,
    pub(in crate::state) told: &'w Told,
}

impl Sources {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let salt = seed.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let (keys, lists) = (HashMap::new(), HashMap::new());
        Self { keys, lists, polls: Vec::new(), epoch: 0, tickets: 0, salt, counts: FetchCounts::default() }
    }

    /// Another number means that what is held has changed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The issuer's keys; `None` while none have come, or where the issuer has none.
    pub(crate) fn keys_of<'k>(&'k self, issuer: &'k Issuer) -> Option<&'k KeySet> {
        match &issuer.keys {
            Keys::Inline(set) => Some(set),
            Keys::Endpoint(endpoint) => {
                let held = self.keys.get(&endpoint.id)?.held.as_ref();
                held.map(|held| &held.set).filter(|set| set.len() > 0)
            }
        }
    }

    /// A key that the issuer does not have was asked for: it may have a new one.
    pub(crate) fn miss_key(&self, issuer: &Issuer) {
        if let Keys::Endpoint(endpoint) = &issuer.keys
            && let Some(source) = self.keys.get(&endpoint.id)
        {
            source.schedule.hasten();
        }
    }

    /// What the list says of a token of this issuer.
    pub(crate) fn entry(&self, issuer: &Issuer, reference: &Reference, latest: Timestamp) -> Entry {
        let Some(source) = self.lists.get(&reference.list) else { return Entry::Unavailable };
        let Some(list) = source.held.as_ref().filter(|list| list.holds(self.keys_of(issuer), latest)) else {
            // Not because its time ran out: then it is being fetched anyway.
            source.schedule.hasten();
            return Entry::Unavailable;
        };
        match list.entry(reference.index) {
            Some(value) => Entry::Is(value, list.until()),
            None => {
                // A token that is newer than the list.
                source.schedule.hasten();
                Entry::Unavailable
            }
        }
    }

    /// Names one more fetch.
    pub(in crate::state) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// What is to be fetched now for this policy. Each fetch counts as begun.
    pub(in crate::state) fn due(&mut self, policy: &Rc<Policy>, listener: &Listener<'_>, now: Timestamp) -> Due {
        let mut due = Due::default();
        for (name, issuer) in policy.issuers() {
            if let Keys::Endpoint(endpoint) = &issuer.keys {
                self.keys_due(name, endpoint, now, &mut due);
            }
            // Without keys a list could not be believed.
            if let Some(status) = issuer.status.as_ref().filter(|_| self.keys_of(issuer).is_some()) {
                for list in status.lists.values() {
                    self.list_due(policy, list, status.most_bytes, now, &mut due);
                }
            }
            if let Some(events) = issuer.events.as_ref().filter(|_| self.keys_of(issuer).is_some()) {
                self.poll_due(policy, events, listener, now, &mut due);
            }
        }
        due
    }

    fn keys_due(&mut self, name: &str, endpoint: &Endpoint, now: Timestamp, due: &mut Due) {
        let Endpoint { id, refresh, timeout } = endpoint;
        let source = self.keys.entry(id.clone()).or_default();
        if source.schedule.gave_up(*timeout, now) {
            self.counts.keys_failed += 1;
            due.lost.push(Report::new(Kind::Keys, name, &id.target, Err(Failure::NoAnswer)));
        }
        if source.schedule.is_due(*refresh, self.salt, now) {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            source.schedule.begin(ticket, now);
            due.fetches.push(Fetch::keys(ticket, endpoint));
        }
    }

    fn list_due(&mut self, policy: &Rc<Policy>, id: &ListId, most_bytes: usize, now: Timestamp, due: &mut Due) {
        let source = self.lists.entry(id.clone()).or_default();
        if source.schedule.gave_up(limits::STATUS_TIMEOUT, now) {
            self.counts.lists_failed += 1;
            due.lost.push(Report::new(Kind::List, &id.issuer, &id.target, Err(Failure::NoAnswer)));
        }
        let refresh = source.held.as_ref().map_or(limits::STATUS_REFRESH, List::refresh);
        if source.schedule.is_due(refresh, self.salt, now) {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            source.schedule.begin(ticket, now);
            source.asked_by = Some((Rc::downgrade(policy), most_bytes));
            due.fetches.push(Fetch::list(ticket, id, longest_body(most_bytes)));
        }
    }

    fn poll_due(&mut self, policy: &Rc<Policy>, events: &Events, listener: &Listener<'_>, now: Timestamp, due: &mut Due) {
        let id = &events.id;
        // Whoever asks holds for the policy first, or nothing is known of its polls.
        let Some((_, poll)) = self.polls.iter_mut().find(|(known, _)| known == id) else { return };
        let mut failed = |poll: &mut Poll, failure| {
            poll.failed();
            self.counts.polls_failed += 1;
            due.lost.push(Report::new(Kind::Events, &id.issuer, &id.target, Err(failure)));
        };
        if poll.schedule.gave_up(limits::EVENTS_TIMEOUT, now) {
            failed(poll, Failure::NoAnswer);
        }
        if !poll.is_due(id, events, listener.name, listener.told, self.salt, now) {
            return;
        }
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let shown = events.credential.as_ref().map(|credential| credential.fill(listener.environment));
        if let Some(None) = shown {
            poll.schedule.begin(ticket, now);
            poll.schedule.end(false, now);
            return failed(poll, Failure::VariableMissing);
        }
        let shown = shown.flatten();
        due.fetches.push(poll.begin(ticket, policy, id, shown.as_ref().map(|shown| shown.value()), now));
    }

    pub(in crate::state) fn take_keys(&mut self, ticket: Ticket, answer: Answer<'_>, now: Timestamp) -> Option<Report> {
        let (id, source) = self.keys.iter_mut().find(|(_, source)| source.schedule.awaits(ticket))?;
        let (result, dropped) = match keys::read(answer, &id.accepted) {
            Err(failure) => {
                self.counts.keys_failed += 1;
                (Err(failure), Vec::new())
            }
            Ok(published) => {
                let held = source.held.as_ref();
                let changed = held.is_none_or(|held| held.set != published.set);
                self.epoch += u64::from(changed);
                self.counts.keys_fetched += 1;
                self.counts.keys_dropped += published.dropped.iter().map(|key| u64::from(!key.is_foreign())).sum::<u64>();
                let changed = changed || held.is_some_and(|held| held.dropped != published.dropped);
                let (usable, dropped) = (published.set.len(), published.dropped.clone());
                source.held = Some(published);
                (Ok(News::Keys { usable, changed }), dropped)
            }
        };
        // A set of no use is asked for again as after a failure: an issuer that has no keys will soon have some.
        source.schedule.end(matches!(result, Ok(News::Keys { usable: 1.., .. })), now);
        Some(Report::new(Kind::Keys, &id.issuer, &id.target, result).without(dropped))
    }

    pub(in crate::state) fn take_list(
        &mut self,
        ticket: Ticket,
        answer: Answer<'_>,
        now: Timestamp,
        latest: Timestamp,
        verifier: &dyn VerifySignature,
    ) -> Option<Report> {
        let (id, source) = self.lists.iter().find(|(_, source)| source.schedule.awaits(ticket))?;
        let id = id.clone();
        let result = self.read_list(&id, source, answer, (now, latest), verifier);
        let source = self.lists.get_mut(&id)?;
        source.asked_by = None;
        let result = result.map(|list| {
            let changed = source.held.as_ref().is_none_or(|held| !held.says_the_same(&list));
            // Open streams go on by how long the list before was to be believed.
            let sooner = source.held.as_ref().is_some_and(|held| list.until() < held.until());
            self.epoch += u64::from(changed || sooner);
            let entries = list.entries();
            source.held = Some(list);
            News::List { entries, changed }
        });
        source.schedule.end(result.is_ok(), now);
        *if result.is_ok() { &mut self.counts.lists_fetched } else { &mut self.counts.lists_failed } += 1;
        Some(Report::new(Kind::List, &id.issuer, &id.target, result))
    }

    pub(in crate::state) fn take_events(
        &mut self,
        ticket: Ticket,
        answer: Answer<'_>,
        now: Timestamp,
        told: &mut Told,
        verifier: &dyn VerifySignature,
    ) -> Option<Report> {
        let place = self.polls.iter().position(|(_, poll)| poll.schedule.awaits(ticket))?;
        let (id, mut poll) = self.polls.swap_remove(place);
        let policy = poll.asked_by();
        // Without the policy that asked for them, nobody says by whose keys they should be.
        let issuer = policy.as_ref().and_then(|policy| policy.issuers().find(|(name, _)| *name == &*id.issuer));
        let heard = match issuer {
            Some((_, issuer)) => poll.take(answer, &id, issuer, self.keys_of(issuer), told, now, verifier),
            None => Err(Failure::NoAnswer),
        };
        poll.schedule.end(heard.is_ok(), now);
        let report = |result| Report::new(Kind::Events, &id.issuer, &id.target, result);
        let report = match heard {
            Ok(heard) => {
                if let (true, Some((_, issuer))) = (heard.key_unknown, issuer) {
                    self.miss_key(issuer);
                }
                if let News::Events { taken, refused, .. } = heard.news {
                    self.counts.events_taken += taken as u64;
                    self.counts.events_refused += refused as u64;
                }
                report(Ok(heard.news)).refusing(heard.refused)
            }
            Err(failure) => {
                poll.failed();
                self.counts.polls_failed += 1;
                report(Err(failure))
            }
        };
        self.polls.push((id, poll));
        Some(report)
    }

    fn read_list(
        &self,
        id: &ListId,
        source: &Source<List>,
        answer: Answer<'_>,
        (now, latest): (Timestamp, Timestamp),
        verifier: &dyn VerifySignature,
    ) -> Result<List, Failure> {
        // Without the policy that asked for it, nobody says whose list it should be.
        let asked_by = source.asked_by.as_ref().and_then(|(policy, most_bytes)| Some((policy.upgrade()?, *most_bytes)));
        let (policy, most_bytes) = asked_by.ok_or(Failure::NoAnswer)?;
        let (name, issuer) = policy.issuers().find(|(name, _)| *name == &*id.issuer).ok_or(Failure::NoAnswer)?;
        let keys = self.keys_of(issuer).ok_or(Failure::KeyUnknown)?;
        let held = source.held.as_ref();
        let expected = Expected { name, issuer, keys, uri: &id.uri, most_bytes, held, now, latest };
        let result = List::read(answer, &expected, verifier);
        if matches!(result, Err(Failure::KeyUnknown)) {
            self.miss_key(issuer);
        }
        result
    }

    pub(in crate::state) fn awaits(&self, ticket: Ticket) -> bool {
        self.keys.values().any(|source| source.schedule.awaits(ticket))
            || self.lists.values().any(|source| source.schedule.awaits(ticket))
            || self.polls.iter().any(|(_, poll)| poll.schedule.awaits(ticket))
    }

    pub(in crate::state) fn hold_for(&mut self, policies: &[Rc<Policy>]) {
        let mut keys: HashMap<KeysId, Source<Published>> = HashMap::new();
        let (mut lists, mut polls) = (HashMap::new(), Vec::<(EventsId, Poll)>::new());
        for (_, issuer) in policies.iter().flat_map(|policy| policy.issuers()) {
            if let Keys::Endpoint(Endpoint { id, .. }) = &issuer.keys
                && !keys.contains_key(id)
            {
                let source = self.keys.remove(id).or_else(|| self.same_place(id, &keys)).unwrap_or_default();
                keys.insert(id.clone(), source);
            }
            if let Some(Events { id, .. }) = &issuer.events
                && !polls.iter().any(|(kept, _)| kept == id)
            {
                let known = self.polls.iter().position(|(known, _)| known == id).map(|place| self.polls.swap_remove(place));
                polls.push(known.unwrap_or_else(|| (id.clone(), Poll::default())));
            }
            for id in issuer.status.iter().flat_map(|status| status.lists.values()) {
                if !lists.contains_key(id) {
                    lists.insert(id.clone(), self.lists.remove(id).unwrap_or_default());
                }
            }
        }
        (self.keys, self.lists, self.polls) = (keys, lists, polls);
        self.epoch += 1;
    }

    /// What is known of the same place where other keys of it are taken, read again for these.
    fn same_place(&self, id: &KeysId, kept: &HashMap<KeysId, Source<Published>>) -> Option<Source<Published>> {
        let same = |other: &KeysId| other.issuer == id.issuer && other.target == id.target;
        let mut known = self.keys.iter().chain(kept).filter(|(other, _)| same(other));
        known.find_map(|(_, Source { schedule, held, .. })| {
            let published = keys::parse(&held.as_ref()?.document, &id.accepted).ok()?;
            Some(Source { schedule: schedule.of_another(), held: Some(published), asked_by: None })
        })
    }

    pub(in crate::state) fn counts(&self) -> FetchCounts {
        self.counts
    }

    pub(in crate::state) fn oldest_keys(&self) -> Option<Timestamp> {
        oldest(self.keys.values())
    }

    pub(in crate::state) fn oldest_list(&self) -> Option<Timestamp> {
        oldest(self.lists.values())
    }
}

/// When the oldest of what is held came.
fn oldest<'s, T: 's>(sources: impl Iterator<Item = &'s Source<T>>) -> Option<Timestamp> {
    sources.filter(|source| source.held.is_some()).filter_map(|source| source.schedule.succeeded()).min()
}
