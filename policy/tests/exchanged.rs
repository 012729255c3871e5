//! Credentials that are had for the session's own token: what is asked, what is taken of an answer, who waits and for how long.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::collections::BTreeMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chaperone_policy::{
    Answer, Decision, End, Exchange, Failure, Fetch, Given, Head, LocalState, Need, Policy, Secret, Timestamp, Worker, limits,
};
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};
use support::{NOW, claims, compile, context, document, token, token_of, with};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SECRET: &str = "canary of the client: ü&=";

fn exchange() -> Value {
    json!({"cluster": "sts", "authority": "sts.example", "path": "/token", "audience": "orders-api",
        "resource": "https://orders.example", "scope": "orders.read", "client": {"id": "chap erone", "secret": "${env:STS_SECRET}"}})
}

fn policy_with(exchange: Value) -> Value {
    with(document(), "/upstream", json!({"credential": {"exchange": exchange}}))
}

struct Bench {
    policy: Rc<Policy>,
    worker: Worker,
    now: u64,
}

/// A request, and what became of it.
struct Asked {
    exchange: Exchange,
    fields: Vec<(&'static str, String)>,
    decision: Decision,
}

impl Asked {
    fn code(&self) -> String {
        match &self.decision {
            Decision::Hold(_) => "waits".to_owned(),
            Decision::Forward(permit) => permit.observed().map_or("allowed", |reason| reason.code()).to_owned(),
            Decision::Refuse(denial) => denial.reason().code().to_owned(),
        }
    }

