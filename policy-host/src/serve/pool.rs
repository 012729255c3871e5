//! The workers: each owns its VM on a thread of its own, does jobs in the order in which they come, and ticks in between.

use super::lane::Lane;
use crate::host::{Canary, Clock, ConfigureError, Event, Module, ProxyOptions, StreamId, Trap, UpdateError, Worker};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce(&mut Seat) + Send>;

/// Entries of a shared queue can come from another worker, which wakes nobody.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// A worker, and who passes on what it lets through.
pub(super) struct Seat {
    pub(super) worker: Worker,
    listeners: HashMap<StreamId, Listener>,
}

/// The two directions of a stream.
pub(super) struct Listener {
    pub(super) upstream: Lane,
    pub(super) client: Lane,
}

impl Seat {
    pub(super) fn listen(&mut self, stream: StreamId, listener: Listener) {
        self.listeners.insert(stream, listener);
    }

    /// Nobody listens to the stream any more; what was still going upstream is cut.
    pub(super) fn forget(&mut self, stream: StreamId) {
        if let Some(listener) = self.listeners.remove(&stream) {
            listener.upstream.push(Event::Reset);
        }
    }

    fn tell(&mut self) {
        for stream in self.worker.eventful() {
            let events = self.worker.events(stream);
            let Some(listener) = self.listeners.get(&stream) else { continue };
            for event in events {
                match event {
                    Event::RequestHead(_) | Event::RequestBody { .. } | Event::RequestTrailers(_) => {
                        listener.upstream.push(event)
                    }
                    Event::ResponseHead(_) | Event::ResponseBody { .. } | Event::ResponseTrailers(_) => {
                        listener.client.push(event)
                    }
                    Event::Replied(_) | Event::Reset => {
                        listener.upstream.push(Event::Reset);
                        listener.client.push(event);
                    }
                }
            }
        }
    }
}

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
            .map(|_| Ok(Handle::start(Worker::start(module, vm, plugin, *failure)?, vm.clock.clone())))
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
                handle.post(move |seat| {
                    // Nobody waits for the answer only when the update was given up.
                    let _ = answer.send(seat.worker.apply(&bytes).map(|_| ()));
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

    /// Blocks until every worker has done what was due when it was called.
    pub fn settle(&self) {
        let (done, settled) = mpsc::channel::<()>();
        for handle in &self.workers {
            let done = done.clone();
            // What is due is done after each job; the second one ends behind that.
            handle.post(|_| ());
            handle.post(move |_| drop(done));
        }
        drop(done);
        // Nothing is sent: it ends with the last sender.
        let _ = settled.recv();
    }

    /// The next worker in turn.
    pub(super) fn pick(&self) -> Option<Handle> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.workers.get(at.checked_rem(self.workers.len())?).cloned()
    }
}

impl Handle {
    fn start(worker: Worker, clock: Clock) -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            let mut seat = Seat { worker, listeners: HashMap::new() };
            loop {
                let due = seat.worker.next_due().map(|due| Duration::from_nanos(due.saturating_sub(clock.monotonic())));
                match queue.recv_timeout(due.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) {
                    Ok(job) => job(&mut seat),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
                seat.worker.run_due();
                seat.tell();
            }
        });
        Self { jobs }
    }

    /// Does a job without waiting for it.
    pub(super) fn post(&self, job: impl FnOnce(&mut Seat) + Send + 'static) {
        // A thread that is gone shows where somebody waits for an answer.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Does a job and waits for its answer.
    pub(super) async fn call<T: Send + 'static>(&self, job: impl FnOnce(&mut Seat) -> T + Send + 'static) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        self.post(move |seat| {
            let _ = answer.send(job(seat));
        });
        answered.await.map_err(|_| Gone)
    }
}
