//! What happens by itself: ticks, and the answers to callouts, when the clock has come to them.

use super::callout::Callout;
use super::headers::{Direction, HeaderMap};
use super::state::{CalloutAnswered, Context};
use super::{Proxy, Status, Vm, Worker};
use std::time::Duration;

/// A filter that keeps calling out from the answers must not keep its caller for ever.
const MOST_AT_ONCE: usize = 1_000;

/// Ticks are asked for in milliseconds.
pub(super) fn tick_nanoseconds(period: u32) -> u64 {
    u64::from(period) * 1_000_000
}

enum Due {
    Tick(u32),
    Callout(Callout),
    /// A queue of this root context has a new entry.
    News {
        root: u32,
        queue: u32,
    },
}

impl Vm {
    /// When the next tick or answer is due, on the monotonic clock.
    pub(super) fn next_due(&self) -> Option<u64> {
        if self.trap().is_some() {
            return None;
        }
        let state = self.store.data();
        if state.settings.shared.has_news(self.id) {
            return Some(state.settings.clock.monotonic());
        }
        let ticks = state.contexts.values().filter_map(|context| match context {
            Context::Root(root) => root.tick_due,
            Context::Stream(_) => None,
        });
        ticks.chain(state.callouts.iter().map(|callout| callout.due)).min()
    }

    /// The earliest thing that is due by now. A tick is due again one period from now: Envoy does not catch up on missed ones.
    fn take_due(&mut self) -> Option<Due> {
        if let Some((root, queue)) = self.store.data().settings.shared.take_news(self.id) {
            return Some(Due::News { root, queue });
        }
        let due = self.next_due()?;
        let state = self.store.data_mut();
        let now = state.settings.clock.monotonic();
        if due > now {
            return None;
        }
        if let Some(at) = state.callouts.iter().position(|callout| callout.due == due) {
            return Some(Due::Callout(state.callouts.remove(at)));
        }
        let mut roots: Vec<u32> = state.contexts.keys().copied().collect();
        roots.sort_unstable();
        for id in roots {
            if let Some(root) = state.root_by_id(id).filter(|root| root.tick_due == Some(due)) {
                root.tick_due = root.tick_period.map(|period| now.saturating_add(tick_nanoseconds(period).max(1)));
                return Some(Due::Tick(id));
            }
        }
        None
    }

    fn is_root(&mut self, context: u32) -> bool {
        self.store.data_mut().root_by_id(context).is_some()
    }

    fn tell_answer(&mut self, callout: Callout) {
        let Callout { token, root: id, due: _, response } = callout;
        let Some(root) = self.store.data_mut().root_by_id(id) else { return };
        let sizes = match response {
            Some(response) => {
                let headers = HeaderMap::incoming(Direction::Response, response.headers);
                let trailers = HeaderMap::incoming(Direction::Trailers, response.trailers);
                let sizes = [headers.entries().len(), response.body.len(), trailers.entries().len()];
                root.callout_answer = Some(CalloutAnswered { headers, body: response.body, trailers });
                sizes
            }
            None => {
                root.status = (Status::BrokenConnection.into(), "reset");
                [0; 3]
            }
        };
        let [headers, body, trailers] = sizes.map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        // A trap shows in `trap()`.
        let _ = self.call(id, |exports| &exports.http_call_response, (id, token, headers, body, trailers));
        if let Some(root) = self.store.data_mut().root_by_id(id) {
            root.callout_answer = None;
            root.status.1 = "";
        }
    }
}

impl Worker {
    /// Runs the ticks that are due by the VM's clock, of every root context that lives, and tells the filter of the callouts that
    /// are answered by now. Answers whether there was anything. Feeding a stream does this, too.
    pub fn run_due(&mut self) -> bool {
        let mut ran = false;
        for _ in 0..MOST_AT_ONCE {
            match self.vm.take_due() {
                Some(Due::Tick(root)) => {
                    // A trap shows in `trap()`; there is no request to answer for.
                    let _ = self.vm.call(root, |exports| &exports.tick, root);
                }
                Some(Due::News { root, queue }) if self.vm.is_root(root) => {
                    let _ = self.vm.call(root, |exports| &exports.queue_ready, (root, queue));
                }
                Some(Due::News { .. }) => {}
                Some(Due::Callout(callout)) => self.vm.tell_answer(callout),
                None => break,
            }
            self.settle();
            ran = true;
        }
        ran
    }

    /// Runs a tick of the current root context before its time, and what comes of it now. A trap shows in `vm().trap()`.
    pub fn tick(&mut self) {
        if let Some(root) = self.current_root() {
            let _ = self.vm.tick(root);
            self.run_due();
        }
    }

    /// When [`Self::run_due`] has something to do next, in nanoseconds of the monotonic clock.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.vm.next_due()
    }
}

impl Proxy {
    /// Moves a clock that can be set forward by this much, and runs on every worker what comes due on the way, each at its time.
    pub fn advance(&mut self, by: Duration) {
        let clock = self.clock.clone();
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let end = clock.monotonic().saturating_add(by);
        // Bounded, as a tick is at least a nanosecond after the one before; a test that wants a day of 1 ms ticks gets it.
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            clock.forward(due.saturating_sub(clock.monotonic()));
            if !self.run_due() {
                break;
            }
        }
        clock.forward(end.saturating_sub(clock.monotonic()));
    }

    /// [`Worker::run_due`] of every worker.
    pub fn run_due(&mut self) -> bool {
        let mut ran = false;
        for worker in self.each_worker() {
            ran |= worker.run_due();
        }
        ran
    }

    fn next_due(&mut self) -> Option<u64> {
        self.each_worker().filter_map(|worker| worker.next_due()).min()
    }
}
