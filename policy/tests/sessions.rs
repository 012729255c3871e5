//! Sessions that end for what they do, or leave undone, on all workers of a proxy.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{Decision, End, Exchange, Head, LocalState, Peer, Reason, SharedState, Unavailable};
use serde_json::{Value, json};
use support::proxy::{Proxy, counting};
use support::{NOW, claims, compile, context, document, head, token, with, worker};

fn record(exchange: &Exchange) -> Value {
    serde_json::from_str(&exchange.record(&End::default()).unwrap()).unwrap()
}

#[test]
fn too_many_denials_end_the_session_on_all_workers_and_no_other() {
    let policy = compile(&counting());
    let mut proxy = Proxy::new(2);
    assert_eq!(proxy.bad(0, &policy, "s-1"), Some(Reason::UnknownCommand));
    assert_eq!(proxy.bad(1, &policy, "s-1"), Some(Reason::UnknownCommand));
    assert_eq!(proxy.get(0, &policy, "s-1"), None, "two are not too many");
    let (third, reason) = proxy.ask(0, &policy, "s-1", "DELETE", "192.0.2.7:1000");
    assert_eq!(reason, Some(Reason::UnknownCommand), "with its own reason");
    assert_eq!(record(&third)["unmapped"]["ends_session"], "denials");
    for worker in [0, 1] {
        assert_eq!(proxy.get(worker, &policy, "s-1"), Some(Reason::SessionEnded));
        assert_eq!(proxy.get(worker, &policy, "s-2"), None);
    }
    proxy.wait(599);
    assert_eq!(proxy.get(1, &policy, "s-1"), Some(Reason::SessionEnded), "for the rest of its lifetime");
}

#[test]
fn denials_that_lie_further_apart_do_not_end_it() {
    let policy = compile(&counting());
    let mut proxy = Proxy::new(1);
    for _ in 0..8 {
        assert_eq!(proxy.bad(0, &policy, "s-1"), Some(Reason::UnknownCommand));
        proxy.wait(31);
    }
    assert_eq!(proxy.get(0, &policy, "s-1"), None);
}

#[test]
fn only_what_a_verified_session_wanted_to_do_counts() {
    let policy = compile(&counting());
    let mut proxy = Proxy::new(1);
    for _ in 0..8 {
        // Someone with the words of the token and without its signature.
        let mut forged = claims();
        forged["sid"] = json!("s-1");
        let text = support::token_of(&json!({"alg": "ES256", "kid": "k1"}), &forged, "bad");
        let fields = head("DELETE", "/v1/orders", &[("authorization", &format!("Bearer {text}"))]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&policy));
        let head = Head { headers: &headers, ..Head::default() };
        let now = proxy.now();
        assert!(matches!(exchange.request(&head, &mut proxy.workers[0], &context(&policy, now)), Decision::Refuse(_)));
        // What is observed is not denied.
        let observing = compile(&with(counting(), "/observe", json!(["unknown_command"])));
        assert_eq!(proxy.bad(0, &observing, "s-1"), Some(Reason::UnknownCommand));
        let whole = compile(&with(counting(), "/mode", json!("observe")));
        assert_eq!(proxy.bad(0, &whole, "s-1"), Some(Reason::UnknownCommand));
    }
    assert_eq!(proxy.get(0, &policy, "s-1"), None);
}

#[test]
fn an_ending_stays_whatever_becomes_of_policy_clock_and_worker() {
    let policy = compile(&counting());
    let mut proxy = Proxy::new(2);
    for _ in 0..3 {
        proxy.bad(0, &policy, "s-1");
    }
    let without = compile(&document());
    assert_eq!(proxy.get(0, &without, "s-1"), Some(Reason::SessionEnded), "this worker has ended it itself");
    proxy.workers[0].adopt(&without);
    proxy.workers[1].adopt(&without);
    assert_eq!(proxy.get(0, &without, "s-1"), Some(Reason::SessionEnded), "the policy no longer asks for endings");
    assert_eq!(proxy.get(1, &without, "s-1"), Some(Reason::SessionEnded), "nor on a worker that has ended nothing");
    assert_eq!(proxy.get(1, &without, "s-2"), None);
    let mut reborn = worker();
    reborn.share(proxy.shared.clone());
    reborn.adopt(&without);
    proxy.workers[1] = reborn;
    assert_eq!(proxy.get(1, &without, "s-1"), Some(Reason::SessionEnded), "in a VM that was built anew");
    // A worker may take such a policy a moment before another one ends the first session.
    let mut proxy = Proxy::new(2);
    proxy.workers[1].adopt(&without);
    assert_eq!(proxy.get(1, &without, "s-1"), None);
    for _ in 0..3 {
        proxy.bad(0, &policy, "s-1");
    }
    proxy.workers[1].sweep();
    assert_eq!(proxy.get(1, &without, "s-1"), Some(Reason::SessionEnded));
}

