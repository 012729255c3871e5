//! Laws that hold for every request and policy: more rules never allow more, time never reopens, what was kept decides as
//! what was not, and nothing that a client sends makes the core panic.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Answer, NOW, ask, claims, compile, document, head, token, with, worker};

/// A policy with several grants, so that taking one away matters.
fn rich() -> Value {
    with(
        document(),
        "/grants",
        json!([
            {"name": "list", "when": {"subject": "agent-*"}, "allow": ["orders.list"], "max_lifetime": "5m"},
            {"name": "read", "when": {"agent": "bot"}, "allow": ["orders.read", "orders.list"]},
            {"name": "support", "when": {"claims": {"role": "support"}}, "allow": ["orders.*"]},
        ]),
    )
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything that is removed and set, but for the audit id, which is new each time.
fn edits(answer: &Answer) -> Option<(Vec<Vec<u8>>, Fields)> {
    let edits = answer.forwarded.as_ref()?;
    let set = edits.set().filter(|(name, _)| *name != b"x-chaperone-audit-id");
    Some((edits.removed().map(<[u8]>::to_vec).collect(), set.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()))
}

/// A record without what counts up.
fn without_ids(mut record: Value) -> Value {
    record["metadata"]["uid"].take();
    record["unmapped"]["sequence"].take();
    record
}

prop_compose! {
    fn any_claims()(
        subject in prop::sample::select(vec!["agent-7", "human", "agent-7/x"]),
        session in prop::sample::select(vec!["s-1", "s-2"]),
        role in prop::option::of(prop::sample::select(vec!["support", "other"])),
        agent in prop::option::of(prop::sample::select(vec!["bot", "crawler"])),
        commands in prop::option::of(prop::sample::subsequence(vec!["orders.list", "orders.*", "health"], 0..3)),
        issued in NOW - 1000..NOW + 100,
        lifetime in 1u64..1200,
    ) -> Value {
        let mut all = claims();
        all["sub"] = json!(subject);
        all["sid"] = json!(session);
        all["iat"] = json!(issued);
        all["exp"] = json!(issued + lifetime);
        if let Some(role) = role { all["role"] = json!(role); }
        if let Some(agent) = agent { all["act"] = json!({"sub": agent}); }
        if let Some(commands) = commands { all["commands"] = json!(commands); }
        all
    }
}

fn any_target() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders/7"),
        ("POST", "/v1/orders/7/cancel"),
        ("GET", "/healthz"),
        ("GET", "/v1/other"),
        ("GET", "/v1/orders/%2e%2e"),
    ])
}

