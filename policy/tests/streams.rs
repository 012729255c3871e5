//! What was let through is asked about again for as long as it is open: by the newest policy, and by the time.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{Decision, End, Exchange, Head, Policy, Reason, Timestamp, Worker};
use serde_json::{Value, json};
use support::{NOW, claims, compile, context, document, head, token, with, worker};

/// A stream that was let through under `policy`.
fn open(policy: &Rc<Policy>, worker: &mut Worker, path: &str, claims: &Value, now: u64) -> Exchange {
    let fields = head("GET", path, &[("authorization", &format!("Bearer {}", token(claims)))]);
    let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut exchange = Exchange::begin(Rc::clone(policy));
    let head = Head { headers: &headers, ..Head::default() };
    match exchange.request(&head, worker, &context(policy, Timestamp::from_seconds(now))) {
        Decision::Forward(_) => exchange,
        Decision::Hold(need) => panic!("it waits for {need:?}"),
        Decision::Refuse(denial) => panic!("{}", denial.reason()),
    }
}

fn record(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap()
}

/// What becomes of an open stream of `/v1/orders` when the policy becomes `newest`, at once.
fn under(newest: &Value) -> Option<Reason> {
    let mut worker = worker();
    let mut stream = open(&compile(&document()), &mut worker, "/v1/orders", &claims(), NOW);
    stream.recheck(&mut worker, &context(&compile(newest), Timestamp::from_seconds(NOW)), false)
}