#[test]
fn an_ending_outlives_the_lifetime_that_its_policy_allowed() {
    let (short, long) = (compile(&counting()), compile(&with(counting(), "/session/max_lifetime", json!("12h"))));
    let mut proxy = Proxy::new(1);
    let mut claims = claims();
    claims["exp"] = json!(NOW + 11 * 3600);
    for _ in 0..3 {
        proxy.bad(0, &short, "s-1");
    }
    proxy.wait(10 * 3600);
    assert_eq!(proxy.ask_with(0, &long, &claims, "GET", None).1, Some(Reason::SessionEnded), "a token that lives longer by now");
    claims["sid"] = json!("s-2");
    assert_eq!(proxy.ask_with(0, &long, &claims, "GET", None).1, None);
    // However long another policy of the proxy lets them live.
    let longest = compile(&with(counting(), "/session/max_lifetime", json!("72h")));
    let mut proxy = Proxy::new(1);
    proxy.workers[0].adopt(&longest);
    for _ in 0..3 {
        proxy.bad(0, &short, "s-1");
    }
    (claims["sid"], claims["exp"]) = (json!("s-1"), json!(NOW + 71 * 3600));
    proxy.wait(70 * 3600);
    assert_eq!(proxy.ask_with(0, &longest, &claims, "GET", None).1, Some(Reason::SessionEnded));
}

#[test]
fn issuers_do_not_end_each_others_sessions() {
    let mut document = counting();
    let mut other = document["tokens"]["issuers"][0].clone();
    other["issuer"] = json!("https://other.example");
    document["tokens"]["issuers"].as_array_mut().unwrap().push(other);
    document["grants"][0]["when"]["issuer"] = json!("https://broker.example");
    let mut theirs = document["grants"][0].clone();
    theirs["name"] = json!("theirs");
    theirs["when"]["issuer"] = json!("https://other.example");
    document["grants"].as_array_mut().unwrap().push(theirs);
    let policy = compile(&document);
    let mut proxy = Proxy::new(1);
    for _ in 0..3 {
        proxy.bad(0, &policy, "s-1");
    }
    assert_eq!(proxy.get(0, &policy, "s-1"), Some(Reason::SessionEnded));
    assert_eq!(proxy.ask_with(0, &policy, &with(claims(), "/iss", json!("https://other.example")), "GET", None).1, None);
}

#[test]
fn whether_sessions_have_ended_is_asked_of_each_request_if_it_could_not_be_read() {
    let shared = Rc::new(Failing { of: LocalState::default(), how: Cell::new(How::Well) });
    let (rules, without) = (compile(&counting()), compile(&document()));
    let mut proxy = Proxy::new(2);
    proxy.workers.iter_mut().for_each(|worker| worker.share(shared.clone()));
    for _ in 0..3 {
        proxy.bad(0, &rules, "s-1");
    }
    shared.how.set(How::NoValue);
    proxy.workers[1].adopt(&without);
    assert_eq!(proxy.get(1, &without, "s-1"), Some(Reason::InternalError));
    shared.how.set(How::Well);
    assert_eq!(proxy.get(1, &without, "s-1"), Some(Reason::SessionEnded));
    assert_eq!(proxy.get(1, &without, "s-2"), None);
}

