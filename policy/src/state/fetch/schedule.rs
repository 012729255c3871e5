//! When something is fetched: at once, then at intervals, sooner after a failure or when somebody asked in vain.
//!
//! By the clock, not by the worker's latest instant: one that went an hour ahead and came back would stop all fetching for an hour.

use std::cell::Cell;
use std::time::Duration;

use super::Ticket;
use crate::primitives::limits;
use crate::primitives::time::Timestamp;

/// The times of one thing that is fetched.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// Under way.
    flight: Option<Ticket>,
    /// When the last attempt began.
    began: Option<Timestamp>,
    succeeded: Option<Timestamp>,
    /// Since the last success.
    failures: u32,
    /// Somebody asked for what is not held.
    hastened: Cell<bool>,
}

impl Schedule {
    /// Gives up an attempt of which nothing was heard for too long. Whoever made it may be gone, and nobody tells of that.
    pub(super) fn gave_up(&mut self, timeout: Duration, now: Timestamp) -> bool {
        let (Some(_), Some(began)) = (self.flight, self.began) else { return false };
        let over = now < began || now.since(began) > timeout + limits::FETCH_GRACE;
        if over {
            self.end(false, now);
        }
        over
    }

    pub(super) fn is_due(&self, refresh: Duration, salt: u64, now: Timestamp) -> bool {
        let Some(began) = self.began else { return true };
        if self.flight.is_some() {
            return false;
        }
        let mut wait = match self.failures {
            // Up to a tenth sooner, each worker by its own part.
            0 => refresh - refresh / 1000 * u32::try_from(salt % 100).unwrap_or(0),
            failures => Duration::from_secs(1 << (failures - 1).min(16)).min(limits::FETCH_BACKOFF).min(refresh),
        };
        if self.hastened.get() {
            wait = wait.min(limits::FETCH_EARLY);
        }
        now < began || now.since(began) >= wait
    }

    pub(super) fn begin(&mut self, ticket: Ticket, now: Timestamp) {
        self.flight = Some(ticket);
        self.began = Some(now);
        self.hastened.set(false);
    }

    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        self.flight == Some(ticket)
    }

    pub(super) fn end(&mut self, good: bool, now: Timestamp) {
        self.flight = None;
        if good {
            self.succeeded = Some(now);
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Asks for an attempt before its time, within [`limits::FETCH_EARLY`].
    pub(super) fn hasten(&self) {
        self.hastened.set(true);
    }

    pub(super) fn succeeded(&self) -> Option<Timestamp> {
        self.succeeded
    }

    /// The times of what came by another's fetch.
    pub(super) fn of_another(&self) -> Self {
        Self { flight: None, began: self.began, succeeded: self.succeeded, failures: 0, hastened: Cell::new(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_000_000 + seconds)
    }

    fn due(schedule: &Schedule, seconds: u64) -> bool {
        schedule.is_due(REFRESH, 0, at(seconds))
    }

    #[test]
    fn failures_are_tried_again_ever_later_and_never_later_than_the_bound() {
        let mut schedule = Schedule::default();
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(due(&schedule, now));
            schedule.begin(Ticket(1), at(now));
            assert!(!due(&schedule, now + 100), "one at a time");
            schedule.end(false, at(now));
            assert!(!due(&schedule, now + wait - 1), "{wait}");
            now += wait;
        }
        schedule.begin(Ticket(2), at(now));
        schedule.end(true, at(now));
        assert!(!due(&schedule, now + 299) && due(&schedule, now + 300));
        assert!(
            !schedule.is_due(REFRESH, 99, at(now + 269)) && schedule.is_due(REFRESH, 99, at(now + 271)),
            "up to a tenth sooner"
        );
    }

    #[test]
    fn asking_in_vain_hastens_one_fetch_and_not_below_the_bound() {
        let mut schedule = Schedule::default();
        schedule.begin(Ticket(1), at(0));
        schedule.end(true, at(0));
        schedule.hasten();
        assert!(!due(&schedule, 9) && due(&schedule, 10));
        schedule.begin(Ticket(2), at(10));
        schedule.end(true, at(10));
        assert!(!due(&schedule, 20), "once");
    }

    #[test]
    fn an_attempt_of_which_nothing_is_heard_is_given_up() {
        let timeout = Duration::from_secs(2);
        let mut schedule = Schedule::default();
        schedule.begin(Ticket(1), at(0));
        assert!(!schedule.gave_up(timeout, at(3)));
        assert!(schedule.gave_up(timeout, at(4)) && !schedule.awaits(Ticket(1)) && !schedule.gave_up(timeout, at(4)));
        assert!(due(&schedule, 4));
    }

    #[test]
    fn a_clock_that_steps_back_delays_nothing() {
        let mut schedule = Schedule::default();
        schedule.begin(Ticket(1), at(3600));
        assert!(schedule.gave_up(Duration::from_secs(2), at(0)) && due(&schedule, 0));
        schedule.begin(Ticket(2), at(3600));
        schedule.end(true, at(3600));
        assert!(due(&schedule, 0));
    }
}
