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

/// Is all of it visible ASCII, a space included where `blank`, and none of it one of two bytes? Eight bytes at a time: each record and
/// each audit header asks it of all that it shows.
pub(crate) fn is_visible_but(text: &[u8], blank: bool, but: [u8; 2]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const TOP: u64 = EACH << 7;
    let lowest = if blank { 0x20 } else { 0x21 };
    // The top bit of a byte, and perhaps of bytes above it, is set where the byte is below `least` (S. E. Anderson, Bit Twiddling
    // Hacks, "Determine if a word has a byte less than n"): whether there is one at all is exact.
    let has_below = |word: u64, least: u64| word.wrapping_sub(EACH * least) & !word & TOP != 0;
    let is_good = |chunk: [u8; 8]| {
        let word = u64::from_ne_bytes(chunk);
        let is_in = |byte: u8| has_below(word ^ (EACH * u64::from(byte)), 1);
        word & TOP == 0 && !has_below(word, lowest) && !is_in(0x7f) && !is_in(but[0]) && !is_in(but[1])
    };
    let (chunks, rest) = text.as_chunks::<8>();
    let is_one_good = |byte: &u8| u64::from(*byte) >= lowest && *byte < 0x7f && !but.contains(byte);
    chunks.iter().all(|chunk| is_good(*chunk)) && rest.iter().all(is_one_good)
}

/// Eight bytes at a time: what the wasm target has for comparing goes byte by byte.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let ((ones, one), (others, other)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    ones.iter().zip(others).all(|(one, other)| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other))
        && one.iter().zip(other).all(|(one, other)| one == other)
}

/// `%XX` with upper-case digits (RFC 3986 §6.2.2.1).
pub(crate) fn upper_escape(byte: u8) -> [u8; 3] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// Appends a value for an audit header: visible ASCII; everything else, `%` and `,` percent-encoded; cut at a whole character.
pub(crate) fn push_audit_value(value: &mut Vec<u8>, text: &str) {
    if text.len() <= limits::AUDIT_VALUE_BYTES && is_visible_but(text.as_bytes(), false, [b'%', b',']) {
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
    if is_visible_but(text.as_bytes(), false, [b'%', b',']) {
        return text.len() <= limits::AUDIT_VALUE_BYTES;
    }
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
        && is_visible_but(bytes, false, [0x7f; 2])
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
    fn text_is_asked_about_eight_bytes_at_a_time_as_byte_by_byte() {
        let one = |byte: u8, blank: bool, but: [u8; 2]| {
            ((if blank { 0x20 } else { 0x21 })..0x7f).contains(&byte) && !but.contains(&byte)
        };
        for (blank, but) in [(false, *b"%,"), (true, *b"\"\\"), (false, [0x7f; 2])] {
            assert!(is_visible_but(b"", blank, but));
            for byte in 0..=u8::MAX {
                // Each byte at each place of a chunk and after one, beside the lowest and the highest that are good.
                for (beside, length) in [(b'!', 8), (b'~', 8), (b'a', 21)] {
                    for place in 0..length {
                        let mut text = vec![beside; length];
                        text[place] = byte;
                        assert_eq!(is_visible_but(&text, blank, but), one(byte, blank, but), "{byte} at {place}, {blank}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_is_the_same_to_the_last_byte() {
        for length in 0..40 {
            let text: Vec<u8> = (0..length).collect();
            assert!(same(&text, &text.clone()));
            assert!(!same(&text, &text.iter().copied().chain([0]).collect::<Vec<_>>()));
            for place in 0..text.len() {
                let mut other = text.clone();
                other[place] ^= 0x80;
                assert!(!same(&text, &other), "{place} of {length}");
            }
        }
    }

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
