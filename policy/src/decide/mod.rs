//! What is decided about a request, and about a stream that is open.

pub(crate) mod admission;
pub(crate) mod answers;
pub(crate) mod asked;
pub(crate) mod authenticate;
pub(crate) mod binding;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod context;
pub(crate) mod direct;
pub(crate) mod echo;
pub(crate) mod need;
pub(crate) mod trace;
pub(crate) mod transfers;
pub(crate) mod usage;
