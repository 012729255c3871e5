//! Requests that wait: for a body, by the need that a document can ask for in the tests' build, and for a credential that is had for
//! the session's token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::decide::need::{Given, WholeBody};
use crate::primitives::time::Timestamp;
use crate::token::keys::{VerificationKey, VerifySignature};

const NOW: u64 = 1_795_428_000;

/// Any signature holds.
struct Lenient;

impl VerifySignature for Lenient {
    fn verify(&self, _: &VerificationKey, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn policy(change: impl FnOnce(&mut Value)) -> Rc<Policy> {
    let http = json!({"http": {"methods": ["POST"], "path": "/plain"}});
    let at = |path: &str| json!({"http": {"methods": ["POST"], "path": path}});
    let mut document = json!({"version": 1, "name": "p", "session": {"max_lifetime": "15m"},
        "tokens": {"issuers": [{"issuer": "i", "audiences": ["a"], "algorithms": ["ES256"], "keys": {"jwks": {"keys": [{"kty": "EC",
            "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}}}]},
        "commands": {"plain": http,
            "body": {"matchers": at("/body"), "needs": {"body": {"most_bytes": 8, "has": "please"}}},
            "both": {"matchers": at("/both"), "needs": {"body": {"most_bytes": 8, "has": "please"}}},
            "later": at("/later")},
        "grants": [{"name": "g", "when": {"subject": "s"}, "allow": ["plain", "body", "both", "later"]}],
        "end_session_when": {"denials": {"count": 9, "within": "1m"}},
        "limits": {"streams_per_session": 2},
        "upstream": {"credential": [{"header": "x-key", "value": "${env:KEY}"}, {"for": ["both", "later"], "header": "x-key",
            "exchange": {"cluster": "sts", "authority": "sts.example", "path": "/token", "audience": "orders",
                "client": {"id": "chaperone", "secret": "${env:KEY}"}}}]}});
    change(&mut document);
    Rc::new(Policy::compile(document.to_string().as_bytes()).unwrap())
}

struct Bench {
    policy: Rc<Policy>,
    worker: Worker,
    now: u64,
}

/// A request that waits, or has been decided.
struct Asked {
    exchange: Exchange,
    fields: Vec<(&'static [u8], Vec<u8>)>,
}

impl Bench {
    fn new() -> Self {
        let environment = [("KEY".to_owned(), crate::Secret::new("upstream-secret".to_owned()))].into();
        let mut worker = Worker::new([1; 16], [2; 32], environment);
        worker.share(Rc::new(crate::LocalState::default()));
        Self { policy: policy(|_| {}), worker, now: NOW }
    }

    fn context<'c>(&self, newest: &'c Rc<Policy>) -> Context<'c> {
        Context { now: Timestamp::from_seconds(self.now), newest, verifier: &Lenient }
    }

    fn ask(&mut self, path: &str) -> (Asked, Decision) {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": "i", "aud": "a", "sub": "s", "sid": "s-1", "iat": NOW, "exp": NOW + 5});
        let token = format!("Bearer {}.{}.AAAA", part(json!({"alg": "ES256"})), part(claims));
        let fields: Vec<(&'static [u8], Vec<u8>)> =
            vec![(b":method", b"POST".to_vec()), (b":path", path.into()), (b"authorization", token.into())];
        let mut asked = Asked { exchange: Exchange::begin(Rc::clone(&self.policy)), fields };
        let newest = Rc::clone(&self.policy);
        let context = self.context(&newest);
        let decision = {
            let headers: Vec<_> = asked.fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
            let head = Head { headers: &headers, body: true, ..Head::default() };
            asked.exchange.request(&head, &mut self.worker, &context)
        };
        (asked, decision)
    }

    /// Takes it up by this policy as the newest.
    fn resume(&mut self, asked: &mut Asked, given: &Given<'_>, newest: &Rc<Policy>) -> Decision {
        let context = self.context(newest);
        let headers: Vec<_> = asked.fields.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        asked.exchange.resume(given, &headers, &mut self.worker, &context)
    }

    /// What waits for a credential is given one: so many have been asked for.
    fn come(&mut self) -> usize {
        let fetches = self.worker.wanted().fetches;
        for fetch in &fetches {
            let answer = json!({"access_token": "upstream-secret", "token_type": "Bearer", "expires_in": 300,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"})
            .to_string();
            let answer = crate::Answer::Response { status: 200, body: answer.as_bytes() };
            self.worker.fetched(fetch.ticket, answer, Timestamp::from_seconds(self.now), &Lenient).unwrap().result().unwrap();
        }
        fetches.len()
    }

    fn go_on(&mut self, asked: &mut Asked, given: &Given<'_>) -> Decision {
        let newest = Rc::clone(&self.policy);
        self.resume(asked, given, &newest)
    }
}

fn body(text: &str) -> Given<'_> {
    Given::Body(WholeBody::of_ended(text.as_bytes()))
}

/// The reason of a denial; `None` for a permit with the upstream's credential.
fn reason(decision: Decision) -> Option<Reason> {
    match decision {
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Forward(permit) => {
            assert!(permit.edits().set().any(|(name, value)| name == b"x-key" && value.ends_with(b"upstream-secret")));
            None
        }
        Decision::Refuse(denial) => Some(denial.reason()),
    }
}

fn record(asked: &Asked) -> Value {
    serde_json::from_str(&asked.exchange.record(&End::default()).unwrap()).unwrap()
}

#[test]
fn a_body_is_judged_when_it_is_whole() {
    for (given, expected) in [
        (body("please"), None),
        (body("rm"), Some(Reason::UnknownCommand)),
        (Given::TooLarge, Some(Reason::Overloaded)),
        (Given::Gone, Some(Reason::AmbiguousRequest)),
    ] {
        let mut bench = Bench::new();
        let (mut asked, decision) = bench.ask("/body");
        assert!(matches!(decision, Decision::Hold(Need::Body { most_bytes: 8 })));
        assert_eq!(asked.exchange.waits_for(), Some(Need::Body { most_bytes: 8 }));
        assert!(asked.exchange.record(&End::default()).is_none(), "nothing is decided");
        assert!(matches!(bench.go_on(&mut asked, &Given::Nothing), Decision::Hold(_)), "nor by time alone");
        assert_eq!(reason(bench.go_on(&mut asked, &given)), expected, "{given:?}");
        assert_eq!(asked.exchange.waits_for(), None);
        let code = expected.map_or("allowed", Reason::code);
        assert_eq!((&record(&asked)["status_code"], &record(&asked)["api"]["operation"]), (&json!(code), &json!("body")));
        assert_eq!(record(&asked)["actor"]["session"]["uid"], "s-1");
        // Its answer has been given.
        assert_eq!(reason(bench.go_on(&mut asked, &body("please"))), Some(Reason::InternalError));
    }
}

#[test]
fn what_waits_for_two_things_gets_them_in_turn_and_nothing_is_asked_twice() {
    let mut bench = Bench::new();
    let (mut asked, decision) = bench.ask("/both");
    assert!(matches!(decision, Decision::Hold(Need::Body { .. })));
    bench.now += 1;
    assert!(matches!(bench.go_on(&mut asked, &body("please")), Decision::Hold(Need::Credential(_))));
    assert!(matches!(bench.go_on(&mut asked, &Given::Nothing), Decision::Hold(Need::Credential(_))));
    assert_eq!(bench.come(), 1);
    // The body is not shown a second time, and need not be.
    assert_eq!(reason(bench.go_on(&mut asked, &Given::Nothing)), None);
    assert_eq!(bench.worker.counts().token_misses, 1, "one signature check for all of it");
}

#[test]
fn a_head_may_not_come_twice() {
    let mut bench = Bench::new();
    let (mut asked, _) = bench.ask("/body");
    let newest = Rc::clone(&bench.policy);
    let context = bench.context(&newest);
    let decision = asked.exchange.request(&Head::default(), &mut bench.worker, &context);
    assert_eq!(reason(decision), Some(Reason::InternalError));
    assert_eq!(
        reason(bench.go_on(&mut asked, &body("please"))),
        Some(Reason::InternalError),
        "and is not let through after that"
    );
    let (mut plain, decision) = bench.ask("/plain");
    assert_eq!(reason(decision), None);
    assert_eq!(
        reason(bench.go_on(&mut plain, &body("please"))),
        Some(Reason::InternalError),
        "what never waited is not taken up"
    );
}

#[test]
fn time_and_the_newest_policy_end_the_wait() {
    let wait = |change: fn(&mut Value), seconds: u64, given: Given<'_>| {
        let mut bench = Bench::new();
        let (mut asked, _) = bench.ask("/body");
        bench.now += seconds;
        match bench.resume(&mut asked, &given, &policy(change)) {
            Decision::Hold(_) => "waits",
            decision @ (Decision::Forward(_) | Decision::Refuse(_)) => {
                let reason = reason(decision);
                assert_eq!(asked.exchange.reason(), reason);
                reason.map_or("allowed", Reason::code)
            }
        }
    };
    let same = |_: &mut Value| {};
    let revoked = |document: &mut Value| document["revoked"] = json!([{"session": "s-1"}]);
    let stricter = |document: &mut Value| document["commands"]["body"]["needs"]["body"]["has"] = json!("pretty please");
    let gone = |document: &mut Value| {
        document["commands"].as_object_mut().unwrap().remove("body");
        document["grants"][0]["allow"] = json!(["plain"]);
    };
    assert_eq!(wait(same, 4, body("please")), "allowed");
    assert_eq!(wait(same, 5, body("please")), "expired", "while it waited");
    assert_eq!(wait(same, 5, Given::Nothing), "expired", "and is told so at once");
    assert_eq!(wait(revoked, 1, Given::Nothing), "revoked");
    assert_eq!(wait(revoked, 1, body("please")), "revoked");
    assert_eq!(wait(stricter, 1, Given::Nothing), "waits");
    assert_eq!(wait(stricter, 1, body("please")), "unknown_command", "the body must do for both policies");
    assert_eq!(wait(gone, 1, Given::Nothing), "unknown_command");
    // A policy that wants what was not kept.
    let mut bench = Bench::new();
    let (mut asked, decision) = bench.ask("/later");
    assert!(matches!(decision, Decision::Hold(Need::Credential(_))));
    bench.come();
    let newest = policy(|document| {
        let later = document["commands"]["later"].take();
        document["commands"]["later"] = json!({"matchers": later, "needs": {"body": {"most_bytes": 8, "has": "x"}}});
    });
    assert_eq!(reason(bench.resume(&mut asked, &Given::Nothing, &newest)), Some(Reason::Overloaded));
}

#[test]
fn nothing_waits_for_ever() {
    let mut bench = Bench::new();
    let most = crate::limits::HELD.as_secs();
    let expected = [("/body", Reason::AmbiguousRequest), ("/later", Reason::CredentialUnavailable)];
    for (path, expected) in expected {
        bench.now = NOW;
        // Tokens that outlive the wait.
        let (mut asked, decision) = bench.ask(path);
        assert!(matches!(decision, Decision::Hold(_)));
        bench.now = NOW + 4;
        assert!(matches!(bench.go_on(&mut asked, &Given::Nothing), Decision::Hold(_)));
        bench.now = NOW + most;
        assert_eq!(reason(bench.go_on(&mut asked, &Given::Nothing)), Some(expected), "{path}");
        bench.worker = Bench::new().worker;
    }
}

#[test]
fn whoever_waits_takes_a_seat_and_gives_it_back() {
    let mut bench = Bench::new();
    let (first, _) = bench.ask("/body");
    let (mut second, decision) = bench.ask("/later");
    assert!(matches!(decision, Decision::Hold(_)));
    assert_eq!(reason(bench.ask("/body").1), Some(Reason::Overloaded));
    assert_eq!(reason(bench.ask("/plain").1), Some(Reason::Overloaded));
    drop(first);
    let (third, decision) = bench.ask("/plain");
    assert_eq!(reason(decision), None);
    // Let through, it keeps the seat that it had.
    bench.come();
    assert_eq!(reason(bench.go_on(&mut second, &Given::Nothing)), None);
    assert_eq!(reason(bench.ask("/plain").1), Some(Reason::Overloaded));
    drop((second, third));
    assert_eq!(reason(bench.ask("/plain").1), None);
}

#[test]
fn in_observe_a_body_is_waited_for_and_never_stands_in_the_way() {
    let mut bench = Bench::new();
    bench.policy = policy(|document| document["mode"] = json!("observe"));
    for (given, expected) in [
        (body("please"), "allowed"),
        (body("rm"), "unknown_command"),
        (Given::TooLarge, "overloaded"),
        (Given::Gone, "ambiguous_request"),
    ] {
        let (mut asked, decision) = bench.ask("/body");
        assert!(matches!(decision, Decision::Hold(_)));
        let Decision::Forward(permit) = bench.go_on(&mut asked, &given) else { panic!("{given:?}") };
        assert_eq!(permit.observed().map_or("allowed", Reason::code), expected);
        assert!(!permit.edits().set().any(|(name, _)| name == b"x-key"), "never a credential");
    }
}

#[test]
fn a_session_that_ends_while_it_waits_is_not_let_through_before_the_next_round_either() {
    let mut bench = Bench::new();
    bench.policy = policy(|document| document["end_session_when"]["denials"]["count"] = json!(1));
    let (mut asked, _) = bench.ask("/body");
    bench.worker.sweep();
    assert!(matches!(bench.go_on(&mut asked, &Given::Nothing), Decision::Hold(_)), "the round has read its state");
    assert_eq!(reason(bench.ask("/unknown").1), Some(Reason::UnknownCommand));
    assert_eq!(reason(bench.ask("/plain").1), Some(Reason::SessionEnded));
    assert_eq!(reason(bench.go_on(&mut asked, &body("please"))), Some(Reason::SessionEnded));
}

#[test]
fn a_key_that_is_withdrawn_while_it_waits_denies_it() {
    let mut bench = Bench::new();
    bench.policy = policy(|document| {
        document["tokens"]["issuers"][0]["keys"] =
            json!({"endpoint": {"cluster": "c", "authority": "i.example", "path": "/jwks", "refresh": "10s"}});
    });
    let key = |y: &str| {
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": y}]}).to_string()
    };
    let fetch = |bench: &mut Bench, seconds: u64, body: &str| {
        let now = Timestamp::from_seconds(NOW + seconds);
        let due = bench.worker.due(&bench.policy, now).fetches;
        assert_eq!(due.len(), 1, "at {seconds}");
        let answer = crate::Answer::Response { status: 200, body: body.as_bytes() };
        bench.worker.fetched(due[0].ticket, answer, now, &Lenient).unwrap()
    };
    bench.now = NOW - 30;
    let good = key("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    fetch(&mut bench, 0, &good);
    bench.now = NOW + 1;
    let (mut asked, decision) = bench.ask("/body");
    assert!(matches!(decision, Decision::Hold(_)));
    // None of its keys, but another good one: the published one of RFC 7515, appendix A.3, mirrored.
    let report = fetch(
        &mut bench,
        40,
        r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "other",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"}]}"#,
    );
    assert!(report.result().is_ok(), "{report}");
    bench.now = NOW + 2;
    assert_eq!(reason(bench.go_on(&mut asked, &body("please"))), Some(Reason::KeyUnknown));
}

#[test]
fn an_update_that_reads_it_otherwise_or_treats_it_otherwise_denies_what_waited() {
    for change in [
        |document: &mut Value| {
            document["commands"]["body"]["matchers"]["http"]["path"] = json!("/elsewhere");
            document["commands"]["plain"]["http"]["path"] = json!("/body");
        },
        |document: &mut Value| document["mode"] = json!("observe"),
        |document: &mut Value| document["upstream"]["credential"][0]["value"] = json!("Key ${env:KEY}"),
        |document: &mut Value| document["upstream"]["credential"][1]["exchange"]["audience"] = json!("others"),
        |document: &mut Value| document["upstream"]["forward_token"] = json!(true),
        |document: &mut Value| document["audit"] = json!({"header_prefix": "x-other-"}),
    ] {
        let mut bench = Bench::new();
        let (mut asked, _) = bench.ask("/body");
        let decision = bench.resume(&mut asked, &body("please"), &policy(change));
        assert_eq!(reason(decision), Some(Reason::Overloaded));
    }
}

#[test]
fn nobody_waits_for_a_credential_that_he_is_not_given() {
    let mut bench = Bench::new();
    bench.policy = policy(|document| document["mode"] = json!("observe"));
    assert!(matches!(bench.ask("/later").1, Decision::Forward(_)));
    bench.policy = policy(|document| {
        document["observe"] = json!(["command_not_granted"]);
        document["grants"] = json!([]);
    });
    let Decision::Forward(permit) = bench.ask("/later").1 else { panic!("it waits") };
    assert_eq!(permit.observed(), Some(Reason::CommandNotGranted));
    assert_eq!(bench.come(), 0, "and nobody is asked for one");
}

#[test]
fn what_comes_while_a_request_waits_counts_before_any_of_it_goes_on() {
    let bounded = |most: u64| {
        policy(|document| {
            document["grants"][0]["transfers"] = json!({"max_request_bytes": most});
        })
    };
    // What waits for a credential, and what waits for the body itself.
    for (path, given) in [("/later", Given::Nothing), ("/body", body("please"))] {
        for (bytes, expected) in [(6, None), (7, Some(Reason::TransferNotAllowed))] {
            let mut bench = Bench { policy: bounded(6), ..Bench::new() };
            let (mut asked, decision) = bench.ask(path);
            assert!(matches!(decision, Decision::Hold(_)));
            asked.exchange.request_bytes(bytes);
            bench.come();
            assert_eq!(reason(bench.go_on(&mut asked, &given)), expected, "{path}");
            let detail = expected.map(|_| json!("request_bytes")).unwrap_or_default();
            assert_eq!(record(&asked)["status_detail"], detail, "{path}");
        }
    }
    // By the newest policy, where that is another one.
    let mut bench = Bench { policy: bounded(9), ..Bench::new() };
    let (mut asked, _) = bench.ask("/body");
    asked.exchange.request_bytes(7);
    let newest = bounded(6);
    assert_eq!(reason(bench.resume(&mut asked, &body("please"), &newest)), Some(Reason::TransferNotAllowed));
}
