//! Metrics of a VM, defined once; the proxy adds up what its workers report.

use std::time::Duration;

use chaperone_policy::{Counts, FetchCounts, Reason};

use crate::crypto::Verifications;
use crate::hostcalls;
use crate::types::MetricType;

pub(crate) struct Metrics {
    allowed: Counter,
    by_reason: Vec<(Reason, Counter)>,
    cut: Counter,
    echoed: Counter,
    token_hits: Option<u32>,
    token_misses: Option<u32>,
    verified_by_host: Option<u32>,
    verified_in_rust: Option<u32>,
    live_sessions: Option<u32>,
    generation: Option<u32>,
    keys_fetched: Option<u32>,
    keys_failed: Option<u32>,
    keys_dropped: Option<u32>,
    keys_age: Option<u32>,
    lists_fetched: Option<u32>,
    lists_failed: Option<u32>,
    lists_age: Option<u32>,
    events_taken: Option<u32>,
    events_refused: Option<u32>,
    polls_failed: Option<u32>,
    tokens_exchanged: Option<u32>,
    exchanges_failed: Option<u32>,
    reported: Counts,
    reported_verifications: Verifications,
    reported_fetches: FetchCounts,
    reported_ages: [u64; 2],
}

/// Decisions of one kind.
struct Counter {
    id: Option<u32>,
    unreported: i64,
}

impl Counter {
    fn define(name: &str) -> Self {
        Self { id: hostcalls::define_metric(MetricType::Counter, name), unreported: 0 }
    }

    fn report(&mut self) {
        add(self.id, std::mem::take(&mut self.unreported));
    }
}

impl Metrics {
    pub(crate) fn define() -> Self {
        let counter = |name: &str| hostcalls::define_metric(MetricType::Counter, name);
        Self {
            allowed: Counter::define("chaperone.decisions.allowed"),
            by_reason: Reason::ALL.map(|reason| (reason, Counter::define(&format!("chaperone.decisions.{reason}")))).into(),
            cut: Counter::define("chaperone.streams.cut"),
            echoed: Counter::define("chaperone.credential_echoed"),
            token_hits: counter("chaperone.token_cache.hits"),
            token_misses: counter("chaperone.token_cache.misses"),
            verified_by_host: counter("chaperone.verifications.host"),
            verified_in_rust: counter("chaperone.verifications.rust"),
            live_sessions: hostcalls::define_metric(MetricType::Gauge, "chaperone.live_sessions"),
            generation: hostcalls::define_metric(MetricType::Gauge, "chaperone.policy_generation"),
            keys_fetched: counter("chaperone.keys.fetched"),
            keys_failed: counter("chaperone.keys.fetch_failures"),
            keys_dropped: counter("chaperone.keys.dropped"),
            keys_age: hostcalls::define_metric(MetricType::Gauge, "chaperone.keys.age_seconds"),
            lists_fetched: counter("chaperone.status_lists.fetched"),
            lists_failed: counter("chaperone.status_lists.fetch_failures"),
            lists_age: hostcalls::define_metric(MetricType::Gauge, "chaperone.status_lists.age_seconds"),
            events_taken: counter("chaperone.events.taken"),
            events_refused: counter("chaperone.events.refused"),
            polls_failed: counter("chaperone.events.poll_failures"),
            tokens_exchanged: counter("chaperone.exchanges.tokens"),
            exchanges_failed: counter("chaperone.exchanges.failures"),
            reported: Counts::default(),
            reported_verifications: Verifications::default(),
            reported_fetches: FetchCounts::default(),
            reported_ages: [0; 2],
        }
    }

    pub(crate) fn policy_loaded(&self, generation: u64) {
        if let Some(id) = self.generation {
            hostcalls::record_metric(id, generation);
        }
    }

    /// Counts one decision.
    pub(crate) fn decided(&mut self, reason: Option<Reason>) {
        let counter = match reason {
            None => Some(&mut self.allowed),
            Some(reason) => self.by_reason.iter_mut().find(|(known, _)| *known == reason).map(|(_, counter)| counter),
        };
        if let Some(counter) = counter {
            counter.unreported += 1;
        }
    }

    /// Counts a stream that was let through and then cut.
    pub(crate) fn was_cut(&mut self) {
        self.cut.unreported += 1;
    }

    /// Counts an exchange whose target sent the credential back.
    pub(crate) fn was_echoed(&mut self) {
        self.echoed.unreported += 1;
    }

    /// Tells the host what has changed since the last time. From the tick: two host calls for each request would cost more
    /// than counting does.
    pub(crate) fn report(&mut self, counts: Counts, made: Verifications) {
        self.allowed.report();
        self.by_reason.iter_mut().for_each(|(_, counter)| counter.report());
        self.cut.report();
        self.echoed.report();
        add(self.token_hits, change(counts.token_hits, self.reported.token_hits));
        add(self.token_misses, change(counts.token_misses, self.reported.token_misses));
        add(self.verified_by_host, change(made.host, self.reported_verifications.host));
        add(self.verified_in_rust, change(made.rust, self.reported_verifications.rust));
        // A gauge is one for all workers, so that each adds its change.
        add(self.live_sessions, change(counts.live_sessions, self.reported.live_sessions));
        (self.reported, self.reported_verifications) = (counts, made);
    }

    /// The same for what is fetched. An age cannot be added up: the gauge has that of the worker that told of it last.
    pub(crate) fn report_fetches(&mut self, counts: FetchCounts, ages: [Option<Duration>; 2]) {
        let before = self.reported_fetches;
        add(self.keys_fetched, change(counts.keys_fetched, before.keys_fetched));
        add(self.keys_failed, change(counts.keys_failed, before.keys_failed));
        add(self.keys_dropped, change(counts.keys_dropped, before.keys_dropped));
        add(self.lists_fetched, change(counts.lists_fetched, before.lists_fetched));
        add(self.lists_failed, change(counts.lists_failed, before.lists_failed));
        add(self.events_taken, change(counts.events_taken, before.events_taken));
        add(self.events_refused, change(counts.events_refused, before.events_refused));
        add(self.polls_failed, change(counts.polls_failed, before.polls_failed));
        add(self.tokens_exchanged, change(counts.tokens_exchanged, before.tokens_exchanged));
        add(self.exchanges_failed, change(counts.exchanges_failed, before.exchanges_failed));
        self.reported_fetches = counts;
        let ages = ages.map(|age| age.map_or(0, |age| age.as_secs()));
        for ((id, age), before) in [self.keys_age, self.lists_age].into_iter().zip(ages).zip(self.reported_ages) {
            if let Some(id) = id.filter(|_| age != before) {
                hostcalls::record_metric(id, age);
            }
        }
        self.reported_ages = ages;
    }
}

fn change(now: u64, before: u64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX) - i64::try_from(before).unwrap_or(i64::MAX)
}

fn add(metric: Option<u32>, change: i64) {
    if let Some(id) = metric.filter(|_| change != 0) {
        hostcalls::increment_metric(id, change);
    }
}
