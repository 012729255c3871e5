//! Each check with a request that only it denies, and beside it the twin that must pass.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use chaperone_policy::Worker;
use serde_json::{Value, json};
use support::{Answer, NOW, ask, claims, compile, document, get, head, jwk, token, token_of, with, worker};

/// The claims with some changed; `"absent"` takes one out.
fn claims_with(change: Value) -> Value {
    let mut all = claims();
    for (name, value) in change.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| value != "absent");
    all
}

/// What becomes of GET /v1/orders with these claims, under the usual policy.
fn with_claims(change: Value) -> String {
    get(&compile(&document()), "/v1/orders", &token(&claims_with(change))).code().to_owned()
}

fn with_header(change: Value) -> String {
    let mut header = json!({"alg": "ES256", "kid": "k1"});
    for (name, value) in change.as_object().unwrap() {
        header[name] = value.clone();
    }
    header.as_object_mut().unwrap().retain(|_, value| value != "absent");
    get(&compile(&document()), "/v1/orders", &token_of(&header, &claims(), "good")).code().to_owned()
}

/// What becomes of a request with these fields besides a good token.
fn request(document: &Value, method: &str, path: &str, extra: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {}", token(&claims()));
    let mut fields = vec![("authorization", bearer.as_str())];
    fields.extend_from_slice(extra);
    ask(&compile(document), &mut worker(), NOW, &head(method, path, &fields))
}

#[test]
fn a_good_request_is_allowed_and_says_whose_it_is() {
    let answer = request(&document(), "GET", "/v1/orders/7", &[]);
    assert_eq!(answer.code(), "allowed");
    assert!(answer.removes("authorization"));
    assert_eq!(answer.set("x-chaperone-session").as_deref(), Some("s-1"));
    assert_eq!(answer.set("x-chaperone-subject").as_deref(), Some("agent-7"));
    assert_eq!(answer.set("x-chaperone-command").as_deref(), Some("orders.read"));
    assert_eq!(answer.set("x-chaperone-decision").as_deref(), Some("allow"));
    assert_eq!(answer.set("x-chaperone-expires-at"), Some((NOW + 600).to_string()));
    assert_eq!(answer.set("x-chaperone-reason"), None);
    assert_eq!(answer.set("x-chaperone-agent"), None);
    let policy = answer.set("x-chaperone-policy").unwrap();
    assert!(policy.starts_with("orders@") && policy.len() == "orders@".len() + 12, "{policy}");
    assert_eq!(answer.record["metadata"]["uid"].as_str(), answer.set("x-chaperone-audit-id").as_deref());
    assert_eq!(answer.record["unmapped"]["grant"], "agents");
    assert_eq!(answer.record["actor"]["session"]["expiration_time"], (NOW + 600) * 1000);
}

#[test]
fn tokens_are_looked_for_where_the_policy_says_and_once() {
    let policy = compile(&document());
    let good = token(&claims());
    let code = |extra: &[(&str, &str)]| ask(&policy, &mut worker(), NOW, &head("GET", "/v1/orders", extra)).code().to_owned();
    let bearer = format!("Bearer {good}");
    assert_eq!(code(&[("authorization", &bearer)]), "allowed");
    assert_eq!(code(&[("Authorization", &format!("bEARER  {good}"))]), "allowed");
    assert_eq!(code(&[]), "token_missing");
    assert_eq!(code(&[("authorization", &good)]), "token_missing");
    assert_eq!(code(&[("authorization", "Basic YTpi")]), "token_missing");
    assert_eq!(code(&[("cookie", &format!("authorization={good}"))]), "token_missing");
    assert_eq!(
        ask(&policy, &mut worker(), NOW, &head("GET", &format!("/v1/orders?access_token={good}"), &[])).code(),
        "token_missing"
    );
    assert_eq!(code(&[("authorization", &bearer), ("authorization", &bearer)]), "token_ambiguous");
    assert_eq!(code(&[("authorization", "Basic YTpi"), ("Authorization", &bearer)]), "token_ambiguous");
    assert_eq!(code(&[("authorization", &format!("{bearer}, {bearer}"))]), "token_ambiguous");
    // As Envoy joins two fields, in either order.
    assert_eq!(code(&[("authorization", &format!("Basic YTpi,{bearer}"))]), "token_ambiguous");
    assert_eq!(code(&[("authorization", &format!("{bearer},Basic YTpi"))]), "token_ambiguous");
    assert_eq!(code(&[("authorization", "Digest username=\"a\", realm=\"Bearer\"")]), "token_missing");
    assert_eq!(code(&[("authorization", "Bearer")]), "token_malformed");
    assert_eq!(code(&[("authorization", "Bearer ")]), "token_malformed");
    assert_eq!(code(&[("authorization", &format!("Bearer {good} x"))]), "token_malformed");

    let sources = json!([{"header": "X-Session-Token"}, {"header": "authorization", "scheme": "DPoP"}]);
    let policy = compile(&with(document(), "/tokens/from", sources));
    let code = |extra: &[(&str, &str)]| ask(&policy, &mut worker(), NOW, &head("GET", "/v1/orders", extra)).code().to_owned();
    let dpop = format!("DPoP {good}");
    assert_eq!(code(&[("x-session-token", &good), ("authorization", "Basic YTpi")]), "allowed");
    assert_eq!(code(&[("authorization", &dpop)]), "allowed");
    assert_eq!(code(&[("x-session-token", &format!("{good},{good}"))]), "token_malformed");
    assert_eq!(code(&[("x-session-token", &good), ("authorization", &format!("Basic YTpi,{dpop}"))]), "token_ambiguous");
    assert_eq!(code(&[("authorization", &bearer)]), "token_missing");
    assert_eq!(code(&[("x-session-token", &good), ("authorization", &dpop)]), "token_ambiguous");
}

