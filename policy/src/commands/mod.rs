//! Commands: the names under which requests are known to a policy, and the tree that finds them.

#[cfg(test)]
mod laws;
pub(crate) mod mcp;
pub(crate) mod path_index;
pub(crate) mod path_pattern;
pub(crate) mod read;
pub(crate) mod router;
pub(crate) mod schema;
pub mod sql;
