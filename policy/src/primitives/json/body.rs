//! JSON that every reader reads alike: the body of a request is read once here, and once more by its target.

use std::cell::Cell;
use std::fmt;

use serde::de::DeserializeSeed as _;
use serde_json::Value;

use super::Strict;
use crate::primitives::limits;

/// Why a body could be read in two ways, or in none; never what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is not JSON, has a member twice or in two cases, a text that is no Unicode, or more than a bound allows, near this byte.
    Json { byte: usize },
    /// A number that two readers would take for two, at this byte.
    Number { byte: usize },
    /// U+0000, at which some readers end a text.
    Nul,
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { byte } => write!(
                f,
                "no JSON with one reading, near byte {byte}: each member once, in one case, at most {} values and {} levels",
                limits::BODY_VALUES,
                limits::BODY_JSON_DEPTH
            ),
            Self::Number { byte } => {
                write!(f, "the number at byte {byte} is read differently by different readers: within 2^53, and 17 digits")
            }
            Self::Nul => f.write_str("a text has U+0000 in it, where some readers end it"),
        }
    }
}

/// Parses a whole body.
///
/// Beyond what [`super::parse`] refuses: members that differ in case alone (some readers take either for the other), numbers that do
/// not survive a double, and U+0000. `serde_json` itself refuses a byte order mark, lone surrogates, and bytes that are no UTF-8.
pub(crate) fn parse_body(text: &[u8]) -> Result<Value, BodyFault> {
    let left = Cell::new(limits::BODY_VALUES);
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let strict = Strict { depth: limits::BODY_JSON_DEPTH, twins: Some(&left) };
    let place = |error: &serde_json::Error| BodyFault::Json { byte: byte_at(text, error.line(), error.column()) };
    let value = strict.deserialize(&mut deserializer).map_err(|error| place(&error))?;
    deserializer.end().map_err(|error| place(&error))?;
    if let Some(byte) = doubtful_number(text) {
        return Err(BodyFault::Number { byte });
    }
    if has_nul(&value) {
        return Err(BodyFault::Nul);
    }
    Ok(value)
}

/// Lines and columns of an error count from 1; a column counts bytes.
fn byte_at(text: &[u8], line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    before.saturating_add(column.saturating_sub(1)).min(text.len())
}

/// Where the first number stands of a text that is JSON, which not all readers would take for the same.
fn doubtful_number(text: &[u8]) -> Option<usize> {
    let mut place = 0;
    while let Some(byte) = text.get(place) {
        match byte {
            b'"' => place += string_length(text.get(place..)?),
            b'-' | b'0'..=b'9' => {
                let rest = text.get(place..)?;
                let length =
                    rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).count();
                if !is_plain_number(std::str::from_utf8(rest.get(..length)?).ok()?) {
                    return Some(place);
                }
                place += length;
            }
            _ => place += 1,
        }
    }
    None
}

/// The length of the string that the text begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut length = 1;
    while let Some(byte) = text.get(length) {
        match byte {
            b'\\' => length += 2,
            b'"' => return length + 1,
            _ => length += 1,
        }
    }
    length
}

/// One value for whoever reads doubles, and for whoever reads integers or decimals.
fn is_plain_number(text: &str) -> bool {
    const LARGEST: u64 = (1 << 53) - 1;
    #[expect(clippy::cast_precision_loss, reason = "it is the largest without any")]
    const LARGEST_DOUBLE: f64 = LARGEST as f64;
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // `-0` is zero as an integer and something else as a double.
        return digits.parse::<u64>().is_ok_and(|number| number <= LARGEST) && text != "-0";
    }
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let significant = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    let Ok(number) = text.parse::<f64>() else { return false };
    // What overflows, or is too small for a double, is another number to whoever reads decimals.
    let is_zero = significant == 0;
    // Whole numbers beyond have no neighbours: one that is not written as its double is, is another to whoever reads integers.
    let is_its_own = || decimal(digits) == decimal(&format!("{:e}", number.abs()));
    significant <= 17
        && number.is_finite()
        && (number.abs() <= LARGEST_DOUBLE || is_its_own())
        && (number == 0.0) == is_zero
        && !(is_zero && text.starts_with('-'))
}

