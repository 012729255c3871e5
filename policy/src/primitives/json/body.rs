//! Stricter JSON, for the bodies of requests: whoever reads one after us, in whatever language, must see what was judged.
//!
//! RFC 8259 §4, §6 and §8.2 name where readers differ, and RFC 7493 (I-JSON) asks for some of what is asked here.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeSeed as _;
use serde_json::Value;

use crate::primitives::json::{Strict, numbers};
use crate::primitives::limits;

/// Parses the whole of `text`, at most `depth` containers deep. Besides what [`super::parse`] refuses:
///
/// - members of one object that differ in case alone: Go's `encoding/json`, among others, takes either for both;
/// - an escaped NUL, in names and strings: what C reads ends there, and PostgreSQL's `jsonb` takes none. No text needs it;
/// - a byte order mark, which some readers skip (RFC 8259 §8.1);
/// - numbers that readers keep differently: integers beyond ±(2^53-1), more than 17 digits, what is no double or a denormal one;
/// - more than [`limits::BODY_VALUES`] values.
///
/// A number that is an integer is one, however it is written: `1.0`, `10e-1` and `1` are the same `Value`, and `-0` is 0, as every
/// reader compares it.
pub(crate) fn parse_strict(text: &[u8], depth: usize) -> Result<Value, StrictError> {
    if text.starts_with(b"\xef\xbb\xbf") {
        return Err(StrictError { wrong: Wrong::Mark, at: 0 });
    }
    // First, for the parser knows no more of 1e400 than that it is no number.
    numbers::check(text).map_err(|(wrong, at)| StrictError { wrong, at })?;
    let rules = Rules::default();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let strict = Strict { depth, rules: Some(&rules) };
    let parsed = strict.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| StrictError { wrong: rules.wrong.get().unwrap_or(Wrong::Syntax), at: offset(text, &error) })
}

/// Why a body is no strict JSON, and how many bytes had been read by then. It quotes nothing of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StrictError {
    wrong: Wrong,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Syntax,
    Mark,
    Depth,
    Values,
    Duplicate,
    CaseTwin,
    Nul,
    Integer,
    Digits,
    Range,
}

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.wrong, self.at)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "no JSON",
            Self::Mark => "a byte order mark",
            Self::Depth => "nested too deeply",
            Self::Values => "too many values",
            Self::Duplicate => "a member twice in one object",
            Self::CaseTwin => "two members that differ in case alone",
            Self::Nul => "a NUL in a string",
            Self::Integer => "an integer beyond 2^53-1",
            Self::Digits => "a number of more than 17 digits",
            Self::Range => "a number that is no normal double",
        })
    }
}

/// What is known while a body is read.
#[derive(Default)]
pub(super) struct Rules {
    values: Cell<usize>,
    wrong: Cell<Option<Wrong>>,
}

impl Rules {
    /// The library's error has room for a text alone.
    pub(super) fn note(&self, wrong: Wrong) {
        self.wrong.set(Some(wrong));
    }

    pub(super) fn count(&self) -> Result<(), Wrong> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > limits::BODY_VALUES { Err(Wrong::Values) } else { Ok(()) }
    }

    pub(super) fn text(&self, text: &str) -> Result<(), Wrong> {
        if text.contains('\0') { Err(Wrong::Nul) } else { Ok(()) }
    }

    pub(super) fn name(&self, name: &str, seen: &mut Names) -> Result<(), Wrong> {
        self.text(name)?;
        if seen.0.insert(fold(name)) { Ok(()) } else { Err(Wrong::CaseTwin) }
    }
}

/// The names of one object's members, without their case.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

