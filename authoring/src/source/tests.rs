//! Tests of strict reading and of spans.

use super::*;
use serde_json::{Value, json};

fn value(text: &str) -> Value {
    match Document::parse("f.yaml", text.to_owned()) {
        Ok(document) => document.value().clone(),
        Err(findings) => panic!("{findings}"),
    }
}

fn wrong(text: &str) -> String {
    match Document::parse("f.yaml", text.to_owned()) {
        Ok(document) => panic!("accepted: {}", document.value()),
        Err(findings) => findings.to_string(),
    }
}

#[test]
fn scalars_follow_the_core_schema() {
    let seen = value(
        "[~, null, true, False, yes, on, 12, -3, +4, 0x1F, 0o17, 1.5, 1e3, .5, '012', \"a\\tb\", a b, 2026-11-23, 15m, '']",
    );
    let expected = json!([
        null,
        null,
        true,
        false,
        "yes",
        "on",
        12,
        -3,
        4,
        31,
        15,
        1.5,
        1000.0,
        0.5,
        "012",
        "a\tb",
        "a b",
        "2026-11-23",
        "15m",
        ""
    ]);
    assert_eq!(seen, expected);
    assert_eq!(value("a: |\n  x\n  y\nb: >\n  x\n  y\n"), json!({"a": "x\ny\n", "b": "x y\n"}));
}

#[test]
fn what_two_readers_would_see_differently_is_refused_with_its_place() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: `a` is here twice; the first is on line 1 (keep one of them)"),
        ("a: &x 1\nb: 2\n", "f.yaml:1:4: an anchor (`&name`) (write the value out wherever it is needed)"),
        ("a: !!int '1'\n", "f.yaml:1:4: a tag (`!name`): types are not chosen here (remove the tag; quotes make a string)"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: a second document in one file (keep one document a file, without `---` between)"),
        ("404: x\n", "f.yaml:1:1: a key that is not a string (put it in quotes)"),
        ("? [a]\n: x\n", "f.yaml:1:3: a key that is a list or an object (keys are strings)"),
        (
            "a: 0123\n",
            "f.yaml:1:4: `0123` is one number to some YAML readers and another to others (put it in quotes if it is a name or an id)",
        ),
        ("é: .nan\n", "f.yaml:1:4: `.nan` has no form in JSON (write a finite number)"),
        (
            "a: 99999999999999999999\n",
            "f.yaml:1:4: `99999999999999999999` is too large a number (put it in quotes if it is a name or an id)",
        ),
        ("", "f.yaml:1:1: is empty"),
        ("{\"a\": 1, \"a\": 2}", "f.yaml:1:10: `a` is here twice (keep one of them)"),
        ("{\"a\": 1, \"\\u0061\": 2}", "f.yaml:1:10: `a` is here twice (keep one of them)"),
    ] {
        assert_eq!(wrong(text), expected, "{text:?}");
    }
    assert!(wrong("a: *x\n").contains("f.yaml:1:"), "{}", wrong("a: *x\n"));
    assert!(wrong("a: [1, 2\nb: 3\n").contains("not YAML"));
    assert!(wrong("x: &a [1]\ny: *a\n").contains("an alias"));
}

#[test]
fn depth_is_bounded_in_both_forms() {
    assert!(wrong(&format!("{}1{}", "[".repeat(100), "]".repeat(100))).contains("nested more than 64 levels"));
    assert!(wrong(&format!("{}1{} # yaml", "[".repeat(100), "]".repeat(100))).contains("nested more than 64 levels"));
    let block: String = (0..100).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(wrong(&block).contains("nested more than 64 levels"));
    assert!(!wrong(&"[".repeat(100_000)).is_empty());
    assert_eq!(value(&format!("{}1{}", "[".repeat(60), "]".repeat(60))).to_string().len(), 121);
}

