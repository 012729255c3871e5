//! What the workers of the proxy share, by the host's shared data.

use std::time::Duration;

use chaperone_policy::{SharedState, Unavailable};

use crate::hostcalls::{self, Failed};

/// The host's shared data.
pub(crate) struct HostState;

/// The version by which a value is created. 0 would overwrite whatever another worker has created in the meantime; any other is
/// compared with what is there, and the host counts versions from 1 up.
const CREATE: u32 = u32::MAX;

impl SharedState for HostState {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        hostcalls::monotonic().map(Duration::from_nanos).map_err(|Failed| Unavailable)
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        match hostcalls::get_shared_data(key) {
            // No version of a value that is there is 0, and one would be overwritten whatever it has become.
            Ok(Some((_, 0))) | Err(Failed) => Err(Unavailable),
            Ok(found) => Ok(found),
        }
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        hostcalls::set_shared_data(key, value, version.unwrap_or(CREATE)).map_err(|Failed| Unavailable)
    }
}
