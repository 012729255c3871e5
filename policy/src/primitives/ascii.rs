//! Text in ASCII: hexadecimal digits, and what headers and logs may show of other people's text.

use crate::primitives::limits;

/// The value of a hexadecimal digit, of either case.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `%XX` with upper-case digits (RFC 3986 §6.2.2.1).
pub(crate) fn upper_escape(byte: u8) -> [u8; 3] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// Appends a value for an audit header: visible ASCII; everything else, `%` and `,` percent-encoded; cut at a whole character.
pub(crate) fn push_audit_value(value: &mut Vec<u8>, text: &str) {
    if text.len() <= limits::AUDIT_VALUE_BYTES && text.bytes().all(|byte| is_plain(char::from(byte))) {
        value.extend_from_slice(text.as_bytes());
        return;
    }
    let start = value.len();
    for character in text.chars() {
        if value.len() - start + audit_size(character) > limits::AUDIT_VALUE_BYTES {
            break;
        }
        if is_plain(character) {
            value.extend(u8::try_from(character));
        } else {
            value.extend(character.encode_utf8(&mut [0; 4]).bytes().flat_map(upper_escape));
        }
    }
}

/// Appends the same for a place between quotes: a String of RFC 9651 §3.3.3 that says what the header would.
pub(crate) fn push_quoted_audit_value(value: &mut Vec<u8>, text: &str) {
    let start = value.len();
    push_audit_value(value, text);
    let quotes = |byte: &u8| matches!(byte, b'"' | b'\\');
    if value.iter().skip(start).any(quotes) {
        for byte in value.split_off(start) {
            if quotes(&byte) {
                value.push(b'\\');
            }
            value.push(byte);
        }
    }
}

/// Would an audit header show the text whole?
pub(crate) fn fits_audit_value(text: &str) -> bool {
    audit_length(text) <= limits::AUDIT_VALUE_BYTES
}

/// The bytes that an audit header would show the whole text in.
pub(crate) fn audit_length(text: &str) -> usize {
    text.chars().map(audit_size).sum()
}

fn audit_size(character: char) -> usize {
    if is_plain(character) { 1 } else { 3 * character.len_utf8() }
}

fn is_plain(character: char) -> bool {
    ('\u{21}'..='\u{7e}').contains(&character) && character != '%' && character != ','
}

/// Text that a client chose, safe in any log: ASCII, everything else percent-encoded, bounded.
pub(crate) fn push_visible(text: &mut String, bytes: &[u8]) {
    // As nearly all of it is.
    if bytes.len() <= limits::RECORD_PATH_BYTES
        && bytes.iter().all(|byte| (0x21..=0x7e).contains(byte))
        && let Ok(whole) = std::str::from_utf8(bytes)
    {
        text.push_str(whole);
        return;
    }
    let start = text.len();
    for byte in bytes {
        if text.len() - start > limits::RECORD_PATH_BYTES {
            text.push_str("...");
            break;
        }
        if (0x21..=0x7e).contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.extend(upper_escape(*byte).map(char::from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audit_values_are_visible_ascii_and_bounded() {
        let audit_value = |text: &str| {
            let mut value = b"before".to_vec();
            push_audit_value(&mut value, text);
            value.split_off(6)
        };
        assert_eq!(audit_value("agent-7"), b"agent-7");
        assert_eq!(audit_value("a\r\nx: y,%\u{e9} "), b"a%0D%0Ax:%20y%2C%25%C3%A9%20");
        assert_eq!(audit_value(&"\u{e9}".repeat(200)).len(), 252, "whole characters of two bytes, six each");
        assert_eq!(audit_value(&"a".repeat(300)).len(), 256);
    }
}
