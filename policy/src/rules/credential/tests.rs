use super::*;
use crate::document::Errors;
use serde_json::json;

fn read(value: &Value) -> Rc<Credential> {
    let mut errors = Errors::default();
    let read = Credential::read(value, &At::ROOT, &mut errors, |_, _, _| None);
    assert!(errors.is_empty(), "{value}");
    Rc::new(read.expect("a credential").0)
}

fn in_header(value: &str) -> Rc<Credential> {
    read(&json!({"header": "authorization", "value": value}))
}

fn environment<const N: usize>(values: [(&str, &str); N]) -> BTreeMap<String, Secret> {
    values.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).into()
}

fn filled<const N: usize>(credential: &Rc<Credential>, values: [(&str, &str); N]) -> Option<String> {
    credential.fill(&environment(values)).map(|filled| String::from_utf8(filled.value().to_vec()).unwrap())
}

#[test]
fn a_template_names_variables() {
    let credential = in_header("Bearer ${env:TOKEN}");
    let fill = |value: &str| filled(&credential, [("TOKEN", value)]);
    assert_eq!(fill("abc").as_deref(), Some("Bearer abc"));
    assert_eq!(fill("abc\n").as_deref(), Some("Bearer abc"));
    let hunter = environment([("TOKEN", "hunter2")]);
    assert!(!format!("{hunter:?} {:?}", credential.fill(&hunter)).contains("hunter2"));
    for wrong in ["", " ", "a\r\nx: y", "a\nb", "ä", "a\0b"] {
        assert_eq!(fill(wrong), None, "{wrong:?}");
    }
    assert_eq!(filled(&credential, []), None);
    assert_eq!(&*credential.reference, "env:TOKEN");
    for wrong in ["${env:}", "${env:A", "${file:/x}", "${env:A}${x}", "${env:A-B}", "a\n${env:A}"] {
        assert!(Template::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn a_user_and_a_password_are_one_value() {
    let credential = read(&json!({"basic": {"user": "Aladdin", "password": "${env:P}"}}));
    assert_eq!((credential.header(), &*credential.reference), (Some("authorization"), "env:P"));
    // The example of RFC 7617 §2.
    assert_eq!(filled(&credential, [("P", "open sesame")]).as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    let sought = credential.fill(&environment([("P", "open sesame")])).unwrap();
    let sought: Vec<_> = sought.in_part().map(String::from_utf8_lossy).collect();
    assert_eq!(sought, ["QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "open sesame"]);
    assert!(credential.is(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", &environment([("P", "open sesame")])));
    assert!(!credential.is(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", &environment([("P", "open sesamy")])));
    // What is not ASCII is encoded, too; a line's end is not.
    assert!(filled(&credential, [("P", "öffne dich")]).is_some());
    assert_eq!(filled(&credential, [("P", "open\r\nsesame")]), None);
    let named = read(&json!({"header": "x-login", "basic": {"user": "${env:U}", "password": "${env:P}"}}));
    assert_eq!((named.header(), &*named.reference), (Some("x-login"), "env:U,env:P"));
    assert!(filled(&named, [("U", "u"), ("P", "p:p")]).is_some());
    assert_eq!(filled(&named, [("U", "u:v"), ("P", "p")]), None, "where the user ends would be a matter of opinion");
    assert_eq!(filled(&named, [("P", "p")]), None);
}

#[test]
fn in_a_query_it_is_looked_for_as_it_is_and_encoded() {
    let credential = read(&json!({"query": "key", "value": "${env:A}"}));
    let filled = credential.fill(&environment([("A", "se/cret+value")])).unwrap();
    assert_eq!(filled.in_part().map(String::from_utf8_lossy).collect::<Vec<_>>(), ["se/cret+value", "se%2Fcret%2Bvalue"]);
    assert!(filled.is_in(b"https://x/?key=se%2Fcret%2Bvalue") && credential.header().is_none());
}

#[test]
fn what_is_looked_for_is_each_value_that_is_long_enough() {
    let sought = |template: &str, values| {
        let filled = in_header(template).fill(&environment::<2>(values)).unwrap();
        filled.in_part().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    let long = [("A", "12345678"), ("B", "abcdefgh")];
    assert_eq!(sought("Bearer ${env:A}", long), ["12345678"]);
    assert_eq!(sought("Bearer ${env:A}", [("A", "Token 12345678"), ("B", "")]), ["12345678"]);
    assert_eq!(sought("${env:A}:${env:B}", long), ["12345678", "abcdefgh"]);
    // What is short would be found by accident: only with what stands around it, or as a whole value.
    assert_eq!(sought("Bearer ${env:A}", [("A", "1234567"), ("B", "")]), ["Bearer 1234567"]);
    assert_eq!(sought("${env:A}:${env:B}", [("A", "12345678"), ("B", "b")]), ["12345678"]);
    let short = in_header("${env:A}").fill(&environment([("A", "1234567")])).unwrap();
    assert_eq!(short.in_part().count(), 0);
    assert!(short.is_in(b" 1234567") && !short.is_in(b"12345678"));
}

#[test]
fn it_is_known_again_without_being_made() {
    let credential = in_header("Bearer ${env:TOKEN}!");
    let there = environment([("TOKEN", " abc\n")]);
    assert!(credential.is(b"Bearer abc!", &there));
    for other in [b"Bearer abc".as_slice(), b"Bearer abc!!", b"Bearer abd!", b"bearer abc!", b"", b"Bearer "] {
        assert!(!credential.is(other, &there), "{other:?}");
    }
    assert!(!credential.is(b"Bearer abc!", &BTreeMap::new()));
}

#[test]
fn what_cannot_be_given_is_an_error_that_does_not_show_it() {
    let errors = |value: Value| {
        let mut errors = Errors::default();
        let read = Credential::read(&value, &At::ROOT, &mut errors, |_, _, _| None);
        let errors = errors.into_document_errors().to_string();
        assert!(read.is_none() || !errors.is_empty(), "{value}");
        assert!(!errors.contains("hunter2"), "{errors}");
        errors
    };
    for (value, said) in [
        (json!({"header": "authorization", "value": "Bearer hunter2"}), "no credential itself"),
        (json!({"value": "${env:A}"}), "`header` is missing"),
        (json!({"header": "a", "query": "b", "value": "${env:A}"}), "both `header` and `query`"),
        (json!({"header": "content-length", "value": "${env:A}"}), "content-length"),
        (json!({"query": "a b", "value": "${env:A}"}), "cannot be the parameter"),
        (json!({"query": "a", "basic": {"user": "u", "password": "${env:A}"}}), "does not go with `basic`"),
        (json!({"value": "${env:A}", "basic": {"user": "u", "password": "${env:A}"}}), "does not go with `basic`"),
        (json!({"basic": {"user": "u", "password": "hunter2"}}), "no credential itself"),
        (json!({"basic": {"user": "u:v", "password": "${env:A}"}}), "no colon"),
        (json!({"basic": {"password": "${env:A}"}}), "`user` is missing"),
    ] {
        let errors = errors(value.clone());
        assert!(errors.contains(said), "{value}: {errors}");
    }
}