/// A text without its case: upper first, so that `ſ` and the Kelvin sign are the letters that simple case folding makes of them,
/// and a final sigma is a sigma.
pub(crate) fn fold(text: &str) -> String {
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The library counts lines, and bytes in the last of them.
fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let before = text.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    (before.map(<[u8]>::len).sum::<usize>() + error.column()).min(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> Option<String> {
        parse_strict(text.as_bytes(), 4).err().map(|error| error.to_string())
    }

    #[track_caller]
    fn refuses(text: &str, why: &str) {
        assert_eq!(refused(text).as_deref(), Some(why), "{text}");
    }

    #[track_caller]
    fn takes(text: &str) {
        assert_eq!(refused(text), None, "{text}");
    }

    #[test]
    fn members_differ_in_more_than_case() {
        takes(r#"{"name":1,"names":2,"n":{"name":3}}"#);
        refuses(r#"{"name":1,"name":2}"#, "a member twice in one object at byte 16");
        refuses(r#"{"name":1,"Name":2}"#, "two members that differ in case alone at byte 16");
        refuses(r#"{"a":[{"name":1,"nam\u0045":2}]}"#, "two members that differ in case alone at byte 27");
        // Long s, Kelvin sign, final sigma, and letters beyond ASCII.
        for (one, other) in [("params", "param\u{17f}"), ("token", "to\u{212a}en"), ("\u{3c3}", "\u{3c2}"), ("\u{e9}", "\u{c9}")]
        {
            takes(&format!(r#"{{"{one}":1,"x":{{"{other}":2}}}}"#));
            assert!(refused(&format!(r#"{{"{one}":1,"{other}":2}}"#)).unwrap().starts_with("two members"), "{one} {other}");
        }
        takes("{\"e\":1,\"\u{e9}\":2,\"e\u{301}\":3}");
    }

    #[test]
    fn a_string_has_no_nul_and_no_half_of_a_pair() {
        takes(r#"["\u0001","\ud83d\ude00","\u2028","\uffff"]"#);
        refuses(r#"["a\u0000b"]"#, "a NUL in a string at byte 11");
        assert!(refused(r#"{"a\u0000b":1}"#).unwrap().starts_with("a NUL"));
        for wrong in [r#"["\ud83d"]"#, r#"["\ude00"]"#, r#"["\ud83dx"]"#, r#"["\ud83d\ud83d"]"#, "[\"\0\"]"] {
            assert!(refused(wrong).unwrap().starts_with("no JSON at byte"), "{wrong}");
        }
        assert!(parse_strict(b"[\"\xff\"]", 4).is_err() && parse_strict(b"[\"\xed\xa0\xbd\"]", 4).is_err());
    }

    #[test]
    fn there_is_no_mark_before_it_and_nothing_after_it() {
        takes(" [1]\r\n");
        refuses("\u{feff}[1]", "a byte order mark at byte 0");
        refuses("[1]\n[2]", "no JSON at byte 5");
        refuses("[1", "no JSON at byte 2");
        refuses("", "no JSON at byte 0");
    }

    #[test]
    fn depth_and_values_are_bounded() {
        takes("[[[[1]]]]");
        refuses("[[[[[1]]]]]", "nested too deeply at byte 5");
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
        takes(&list(limits::BODY_VALUES));
        assert!(refused(&list(limits::BODY_VALUES + 1)).unwrap().starts_with("too many values"));
    }

    #[test]
    fn a_number_is_one_value_however_it_is_written() {
        let one = parse_strict(b"[1,1.0,10e-1,0.1E+1,-0,-0.0,0e99,1.5]", 4).unwrap();
        assert_eq!(one, json!([1, 1, 1, 1, 0, 0, 0, 1.5]));
    }

    #[test]
    fn an_error_quotes_nothing() {
        for text in
            [r#"{"s3cret":1,"s3cret":2}"#, r#"{"s3cret":1,"S3CRET":2}"#, r#"["s3cret\u0000"]"#, "[s3cret]", r#"{"s3cret" 1}"#]
        {
            let error = parse_strict(text.as_bytes(), 4).unwrap_err();
            assert!(!format!("{error} {error:?}").to_lowercase().contains("s3c"), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), depth in 0..5_usize) {
            let _ = parse_strict(&bytes, depth);
        }

        #[test]
        fn nothing_that_looks_like_json_panics(text in r#"[\[\]{},:"\\a0-9eE+.\-ud\n ]{0,40}"#) {
            if let Err(error) = parse_strict(text.as_bytes(), 4) {
                prop_assert!(error.at <= text.len());
            }
        }
    }
}
