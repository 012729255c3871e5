//! `audit`: the target is told the same in one field as in many, whatever anybody writes into it; and who is asked where a request
//! comes from, and when.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::rc::Rc;

use chaperone_policy::{AskSource, Decision, Edits, End, Exchange, Head, Policy, Source, Timestamp, Worker};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{NOW, ask, claims, compile, context, document, get, head, token, with, worker};

const PREFIX: &str = "x-chaperone-";

fn audited(audit: Value) -> Rc<Policy> {
    compile(&with(document(), "/audit", audit))
}

/// What the target gets of ours, name and value.
fn ours(edits: &Edits) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let ours = edits.set().filter(|(name, _)| name.starts_with(PREFIX.as_bytes()));
    ours.map(|(name, value)| (text(name).split_off(PREFIX.len()), text(value))).collect()
}

/// The members of a Dictionary of Strings, by the letter of RFC 9651 §4.2.2, §4.2.3.3 and §4.2.5.
fn members(field: &str) -> Vec<(String, String)> {
    assert!(field.is_ascii(), "{field:?}");
    let mut rest = field.bytes().peekable();
    let mut found = Vec::new();
    loop {
        let mut key = String::new();
        while let Some(byte) = rest.next_if(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(byte)) {
            key.push(char::from(byte));
        }
        assert!(key.starts_with(|first: char| first.is_ascii_lowercase() || first == '*'), "a key in {field:?}");
        assert_eq!((rest.next(), rest.next()), (Some(b'='), Some(b'"')), "{field:?}");
        let mut value = String::new();
        loop {
            match rest.next().expect("a closing quote") {
                b'"' => break,
                b'\\' => value.push(rest.next().filter(|byte| matches!(byte, b'"' | b'\\')).map(char::from).expect("an escape")),
                byte => value.push(Some(byte).filter(|byte| (0x20..0x7f).contains(byte)).map(char::from).expect("visible")),
            }
        }
        assert!(found.iter().all(|(known, _)| *known != key), "{key} twice in {field:?}");
        found.push((key, value));
        match rest.next() {
            None => return found,
            Some(b',') => while rest.next_if(|byte| matches!(byte, b' ' | b'\t')).is_some() {},
            Some(other) => panic!("{other} after a member of {field:?}"),
        }
    }
}

/// A request of these claims in either form: the fields, and the members of the one field.
fn both(change: &Value, claims: &Value, path: &str) -> [Vec<(String, String)>; 2] {
    ["separate", "combined"].map(|form| {
        // Whatever they are called.
        let mut document = with(document(), "/grants/0/when", json!({"issuer": "https://broker.example"}));
        for (pointer, value) in change.as_object().unwrap() {
            document = with(document, pointer, value.clone());
        }
        let answer = get(&compile(&with(document, "/audit", json!({"headers": form}))), path, &token(claims));
        let mut told = ours(answer.forwarded.as_ref().unwrap_or_else(|| panic!("{answer:?}")));
        if form == "combined" {
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!(told[0].0, "audit");
            told = members(&told[0].1);
            assert_eq!(told[0].0, "audit-id");
        }
        // The revision is that of another policy.
        for (name, value) in &mut told {
            if name == "policy" {
                assert_eq!(value.split_once('@').unwrap().1.len(), 12);
                value.truncate("orders".len());
            }
        }
        told.sort();
        told
    })
}

fn of(sid: &str, sub: &str, agent: Option<&str>) -> Value {
    let mut claims = claims();
    (claims["sid"], claims["sub"]) = (json!(sid), json!(sub));
    if let Some(agent) = agent {
        claims["act"] = json!({"sub": agent});
    }
    claims
}

#[test]
fn one_field_says_what_many_say() {
    let [separate, combined] = both(&json!({}), &of("s-1", "agent-7", Some("planner")), "/v1/orders");
    let names: Vec<_> = separate.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["agent", "audit-id", "command", "decision", "expires-at", "policy", "session", "subject"]);
    assert_eq!(separate, combined);
    let mut second = document()["tokens"]["issuers"][0].clone();
    second["issuer"] = json!("https://second.example");
    let two = json!({"/tokens/issuers": [document()["tokens"]["issuers"][0].clone(), second], "/mode": "observe"});
    let [separate, combined] = both(&two, &claims(), "/v1/other");
    let find = |name: &str| separate.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((find("decision"), find("reason")), (Some("observed-deny"), Some("unknown_command")));
    assert_eq!(find("issuer"), Some("https://broker.example"));
    assert_eq!(separate, combined);
}

