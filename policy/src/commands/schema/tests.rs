use super::*;
use crate::document::{At, Errors};
use crate::primitives::limits;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap as Map;

fn read(schema: &Value) -> Result<Node, Vec<String>> {
    let mut errors = Errors::default();
    let node = read::node(schema, &At::ROOT, &mut errors);
    if errors.is_empty() {
        return Ok(node.unwrap());
    }
    Err(errors.into_document_errors().errors().iter().map(|error| format!("{} {}", error.pointer, error.message)).collect())
}

fn schema(schema: &Value) -> Schema {
    Schema::new(read(schema).unwrap_or_else(|errors| panic!("{schema}: {errors:?}")))
}

/// Groups whose schemas are refused, by their file: what they use is not of the part that is known here.
const REFUSED: [(&str, usize); 13] = [
    ("additionalProperties", 4),
    ("contains", 7),
    ("enum", 1),
    ("format", 19),
    ("if-then-else", 12),
    ("items", 1),
    ("multipleOf", 4),
    ("not", 1),
    ("pattern", 1),
    ("patternProperties", 6),
    ("properties", 1),
    ("propertyNames", 6),
    ("ref", 35),
];

/// What the suite says of every schema that is taken here.
#[test]
fn the_test_suite_of_json_schema() {
    let (mut refused, mut ran) = (Map::<String, usize>::new(), 0);
    for line in include_str!("../../../tests/fixtures/json-schema/suite.jsonl").lines() {
        let group: Value = serde_json::from_str(line).unwrap();
        let file = group["file"].as_str().unwrap();
        let Ok(node) = read(&group["schema"]) else {
            *refused.entry(file.to_owned()).or_default() += 1;
            continue;
        };
        for test in group["tests"].as_array().unwrap() {
            let valid = test[2].as_bool().unwrap();
            assert_eq!(node.takes(&test[1]), valid, "{file}: {}: {} ({})", group["description"], test[0], group["schema"]);
            ran += 1;
        }
    }
    let refused: Vec<(String, usize)> = refused.into_iter().collect();
    let golden: Vec<(String, usize)> = REFUSED.iter().map(|(file, count)| ((*file).to_owned(), *count)).collect();
    assert_eq!(refused, golden);
    assert!(ran > 500, "{ran}");
}

#[test]
fn what_is_broken_is_said_and_where_but_not_the_value() {
    let schema = schema(&json!({"type": "object", "properties": {"a/b": {"items": {"properties": {"limit": {"maximum": 100}}}},
        "text": {"maxLength": 3, "pattern": "^a"}}, "required": ["text"], "additionalProperties": false}));
    let broken = |value: Value| schema.check(&value).unwrap_err();
    let violation = broken(json!({"text": "a", "a/b": [{}, {"limit": 4711}]}));
    assert_eq!((violation.pointer.as_str(), violation.rule.as_str()), ("/a~1b/1/limit", "must be at most 100"));
    assert_eq!(broken(json!({})).pointer, "/text");
    assert_eq!(broken(json!({"text": "abcd"})).rule, "must have at most 3 characters");
    assert_eq!(broken(json!({"text": "b"})).rule, "must match ^a");
    assert_eq!(broken(json!({"text": "a", "secret": 1})).rule, "must not be there");
    assert_eq!(schema.check(&json!({"text": "a\u{1f600}x", "a/b": []})), Ok(()));
}