#[test]
fn headers_of_tokens_are_judged() {
    assert_eq!(with_header(json!({})), "allowed");
    for wrong in [json!("none"), json!("NONE"), json!("HS256"), json!("ES384"), json!("RS256"), json!("es256")] {
        assert_eq!(with_header(json!({"alg": wrong})), "token_unsupported", "{wrong}");
    }
    assert_eq!(with_header(json!({"alg": "absent"})), "token_malformed");
    assert_eq!(with_header(json!({"crit": ["x"]})), "token_unsupported");
    assert_eq!(with_header(json!({"crit": ["b64"], "b64": false})), "token_unsupported");
    assert_eq!(with_header(json!({"kid": "../../dev/null"})), "key_unknown");
    assert_eq!(with_header(json!({"kid": "K1"})), "key_unknown");
    assert_eq!(with_header(json!({"kid": "k".repeat(300)})), "token_malformed");
    assert_eq!(with_header(json!({"kid": 1})), "token_malformed");
    // The only key for the algorithm needs no name; a key that the token brings along is never looked at.
    assert_eq!(with_header(json!({"kid": "absent"})), "allowed");
    assert_eq!(
        with_header(json!({"jwk": jwk(), "jku": "https://evil.example", "x5c": ["AA"], "x5u": "https://evil.example"})),
        "allowed"
    );
    assert_eq!(with_header(json!({"kid": "evil", "jwk": jwk(), "jku": "https://evil.example"})), "key_unknown");

    let mut second = jwk();
    second["kid"] = json!("k2");
    let two = compile(&with(document(), "/tokens/issuers/0/keys/jwks/keys", json!([jwk(), second])));
    let nameless = token_of(&json!({"alg": "ES256"}), &claims(), "good");
    assert_eq!(get(&two, "/v1/orders", &nameless).code(), "allowed", "it is tried with both");
    assert_eq!(get(&two, "/v1/orders", &token(&claims())).code(), "allowed");

    let typed = compile(&with(document(), "/tokens/issuers/0/types", json!(["session+jwt", "at+jwt"])));
    let code = |kind: Value| {
        let header = if kind.is_null() { json!({"alg": "ES256"}) } else { json!({"alg": "ES256", "typ": kind}) };
        get(&typed, "/v1/orders", &token_of(&header, &claims(), "good")).code().to_owned()
    };
    assert_eq!(code(json!("at+jwt")), "allowed");
    assert_eq!(code(json!("application/Session+JWT")), "allowed");
    assert_eq!(code(json!("JWT")), "token_unsupported");
    assert_eq!(code(Value::Null), "token_unsupported");
}

#[test]
fn a_token_is_from_a_known_issuer_for_us_and_signed() {
    assert_eq!(with_claims(json!({"iss": "https://evil.example"})), "issuer_unknown");
    assert_eq!(with_claims(json!({"iss": "https://broker.example/"})), "issuer_unknown");
    assert_eq!(with_claims(json!({"iss": "absent"})), "issuer_unknown");
    assert_eq!(with_claims(json!({"iss": ["https://broker.example"]})), "issuer_unknown");
    assert_eq!(with_claims(json!({"aud": ["billing", "orders"]})), "allowed");
    for wrong in
        [json!("billing"), json!(["billing"]), json!([]), json!("absent"), json!(null), json!({"orders": 1}), json!("ORDERS")]
    {
        assert_eq!(with_claims(json!({"aud": wrong})), "audience_mismatch", "{wrong}");
    }
    let header = json!({"alg": "ES256", "kid": "k1"});
    for mark in ["", "bad", "goo", "goodgood"] {
        assert_eq!(
            get(&compile(&document()), "/v1/orders", &token_of(&header, &claims(), mark)).code(),
            "signature_invalid",
            "{mark}"
        );
    }
}

#[test]
fn claims_are_complete_and_of_their_types() {
    for name in ["exp", "iat", "sub", "sid"] {
        assert_eq!(with_claims(json!({name: "absent"})), "claims_invalid", "{name}");
    }
    for wrong in [json!("9999999999"), json!(null), json!(-1), json!(-0.5), json!(1e300)] {
        assert_eq!(with_claims(json!({"exp": wrong})), "claims_invalid", "{wrong}");
    }
    assert_eq!(with_claims(json!({"nbf": "0"})), "claims_invalid");
    assert_eq!(with_claims(json!({"jti": 7})), "claims_invalid");
    let twice = format!("{}.{}.Z29vZA", "eyJhbGciOiJFUzI1NiJ9", {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims().to_string().replacen(
            '{',
            &format!("{{\"e\\u0078p\":{},", NOW + 900),
            1,
        ))
    });
    assert_eq!(get(&compile(&document()), "/v1/orders", &twice).code(), "token_malformed");
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(with_claims(json!({"ignored": deep})), "token_malformed");
    assert_eq!(with_claims(json!({"ignored": {"a": [1, {"b": 2}]}})), "allowed");
}

#[test]
fn a_bound_token_is_not_taken_for_a_bearer_token() {
    assert_eq!(with_claims(json!({"cnf": {"jkt": "x"}})), "binding_mismatch");
    assert_eq!(with_claims(json!({"cnf": null})), "binding_mismatch");
}

#[test]
fn time_ends_a_session_to_the_second() {
    let policy = compile(&document());
    let at = |claims: &Value, at: u64| {
        ask(&policy, &mut worker(), at, &head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(claims)))]))
            .code()
            .to_owned()
    };
    assert_eq!(at(&claims(), NOW + 599), "allowed");
    assert_eq!(at(&claims(), NOW + 600), "expired");
    assert_eq!(at(&claims(), NOW - 1), "not_yet_valid");
    let later = claims_with(json!({"nbf": NOW + 10}));
    assert_eq!(at(&later, NOW + 9), "not_yet_valid");
    assert_eq!(at(&later, NOW + 10), "allowed");
    assert_eq!(at(&claims_with(json!({"exp": NOW + 900})), NOW), "allowed");
    assert_eq!(at(&claims_with(json!({"exp": NOW + 901})), NOW), "lifetime_exceeded");

    let skewed = compile(&with(document(), "/session/clock_skew", json!("10s")));
    let at = |at: u64| {
        ask(&skewed, &mut worker(), at, &head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]))
            .code()
            .to_owned()
    };
    assert_eq!(at(NOW - 10), "allowed");
    assert_eq!(at(NOW - 11), "not_yet_valid");
    assert_eq!(at(NOW + 609), "allowed");
    assert_eq!(at(NOW + 610), "expired");
}

