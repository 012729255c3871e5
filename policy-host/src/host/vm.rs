//! One VM: a filter's instance with its root contexts. It lives until its first trap.

use super::module::Abi;
use super::state::{Context, Effect, HostState, Phase, Root, Settings};
use super::{Clock, Clusters, HostCall, LogLevel, LogSink, Module, Shared, Trap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmtime::{Instance, Store, StoreLimits, StoreLimitsBuilder, TypedFunc, WasmParams, WasmResults};

/// Envoy's cap of a VM's memory (`PROXY_WASM_HOST_MAX_WASM_MEMORY_SIZE_BYTES`).
const MEMORY_MAX_BYTES: usize = 1 << 30;
/// Fuel of one callback, roughly wasm instructions: a second or two of running. Envoy has no such bound; a test must end.
const FUEL_PER_CALLBACK: u64 = 2_000_000_000;

/// How a VM is set up. No `Debug`: the environment holds credentials.
#[derive(Clone)]
pub struct VmOptions {
    /// `vm_id`: the namespace of shared data.
    pub vm_id: String,
    /// The VM's own configuration.
    pub configuration: Vec<u8>,
    /// Environment variables. Nothing of the host's own environment is passed on.
    pub environment: Vec<(String, String)>,
    /// The guest's time.
    pub clock: Clock,
    /// Where its log goes.
    pub log: LogSink,
    /// Lines below this level are dropped.
    pub log_level: LogLevel,
    /// The proxy that it is part of.
    pub shared: Shared,
    /// The clusters that callouts can reach, and what they answer.
    pub clusters: Clusters,
    /// `allow_on_headers_stop_iteration` of the plugin: while a headers callback pauses, body callbacks run.
    pub hold_headers_alone: bool,
    /// Fuel of one callback, roughly wasm instructions.
    pub fuel: u64,
    /// Bytes of memory; growing beyond fails in the guest. At most 1 GiB, as in Envoy.
    pub memory_bytes: usize,
}

impl Default for VmOptions {
    fn default() -> Self {
        Self {
            vm_id: String::new(),
            configuration: Vec::new(),
            environment: Vec::new(),
            clock: Clock::real(),
            log: LogSink::discard(),
            log_level: LogLevel::Info,
            shared: Shared::default(),
            clusters: Clusters::default(),
            hold_headers_alone: false,
            fuel: FUEL_PER_CALLBACK,
            memory_bytes: MEMORY_MAX_BYTES,
        }
    }
}

/// Which plugin a root context belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plugin {
    /// `plugin_name`.
    pub name: String,
    /// `plugin_root_id`.
    pub root_id: String,
}

/// A root context of one VM: one configuration of the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootId {
    pub(super) vm: u64,
    pub(super) context: u32,
}

/// Why a configuration is not served.
#[derive(Clone, Debug)]
pub enum ConfigureError {
    /// `proxy_on_vm_start` or `proxy_on_configure` answered false. Older configurations go on serving.
    Rejected,
    /// The VM died of it, or was dead already.
    Trapped(Arc<Trap>),
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected => f.write_str("the filter rejected the configuration"),
            Self::Trapped(trap) => trap.fmt(f),
        }
    }
}

impl std::error::Error for ConfigureError {}

/// A running filter. It is `Send`, not `Sync`: one thread at a time.
pub struct Vm {
    pub(super) store: Store<HostState>,
    pub(super) exports: Exports,
    pub(super) id: u64,
    dead: Option<Arc<Trap>>,
    fuel: u64,
    next_context: u32,
}

/// Root context, token, numbers of headers, of the body's bytes, of trailers.
type CalloutTold = (u32, u32, u32, u32, u32);

pub(super) struct Exports {
    pub(super) context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) tick: Option<TypedFunc<u32, ()>>,
    /// ABI 0.1.0: without the end of the stream.
    pub(super) old_request_headers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) old_response_headers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) request_headers: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) response_headers: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) response_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) response_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) done: Option<TypedFunc<u32, u32>>,
    pub(super) log: Option<TypedFunc<u32, ()>>,
    pub(super) delete: Option<TypedFunc<u32, ()>>,
    pub(super) queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) http_call_response: Option<TypedFunc<CalloutTold, ()>>,
}

/// A state for a store that only lists names.
pub(super) fn blank_state() -> HostState {
    HostState::new(settings(VmOptions::default()), StoreLimits::default())
}

fn settings(options: VmOptions) -> Settings {
    let VmOptions {
        vm_id,
        configuration,
        environment,
        clock,
        log,
        log_level,
        shared,
        clusters,
        hold_headers_alone: _,
        fuel: _,
        memory_bytes: _,
    } = options;
    Settings { vm_id, configuration, environment, clock, log, log_level, shared, clusters }
}

fn export<P: WasmParams, R: WasmResults>(
    store: &mut Store<HostState>,
    instance: Instance,
    name: &str,
) -> wasmtime::Result<Option<TypedFunc<P, R>>> {
    instance.get_func(&mut *store, name).map(|function| function.typed(&mut *store)).transpose()
}

