//! The state of one VM: one worker of the core, the policies of its root contexts, its open streams.

use std::cell::RefCell;
use std::rc::Rc;

use chaperone_policy::{Policy, Secret, Timestamp, Worker, limits};

use rustc_hash::FxHashMap;

use crate::abi::{self, Buffer, Failed, Level};
use crate::crypto::HostCrypto;
use crate::fetch::Callouts;
use crate::metrics::Metrics;
use crate::shared::HostState;
use crate::stream::{Action, Direction, Stream};

/// How often open streams are asked about and metrics reported, in milliseconds. With what an update takes to reach the worker
/// this keeps a cut well within a second.
const TICK: u32 = 250;

pub(crate) struct Vm {
    worker: Worker,
    crypto: HostCrypto,
    metrics: Metrics,
    /// By root context. A config change makes a new root context in the same VM; the older one lives until its last stream ends.
    roots: FxHashMap<u32, Root>,
    /// How many configurations were taken: tells older root contexts from newer ones.
    configured: u64,
    callouts: Callouts,
    streams: FxHashMap<u32, Stream>,
    permitted: usize,
    /// When, and after how many configurations, the open streams were last asked about.
    asked: Option<(u64, u64)>,
}

/// A root context: what its streams are judged by.
pub(crate) struct Root {
    pub(crate) policy: Rc<Policy>,
    pub(crate) plugin: Rc<Plugin>,
    /// Size of the policy's document; 0 while there is none.
    bytes: usize,
    /// The `configured` of its configuration.
    order: u64,
}

/// What all root contexts of one plugin have in common, whatever configuration each began with.
pub(crate) struct Plugin {
    /// The plugin's name in the proxy, and its policy's: plugins of one image may share a VM.
    name: (Vec<u8>, String),
    newest: RefCell<Rc<Policy>>,
}

impl Plugin {
    /// The policy that its open streams are judged by.
    pub(crate) fn newest(&self) -> Rc<Policy> {
        Rc::clone(&self.newest.borrow())
    }
}