/// A tool that takes either case for the other would read what is held to nothing.
#[test]
fn a_member_is_no_other_property_but_for_its_case() {
    let schema = schema(&json!({"properties": {"limit": {"maximum": 100}, "ID": {}, "id": {}},
        "anyOf": [{"properties": {"scope": {"const": "own"}}}], "not": {"properties": {"admin": {"const": true}}, "required": ["admin"]}}));
    for fine in
        [json!({"limit": 1, "limits": 2, "ID": 1}), json!({"id": 1}), json!({"x": {"limit": 1000}}), json!({"other": [1]})]
    {
        assert_eq!(schema.check(&fine), Ok(()), "{fine}");
    }
    for (wrong, place) in [
        (json!({"Limit": 1}), "/Limit"),
        (json!({"l\u{130}mit": 1, "LIMIT": 1}), "/LIMIT"),
        (json!({"Id": 1}), "/Id"),
        (json!({"\u{17f}cope": "all"}), "/\u{17f}cope"),
        (json!({"Admin": true}), "/Admin"),
        (json!({"x": [{"Limit": 1}]}), "/x/0/Limit"),
    ] {
        let violation = schema.check(&wrong).unwrap_err();
        assert_eq!(
            (violation.pointer.as_str(), violation.rule.as_str()),
            (place, "must be spelled in the case that the policy names")
        );
    }
}

#[test]
fn what_would_not_be_enforced_is_refused() {
    for (wrong, place) in [
        (json!({"format": "email"}), "/format"),
        (json!({"$ref": "#/$defs/a"}), "/$ref"),
        (json!({"properties": {"a": {"patternProperties": {}}}}), "/properties/a/patternProperties"),
        (json!({"type": "string", "maximum": 3}), "/maximum"),
        (json!({"type": "integer", "required": ["a"]}), "/required"),
        (json!({"multipleOf": 0.1}), "/multipleOf"),
        (json!({"pattern": "(?=a)"}), "/pattern"),
        (json!({"pattern": "(a)\\1"}), "/pattern"),
        (json!({"pattern": "(?i)a"}), "/pattern"),
        (json!({"pattern": "^(.{1,255}\\.){1,127}$"}), "/pattern"),
        (json!({"minimum": 0, "exclusiveMinimum": 10, "maximum": 5}), ""),
        (json!({"exclusiveMinimum": 5, "maximum": 5}), ""),
        (json!({"minimum": 2, "maximum": 1}), ""),
        (json!({"enum": []}), "/enum"),
        (json!({"type": "string", "enum": [1]}), ""),
        (json!({"required": ["a"], "properties": {"a": false}}), "/required"),
        (json!({"maxLenght": 3}), "/maxLenght"),
        (json!({"type": "int"}), "/type"),
        (json!({"anyOf": []}), "/anyOf"),
    ] {
        let errors = read(&wrong).unwrap_err();
        assert!(errors.iter().any(|error| error.split_once(' ').unwrap().0 == place), "{wrong}: {errors:?}");
    }
    let deep = (0..limits::SCHEMA_DEPTH).fold(json!(true), |inner, _| json!({"not": inner}));
    assert!(read(&deep).is_err() && read(&deep["not"]).is_ok());
    let many = |count: usize| json!({"anyOf": vec![json!(true); count]});
    assert!(read(&many(limits::SCHEMA_NODES)).is_err() && read(&many(limits::SCHEMA_NODES - 1)).is_ok());
}

/// A pattern that would take a backtracking engine longer than anybody waits.
#[test]
fn patterns_take_linear_time() {
    let schema = schema(&json!({"pattern": "^(a+)+$"}));
    let most = limits::PATTERN_TEXT_BYTES;
    assert!(schema.check(&json!("a".repeat(most - 1) + "b")).is_err());
    assert!(schema.check(&json!("a".repeat(most))).is_ok());
    assert!(schema.check(&json!("a".repeat(most + 1))).is_err(), "too long to be matched");
}

