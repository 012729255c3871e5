//! Documents as authors write them: read strictly, with the place of every node, so that every error has a line.
//!
//! YAML 1.2 (core schema) or JSON. What would make two readers see two documents is refused with its place: duplicate
//! keys, anchors, aliases, tags, keys that are no strings, numbers with a leading zero. Where a policy stands among other
//! documents or inside of one, the others and what is around it may have all of these but duplicate keys.

mod anchors;
mod block;
mod document;
mod documents;
mod duration;
mod envoy;
mod finding;
mod found;
mod identity;
mod json;
mod kubernetes;
mod layout;
mod lint;
mod masked;
mod node_spans;
mod policy;
mod quoted;
mod scalar;
mod template;
mod yaml;

pub use document::Document;
pub use documents::Documents;
pub use duration::seconds;
pub use finding::{Finding, Findings, Severity, Source};
pub use identity::{Identity, Named};
pub use lint::{Lint, Target};
pub use policy::{PolicyDocument, commands_in_bodies, credential_variables, credentials, exchanges};

pub(crate) use block::Block;
pub(crate) use layout::Held;
pub(crate) use node_spans::{push_index, push_member};
pub use quoted::{printable, quoted};

/// The largest file that is read: ten times what a document of 100,000 revocations needs.
pub const MAX_BYTES: u64 = 64 << 20;
/// The deepest nesting: the format needs about ten levels, JSON Schemas in it some more.
const MAX_DEPTH: usize = 64;
/// The most documents of one file: more than a cluster has objects that are delivered together.
const MAX_DOCUMENTS: usize = 10_000;
/// The most findings that one document yields: a wrong kind of file would give thousands.
const MAX_FINDINGS: usize = 100;

#[cfg(test)]
mod tests;
