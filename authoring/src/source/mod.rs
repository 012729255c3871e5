//! Documents as authors write them: read strictly, with the place of every node, so that every error has a line.
//!
//! YAML 1.2 (core schema) or JSON. What would make two readers see two documents is refused with its place: duplicate
//! keys, anchors, aliases, tags, several documents, keys that are no strings, numbers with a leading zero.

mod document;
mod duration;
mod envoy;
mod finding;
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
mod yaml;

pub use document::Document;
pub use duration::seconds;
pub use finding::{Finding, Findings, Severity, Source};
pub use identity::{Identity, Named};
pub use lint::{Lint, Target, wiring_alone};
pub use policy::{PolicyDocument, credential_variables};

pub(crate) use layout::Held;
pub(crate) use node_spans::{push_index, push_member};
pub use quoted::{printable, quoted};

/// The largest file that is read: ten times what a document of 100,000 revocations needs.
pub const MAX_BYTES: u64 = 64 << 20;
/// The deepest nesting: the format needs about ten levels, JSON Schemas in it some more.
const MAX_DEPTH: usize = 64;
/// The most findings that one document yields: a wrong kind of file would give thousands.
const MAX_FINDINGS: usize = 100;

#[cfg(test)]
mod tests;
