//! What a worker lets through, on its way to the task that passes it on: in order, never blocking the worker, and with a way for
//! the sender of a body to wait until what it sent has gone.

use crate::host::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, mpsc};

/// Events that may wait before the sender of a body pauses.
const WAITING: usize = 4;

#[derive(Default)]
struct Waiting {
    count: AtomicUsize,
    fewer: Notify,
}

/// The worker's end.
pub(super) struct Lane {
    events: mpsc::UnboundedSender<Event>,
    waiting: Arc<Waiting>,
}

/// The end of the task that passes things on.
pub(super) struct Arrivals {
    events: mpsc::UnboundedReceiver<Event>,
    waiting: Arc<Waiting>,
}

/// Who sends a body asks this before each piece.
#[derive(Clone)]
pub(super) struct Room(Arc<Waiting>);

pub(super) fn lane() -> (Lane, Arrivals, Room) {
    let (sender, events) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting::default());
    let room = Room(Arc::clone(&waiting));
    (Lane { events: sender, waiting: Arc::clone(&waiting) }, Arrivals { events, waiting }, room)
}

impl Lane {
    pub(super) fn push(&self, event: Event) {
        self.waiting.count.fetch_add(1, Ordering::SeqCst);
        // A task that is gone waits for nothing.
        let _ = self.events.send(event);
    }
}

impl Arrivals {
    /// The next event; `None`: the stream is over.
    pub(super) async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// The event has been passed on.
    pub(super) fn passed(&self) {
        self.waiting.count.fetch_sub(1, Ordering::SeqCst);
        self.waiting.fewer.notify_waiters();
    }
}

impl Room {
    pub(super) async fn wait(&self) {
        loop {
            let fewer = self.0.fewer.notified();
            if self.0.count.load(Ordering::SeqCst) <= WAITING {
                return;
            }
            fewer.await;
        }
    }
}