#[test]
fn what_agents_are_told_is_narrower() {
    let ours = schema(&json!({"type": "object", "properties": {
        "query": {"type": "string", "maxLength": 64}, "limit": {"type": "integer", "maximum": 100}, "in": {"enum": ["open", "closed"]},
        "as_user": false, "page": {"minimum": 1}, "filter": {"properties": {"tag": {"maxLength": 9}}, "additionalProperties": false}},
        "required": ["query"]}));
    let theirs = json!({"type": "object", "title": "Search", "$defs": {"F": {"type": "object"}}, "properties": {
        "query": {"type": "string", "description": "what", "maxLength": 32, "x-mcp-header": "Query"},
        "limit": {"type": ["integer", "null"], "maximum": 1000, "default": 10}, "in": {"enum": ["all", "open"]},
        "as_user": {"type": "string"}, "filter": {"$ref": "#/$defs/F"}, "other": {"type": "boolean"}},
        "required": ["limit"]});
    let filter = json!({"properties": {"tag": {"maxLength": 9}}, "additionalProperties": false});
    assert_eq!(
        ours.narrow(&theirs),
        json!({"type": "object", "title": "Search", "$defs": {"F": {"type": "object"}}, "properties": {
            "query": {"type": "string", "description": "what", "maxLength": 32, "x-mcp-header": "Query"},
            "limit": {"type": "integer", "maximum": 100, "default": 10}, "in": {"enum": ["open"]},
            "as_user": false, "page": {"minimum": 1}, "filter": {"$ref": "#/$defs/F", "allOf": [filter]}, "other": {"type": "boolean"}},
            "required": ["limit", "query"]})
    );
    // What is not there is what is left when nothing else may be.
    let closed = schema(&json!({"properties": {"query": true, "as_user": false}, "additionalProperties": false}));
    let narrowed = closed.narrow(&theirs);
    assert_eq!(narrowed["properties"].as_object().unwrap().keys().collect::<Vec<_>>(), ["query"]);
    assert_eq!(narrowed["additionalProperties"], false);
    // What is not understood is left as it is.
    assert_eq!(ours.narrow(&json!({"$ref": "#/$defs/F"})), json!({"$ref": "#/$defs/F"}));
    assert_eq!(ours.narrow(&json!(true)), json!(true));
}

fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!({"const": 1, "enum": [1, 2]})),
        Just(json!({"const": 1, "enum": [2]})),
        (0..4i64, 0..4i64).prop_map(|(least, more)| json!({"type": "integer", "minimum": least, "maximum": least + more})),
        (0..3u64).prop_map(|most| json!({"type": "string", "maxLength": most})),
        Just(json!({"enum": [1, "a", null]})),
        Just(json!({"type": ["string", "null"]})),
    ];
    leaf.prop_recursive(2, 12, 3, |inner| {
        let properties = prop::collection::btree_map("[abc]", inner.clone(), 0..3);
        let additional = prop_oneof![Just(None), Just(Some(json!(false))), Just(Some(json!(true))), inner.clone().prop_map(Some)];
        prop_oneof![
            (properties, prop::collection::vec("[ab]", 0..2), additional).prop_map(|(properties, required, additional)| {
                let mut schema = json!({"type": "object", "properties": properties, "required": required});
                if let Some(additional) = additional {
                    schema["additionalProperties"] = additional;
                }
                schema
            }),
            (inner, 0..3u64).prop_map(|(items, most)| json!({"type": "array", "items": items, "maxItems": most})),
        ]
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(json!(null)), (0..8i64).prop_map(Value::from), "[ab]{0,3}".prop_map(Value::from), Just(json!(1.5))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[abcd]", inner.clone(), 0..4).prop_map(|members| json!(members)),
            prop::collection::vec(inner, 0..3).prop_map(Value::from),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_narrowed_takes_what_both_take(ours in any_schema(), theirs in any_schema(), value in any_value()) {
        let (Ok(mine), Ok(other)) = (read(&ours), read(&theirs)) else { return Ok(()) };
        let takes = |schema: &Value| read(schema).is_ok_and(|node| node.takes(&value));
        let within = narrow::narrowed(&mine, &theirs);
        // One with a part that nothing keeps to is refused of a policy.
        if let Ok(node) = read(&within) {
            prop_assert_eq!(node.takes(&value), mine.takes(&value) && other.takes(&value), "within another: {}", within);
        }
        let top = Schema::new(mine).narrow(&theirs);
        prop_assert!(!takes(&top) || other.takes(&value), "wider: {top}");
    }
}
