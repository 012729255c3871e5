//! Time as an argument: an instant in Unix nanoseconds and durations in whole seconds. Nothing here reads a clock.

use std::time::Duration;

use jiff::fmt::temporal::DateTimeParser;

/// An instant, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant this many nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant this many seconds after the epoch; the far future saturates (in the year 2554).
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Whole seconds since the epoch, rounded down: for an `exp` in seconds, `now >= exp` holds for this exactly when it
    /// holds for the instant itself.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Time gone by since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 instant such as `2026-11-23T10:00:00Z`; the far future saturates, what is before 1970 is none.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        static PARSER: DateTimeParser = DateTimeParser::new();
        let nanos = PARSER.parse_timestamp(text).ok()?.as_nanosecond();
        (nanos >= 0).then(|| Self(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// Reads a duration as documents write it, a whole number and one unit (`s`, `m`, `h` or `d`), into seconds. `None` is for any
/// other text, and for what no `u64` holds.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let scale = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_seconds("0s"), Some(0));
        assert_eq!(parse_seconds("15m"), Some(900));
        assert_eq!(parse_seconds("2h"), Some(7200));
        for wrong in ["", "s", "15", "-1s", "1.5m", "15 m", "1m30s", "+1s", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn instants_are_rfc3339() {
        assert_eq!(Timestamp::from_rfc3339("2026-11-23T10:00:00Z"), Some(Timestamp::from_seconds(1_795_428_000)));
        assert_eq!(Timestamp::from_rfc3339("2026-11-23T12:00:00+02:00"), Some(Timestamp::from_seconds(1_795_428_000)));
        assert_eq!(Timestamp::from_rfc3339("9999-01-01T00:00:00Z"), Some(Timestamp::from_nanos(u64::MAX)));
        assert_eq!(Timestamp::from_rfc3339("2026-11-23"), None);
        assert_eq!(Timestamp::from_rfc3339("1960-01-01T00:00:00Z"), None);
    }
}
