//! The time a guest sees: the machine's, or one that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall and monotonic time in nanoseconds. Clones of a settable clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Real { started: Instant },
    Settable(Arc<Settable>),
}

#[derive(Debug)]
struct Settable {
    wall: AtomicU64,
    monotonic: AtomicU64,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn real() -> Self {
        Self(Kind::Real { started: Instant::now() })
    }

    /// A clock that stands still at `nanoseconds` since the Unix epoch until it is set.
    #[must_use]
    pub fn fixed(nanoseconds: u64) -> Self {
        Self(Kind::Settable(Arc::new(Settable { wall: AtomicU64::new(nanoseconds), monotonic: AtomicU64::new(0) })))
    }

    /// Sets wall time. Monotonic time follows forward and never steps back, as on a machine whose clock was corrected.
    /// On the machine's own clock this does nothing.
    pub fn set(&self, nanoseconds: u64) {
        if let Kind::Settable(clock) = &self.0 {
            let before = clock.wall.swap(nanoseconds, Ordering::SeqCst);
            clock.monotonic.fetch_add(nanoseconds.saturating_sub(before), Ordering::SeqCst);
        }
    }

    /// Moves both times forward. On the machine's own clock this does nothing.
    pub fn forward(&self, nanoseconds: u64) {
        if let Kind::Settable(clock) = &self.0 {
            clock.wall.fetch_add(nanoseconds, Ordering::SeqCst);
            clock.monotonic.fetch_add(nanoseconds, Ordering::SeqCst);
        }
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn wall(&self) -> u64 {
        match &self.0 {
            Kind::Real { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
            }
            Kind::Settable(clock) => clock.wall.load(Ordering::SeqCst),
        }
    }

    /// Nanoseconds since some moment in the past; never steps back.
    #[must_use]
    pub fn monotonic(&self) -> u64 {
        match &self.0 {
            Kind::Real { started } => u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Kind::Settable(clock) => clock.monotonic.load(Ordering::SeqCst),
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}