#[test]
fn a_session_that_is_not_used_ends_on_all_workers_and_never_too_early() {
    let policy = compile(&with(document(), "/session/idle_timeout", json!("2m")));
    let mut proxy = Proxy::new(2);
    assert_eq!(proxy.get(0, &policy, "s-1"), None);
    for worker in [1, 0, 1] {
        proxy.wait(119);
        assert_eq!(proxy.get(worker, &policy, "s-1"), None, "used on whichever worker");
    }
    // A sixteenth of the timeout later at the most.
    proxy.wait(128);
    let (exchange, reason) = proxy.ask(0, &policy, "s-1", "GET", "192.0.2.7:1");
    assert_eq!(reason, Some(Reason::Idle));
    assert_eq!(record(&exchange)["unmapped"]["ends_session"], "idle");
    assert_eq!(proxy.get(1, &policy, "s-1"), Some(Reason::Idle), "and stays ended");
    assert_eq!(proxy.get(1, &policy, "s-2"), None);
}

#[test]
fn uses_in_between_steps_count_as_the_step_before() {
    // The last use that counts may be up to a step (7.5 s) before the last one: it is made up for at the end.
    let policy = compile(&with(document(), "/session/idle_timeout", json!("2m")));
    for gap in 0..8 {
        let mut proxy = Proxy::new(1);
        assert_eq!(proxy.get(0, &policy, "s-1"), None);
        proxy.wait(gap);
        assert_eq!(proxy.get(0, &policy, "s-1"), None);
        proxy.wait(119);
        assert_eq!(proxy.get(0, &policy, "s-1"), None, "never before the timeout, {gap}");
    }
}

#[test]
fn a_session_from_elsewhere_ends() {
    let rules = |prefix: u64| {
        with(document(), "/end_session_when", json!({"context_changes": ["source_address"], "source_prefix": prefix}))
    };
    let (exact, network) = (compile(&rules(32)), compile(&with(rules(24), "/name", json!("network"))));
    let mut proxy = Proxy::new(2);
    assert_eq!(proxy.ask(0, &exact, "s-1", "GET", "192.0.2.7:1").1, None);
    assert_eq!(proxy.ask(1, &exact, "s-1", "GET", "192.0.2.7:2").1, None, "another port is the same place");
    let (moved, reason) = proxy.ask(1, &exact, "s-1", "GET", "192.0.2.8:1");
    assert_eq!(reason, Some(Reason::SessionEnded));
    assert_eq!(record(&moved)["unmapped"]["ends_session"], "context_change");
    assert_eq!(proxy.ask(0, &exact, "s-1", "GET", "192.0.2.7:1").1, Some(Reason::SessionEnded), "for its owner, too");

    assert_eq!(proxy.ask(0, &network, "s-5", "GET", "192.0.2.7:1").1, None);
    assert_eq!(proxy.ask(0, &network, "s-5", "GET", "[::ffff:192.0.2.200]:1").1, None, "the same network in another notation");
    assert_eq!(proxy.ask(0, &network, "s-5", "GET", "192.0.3.7:1").1, Some(Reason::SessionEnded));
    assert_eq!(proxy.ask(0, &network, "s-6", "GET", "[2001:db8:0:1::1]:1").1, None);
    assert_eq!(proxy.ask(0, &network, "s-6", "GET", "[2001:db8:0:ff::1]:1").1, None);
    assert_eq!(proxy.ask(0, &network, "s-6", "GET", "[2001:db8:1::1]:1").1, Some(Reason::SessionEnded));
    assert_eq!(proxy.ask(0, &exact, "s-9", "GET", "somewhere").1, Some(Reason::InternalError), "without evidence nothing passes");
    assert_eq!(proxy.ask_with(0, &exact, &claims(), "GET", None).1, Some(Reason::InternalError));
}

#[test]
fn what_is_known_of_a_session_outlives_every_token_that_it_gets() {
    let policy = compile(&with(document(), "/end_session_when", json!({"context_changes": ["source_address"]})));
    let mut proxy = Proxy::new(2);
    // The policy's longest lifetime is 900 s, and its issuer refreshes the tokens.
    for worker in [0, 1, 0, 1] {
        assert_eq!(proxy.ask(worker, &policy, "s-1", "GET", "192.0.2.7:1").1, None);
        proxy.issued += 500;
        proxy.wait(500);
    }
    assert_eq!(proxy.ask(0, &policy, "s-1", "GET", "198.51.100.1:1").1, Some(Reason::SessionEnded), "first seen elsewhere");
    // Whoever goes on refreshing and asking does not outlast the ending, and it is told once.
    for _ in 0..40 {
        proxy.wait(7200);
        proxy.issued = proxy.elapsed.get();
        let (again, reason) = proxy.ask(1, &policy, "s-1", "GET", "198.51.100.1:1");
        assert_eq!(reason, Some(Reason::SessionEnded));
        assert_eq!(record(&again)["unmapped"]["ends_session"], Value::Null);
    }
    assert_eq!(proxy.ask(0, &policy, "s-2", "GET", "198.51.100.1:1").1, None, "another session");
}

