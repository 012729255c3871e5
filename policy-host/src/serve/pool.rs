//! The workers: each owns its VM on a thread of its own, and does jobs in the order in which they come.

use crate::host::{Canary, ConfigureError, Module, ProxyOptions, Trap, UpdateError, Worker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// A canary and the worker threads of a proxy.
pub struct Pool {
    canary: Mutex<Canary>,
    workers: Vec<Handle>,
    next: AtomicUsize,
}

/// One worker thread; it ends with its last handle.
#[derive(Clone)]
pub(super) struct Handle {
    jobs: mpsc::Sender<Job>,
}

/// The worker's thread is gone.
pub(super) struct Gone;

impl Pool {
    /// Starts the workers. Until the first good [`Self::update`] every request is answered 500, as in Envoy.
    ///
    /// # Errors
    /// When the filter traps while it starts.
    pub fn start(module: &Module, options: &ProxyOptions) -> Result<Self, Trap> {
        let ProxyOptions { vm, plugin, workers, failure } = options;
        let workers = (0..(*workers).max(1))
            .map(|_| Ok(Handle::start(Worker::start(module, vm, plugin, *failure)?)))
            .collect::<Result<_, Trap>>()?;
        Ok(Self { canary: Mutex::new(Canary::new(module, vm, plugin)), workers, next: AtomicUsize::new(0) })
    }

    /// Tries a configuration on the canary, then gives it to every worker. It blocks until all have it.
    ///
    /// # Errors
    /// When it is not taken; the older one serves on.
    pub fn update(&self, configuration: &[u8]) -> Result<(), UpdateError> {
        // The lock also keeps two updates from interleaving.
        let mut canary = self.canary.lock().unwrap_or_else(PoisonError::into_inner);
        canary.check(configuration).map_err(UpdateError::Canary)?;
        let answers: Vec<_> = self
            .workers
            .iter()
            .map(|handle| {
                let (answer, answered) = mpsc::channel();
                let bytes = configuration.to_vec();
                handle.post(move |worker| {
                    // Nobody waits for the answer only when the update was given up.
                    let _ = answer.send(worker.apply(&bytes).map(|_| ()));
                });
                answered
            })
            .collect();
        for (worker, answered) in answers.into_iter().enumerate() {
            let lost = || Err(ConfigureError::Trapped(Trap::lost().into()));
            answered.recv().unwrap_or_else(|_| lost()).map_err(|error| UpdateError::Worker { worker, error })?;
        }
        Ok(())
    }

    /// The next worker in turn.
    pub(super) fn pick(&self) -> Option<Handle> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.workers.get(at.checked_rem(self.workers.len())?).cloned()
    }
}

impl Handle {
    fn start(mut worker: Worker) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for job in queue {
                job(&mut worker);
            }
        });
        Self { jobs }
    }

    /// Does a job without waiting for it.
    pub(super) fn post(&self, job: impl FnOnce(&mut Worker) + Send + 'static) {
        // A thread that is gone shows where somebody waits for an answer.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Does a job and waits for its answer.
    pub(super) async fn call<T: Send + 'static>(&self, job: impl FnOnce(&mut Worker) -> T + Send + 'static) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        self.post(move |worker| {
            let _ = answer.send(job(worker));
        });
        answered.await.map_err(|_| Gone)
    }
}