    fn given(&self) -> Option<String> {
        let Decision::Forward(permit) = &self.decision else { return None };
        let found = permit.edits().set().find(|(name, _)| *name == b"authorization")?;
        Some(String::from_utf8(found.1.to_vec()).unwrap())
    }
}

fn good(token: &str) -> Value {
    json!({"access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300})
}

impl Bench {
    fn new(document: &Value) -> Self {
        let environment = BTreeMap::from([("STS_SECRET".to_owned(), Secret::new(SECRET.to_owned()))]);
        Self::within(document, environment)
    }

    fn within(document: &Value, environment: BTreeMap<String, Secret>) -> Self {
        let mut worker = Worker::new([7; 16], [9; 32], environment);
        worker.share(Rc::new(LocalState::default()));
        Self { policy: compile(document), worker, now: NOW }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_seconds(self.now)
    }

    fn ask(&mut self, token: &str) -> Asked {
        self.ask_with(token, &[])
    }

    fn ask_with(&mut self, token: &str, more: &[(&'static str, &str)]) -> Asked {
        let mut fields = vec![(":method", "GET".to_owned()), (":path", "/v1/orders".to_owned())];
        fields.extend((!token.is_empty()).then(|| ("authorization", format!("Bearer {token}"))));
        fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&self.policy));
        let head = Head { headers: &headers, ..Head::default() };
        let decision = exchange.request(&head, &mut self.worker, &context(&self.policy, Timestamp::from_seconds(self.now)));
        Asked { exchange, fields, decision }
    }

    fn go_on(&mut self, asked: &mut Asked) -> String {
        let headers: Vec<(&[u8], &[u8])> = asked.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let now = self.at();
        asked.decision = asked.exchange.resume(&Given::Nothing, &headers, &mut self.worker, &context(&self.policy, now));
        asked.code()
    }

    fn wanted(&mut self) -> Vec<Fetch> {
        self.worker.wanted().fetches
    }

    fn answer(&mut self, fetch: &Fetch, status: u16, body: &str) -> Result<(), Failure> {
        let answer = Answer::Response { status, body: body.as_bytes() };
        self.told(fetch, answer).expect("it is waited for")
    }

    fn told(&mut self, fetch: &Fetch, answer: Answer<'_>) -> Option<Result<(), Failure>> {
        let now = self.at();
        let report = self.worker.fetched(fetch.ticket, answer, now, &support::Marked)?;
        assert!(!report.to_string().contains("canary"), "{report}");
        Some(report.result().map(drop))
    }

    /// One request has a token of the session got for it.
    fn get(&mut self, of: &str, gets: &str) {
        assert_eq!(self.ask(of).code(), "waits");
        let wanted = self.wanted();
        assert_eq!(wanted.len(), 1);
        self.answer(&wanted[0], 200, &good(gets).to_string()).unwrap();
    }
}

fn form(fetch: &Fetch) -> BTreeMap<String, String> {
    let body = String::from_utf8(fetch.post.as_ref().unwrap().body.clone()).unwrap();
    let plain = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => {
                    let hex: String = [rest.next().unwrap(), rest.next().unwrap()].map(char::from).iter().collect();
                    bytes.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                other => bytes.push(other),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    body.split('&').map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (name.to_owned(), plain(value))).collect()
}

#[test]
fn the_sessions_token_is_sent_as_rfc_8693_has_it() {
    let mut bench = Bench::new(&policy_with(exchange()));
    let of = token(&claims());
    let asked = bench.ask(&of);
    assert!(matches!(asked.exchange.waits_for(), Some(Need::Credential(_))));
    let wanted = bench.wanted();
    let fetch = &wanted[0];
    assert_eq!((&*fetch.cluster, &*fetch.authority, &*fetch.path), ("sts", "sts.example", "/token"));
    assert_eq!((fetch.accept, fetch.timeout.as_secs(), fetch.most_bytes), ("application/json", 2, 64 * 1024));
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", &of),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("requested_token_type", ACCESS_TOKEN),
        ("audience", "orders-api"),
        ("resource", "https://orders.example"),
        ("scope", "orders.read"),
    ];
    assert_eq!(form(fetch), expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let post = fetch.post.as_ref().unwrap();
    assert_eq!(post.content_type, "application/x-www-form-urlencoded");
    let basic = String::from_utf8(post.authorization.clone().unwrap()).unwrap();
    let pair = STANDARD.decode(basic.strip_prefix("Basic ").unwrap()).unwrap();
    assert_eq!(String::from_utf8(pair).unwrap(), "chap%20erone:canary%20of%20the%20client%3A%20%C3%BC%26%3D");
    assert!(!format!("{fetch:?}").contains("canary") && !format!("{fetch:?}").contains(&of));
    // By RFC 7523.
    let mut other = exchange();
    other["grant"] = json!("jwt_bearer");
    let mut bench = Bench::new(&policy_with(other));
    assert_eq!(bench.ask(&of).code(), "waits");
    let form = form(&bench.wanted()[0]);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!((&form["assertion"], form.get("subject_token"), &*form["audience"]), (&of, None, "orders-api"));
}

#[test]
fn a_client_shows_itself_by_an_assertion() {
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let pem = key.to_pkcs8_pem(p256::pkcs8::LineEnding::LF).unwrap().to_string();
    let mut asks = exchange();
    asks["client"] =
        json!({"id": "chaperone", "private_key": "${env:STS_KEY}", "key_id": "k1", "audience": "https://sts.example/token"});
    let document = policy_with(asks);
    let mut seen = Vec::new();
    for written in [pem.clone(), pem.replace('\n', "\\n"), pem.replace('\n', "\r\n")] {
        let environment = BTreeMap::from([("STS_KEY".to_owned(), Secret::new(written))]);
        let mut bench = Bench::within(&document, environment);
        for session in ["s-1", "s-2"] {
            let mut claims = claims();
            claims["sid"] = json!(session);
            assert_eq!(bench.ask(&token(&claims)).code(), "waits");
            let fetch = bench.wanted().remove(0);
            assert_eq!(fetch.post.as_ref().unwrap().authorization, None);
            let form = form(&fetch);
            assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            assert_eq!(form["client_id"], "chaperone");
            let parts: Vec<&str> = form["client_assertion"].split('.').collect();
            let json = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
            assert_eq!(json(parts[0]), json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}));
            let said = json(parts[1]);
            assert_eq!((&said["iss"], &said["sub"]), (&json!("chaperone"), &json!("chaperone")));
            assert_eq!(
                (&said["aud"], &said["iat"], &said["exp"]),
                (&json!("https://sts.example/token"), &json!(NOW), &json!(NOW + 60))
            );
            seen.push(said["jti"].as_str().unwrap().to_owned());
            let signature = p256::ecdsa::Signature::from_slice(&URL_SAFE_NO_PAD.decode(parts[2]).unwrap()).unwrap();
            key.verifying_key().verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).unwrap();
        }
    }
    assert_ne!(seen[0], seen[1], "each is another");
    assert!(seen[0].len() >= 40);
    // What cannot be signed is not asked, and it is said whose fault it is: by name alone.
    for (value, says) in [
        (None, "a variable of the environment is missing: STS_KEY"),
        (Some(""), "a variable of the environment is missing: STS_KEY"),
        (Some("canary"), "a variable of the environment holds no P-256 key in PKCS #8 PEM: STS_KEY"),
    ] {
        let environment = value.map(|value| ("STS_KEY".to_owned(), Secret::new(value.to_owned()))).into_iter().collect();
        let mut bench = Bench::within(&document, environment);
        assert_eq!(bench.ask(&token(&claims())).code(), "credential_unavailable");
        assert!(bench.worker.is_wanting());
        let due = bench.worker.wanted();
        assert!(due.fetches.is_empty() && !bench.worker.is_wanting());
        let said = due.lost[0].to_string();
        assert!(said.ends_with(says) && due.lost[0].is_news(), "{said}");
        assert_eq!(bench.worker.fetch_counts().exchanges_failed, 1);
    }
}

