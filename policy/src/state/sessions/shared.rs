//! What the workers of a proxy share: small values by key, changed by compare-and-swap.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

/// The proxy failed; nothing is known of what its workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Values of a proxy that all its workers see. Nothing in them is believed: they are parsed like what a client sends.
pub trait SharedState {
    /// Time since some instant, the same one for all workers of the proxy. It never steps, whatever is done to the clock.
    ///
    /// # Errors
    /// When the proxy does not say.
    fn elapsed(&self) -> Result<Duration, Unavailable>;

    /// A value and its version; `None` when there is none.
    ///
    /// # Errors
    /// When the proxy does not say.
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable>;

    /// Puts a value in the place of the one of this version, or where there is none yet. False when another worker was
    /// quicker: nothing has changed then.
    ///
    /// # Errors
    /// When the proxy does not say whether it has.
    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable>;
}

/// The state of a proxy with one worker, for hosts that have no other: its time is what it is told.
#[derive(Debug, Default)]
pub struct LocalState {
    values: RefCell<HashMap<String, (Vec<u8>, u32)>>,
    elapsed: Cell<Duration>,
}

impl LocalState {
    /// Moves its time on to this long after its beginning; never back.
    pub fn advance(&self, elapsed: Duration) {
        self.elapsed.set(self.elapsed.get().max(elapsed));
    }
}

impl SharedState for LocalState {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        Ok(self.elapsed.get())
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        Ok(self.values.borrow().get(key).cloned())
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        let mut values = self.values.borrow_mut();
        let known = values.get(key).map(|(_, version)| *version);
        if known != version {
            return Ok(false);
        }
        values.insert(key.to_owned(), (value.to_vec(), known.unwrap_or(0).wrapping_add(1)));
        Ok(true)
    }
}
