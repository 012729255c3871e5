//! State that many sessions share room for: no one caller's sessions take the room of others, whatever ids they have.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_macros, clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chaperone_policy::{LocalState, Policy, Reason, SharedState, Unavailable};
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

/// What is asked of the state, counted.
#[derive(Default)]
struct Counting {
    of: LocalState,
    gets: Cell<u32>,
    puts: Cell<u32>,
}

impl SharedState for Counting {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        self.of.elapsed()
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        self.gets.set(self.gets.get() + 1);
        self.of.get(key)
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        self.puts.set(self.puts.get() + 1);
        self.of.put(key, value, version)
    }
}

#[test]
fn a_request_reads_once_and_a_configuration_writes_nothing() {
    let idle = with(counting(), "/session/idle_timeout", json!("5m"));
    let watching = with(idle.clone(), "/end_session_when/context_changes", json!(["source_address"]));
    for document in [counting(), idle, watching] {
        let policy = compile(&document);
        let shared = Rc::new(Counting::default());
        let mut proxy = Proxy::new(1);
        proxy.workers[0].share(shared.clone());
        proxy.workers[0].adopt(&policy);
        proxy.workers[0].sweep();
        assert_eq!(shared.puts.get(), 0, "a configuration may be a trial");
        for session in ["s-1", "s-2", "s-3"] {
            assert_eq!(proxy.get(0, &policy, session), None);
        }
        proxy.bad(0, &policy, "s-1");
        let before = (shared.gets.get(), shared.puts.get());
        for session in ["s-1", "s-2", "s-3"] {
            assert_eq!(proxy.get(0, &policy, session), None);
        }
        assert_eq!((shared.gets.get(), shared.puts.get()), (before.0 + 3, before.1), "one read a request");
    }
}

/// Sessions that are let in until `until` of them have asked, each in turn of one of so many subjects.
fn crowd(proxy: &mut Proxy, policy: &Rc<Policy>, subjects: usize, until: usize) -> usize {
    let mut held = 0;
    for number in 0..until {
        if number % 50_000 == 0 {
            proxy.wait(1);
        }
        let subject = format!("agent-{}", 100 + number % subjects);
        held += usize::from(ask(proxy, policy, "GET", &subject, &format!("{subjects}-{number}")).is_none());
    }
    held
}

/// The figures of `limits.rs` and of docs/limits.md.
#[test]
fn a_proxy_holds_so_many_sessions_and_one_subject_no_more_than_half() {
    let document = with(counting(), "/end_session_when/context_changes", json!(["source_address"]));
    let policy = without_pace(with(document, "/session/idle_timeout", json!("14m")));
    let (mut figures, newcomers) = (Vec::new(), 2_000);
    for (subjects, asking) in [(1, 60_000), (2, 70_000), (8, 90_000), (1_000_000, 80_000)] {
        let mut proxy = Proxy::new(1);
        let ended = (0..3).map(|_| ask(&mut proxy, &policy, "DELETE", "agent-2", "ended")).count();
        assert_eq!(ended, 3);
        let held = crowd(&mut proxy, &policy, subjects, asking);
        // Somebody else comes.
        let refused =
            (0..newcomers).filter(|number| ask(&mut proxy, &policy, "GET", "agent-2", &format!("new-{number}")).is_some());
        let refused = refused.count();
        figures.push((subjects, held, refused));
        assert_eq!(ask(&mut proxy, &policy, "GET", "agent-2", "ended"), Some(Reason::SessionEnded));
    }
    println!("subjects, sessions held, {newcomers} newcomers refused: {figures:?}");
    let held: Vec<usize> = figures.iter().map(|(_, held, _)| *held).collect();
    assert!(held[3] >= 75_000, "of many subjects");
    assert!((30_000..=40_000).contains(&held[0]), "of one");
    for (subjects, _, refused) in &figures[..3] {
        assert_eq!(*refused, 0, "{subjects} subjects have taken the room of all others");
    }
}

#[test]
fn a_subject_that_denials_fill_a_shard_with_gets_none_uncounted_and_its_neighbours_are_served() {
    let document = with(counting(), "/end_session_when/denials/within", json!("10m"));
    let policy = without_pace(document);
    for subjects in [1, 40] {
        let mut proxy = Proxy::new(1);
        let subject = |number: usize| format!("agent-{}", 100 + number % subjects);
        for _ in 0..3 {
            ask(&mut proxy, &policy, "DELETE", "agent-2", "ended");
        }
        for number in 0..200_000 {
            if number % 50_000 == 0 {
                proxy.wait(1);
            }
            ask(&mut proxy, &policy, "DELETE", &subject(number), &format!("attack-{number}"));
        }
        proxy.wait(1);
        let (mut free, mut shut) = (0, 0);
        for number in 0..2_000 {
            let mut last = None;
            for _ in 0..4 {
                last = ask(&mut proxy, &policy, "DELETE", &subject(number), &format!("more-{number}"));
            }
            match last {
                Some(Reason::SessionEnded) => free += 1,
                Some(Reason::Overloaded) => shut += 1,
                other => panic!("after three denials: {other:?}"),
            }
        }
        println!("{subjects} subjects: of 2000 further sessions {free} ended, {shut} were not let in");
        assert!(shut > 0);
        for number in 0..500 {
            let session = format!("neighbour-{number}");
            assert_eq!(ask(&mut proxy, &policy, "GET", "agent-2", &session), None, "{subjects}, {number}");
            for _ in 0..3 {
                ask(&mut proxy, &policy, "DELETE", "agent-2", &session);
            }
            assert_eq!(ask(&mut proxy, &policy, "GET", "agent-2", &session), Some(Reason::SessionEnded));
        }
        assert_eq!(ask(&mut proxy, &policy, "GET", "agent-2", "ended"), Some(Reason::SessionEnded));
        // It passes.
        proxy.wait(12 * 60);
        for number in 0..100 {
            assert_eq!(ask(&mut proxy, &policy, "GET", &subject(number), &format!("later-{number}")), None);
        }
    }
}
