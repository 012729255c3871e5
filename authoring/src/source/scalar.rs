//! Plain scalars by the core schema of YAML 1.2.2, §10.3.2, less what JSON or other readers would see differently.

use serde_json::{Number, Value};

/// What a plain scalar means, or what is wrong with it and what to write instead.
pub(super) fn resolve(text: &str) -> Result<Value, (String, &'static str)> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => return number(text).unwrap_or_else(|| Ok(Value::String(text.to_owned()))),
    })
}

const QUOTE: &str = "put it in quotes if it is a name or an id";

fn number(text: &str) -> Option<Result<Value, (String, &'static str)>> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    if matches!(lower.as_str(), ".inf" | ".nan") {
        return Some(Err((format!("`{text}` has no form in JSON"), "write a finite number")));
    }
    if let Some((digits, radix)) = text.strip_prefix("0x").map(|d| (d, 16)).or_else(|| text.strip_prefix("0o").map(|d| (d, 8))) {
        if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
            return None;
        }
        return Some(
            u64::from_str_radix(digits, radix).map(Value::from).map_err(|_| (format!("`{text}` is too large a number"), QUOTE)),
        );
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit()) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            // 0123 is 123 in YAML 1.2 and 83 in YAML 1.1, which Envoy reads.
            return Some(Err((format!("`{text}` is one number to some YAML readers and another to others"), QUOTE)));
        }
        let plain = text.strip_prefix('+').unwrap_or(text);
        let whole = plain.parse::<i64>().map(Value::from).or_else(|_| plain.parse::<u64>().map(Value::from));
        return Some(whole.map_err(|_| (format!("`{text}` is too large a number"), QUOTE)));
    }
    if !is_float(unsigned) {
        return None;
    }
    Some(match text.parse::<f64>().ok().and_then(Number::from_f64) {
        Some(number) => Ok(Value::Number(number)),
        None => Err((format!("`{text}` is too large a number"), QUOTE)),
    })
}

/// `[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?`, or the same with a leading dot and at least one digit.
fn is_float(text: &str) -> bool {
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_ok && digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
}