/// What a field has may become such a token after its head was let through.
#[test]
fn a_head_that_is_known_loses_a_token_that_has_been_had_since() {
    let of = token(&claims());
    let environment = [("STS_SECRET", SECRET), ("KEY", "the key of the target")];
    let environment = environment.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))).into();
    let mut bench = Bench::within(&policy_with(exchange()), environment);
    let exchanging = Rc::clone(&bench.policy);
    let keyed = compile(&with(document(), "/upstream", json!({"credential": {"header": "x-key", "value": "${env:KEY}"}})));
    let loses = |asked: &Asked| {
        let Decision::Forward(permit) = &asked.decision else { panic!("{}", asked.code()) };
        permit.edits().removed().any(|name| name == b"x-note")
    };
    let more = [("x-note", "Bearer had")];
    bench.policy = Rc::clone(&keyed);
    for _ in 0..4 {
        assert!(!loses(&bench.ask_with(&of, &more)));
    }
    assert!(bench.worker.counts().followed > 0, "its head is known");
    bench.policy = exchanging;
    let _waits = bench.ask(&of);
    let wanted = bench.wanted();
    bench.answer(&wanted[0], 200, &good("had").to_string()).unwrap();
    bench.policy = keyed;
    assert!(loses(&bench.ask_with(&of, &more)));
}

