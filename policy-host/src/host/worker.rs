//! A canary and a worker: how Envoy brings a configuration to a VM, and what becomes of a VM that died.

use super::flow::Flow;
use super::{ConfigureError, LocalReply, Module, Plugin, Properties, RootId, StreamId, Trap, Vm, VmOptions};
use rustc_hash::FxHashMap;
use std::collections::HashMap;
use std::sync::Arc;

/// How old a dead VM must be before FAIL_RELOAD builds a new one: Envoy's default backoff, which counts from the last load, not
/// from the trap. Envoy takes a random part of it, this host all.
const RELOAD_AFTER_NANOSECONDS: u64 = 1_000_000_000;

/// What happens to requests once the VM has trapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// 503 for ever.
    #[default]
    Closed,
    /// A new VM with the current configuration for the next request; 503 while the dead one was loaded less than a second ago.
    Reload,
}

/// How a configuration came to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// In a new root context.
    Configured,
    /// An open stream still held a root context of exactly these bytes: it serves again, without `proxy_on_configure`.
    Reused,
}

/// Tries configurations before any worker sees them.
pub struct Canary {
    module: Module,
    options: VmOptions,
    plugin: Plugin,
    /// Envoy remembers its verdict on bytes that it has seen.
    verdicts: HashMap<Vec<u8>, bool>,
}

impl Canary {
    /// A canary for a filter.
    #[must_use]
    pub fn new(module: &Module, options: &VmOptions, plugin: &Plugin) -> Self {
        Self { module: module.clone(), options: options.clone(), plugin: plugin.clone(), verdicts: HashMap::new() }
    }

    /// Would the filter take this configuration?
    ///
    /// # Errors
    /// When a fresh VM rejects it or traps.
    pub fn check(&mut self, configuration: &[u8]) -> Result<(), ConfigureError> {
        match self.verdicts.get(configuration) {
            Some(true) => return Ok(()),
            Some(false) => return Err(ConfigureError::Rejected),
            None => {}
        }
        let verdict = Vm::start(&self.module, self.options.clone())
            .map_err(|trap| ConfigureError::Trapped(Arc::new(trap)))
            .and_then(|mut vm| vm.configure(&self.plugin, configuration).map(|_| ()));
        self.verdicts.insert(configuration.to_vec(), verdict.is_ok());
        verdict
    }
}

/// One worker thread's VM and the configuration that it serves.
pub struct Worker {
    module: Module,
    pub(super) options: VmOptions,
    plugin: Plugin,
    policy: FailurePolicy,
    pub(super) vm: Vm,
    current: Option<(RootId, Arc<[u8]>)>,
    /// Roots that may still be alive, with their bytes.
    roots: Vec<(RootId, Arc<[u8]>)>,
    /// When the VM was started, on the monotonic clock.
    loaded_at: u64,
    /// Streams that this worker drives.
    pub(super) flows: FxHashMap<StreamId, Flow>,
}

impl Worker {
    /// Starts the VM; it has no configuration yet.
    ///
    /// # Errors
    /// When the filter traps while it starts.
    pub fn start(module: &Module, options: &VmOptions, plugin: &Plugin, policy: FailurePolicy) -> Result<Self, Trap> {
        Ok(Self {
            module: module.clone(),
            options: options.clone(),
            plugin: plugin.clone(),
            policy,
            vm: Vm::start(module, options.clone())?,
            current: None,
            roots: Vec::new(),
            loaded_at: options.clock.monotonic(),
            flows: FxHashMap::default(),
        })
    }

    /// Serves this configuration from now on. Open streams keep theirs. A dead VM is replaced: Envoy forgets a VM that failed.
    ///
    /// # Errors
    /// When the filter rejects it or traps; the older one goes on serving then, if the VM lives.
    pub fn apply(&mut self, configuration: &[u8]) -> Result<Applied, ConfigureError> {
        if self.vm.trap().is_some() {
            self.replace_vm().map_err(|trap| ConfigureError::Trapped(Arc::new(trap)))?;
        }
        let vm = &mut self.vm;
        self.roots.retain(|(root, _)| vm.is_live(*root));
        if let Some((root, bytes)) = self.roots.iter().find(|(_, bytes)| **bytes == *configuration).cloned() {
            self.vm.revive(root);
            self.replace_current(root, bytes);
            return Ok(Applied::Reused);
        }
        let root = self.vm.configure(&self.plugin, configuration)?;
        let bytes: Arc<[u8]> = configuration.into();
        self.roots.push((root, Arc::clone(&bytes)));
        self.replace_current(root, bytes);
        Ok(Applied::Configured)
    }

    fn replace_current(&mut self, root: RootId, bytes: Arc<[u8]>) {
        let old = self.current.replace((root, bytes));
        if let Some((old, _)) = old.filter(|(old, _)| *old != root) {
            self.vm.retire(old);
        }
    }

    /// A new stream under the current configuration.
    ///
    /// # Errors
    /// The reply to give while there is no configuration. (A dead VM does open streams: its callbacks answer 503.)
    pub fn open(&mut self, properties: impl Into<Arc<Properties>>) -> Result<StreamId, LocalReply> {
        self.reload_if_due();
        match &self.current {
            Some((root, _)) => Ok(self.vm.open(*root, properties)),
            None => Err(LocalReply::no_configuration()),
        }
    }

    fn reload_if_due(&mut self) {
        if self.vm.trap().is_none() || self.policy == FailurePolicy::Closed {
            return;
        }
        let now = self.options.clock.monotonic();
        if now.saturating_sub(self.loaded_at) < RELOAD_AFTER_NANOSECONDS {
            return;
        }
        self.loaded_at = now;
        let bytes = self.current.as_ref().map(|(_, bytes)| Arc::clone(bytes));
        if self.replace_vm().is_ok()
            && let Some(bytes) = bytes
        {
            // A rejection here contradicts the canary. Without a configuration every request is refused, so nothing opens.
            let _ = self.apply(&bytes);
        }
    }

    /// Streams of the old VM stay dead; no configuration serves yet.
    fn replace_vm(&mut self) -> Result<(), Trap> {
        self.vm = Vm::start(&self.module, self.options.clone())?;
        self.current = None;
        self.roots.clear();
        self.loaded_at = self.options.clock.monotonic();
        Ok(())
    }

    pub(super) fn current_root(&self) -> Option<RootId> {
        self.current.as_ref().map(|(root, _)| *root)
    }

    /// The VM, for the callbacks of open streams.
    pub fn vm(&mut self) -> &mut Vm {
        &mut self.vm
    }
}