#[test]
fn a_refreshed_token_does_not_lengthen_its_session() {
    let policy = compile(&with(document(), "/tokens/issuers/0/claims", json!({"started": "auth_time"})));
    let started = |seconds_ago: u64, at: u64| {
        let claims = claims_with(json!({"auth_time": NOW - seconds_ago}));
        ask(&policy, &mut worker(), at, &head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims)))]))
            .code()
            .to_owned()
    };
    assert_eq!(started(600, NOW + 299), "allowed");
    assert_eq!(started(600, NOW + 300), "lifetime_exceeded");
    assert_eq!(started(900, NOW), "lifetime_exceeded");
    assert_eq!(get(&policy, "/v1/orders", &token(&claims())).code(), "claims_invalid");
}

#[test]
fn a_clock_that_steps_back_reopens_nothing() {
    let policy = compile(&document());
    let mut worker = worker();
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
    assert_eq!(ask(&policy, &mut worker, NOW + 1, &fields).code(), "allowed");
    assert_eq!(ask(&policy, &mut worker, NOW + 600, &fields).code(), "expired");
    assert_eq!(ask(&policy, &mut worker, NOW + 2, &fields).code(), "expired");
    // Nor does a clock that was ahead for a moment open what has not begun.
    let early = head(
        "GET",
        "/v1/orders",
        &[("authorization", &format!("Bearer {}", token(&claims_with(json!({"iat": NOW + 1000, "exp": NOW + 1600})))))],
    );
    assert_eq!(ask(&policy, &mut worker, NOW + 1001, &early).code(), "allowed");
    assert_eq!(ask(&policy, &mut worker, NOW + 999, &early).code(), "not_yet_valid");
}

#[test]
fn revocations_name_sessions_in_every_way_and_only_those() {
    let token = token(&claims_with(json!({"jti": "9f2c", "act": {"sub": "crawler", "act": {"sub": "planner"}}})));
    let code = |entry: Value| {
        let answer = get(&compile(&with(document(), "/revoked", json!([entry]))), "/v1/orders", &token);
        answer.code().to_owned()
    };
    for entry in [
        json!({"session": "s-1"}),
        json!({"subject": "agent-7"}),
        json!({"agent": "crawler"}),
        json!({"agent": "planner"}),
        json!({"token": "9f2c"}),
        json!({"issuer": "https://broker.example"}),
        json!({"issued_before": "2026-11-23T10:00:01Z"}),
        json!({"subject": "agent-7", "issued_before": "2026-11-23T10:00:01Z"}),
        json!({"issuer": "https://broker.example", "session": "s-1", "subject": "agent-7", "agent": "crawler", "token": "9f2c"}),
    ] {
        assert_eq!(code(entry.clone()), "revoked", "{entry}");
    }
    for entry in [
        json!({"session": "s-2"}),
        json!({"session": "agent-7"}),
        json!({"subject": "agent-"}),
        json!({"agent": "agent-7"}),
        json!({"token": "9f2d"}),
        json!({"issuer": "https://other.example"}),
        json!({"issued_before": "2026-11-23T10:00:00Z"}),
        json!({"session": "s-1", "subject": "agent-8"}),
        json!({"session": "s-1", "issuer": "https://other.example"}),
        json!({"agent": "crawler", "token": "other"}),
    ] {
        assert_eq!(code(entry.clone()), "allowed", "{entry}");
    }
    // Of two entries for one subject the wider counts, in either order.
    let entries = [
        json!({"subject": "agent-7", "issued_before": "2026-11-23T10:00:01Z"}),
        json!({"subject": "agent-7", "issued_before": "2020-01-01T00:00:00Z"}),
    ];
    for order in [[0, 1], [1, 0]] {
        let revoked = json!(order.map(|place| entries[place].clone()));
        assert_eq!(get(&compile(&with(document(), "/revoked", revoked)), "/v1/orders", &token).code(), "revoked");
    }
    let because =
        get(&compile(&with(document(), "/revoked", json!([{"session": "s-1", "because": "INC-42"}]))), "/v1/orders", &token);
    assert_eq!(because.record["status_detail"], "INC-42");
}

#[test]
fn a_revocation_ends_a_token_that_was_verified_before_and_undo_brings_it_back() {
    let mut worker = worker();
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
    let (before, after) = (compile(&document()), compile(&with(document(), "/revoked", json!([{"session": "s-1"}]))));
    for (policy, code) in [(&before, "allowed"), (&after, "revoked"), (&before, "allowed"), (&after, "revoked")] {
        assert_eq!(ask(policy, &mut worker, NOW, &fields).code(), code);
    }
    assert_eq!(worker.counts().token_misses, 1, "one signature check served all");
}

