//! A text to be shown to people: what would be a secret in it is masked. Diagnostics end up in the logs of build servers.

/// Members of a JWK that are private (RFC 7518 §6).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/// The same text, byte for byte as long, with stars for the private members of keys and for every `value` that is no reference
/// to an environment variable.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        while let Some(colon) = rest.find(':') {
            let (before, after) = rest.split_at(colon + 1);
            out.push_str(before);
            let lead = after.len() - after.trim_start_matches([' ', '"', '\'']).len();
            let (lead, scalar) = after.split_at(lead);
            out.push_str(lead);
            let length = secret(name(before), scalar);
            out.extend(std::iter::repeat_n('*', length));
            rest = scalar.get(length..).unwrap_or_default();
        }
        out.push_str(rest);
    }
    out
}

/// The member's name before its colon.
fn name(before: &str) -> &str {
    let before = before.trim_end_matches([':', ' ', '"', '\'']);
    let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    before.get(start..).unwrap_or_default()
}

/// How many bytes of the member's value are to be masked.
fn secret(name: &str, scalar: &str) -> usize {
    if PRIVATE.contains(&name) {
        let length = scalar.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')).count();
        return if length < 16 { 0 } else { length };
    }
    let length = scalar.find(['"', '\'', '}', '\n', '\r']).unwrap_or(scalar.len());
    let is_reference = scalar.starts_with("${") || scalar.get(..length).is_some_and(|value| value.contains("${env:"));
    if name == "value" && !is_reference { length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn private_keys_and_literal_values_are_masked_and_nothing_else() {
        for (text, expected) in [
            (
                "{kty: EC, d: \"jpsQnnGQmL-YBIffH1136c\", x: f83OJ3D2xF1Bg8vub9tLe1}",
                "{kty: EC, d: \"**********************\", x: f83OJ3D2xF1Bg8vub9tLe1}",
            ),
            ("{\"kty\":\"EC\",\"d\":\"jpsQnnGQmL-YBIffH1136c\"}\n", "{\"kty\":\"EC\",\"d\":\"**********************\"}\n"),
            (
                "credential: {header: authorization, value: \"Bearer sk-live-1\"}",
                "credential: {header: authorization, value: \"****************\"}",
            ),
            ("  value: Bearer sk-live-1 \u{e9}\nname: x\n", "  value: *******************\nname: x\n"),
            (
                "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
                "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}",
            ),
            ("d: short\nissuer: https://broker.example\n", "d: short\nissuer: https://broker.example\n"),
        ] {
            let shown = masked(text);
            assert_eq!(shown, expected);
            assert_eq!(shown.len(), text.len());
        }
    }
}
