//! The protocol versions that are read.

use std::fmt;
use std::str::FromStr;

/// A version of the protocol over Streamable HTTP, the oldest first.
///
/// 2024-11-05 is none: its HTTP+SSE transport has another endpoint for bodies, which the server names in a stream. A request
/// that says it is refused, as one of any version that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Version {
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    V2026_07_28,
}

/// The version is none that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownVersion;

impl Version {
    pub(crate) const ALL: [Self; 4] = [Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Does each request say for itself what an `initialize` said before ("modern", 2026-07-28 §Versioning)?
    pub(crate) fn is_modern(self) -> bool {
        self >= Self::V2026_07_28
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or(UnknownVersion)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_written_and_in_the_order_of_their_dates() {
        for version in Version::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert!(Version::ALL.is_sorted());
        for wrong in ["2024-11-05", "2026-07-29", "2025-03-26 ", "2025-3-26", "DRAFT-2026-v1", ""] {
            assert_eq!(wrong.parse::<Version>(), Err(UnknownVersion), "{wrong}");
        }
        assert_eq!(Version::ALL.map(Version::is_modern), [false, false, false, true]);
    }
}