#[test]
fn a_key_that_leaves_the_policy_takes_its_verified_tokens_along() {
    let mut worker = worker();
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
    assert_eq!(ask(&compile(&document()), &mut worker, NOW, &fields).code(), "allowed");
    let mut renamed = jwk();
    renamed["kid"] = json!("k2");
    let gone = compile(&with(document(), "/tokens/issuers/0/keys/jwks/keys", json!([renamed])));
    assert_eq!(ask(&gone, &mut worker, NOW, &fields).code(), "key_unknown");
    // Another key under the old name: the kept signature says nothing about it, so it is checked again.
    let other = json!({"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
    let swapped = compile(&with(document(), "/tokens/issuers/0/keys/jwks/keys", json!([other])));
    let misses = worker.counts().token_misses;
    let _ = ask(&swapped, &mut worker, NOW, &fields);
    assert_eq!(worker.counts().token_misses, misses + 1);
}

#[test]
fn a_token_that_ends_like_a_kept_one_is_not_taken_for_it() {
    let policy = compile(&document());
    let ending = "z".repeat(64);
    let (kept, mut other) = (claims_with(json!({"zz": ending})), claims_with(json!({"zz": ending, "sub": "mallory"})));
    let mut worker = worker();
    let mut code = |token: &str| {
        let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {token}"))]);
        ask(&policy, &mut worker, NOW, &fields).code().to_owned()
    };
    let kept = token(&kept);
    let (_, signature) = kept.rsplit_once('.').unwrap();
    // One that holds, for this verifier, and is the same.
    let granted_nothing = token(&other).rsplit_once('.').map(|(signed, _)| format!("{signed}.{signature}")).unwrap();
    assert_eq!(code(&kept), "allowed");
    assert_eq!(kept.as_bytes().last_chunk::<64>(), granted_nothing.as_bytes().last_chunk());
    assert_eq!(code(&granted_nothing), "command_not_granted");
    other["sub"] = json!("agent-9");
    let forged = token_of(&json!({"alg": "ES256", "kid": "k1"}), &other, &format!("{ending}forged"));
    assert_eq!(code(&forged), "signature_invalid");
    let hashed = kept.split_at(kept.len() - 32).1;
    assert_eq!(code(hashed), "token_malformed", "the part that is hashed, alone");
    assert_eq!(code(&kept), "allowed");
}

#[test]
fn too_many_signature_checks_are_denied_and_verified_tokens_are_not() {
    let policy = compile(&with(document(), "/limits", json!({"verifications_per_second": 2})));
    let mut worker = worker();
    let mut code = |session: &str, at: u64| {
        let token = token(&claims_with(json!({"sid": session})));
        ask(&policy, &mut worker, at, &head("GET", "/v1/orders", &[("authorization", &format!("Bearer {token}"))]))
            .code()
            .to_owned()
    };
    assert_eq!([code("a", NOW), code("b", NOW), code("c", NOW), code("a", NOW)], ["allowed", "allowed", "overloaded", "allowed"]);
    assert_eq!([code("c", NOW + 1), code("d", NOW)], ["allowed", "allowed"], "a clock that steps back gives no second allowance");
    assert_eq!(code("e", NOW + 1), "overloaded");
}

#[test]
fn a_flood_of_tokens_is_bounded_and_denies_nobody_who_was_there() {
    let policy = compile(&with(document(), "/limits", json!({"verifications_per_second": 100_000})));
    let mut worker = worker();
    let mut code = |session: String| {
        let token = token(&claims_with(json!({"sid": session})));
        ask(&policy, &mut worker, NOW, &head("GET", "/v1/orders", &[("authorization", &format!("Bearer {token}"))]))
            .code()
            .to_owned()
    };
    assert_eq!([code("first".to_owned()), code("first".to_owned())], ["allowed"; 2], "it is in use");
    for number in 0..chaperone_policy::limits::VERIFIED_TOKENS + 100 {
        assert_eq!(code(format!("s-{number}")), "allowed");
    }
    assert_eq!(code("first".to_owned()), "allowed");
    let counts = worker.counts();
    assert_eq!(counts.token_hits, 2, "the first was still kept");
    assert_eq!(counts.kept_tokens, chaperone_policy::limits::VERIFIED_TOKENS as u64, "and no more than there is room for");
}

#[test]
fn what_is_not_a_command_is_denied() {
    for (method, path) in [
        ("GET", "/v1/orders/"),
        ("GET", "/V1/orders"),
        ("GET", "/v1"),
        ("GET", "/v1/orders/7/x"),
        ("DELETE", "/v1/orders"),
        ("OPTIONS", "/v1/orders"),
        ("GET", "/"),
    ] {
        assert_eq!(request(&document(), method, path, &[]).code(), "unknown_command", "{method} {path}");
    }
    for (method, path, command) in [
        ("GET", "/v1/orders?x=/../y", "orders.list"),
        ("HEAD", "/v1/orders", "orders.list"),
        ("GET", "/v1/orders/%37", "orders.read"),
        ("GET", "/v1/orders/a+b", "orders.read"),
    ] {
        let answer = request(&document(), method, path, &[]);
        assert_eq!(answer.set("x-chaperone-command").as_deref(), Some(command), "{method} {path}");
    }
}

#[test]
fn ambiguous_requests_are_refused_before_the_token_is_looked_at() {
    for path in [
        "//v1/orders",
        "/v1/../orders",
        "/v1/orders#x",
        "/v1%2forders",
        "/v1/orders;x",
        "/v1\\orders",
        "v1/orders",
        "*",
        "http://x/v1/orders",
        "/v1/orders/%2e%2e",
        "",
    ] {
        let answer = ask(&compile(&document()), &mut worker(), NOW, &head("GET", path, &[]));
        assert_eq!(answer.code(), "ambiguous_request", "{path}");
        assert_eq!(answer.denied.as_ref().map(|denied| denied.0), Some(400));
    }
    for method in ["CONNECT", "TRACE", "get", "", "GET "] {
        assert_eq!(request(&document(), method, "/v1/orders", &[]).code(), "ambiguous_request", "{method}");
    }
    for extra in [
        [(":path", "/v1/orders")],
        [(":method", "GET")],
        [(":authority", "")],
        [(":scheme", "http")],
        [("host", "other.example")],
        [(":authority", "user@orders.example")],
        [(":authority", "orders.example:80:80")],
        [(":authority", "orders.example/x")],
    ] {
        let code = request(&document(), "GET", "/v1/orders", &extra).code().to_owned();
        // An empty authority alone is a request without a host, which this command does not ask for.
        let wanted = if extra[0] == (":authority", "") { "allowed" } else { "ambiguous_request" };
        assert_eq!(code, wanted, "{extra:?}");
    }
    assert_eq!(request(&document(), "GET", "/v1/orders", &[("host", "ORDERS.example")]).code(), "allowed");
    let many = vec![("x-filler", "1"); 1100];
    assert_eq!(request(&document(), "GET", "/v1/orders", &many).code(), "ambiguous_request");
    for missing in [":method", ":path"] {
        let mut fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
        fields.retain(|(name, _)| name != missing.as_bytes());
        assert_eq!(ask(&compile(&document()), &mut worker(), NOW, &fields).code(), "ambiguous_request");
    }
}

#[test]
fn doubtful_spellings_pass_only_where_a_command_permits_them() {
    let permit = |spellings: Value| with(document(), "/commands/orders.read/http/permit", spellings);
    for (path, spellings) in [
        ("/v1/orders/a%2Fb", json!(["encoded_slash"])),
        ("/v1/orders/a;v=1", json!(["semicolon"])),
        ("/v1/orders/a%3Bv", json!(["semicolon"])),
        ("/v1/orders/a%2F%2Fb", json!(["encoded_slash", "double_slash"])),
        ("/v1/orders/a%2541", json!(["double_encoding"])),
        ("/v1/orders/a%252Fb", json!(["double_encoding", "encoded_slash"])),
    ] {
        assert_eq!(request(&document(), "GET", path, &[]).code(), "ambiguous_request", "{path}");
        assert_eq!(request(&permit(spellings.clone()), "GET", path, &[]).code(), "allowed", "{path}");
        if let Some((_, fewer)) = spellings.as_array().unwrap().split_first()
            && !fewer.is_empty()
        {
            assert_eq!(request(&permit(json!(fewer)), "GET", path, &[]).code(), "ambiguous_request", "{path}");
        }
    }
    let all = permit(json!(["encoded_slash", "semicolon", "double_slash", "double_encoding"]));
    for path in [
        "/v1/orders/%2e%2e",
        "/v1/orders/a%2f..%2fb",
        "/v1/orders/a%00",
        "/v1/orders/a%5cb",
        "/v1;x/orders/7",
        "/v1/orders/a%25252f",
        "/v1/orders/..;x",
    ] {
        assert_eq!(request(&all, "GET", path, &[]).code(), "ambiguous_request", "{path}");
    }
    // Nor in a segment with a fixed end: to a reader that cuts at `;` or an encoded `?`, the end is not there.
    let verb = json!({"http": {"methods": ["GET"], "path": "/verbs/{space}/{id}:verb", "permit": ["semicolon", "encoded_slash", "double_encoding"]}});
    let verb = with(with(document(), "/commands/verb", verb), "/grants/0/allow", json!(["verb"]));
    assert_eq!(request(&verb, "GET", "/verbs/a;b/c:verb", &[]).code(), "allowed");
    for path in ["/verbs/a/c;d:verb", "/verbs/a/c%3Fd:verb", "/verbs/a/c%2Fd:verb", "/verbs/a/c%2541:verb", "/verbs/a/..:verb"] {
        assert_eq!(request(&verb, "GET", path, &[]).code(), "ambiguous_request", "{path}");
    }
    // Never in the rest, whatever is permitted in a capture before it.
    let files = json!({"http": {"methods": ["GET"], "path": "/files/{space}/{*rest}", "permit": ["encoded_slash"]}});
    let files = with(with(document(), "/commands/files", files), "/grants/0/allow", json!(["files"]));
    assert_eq!(request(&files, "GET", "/files/a%2Fb/c/d", &[]).code(), "allowed");
    assert_eq!(request(&files, "GET", "/files/a/c%2Fd", &[]).code(), "ambiguous_request");
}

#[test]
fn a_host_that_is_named_goes_before_a_wildcard() {
    let hosted = |host: &str| json!({"http": {"methods": ["GET"], "path": "/tenant", "hosts": [host]}});
    // In the order of their names the wildcard comes first, and last.
    for (named, wildcard) in [("z", "a"), ("a", "z")] {
        let policy = with(document(), &format!("/commands/{named}"), hosted("admin.tenant.example"));
        let policy = with(policy, &format!("/commands/{wildcard}"), hosted("*.tenant.example"));
        let policy = with(policy, "/grants/0/allow", json!([wildcard]));
        let mut worker = worker();
        let mut code = |host: &str| {
            let bearer = format!("Bearer {}", token(&claims()));
            let mut fields = head("GET", "/tenant", &[("authorization", &bearer)]);
            fields.retain(|(name, _)| name != b":authority");
            fields.push((b":authority".to_vec(), host.as_bytes().to_vec()));
            ask(&compile(&policy), &mut worker, NOW, &fields).code().to_owned()
        };
        assert_eq!(code("one.tenant.example"), "allowed");
        for admin in ["admin.tenant.example", "ADMIN.tenant.example.:8443"] {
            assert_eq!(code(admin), "command_not_granted", "{admin}");
        }
        assert_eq!(code("one.two.tenant.example"), "unknown_command");
    }
}

#[test]
fn an_escape_does_not_slip_past_a_more_specific_command() {
    let mut policy = with(document(), "/commands/secret", json!({"http": {"methods": ["GET"], "path": "/files/a+b"}}));
    policy = with(policy, "/commands/files", json!({"http": {"methods": ["GET"], "path": "/files/{*rest}"}}));
    policy = with(policy, "/grants/0/allow", json!(["files"]));
    assert_eq!(request(&policy, "GET", "/files/a-b", &[]).code(), "allowed");
    assert_eq!(request(&policy, "GET", "/files/a+b", &[]).code(), "command_not_granted");
    assert_eq!(request(&policy, "GET", "/files/a%2Bb", &[]).code(), "ambiguous_request");
}

#[test]
fn hosts_tell_commands_apart() {
    let policy = with(document(), "/commands/orders.list/http/hosts", json!(["orders.example"]));
    for (host, code) in [
        ("orders.example", "allowed"),
        ("ORDERS.Example:8443", "allowed"),
        ("billing.example", "unknown_command"),
        ("orders.example.evil.example", "unknown_command"),
        ("", "unknown_command"),
        ("[::1]:80", "unknown_command"),
        ("[::1]x", "ambiguous_request"),
    ] {
        assert_eq!(request(&policy, "GET", "/v1/orders", &[(":authority", host)]).code(), code, "{host}");
    }
}

#[test]
fn upgrades_and_other_forms_are_other_requests() {
    assert_eq!(
        request(&document(), "GET", "/v1/orders", &[("connection", "upgrade"), ("upgrade", "websocket")]).code(),
        "unknown_command"
    );
    assert_eq!(request(&document(), "GET", "/v1/orders", &[("upgrade", "foo")]).code(), "unknown_command");
    assert_eq!(request(&document(), "GET", "/v1/orders", &[(":protocol", "websocket")]).code(), "unknown_command");
    let open = with(document(), "/commands/orders.list/http/upgrade", json!(true));
    assert_eq!(request(&open, "GET", "/v1/orders", &[("upgrade", "websocket")]).code(), "allowed");

    let grpc = |method: &str, kind: &str| {
        request(&document(), method, "/users.v1.Users/Get", &[("content-type", kind)]).code().to_owned()
    };
    assert_eq!(grpc("POST", "application/grpc"), "allowed");
    assert_eq!(grpc("POST", "application/grpc+proto"), "allowed");
    for kind in [
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
        "application/proto",
        "application/json",
        "application/connect+proto",
        "",
    ] {
        assert_eq!(grpc("POST", kind), "unknown_command", "{kind}");
    }
    assert_eq!(grpc("GET", "application/grpc"), "unknown_command");
    // A wider HTTP command does not open the other forms of the same method.
    let wide = with(document(), "/commands/any", json!({"http": {"methods": ["GET", "POST"], "path": "/{*rest}"}}));
    let wide = with(wide, "/grants/0/allow", json!(["any", "users.get"]));
    for (method, path) in [("GET", "/users.v1.Users/Get?message=e30"), ("POST", "/users.v1.Users/Get")] {
        assert_eq!(request(&wide, method, path, &[("content-type", "application/json")]).code(), "unknown_command");
    }
    assert_eq!(request(&wide, "POST", "/users.v1.Users/Other", &[("content-type", "application/json")]).code(), "allowed");
}

#[test]
fn unmediated_commands_need_no_session_and_get_nothing() {
    let mut policy = document();
    policy["upstream"] = json!({"credential": {"header": "x-api-key", "value": "${env:ORDERS_TOKEN}"}});
    let policy = compile(&policy);
    let answer = ask(
        &policy,
        &mut worker(),
        NOW,
        &head("GET", "/healthz", &[("x-chaperone-session", "forged"), ("authorization", "Bearer x.y.z")]),
    );
    assert_eq!(answer.code(), "allowed");
    assert_eq!(answer.set("x-api-key"), None);
    assert_eq!(answer.set("x-chaperone-session"), None);
    assert!(answer.removes("x-chaperone-session"));
    assert!(answer.removes("authorization"), "not our caller, but not the upstream's token either");
    assert_eq!(answer.set("x-chaperone-command").as_deref(), Some("health"));
    assert_eq!(ask(&policy, &mut worker(), NOW, &head("POST", "/healthz", &[])).code(), "token_missing");
}

#[test]
fn grants_and_the_tokens_own_list_both_hold_a_command() {
    assert_eq!(request(&document(), "POST", "/v1/orders/7/cancel", &[]).code(), "command_not_granted");
    assert_eq!(with_claims(json!({"sub": "human"})), "command_not_granted");
    assert_eq!(with_claims(json!({"sub": "agent-7/x"})), "command_not_granted");
    assert_eq!(with_claims(json!({"commands": ["orders.*"]})), "allowed");
    assert_eq!(with_claims(json!({"commands": ["orders.read"]})), "command_not_in_token");
    assert_eq!(with_claims(json!({"commands": []})), "command_not_in_token");
    let details = |actions: Value| json!({"authorization_details": [{"type": "chaperone", "actions": actions}]});
    assert_eq!(with_claims(details(json!(["orders.list"]))), "allowed");
    assert_eq!(with_claims(details(json!(["orders.read"]))), "command_not_in_token");
    // A token that lists what is not granted is still not granted.
    let wide = token(&claims_with(json!({"commands": ["*"]})));
    let fields = head("POST", "/v1/orders/7/cancel", &[("authorization", &format!("Bearer {wide}"))]);
    assert_eq!(ask(&compile(&document()), &mut worker(), NOW, &fields).code(), "command_not_granted");

    let required = compile(&with(document(), "/session/token_commands", json!("required")));
    assert_eq!(get(&required, "/v1/orders", &token(&claims())).code(), "command_not_in_token");
    assert_eq!(get(&required, "/v1/orders", &token(&claims_with(json!({"commands": ["orders.list"]})))).code(), "allowed");
}

#[test]
fn grants_hold_when_all_their_conditions_do() {
    let claims = claims_with(
        json!({"role": "support", "groups": ["a", "oncall-eu"], "level": 3, "act": {"sub": "bot", "act": {"sub": "first"}}}),
    );
    let code =
        |when: Value| get(&compile(&with(document(), "/grants/0/when", when)), "/v1/orders", &token(&claims)).code().to_owned();
    for when in [
        json!({"subject": "agent-7"}),
        json!({"subject": "agent-*"}),
        json!({"session": "s-*"}),
        json!({"agent": "bot"}),
        json!({"issuer": "https://broker.example"}),
        json!({"claims": {"role": "support"}}),
        json!({"claims": {"groups": "oncall-*", "role": "sup*"}}),
        json!({"issuer": "https://broker.example", "subject": "agent-*", "agent": "bot", "claims": {"role": "support"}}),
    ] {
        assert_eq!(code(when.clone()), "allowed", "{when}");
    }
    for when in [
        json!({"subject": "agent-8"}),
        json!({"subject": "agent-7", "session": "s-2"}),
        json!({"agent": "first"}),
        json!({"agent": "bo"}),
        json!({"claims": {"role": "admin"}}),
        json!({"claims": {"role": "support", "groups": "b"}}),
        json!({"claims": {"level": "3"}}),
        json!({"claims": {"missing": "*"}}),
    ] {
        assert_eq!(code(when.clone()), "command_not_granted", "{when}");
    }
}

#[test]
fn a_grants_own_lifetime_only_tightens() {
    let two = |first: Value, second: Value| {
        let grant = |name: &str, max: Value| {
            let mut grant = json!({"name": name, "when": {"subject": "agent-*"}, "allow": ["orders.list"]});
            if !max.is_null() {
                grant["max_lifetime"] = max;
            }
            grant
        };
        compile(&with(document(), "/grants", json!([grant("short", first), grant("long", second)])))
    };
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
    let at = |policy, seconds| ask(policy, &mut worker(), NOW + seconds, &fields);
    let policy = two(json!("1m"), json!("5m"));
    let answer = at(&policy, 59);
    assert_eq!(
        (answer.record["unmapped"]["grant"].as_str(), answer.set("x-chaperone-expires-at")),
        (Some("short"), Some((NOW + 60).to_string()))
    );
    let answer = at(&policy, 60);
    assert_eq!(
        (answer.record["unmapped"]["grant"].as_str(), answer.set("x-chaperone-expires-at")),
        (Some("long"), Some((NOW + 300).to_string()))
    );
    assert_eq!(at(&policy, 300).code(), "lifetime_exceeded");
    let wide = two(json!("8h"), Value::Null);
    assert_eq!(at(&wide, 0).set("x-chaperone-expires-at"), Some((NOW + 600).to_string()));
    assert_eq!(at(&wide, 600).code(), "expired");
}

#[test]
fn the_credential_comes_from_the_environment_or_not_at_all() {
    let policy = compile(&with(
        document(),
        "/upstream",
        json!({"credential": {"header": "authorization", "value": "Bearer ${env:ORDERS_TOKEN}"}}),
    ));
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
    let answer = ask(&policy, &mut worker(), NOW, &fields);
    assert_eq!(answer.set("authorization").as_deref(), Some("Bearer upstream-secret"));
    assert_eq!(answer.record["unmapped"]["credential_ref"], "env:ORDERS_TOKEN");
    assert!(!format!("{answer:?}").contains("upstream-secret"), "not in a Debug");
    let mut bare = Worker::new([0; 16], [0; 32], BTreeMap::new());
    let answer = ask(&policy, &mut bare, NOW, &fields);
    assert_eq!((answer.code(), &answer.record["status_detail"]), ("credential_unavailable", &json!("env:ORDERS_TOKEN")));
}

#[test]
fn the_token_is_forwarded_only_when_asked() {
    assert!(request(&document(), "GET", "/v1/orders", &[]).removes("authorization"));
    let forward = with(document(), "/upstream", json!({"forward_token": true}));
    assert!(!request(&forward, "GET", "/v1/orders", &[]).removes("authorization"));
}

#[test]
fn forged_and_overriding_headers_are_removed() {
    let answer = request(
        &document(),
        "GET",
        "/v1/orders",
        &[
            ("X-Chaperone-Subject", "root"),
            ("x_chaperone_session", "s-0"),
            ("x-http-method-override", "DELETE"),
            ("x-other", "kept"),
        ],
    );
    for name in ["X-Chaperone-Subject", "x_chaperone_session", "x-http-method-override"] {
        assert!(answer.removes(name), "{name}");
    }
    assert!(!answer.removes("x-other"));
    assert_eq!(answer.set("x-chaperone-subject").as_deref(), Some("agent-7"));
    let renamed = with(document(), "/audit", json!({"header_prefix": "x-mediated-"}));
    let answer = request(&renamed, "GET", "/v1/orders", &[("x-mediated-subject", "root")]);
    assert!(answer.removes("x-mediated-subject"));
    assert_eq!(answer.set("x-mediated-subject").as_deref(), Some("agent-7"));
}

#[test]
fn observe_decides_and_records_and_changes_nothing_but_audit_headers() {
    let mut policy = with(document(), "/mode", json!("observe"));
    policy["upstream"] = json!({"credential": {"header": "x-api-key", "value": "${env:ORDERS_TOKEN}"}});
    let policy = compile(&policy);
    let ask = |path: &str, extra: &[(&str, &str)]| ask(&policy, &mut worker(), NOW, &head("GET", path, extra));
    let bearer = format!("Bearer {}", token(&claims()));
    let good = ask("/v1/orders", &[("authorization", &bearer), ("x-original-url", "/x")]);
    assert_eq!(good.set("x-chaperone-decision").as_deref(), Some("allow"));
    assert_eq!(good.set("x-api-key"), None);
    assert!(!good.removes("authorization") && !good.removes("x-original-url"));
    for (path, extra, reason) in [
        ("/v1/orders", vec![], "token_missing"),
        ("/v1/../x", vec![], "ambiguous_request"),
        ("/v1/other", vec![("authorization", bearer.as_str())], "unknown_command"),
    ] {
        let answer = ask(path, &extra);
        assert_eq!(answer.set("x-chaperone-decision").as_deref(), Some("observed-deny"), "{path}");
        assert_eq!(answer.set("x-chaperone-reason").as_deref(), Some(reason));
        assert_eq!(answer.set("x-api-key"), None);
        assert_eq!(answer.record["unmapped"]["decision"], "observed-deny");
        assert_eq!(answer.record["status_code"], reason);
    }
    assert!(ask("/v1/orders", &[("x-chaperone-session", "forged")]).removes("x-chaperone-session"));
}

#[test]
fn an_observed_reason_is_recorded_and_later_checks_still_deny() {
    let mut policy = with(document(), "/observe", json!(["command_not_in_token"]));
    policy["upstream"] = json!({"credential": {"header": "x-api-key", "value": "${env:ORDERS_TOKEN}"}});
    let policy = compile(&policy);
    let narrow = format!("Bearer {}", token(&claims_with(json!({"commands": ["nothing"]}))));
    let ask = |method: &str, path: &str| ask(&policy, &mut worker(), NOW, &head(method, path, &[("authorization", &narrow)]));
    let observed = ask("GET", "/v1/orders");
    assert_eq!(observed.set("x-chaperone-decision").as_deref(), Some("observed-deny"));
    assert_eq!(observed.set("x-chaperone-reason").as_deref(), Some("command_not_in_token"));
    assert_eq!(observed.set("x-api-key"), None, "never a credential");
    assert!(observed.removes("authorization"), "the token is stripped all the same");
    assert_eq!(ask("POST", "/v1/orders/7/cancel").code(), "command_not_granted");
    assert!(ask("POST", "/v1/orders/7/cancel").forwarded.is_none());
    assert_eq!(ask("GET", "/v1/other").code(), "unknown_command");

    let unknown = compile(&with(document(), "/observe", json!(["unknown_command"])));
    let answer = get(&unknown, "/v1/other", &token(&claims()));
    assert_eq!((answer.code(), answer.forwarded.is_some()), ("unknown_command", true));
    assert_eq!(get(&unknown, "/v1/other", "x.y.z").code(), "token_malformed");
}

#[test]
fn clients_learn_little_before_their_token_is_verified() {
    let policy = compile(&with(
        document(),
        "/tokens/resource_metadata",
        json!("https://orders.example/.well-known/oauth-protected-resource"),
    ));
    let denied = |extra: &[(&str, &str)]| ask(&policy, &mut worker(), NOW, &head("GET", "/v1/orders", extra)).denied.unwrap();
    let field = |headers: &[(String, String)], name: &str| {
        headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    };
    const METADATA: &str = "resource_metadata=\"https://orders.example/.well-known/oauth-protected-resource\"";

    let (status, headers, body) = denied(&[]);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["reason"].as_str(), body["status"].as_u64()), (401, Some("token_missing"), Some(401)));
    assert_eq!(field(&headers, "www-authenticate"), Some(format!("Bearer {METADATA}")));
    assert_eq!(field(&headers, "content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(body["audit_id"].as_str().map(str::to_owned), field(&headers, "x-chaperone-audit-id"));

    let forged = token_of(&json!({"alg": "ES256", "kid": "k1"}), &claims(), "bad");
    let (status, headers, body) = denied(&[("authorization", &format!("Bearer {forged}"))]);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["reason"].as_str()), (401, Some("token_rejected")));
    assert!(field(&headers, "www-authenticate").unwrap().starts_with("Bearer error=\"invalid_token\""));

    let expired = token(&claims_with(json!({"iat": NOW - 600, "exp": NOW})));
    let (status, _, body) = denied(&[("authorization", &format!("Bearer {expired}"))]);
    assert_eq!((status, body.contains("\"reason\":\"expired\"")), (401, true));

    let narrow = token(&claims_with(json!({"commands": []})));
    let (status, headers, _) = denied(&[("authorization", &format!("Bearer {narrow}"))]);
    assert_eq!(status, 403);
    assert!(field(&headers, "www-authenticate").unwrap().contains("insufficient_scope"));

    let (status, headers, body) = denied(&[("content-type", "application/grpc")]);
    assert_eq!((status, field(&headers, "content-type")), (401, None));
    assert_eq!(body, "token_missing: A session token is required");
}

