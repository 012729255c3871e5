//! Seats: how many exchanges one caller may have under way in a worker. A proxy has room for so many streams, and one caller who
//! keeps them open would lock out all others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use crate::primitives::address::Address;
use crate::state::tally::Tally;

/// Is there room for one more, and if not, what is full?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Of whom.
    pub(crate) of: &'static str,
    /// How many are taken.
    pub(crate) taken: u32,
    /// How many there are.
    pub(crate) most: u32,
}

impl Room {
    pub(crate) fn is_there(self) -> bool {
        self.taken < self.most
    }
}

/// The place of one exchange, given back when this is dropped: with the exchange, however it ended.
#[derive(Debug)]
pub(crate) struct Seat(Of);

#[derive(Debug)]
enum Of {
    Session(Rc<Tally>),
    Unmediated(Rc<Unmediated>, Address),
}

impl Drop for Seat {
    fn drop(&mut self) {
        match &self.0 {
            Of::Session(tally) => tally.open.set(tally.open.get().saturating_sub(1)),
            Of::Unmediated(all, address) => all.leave(*address),
        }
    }
}

impl Tally {
    /// Among `most` exchanges of the session.
    pub(crate) fn room(&self, most: u32) -> Room {
        Room { of: "session", taken: self.open.get(), most }
    }

    /// One more exchange of the session.
    pub(crate) fn sit(self: Rc<Self>) -> Seat {
        self.open.set(self.open.get().saturating_add(1));
        Seat(Of::Session(self))
    }
}

/// The exchanges under way that needed no session.
#[derive(Debug, Default)]
pub(crate) struct Unmediated {
    taken: Cell<u32>,
    /// As many entries as there are addresses with an exchange under way.
    by_address: RefCell<HashMap<Address, u64>>,
}

impl Unmediated {
    /// Among `most` of everybody, and among those that one address may have: a quarter, so that a health check finds room
    /// beside somebody who takes what he gets.
    pub(crate) fn room(&self, most: u32, address: Address) -> [Room; 2] {
        let its = self.by_address.borrow().get(&address).copied().unwrap_or(0);
        let its = u32::try_from(its).unwrap_or(u32::MAX);
        [Room { of: "unmediated", taken: self.taken.get(), most }, Room { of: "address", taken: its, most: (most / 4).max(1) }]
    }

    pub(crate) fn sit(self: Rc<Self>, address: Address) -> Seat {
        self.taken.set(self.taken.get().saturating_add(1));
        *self.by_address.borrow_mut().entry(address).or_default() += 1;
        Seat(Of::Unmediated(self, address))
    }

    fn leave(&self, address: Address) {
        self.taken.set(self.taken.get().saturating_sub(1));
        if let Entry::Occupied(mut entry) = self.by_address.borrow_mut().entry(address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_come_back_and_nothing_is_kept_of_who_has_none() {
        let all = Rc::new(Unmediated::default());
        let addresses: Vec<Address> = (0..50).map(Address::V6).collect();
        let seats: Vec<Seat> = addresses.iter().chain(&addresses).map(|address| Rc::clone(&all).sit(*address)).collect();
        assert_eq!(all.room(100, Address::Unknown).map(Room::is_there), [false, true]);
        assert_eq!(all.room(8, addresses[0]).map(|room| (room.taken, room.most)), [(100, 8), (2, 2)]);
        assert_eq!(all.room(1, addresses[0])[1].most, 1, "everybody has one");
        drop(seats);
        assert_eq!(all.room(1, addresses[0]).map(Room::is_there), [true, true]);
        assert!(all.by_address.borrow().is_empty());
    }
}
