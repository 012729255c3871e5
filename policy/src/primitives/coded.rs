//! Finding a text in another, plainly or coded as URLs and JSON do.

use crate::primitives::ascii::hex;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Whole,
    /// From `at` on the text is the beginning of it, so many bytes.
    Begun {
        at: usize,
        bytes: usize,
    },
}

/// Is it in the text, plainly or coded as URLs and JSON do?
pub(crate) fn is_in(text: &[u8], sought: &[u8]) -> bool {
    // No coding is shorter.
    text.len() >= sought.len() && find(text, sought) == Found::Whole
}

pub(crate) fn find(text: &[u8], sought: &[u8]) -> Found {
    let Some(first) = sought.first() else { return Found::Nothing };
    let mut begun = None;
    for (at, byte) in text.iter().enumerate() {
        if byte != first && *byte != b'%' && *byte != b'\\' {
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        for coded in [false, true] {
            match follow(rest, sought, coded) {
                Followed::Whole => return Found::Whole,
                Followed::ToTheEnd(bytes) => {
                    begun.get_or_insert((at, bytes));
                }
                Followed::Apart => {}
            }
        }
    }
    begun.map_or(Found::Nothing, |(at, bytes)| Found::Begun { at, bytes })
}

enum Followed {
    Whole,
    /// The text ends before they differ, after so many bytes.
    ToTheEnd(usize),
    Apart,
}

fn follow(mut text: &[u8], sought: &[u8], coded: bool) -> Followed {
    for (place, wanted) in sought.iter().enumerate() {
        let step = if coded { decoded(text) } else { text.split_first().map_or(Step::Ends, |(byte, _)| Step::Is(*byte, 1)) };
        match step {
            Step::Is(byte, size) if byte == *wanted => text = text.get(size..).unwrap_or_default(),
            Step::Is(..) => return Followed::Apart,
            Step::Ends => return Followed::ToTheEnd(place),
        }
    }
    Followed::Whole
}

enum Step {
    /// This byte, written in so many.
    Is(u8, usize),
    /// The text is over, or ends within an escape.
    Ends,
}

/// The first byte of the text: `%2F` is `/`, and so are JSON's `\/` and `\u002f`.
fn decoded(text: &[u8]) -> Step {
    let digit = |at: usize| text.get(at).map(|byte| hex(*byte));
    match text {
        [] => Step::Ends,
        [b'%', ..] => match (digit(1), digit(2)) {
            (Some(Some(high)), Some(Some(low))) => Step::Is(high << 4 | low, 3),
            (None | Some(Some(_)), None) => Step::Ends,
            _ => Step::Is(b'%', 1),
        },
        [b'\\'] => Step::Ends,
        [b'\\', b'u', rest @ ..] => match (rest, digit(4), digit(5)) {
            ([b'0', b'0', ..], Some(Some(high)), Some(Some(low))) => Step::Is(high << 4 | low, 6),
            (rest, _, None) if b"00".starts_with(rest.get(..2).unwrap_or(rest)) => Step::Ends,
            _ => Step::Is(b'\\', 1),
        },
        [b'\\', byte @ (b'/' | b'"' | b'\\'), ..] => Step::Is(*byte, 2),
        [byte, ..] => Step::Is(*byte, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"tok/en+\"s3cr%t";

    #[test]
    fn it_is_found_plain_and_as_urls_and_json_write_it() {
        for text in [
            r#"tok/en+"s3cr%t"#,
            r#"a=tok/en+"s3cr%t; path=/"#,
            "tok%2Fen%2B%22s3cr%25t",
            "tok%2fen+%22s3cr%25t",
            "%74ok%2fen%2b%22%73%33%63%72%25%74",
            r#"{"t":"tok\/en+\"s3cr%t"}"#,
            r"\u0074ok\u002fen\u002B\u0022s3cr\u0025t",
            // What stands before it is no part of it, even where it could be one of an escape.
            r#"%tok/en+"s3cr%t"#,
            r#"%4tok/en+"s3cr%t"#,
            r#"\tok/en+"s3cr%t"#,
            r#"tok/en+"s3ctok/en+"s3cr%t"#,
        ] {
            assert!(is_in(text.as_bytes(), SECRET), "{text}");
        }
        for text in ["", "tok/en", r#"tok/en+"s3cr%"#, r#"Tok/en+"s3cr%t"#, "tok%252Fen%2B%22s3cr%25t", r"tok\u012fen\u002B"] {
            assert!(!is_in(text.as_bytes(), SECRET), "{text}");
        }
    }

    #[test]
    fn what_hex_digits_begin_is_found_behind_a_percent_sign() {
        assert!(is_in(b"100%abcdef12", b"abcdef12"));
        assert!(is_in(b"%ab%61bcdef12", b"abcdef12"));
    }
}
