//! The state of one VM: one worker of the core, the policies of its root contexts, its open streams.

use std::cell::RefCell;
use std::rc::Rc;

use chaperone_policy::{Lineage, Policy, Secret, SharedState, Ticket, Timestamp, VmId, Worker, limits};

use rustc_hash::FxHashMap;

use crate::crypto::HostCrypto;
use crate::fetch::Callouts;
use crate::hostcalls::{self, Failed};
use crate::metrics::Metrics;
use crate::shared::HostState;
use crate::stream::{Direction, Stream, With};
use crate::types::{Action, BufferType, LogLevel};

/// How often open streams are asked about and metrics reported, in milliseconds. With what an update takes to reach the worker
/// this keeps a cut well within a second.
const TICK: u32 = 250;

/// When a configuration begins to serve, in milliseconds after it was taken: the VMs that it replaces hear of it then.
const FIRST_TICK: u32 = 10;

pub(crate) struct Vm {
    id: VmId,
    /// It has had a stream. The VM of the proxy's main thread never has.
    streamed: bool,
    worker: Worker,
    crypto: HostCrypto,
    metrics: Metrics,
    /// By root context. A config change makes a new root context in the same VM; the older one lives until its last stream ends.
    roots: FxHashMap<u32, Root>,
    /// How many configurations were taken: tells older root contexts from newer ones.
    configured: u64,
    callouts: Callouts,
    streams: FxHashMap<u32, Stream>,
    /// Streams of which something is kept.
    kept: usize,
    /// The host has promised ticks.
    ticks: bool,
    /// When, and after how many configurations, the open streams were last asked about.
    asked: Option<(u64, u64)>,
}

/// A root context: what its streams are judged by.
pub(crate) struct Root {
    pub(crate) policy: Rc<Policy>,
    /// Shared by all root contexts whose policies have this name, whatever their plugin is called.
    pub(crate) lineage: Rc<Lineage>,
    /// The period to ask for at the next tick, where it is to change.
    next_tick: Option<u32>,
    /// Size of the policy's document; 0 while there is none.
    bytes: usize,
    /// The `configured` of its configuration.
    order: u64,
}

impl Root {
    pub(crate) fn deny_all() -> Self {
        let (policy, lineage) = (Rc::new(Policy::deny_all()), Rc::new(Lineage::deny_all()));
        Self { policy, lineage, next_tick: None, bytes: 0, order: 0 }
    }

    /// A tick: after the first one the others are a [`TICK`] apart from when the configuration was taken.
    fn has_ticked(&mut self) {
        if let Some(period) = self.next_tick.take() {
            self.next_tick = Some(TICK).filter(|_| period != TICK);
            let _ = hostcalls::set_tick_period(period);
        }
    }
}

thread_local! {
    static VM: RefCell<Option<Vm>> = const { RefCell::new(None) };
}

/// Runs `f` with the VM's state. `None` when there is none: it failed to start, or a host called back in the middle of a call.
pub(crate) fn with<T>(f: impl FnOnce(&mut Vm) -> T) -> Option<T> {
    VM.with(|vm| vm.try_borrow_mut().ok()?.as_mut().map(f))
}

/// Makes the state if there is none yet; false when the host gives no randomness or no environment.
pub(crate) fn start() -> bool {
    VM.with(|vm| match vm.try_borrow_mut() {
        Ok(mut vm) => {
            if vm.is_none() {
                *vm = Vm::new().ok();
            }
            vm.is_some()
        }
        Err(_) => false,
    })
}

impl Vm {
    fn new() -> Result<Self, Failed> {
        let (mut id, mut seed) = ([0; 16], [0; 32]);
        getrandom::fill(&mut id).map_err(|_| Failed)?;
        getrandom::fill(&mut seed).map_err(|_| Failed)?;
        // What is no UTF-8 is no credential: it could not be a header's value.
        let environment = hostcalls::environment()?
            .split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
            .collect();
        let mut worker = Worker::new(id, seed, environment);
        worker.share(Rc::new(HostState));
        Ok(Self {
            id,
            streamed: false,
            worker,
            crypto: HostCrypto::checked(),
            metrics: Metrics::define(),
            roots: FxHashMap::default(),
            configured: 0,
            callouts: Callouts::default(),
            streams: FxHashMap::default(),
            kept: 0,
            ticks: false,
            asked: None,
        })
    }