fn answer(policy: &Rc<Policy>, claims: &Value, target: (&str, &str), at: u64) -> Answer {
    let bearer = format!("Bearer {}", token(claims));
    ask(policy, &mut worker(), at, &head(target.0, target.1, &[("authorization", &bearer)]))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn taking_away_a_grant_never_allows_more(claims in any_claims(), target in any_target(), gone in 0usize..3) {
        let all = compile(&rich());
        let mut fewer = rich();
        fewer["grants"].as_array_mut().unwrap().remove(gone);
        if answer(&compile(&fewer), &claims, target, NOW).forwarded.is_some() {
            prop_assert!(answer(&all, &claims, target, NOW).forwarded.is_some());
        }
    }

    #[test]
    fn a_revocation_never_allows_more(claims in any_claims(), target in any_target(), subject in prop::sample::select(vec!["agent-7", "human"])) {
        let revoked = compile(&with(rich(), "/revoked", json!([{"subject": subject}])));
        let answer_after = answer(&revoked, &claims, target, NOW);
        if answer_after.forwarded.is_some() {
            prop_assert!(answer(&compile(&rich()), &claims, target, NOW).forwarded.is_some());
            prop_assert!(target.1 == "/healthz" || claims["sub"] != subject);
        }
    }

    #[test]
    fn a_longer_list_of_requirements_never_allows_more(claims in any_claims(), target in any_target()) {
        let strict = compile(&with(with(rich(), "/session/token_commands", json!("required")), "/session/max_lifetime", json!("5m")));
        if answer(&strict, &claims, target, NOW).forwarded.is_some() {
            prop_assert!(answer(&compile(&rich()), &claims, target, NOW).forwarded.is_some());
        }
    }

    #[test]
    fn time_passing_never_reopens(claims in any_claims(), target in any_target(), steps in prop::collection::vec(0u64..400, 2..8)) {
        let policy = compile(&rich());
        let mut at = NOW;
        let mut over = false;
        for step in steps {
            at += step;
            let answer = answer(&policy, &claims, target, at);
            let ended = matches!(answer.code(), "expired" | "lifetime_exceeded");
            prop_assert!(!over || ended, "{} at {at}", answer.code());
            over |= ended;
        }
    }

    #[test]
    fn kept_tokens_decide_as_fresh_ones(
        requests in prop::collection::vec((any_claims(), any_target(), 0usize..3), 1..12),
    ) {
        let policies = [
            compile(&rich()),
            compile(&with(rich(), "/revoked", json!([{"session": "s-1"}]))),
            compile(&with(rich(), "/tokens/issuers/0/audiences", json!(["billing"]))),
        ];
        let mut kept = worker();
        for (claims, target, policy) in requests {
            let bearer = format!("Bearer {}", token(&claims));
            let fields = head(target.0, target.1, &[("authorization", &bearer)]);
            for _ in 0..2 {
                let warm = ask(&policies[policy], &mut kept, NOW, &fields);
                let cold = ask(&policies[policy], &mut worker(), NOW, &fields);
                prop_assert_eq!(warm.code(), cold.code());
                prop_assert_eq!(edits(&warm), edits(&cold));
                prop_assert_eq!(without_ids(warm.record), without_ids(cold.record));
            }
        }
    }

    #[test]
    fn an_unknown_member_never_makes_a_policy(place in 0usize..64, name in "[a-z_]{1,12}") {
        let mut document = rich();
        let mut places = Vec::new();
        collect_objects(&document, String::new(), &mut places);
        // Maps by name of the author's choosing, and key sets, whose unknown members RFC 7517 has us ignore.
        places.retain(|pointer| !pointer.ends_with("/commands") && !pointer.contains("/keys/jwks") && !pointer.ends_with("/claims"));
        let pointer = &places[place % places.len()];
        let object = document.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        prop_assume!(!object.contains_key(&name));
        object.insert(name.clone(), json!({"zz": true}));
        prop_assert!(Policy::compile(document.to_string().as_bytes()).is_err(), "{pointer}/{name}");
    }

    #[test]
    fn no_header_makes_the_core_panic(
        fields in prop::collection::vec(
            (
                prop_oneof![
                    prop::sample::select(vec![":method", ":path", ":authority", ":scheme", "authorization", "host", "connection", "content-type", "upgrade"])
                        .prop_map(|name| name.as_bytes().to_vec()),
                    prop::collection::vec(any::<u8>(), 0..24),
                ],
                prop::collection::vec(any::<u8>(), 0..64),
            ),
            0..12,
        ),
    ) {
        let answer = ask(&compile(&rich()), &mut worker(), NOW, &fields);
        // Without a token that verifies only the health check passes.
        prop_assert!(answer.forwarded.is_none() || answer.record["api"]["operation"] == "health");
    }

    #[test]
    fn no_path_escapes_its_command(path in "(/|%2[fFeE5]|[.;a-c\\\\]|%25|%00|%c0%af|//|\\?|#){0,12}") {
        let files = with(document(), "/commands/files", json!({"http": {"methods": ["GET"], "path": "/files/{*rest}"}}));
        let files = compile(&with(files, "/grants/0/allow", json!(["files"])));
        let path = format!("/files/{path}");
        let answer = answer(&files, &claims(), ("GET", &path), NOW);
        if answer.forwarded.is_some() {
            // Whatever an upstream decodes, once or twice, stays below /files/ and has no empty or dot segment.
            let mut reading = path.split('?').next().unwrap().to_owned();
            for _ in 0..3 {
                prop_assert!(!reading.contains("//") && !reading.contains('\\') && !reading.contains('\0') && !reading.contains(';'), "{reading}");
                prop_assert!(!reading.split('/').any(|part| part == "." || part == ".."), "{reading}");
                reading = decode(&reading);
            }
        }
    }

    #[test]
    fn no_document_makes_the_core_panic(text in "[\\[\\]{}\",:a-z0-9 .-]{0,64}") {
        let _ = Policy::compile(text.as_bytes());
    }
}

fn collect_objects(value: &Value, pointer: String, places: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            places.push(pointer.clone());
            for (name, member) in members {
                collect_objects(member, format!("{pointer}/{name}"), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect_objects(item, format!("{pointer}/{index}"), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let pair = (byte == b'%').then(|| bytes.clone().take(2).collect::<Vec<u8>>());
        let value =
            pair.and_then(|pair| u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok().filter(|_| pair.len() == 2));
        match value {
            Some(value) => {
                out.push(value);
                bytes.nth(1);
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
