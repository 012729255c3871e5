//! All mutable state of one VM: verified tokens, fetched keys, live sessions, the pace of signature checks, the seats of what is
//! under way, the highest time seen.
//!
//! It survives config changes, so nothing in it is a verdict of a policy that may be gone: a kept token is judged again
//! whenever the policy is another one.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::credential::Secret;
use crate::rules::policy::Policy;
use crate::state::exchanged::{Asker, Exchanged, Means, Obtained};
use crate::state::fetch::{Answer, Due, FetchCounts, Listener, Report, Sources, Ticket};
use crate::state::handles::HandleKey;
use crate::state::live::LiveSessions;
use crate::state::pace::Pace;
use crate::state::precedents::Precedents;
use crate::state::proofs::ProofMemory;
use crate::state::seats::Unmediated;
use crate::state::session::{Authenticated, Session};
use crate::state::sessions::{Sessions, SharedState};
use crate::state::tally::{Tallies, Tally};
use crate::state::told::Told;
use crate::state::verified::VerifiedTokens;
use crate::token::keys::VerifySignature;

/// The state of one VM.
pub struct Worker {
    identity: Rc<Identity>,
    /// Makes audit ids and the places of sessions unguessable; never shown.
    seed: [u8; 32],
    sequence: u64,
    /// Audit ids that have been made and not given yet.
    spare: Vec<AuditId>,
    latest: Timestamp,
    environment: BTreeMap<String, Secret>,
    pub(crate) tokens: VerifiedTokens,
    pub(crate) precedents: Precedents,
    pub(crate) pace: Pace,
    pub(crate) tallies: Tallies,
    /// The exchanges that need no session.
    pub(crate) unmediated: Rc<Unmediated>,
    pub(crate) sources: Sources,
    pub(crate) told: Told,
    pub(crate) exchanged: Exchanged,
    pub(crate) proofs: ProofMemory,
    live: LiveSessions,
    pub(crate) sessions: Sessions,
    /// Once it has been needed.
    pub(crate) handle_key: Option<HandleKey>,
}

impl Worker {
    /// Makes a worker with an id and a seed, both random and new for each VM, and the environment that credentials come from.
    #[must_use]
    pub fn new(id: [u8; 16], seed: [u8; 32], environment: BTreeMap<String, Secret>) -> Self {
        Self {
            identity: Rc::new(Identity { worker: AuditId::of(&id), proxy: None }),
            seed,
            sequence: 0,
            spare: Vec::new(),
            latest: Timestamp::default(),
            environment,
            tokens: VerifiedTokens::default(),
            precedents: Precedents::default(),
            pace: Pace::default(),
            tallies: Tallies::default(),
            unmediated: Rc::default(),
            sources: Sources::new(&seed),
            told: Told::new(),
            exchanged: Exchanged::default(),
            proofs: ProofMemory::default(),
            live: LiveSessions::default(),
            sessions: Sessions::new(&seed),
            handle_key: None,
        }
    }

    /// Gives it what the workers of its proxy share. Without, whatever a policy wants to know of that is a denial.
    pub fn share(&mut self, state: Rc<dyn SharedState>) {
        self.told.share(Rc::clone(&state));
        self.sessions.share(state);
        self.handle_key = None;
    }

    /// Takes note of a policy that is going to be served: sessions that were ended under any policy stay so, whatever its name
    /// and rules are.
    pub fn adopt(&mut self, policy: &Policy) {
        if let Some(rules) = policy.rules() {
            self.sessions.adopt(rules.longest_token());
            self.told.adopt(rules.longest_token());
        }
        self.exchanged.adopt(policy);
    }

    /// Begins a round over the open streams ([`crate::Exchange::recheck`]): until the next one, what the workers share is read
    /// once.
    pub fn sweep(&mut self) {
        self.sessions.sweep();
        self.told.sweep(self.latest);
    }

    /// Names the proxy (its node id) for the records from now on.
    pub fn name_proxy(&mut self, name: &str) {
        self.identity = Rc::new(Identity { worker: self.identity.worker, proxy: Some(name.into()) });
        // The parts of records that they keep have the name.
        self.precedents.clear();
    }

    /// From now on judges each head in full, also one like those that were let through a moment ago: for tests, which compare both.
    pub fn judge_in_full(&mut self) {
        self.precedents.turn_off();
    }

    /// Takes what the clock says, where nothing else is asked with it.
    pub fn observe(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
    }

    /// Returns the latest instant seen, the epoch before there was any: a clock that steps back opens nothing that was closed.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.latest
    }

    pub(crate) fn environment(&self) -> &BTreeMap<String, Secret> {
        &self.environment
    }

    /// The identity of the next exchange.
    pub(crate) fn next_stamp(&mut self) -> Stamp {
        let sequence = self.sequence;
        self.sequence += 1;
        if self.spare.is_empty() {
            self.make_audit_ids();
        }
        let audit_id = self.spare.pop().unwrap_or_default();
        Stamp { identity: Rc::clone(&self.identity), sequence, audit_id }
    }

    /// Makes many at once: the code of the hash is a sixth of what a request touches here, and each digest has room for two.
    #[cold]
    fn make_audit_ids(&mut self) {
        const DIGESTS: u64 = 16;
        for number in self.sequence..self.sequence + DIGESTS {
            let digest = Sha256::new().chain_update(self.seed).chain_update(number.to_be_bytes()).finalize();
            let (first, second) = digest.as_slice().split_at(16);
            self.spare.extend([AuditId::of(first), AuditId::of(second)]);
        }
    }

    /// What this worker counts of a session.
    pub(crate) fn tally<'s>(&mut self, session: &'s Session) -> &'s Rc<Tally> {
        session.tally.get_or_init(|| self.tallies.of(&session.claims.issuer, &session.claims.session))
    }

    pub(crate) fn note_live(&mut self, session: &Session, ends: u64, now: Timestamp) {
        let tally = self.tally(session);
        self.live.note(session, tally, ends, now.seconds());
    }

    /// Returns counts since the VM began, and what is held now; for metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            token_hits: self.tokens.hits,
            token_misses: self.tokens.misses,
            followed: self.precedents.followed(),
            kept_tokens: self.tokens.len() as u64,
            live_sessions: self.live.count(),
        }
    }
}

