//! What all VMs of one proxy share: data with compare-and-swap, queues, metrics.

use super::Status;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One proxy's shared state. Clones are the same state; a new one is a new proxy process.
#[derive(Clone, Debug, Default)]
pub struct Shared(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    data: Mutex<SharedData>,
    queues: Mutex<Queues>,
    metrics: Mutex<Vec<Arc<Metric>>>,
}

/// Value and version, by key.
type Values = HashMap<Vec<u8>, (Vec<u8>, u32)>;

#[derive(Debug, Default)]
struct SharedData {
    /// By VM id, then by key.
    values: HashMap<Vec<u8>, Values>,
    last_cas: u32,
}

#[derive(Debug)]
struct Queue {
    vm_id: Vec<u8>,
    name: Vec<u8>,
    waiting: VecDeque<Vec<u8>>,
    /// Who is told of new entries: the VM and root context that registered it last.
    told: (u64, u32),
}

#[derive(Debug, Default)]
struct Queues {
    /// A queue's token is its index plus one: 0 means none.
    queues: Vec<Queue>,
    /// What nobody was told of yet: VM, root context, token.
    news: VecDeque<(u64, u32, u32)>,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution; this host keeps the number of samples.
    Histogram,
}

impl MetricKind {
    pub(super) fn from_abi(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// One metric of the proxy; VMs that define the same name and kind share it.
#[derive(Debug)]
pub struct Metric {
    /// The name as the guest gave it (Envoy puts `wasmcustom.` before it).
    pub name: String,
    /// What it counts.
    pub kind: MetricKind,
    value: AtomicU64,
}

impl Metric {
    /// Its value now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, amount: u64) {
        self.value.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, amount: u64) {
        self.value.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(super) fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }
}

/// A poisoned lock still holds whole values: each change is one insertion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Every metric that a guest has defined.
    #[must_use]
    pub fn metrics(&self) -> Vec<Arc<Metric>> {
        lock(&self.0.metrics).clone()
    }

    /// The value of a metric, 0 when nobody defined it.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        lock(&self.0.metrics).iter().find(|m| m.name == name).map_or(0, |m| m.value())
    }

    pub(super) fn define_metric(&self, kind: MetricKind, name: &[u8]) -> Arc<Metric> {
        let name = String::from_utf8_lossy(name);
        let mut metrics = lock(&self.0.metrics);
        if let Some(metric) = metrics.iter().find(|m| m.kind == kind && m.name == name) {
            return Arc::clone(metric);
        }
        let metric = Arc::new(Metric { name: name.into_owned(), kind, value: AtomicU64::new(0) });
        metrics.push(Arc::clone(&metric));
        metric
    }

    /// A value of shared data with its version.
    #[must_use]
    pub fn get(&self, vm_id: &[u8], key: &[u8]) -> Option<(Vec<u8>, u32)> {
        lock(&self.0.data).values.get(vm_id)?.get(key).cloned()
    }

    /// Sets a value. Version 0 is unconditional, and a key that does not exist is created whatever the version says, as in Envoy.
    ///
    /// # Errors
    /// [`Status::CasMismatch`] when the value has another version by now.
    pub fn set(&self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32) -> Result<(), Status> {
        let mut data = lock(&self.0.data);
        let next = data.last_cas.wrapping_add(1).max(1);
        if !data.values.contains_key(vm_id) {
            data.values.insert(vm_id.to_vec(), HashMap::new());
        }
        if let Some(values) = data.values.get_mut(vm_id) {
            match values.get_mut(key) {
                Some((_, present)) if cas != 0 && cas != *present => return Err(Status::CasMismatch),
                Some(entry) => *entry = (value.to_vec(), next),
                None => {
                    values.insert(key.to_vec(), (value.to_vec(), next));
                }
            }
        }
        data.last_cas = next;
        Ok(())
    }

    pub(super) fn register_queue(&self, vm_id: &[u8], name: &[u8], told: (u64, u32)) -> u32 {
        let known = self.resolve_queue(vm_id, name);
        let mut queues = lock(&self.0.queues);
        if let Some(token) = known {
            if let Some(queue) = queues.get_mut(token) {
                queue.told = told;
            }
            return token;
        }
        queues.queues.push(Queue { vm_id: vm_id.to_vec(), name: name.to_vec(), waiting: VecDeque::new(), told });
        u32::try_from(queues.queues.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn resolve_queue(&self, vm_id: &[u8], name: &[u8]) -> Option<u32> {
        let queues = lock(&self.0.queues);
        let at = queues.queues.iter().position(|queue| queue.vm_id == vm_id && queue.name == name)?;
        u32::try_from(at + 1).ok()
    }

    pub(super) fn enqueue(&self, token: u32, value: &[u8]) -> Result<(), Status> {
        let mut queues = lock(&self.0.queues);
        let queue = queues.get_mut(token).ok_or(Status::NotFound)?;
        queue.waiting.push_back(value.to_vec());
        let (vm, root) = queue.told;
        queues.news.push_back((vm, root, token));
        Ok(())
    }

    pub(super) fn dequeue(&self, token: u32) -> Result<Vec<u8>, Status> {
        let mut queues = lock(&self.0.queues);
        queues.get_mut(token).ok_or(Status::NotFound)?.waiting.pop_front().ok_or(Status::Empty)
    }
}

impl Shared {
    /// The root context of this VM to be told of an entry, and of which queue.
    pub(super) fn take_news(&self, vm: u64) -> Option<(u32, u32)> {
        let mut queues = lock(&self.0.queues);
        let at = queues.news.iter().position(|(whom, ..)| *whom == vm)?;
        queues.news.remove(at).map(|(_, root, token)| (root, token))
    }

    pub(super) fn has_news(&self, vm: u64) -> bool {
        lock(&self.0.queues).news.iter().any(|(whom, ..)| *whom == vm)
    }
}

impl Queues {
    fn get_mut(&mut self, token: u32) -> Option<&mut Queue> {
        let at = usize::try_from(token).ok()?.checked_sub(1)?;
        self.queues.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_and_swap_is_envoys() {
        let shared = Shared::default();
        assert_eq!(shared.get(b"vm", b"k"), None);
        shared.set(b"vm", b"k", b"1", 77).unwrap();
        let (_, first) = shared.get(b"vm", b"k").unwrap();
        shared.set(b"vm", b"k", b"2", first).unwrap();
        assert_eq!(shared.set(b"vm", b"k", b"3", first), Err(Status::CasMismatch));
        assert_eq!(shared.get(b"vm", b"k").unwrap().0, b"2");
        shared.set(b"vm", b"k", b"4", 0).unwrap();
        assert_eq!(shared.get(b"vm", b"k").unwrap().0, b"4");
        assert_eq!(shared.get(b"other", b"k"), None);
    }

    #[test]
    fn queues_are_first_in_first_out() {
        let shared = Shared::default();
        let token = shared.register_queue(b"vm", b"q", (1, 1));
        assert_eq!(shared.register_queue(b"vm", b"q", (2, 3)), token);
        assert_eq!(shared.dequeue(token), Err(Status::Empty));
        shared.enqueue(token, b"1").unwrap();
        shared.enqueue(token, b"2").unwrap();
        assert_eq!(shared.dequeue(token).unwrap(), b"1");
        assert_eq!(shared.enqueue(token + 1, b"x"), Err(Status::NotFound));
        assert_eq!((shared.take_news(1), shared.take_news(2)), (None, Some((3, token))), "who registered it last is told");
    }
}
