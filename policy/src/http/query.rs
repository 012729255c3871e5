//! The query of a target (RFC 3986 §3.4), as parameters.

use crate::http::edits::same_name;

/// A target with one more parameter in its query, in the place of whatever has that name already.
pub(crate) fn with_parameter(path: &[u8], name: &str, value: &[u8]) -> Vec<u8> {
    let (path, query) = match path.iter().position(|byte| *byte == b'?') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (path, [].as_slice()),
    };
    let is_it = |pair: &[u8]| {
        let decoded = percent_decoded(pair.split(|byte| *byte == b'=').next().unwrap_or_default());
        // Some servers take names in any case, make `_` of what is no letter or digit, pass over what is blank around them, or take
        // `name[]` for one of several, and `a[b` for `a_b`.
        let until = |end: fn(&u8) -> bool| trimmed(decoded.split(end).next().unwrap_or_default());
        same_name(until(|byte| matches!(byte, b'[' | 0)), name) || same_name(until(|byte| *byte == 0), name)
    };
    // Some servers take `;` for `&`.
    let others = query.split(|byte| *byte == b'&').filter(|pair| !pair.split(|byte| *byte == b';').any(is_it));
    let mut all = path.to_vec();
    let mut before = b'?';
    for pair in others.filter(|pair| !pair.is_empty()) {
        all.push(before);
        all.extend_from_slice(pair);
        before = b'&';
    }
    all.push(before);
    all.extend_from_slice(name.as_bytes());
    all.push(b'=');
    all.extend_from_slice(percent_encoded(value).as_bytes());
    all
}

pub(crate) fn percent_encoded(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(*byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().map_or('0', char::from);
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte <= b' ' || *byte == 0x7f;
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// As forms write it (URL standard §5.1): `+` is a space. And as some servers read it, `%uXXXX`.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit =
        |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let of_unicode = matches!(text.get(at..at + 4), Some([b'%', b'u' | b'U', b'0', b'0']));
        if let (true, Some(high), Some(low)) = (of_unicode, digit(at + 4), digit(at + 5)) {
            decoded.push(high << 4 | low);
            at += 6;
            continue;
        }
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                at += 1;
            }
            (other, ..) => {
                decoded.push(*other);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_takes_the_place_of_all_that_have_its_name() {
        let with = |target: &str| String::from_utf8(with_parameter(target.as_bytes(), "api_key", b"a b&c=d%")).unwrap();
        let ours = "api_key=a%20b%26c%3Dd%25";
        assert_eq!(with("/v1"), format!("/v1?{ours}"));
        assert_eq!(with("/v1?"), format!("/v1?{ours}"));
        assert_eq!(with("/v1?a=1&&b"), format!("/v1?a=1&b&{ours}"));
        assert_eq!(with("/v1?q=a?b"), format!("/v1?q=a?b&{ours}"));
        for theirs in [
            "api_key=x",
            "api_key",
            "api%5fkey=x",
            "api%5Fkey=x",
            "%61pi_key=x",
            "a=1;api_key=x",
            "api_key;a=1",
            "API_KEY=x",
            "api.key=x",
            "api+key=x",
            "+api_key=x",
            "%20api_key=x",
            "api_key[]=x",
            "api_key%5B0%5D=x",
            "api_key%00=x",
            "api[key=x",
            "%u0061pi_key=x",
            "api_key%0B=x",
            "%0Bapi_key=x",
        ] {
            assert_eq!(with(&format!("/v1?{theirs}&b=2&{theirs}")), format!("/v1?b=2&{ours}"), "{theirs}");
        }
        for another in ["api_key2=x", "apikey=x", "xapi_key=x", "a=api_key", "[api_key]=x"] {
            assert_eq!(with(&format!("/v1?{another}")), format!("/v1?{another}&{ours}"));
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(percent_decoded(percent_encoded(&all).as_bytes()), all);
        assert_eq!(percent_decoded(b"a+%2b%2%zz%"), b"a +%2%zz%");
    }
}