impl Root {
    pub(crate) fn deny_all() -> Self {
        let policy = Rc::new(Policy::deny_all());
        let plugin = Plugin { name: Default::default(), newest: RefCell::new(Rc::clone(&policy)) };
        Self { policy, plugin: Rc::new(plugin), bytes: 0, order: 0 }
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
        let environment = abi::environment()?
            .split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
            .map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned())))
            .collect();
        let mut worker = Worker::new(id, seed, environment);
        worker.share(Rc::new(HostState));
        Ok(Self {
            worker,
            crypto: HostCrypto::checked(),
            metrics: Metrics::define(),
            roots: FxHashMap::default(),
            configured: 0,
            callouts: Callouts::default(),
            streams: FxHashMap::default(),
            permitted: 0,
            asked: None,
        })
    }

    pub(crate) fn create(&mut self, context: u32, parent: u32) {
        if parent == 0 {
            self.roots.entry(context).or_insert_with(Root::deny_all);
        } else {
            let stream = match self.roots.get(&parent) {
                Some(root) => Stream::new(Rc::clone(&root.policy), Rc::clone(&root.plugin)),
                None => Stream::orphan(),
            };
            self.streams.insert(context, stream);
        }
    }

    /// Takes a configuration: a pure function of its bytes. When it is bad the root context keeps what it has.
    pub(crate) fn configure(&mut self, root: u32, size: usize) -> bool {
        let compiled = match abi::buffer(Buffer::PluginConfiguration, size) {
            Ok(bytes) => Policy::compile(&bytes),
            Err(Failed) => {
                abi::log(Level::Error, "chaperone: the configuration could not be read");
                return false;
            }
        };
        match compiled {
            Ok(policy) => {
                #[cfg(feature = "trap-for-tests")]
                trap_on_a_worker(&policy, self.configured);
                let (name, revision) = (policy.name().unwrap_or_default(), policy.revision().unwrap_or_default());
                abi::log(
                    Level::Info,
                    &format!("chaperone: policy {name} revision {revision} generation {}", policy.generation()),
                );
                self.metrics.policy_loaded(policy.generation());
                if let Some(name) = abi::property("xds\0node\0id").ok().and_then(|name| String::from_utf8(name).ok()) {
                    self.worker.name_proxy(&name);
                }
                if abi::set_tick_period(TICK).is_err() {
                    abi::log(
                        Level::Error,
                        "chaperone: the host gives no ticks: an idle stream goes on until it moves, and no keys are fetched",
                    );
                }
                self.configured += 1;
                let name = (abi::property("plugin_name").unwrap_or_default(), name.to_owned());
                let policy = Rc::new(policy);
                self.worker.adopt(&policy);
                let plugin = self.plugin(name, &policy);
                self.roots.insert(root, Root { policy, plugin, bytes: size, order: self.configured });
                self.let_go_of_old_policies(root);
                let policies = self.roots.values().flat_map(|root| [Rc::clone(&root.policy), root.plugin.newest()]);
                self.worker.hold_for(&policies.collect::<Vec<_>>());
                true
            }
            Err(errors) => {
                abi::log(
                    Level::Error,
                    &format!("chaperone: the policy is refused, and whatever served before serves on:\n{errors}"),
                );
                false
            }
        }
    }

    /// What the root contexts of this plugin share; `policy` is the newest there from now on.
    fn plugin(&self, name: (Vec<u8>, String), policy: &Rc<Policy>) -> Rc<Plugin> {
        match self.roots.values().find(|root| root.order > 0 && root.plugin.name == name) {
            Some(root) => {
                *root.plugin.newest.borrow_mut() = Rc::clone(policy);
                Rc::clone(&root.plugin)
            }
            None => Rc::new(Plugin { name, newest: RefCell::new(Rc::clone(policy)) }),
        }
    }

    pub(crate) fn request_headers(&mut self, context: u32, body: bool) -> Action {
        let stream = self.streams.entry(context).or_insert_with(Stream::orphan);
        self.permitted -= usize::from(stream.is_permitted());
        let room = self.permitted < limits::STREAMS;
        let action = stream.request_headers(&mut self.worker, &self.crypto, &mut self.metrics, room, body);
        self.permitted += usize::from(stream.is_permitted());
        action
    }

    pub(crate) fn response_headers(&mut self, context: u32) -> Option<Action> {
        self.streams.get_mut(&context).map(|stream| stream.response_headers(&mut self.worker, &mut self.metrics))
    }

    pub(crate) fn body(&mut self, context: u32, way: Direction, size: usize) -> Action {
        match self.streams.get_mut(&context) {
            Some(stream) => stream.body(way, size, &mut self.worker, &mut self.metrics),
            None => Action::Pause,
        }
    }

    /// A root context's timer. While older ones live each has its own, and any of them tells for all: what was asked a moment
    /// ago is not asked again.
    pub(crate) fn tick(&mut self, context: u32) {
        let now = abi::now().map(Timestamp::from_nanos);
        if let (Ok(now), Some(policy)) = (now, self.newest_of(context)) {
            self.callouts.begin(&mut self.worker, &policy, &self.crypto, now);
        }
        let asked = now.ok().map(|now| (now.millis() / u64::from(TICK / 2), self.configured));
        if asked.is_none() || std::mem::replace(&mut self.asked, asked) != asked {
            self.worker.sweep();
            for (context, stream) in &mut self.streams {
                stream.tick(*context, &mut self.worker, &mut self.metrics, now);
            }
        }
        self.metrics.report(self.worker.counts(), self.crypto.made());
        let now = now.unwrap_or_default();
        self.metrics.report_fetches(self.worker.fetch_counts(), [self.worker.age_of_keys(now), self.worker.age_of_lists(now)]);
    }

    /// The policy of a root context, if it is the newest of its plugin: only that one has anything fetched. An older one has
    /// a timer of its own for as long as it has streams.
    fn newest_of(&self, context: u32) -> Option<Rc<Policy>> {
        let root = self.roots.get(&context)?;
        let newer = |other: &Root| other.order > root.order && Rc::ptr_eq(&other.plugin, &root.plugin);
        (!self.roots.values().any(newer)).then(|| Rc::clone(&root.policy))
    }

    pub(crate) fn callout_answered(&mut self, token: u32, headers: usize, body: usize) {
        self.callouts.answered(&mut self.worker, &self.crypto, token, headers, body);
    }

    /// Keeps the documents of all policies in memory within a bound: an update that ran out of memory would end the VM, and a
    /// worker whose update failed may run without the filter. What lost its policy denies.
    fn let_go_of_old_policies(&mut self, newest: u32) {
        while self.roots.values().map(|root| root.bytes).sum::<usize>() > limits::RETAINED_DOCUMENT_BYTES {
            let older = self.roots.iter_mut().filter(|(context, root)| **context != newest && root.bytes > 0);
            let Some((_, oldest)) = older.min_by_key(|(_, root)| root.order) else { return };
            let lost = std::mem::replace(&mut oldest.policy, Rc::new(Policy::deny_all()));
            oldest.bytes = 0;
            // Its plugin stays, or its open streams would hear of no later policy.
            let is_newest = Rc::ptr_eq(&oldest.plugin.newest(), &lost);
            if is_newest {
                *oldest.plugin.newest.borrow_mut() = Rc::clone(&oldest.policy);
            }
        }
    }

    pub(crate) fn on_stream<T>(&mut self, context: u32, f: impl FnOnce(&mut Stream, &mut Worker) -> T) -> Option<T> {
        self.streams.get_mut(&context).map(|stream| f(stream, &mut self.worker))
    }

    pub(crate) fn log(&self, context: u32) {
        if let Some(stream) = self.streams.get(&context) {
            stream.log();
        }
    }

    pub(crate) fn delete(&mut self, context: u32) {
        if self.streams.remove(&context).is_some_and(|stream| stream.is_permitted()) {
            self.permitted = self.permitted.saturating_sub(1);
        }
        self.roots.remove(&context);
    }
}

/// Passes in the canary, whose VM is new, and traps in a worker that has a policy: the one way by which Envoy comes to run a
/// worker without the filter.
#[cfg(feature = "trap-for-tests")]
fn trap_on_a_worker(policy: &Policy, configured: u64) {
    if configured > 0 && policy.name() == Some("trap-on-a-worker") {
        std::process::abort();
    }
}