    pub(crate) fn create_root_context(&mut self, context: u32) {
        self.roots.entry(context).or_insert_with(Root::deny_all);
    }

    pub(crate) fn create_http_context(&mut self, context: u32, root: u32) {
        let stream = match self.roots.get(&root) {
            Some(root) => Stream::new(Rc::clone(&root.policy), Rc::clone(&root.lineage)),
            None => Stream::orphan(),
        };
        self.streams.insert(context, stream);
        self.streamed = true;
    }

    /// Takes a configuration: a pure function of its bytes. When it is bad the root context keeps what it has.
    pub(crate) fn on_configure(&mut self, root: u32, size: usize) -> bool {
        let Ok(document) = hostcalls::get_buffer(BufferType::PluginConfiguration, size) else {
            hostcalls::log(LogLevel::Error, "chaperone: the configuration could not be read");
            return false;
        };
        let compiled = Policy::compile(&document);
        match compiled {
            Ok(policy) => {
                #[cfg(feature = "for-tests")]
                trap_on_a_worker(&policy, self.configured);
                let (name, revision) = (policy.name().unwrap_or_default(), policy.revision().unwrap_or_default());
                hostcalls::log(
                    LogLevel::Info,
                    &format!("chaperone: policy {name} revision {revision} generation {}", policy.generation()),
                );
                self.metrics.policy_loaded(policy.generation());
                let node = hostcalls::get_property("xds\0node\0id").ok().flatten();
                if let Some(node) = node.and_then(|node| String::from_utf8(node).ok()) {
                    self.worker.name_proxy(&node);
                }
                self.ticks = hostcalls::set_tick_period(FIRST_TICK).is_ok();
                if !self.ticks {
                    hostcalls::log(
                        LogLevel::Error,
                        "chaperone: the host gives no ticks: an idle stream goes on until it moves, and no keys are fetched",
                    );
                }
                self.configured += 1;
                let policy = Rc::new(policy);
                self.worker.adopt(&policy);
                let lineage = self.lineage(&policy, document);
                let next_tick = Some(TICK - FIRST_TICK);
                self.roots.insert(root, Root { policy, lineage, next_tick, bytes: size, order: self.configured });
                self.let_go_of_old_policies(root);
                self.hold();
                true
            }
            Err(errors) => {
                hostcalls::log(
                    LogLevel::Error,
                    &format!("chaperone: the policy is refused, and whatever served before serves on:\n{errors}"),
                );
                false
            }
        }
    }

    /// What the root contexts with policies of this name share; `policy` is the newest there from now on.
    fn lineage(&self, policy: &Rc<Policy>, document: Vec<u8>) -> Rc<Lineage> {
        let at = HostState.elapsed().ok();
        match self.roots.values().find(|root| root.order > 0 && Some(root.lineage.name()) == policy.name()) {
            Some(root) => {
                root.lineage.configured(Rc::clone(policy), document, at);
                Rc::clone(&root.lineage)
            }
            None => Rc::new(Lineage::new(Rc::clone(policy), document, at)),
        }
    }

    /// Keeps what has been fetched for the policies that are in use.
    fn hold(&mut self) {
        let policies = self.roots.values().flat_map(|root| [Rc::clone(&root.policy), root.lineage.newest()]);
        self.worker.hold_for(&policies.collect::<Vec<_>>());
    }

    pub(crate) fn on_http_request_headers(&mut self, context: u32, end_of_stream: bool) -> Action {
        let room = self.kept < limits::STREAMS;
        self.streams.entry(context).or_insert_with(Stream::orphan);
        self.on_stream(context, |stream, with| stream.request_headers(with, room, !end_of_stream))
    }

    pub(crate) fn on_http_request_body(&mut self, context: u32, size: usize, end_of_stream: bool) -> Action {
        self.on_stream(context, |stream, with| stream.body(Direction::Up, size, end_of_stream, with))
    }