#[test]
fn whatever_ends_a_session_cuts_its_streams() {
    let document = document();
    let revoked = |entry: Value| with(document.clone(), "/revoked", json!([entry]));
    let stranger = json!({"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
    let mut other_kid = document.clone();
    other_kid["tokens"]["issuers"][0]["keys"]["jwks"]["keys"][0]["kid"] = json!("k2");
    for (newest, expected) in [
        (revoked(json!({"session": "s-1"})), Some(Reason::Revoked)),
        (revoked(json!({"subject": "agent-7", "issued_before": "2026-11-23T10:00:01Z"})), Some(Reason::Revoked)),
        (revoked(json!({"session": "s-2"})), None),
        (with(document.clone(), "/tokens/issuers/0/keys/jwks/keys", json!([stranger])), Some(Reason::KeyUnknown)),
        (other_kid, Some(Reason::KeyUnknown)),
        (with(document.clone(), "/tokens/issuers/0/issuer", json!("https://other.example")), Some(Reason::IssuerUnknown)),
        (with(document.clone(), "/tokens/issuers/0/audiences", json!(["billing"])), Some(Reason::AudienceMismatch)),
        (with(document.clone(), "/tokens/issuers/0/types", json!(["at+jwt"])), Some(Reason::TokenUnsupported)),
        (with(document.clone(), "/session/max_lifetime", json!("5m")), Some(Reason::LifetimeExceeded)),
        (with(document.clone(), "/session/token_commands", json!("required")), Some(Reason::CommandNotInToken)),
        (with(document.clone(), "/limits", json!({"token_bytes": token(&claims()).len() - 1})), Some(Reason::TokenMalformed)),
        (with(document.clone(), "/limits", json!({"token_bytes": token(&claims()).len()})), None),
        (with(document.clone(), "/grants/0/allow", json!(["orders.read"])), Some(Reason::CommandNotGranted)),
        (with(document.clone(), "/grants", json!([])), Some(Reason::CommandNotGranted)),
        (document.clone(), None),
        (with(document.clone(), "/generation", json!(9)), None),
    ] {
        assert_eq!(under(&newest), expected, "{newest}");
    }
    let mut without = document.clone();
    without["commands"].as_object_mut().unwrap().remove("orders.list");
    without["grants"][0]["allow"] = json!(["orders.read"]);
    assert_eq!(under(&without), Some(Reason::UnknownCommand));
    // Commands that came before it in the alphabet do not make it another one.
    let more = with(document, "/commands/a.b", json!({"http": {"methods": ["GET"], "path": "/a"}}));
    assert_eq!(under(&more), None);
}

#[test]
fn what_the_policy_observes_is_not_cut() {
    let ended = with(document(), "/revoked", json!([{"session": "s-1"}]));
    assert_eq!(under(&with(ended.clone(), "/mode", json!("observe"))), None);
    assert_eq!(under(&with(with(document(), "/grants", json!([])), "/observe", json!(["command_not_granted"]))), None);
    // From observing to enforcing: what was only let pass ends, what was in order goes on.
    let mut worker = worker();
    let observing = compile(&with(document(), "/mode", json!("observe")));
    let now = Timestamp::from_seconds(NOW);
    let mut bare = {
        let fields = head("GET", "/v1/orders", &[]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&observing));
        let head = Head { headers: &headers, ..Head::default() };
        assert!(matches!(exchange.request(&head, &mut worker, &context(&observing, now)), Decision::Forward(_)));
        exchange
    };
    let mut good = open(&observing, &mut worker, "/v1/orders", &claims(), NOW);
    let mut ended_one = open(
        &observing,
        &mut worker,
        "/v1/orders",
        &{
            let mut claims = claims();
            claims["sid"] = json!("s-2");
            claims
        },
        NOW,
    );
    let enforcing = compile(&with(document(), "/revoked", json!([{"session": "s-2"}])));
    assert_eq!(bare.recheck(&mut worker, &context(&observing, now), false), None);
    assert_eq!(bare.recheck(&mut worker, &context(&enforcing, now), false), Some(Reason::TokenMissing));
    assert_eq!(good.recheck(&mut worker, &context(&enforcing, now), false), None);
    assert_eq!(ended_one.recheck(&mut worker, &context(&enforcing, now), false), Some(Reason::Revoked));
}

#[test]
fn time_cuts_at_the_earliest_end_and_never_gives_back() {
    let mut worker = worker();
    let at = Timestamp::from_seconds;
    let policy = compile(&document());
    let mut stream = open(&policy, &mut worker, "/v1/orders", &claims(), NOW);
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(NOW + 599)), false), None);
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(NOW + 600)), false), Some(Reason::Expired));
    assert_eq!(
        stream.recheck(&mut worker, &context(&policy, at(NOW)), false),
        Some(Reason::Expired),
        "a clock that steps back gives nothing back"
    );

    // The session's start is older than its token; the grant ends before both.
    let mut older = claims();
    older["auth_time"] = json!(NOW - 400);
    let started = with(document(), "/tokens/issuers/0/claims", json!({"started": ["auth_time"]}));
    let mut worker = support::worker();
    let policy = compile(&started);
    let mut stream = open(&policy, &mut worker, "/v1/orders", &older, NOW);
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(NOW + 499)), false), None);
    assert_eq!(stream.recheck(&mut worker, &context(&policy, at(NOW + 500)), false), Some(Reason::LifetimeExceeded));
    let brief = compile(&with(started, "/grants/0/max_lifetime", json!("7m")));
    let mut worker = support::worker();
    let mut stream = open(&policy, &mut worker, "/v1/orders", &older, NOW);
    assert_eq!(stream.recheck(&mut worker, &context(&brief, at(NOW + 19)), false), None);
    assert_eq!(stream.recheck(&mut worker, &context(&brief, at(NOW + 20)), false), Some(Reason::LifetimeExceeded));
    let skewed = compile(&with(document(), "/session/clock_skew", json!("30s")));
    let mut worker = support::worker();
    let mut stream = open(&skewed, &mut worker, "/v1/orders", &claims(), NOW);
    assert_eq!(stream.recheck(&mut worker, &context(&skewed, at(NOW + 629)), false), None);
    assert_eq!(stream.recheck(&mut worker, &context(&skewed, at(NOW + 630)), false), Some(Reason::Expired));
}

#[test]
fn a_clock_that_steps_back_cuts_nothing_by_itself() {
    let mut worker = worker();
    let policy = compile(&document());
    let mut stream = open(&policy, &mut worker, "/v1/orders", &claims(), NOW);
    let other = compile(&with(document(), "/generation", json!(2)));
    assert_eq!(stream.recheck(&mut worker, &context(&other, Timestamp::from_seconds(NOW - 3600)), false), None);
}

#[test]
fn a_session_revoked_twice_is_cut_whatever_came_between() {
    let mut worker = worker();
    let now = Timestamp::from_seconds(NOW);
    let revoked = |generation: u64| {
        compile(&with(with(document(), "/revoked", json!([{"session": "s-1"}])), "/generation", json!(generation)))
    };
    let free = |generation: u64| compile(&with(document(), "/generation", json!(generation)));
    let mut first = open(&free(1), &mut worker, "/v1/orders", &claims(), NOW);
    assert_eq!(first.recheck(&mut worker, &context(&revoked(2), now), false), Some(Reason::Revoked));
    let undone = free(3);
    assert_eq!(first.recheck(&mut worker, &context(&undone, now), false), Some(Reason::Revoked), "what is cut stays cut");
    let mut second = open(&undone, &mut worker, "/v1/orders", &claims(), NOW);
    assert_eq!(second.recheck(&mut worker, &context(&undone, now), false), None);
    assert_eq!(second.recheck(&mut worker, &context(&revoked(4), now), false), Some(Reason::Revoked));
}

