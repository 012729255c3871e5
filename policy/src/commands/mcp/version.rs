//! Versions of the protocol, and which of them a request is in.

use super::message::Fault;
use crate::http::head::{Headers, values};
use crate::primitives::limits;

/// A version of the protocol over Streamable HTTP. That of 2024-11-05 is over another transport, and is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// Knows batches, and no header for the version.
    V2025_03_26,
    V2025_06_18,
    /// Knows tasks.
    V2025_11_25,
    /// Has no sessions of its own: one message a request, whose method and name stand in the head as well.
    V2026_07_28,
}

impl Version {
    pub(crate) const WORDS: [(&str, Self); 4] = [
        ("2025-03-26", Self::V2025_03_26),
        ("2025-06-18", Self::V2025_06_18),
        ("2025-11-25", Self::V2025_11_25),
        ("2026-07-28", Self::V2026_07_28),
    ];

    /// The version of this name; `None` when it is none of ours.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::WORDS.into_iter().find(|(known, _)| *known == name).map(|(_, version)| version)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Has it no sessions of its own, nor what belongs to them?
    pub(crate) fn is_sessionless(self) -> bool {
        self >= Self::V2026_07_28
    }

    /// What `MCP-Protocol-Version` says; `None` where it is not there. Servers take such a request for one of 2025-03-26, which had
    /// no such header (Streamable HTTP of 2025-06-18, "Protocol Version Header").
    pub(crate) fn of_head(headers: &Headers<'_>) -> Result<Option<Self>, Fault> {
        let Some(value) = one(headers, "mcp-protocol-version")? else { return Ok(None) };
        Self::named(value).map(Some)
    }

    /// The version of this name, or what to say to whoever named it.
    pub(crate) fn named(name: &[u8]) -> Result<Self, Fault> {
        let told = || String::from_utf8_lossy(name).chars().take(limits::IDENTIFIER_BYTES).collect();
        std::str::from_utf8(name).ok().and_then(Self::from_name).ok_or_else(|| Fault::Version(told()))
    }

    /// Is this one of the methods of before that it no longer has, in favour of `subscriptions/listen`?
    pub(crate) fn lacks(self, method: &str) -> bool {
        self.is_sessionless() && matches!(method, "resources/subscribe" | "resources/unsubscribe")
    }
}

/// The only value of a header; two are a mismatch, whatever they say.
pub(crate) fn one<'h>(headers: &'h Headers<'h>, name: &'h str) -> Result<Option<&'h [u8]>, Fault> {
    let mut found = values(headers, name);
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Fault::Header("a header of the protocol is there twice")),
    }
}