#[test]
fn the_record_names_nobody_who_was_not_verified() {
    let forged = token_of(&json!({"alg": "ES256", "kid": "k1"}), &claims(), "bad");
    let record = get(&compile(&document()), "/v1/orders/7?secret=1", &forged).record;
    assert_eq!(record["status_code"], "signature_invalid");
    assert_eq!(record["actor"], json!({"user": {"type_id": 0}}));
    assert_eq!(record["api"]["operation"], "orders.read");
    assert_eq!(record["http_request"]["url"]["path"], "/v1/orders/7");
    assert_eq!(record["src_endpoint"], json!({"ip": "10.0.0.7", "port": 4711}));
    assert!(!record.to_string().contains(&forged) && !record.to_string().contains("secret"));
    assert_eq!(record["class_uid"], 6003);
    assert_eq!(record["type_uid"], 600_302);
}

#[test]
fn records_of_a_worker_have_no_gap() {
    let policy = compile(&document());
    let mut worker = worker();
    let fields = head("GET", "/v1/orders", &[]);
    let sequence: Vec<Value> =
        (0..3).map(|_| ask(&policy, &mut worker, NOW, &fields).record["unmapped"]["sequence"].clone()).collect();
    assert_eq!(sequence, [json!(0), json!(1), json!(2)]);
}