#[test]
fn other_rules_for_contexts_end_no_session_and_bind_it_anew() {
    let watching = |bits: u64| {
        let rules = json!({"context_changes": ["source_address"], "source_prefix": bits});
        compile(&with(with(document(), "/end_session_when", rules), "/session/idle_timeout", json!("2m")))
    };
    let (before, exact, network) = (compile(&with(document(), "/session/idle_timeout", json!("2m"))), watching(32), watching(24));
    let mut proxy = Proxy::new(2);
    assert_eq!(proxy.ask(0, &before, "s-1", "GET", "192.0.2.7:1").1, None);
    assert_eq!(proxy.ask(1, &exact, "s-1", "GET", "192.0.2.8:1").1, None, "from where it came before is not known");
    assert_eq!(proxy.ask(0, &network, "s-1", "GET", "192.0.2.9:1").1, None, "by an address no network can be compared");
    assert_eq!(proxy.ask(0, &before, "s-1", "GET", "198.51.100.1:1").1, None);
    assert_eq!(proxy.ask(1, &network, "s-1", "GET", "192.0.2.7:1").1, None, "the same network");
    assert_eq!(proxy.ask(1, &network, "s-1", "GET", "192.0.3.7:1").1, Some(Reason::SessionEnded));
}

#[test]
fn two_policies_that_share_a_session_take_back_none_of_its_contexts() {
    let rules = |prefix: u64| json!({"context_changes": ["source_address"], "source_prefix": prefix});
    let named = |prefix: u64| with(with(document(), "/name", json!(format!("p-{prefix}"))), "/end_session_when", rules(prefix));
    let (exact, network) = (compile(&named(32)), compile(&named(24)));
    let mut proxy = Proxy::new(2);
    for _ in 0..3 {
        assert_eq!(proxy.ask(0, &exact, "s-1", "GET", "192.0.2.7:1").1, None);
        assert_eq!(proxy.ask(1, &network, "s-1", "GET", "192.0.2.8:1").1, None);
    }
    // Whoever alternates between them from elsewhere is the second one there under both.
    assert_eq!(proxy.ask(0, &exact, "s-1", "GET", "192.0.2.8:1").1, Some(Reason::SessionEnded));
    assert_eq!(proxy.ask(1, &network, "s-1", "GET", "192.0.2.7:1").1, Some(Reason::SessionEnded), "for all of them");
    // So many kinds lie side by side, and none makes room for another.
    for prefix in 8..16 {
        assert_eq!(proxy.ask(0, &compile(&named(prefix)), "s-2", "GET", "192.0.2.7:1").1, None);
    }
    assert_eq!(proxy.ask(0, &exact, "s-2", "GET", "192.0.2.7:1").1, Some(Reason::Overloaded));
    assert_eq!(proxy.ask(0, &compile(&named(8)), "s-2", "GET", "192.0.2.7:1").1, None);
    assert_eq!(proxy.ask(0, &compile(&named(8)), "s-2", "GET", "193.0.2.7:1").1, Some(Reason::SessionEnded));
}

