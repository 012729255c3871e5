//! JSONTestSuite: what a parser must take, what it must refuse, and what it may do either with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::parse_strict;
use crate::primitives::limits;

const CASES: &str = include_str!("../../../tests/fixtures/json-test-suite/cases.jsonl");

/// What a parser must take and we do not, with the rule of ours that it breaks.
const REFUSED: &[(&str, &str)] = &[
    // RFC 8259 §4: what readers make of it is unpredictable.
    ("y_object_duplicated_key.json", "a member twice in one object"),
    ("y_object_duplicated_key_and_value.json", "a member twice in one object"),
    // What C reads ends at it.
    ("y_object_escaped_null_in_key.json", "a NUL in a string"),
    ("y_string_null_escape.json", "a NUL in a string"),
];

/// What a parser may do either with: what we do.
const EITHER: &[(&str, &str)] = &[
    ("i_number_double_huge_neg_exp.json", "a number that is no normal double"),
    ("i_number_huge_exp.json", "a number that is no normal double"),
    ("i_number_neg_int_huge_exp.json", "a number that is no normal double"),
    ("i_number_pos_double_huge_exp.json", "a number that is no normal double"),
    ("i_number_real_neg_overflow.json", "a number that is no normal double"),
    ("i_number_real_pos_overflow.json", "a number that is no normal double"),
    ("i_number_real_underflow.json", "a number that is no normal double"),
    ("i_number_too_big_neg_int.json", "an integer beyond 2^53-1"),
    ("i_number_too_big_pos_int.json", "an integer beyond 2^53-1"),
    ("i_number_very_big_negative_int.json", "an integer beyond 2^53-1"),
    ("i_object_key_lone_2nd_surrogate.json", "no JSON"),
    ("i_string_1st_surrogate_but_2nd_missing.json", "no JSON"),
    ("i_string_1st_valid_surrogate_2nd_invalid.json", "no JSON"),
    ("i_string_UTF-16LE_with_BOM.json", "no JSON"),
    ("i_string_UTF-8_invalid_sequence.json", "no JSON"),
    ("i_string_UTF8_surrogate_U+D800.json", "no JSON"),
    ("i_string_incomplete_surrogate_and_escape_valid.json", "no JSON"),
    ("i_string_incomplete_surrogate_pair.json", "no JSON"),
    ("i_string_incomplete_surrogates_escape_valid.json", "no JSON"),
    ("i_string_invalid_lonely_surrogate.json", "no JSON"),
    ("i_string_invalid_surrogate.json", "no JSON"),
    ("i_string_invalid_utf-8.json", "no JSON"),
    ("i_string_inverted_surrogates_U+1D11E.json", "no JSON"),
    ("i_string_iso_latin_1.json", "no JSON"),
    ("i_string_lone_second_surrogate.json", "no JSON"),
    ("i_string_lone_utf8_continuation_byte.json", "no JSON"),
    ("i_string_not_in_unicode_range.json", "no JSON"),
    ("i_string_overlong_sequence_2_bytes.json", "no JSON"),
    ("i_string_overlong_sequence_6_bytes.json", "no JSON"),
    ("i_string_overlong_sequence_6_bytes_null.json", "no JSON"),
    ("i_string_truncated-utf-8.json", "no JSON"),
    ("i_string_utf16BE_no_BOM.json", "no JSON"),
    ("i_string_utf16LE_no_BOM.json", "no JSON"),
    ("i_structure_500_nested_arrays.json", "nested too deeply"),
    ("i_structure_UTF-8_BOM_empty_object.json", "a byte order mark"),
];

/// The suite's files: names and bytes.
fn cases() -> Vec<(String, Vec<u8>)> {
    let read = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        let bytes = |name: &str| STANDARD.decode(case[name].as_str().unwrap()).unwrap();
        let content = match case["times"].as_u64() {
            Some(times) => [bytes("repeat").repeat(times.try_into().unwrap()), bytes("then")].concat(),
            None => bytes("base64"),
        };
        (case["name"].as_str().unwrap().to_owned(), content)
    };
    CASES.lines().map(read).collect()
}

#[test]
fn each_file_of_the_suite_is_taken_or_refused_as_it_must_be_or_as_is_said_here() {
    let golden = |list: &[(&str, &str)], name: &str| {
        let mut found = list.iter().filter(|(known, _)| *known == name).map(|(_, verdict)| (*verdict).to_owned());
        let verdict = found.next();
        assert!(found.next().is_none(), "{name} is listed twice");
        verdict
    };
    let (mut wrong, mut seen) = (Vec::new(), [0; 3]);
    for (name, content) in cases() {
        // Without the place.
        let verdict = match parse_strict(&content, limits::BODY_JSON_DEPTH) {
            Ok(_) => "taken".to_owned(),
            Err(error) => error.to_string().split(" at byte ").next().unwrap().to_owned(),
        };
        let (kind, fine) = match name.as_bytes() {
            [b'n', ..] => (0, verdict != "taken"),
            [b'y', ..] => (1, verdict == golden(REFUSED, &name).unwrap_or_else(|| "taken".to_owned())),
            _ => (2, golden(EITHER, &name).as_ref() == Some(&verdict)),
        };
        seen[kind] += 1;
        if !fine {
            wrong.push(format!("(\"{name}\", \"{verdict}\"),"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(seen, [188, 95, 35], "files that must be refused, must be taken, and may be either");
    assert_eq!(EITHER.len(), seen[2]);
}
