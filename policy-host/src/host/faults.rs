//! Failures that a test forces upon a filter: host calls that answer an error, header maps that arrive broken.

use super::state::HostState;
use super::{HostCall, Vm};
use std::ops::Range;

/// The calls of one kind that fail, by their number from when the fault was set, and what they answer.
pub(super) struct Fault {
    status: u32,
    which: Range<u64>,
    made: u64,
}

/// Changes the serialized form of a header map on its way to the guest.
pub type SpoilMap = Box<dyn FnMut(&mut Vec<u8>) + Send>;

/// Changes what a foreign function answers, where it answers `Ok`.
pub type SpoilAnswer = Box<dyn FnMut(&mut Vec<u8>) + Send>;

impl HostState {
    /// Counts a call; `Some` is the answer when a test made it fail.
    pub(super) fn forced(&mut self, call: HostCall) -> Option<u32> {
        if let Some(count) = self.calls.get_mut(call as usize) {
            *count += 1;
        }
        let fault = self.faults.get_mut(call as usize)?.as_mut()?;
        let number = fault.made;
        fault.made += 1;
        fault.which.contains(&number).then_some(fault.status)
    }
}

impl Vm {
    /// From now on the host call answers this status (or errno, for WASI) and does nothing; `None` makes it work again.
    /// Answers `false` when there is no call of that name.
    pub fn fail_call(&mut self, name: &str, status: Option<u32>) -> bool {
        match status {
            Some(status) => self.fail_calls(name, 0..u64::MAX, status),
            None => self.fail_calls(name, 0..0, 0),
        }
    }

    /// As [`Self::fail_call`], only for the calls with these numbers, counted from now.
    pub fn fail_calls(&mut self, name: &str, which: Range<u64>, status: u32) -> bool {
        let Some(call) = HostCall::from_name(name) else { return false };
        if let Some(fault) = self.store.data_mut().faults.get_mut(call as usize) {
            *fault = (!which.is_empty()).then_some(Fault { status, which, made: 0 });
        }
        true
    }

    /// From now on `spoil` changes each answer of a foreign function; `None` leaves them alone again.
    pub fn spoil_answers(&mut self, spoil: Option<SpoilAnswer>) {
        self.store.data_mut().spoil_answer = spoil;
    }

    /// From now on `spoil` changes each header map that the guest reads; `None` leaves them alone again.
    pub fn spoil_maps(&mut self, spoil: Option<SpoilMap>) {
        self.store.data_mut().spoil_map = spoil;
    }
}