#[test]
fn json_keeps_json_escapes() {
    assert_eq!(value(r#"{"a": "\ud83d\ude00\/", "b": -0.5}"#), json!({"a": "😀/", "b": -0.5}));
    assert_eq!(Document::parse("x.json", "{\"a\": tru}".into()).unwrap_err().to_string(), "x.json:1:7: not a JSON value");
    assert_eq!(
        Document::parse("x.json", "{\"a\": 1} x".into()).unwrap_err().to_string(),
        "x.json:1:10: something after the end of the document"
    );
    for cut in ["{", "{\"a", "{\"a\"", "{\"a\":", "{\"a\":1", "[", "[1", "[1,", "\"\\", "", "{\"a\":1,}"] {
        assert!(Document::parse("x.json", cut.into()).is_err(), "{cut}");
    }
}

#[test]
fn pointers_lead_to_lines_and_columns() {
    let text = "name: ö\nlist:\n  - {a: 1, b/c: [x, y]}\n  - a: 2\n    deep:\n      er: z\n";
    let document = Document::parse("f.yaml", text.to_owned()).unwrap();
    let place = |pointer: &str| document.finding(pointer, "m", None).place();
    assert_eq!(place("/name"), "f.yaml:1:7");
    assert_eq!(place("/list/0/a"), "f.yaml:3:9");
    assert_eq!(place("/list/0/b~1c/1"), "f.yaml:3:21");
    assert_eq!(place("/list/1/deep"), "f.yaml:5:5", "an object is shown by its key");
    assert_eq!(place("/list/1/deep/missing"), "f.yaml:5:5", "what is missing is shown by what lacks it");
    assert_eq!(place("/list/1/deep/er"), "f.yaml:6:11");
    assert_eq!(document.finding("/list/1/deep/er", "unknown member `er`", None).place(), "f.yaml:6:7");
    assert_eq!(place("/nothing"), "f.yaml:1:1");
}

#[test]
fn a_policy_is_found_in_an_ecds_file_and_errors_point_into_it() {
    let ecds = |value: &str| {
        format!(
            "resources:\n- '@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n  name: chaperone\n  typed_config:\n    config:\n      vm_config:\n        configuration: {{'@type': type.googleapis.com/google.protobuf.StringValue, value: vm}}\n      configuration:\n        '@type': type.googleapis.com/google.protobuf.StringValue\n        value: {value}\n"
        )
    };
    let find = |value: &str| PolicyDocument::find(Document::parse("ecds.yaml", ecds(value)).unwrap());
    let block = find("|\n          {\n            \"version\": 1,\n            \"name\": 7\n          }").unwrap();
    assert_eq!(block.value(), &json!({"version": 1, "name": 7}));
    assert_eq!(block.finding("/name", "m", None).place(), "ecds.yaml:13:21");
    let line = find("'{\"version\": 1, \"name\": 7}'").unwrap();
    assert_eq!(line.finding("/name", "m", None).place(), "ecds.yaml:10:40");
    let escaped = find("\"{\\\"version\\\": 1, \\\"name\\\": 7}\"").unwrap();
    assert_eq!(escaped.finding("/name", "m", None).place(), "ecds.yaml:10:16", "the whole text, when escapes moved its parts");
    assert_eq!(find("'{\"version\": 1, \"version\": 1}'").unwrap_err().list()[0].place(), "ecds.yaml:10:32");
    assert_eq!(
        PolicyDocument::find(Document::parse("e.yaml", "static_resources: {}\n".into()).unwrap()).unwrap_err().list()[0].message,
        "an Envoy file without a policy in it"
    );
}

#[test]
fn findings_as_json_have_their_line() {
    let document = Document::parse("f.yaml", "session:\n  max_lifetime: 15\n".into()).unwrap();
    let findings: Findings = document.finding("/session/max_lifetime", "must be a duration", Some("write `15m`".into())).into();
    insta::assert_snapshot!(findings.json(), @r#"[{"code":null,"column":17,"file":"f.yaml","help":"write `15m`","line":2,"message":"must be a duration","pointer":"/session/max_lifetime","severity":"error"}]"#);
}

#[test]
fn a_misspelt_member_is_one_mistake_and_another_beside_it_a_second() {
    let found = |matcher: &str| {
        let text = format!("version: 1\nname: p\ncommands:\n  a: {{{matcher}}}\n");
        let errors = PolicyDocument::find(Document::parse("p.yaml", text).unwrap()).unwrap().compile().unwrap_err();
        let here = errors.list().iter().filter(|finding| finding.pointer.starts_with("/commands"));
        here.map(|finding| finding.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found("mcp: {path: /mcp, tools: [x], argument: {type: object}, narrow: true}"), ["unknown member `argument`"]);
    assert_eq!(found("mcp: {path: /mcp, tols: [x], arguments: {type: object}, narrow: true}"), ["unknown member `tols`"]);
    assert_eq!(found("mcp: {path: /mcp, promts: [x]}"), ["unknown member `promts`"]);
    assert_eq!(found("htp: {methods: [GET], path: /}"), ["unknown member `htp`"]);
    assert_eq!(
        found("mcp: {path: /mcp, resources: [\"a:b\"], nmes: 1, narrow: true}"),
        ["unknown member `nmes`", "narrows nothing: it shows agents what `arguments` takes of a tool"]
    );
    assert_eq!(found("mcp: {path: /mcp, tols: [x], hosts: [\"*\"]}"), ["unknown member `tols`", "`*` is not a host name"]);
}