/// A number without its sign, as its digits without zeros around them, and what power of ten they are multiplied by.
fn decimal(text: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let all = digits.trim_end_matches('0');
    let zeros = i64::try_from(digits.len() - all.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(zeros)?;
    Some((all.trim_start_matches('0').to_owned(), exponent))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<BodyFault> {
        parse_body(text.as_bytes()).err()
    }

    #[test]
    fn members_that_differ_in_case_alone_are_one_too_many() {
        assert_eq!(fault(r#"{"name":1,"nome":2,"a":{"Name":3}}"#), None);
        assert_eq!(fault("{\"s\":1,\"\u{df}\":2,\"k\":3,\"\u{3c3}\":4}"), None);
        for twins in [
            r#"{"name":1,"Name":2}"#,
            r#"{"a":[{"name":1,"N\u0061ME":2}]}"#,
            "{\"\u{e9}\":1,\"\u{c9}\":2}",
            r#"{"a":1,"a":2}"#,
            // Long s, the Kelvin sign, and a final sigma.
            "{\"arguments\":1,\"argument\u{17f}\":2}",
            "{\"token\":1,\"to\u{212a}en\":2}",
            "{\"\u{3c3}\":1,\"\u{3c2}\":2}",
        ] {
            assert!(matches!(fault(twins), Some(BodyFault::Json { .. })), "{twins}");
        }
    }

    #[test]
    fn numbers_are_the_same_to_every_reader() {
        for plain in [
            "0",
            "-1",
            "9007199254740991",
            "-9007199254740991",
            "1.5",
            "1e3",
            "-2.5E-3",
            "0.1",
            "0.30000000000000004",
            "0.0",
            "1E300",
            "9007199254740992.0",
            "900719925474099.2e1",
        ] {
            assert_eq!(fault(&format!("[{plain}]")), None, "{plain}");
        }
        for doubtful in [
            "9007199254740992",
            "-9007199254740993",
            "18446744073709551616",
            "1e400",
            "-1e400",
            "1e-400",
            "-0",
            "-0.0",
            "0.100000000000000005551",
            "123456789012345678.5",
            "9007199254740993.0",
            "9007199254740993e0",
            "90071992547409.93E2",
            "12345678901234567e0",
        ] {
            let said = fault(&format!("{{\"a\":[1,\"2 -0\\\"\",{doubtful}]}}"));
            assert!(said.is_some(), "{doubtful}");
        }
        assert_eq!(fault(r#"{"a":"9007199254740992","-0":1}"#), None);
    }

    #[test]
    fn texts_are_unicode_without_an_end_inside() {
        assert_eq!(fault(r#"["\ud83d\ude00","\u0001"]"#), None);
        for wrong in [r#"["\ud83d"]"#, r#"["\ude00\ud83d"]"#, r#"["a\u0000b"]"#, r#"{"a\u0000":1}"#, "\u{feff}[]"] {
            assert!(fault(wrong).is_some(), "{wrong}");
        }
        assert!(parse_body(b"[\"\xff\"]").is_err());
    }

    #[test]
    fn a_body_has_a_bound_in_every_direction() {
        let values = |count: usize| format!("[{}]", vec!["1"; count].join(","));
        assert_eq!(fault(&values(limits::BODY_VALUES - 1)), None);
        assert!(fault(&values(limits::BODY_VALUES)).is_some());
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(fault(&nested(limits::BODY_JSON_DEPTH)), None);
        assert!(fault(&nested(limits::BODY_JSON_DEPTH + 1)).is_some());
        assert!(fault(&"[".repeat(1_000_000)).is_some());
    }

    #[test]
    fn a_fault_says_where_and_not_what() {
        assert_eq!(fault("{\n \"a\": 1,\n \"secret\": x}"), Some(BodyFault::Json { byte: 22 }));
        assert_eq!(fault("[1, 1e999]"), Some(BodyFault::Json { byte: 8 }));
        assert_eq!(fault("[1, 1e-999]"), Some(BodyFault::Number { byte: 4 }));
        assert!(!fault(r#"{"secret":1,"secret":2}"#).unwrap().to_string().contains("secret"));
    }

    /// Valid JSON that is refused here, because readers differ in what they make of it.
    const REFUSED: [(&str, &str); 6] = [
        ("y_number_minus_zero", "an integer to some, another number than 0 to others"),
        ("y_number_negative_zero", "the same"),
        ("y_object_duplicated_key", "some take the first, some the last"),
        ("y_object_duplicated_key_and_value", "the same"),
        ("y_object_escaped_null_in_key", "U+0000 ends a text for some"),
        ("y_string_null_escape", "the same"),
    ];

    /// What the suite leaves to the parser, and is taken here.
    const TAKEN: [&str; 0] = [];

    /// The parsing tests of JSONTestSuite, see the README beside them.
    #[test]
    fn the_test_suite_of_json() {
        use base64::Engine as _;
        let suite = include_str!("../../../tests/fixtures/json-test-suite/parsing.jsonl");
        let (mut refused, mut taken, mut count) = (Vec::new(), Vec::new(), 0);
        for line in suite.lines() {
            let test: Value = serde_json::from_str(line).unwrap();
            let name = test["name"].as_str().unwrap();
            let body = match test["base64"].as_str() {
                Some(coded) => base64::engine::general_purpose::STANDARD.decode(coded).unwrap(),
                None => test["repeat"].as_str().unwrap().repeat(test["times"].as_u64().unwrap() as usize).into_bytes(),
            };
            count += 1;
            let is_taken = parse_body(&body).is_ok();
            match name.get(..2).unwrap() {
                "n_" => assert!(!is_taken, "{name}"),
                "y_" if !is_taken => refused.push(name.to_owned()),
                "i_" if is_taken => taken.push(name.to_owned()),
                _ => {}
            }
        }
        assert_eq!(refused, REFUSED.map(|(name, _)| name));
        assert_eq!(taken, TAKEN);
        assert_eq!(count, 318);
    }
}