#[test]
fn nobody_adds_a_member_by_what_is_called_so() {
    let honest = both(&json!({}), &of("s-1", "agent-7", None), "/v1/orders");
    for (sid, sub) in [
        ("s-1", r#"agent-7", session="root"#),
        ("s-1", r#"agent-7\", session="root"#),
        ("s-1", r#"agent-7\"#),
        (r#"s-1\"#, r#"agent-, decision="deny"#),
        (r#"", audit-id="mine", session=""#, "agent-7"),
        (r#"\"\\""#, "agent-\u{0}\r\n\u{e9},%=;\u{7f}"),
    ] {
        let [separate, combined] = both(&json!({}), &of(sid, sub, None), "/v1/orders");
        assert_eq!(separate, combined);
        let names = |all: &[(String, String)]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&combined), names(&honest[1]), "as of one who writes nothing of the kind");
    }
    proptest!(|(sid in "\\PC{1,20}", sub in r#"agent-["\\, =a-z\PC]{0,20}"#, agent in r#"["\\,]{1,80}"#)| {
        // What would not fit into its field is no good token.
        let [separate, combined] = both(&json!({}), &of(&sid, &sub, Some(&agent)), "/v1/orders");
        prop_assert_eq!(separate, combined);
    });
}

#[test]
fn whoever_writes_the_field_himself_is_not_heard() {
    for form in ["separate", "combined"] {
        let policy = audited(json!({"headers": form}));
        for name in ["x-chaperone-audit", "X-Chaperone-Audit", "x_chaperone_audit", "x-chaperone-subject"] {
            let bearer = format!("Bearer {}", token(&claims()));
            let fields = head("GET", "/v1/orders", &[("authorization", &bearer), (name, r#"session="root""#)]);
            assert!(ask(&policy, &mut worker(), NOW, &fields).removes(name), "{form} {name}");
        }
        let mut exchange = Exchange::begin(Rc::clone(&policy));
        let forged: &[(&[u8], &[u8])] = &[(b":status", b"200"), (b"x-chaperone-audit", b"session=\"root\"")];
        let edits = exchange.response_edits(forged, true);
        assert_eq!(edits.removed().collect::<Vec<_>>(), [b"x-chaperone-audit"]);
        let edits = exchange.request_trailer_edits(forged);
        assert_eq!(edits.removed().collect::<Vec<_>>(), [b"x-chaperone-audit"]);
    }
}

#[test]
fn the_clients_own_answer_is_the_same() {
    let of = |form: &str| {
        let policy = audited(json!({"headers": form}));
        let bearer = format!("Bearer {}", token(&claims()));
        let fields = head("GET", "/v1/orders", &[("authorization", &bearer)]);
        let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&policy));
        let at = context(&policy, Timestamp::from_seconds(NOW));
        let _ = exchange.request(&Head { headers: &fields, ..Head::default() }, &mut worker(), &at);
        ours(&exchange.response_edits(&[(b":status", b"200")], true))
    };
    assert_eq!(of("separate"), of("combined"));
    assert_eq!(of("combined")[0].0, "audit-id");
}

/// Counts how often it is asked.
struct Counting(Cell<u32>);

impl AskSource for Counting {
    fn address(&self) -> Option<&[u8]> {
        self.0.set(self.0.get() + 1);
        Some(b"10.0.0.7:4711")
    }
}

/// Was anybody asked where the request comes from, and what is on record?
fn asked(policy: &Rc<Policy>, worker: &mut Worker, path: &str, token: Option<&str>) -> (String, bool, Value) {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let extra: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let fields = head("GET", path, &extra);
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let source = Counting(Cell::new(0));
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let at = context(policy, Timestamp::from_seconds(NOW));
    let decision = exchange.request(&Head { headers: &fields, source: Source::Asked(&source), ..Head::default() }, worker, &at);
    let code = match decision {
        Decision::Forward(_) => "allowed",
        Decision::Refuse(denial) => denial.reason().code(),
        Decision::Hold(need) => panic!("{need:?}"),
    };
    let record: Value = serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap();
    (code.to_owned(), source.0.get() > 0, record["src_endpoint"].clone())
}

/// The same with a worker that looks nothing up, so that all of it is judged in full.
fn judged(audit: Value, change: (&str, Value), path: &str, token: Option<&str>) -> (String, bool, Value) {
    let policy = compile(&with(with(document(), "/audit", audit), change.0, change.1));
    let mut worker = worker();
    worker.share(Rc::new(chaperone_policy::LocalState::default()));
    worker.judge_in_full();
    let _ = asked(&policy, &mut worker, path, token);
    asked(&policy, &mut worker, path, token)
}

#[test]
fn only_who_needs_to_know_asks_where_a_request_comes_from() {
    let (token, nobody, told) = (token(&claims()), json!({}), json!({"ip": "10.0.0.7", "port": 4711}));
    let policy = audited(json!({"source": "proxy"}));
    let mut worker = worker();
    let mut ask = |path: &str, token: Option<&str>| asked(&policy, &mut worker, path, token);
    // A signature's check has a payer, and the record does not say who.
    assert_eq!(ask("/v1/orders", Some(&token)), ("allowed".to_owned(), true, nobody.clone()));
    assert_eq!(ask("/v1/orders", Some(&token)), ("allowed".to_owned(), false, nobody.clone()), "a head that is known");
    assert_eq!(ask("/v1/orders/7", Some(&token)), ("allowed".to_owned(), false, nobody.clone()), "a token that is kept");
    assert_eq!(ask("/v1/other", Some(&token)), ("unknown_command".to_owned(), false, nobody.clone()));
    assert_eq!(ask("/v1/orders", None), ("token_missing".to_owned(), false, nobody.clone()));
    // Each address has its share of what needs no session.
    assert_eq!(ask("/healthz", None), ("allowed".to_owned(), true, nobody.clone()));

    let (path, shown) = ("/v1/orders", Some(token.as_str()));
    let (same, watched) = (("/generation", json!(1)), json!({"context_changes": ["source_address"]}));
    let proxy = || json!({"source": "proxy"});
    assert_eq!(judged(proxy(), same.clone(), path, shown), ("allowed".to_owned(), false, nobody.clone()));
    assert_eq!(judged(proxy(), ("/end_session_when", watched), path, shown), ("allowed".to_owned(), true, nobody));
    assert_eq!(judged(json!({"source": "filter"}), same.clone(), path, shown), ("allowed".to_owned(), true, told.clone()));
    assert_eq!(judged(json!({}), same, path, None), ("token_missing".to_owned(), true, told));
}