    pub(crate) fn on_http_request_trailers(&mut self, context: u32) -> Action {
        self.on_stream(context, Stream::request_trailers)
    }

    pub(crate) fn on_http_response_headers(&mut self, context: u32, end_of_stream: bool) -> Action {
        self.on_stream(context, |stream, with| stream.response_headers(end_of_stream, with))
    }

    pub(crate) fn on_http_response_body(&mut self, context: u32, size: usize, end_of_stream: bool) -> Action {
        self.on_stream(context, |stream, with| stream.body(Direction::Down, size, end_of_stream, with))
    }

    pub(crate) fn on_http_response_trailers(&mut self, context: u32) -> Action {
        self.on_stream(context, |stream, with| stream.response_trailers(with))
    }

    pub(crate) fn on_log(&mut self, context: u32) {
        self.on_stream(context, |stream, with| {
            stream.log(with);
            Action::Continue
        });
    }

    /// A stream that is not known has no permit: held.
    fn on_stream(&mut self, context: u32, f: impl FnOnce(&mut Stream, &mut With<'_>) -> Action) -> Action {
        let Some(stream) = self.streams.get_mut(&context) else { return Action::Pause };
        let before = usize::from(stream.is_kept());
        let action = f(
            stream,
            &mut With { worker: &mut self.worker, crypto: &self.crypto, metrics: &mut self.metrics, ticks: self.ticks },
        );
        self.kept = self.kept + usize::from(stream.is_kept()) - before;
        if self.worker.is_wanting() {
            self.fetch_wanted();
            let _ = hostcalls::set_effective_context(context);
        }
        action
    }

    /// Has fetched what requests have begun to wait for, by the newest root context: the others may be gone before the answer comes.
    fn fetch_wanted(&mut self) {
        // A request that is taken up in vain wants nothing more.
        while self.worker.is_wanting() {
            let newest = self.roots.iter().max_by_key(|(_, root)| root.order).map(|(context, _)| *context);
            for ticket in self.callouts.begin_wanted(&mut self.worker, newest, &self.crypto) {
                self.take_up(ticket);
            }
        }
    }

    /// Takes up the requests that wait for what came of this fetch.
    fn take_up(&mut self, ticket: Ticket) {
        let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
        let mut with = With { worker: &mut self.worker, crypto: &self.crypto, metrics: &mut self.metrics, ticks: self.ticks };
        for (context, stream) in self.streams.iter_mut().filter(|(_, stream)| stream.waits_for(ticket)) {
            stream.tick(*context, &mut with, now);
            self.kept -= usize::from(!stream.is_kept());
        }
    }

    /// A root context's timer. While older ones live each has its own, and any of them tells for all: what was asked a moment
    /// ago is not asked again.
    pub(crate) fn on_tick(&mut self, context: u32) {
        let now = hostcalls::get_current_time().map(Timestamp::from_nanos);
        self.hear(context);
        if let (Ok(now), Some(policy)) = (now, self.newest_of(context)) {
            self.callouts.begin(&mut self.worker, &policy, &self.crypto, now);
        }
        let asked = now.ok().map(|now| (now.millis() / u64::from(TICK / 2), self.configured));
        if asked.is_none() || std::mem::replace(&mut self.asked, asked) != asked {
            self.worker.sweep();
            let mut with = With { worker: &mut self.worker, crypto: &self.crypto, metrics: &mut self.metrics, ticks: self.ticks };
            for (context, stream) in &mut self.streams {
                stream.tick(*context, &mut with, now);
            }
            // What waited may have been answered.
            self.kept = self.streams.values().filter(|stream| stream.is_kept()).count();
            self.fetch_wanted();
        }
        self.metrics.report(self.worker.counts(), self.crypto.made());
        let now = now.unwrap_or(self.worker.latest());
        self.metrics.report_fetches(self.worker.fetch_counts(), [self.worker.age_of_keys(now), self.worker.age_of_lists(now)]);
    }

    /// Tells the other VMs of what this root context was given, if they have not been told, and hears of what they were given.
    fn hear(&mut self, context: u32) {
        let room = self.room_beside(context);
        let Some(root) = self.roots.get_mut(&context).filter(|root| root.order > 0) else { return };
        root.has_ticked();
        let lineage = Rc::clone(&root.lineage);
        let heard = lineage.tick(&HostState, &self.id, !self.streamed, room);
        let name = lineage.name();
        if heard.abandoned {
            hostcalls::log(
                LogLevel::Error,
                &format!(
                    "chaperone: nothing reaches the policy {name} here any more: its open streams end (session.orphaned_streams)"
                ),
            );
        }
        let Some(policy) = heard.policy else { return };
        self.configured += 1;
        if heard.unreadable {
            hostcalls::log(
                LogLevel::Error,
                &format!("chaperone: another VM serves a policy {name} that this filter cannot read: its open streams end"),
            );
        } else {
            let generation = policy.generation();
            hostcalls::log(
                LogLevel::Info,
                &format!(
                    "chaperone: another VM serves the policy {name}, generation {generation}: open streams are judged by it"
                ),
            );
        }
        self.worker.adopt(&policy);
        self.hold();
    }

    /// Bytes of documents that there is room for, besides those that are in memory for other names or were this VM's own.
    fn room_beside(&self, context: u32) -> usize {
        let mine = self.roots.get(&context).map(|root| Rc::as_ptr(&root.lineage));
        let mut heard: Vec<_> = self.roots.values().map(|root| (Rc::as_ptr(&root.lineage), root.lineage.heard_bytes())).collect();
        heard.sort_unstable();
        heard.dedup();
        let heard = heard.iter().filter(|(lineage, _)| Some(*lineage) != mine).map(|(_, bytes)| bytes);
        let taken = self.roots.values().map(|root| root.bytes).chain(heard.copied()).sum();
        limits::RETAINED_DOCUMENT_BYTES.saturating_sub(taken)
    }

    /// The newest policy of a root context's name, if the root context is the newest of that name: only that one has anything
    /// fetched. An older one has a timer of its own for as long as it has streams.
    fn newest_of(&self, context: u32) -> Option<Rc<Policy>> {
        let root = self.roots.get(&context)?;
        let newer = |other: &Root| other.order > root.order && Rc::ptr_eq(&other.lineage, &root.lineage);
        (!self.roots.values().any(newer)).then(|| root.lineage.newest())
    }

    pub(crate) fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize) {
        if let Some(ticket) = self.callouts.answered(&mut self.worker, &self.crypto, token, headers, body) {
            self.take_up(ticket);
            self.fetch_wanted();
        }
    }

