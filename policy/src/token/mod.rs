//! A session token: its outer form, the keys that verify it, its claims.

pub(crate) mod actor;
pub(crate) mod assertion;
pub(crate) mod claims;
pub(crate) mod confirmation;
pub(crate) mod jws;
pub(crate) mod keys;
