//! What a body is once it is read.

use std::fmt;

use serde_json::{Map, Value};

use crate::commands::mcp::handle::Handle;
use crate::commands::mcp::version::Version;

/// A body: one message, or a batch of them (2025-03-26 alone).
#[derive(PartialEq)]
pub(crate) struct Body {
    /// What the header says. Without one it is what an `initialize` proposes, and otherwise 2025-03-26, as the specification
    /// has servers take it.
    pub(crate) version: Version,
    pub(crate) batch: bool,
    /// Never empty, and at most [`crate::primitives::limits::BATCH`].
    pub(crate) messages: Vec<Message>,
}

/// One message of JSON-RPC from a client.
#[derive(PartialEq)]
pub(crate) struct Message {
    /// `None` for a notification, which gets no answer.
    pub(crate) id: Option<Id>,
    /// What its own `_meta` says, or what an `initialize` proposes.
    pub(crate) version: Option<Version>,
    /// `None` for an answer.
    pub(crate) method: Option<String>,
    /// What it wants. The first is what the message is, the others what it needs besides; never empty.
    pub(crate) wants: Vec<Wanted>,
    pub(crate) handles: Vec<Handle>,
}

/// The `id` of a message: a string or an integer, never `null`. A fraction is none, but `1.0` is the integer that it equals.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Id {
    Text(String),
    /// Within ±(2^53-1).
    Number(i64),
}

/// Something that a message wants. Each is to be one command of the policy.
#[derive(Clone, PartialEq)]
pub(crate) enum Wanted {
    /// `tools/call`. Without `arguments` they are empty.
    Tool { name: String, arguments: Map<String, Value> },
    /// `prompts/get`, or a prompt that a completion is for: that one has no `arguments`, not even empty ones.
    Prompt { name: String, arguments: Option<Map<String, Value>> },
    /// `resources/read`, `resources/subscribe` and `resources/unsubscribe`; what `subscriptions/listen` names; and what a
    /// completion is for, which may be a template (RFC 6570).
    Resource { uri: String },
    /// Any other method.
    Method(String),
    /// An answer to a request of the server.
    Answer,
}

impl Message {
    pub(crate) fn is_answer(&self) -> bool {
        self.method.is_none()
    }
}

impl Id {
    /// As JSON.
    pub(crate) fn push_json(&self, out: &mut String) {
        match self {
            Self::Text(text) => crate::primitives::json::push_string(text, out),
            Self::Number(number) => out.push_str(itoa::Buffer::new().format(*number)),
        }
    }
}

/// Kinds and counts: names, arguments and handles are nobody's business who prints a body.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("version", &self.version).field("messages", &self.messages).finish_non_exhaustive()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("wants", &self.wants).field("handles", &self.handles).finish_non_exhaustive()
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tool { .. } => "Tool",
            Self::Prompt { .. } => "Prompt",
            Self::Resource { .. } => "Resource",
            Self::Method(_) => "Method",
            Self::Answer => "Answer",
        })
    }
}