#[test]
fn responses_lose_forged_headers_and_say_the_audit_id_of_their_request() {
    use chaperone_policy::{Decision, End, Exchange, Head, Timestamp};
    let policy = compile(&document());
    let mut worker = worker();
    let mut exchange = Exchange::begin(Rc::clone(&policy));
    let forged: [(&[u8], &[u8]); 2] = [(b"X-Chaperone-Audit-Id", b"forged"), (b"x-other", b"kept")];
    assert!(exchange.response_edits(&forged, false).set().next().is_none(), "nothing was judged yet");
    assert_eq!(exchange.response_edits(&forged, false).removed().collect::<Vec<_>>(), [b"X-Chaperone-Audit-Id"]);
    let fields = head("GET", "/healthz", &[]);
    let fields: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let request = Head { headers: &fields, ..Head::default() };
    let at = Timestamp::from_seconds(NOW);
    let Decision::Forward(permit) = exchange.request(&request, &mut worker, &support::context(&policy, at)) else {
        panic!("allowed")
    };
    assert_eq!(permit.observed(), None);
    let record: Value = serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap();
    let edits = exchange.response_edits(&forged, false);
    assert_eq!(edits.removed().collect::<Vec<_>>(), [b"X-Chaperone-Audit-Id"]);
    let audit_id = record["metadata"]["uid"].as_str().unwrap().as_bytes();
    assert_eq!(edits.set().collect::<Vec<_>>(), [(b"x-chaperone-audit-id".as_slice(), audit_id)]);
    assert_eq!(exchange.response_trailer_edits(&forged).removed().collect::<Vec<_>>(), [b"X-Chaperone-Audit-Id"]);
    // Asked twice, or failed by the proxy after it was allowed: denied, under the same id, and on record as denied.
    let Decision::Refuse(denial) = exchange.request(&request, &mut worker, &support::context(&policy, at)) else {
        panic!("judged twice")
    };
    assert_eq!(denial.reason().code(), "internal_error");
    let after: Value = serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap();
    assert_eq!(after["status_code"], "internal_error");
    assert_eq!(after["metadata"]["uid"], record["metadata"]["uid"]);
    assert_eq!(after["unmapped"]["sequence"], 0);

    let observe = compile(&with(document(), "/mode", json!("observe")));
    let bare = head("GET", "/v1/orders", &[]);
    let bare: Vec<(&[u8], &[u8])> = bare.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(&observe));
    let answer = exchange.request(&Head { headers: &bare, ..Head::default() }, &mut worker, &support::context(&observe, at));
    let Decision::Forward(permit) = answer else { panic!("observed") };
    assert_eq!(permit.observed().map(|reason| reason.code()), Some("token_missing"));
}
