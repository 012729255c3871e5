//! A text to be shown to people: what would be a secret in it is masked. Diagnostics end up in the logs of build servers.

/// Members of a JWK that are private (RFC 7518 §6).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "k"];

/// Members of a Secret of Kubernetes that say which one it is.
const PUBLIC: [&str; 6] = ["kind", "apiVersion", "metadata", "name", "namespace", "type"];

/// The same text, byte for byte as long, with stars for the private members of keys, for every `value` that is no reference to an
/// environment variable, and for what a Secret among other documents holds.
pub(super) fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let secret_lines = if text.contains("Secret") { secrets(&lines) } else { Vec::new() };
    for (index, line) in lines.into_iter().enumerate() {
        if secret_lines.get(index).is_some_and(|secret| *secret) {
            hide(line, &mut out);
            continue;
        }
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

/// For each line, whether it belongs to a Secret: an object's lines are as far from the margin as its `kind`, or further.
fn secrets(lines: &[&str]) -> Vec<bool> {
    let mut secret = vec![false; lines.len()];
    for (index, line) in lines.iter().enumerate() {
        let plain = line.replace(['"', '\'', ','], "");
        if secret.get(index).is_some_and(|known| *known) || !(plain.contains("kind: Secret") || plain.contains("kind:Secret")) {
            continue;
        }
        let column = margin(line);
        let inside = |line: &str| !line.starts_with("---") && (line.trim().is_empty() || margin(line) >= column);
        let begins = |line: &str| !line.trim().is_empty() && line.len() - line.trim_start_matches(' ').len() < column;
        let (mut first, mut end) = (index, index + 1);
        while lines.get(first).is_some_and(|line| !begins(line))
            && first.checked_sub(1).and_then(|before| lines.get(before)).is_some_and(|line| inside(line))
        {
            first -= 1;
        }
        while lines.get(end).is_some_and(|line| inside(line) && !begins(line)) {
            end += 1;
        }
        secret.iter_mut().skip(first).take(end - first).for_each(|line| *line = true);
    }
    secret
}

/// How far from the margin a line's content is, after the dash of an item.
fn margin(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '-']).len()
}

/// A Secret's line: what comes after a name that is not public, and lines without one.
fn hide(line: &str, out: &mut String) {
    let content = line.trim_end();
    let (kept, hidden) = content.split_once(':').map_or(("", content), |(before, _)| content.split_at(before.len() + 1));
    if PUBLIC.contains(&name(kept)) && !hidden.contains(':') {
        out.push_str(line);
        return;
    }
    out.push_str(kept);
    let lead = hidden.len() - hidden.trim_start().len();
    out.push_str(hidden.get(..lead).unwrap_or_default());
    out.extend(std::iter::repeat_n('*', hidden.len() - lead));
    out.push_str(line.get(content.len()..).unwrap_or_default());
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
    #[test]
    fn what_a_secret_holds_is_masked_and_its_neighbours_are_not() {
        let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: hunter2\n  file: |\n    hunter3\ndata: {a: aHVudGVy}\n";
        let hidden = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: s\nstringData:\n  password: *******\n  file: *\n    *******\ndata: *************\n";
        let service = "kind: Service\nmetadata: {name: a}\nport: 80\n";
        assert_eq!(masked(&format!("{service}---\n{secret}---\n{service}")), format!("{service}---\n{hidden}---\n{service}"));
        let items = |text: &str| {
            let lines: String = text.lines().map(|line| format!("  {line}\n")).collect();
            format!("kind: List\nitems:\n- {}- kind: Service\n  port: 80\n", lines.trim_start())
        };
        assert_eq!(masked(&items(secret)), items(hidden));
        assert_eq!(masked("- {kind: Secret, data: {a: b}}\n"), "- {kind: *********************\n");
        let json = "{\n  \"data\": {\n    \"a\": \"hunter2\"\n  },\n  \"kind\": \"Secret\"\n}\n";
        assert!(!masked(json).contains("hunter2"), "{}", masked(json));
    }
}