/// What is fetched.
impl Worker {
    /// Says what is to be fetched now for this policy, as the clock says it. Each fetch counts as begun, and must be told of with
    /// [`Worker::fetched`]; one that never is counts as failed when its time has run out.
    pub fn due(&mut self, policy: &Rc<Policy>, now: Timestamp) -> Due {
        let latest = self.latest();
        let listener = Listener { name: self.identity.worker.as_str(), environment: &self.environment, told: &self.told };
        let mut due = self.sources.due(policy, &listener, now);
        due.lost.extend(self.exchanged.tick(now, latest));
        due
    }

    /// Says whether a request has just begun to wait for a fetch that nobody has been told of: to be asked after whatever may have
    /// judged one.
    #[must_use]
    pub fn is_wanting(&self) -> bool {
        self.exchanged.is_wanting()
    }

    /// Says what requests wait for, to be fetched at once; as [`Worker::due`].
    pub fn wanted(&mut self) -> Due {
        let (fetches, lost) = self.exchanged.take_wanted();
        Due { fetches, lost }
    }

    /// Lets go of what was had for a token that was denied for this reason: of this token where that may be of this one alone, or
    /// who has an old one could have his session's newer one exchanged with each request.
    pub(crate) fn end_exchanged(&mut self, of: &Authenticated, reason: Reason, ended_now: bool) {
        let for_good = matches!(reason, Reason::Revoked | Reason::Expired | Reason::LifetimeExceeded);
        if let Some(digest) = of.token.digest().filter(|_| for_good) {
            self.exchanged.end_token(digest);
        }
        if ended_now || matches!(reason, Reason::SessionEnded | Reason::Idle) {
            let tally = Rc::clone(self.tally(&of.session));
            self.exchanged.end_session(&tally);
        }
    }

    /// What there is for a request that is to be given a token for its session's.
    pub(crate) fn exchange(&mut self, asker: &Asker<'_>) -> Result<Obtained, Reason> {
        let (latest, ticket) = (self.latest, self.sources.ticket());
        self.exchanged.ask(asker, &Means { environment: &self.environment, seed: &self.seed, latest, ticket })
    }

    /// Takes what came of a fetch. `None` when nobody waits for it any more. Until something good has come, what was held before
    /// is held.
    pub fn fetched(
        &mut self,
        ticket: Ticket,
        answer: Answer<'_>,
        now: Timestamp,
        verifier: &dyn VerifySignature,
    ) -> Option<Report> {
        self.observe(now);
        let latest = self.latest();
        self.sources
            .take_keys(ticket, answer, now)
            .or_else(|| self.sources.take_list(ticket, answer, now, latest, verifier))
            .or_else(|| self.sources.take_events(ticket, answer, now, &mut self.told, verifier))
            .or_else(|| self.exchanged.take(ticket, answer, latest))
    }

    /// Says whether this fetch is still waited for.
    #[must_use]
    pub fn awaits(&self, ticket: Ticket) -> bool {
        self.sources.awaits(ticket) || self.exchanged.awaits(ticket)
    }

    /// Holds only what these policies name from now on: to be called whenever a policy has come. A key set that is held
    /// already serves a policy that names the same issuer and endpoint from the first request on.
    pub fn hold_for(&mut self, policies: &[Rc<Policy>]) {
        let issuers = policies.iter().flat_map(|policy| policy.issuers());
        self.told.listen_to(issuers.map(|(name, issuer)| (name, issuer.events.is_some())), self.latest);
        self.sources.hold_for(policies);
        self.exchanged.hold_for(policies);
    }

    /// Returns figures since the VM began.
    #[must_use]
    pub fn fetch_counts(&self) -> FetchCounts {
        let (tokens_exchanged, exchanges_failed) = self.exchanged.counts();
        FetchCounts { tokens_exchanged, exchanges_failed, ..self.sources.counts() }
    }

    /// Says how long ago the oldest of the fetched key sets came; `None` when there is none.
    #[must_use]
    pub fn age_of_keys(&self, now: Timestamp) -> Option<Duration> {
        Some(now.since(self.sources.oldest_keys()?))
    }

    /// Says the same for status lists.
    #[must_use]
    pub fn age_of_lists(&self, now: Timestamp) -> Option<Duration> {
        Some(now.since(self.sources.oldest_list()?))
    }
}

/// Figures of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests whose token needed no signature check.
    pub token_hits: u64,
    /// Signature checks.
    pub token_misses: u64,
    /// Requests that were let through because the same head had been.
    pub followed: u64,
    /// Tokens that are kept.
    pub kept_tokens: u64,
    /// Sessions that were allowed something and have not reached their end.
    pub live_sessions: u64,
}

/// Who the worker is, for records.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) worker: AuditId,
    pub(crate) proxy: Option<Rc<str>>,
}

/// The identity of one exchange.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub(crate) identity: Rc<Identity>,
    pub(crate) sequence: u64,
    pub(crate) audit_id: AuditId,
}

/// 128 bits as 32 hex digits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AuditId([u8; 32]);

impl AuditId {
    /// Of 16 bytes; what is missing is 0.
    fn of(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
        let mut text = [b'0'; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}
