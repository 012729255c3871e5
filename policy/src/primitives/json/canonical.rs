//! The canonical form of a value (RFC 8785, JCS), and its fingerprint.
#![cfg_attr(not(test), expect(dead_code, reason = "for the record of what a body asks for, as soon as a document can name it"))]

use serde_json::{Map, Number, Value};
use sha2::{Digest as _, Sha256};

use crate::primitives::ascii::push_hex;
use crate::primitives::json::numbers::Literal;
use crate::primitives::json::push_string;

/// A value as RFC 8785 writes it: without spaces, members in the order of their UTF-16, numbers as ECMAScript writes doubles.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    push(value, &mut out);
    out
}

/// SHA-256 of the canonical form, in hexadecimal digits.
pub(crate) fn fingerprint(value: &Value) -> String {
    let mut hex = String::with_capacity(64);
    push_hex(&Sha256::digest(canonical(value).as_bytes()), &mut hex);
    hex
}

fn push(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => push_number(number, out),
        Value::String(text) => push_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => push_members(members, out),
    }
}

fn push_members(members: &Map<String, Value>, out: &mut String) {
    let mut sorted: Vec<_> = members.iter().collect();
    // RFC 8785 §3.2.3. Not the order of code points: what is beyond the basic plane has surrogates, which come before U+E000.
    sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
    out.push('{');
    for (index, (name, member)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(name, out);
        out.push(':');
        push(member, out);
    }
    out.push('}');
}

/// ECMAScript's `Number::toString` (RFC 8785 §3.2.2.3). The digits are the fewest that read as the same double, which is what
/// `serde_json` writes; only where the point stands is left to say.
fn push_number(number: &Number, out: &mut String) {
    let double = number.as_f64().and_then(Number::from_f64);
    let literal = Literal::read(double.as_ref().unwrap_or(number).to_string().as_bytes());
    if literal.digits.is_empty() {
        return out.push('0');
    }
    if literal.negative {
        out.push('-');
    }
    let digits = || literal.digits.iter().map(|digit| char::from(*digit));
    let length = literal.digits.len();
    let zeros = |count: usize| std::iter::repeat_n('0', count);
    match (literal.point, usize::try_from(literal.point)) {
        (..=21, Ok(point)) if point >= length => out.extend(digits().chain(zeros(point - length))),
        (1..=21, Ok(point)) => {
            out.extend(digits().take(point));
            out.push('.');
            out.extend(digits().skip(point));
        }
        (-5..=0, _) => {
            out.push_str("0.");
            out.extend(zeros(usize::try_from(-literal.point).unwrap_or(0)));
            out.extend(digits());
        }
        (point, _) => {
            out.extend(digits().take(1));
            if length > 1 {
                out.push('.');
                out.extend(digits().skip(1));
            }
            out.push_str(if point > 0 { "e+" } else { "e" });
            out.push_str(itoa::Buffer::new().format(point - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 8785, appendix B: the bits of doubles, and what they are written as.
    const NUMBERS: [(u64, &str); 24] = [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ];

    fn of(double: f64) -> String {
        canonical(&json!(double))
    }

    #[test]
    fn numbers_are_written_as_the_rfc_writes_them() {
        for (bits, text) in NUMBERS {
            assert_eq!(of(f64::from_bits(bits)), text);
        }
        assert_eq!(canonical(&json!([1, -7, 0, u64::MAX, 10, 1.5e10])), "[1,-7,0,18446744073709552000,10,15000000000]");
    }

    /// The examples of RFC 8785 §3.2.2 and §3.2.3.
    #[test]
    fn the_examples_of_the_rfc() {
        let text = r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
        let wanted = concat!(
            r#"{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(canonical(&serde_json::from_str(text).unwrap()), wanted);
        let text = r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"}"#;
        let wanted = concat!(
            r#"{"\r":"Carriage Return","1":"One","#,
            "\"\u{80}\":\"Control\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",",
            "\"😀\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
        );
        assert_eq!(canonical(&serde_json::from_str(text).unwrap()), wanted);
    }

    #[test]
    fn a_fingerprint_is_the_same_however_a_value_is_written() {
        let of = |text: &str| fingerprint(&crate::primitives::json::parse_strict(text.as_bytes(), 4).unwrap());
        // `printf '{}' | sha256sum`
        assert_eq!(of("{}"), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
        // `printf '{"a":[1,0.5],"b":"c"}' | sha256sum`
        assert_eq!(of(r#"{"a":[1,0.5],"b":"c"}"#), "0527395146097f78e8be8cf5a05b4b9ac18fccd0f57202be5d7636a0ed8a06d9");
        assert_eq!(of(r#" {"b":"\u0063", "a":[1.0, 5e-1] }"#), of(r#"{"a":[1,0.5],"b":"c"}"#));
        assert_ne!(of(r#"{"a":[1,0.25],"b":"c"}"#), of(r#"{"a":[1,0.5],"b":"c"}"#));
    }

    proptest! {
        #[test]
        fn a_number_reads_as_the_double_that_it_was(bits in any::<u64>()) {
            let double = f64::from_bits(bits);
            if double.is_finite() {
                prop_assert_eq!(of(double).parse::<f64>().unwrap(), double);
            }
        }
    }
}
