//! What a worker remembers.

pub(crate) mod exchanged;
pub(crate) mod fetch;
pub(crate) mod handles;
pub(crate) mod lineage;
pub(crate) mod live;
pub(crate) mod pace;
pub(crate) mod precedents;
pub(crate) mod proofs;
pub(crate) mod seats;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod tally;
pub(crate) mod told;
pub(crate) mod verified;
pub(crate) mod worker;