#[test]
fn policies_that_share_a_session_count_its_denials_together_and_shorten_nothing() {
    let named = |name: &str, count: u64, within: &str| {
        let rules = json!({"denials": {"count": count, "within": within}});
        compile(&with(with(document(), "/name", json!(name)), "/end_session_when", rules))
    };
    let (slow, quick) = (named("slow", 4, "10m"), named("quick", 4, "10s"));
    let mut proxy = Proxy::new(2);
    // What the slow one counts outlasts the window of the quick one.
    for policy in [&slow, &quick, &quick] {
        assert_eq!(proxy.bad(0, policy, "s-1"), Some(Reason::UnknownCommand));
        proxy.wait(20);
    }
    assert_eq!(proxy.get(1, &quick, "s-1"), None);
    assert_eq!(proxy.bad(1, &slow, "s-1"), Some(Reason::UnknownCommand), "the fourth in ten minutes");
    assert_eq!(proxy.get(0, &quick, "s-1"), Some(Reason::SessionEnded));
    assert_eq!(proxy.get(0, &quick, "s-2"), None);
    // Nor does the use of a session under one policy shorten what another one keeps of it.
    let watching = |name: &str, lifetime: &str| {
        let rules = json!({"context_changes": ["source_address"]});
        compile(&with(
            with(with(document(), "/name", json!(name)), "/end_session_when", rules),
            "/session/max_lifetime",
            json!(lifetime),
        ))
    };
    let (long, short) = (watching("long", "3h"), watching("short", "11m"));
    proxy.issued = proxy.elapsed.get();
    assert_eq!(proxy.ask(0, &long, "s-3", "GET", "192.0.2.7:1").1, None);
    assert_eq!(proxy.ask(0, &short, "s-3", "GET", "192.0.2.7:1").1, None);
    assert_eq!(proxy.bad(0, &quick, "s-3"), Some(Reason::UnknownCommand));
    proxy.wait(2 * 3600);
    proxy.issued = proxy.elapsed.get();
    assert_eq!(proxy.ask(0, &long, "s-3", "GET", "198.51.100.1:1").1, Some(Reason::SessionEnded));
}

#[test]
fn only_policies_with_an_idle_timeout_note_uses_and_what_they_end_is_ended_for_all() {
    let named = |name: &str, idle: Option<&str>| {
        let document = with(counting(), "/name", json!(name));
        compile(&idle.map_or(document.clone(), |idle| with(document, "/session/idle_timeout", json!(idle))))
    };
    let (idle, plain) = (named("idle", Some("2m")), named("plain", None));
    let mut proxy = Proxy::new(2);
    // A denial was noted, no use: its time begins under the policy that has one.
    proxy.bad(0, &plain, "s-1");
    proxy.wait(59);
    assert_eq!(proxy.get(0, &plain, "s-1"), None);
    proxy.bad(0, &plain, "s-1");
    proxy.wait(59);
    proxy.bad(0, &plain, "s-1");
    proxy.wait(59);
    assert_eq!(proxy.get(1, &idle, "s-1"), None, "a policy without `idle_timeout` begins no time");
    for _ in 0..4 {
        proxy.wait(40);
        assert_eq!(proxy.get(0, &plain, "s-1"), None);
    }
    assert_eq!(proxy.get(1, &idle, "s-1"), Some(Reason::Idle), "uses under the other one do not count");
    assert_eq!(proxy.get(0, &plain, "s-1"), Some(Reason::Idle), "and it is over there, too");
    assert_eq!(proxy.get(0, &plain, "s-2"), None);
}

#[test]
fn a_session_with_another_certificate_ends() {
    let policy = compile(&with(document(), "/end_session_when", json!({"context_changes": ["client_certificate"]})));
    let ask = |proxy: &mut Proxy, session: &str, certificate: Option<&str>| {
        let mut claims = claims();
        claims["sid"] = json!(session);
        let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {}", token(&claims)))]);
        let headers: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let mut exchange = Exchange::begin(Rc::clone(&policy));
        assert!(exchange.peer_wanted().certificate_sha256, "the proxy is asked for it");
        let certificate = certificate.map(str::as_bytes);
        let peer = certificate.map(|_| Peer { certificate_sha256: certificate, uri_san: None, validated: Some(true) });
        let head = Head { headers: &headers, peer, ..Head::default() };
        let now = proxy.now();
        match exchange.request(&head, &mut proxy.workers[0], &context(&policy, now)) {
            Decision::Forward(_) => None,
            Decision::Hold(need) => panic!("it waits for {need:?}"),
            Decision::Refuse(denial) => Some(denial.reason()),
        }
    };
    let (one, other) = ("ab".repeat(32), "cd".repeat(32));
    let mut proxy = Proxy::new(1);
    assert_eq!(ask(&mut proxy, "s-1", Some(&one)), None);
    assert_eq!(ask(&mut proxy, "s-1", Some(&one)), None);
    assert_eq!(ask(&mut proxy, "s-1", Some(&other)), Some(Reason::SessionEnded));
    assert_eq!(ask(&mut proxy, "s-2", None), None);
    assert_eq!(ask(&mut proxy, "s-2", Some(&one)), Some(Reason::SessionEnded));
}

