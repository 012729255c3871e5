//! State that many sessions share room for: no one caller's sessions take the room of others, whatever ids they have.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::{Policy, Reason};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::proxy::{Proxy, counting};
use support::{NOW, claims, compile, document, with};

/// Where a session was kept when that was an unkeyed hash: anybody could choose ids for one place.
fn place_without_key(session: &str) -> u8 {
    let mut hash = Sha256::new();
    for part in ["https://broker.example", session] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[0]
}

fn chosen(prefix: &str, place: u8) -> impl Iterator<Item = String> {
    (0..).map(move |number| format!("{prefix}-{number}")).filter(move |session| place_without_key(session) == place)
}

/// Asks as this session of this subject; tells the reason of the denial.
fn ask(proxy: &mut Proxy, policy: &Rc<Policy>, method: &str, subject: &str, session: &str) -> Option<Reason> {
    let at = NOW + proxy.elapsed.get();
    let over = json!({"sub": subject, "sid": session, "iat": at, "exp": at + 600});
    let mut all = claims();
    over.as_object().unwrap().iter().for_each(|(name, value)| all[name] = value.clone());
    proxy.ask_with(0, policy, &all, method, Some("192.0.2.7:1000")).1
}

fn without_pace(document: Value) -> Rc<Policy> {
    compile(&with(document, "/limits", json!({"verifications_per_second": 100_000})))
}

#[test]
fn ten_thousand_sessions_chosen_for_one_place_take_nothing_from_their_neighbours() {
    let with_contexts = with(counting(), "/end_session_when/context_changes", json!(["source_address"]));
    for document in [counting(), with_contexts] {
        let policy = without_pace(document);
        let mut proxy = Proxy::new(1);
        let place = place_without_key("victim");
        let known: Vec<String> = chosen("known", place).take(50).collect();
        for session in &known {
            assert_eq!(ask(&mut proxy, &policy, "GET", "agent-2", session), None);
        }
        for session in chosen("attack", place).take(10_000) {
            ask(&mut proxy, &policy, "GET", "agent-1", &session);
            ask(&mut proxy, &policy, "DELETE", "agent-1", &session);
        }
        let (mut refused, mut uncounted) = (0, 0);
        for session in known.into_iter().chain(chosen("new", place).take(50)) {
            refused += u32::from(ask(&mut proxy, &policy, "GET", "agent-2", &session).is_some());
            for _ in 0..3 {
                ask(&mut proxy, &policy, "DELETE", "agent-2", &session);
            }
            uncounted += u32::from(ask(&mut proxy, &policy, "GET", "agent-2", &session) != Some(Reason::SessionEnded));
        }
        println!("of 100 neighbours {refused} were refused, and the denials of {uncounted} not counted");
        assert_eq!((refused, uncounted), (0, 0));
    }
}

#[test]
fn an_ending_belongs_to_the_session_whatever_the_policy_is_called() {
    let policy = compile(&counting());
    let mut proxy = Proxy::new(2);
    for _ in 0..3 {
        proxy.bad(0, &policy, "s-1");
    }
    proxy.bad(0, &policy, "s-2");
    let renamed = compile(&with(counting(), "/name", json!("billing")));
    let without = compile(&with(document(), "/name", json!("plain")));
    for worker in [0, 1] {
        for policy in [&renamed, &without] {
            proxy.workers[worker].adopt(policy);
            assert_eq!(proxy.get(worker, policy, "s-1"), Some(Reason::SessionEnded));
            assert_eq!(proxy.get(worker, policy, "s-2"), None);
        }
    }
    // Denials go on being counted where the old policy stopped.
    proxy.bad(1, &renamed, "s-2");
    assert_eq!(proxy.get(1, &renamed, "s-2"), None);
    proxy.bad(0, &renamed, "s-2");
    assert_eq!(proxy.get(1, &renamed, "s-2"), Some(Reason::SessionEnded));
    assert_eq!(proxy.get(1, &renamed, "s-3"), None);
}