    /// Keeps the documents of all policies in memory within a bound: an update that ran out of memory would end the VM, and a
    /// worker whose update failed may run without the filter. What lost its policy denies.
    fn let_go_of_old_policies(&mut self, newest: u32) {
        while self.roots.values().map(|root| root.bytes).sum::<usize>() > limits::RETAINED_DOCUMENT_BYTES {
            let older = self.roots.iter_mut().filter(|(context, root)| **context != newest && root.bytes > 0);
            let Some((_, oldest)) = older.min_by_key(|(_, root)| root.order) else { return };
            let lost = std::mem::replace(&mut oldest.policy, Rc::new(Policy::deny_all()));
            oldest.bytes = 0;
            // Its lineage stays, or its open streams would hear of no later policy.
            oldest.lineage.let_go(&lost);
        }
    }

    pub(crate) fn on_delete(&mut self, context: u32) {
        let gone = self.streams.remove(&context);
        if let Some(mut stream) = gone.filter(Stream::is_kept) {
            stream.finish(&mut self.worker);
            self.kept = self.kept.saturating_sub(1);
        }
        self.roots.remove(&context);
    }
}

/// Passes in the canary, whose VM is new, and traps in a worker that has a policy: the one way by which Envoy comes to run a
/// worker without the filter.
#[cfg(feature = "for-tests")]
fn trap_on_a_worker(policy: &Policy, configured: u64) {
    if configured > 0 && policy.name() == Some("trap-on-a-worker") {
        std::process::abort();
    }
}