#[test]
fn what_needs_no_session_goes_on_as_long_as_it_needs_none() {
    let mut worker = worker();
    let now = Timestamp::from_seconds(NOW);
    let policy = compile(&document());
    let mut stream = open(&policy, &mut worker, "/healthz", &claims(), NOW);
    assert_eq!(stream.recheck(&mut worker, &context(&policy, Timestamp::from_seconds(NOW + 100_000)), false), None);
    assert_eq!(
        stream.recheck(&mut worker, &context(&compile(&with(document(), "/revoked", json!([{"session": "s-1"}]))), now), false),
        None
    );
    assert_eq!(
        stream.recheck(&mut worker, &context(&compile(&with(document(), "/unmediated", json!([]))), now), false),
        Some(Reason::TokenMissing)
    );
}

#[test]
fn the_record_of_a_cut_stream_says_who_ended_it_and_why() {
    let mut worker = worker();
    let policy = compile(&document());
    let mut stream = open(&policy, &mut worker, "/v1/orders", &claims(), NOW);
    assert!(record(&stream).pointer("/unmapped/ended_by").is_none());
    let newest = compile(&with(document(), "/revoked", json!([{"session": "s-1", "because": "INC-42"}])));
    assert_eq!(stream.recheck(&mut worker, &context(&newest, Timestamp::from_seconds(NOW)), false), Some(Reason::Revoked));
    let record = record(&stream);
    let label = format!("orders@{}", newest.revision().unwrap().get(..12).unwrap());
    assert_eq!((&record["status_code"], &record["status_detail"]), (&json!("revoked"), &json!("INC-42")));
    assert_eq!((&record["unmapped"]["decision"], &record["action_id"]), (&json!("allow"), &json!(1)), "it was let through");
    assert_eq!((&record["unmapped"]["ended_by"], &record["unmapped"]["ended_under"]), (&json!("revoked"), &json!(label)));
    assert_eq!(record["policy"]["version"], policy.revision().unwrap(), "by which it was let through");
}

#[test]
fn what_a_newer_policy_would_cut_at_once_is_denied() {
    let mut worker = worker();
    let policy = compile(&document());
    let now = Timestamp::from_seconds(NOW);
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims())))]);
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let mut begun_before = |newest: &Rc<Policy>| {
        let mut exchange = Exchange::begin(Rc::clone(&policy));
        let decision = exchange.request(&Head { headers: &fields, ..Head::default() }, &mut worker, &context(newest, now));
        (exchange, decision)
    };
    assert!(matches!(begun_before(&policy).1, Decision::Forward(_)));
    assert!(matches!(begun_before(&compile(&with(document(), "/generation", json!(2)))).1, Decision::Forward(_)));
    let newest = compile(&with(document(), "/revoked", json!([{"session": "s-1", "because": "INC-42"}])));
    let (mut request, decision) = begun_before(&newest);
    let Decision::Refuse(denial) = decision else { panic!("a denial") };
    assert_eq!((denial.reason(), denial.response().status), (Reason::Revoked, 401));
    let record = record(&request);
    assert_eq!((&record["status_code"], &record["unmapped"]["decision"]), (&json!("revoked"), &json!("deny")));
    assert_eq!(record["status_detail"], "INC-42");
    assert!(record["unmapped"].get("credential_ref").is_none());
    assert_eq!(request.reason(), Some(Reason::Revoked));
    let cut = request.recheck(&mut worker, &context(&policy, now), false);
    assert_eq!(cut, Some(Reason::Revoked), "it is not let through after all");
}

#[test]
fn what_was_never_let_through_is_not_cut() {
    let mut worker = worker();
    let policy = compile(&document());
    let now = Timestamp::from_seconds(NOW);
    let mut exchange = Exchange::begin(Rc::clone(&policy));
    assert_eq!(exchange.recheck(&mut worker, &context(&policy, now), false), None);
    let _ = exchange.fail(&mut worker);
    assert_eq!(exchange.recheck(&mut worker, &context(&Rc::new(Policy::deny_all()), now), false), None);
    let mut stream = open(&policy, &mut worker, "/v1/orders", &claims(), NOW);
    assert_eq!(stream.recheck(&mut worker, &context(&Rc::new(Policy::deny_all()), now), false), Some(Reason::NoPolicy));
}