#[test]
fn open_streams_of_an_ended_or_idle_session_are_cut() {
    let policy = compile(&with(counting(), "/session/idle_timeout", json!("2m")));
    let mut proxy = Proxy::new(2);
    let (mut stream, reason) = proxy.ask(0, &policy, "s-1", "GET", "192.0.2.7:1");
    assert_eq!(reason, None);
    let (mut moving, _) = proxy.ask(0, &policy, "s-2", "GET", "192.0.2.7:1");
    let check = |proxy: &mut Proxy, stream: &mut Exchange, moved: bool| {
        proxy.workers[0].sweep();
        let now = proxy.now();
        stream.recheck(&mut proxy.workers[0], &context(&policy, now), moved)
    };
    assert_eq!(check(&mut proxy, &mut stream, false), None);
    for _ in 0..3 {
        proxy.wait(60);
        assert_eq!(check(&mut proxy, &mut moving, true), None, "what moves is in use");
    }
    assert_eq!(check(&mut proxy, &mut stream, false), Some(Reason::Idle));
    assert_eq!(record(&stream)["unmapped"]["ended_by"], "idle");
    assert_eq!(record(&stream)["unmapped"]["ends_session"], "idle", "the cut was what ended it");
    assert_eq!(record(&moving)["unmapped"].get("ends_session"), None);
    assert_eq!(proxy.get(1, &policy, "s-1"), Some(Reason::Idle));
    assert_eq!(check(&mut proxy, &mut moving, false), None);
    for _ in 0..3 {
        proxy.bad(1, &policy, "s-2");
    }
    assert_eq!(check(&mut proxy, &mut moving, false), Some(Reason::SessionEnded), "ended on the other worker");
    assert_eq!(record(&moving)["unmapped"].get("ends_session"), None, "whose record says so");
}

#[test]
fn a_stream_that_was_open_before_there_was_an_idle_timeout_becomes_idle_too() {
    let (before, after) = (compile(&document()), compile(&with(document(), "/session/idle_timeout", json!("2m"))));
    let mut proxy = Proxy::new(2);
    let (mut stream, _) = proxy.ask(0, &before, "s-1", "GET", "192.0.2.7:1");
    let mut check = |proxy: &mut Proxy| {
        proxy.workers[0].sweep();
        let now = proxy.now();
        stream.recheck(&mut proxy.workers[0], &context(&after, now), false)
    };
    assert_eq!(check(&mut proxy), None);
    proxy.wait(119);
    assert_eq!(check(&mut proxy), None, "its time began with the policy");
    proxy.wait(10);
    assert_eq!(check(&mut proxy), Some(Reason::Idle));
    assert_eq!(proxy.get(1, &after, "s-1"), Some(Reason::Idle));
}

/// A proxy's state that fails, lies or is always quicker.
struct Failing {
    of: LocalState,
    how: Cell<How>,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Well,
    NoTime,
    NoValue,
    Garbage,
    GarbageBeyondTheKey,
    NoPut,
    AlwaysQuicker,
}

impl SharedState for Failing {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        if self.how.get() == How::NoTime { Err(Unavailable) } else { self.of.elapsed() }
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        match self.how.get() {
            How::NoValue => Err(Unavailable),
            How::Garbage => Ok(Some((vec![7; 33], 1))),
            How::GarbageBeyondTheKey if !key.ends_with("key") => Ok(Some((vec![7; 60], 1))),
            How::Well | How::NoTime | How::GarbageBeyondTheKey | How::NoPut | How::AlwaysQuicker => self.of.get(key),
        }
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        match self.how.get() {
            How::NoPut => Err(Unavailable),
            How::AlwaysQuicker => Ok(false),
            How::Well | How::NoTime | How::NoValue | How::Garbage | How::GarbageBeyondTheKey => self.of.put(key, value, version),
        }
    }
}

