//! Cases through the filter itself: each in a proxy of its own, a canary and its workers, as many at once as there are processors.

mod live;

use crate::host::{LogSink, Module};
use chaperone_authoring::cases::{Case, Plan, Ran};
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// Runs cases through one filter.
#[derive(Clone)]
pub struct Runner {
    module: Module,
    log: LogSink,
    taken: Taken,
}

/// Policies that a canary has taken. Its verdict is about the bytes alone, and Envoy remembers it too: another canary for
/// each case would be a third of the time.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<HashSet<Vec<u8>>>>);

impl Taken {
    fn holds(&self, policy: &[u8]) -> bool {
        self.0.lock().is_ok_and(|taken| taken.contains(policy))
    }

    fn add(&self, policy: &[u8]) {
        if let Ok(mut taken) = self.0.lock() {
            taken.insert(policy.to_vec());
        }
    }
}

impl Runner {
    /// A runner for this filter; `log` gets what it says.
    #[must_use]
    pub fn new(module: Module, log: LogSink) -> Self {
        Self { module, log, taken: Taken::default() }
    }

    /// Runs one case.
    #[must_use]
    pub fn case(&self, plan: &Plan, case: &Case) -> Ran {
        let started = Instant::now();
        let ran = live::run(&self.module, &self.log, &self.taken, plan, case);
        Ran { took: started.elapsed(), ..ran }
    }

    /// Runs these cases; `done` is called after each, with the number of those that are over. The answers are in the order
    /// of the cases.
    #[must_use]
    pub fn cases(&self, cases: &[(&Plan, &Case)], done: impl Fn(usize) + Sync) -> Vec<Ran> {
        let (next, over) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let slots: Vec<Mutex<Option<Ran>>> = cases.iter().map(|_| Mutex::new(None)).collect();
        let threads = thread::available_parallelism().map_or(1, usize::from).min(cases.len());
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let (Some((plan, case)), Some(slot)) = (cases.get(index), slots.get(index)) else { return };
                let ran = self.case(plan, case);
                if let Ok(mut slot) = slot.lock() {
                    *slot = Some(ran);
                }
                done(over.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        // Every slot is filled: a thread that panicked has ended the scope with its panic.
        slots.into_iter().filter_map(|slot| slot.into_inner().ok().flatten()).collect()
    }
}
