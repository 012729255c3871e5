//! The state of one VM: one worker of the core, the policies of its root contexts, its open streams.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use chaperone_policy::{Policy, Secret, Worker};

use crate::abi::{self, Failed, Level};
use crate::crypto::HostCrypto;
use crate::metrics::Metrics;
use crate::stream::Stream;

pub(crate) struct Vm {
    worker: Worker,
    crypto: HostCrypto,
    metrics: Metrics,
    /// By root context. A config change makes a new root context in the same VM; open streams keep what they began under.
    policies: HashMap<u32, Rc<Policy>>,
    streams: HashMap<u32, Stream>,
    /// The proxy's node id, for the record.
    proxy: Option<String>,
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
        Ok(Self {
            worker: Worker::new(id, seed, environment),
            crypto: HostCrypto::checked(),
            metrics: Metrics::define(),
            policies: HashMap::new(),
            streams: HashMap::new(),
            proxy: None,
        })
    }

    pub(crate) fn create(&mut self, context: u32, parent: u32) {
        if parent == 0 {
            self.policies.entry(context).or_insert_with(|| Rc::new(Policy::deny_all()));
        } else {
            let policy = self.policies.get(&parent).map_or_else(|| Rc::new(Policy::deny_all()), Rc::clone);
            self.streams.insert(context, Stream::new(policy));
        }
    }

    /// Takes a configuration: a pure function of its bytes. When it is bad the root context keeps what it has.
    pub(crate) fn configure(&mut self, root: u32, size: usize) -> bool {
        let compiled = match abi::plugin_configuration(size) {
            Ok(bytes) => Policy::compile(&bytes),
            Err(Failed) => {
                abi::log(Level::Error, "chaperone: the configuration could not be read");
                return false;
            }
        };
        match compiled {
            Ok(policy) => {
                let (name, revision) = (policy.name().unwrap_or_default(), policy.revision().unwrap_or_default());
                abi::log(
                    Level::Info,
                    &format!("chaperone: policy {name} revision {revision} generation {}", policy.generation()),
                );
                self.metrics.policy_loaded(policy.generation());
                self.proxy = self.proxy.take().or_else(|| String::from_utf8(abi::property("xds\0node\0id").ok()?).ok());
                self.policies.insert(root, Rc::new(policy));
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

    pub(crate) fn request_headers(&mut self, context: u32) -> crate::stream::Action {
        let stream = self.streams.entry(context).or_insert_with(|| Stream::new(Rc::new(Policy::deny_all())));
        stream.request_headers(&mut self.worker, &self.crypto, &mut self.metrics)
    }

    pub(crate) fn stream(&mut self, context: u32) -> Option<&mut Stream> {
        self.streams.get_mut(&context)
    }

    pub(crate) fn log(&self, context: u32) {
        if let Some(stream) = self.streams.get(&context) {
            stream.log(self.proxy.as_deref());
        }
    }

    pub(crate) fn delete(&mut self, context: u32) {
        self.streams.remove(&context);
        self.policies.remove(&context);
    }
}
