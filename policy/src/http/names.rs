//! Names of header fields.

/// What audit headers begin with when the policy does not say.
pub const HEADER_PREFIX: &str = "x-chaperone-";

/// The header of a DPoP proof (RFC 9449 §4.1).
pub(crate) const PROOF_HEADER: &str = "dpop";
