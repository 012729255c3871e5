//! The plugin's place in the proxy, by its name: whose configuration is the last one that served there.
//!
//! VMs of different ids share nothing but what all of the proxy shares, its metrics. A gauge for each plugin name holds the mark
//! of the policy and the `vm_id` that have served under it last. Where it is another's, no configuration reaches this VM any more.

use chaperone_policy::Lineage;

use crate::abi::{self, Metric};

/// A place, and the mark that stands for this VM in it.
pub(crate) struct Slot {
    gauge: Option<u32>,
    mark: u64,
    /// Whether the mark has been put there.
    taken: bool,
}

/// Longest part of a plugin's name that its gauge has.
const NAME: usize = 128;

impl Slot {
    /// No place at all.
    pub(crate) fn none() -> Self {
        Self { gauge: None, mark: 0, taken: false }
    }

    pub(crate) fn of(plugin: &[u8], mark: u64) -> Self {
        let plain = |byte: &u8| if byte.is_ascii_alphanumeric() || b"._-".contains(byte) { char::from(*byte) } else { '_' };
        let name: String = plugin.iter().take(NAME).map(plain).collect();
        Self { gauge: abi::define_metric(Metric::Gauge, &format!("chaperone.serving.{name}")), mark, taken: false }
    }

    /// Takes the place, at the first tick that the configuration serves.
    pub(crate) fn take(&mut self) {
        if let Some(gauge) = self.gauge {
            abi::record_metric(gauge, self.mark);
        }
        self.taken = true;
    }

    /// Has another configuration come to stand here? A proxy that keeps no such metric (0), or does not tell, says nothing.
    pub(crate) fn is_anothers(&self) -> bool {
        self.taken && self.gauge.and_then(abi::metric).is_some_and(|mark| mark != self.mark && Lineage::is_mark(mark))
    }
}
