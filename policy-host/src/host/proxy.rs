//! A whole proxy on one thread: a canary, and a few workers that share data.

use super::exchange::{Exchange, Request};
use super::{Canary, Clock, ConfigureError, FailurePolicy, Module, Plugin, Response, Trap, VmOptions, Worker};
use std::fmt;

/// How a proxy is set up. No `Debug`: the environment holds credentials.
#[derive(Clone)]
pub struct ProxyOptions {
    /// For every VM.
    pub vm: VmOptions,
    /// The plugin's names.
    pub plugin: Plugin,
    /// How many workers; at least one.
    pub workers: usize,
    /// What a trap means.
    pub failure: FailurePolicy,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self { vm: VmOptions::default(), plugin: Plugin::default(), workers: 1, failure: FailurePolicy::Closed }
    }
}

/// Why an update was not taken.
#[derive(Clone, Debug)]
pub enum UpdateError {
    /// The canary said no: nothing has changed anywhere.
    Canary(ConfigureError),
    /// A worker disagreed with the canary. In Envoy the filter may then be skipped there, so `on_configure` must be a pure function of the bytes.
    Worker {
        /// Which one, from 0.
        worker: usize,
        /// Why.
        error: ConfigureError,
    },
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canary(error) => error.fmt(f),
            Self::Worker { worker, error } => write!(f, "worker {worker} disagrees with the canary: {error}"),
        }
    }
}

impl std::error::Error for UpdateError {}

/// A proxy whose workers the caller picks, so that tests are deterministic.
pub struct Proxy {
    canary: Canary,
    workers: Vec<Worker>,
    pub(super) clock: Clock,
}

impl Proxy {
    /// Starts the workers. Until the first good [`Self::update`] every request is answered 500, as in Envoy.
    ///
    /// # Errors
    /// When the filter traps while it starts.
    pub fn start(module: &Module, options: &ProxyOptions) -> Result<Self, Trap> {
        let ProxyOptions { vm, plugin, workers, failure } = options;
        let workers = (0..(*workers).max(1)).map(|_| Worker::start(module, vm, plugin, *failure)).collect::<Result<_, _>>()?;
        Ok(Self { canary: Canary::new(module, vm, plugin), workers, clock: vm.clock.clone() })
    }

    /// Tries a configuration on the canary, then gives it to every worker.
    ///
    /// # Errors
    /// When it is not taken; the older one serves on.
    pub fn update(&mut self, configuration: &[u8]) -> Result<(), UpdateError> {
        self.canary.check(configuration).map_err(UpdateError::Canary)?;
        for (number, worker) in self.workers.iter_mut().enumerate() {
            worker.apply(configuration).map_err(|error| UpdateError::Worker { worker: number, error })?;
        }
        Ok(())
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// A worker, from 0.
    pub fn worker(&mut self, number: usize) -> Option<&mut Worker> {
        self.workers.get_mut(number)
    }

    pub(super) fn each_worker(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.workers.iter_mut()
    }

    /// One whole request on a worker (from 0, wrapping around). `upstream` answers what reaches it.
    pub fn exchange(&mut self, worker: usize, request: Request, upstream: impl FnOnce(&Request) -> Response) -> Exchange {
        let at = worker % self.workers.len().max(1);
        match self.workers.get_mut(at) {
            Some(worker) => worker.exchange(request, upstream),
            None => Exchange::without_worker(),
        }
    }
}
