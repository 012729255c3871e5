//! What is said of a decision: to the client, to the audit log, to whoever asks why.

pub(crate) mod denial;
pub(crate) mod explain;
pub(crate) mod record;