impl Vm {
    /// Instantiates the filter and runs its `_initialize` or `_start`.
    ///
    /// # Errors
    /// When the filter traps meanwhile, wants more memory than it may have, or exports a callback with another signature.
    pub fn start(module: &Module, options: VmOptions) -> Result<Self, Trap> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let (id, fuel) = (NEXT_ID.fetch_add(1, Ordering::Relaxed), options.fuel);
        let limits = StoreLimitsBuilder::new().memory_size(options.memory_bytes.min(MEMORY_MAX_BYTES)).build();
        let state = HostState::new(settings(options), limits);
        let mut store = Store::new(module.instance.module().engine(), state);
        (store.data_mut().vm, store.data_mut().abi) = (id, module.abi);
        store.limiter(|state| &mut state.limits);
        store.set_fuel(fuel)?;
        let instance = module.instance.instantiate(&mut store)?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        store.data_mut().allocate = export(&mut store, instance, module.allocator)?.map(Arc::new);
        initialize(&mut store, instance)?;
        store.data_mut().phase = Phase::Running;
        let (old, store_ref) = (module.abi == Abi::V0_1_0, &mut store);
        let exports = Exports {
            context_create: export(store_ref, instance, "proxy_on_context_create")?,
            vm_start: export(store_ref, instance, "proxy_on_vm_start")?,
            configure: export(store_ref, instance, "proxy_on_configure")?,
            tick: export(store_ref, instance, "proxy_on_tick")?,
            old_request_headers: if old { export(store_ref, instance, "proxy_on_request_headers")? } else { None },
            old_response_headers: if old { export(store_ref, instance, "proxy_on_response_headers")? } else { None },
            request_headers: if old { None } else { export(store_ref, instance, "proxy_on_request_headers")? },
            request_body: export(store_ref, instance, "proxy_on_request_body")?,
            request_trailers: export(store_ref, instance, "proxy_on_request_trailers")?,
            response_headers: if old { None } else { export(store_ref, instance, "proxy_on_response_headers")? },
            response_body: export(store_ref, instance, "proxy_on_response_body")?,
            response_trailers: export(store_ref, instance, "proxy_on_response_trailers")?,
            done: export(store_ref, instance, "proxy_on_done")?,
            log: export(store_ref, instance, "proxy_on_log")?,
            delete: export(store_ref, instance, "proxy_on_delete")?,
            queue_ready: export(store_ref, instance, "proxy_on_queue_ready")?,
            http_call_response: export(store_ref, instance, "proxy_on_http_call_response")?,
        };
        Ok(Self { store, exports, id, dead: None, fuel, next_context: 1 })
    }

    /// Gives the filter a configuration, as a new root context. Older root contexts and their streams live on.
    ///
    /// # Errors
    /// When the filter rejects it, or traps.
    pub fn configure(&mut self, plugin: &Plugin, configuration: &[u8]) -> Result<RootId, ConfigureError> {
        self.alive()?;
        let context = self.allocate_context();
        let bytes = u32::try_from(configuration.len()).unwrap_or(u32::MAX);
        let root = Root {
            plugin: Arc::new(plugin.clone()),
            configuration: Some(configuration.into()),
            tick_period: None,
            streams: 0,
            retired: false,
            pending_done: false,
            tick_due: None,
            callout_answer: None,
            status: (0, ""),
        };
        self.store.data_mut().contexts.insert(context, Context::Root(root));
        let accepted = self.start_root(context, bytes);
        if let Some(root) = self.store.data_mut().root_by_id(context) {
            root.configuration = None;
        }
        match accepted {
            Ok(true) => Ok(RootId { vm: self.id, context }),
            Ok(false) => Err(ConfigureError::Rejected),
            Err(trap) => Err(ConfigureError::Trapped(trap)),
        }
    }

    fn start_root(&mut self, context: u32, bytes: u32) -> Result<bool, Arc<Trap>> {
        let vm_bytes = u32::try_from(self.store.data().settings.configuration.len()).unwrap_or(u32::MAX);
        self.call(context, |exports| &exports.context_create, (context, 0))?;
        if self.call(context, |exports| &exports.vm_start, (context, vm_bytes))? == Some(0) {
            return Ok(false);
        }
        Ok(self.call(context, |exports| &exports.configure, (context, bytes))? != Some(0))
    }

    /// No new streams will come for this root; it ends with its last one.
    pub fn retire(&mut self, root: RootId) {
        if root.vm != self.id {
            return;
        }
        if let Some(root) = self.store.data_mut().root_by_id(root.context) {
            root.retired = true;
        }
        self.end_root_if_idle(root.context);
    }

    /// Does the root context still exist?
    #[must_use]
    pub fn is_live(&self, root: RootId) -> bool {
        root.vm == self.id && self.dead.is_none() && self.store.data().contexts.contains_key(&root.context)
    }

    pub(super) fn revive(&mut self, root: RootId) {
        if let Some(root) = self.store.data_mut().root_by_id(root.context) {
            root.retired = false;
        }
    }

    pub(super) fn end_root_if_idle(&mut self, context: u32) {
        let idle = self.store.data_mut().root_by_id(context).is_some_and(|root| root.retired && root.streams == 0);
        if !idle || self.dead.is_some() {
            return;
        }
        let done = self.call(context, |exports| &exports.done, context);
        if let Ok(Some(0)) = done {
            // The filter finishes later; Envoy keeps such a root until `proxy_done`, and nothing here would call it again.
            if let Some(root) = self.store.data_mut().root_by_id(context) {
                root.pending_done = true;
            }
            return;
        }
        // A trap shows in `trap()`; there is no request to answer for.
        let _ = self.call(context, |exports| &exports.delete, context);
        self.store.data_mut().contexts.remove(&context);
    }

    /// Runs `proxy_on_tick` of a root context that asked for ticks; `false` when it did not.
    ///
    /// # Errors
    /// When the filter traps.
    pub fn tick(&mut self, root: RootId) -> Result<bool, Arc<Trap>> {
        if self.tick_period(root).is_none() {
            return Ok(false);
        }
        Ok(self.call(root.context, |exports| &exports.tick, root.context)?.is_some())
    }

    /// The tick period that the root context asked for, in milliseconds.
    pub fn tick_period(&mut self, root: RootId) -> Option<u32> {
        if root.vm != self.id {
            return None;
        }
        self.store.data_mut().root_by_id(root.context)?.tick_period
    }

    pub(super) fn next_effect(&mut self) -> Option<Effect> {
        self.store.data_mut().effects.pop_front()
    }

    /// The trap that this VM died of.
    #[must_use]
    pub fn trap(&self) -> Option<&Arc<Trap>> {
        self.dead.as_ref()
    }

    /// How often the filter made this host call.
    #[must_use]
    pub fn call_count(&self, call: HostCall) -> u64 {
        self.store.data().calls.get(call as usize).copied().unwrap_or(0)
    }

    /// Fuel that the last callback took, roughly the wasm instructions that it ran: the same on every machine.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.store.get_fuel().map_or(0, |left| self.fuel.saturating_sub(left))
    }

    /// Bytes of the filter's memory. It never shrinks.
    pub fn memory_bytes(&mut self) -> usize {
        let memory = self.store.data().memory;
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// Calls that were made at all, by name.
    #[must_use]
    pub fn call_counts(&self) -> Vec<(&'static str, u64)> {
        HostCall::ALL.iter().map(|call| (call.name(), self.call_count(*call))).filter(|(_, count)| *count > 0).collect()
    }

    pub(super) fn alive(&self) -> Result<(), ConfigureError> {
        self.dead.as_ref().map_or(Ok(()), |trap| Err(ConfigureError::Trapped(Arc::clone(trap))))
    }

    pub(super) fn allocate_context(&mut self) -> u32 {
        loop {
            let id = self.next_context;
            self.next_context = self.next_context.checked_add(1).unwrap_or(1);
            if !self.store.data().contexts.contains_key(&id) {
                return id;
            }
        }
    }

    /// Calls an export, if the filter has it. Whatever goes wrong ends the VM.
    pub(super) fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        export: impl FnOnce(&Exports) -> &Option<TypedFunc<P, R>>,
        parameters: P,
    ) -> Result<Option<R>, Arc<Trap>> {
        if let Some(trap) = &self.dead {
            return Err(Arc::clone(trap));
        }
        let Some(function) = export(&self.exports) else { return Ok(None) };
        let state = self.store.data_mut();
        state.current = context;
        state.effective = 0;
        state.stop_iteration = false;
        let result = self.store.set_fuel(self.fuel).and_then(|()| function.call(&mut self.store, parameters));
        match result {
            Ok(result) => Ok(Some(result)),
            Err(error) => {
                let trap = Arc::new(Trap::from(error));
                self.dead = Some(Arc::clone(&trap));
                Err(trap)
            }
        }
    }
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("id", &self.id).field("dead", &self.dead).finish_non_exhaustive()
    }
}

/// A WASI reactor has `_initialize` (and perhaps a main function to prepare itself), a command has `_start`.
fn initialize(store: &mut Store<HostState>, instance: Instance) -> wasmtime::Result<()> {
    if let Some(initialize) = export::<(), ()>(store, instance, "_initialize")? {
        initialize.call(&mut *store, ())?;
        if let Ok(Some(main)) = export::<(u32, u32), u32>(store, instance, "main") {
            main.call(&mut *store, (0, 0))?;
        } else if let Ok(Some(main)) = export::<(), u32>(store, instance, "__main_void") {
            main.call(&mut *store, ())?;
        }
    } else if let Some(start) = export::<(), ()>(store, instance, "_start")? {
        start.call(&mut *store, ())?;
    }
    Ok(())
}