#[test]
fn where_the_shared_state_fails_nothing_passes() {
    let policy = compile(&with(document(), "/session/idle_timeout", json!("2m")));
    let shared = Rc::new(Failing { of: LocalState::default(), how: Cell::new(How::Well) });
    for (how, expected) in [
        (How::Well, None),
        (How::NoTime, Some(Reason::InternalError)),
        (How::NoValue, Some(Reason::InternalError)),
        (How::Garbage, Some(Reason::InternalError)),
        (How::GarbageBeyondTheKey, Some(Reason::InternalError)),
        (How::NoPut, Some(Reason::InternalError)),
        (How::AlwaysQuicker, Some(Reason::Overloaded)),
    ] {
        let mut proxy = Proxy::new(1);
        proxy.workers[0].share(shared.clone());
        shared.how.set(how);
        assert_eq!(proxy.get(0, &policy, &format!("s-{}", how as u8)), expected);
    }
    // A worker that shares nothing knows nothing.
    let mut proxy = Proxy::new(1);
    proxy.workers[0] = worker();
    assert_eq!(proxy.get(0, &policy, "s-1"), Some(Reason::InternalError));
    assert_eq!(proxy.get(0, &compile(&document()), "s-1"), None, "and needs to know nothing without such rules");
}

#[test]
fn a_denial_that_could_not_be_noted_is_noted_before_the_sessions_next_request_or_that_is_denied() {
    let policy = compile(&counting());
    let shared = Rc::new(Failing { of: LocalState::default(), how: Cell::new(How::Well) });
    let mut proxy = Proxy::new(1);
    proxy.workers[0].share(shared.clone());
    for (how, expected) in [(How::NoPut, Reason::InternalError), (How::AlwaysQuicker, Reason::Overloaded)] {
        let session = format!("s-{expected}");
        shared.how.set(how);
        assert_eq!(proxy.bad(0, &policy, &session), Some(Reason::UnknownCommand));
        assert_eq!(proxy.get(0, &policy, &session), Some(expected), "it is not known what it has done");
        assert_eq!(proxy.get(0, &policy, "s-other"), None, "another is not denied for it");
        shared.how.set(How::Well);
        assert_eq!(proxy.get(0, &policy, &session), None);
        assert_eq!(proxy.bad(0, &policy, &session), Some(Reason::UnknownCommand));
        shared.how.set(how);
        assert_eq!(proxy.bad(0, &policy, &session), Some(Reason::UnknownCommand));
        shared.how.set(How::Well);
        let (ended, reason) = proxy.ask(0, &policy, &session, "GET", "192.0.2.7:1000");
        assert_eq!(reason, Some(Reason::SessionEnded), "that was the third");
        assert_eq!(record(&ended)["unmapped"]["ends_session"], "denials");
    }
    // Once they count no more nothing is owed.
    shared.how.set(How::NoPut);
    proxy.bad(0, &policy, "s-late");
    proxy.wait(61);
    shared.of.advance(Duration::from_secs(61));
    assert_eq!(proxy.get(0, &policy, "s-late"), None);
}

#[test]
fn without_room_a_session_that_is_not_known_is_denied_and_none_is_forgotten() {
    let policy = compile(&with(counting(), "/session/idle_timeout", json!("14m")));
    let mut proxy = Proxy::new(1);
    for _ in 0..3 {
        proxy.bad(0, &policy, "s-ended");
    }
    let rate = with(counting(), "/session/idle_timeout", json!("14m"));
    let policy = compile(&with(rate, "/limits", json!({"verifications_per_second": 100_000})));
    let mut refused = 0;
    for number in 0..120_000 {
        match proxy.get(0, &policy, &format!("s-{number}")) {
            None => {}
            Some(Reason::Overloaded) => refused += 1,
            Some(other) => panic!("{other}"),
        }
    }
    assert!(refused > 1000, "{refused}");
    // Their tokens have been pushed out by others, and this second's signature checks are used up.
    proxy.wait(1);
    assert_eq!(proxy.get(0, &policy, "s-ended"), Some(Reason::SessionEnded));
    assert_eq!(proxy.get(0, &policy, "s-0"), None);
    // Room is made by those whose tokens can no longer be valid, but not by those that were ended.
    proxy.wait(16 * 60);
    let now = NOW + 16 * 60;
    let later = with(with(claims(), "/iat", json!(now)), "/exp", json!(now + 600));
    for number in 0..1000 {
        let later = with(later.clone(), "/sid", json!(format!("later-{number}")));
        assert_eq!(proxy.ask_with(0, &policy, &later, "GET", None).1, None);
    }
    let ended = with(later, "/sid", json!("s-ended"));
    assert_eq!(proxy.ask_with(0, &policy, &ended, "GET", None).1, Some(Reason::SessionEnded));
}
