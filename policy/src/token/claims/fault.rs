//! What can be wrong with a token's claims. Nothing of it is written before somebody asks.

use std::fmt;

use serde_json::Value;

use crate::document::kind;
use crate::primitives::ascii::audit_length;
use crate::primitives::limits;

/// A claim is missing, or is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(super) claim: Claim,
    pub(super) found: Found,
    pub(super) wanted: Wanted,
}

/// Which claim; where the policy says where it is, by what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    Named(&'static str),
    Issued,
    Started,
    Session,
    Commands,
    /// Of the `act` chain, from 0 for the outermost.
    Hop(usize),
}

/// What is there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// Another type of JSON.
    Is(Kind),
    /// Something on the way to it is no object.
    NoObject(Kind),
    Empty,
    /// A text of so many bytes as an audit header carries it.
    Long(usize),
    OutOfRange,
    /// It is later than `iat`.
    AfterIssue,
    /// So many items.
    Many(usize),
    /// The item at this place.
    Item(usize),
    /// A member that we do not know.
    Unknown,
    /// Further hops.
    Deep,
}

/// A type of JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind(&'static str);

impl From<&Value> for Kind {
    fn from(value: &Value) -> Self {
        Self(kind(value))
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Time,
    Text,
    Commands,
    Details,
    Status,
}

impl Wanted {
    pub(super) fn but(self, claim: Claim, found: Found) -> Invalid {
        Invalid { claim, found, wanted: self }
    }
}

impl Found {
    pub(super) fn is(value: &Value) -> Self {
        match value {
            Value::String(text) if text.is_empty() => Self::Empty,
            Value::String(text) if audit_length(text) > limits::AUDIT_VALUE_BYTES => Self::Long(audit_length(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                Self::Is(value.into())
            }
        }
    }
}

impl Invalid {
    /// The claim `status` names no place in a list of the policy.
    pub(crate) const STATUS: Self = Self { claim: Claim::Named("status"), found: Found::Unknown, wanted: Wanted::Status };

    /// What is wrong, with the claim by this name.
    pub(super) fn sentence(self, name: &str) -> String {
        let found = match self.found {
            Found::Nothing => format!("{name} is missing"),
            Found::Is(kind) => format!("{name} is {}", kind.0),
            Found::NoObject(kind) => format!("what holds {name} is {}, not an object", kind.0),
            Found::Empty => format!("{name} is empty"),
            Found::Long(bytes) => format!("{name} has {bytes} bytes in an audit header"),
            Found::OutOfRange => format!("{name} is out of range"),
            Found::AfterIssue => format!("{name} is later than the token's `iat`"),
            Found::Many(items) => format!("{name} has {items} items"),
            Found::Item(place) => format!("{name}[{place}] is not as it must be"),
            Found::Unknown => format!("{name} says what is not known here"),
            Found::Deep => format!("{name} goes on for more than {} hops", limits::AGENT_CHAIN),
        };
        let wanted = match self.wanted {
            Wanted::Time => "it must be a NumericDate (RFC 7519 §2): seconds from 1970 to the year 9999".to_owned(),
            Wanted::Text => {
                format!(
                    "it must be a text of 1 to {} bytes, each `%`, `,` and what is not ASCII counted in its escapes",
                    limits::AUDIT_VALUE_BYTES
                )
            }
            Wanted::Commands => format!(
                "it must be a list of at most {} names of commands or beginnings with `*`, or a text of such with spaces between them",
                limits::TOKEN_COMMANDS
            ),
            Wanted::Details => {
                "it must be a list of objects (RFC 9396), those of type `chaperone` with `actions` and, perhaps, `locations` and \
                 `arguments_sha256` (64 hex digits in lower case) alone"
                    .to_owned()
            }
            Wanted::Status => "it must be `{status_list: {uri, idx}}` with a `uri` that the policy lists".to_owned(),
        };
        format!("{found}; {wanted}")
    }
}