#[test]
fn what_comes_is_given_to_all_that_wait_and_to_those_after_them() {
    let mut bench = Bench::new(&policy_with(exchange()));
    let of = token(&claims());
    let mut waiting: Vec<Asked> = (0..limits::EXCHANGE_WAITING).map(|_| bench.ask(&of)).collect();
    assert!(waiting.iter().all(|asked| asked.code() == "waits"));
    assert_eq!(bench.ask(&of).code(), "overloaded", "the room is bounded");
    let wanted = bench.wanted();
    assert_eq!(wanted.len(), 1, "one flight");
    // Who is asked about again waits once.
    assert!(waiting.iter_mut().all(|asked| bench.go_on(asked) == "waits"));
    drop(waiting.pop());
    waiting.push(bench.ask(&of));
    assert_eq!((waiting.last().unwrap().code(), bench.ask(&of).code()), ("waits".to_owned(), "overloaded".to_owned()));
    bench.answer(&wanted[0], 200, &good("canary-1").to_string()).unwrap();
    assert_eq!(bench.worker.fetch_counts().tokens_exchanged, 1);
    for asked in &mut waiting {
        assert_eq!(bench.go_on(asked), "allowed");
        assert_eq!(asked.given().as_deref(), Some("Bearer canary-1"));
        let record = asked.exchange.record(&End::default()).unwrap();
        assert!(!record.contains("canary"), "{record}");
        assert!(record.contains(r#""credential_ref":"exchange:sts:orders-api""#), "{record}");
    }
    drop(waiting);
    assert_eq!(bench.ask(&of).given().as_deref(), Some("Bearer canary-1"));
    assert!(bench.wanted().is_empty());
    // The answer is told once.
    assert!(bench.told(&wanted[0], Answer::Nothing).is_none());
}

#[test]
fn each_token_and_each_target_has_its_own() {
    let mut both = policy_with(exchange());
    let mut other = exchange();
    other["audience"] = json!("cancel-api");
    both["upstream"]["credential"] = json!([{"exchange": exchange()}, {"for": ["orders.read"], "exchange": other}]);
    let mut bench = Bench::new(&both);
    let mut acted = claims();
    acted["act"] = json!({"sub": "tool-1"});
    let (plain, acted) = (token(&claims()), token(&acted));
    bench.get(&plain, "for-plain");
    bench.get(&acted, "for-acted");
    assert_eq!(bench.ask(&plain).given().as_deref(), Some("Bearer for-plain"));
    assert_eq!(bench.ask(&acted).given().as_deref(), Some("Bearer for-acted"));
    // A policy that asks for the same is given the same, another not.
    bench.policy = compile(&with(both.clone(), "/generation", json!(2)));
    bench.worker.hold_for(&[Rc::clone(&bench.policy)]);
    assert_eq!(bench.ask(&plain).given().as_deref(), Some("Bearer for-plain"));
    both["upstream"]["credential"][0]["exchange"]["scope"] = json!("orders.write");
    bench.policy = compile(&both);
    bench.worker.hold_for(&[Rc::clone(&bench.policy)]);
    assert_eq!(bench.ask(&plain).code(), "waits");
}

#[test]
fn an_answer_is_read_strictly() {
    let jwt = |payload: Value| token_of(&json!({"alg": "RS256"}), &payload, "any");
    let changed = |name: &str, value: Value| {
        let mut answer = good("canary-1");
        if value.is_null() {
            drop(answer.as_object_mut().unwrap().remove(name));
        } else {
            answer[name] = value;
        }
        answer.to_string()
    };
    let token_is = |token: &str| changed("access_token", json!(token));
    let mine = token(&claims());
    let long = "x".repeat(limits::EXCHANGED_TOKEN_BYTES);
    for (answer, expected) in [
        (changed("scope", json!("orders.read")), Ok(())),
        (changed("token_type", json!("bearer")), Ok(())),
        (changed("issued_token_type", json!("urn:ietf:params:oauth:token-type:jwt")), Ok(())),
        (token_is(&long), Ok(())),
        (token_is(&jwt(json!({"aud": "orders-api", "exp": NOW + 60}))), Ok(())),
        (token_is(&jwt(json!({"aud": ["x", "orders-api"]}))), Ok(())),
        (token_is(&jwt(json!({"sub": "s"}))), Err(Failure::AnotherAudience)),
        (token_is("opaque.with.points"), Ok(())),
        // What others may read otherwise than we do.
        (token_is(&token_of(&json!({"typ": "at+jwt"}), &json!({"aud": "orders-api"}), "any")), Err(Failure::TokenUnusable)),
        (token_is("eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJvcmRlcnMtYXBpIiwiYXVkIjoieCJ9.YW55"), Err(Failure::TokenUnusable)),
        (token_is("eyJhbGciOiJSUzI1NiJ9.e30"), Err(Failure::TokenUnusable)),
        (changed("error", json!("invalid_grant")), Err(Failure::Malformed)),
        ("garbage".to_owned(), Err(Failure::Malformed)),
        ("[]".to_owned(), Err(Failure::Malformed)),
        (String::new(), Err(Failure::Malformed)),
        (format!("{} {{}}", good("x")), Err(Failure::Malformed)),
        (good("x").to_string().replacen('{', r#"{"access_token":"y","#, 1), Err(Failure::Malformed)),
        (changed("access_token", Value::Null), Err(Failure::Malformed)),
        (changed("access_token", json!(7)), Err(Failure::Malformed)),
        (token_is(""), Err(Failure::TokenUnusable)),
        (token_is("a b"), Err(Failure::TokenUnusable)),
        (token_is("a\r\nx-evil: 1"), Err(Failure::TokenUnusable)),
        (token_is("a\nb"), Err(Failure::TokenUnusable)),
        (token_is("a\0"), Err(Failure::TokenUnusable)),
        (token_is("ä"), Err(Failure::TokenUnusable)),
        (token_is(&format!("{long}x")), Err(Failure::TokenUnusable)),
        (token_is(&mine), Err(Failure::TokenUnusable)),
        (changed("token_type", json!("DPoP")), Err(Failure::WrongType)),
        (changed("token_type", Value::Null), Err(Failure::WrongType)),
        (changed("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")), Err(Failure::WrongType)),
        (changed("issued_token_type", Value::Null), Err(Failure::WrongType)),
        (changed("expires_in", Value::Null), Err(Failure::NoEnd)),
        (changed("expires_in", json!(0)), Err(Failure::NoEnd)),
        (changed("expires_in", json!(-1)), Err(Failure::NoEnd)),
        (changed("expires_in", json!("300")), Err(Failure::NoEnd)),
        (changed("expires_in", json!(1.5)), Err(Failure::NoEnd)),
        (token_is(&jwt(json!({"aud": "others-api"}))), Err(Failure::AnotherAudience)),
        (token_is(&jwt(json!({"aud": ["x", "y"]}))), Err(Failure::AnotherAudience)),
        (token_is(&jwt(json!({"aud": {"orders-api": 1}}))), Err(Failure::AnotherAudience)),
        (token_is(&jwt(json!({"aud": "orders-api", "exp": NOW}))), Err(Failure::Expired)),
        (token_is(&jwt(json!({"aud": "orders-api", "exp": "soon"}))), Err(Failure::Malformed)),
    ] {
        let mut bench = Bench::new(&policy_with(exchange()));
        let mut asked = bench.ask(&mine);
        let fetch = bench.wanted().remove(0);
        assert_eq!(bench.answer(&fetch, 200, &answer), expected, "{answer}");
        let code = if expected.is_ok() { "allowed" } else { "credential_unavailable" };
        assert_eq!(bench.go_on(&mut asked), code, "{answer}");
    }
    for (answer, expected) in [
        (Answer::Response { status: 500, body: good("x").to_string().as_bytes() }, Failure::Status(500)),
        (Answer::Response { status: 201, body: good("x").to_string().as_bytes() }, Failure::Status(201)),
        (Answer::Response { status: 302, body: b"" }, Failure::Status(302)),
        (Answer::Response { status: 200, body: &vec![b' '; limits::EXCHANGE_ANSWER_BYTES + 1] }, Failure::TooLarge),
        (Answer::TooLarge, Failure::TooLarge),
        (Answer::Nothing, Failure::NoAnswer),
    ] {
        let mut bench = Bench::new(&policy_with(exchange()));
        let mut asked = bench.ask(&mine);
        let fetch = bench.wanted().remove(0);
        assert_eq!(bench.told(&fetch, answer), Some(Err(expected)));
        assert_eq!(bench.go_on(&mut asked), "credential_unavailable");
    }
    // RFC 7523 has no `issued_token_type`.
    let mut other = exchange();
    other["grant"] = json!("jwt_bearer");
    let mut bench = Bench::new(&policy_with(other));
    let mut asked = bench.ask(&mine);
    let fetch = bench.wanted().remove(0);
    bench.answer(&fetch, 200, &changed("issued_token_type", Value::Null)).unwrap();
    assert_eq!(bench.go_on(&mut asked), "allowed");
}

#[test]
fn a_token_is_held_until_shortly_before_its_end_and_no_longer_than_its_session() {
    let mine = token(&claims());
    let until = |answer: Value, session: Value| {
        let mut bench = Bench::new(&with(policy_with(exchange()), "/session", session));
        assert_eq!(bench.ask(&mine).code(), "waits");
        let fetch = bench.wanted().remove(0);
        bench.answer(&fetch, 200, &answer.to_string()).unwrap();
        (1..900)
            .find(|after| {
                bench.now = NOW + after;
                bench.ask(&mine).given().is_none()
            })
            .map(|after| (after, bench.ask(&mine).code()))
    };
    let of = |token: &str, lives: u64| with(good(token), "/expires_in", json!(lives));
    let session = || json!({"max_lifetime": "15m"});
    let waits = "waits".to_owned();
    assert_eq!(until(of("x", 300), session()), Some((270, waits.clone())), "30 seconds before");
    assert_eq!(until(of("x", 100), session()), Some((90, waits.clone())), "a tenth of its life before");
    assert_eq!(until(of("x", 1), session()), Some((1, waits.clone())));
    let jwt = token_of(&json!({"alg": "RS256"}), &json!({"aud": "orders-api", "exp": NOW + 200}), "any");
    assert_eq!(until(of(&jwt, 300), session()), Some((180, waits)), "its own end counts");
    // The session's own end, with the skew within which it goes on.
    assert_eq!(until(of("x", 10_000), session()), Some((600, "expired".to_owned())));
    assert_eq!(until(of("x", 10_000), json!({"max_lifetime": "15m", "clock_skew": "10s"})), Some((610, "expired".to_owned())));
}

#[test]
fn within_the_skew_of_a_sessions_end_nobody_is_asked_over_and_over() {
    let mut bench = Bench::new(&with(policy_with(exchange()), "/session", json!({"max_lifetime": "15m", "clock_skew": "10s"})));
    bench.now = NOW + 605;
    let mine = token(&claims());
    bench.get(&mine, "x");
    assert_eq!(bench.ask(&mine).code(), "allowed");
    assert!(bench.wanted().is_empty());
}

#[test]
fn a_failure_is_remembered_for_a_moment() {
    let mut bench = Bench::new(&policy_with(exchange()));
    let mine = token(&claims());
    let mut waiting = bench.ask(&mine);
    let fetch = bench.wanted().remove(0);
    assert_eq!(bench.answer(&fetch, 500, ""), Err(Failure::Status(500)));
    assert_eq!(bench.go_on(&mut waiting), "credential_unavailable");
    assert_eq!(bench.ask(&mine).code(), "credential_unavailable");
    assert!(bench.wanted().is_empty(), "a storm asks nobody");
    bench.now += 1;
    bench.get(&mine, "x");
    assert_eq!(bench.ask(&mine).code(), "allowed");
    // By ticks, too, where the clock went ahead and came back.
    let mut bench = Bench::new(&policy_with(exchange()));
    assert_eq!(bench.ask(&mine).code(), "waits");
    let fetch = bench.wanted().remove(0);
    let _ = bench.answer(&fetch, 500, "");
    let tick = |bench: &mut Bench, millis: u64| {
        let policy = Rc::clone(&bench.policy);
        bench.worker.due(&policy, Timestamp::from_nanos((NOW - 3600) * 1_000_000_000 + millis * 1_000_000))
    };
    assert!(tick(&mut bench, 0).lost.is_empty());
    tick(&mut bench, 900);
    assert_eq!(bench.ask(&mine).code(), "credential_unavailable");
    tick(&mut bench, 1000);
    assert_eq!(bench.ask(&mine).code(), "waits");
    // Of which nothing is heard: given up a second after its own time.
    let fetch = bench.wanted().remove(0);
    assert!(tick(&mut bench, 2000).lost.is_empty() && tick(&mut bench, 4900).lost.is_empty());
    assert!(bench.worker.awaits(fetch.ticket));
    let lost = tick(&mut bench, 5000).lost;
    assert_eq!((lost.len(), lost[0].result()), (1, Err(Failure::NoAnswer)));
    assert!(!bench.worker.awaits(fetch.ticket));
    assert_eq!(bench.ask(&mine).code(), "credential_unavailable");
}

#[test]
fn failures_fill_no_log() {
    let mut bench = Bench::new(&policy_with(exchange()));
    let mut lines = 0;
    for session in 0..50 {
        let mut claims = claims();
        claims["sid"] = json!(format!("s-{session}"));
        assert_eq!(bench.ask(&token(&claims)).code(), "waits");
        let fetch = bench.wanted().remove(0);
        let now = bench.at();
        let report = bench.worker.fetched(fetch.ticket, Answer::Nothing, now, &support::Marked).unwrap();
        lines += u32::from(report.is_news());
    }
    assert_eq!((lines, bench.worker.fetch_counts().exchanges_failed), (1, 50));
}

#[test]
fn what_was_had_ends_with_its_session() {
    let revoking = |entry: Value| with(policy_with(exchange()), "/revoked", json!([entry]));
    let mine = token(&claims());
    let with_id = |id: &str| {
        let mut claims = claims();
        claims["jti"] = json!(id);
        token(&claims)
    };
    // Before a request of it comes: the policy itself says so.
    let mut bench = Bench::new(&policy_with(exchange()));
    bench.get(&mine, "canary-1");
    let revoked = compile(&revoking(json!({"session": "s-1"})));
    bench.worker.adopt(&revoked);
    assert_eq!(bench.ask(&mine).code(), "waits", "under the policy before: it is had anew");
    // While it waits, and while it is on its way.
    let mut waiting = bench.ask(&mine);
    let fetch = bench.wanted().remove(0);
    bench.policy = Rc::clone(&revoked);
    assert_eq!(bench.go_on(&mut waiting), "revoked");
    assert!(bench.told(&fetch, Answer::Nothing).is_none(), "nobody waits for it any more");
    // By its time: its own token's alone.
    let mut bench = Bench::new(&policy_with(exchange()));
    let (old, new) = (with_id("1"), with_id("2"));
    let mut short = claims();
    short["exp"] = json!(NOW + 50);
    let old_one = token(&short);
    bench.get(&old_one, "old");
    bench.get(&new, "new");
    bench.get(&old, "older");
    bench.now = NOW + 50;
    assert_eq!(bench.ask(&old_one).code(), "expired");
    assert_eq!(bench.ask(&new).code(), "allowed", "who has an old token ends nobody's newer one");
    // By its behaviour: all that the session has, and nobody else's.
    let mut ends = policy_with(exchange());
    ends["end_session_when"] = json!({"denials": {"count": 1, "within": "1m"}});
    let mut bench = Bench::new(&ends);
    let mut others = claims();
    others["sid"] = json!("s-2");
    let others = token(&others);
    bench.get(&old, "old");
    bench.get(&new, "new");
    bench.get(&others, "others");
    let mut asked = bench.ask_with("", &[("authorization", &format!("Bearer {old}"))]);
    assert_eq!(asked.code(), "allowed");
    let fields: Vec<(&[u8], &[u8])> =
        vec![(b":method", b"POST"), (b":path", b"/v1/orders/1/cancel"), (b"authorization", asked.fields[2].1.as_bytes())];
    let policy = Rc::clone(&bench.policy);
    let mut denied = Exchange::begin(Rc::clone(&policy));
    let head = Head { headers: &fields, ..Head::default() };
    let decision = denied.request(&head, &mut bench.worker, &context(&policy, Timestamp::from_seconds(bench.now)));
    assert!(matches!(decision, Decision::Refuse(denial) if denial.reason().code() == "command_not_granted"));
    assert_eq!(bench.ask(&others).code(), "allowed");
    let redirected = ("x-envoy-original-url", "https://orders.example/v1/orders");
    let sent_back =
        |bench: &mut Bench, value: &str| bench.ask_with("", &[("authorization", &format!("Bearer {value}")), redirected]).code();
    assert_eq!(sent_back(&mut bench, "others"), "token_missing", "it is held, and known as ours");
    assert_eq!(sent_back(&mut bench, "old"), "token_malformed", "it is not held any more");
    assert_eq!(sent_back(&mut bench, "new"), "token_malformed");
    let _ = asked.exchange.recheck(&mut bench.worker, &context(&policy, Timestamp::from_seconds(bench.now)), true);
}

#[test]
fn an_open_stream_that_is_cut_lets_go_of_it() {
    let mut bench = Bench::new(&policy_with(exchange()));
    let mine = token(&claims());
    bench.get(&mine, "canary-1");
    let mut asked = bench.ask(&mine);
    assert_eq!(asked.code(), "allowed");
    bench.now = NOW + 600;
    let policy = Rc::clone(&bench.policy);
    let now = bench.at();
    let cut = asked.exchange.recheck(&mut bench.worker, &context(&policy, now), true);
    assert_eq!(cut.map(|reason| reason.code()), Some("expired"));
    bench.now = NOW;
    let redirected = ("x-envoy-original-url", "https://orders.example/v1/orders");
    let back = bench.ask_with("", &[("authorization", "Bearer canary-1"), redirected]);
    assert_eq!(back.code(), "token_malformed", "it is not held any more");
}

#[test]
fn a_redirect_that_brings_it_back_decides_nothing_and_shows_nothing() {
    let mut document = policy_with(exchange());
    document["upstream"]["credential"] = json!({"header": "x-token", "exchange": exchange()});
    document["upstream"]["forward_token"] = json!(true);
    let mut bench = Bench::new(&document);
    let mine = token(&claims());
    bench.get(&mine, "canary-1");
    // As Envoy makes it of a redirect: with the fields as we left them.
    let redirected = ("x-envoy-original-url", "https://orders.example/v1/orders");
    let asked = bench.ask_with(&mine, &[("x-token", "Bearer canary-1"), redirected]);
    assert_eq!(asked.code(), "allowed");
    let with_it = bench.ask_with(&mine, &[redirected, ("referer", "https://orders.example/?t=canary-1")]);
    assert_eq!(with_it.code(), "credential_echoed");
    let record = with_it.exchange.record(&End::default()).unwrap();
    assert!(!record.contains("canary"), "{record}");
    // Whoever is no redirect of ours is no business of this.
    assert_eq!(bench.ask_with(&mine, &[("referer", "https://orders.example/?t=canary-1")]).code(), "allowed");
}

#[test]
fn rooms_are_bounded() {
    // As many signatures as there are sessions here.
    let mut bench = Bench::new(&with(policy_with(exchange()), "/limits", json!({"verifications_per_second": 100_000})));
    let of = |session: usize| {
        let mut claims = claims();
        claims["sid"] = json!(format!("s-{session}"));
        claims["sub"] = json!(format!("agent-{session}"));
        token(&claims)
    };
    let waiting: Vec<Asked> = (0..limits::EXCHANGES_UNDER_WAY).map(|session| bench.ask(&of(session))).collect();
    assert!(waiting.iter().all(|asked| asked.code() == "waits"));
    assert_eq!(bench.ask(&of(limits::EXCHANGES_UNDER_WAY)).code(), "overloaded");
    let wanted = bench.wanted();
    assert_eq!(wanted.len(), limits::EXCHANGES_UNDER_WAY);
    for fetch in &wanted {
        bench.answer(fetch, 200, &good(&format!("canary-{:?}", fetch.ticket).replace(['(', ')'], "-")).to_string()).unwrap();
    }
    drop(waiting);
    // When as many are held as may be, one is pushed out, and is had anew: nobody is denied for it.
    for session in limits::EXCHANGES_UNDER_WAY..=limits::EXCHANGED_TOKENS {
        bench.get(&of(session), &format!("canary-of-{session}"));
    }
    let held = (0..=limits::EXCHANGED_TOKENS).filter(|session| bench.ask(&of(*session)).given().is_some()).count();
    assert!((limits::EXCHANGED_TOKENS - 2..=limits::EXCHANGED_TOKENS).contains(&held), "{held}");
}

/// Whoever has many tokens of one session takes the room of nobody else.
#[test]
fn a_session_has_its_share() {
    let limits_lifted = with(policy_with(exchange()), "/limits", json!({"verifications_per_second": 100_000}));
    let mut bench = Bench::new(&limits_lifted);
    let of = |session: &str, number: u32| {
        let mut claims = claims();
        claims["sid"] = json!(session);
        claims["jti"] = json!(format!("t-{number}"));
        token(&claims)
    };
    let other = of("s-other", 0);
    bench.get(&other, "canary-of-another");
    // All on their way.
    let waiting: Vec<Asked> = (0..limits::EXCHANGED_A_SESSION).map(|number| bench.ask(&of("s-1", number))).collect();
    assert!(waiting.iter().all(|asked| asked.code() == "waits"));
    assert_eq!(bench.ask(&of("s-1", 99)).code(), "overloaded");
    assert_eq!(bench.ask(&of("s-2", 0)).code(), "waits", "another session");
    for fetch in &bench.wanted() {
        bench.answer(fetch, 200, &good(&format!("canary-{:?}", fetch.ticket).replace(['(', ')'], "-")).to_string()).unwrap();
    }
    drop(waiting);
    // Held: its own go, and nobody else's.
    for number in 100..100 + 3000 {
        bench.get(&of("s-1", number), &format!("canary-of-{number}"));
    }
    assert!(bench.ask(&other).given().is_some());
    assert!(bench.ask(&of("s-1", 3099)).given().is_some(), "the one that came last");
}

#[test]
fn nobody_is_asked_where_nothing_is_given() {
    let observed = with(policy_with(exchange()), "/mode", json!("observe"));
    let mut bench = Bench::new(&observed);
    let mine = token(&claims());
    assert_eq!(bench.ask(&mine).code(), "allowed");
    assert!(!bench.worker.is_wanting());
    let mut partly = with(policy_with(exchange()), "/observe", json!(["command_not_granted"]));
    partly["grants"] = json!([]);
    let mut bench = Bench::new(&partly);
    let asked = bench.ask(&mine);
    assert_eq!(asked.code(), "command_not_granted");
    assert!(asked.given().is_none() && !bench.worker.is_wanting());
    // Nor for what is denied.
    let mut bench = Bench::new(&policy_with(exchange()));
    assert_eq!(bench.ask_with(&mine, &[("authorization", "Bearer x")]).code(), "token_ambiguous");
    assert!(!bench.worker.is_wanting());
}
