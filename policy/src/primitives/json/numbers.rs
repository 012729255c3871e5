//! Number literals, as they are written: a parser gives the double that is nearest, and that is not what every reader keeps.

use crate::primitives::json::body::Wrong;

/// Beyond it neighbours are one double (RFC 7493 §2.2).
const LARGEST_INTEGER: u64 = (1 << 53) - 1;

/// Enough to tell any two doubles apart. Readers of decimals (Java's `BigDecimal`, Python's `Decimal`, databases) keep all digits, so
/// that with more of them 100.000000000000000001 would be 100 to one reader, and beyond a bound of 100 to another.
const DIGITS: usize = 17;

/// The decimal exponents of doubles that have all their digits: from 2.2e-308 to 1.8e308.
const EXPONENTS: std::ops::RangeInclusive<i64> = -307..=308;

/// A number literal as digits, the first and the last not zero, and where the point is: `0.DIGITS` times 10 to the power of `point`.
/// Zero has no digits.
pub(super) struct Literal {
    pub(super) negative: bool,
    /// Written without fraction and exponent.
    pub(super) integer: bool,
    pub(super) digits: Vec<u8>,
    pub(super) point: i64,
}

impl Literal {
    /// Reads a number of JSON; of other characters it makes something.
    pub(super) fn read(text: &[u8]) -> Self {
        let negative = text.first() == Some(&b'-');
        let mut exponent = 0_i64;
        let mut digits = Vec::with_capacity(text.len());
        let mut whole = None;
        let mut integer = true;
        for (at, byte) in text.iter().enumerate() {
            match byte {
                b'0'..=b'9' => digits.push(*byte),
                b'.' => {
                    whole = Some(digits.len());
                    integer = false;
                }
                b'e' | b'E' => {
                    exponent = read_exponent(text.get(at + 1..).unwrap_or_default());
                    integer = false;
                    break;
                }
                _ => {}
            }
        }
        let whole = whole.unwrap_or(digits.len());
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        let used = digits.iter().rposition(|digit| *digit != b'0').map_or(zeros, |last| last + 1);
        let digits = digits.get(zeros..used).unwrap_or_default().to_vec();
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Self { negative, integer, digits, point: count(whole).saturating_sub(count(zeros)).saturating_add(exponent) }
    }

    fn judge(&self) -> Result<(), Wrong> {
        if self.digits.is_empty() {
            return Ok(());
        }
        if self.integer {
            let value = usize::try_from(self.point).ok().and_then(|length| {
                let zeros = length.checked_sub(self.digits.len()).filter(|_| length <= DIGITS)?;
                let digits = self.digits.iter().copied().chain(std::iter::repeat_n(b'0', zeros));
                Some(digits.fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0')))
            });
            return value.filter(|value| *value <= LARGEST_INTEGER).map(|_| ()).ok_or(Wrong::Integer);
        }
        if self.digits.len() > DIGITS {
            Err(Wrong::Digits)
        } else if EXPONENTS.contains(&(self.point.saturating_sub(1))) {
            Ok(())
        } else {
            Err(Wrong::Range)
        }
    }
}

/// Saturating: what has more digits than an `i64` is beyond any bound.
fn read_exponent(text: &[u8]) -> i64 {
    let negative = text.first() == Some(&b'-');
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    let size = digits.fold(0_i64, |size, digit| size.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -size } else { size }
}

/// Looks at every number of a text, as far as it is JSON; where one is not as every reader keeps it, what is wrong and where it begins.
pub(super) fn check(text: &[u8]) -> Result<(), (Wrong, usize)> {
    let mut bytes = text.iter().enumerate();
    let mut string = false;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => string = !string,
            b'\\' => {
                bytes.next();
            }
            b'-' | b'0'..=b'9' if !string => {
                let rest = text.get(at..).unwrap_or_default();
                let length =
                    rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
                Literal::read(rest.get(..length).unwrap_or_default()).judge().map_err(|wrong| (wrong, at))?;
                bytes.by_ref().take(length - 1).for_each(drop);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The integer that a double is, within ±(2^53-1); for -0 it is 0.
pub(super) fn as_integer(value: f64) -> Option<i64> {
    // 2^53-1 is a double itself.
    let within = value.abs() <= LARGEST_INTEGER as f64;
    (within && value.fract() == 0.0).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(literal: &str) -> Option<Wrong> {
        let found = check(format!("[\"1e400\\\"-1e400\",{literal}, 1]").as_bytes()).err();
        found.map(|(wrong, at)| {
            assert_eq!(at, 17, "{literal}");
            wrong
        })
    }

    #[test]
    fn a_number_is_taken_where_every_reader_keeps_it() {
        for (good, bad, why) in [
            ("9007199254740991", "9007199254740992", Wrong::Integer),
            ("-9007199254740991", "-9007199254740992", Wrong::Integer),
            ("9007199254740990", "90071992547409900", Wrong::Integer),
            ("1e20", "100000000000000000000", Wrong::Integer),
            ("0.12345678901234567", "0.123456789012345678", Wrong::Digits),
            ("100.00000000000001", "100.000000000000000001", Wrong::Digits),
            ("12345678901234567e-3", "123456789012345678e-3", Wrong::Digits),
            ("1.00000000000000000000", "1.00000000000000000001", Wrong::Digits),
            ("1e308", "1e309", Wrong::Range),
            ("0.0001e312", "0.0001e313", Wrong::Range),
            ("1e-307", "1e-308", Wrong::Range),
            ("100e-309", "100e-310", Wrong::Range),
            ("1e0000000000000000000000001", "1e99999999999999999999999", Wrong::Range),
            ("0e99999999999999999999999", "1e-99999999999999999999999", Wrong::Range),
        ] {
            assert_eq!(wrong(good), None, "{good}");
            assert_eq!(wrong(bad), Some(why), "{bad}");
            assert_eq!(wrong(&format!("-{}", bad.trim_start_matches('-'))), Some(why), "-{bad}");
        }
        for zero in ["0", "-0", "0.000", "-0.0e-5"] {
            assert_eq!(wrong(zero), None, "{zero}");
        }
    }

    #[test]
    fn an_integer_is_one_up_to_the_bound() {
        assert_eq!(as_integer(9_007_199_254_740_991.0), Some(9_007_199_254_740_991));
        assert_eq!(as_integer(9_007_199_254_740_992.0), None);
        assert_eq!(
            (as_integer(-0.0), as_integer(-3.0), as_integer(0.5), as_integer(f64::INFINITY)),
            (Some(0), Some(-3), None, None)
        );
    }
}
