//! Which policy judges the streams of a VM that another one has taken over from.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use chaperone_policy::{Heard, Lineage, LocalState, Policy, SharedState, Unavailable, VmId};
use serde_json::{Value, json};
use std::{cell::Cell, rc::Rc, time::Duration};
use support::document as policy_json;

const ROOM: usize = 1 << 20;
/// A VM with streams, and the one of the main thread, which has none.
const MINE: VmId = [1; 16];
const MAIN: VmId = [2; 16];

fn document(generation: u64, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut policy = policy_json();
    policy["generation"] = json!(generation);
    change(&mut policy);
    policy.to_string().into_bytes()
}

/// A VM's own configuration at this second of the proxy.
fn configured(document: &[u8], second: u64) -> Lineage {
    let policy = Rc::new(Policy::compile(document).unwrap());
    Lineage::new(policy, document.to_vec(), Some(Duration::from_secs(second)))
}

fn generation(lineage: &Lineage) -> Option<u64> {
    let newest = lineage.newest();
    newest.revision().map(|_| newest.generation())
}

#[test]
fn an_older_vm_judges_by_what_a_newer_one_serves_and_not_before_it_does() {
    let shared = LocalState::default();
    let old = configured(&document(1, |_| {}), 1);
    assert!(old.tick(&shared, &MINE, false, ROOM).told);
    // Taken, and not yet served: it may be a trial.
    let new = configured(&document(2, |_| {}), 5);
    assert!(old.tick(&shared, &MINE, false, ROOM).policy.is_none());
    assert!(new.tick(&shared, &MINE, false, ROOM).told);
    let heard = old.tick(&shared, &MINE, false, ROOM);
    assert!(!heard.unreadable);
    assert_eq!((heard.policy.unwrap().generation(), generation(&old)), (2, Some(2)));
    // Once, and not at each tick.
    assert!(old.tick(&shared, &MINE, false, ROOM).policy.is_none());
    assert!(!new.tick(&shared, &MINE, false, ROOM).told && generation(&new) == Some(2));
}

#[test]
fn the_older_one_never_speaks_over_the_newer_one_whoever_ticks_first() {
    let shared = LocalState::default();
    let (old, new) = (configured(&document(1, |_| {}), 1), configured(&document(2, |_| {}), 2));
    new.tick(&shared, &MINE, false, ROOM);
    let heard = old.tick(&shared, &MINE, false, ROOM);
    assert_eq!((heard.policy.map(|policy| policy.generation()), generation(&old)), (Some(2), Some(2)));
    assert!(new.tick(&shared, &MINE, false, ROOM).policy.is_none());
    // Nor does a worker that was given the same as another keep another object for it: its tokens would be judged anew.
    let twin = configured(&document(2, |_| {}), 3);
    let before = twin.newest();
    for lineage in [&twin, &new, &twin] {
        assert!(lineage.tick(&shared, &MINE, false, ROOM).policy.is_none());
    }
    assert!(Rc::ptr_eq(&before, &twin.newest()));
}

#[test]
fn workers_that_take_the_same_document_at_different_times_stay_with_their_own() {
    for order in [[0, 1], [1, 0]] {
        let shared = LocalState::default();
        let workers = [configured(&document(1, |_| {}), 1), configured(&document(1, |_| {}), 2)];
        for at in order.into_iter().chain(order) {
            assert!(workers[at].tick(&shared, &MINE, false, ROOM).policy.is_none(), "{order:?}");
        }
        // A newer configuration of either reaches the other.
        let next = document(2, |_| {});
        workers[0].configured(Rc::new(Policy::compile(&next).unwrap()), next, Some(Duration::from_secs(9)));
        workers[0].tick(&shared, &MINE, false, ROOM);
        assert_eq!(workers[1].tick(&shared, &MINE, false, ROOM).policy.unwrap().generation(), 2);
    }
}

#[test]
fn policies_of_other_names_are_strangers() {
    let shared = LocalState::default();
    let orders = configured(&document(1, |_| {}), 1);
    let other = configured(&document(2, |policy| policy["name"] = json!("another")), 5);
    other.tick(&shared, &MINE, false, ROOM);
    assert!(orders.tick(&shared, &MINE, false, ROOM).policy.is_none());
}

#[test]
fn what_an_older_filter_cannot_read_denies_everything() {
    let name = configured(&document(1, |_| {}), 1).name().to_owned();
    let (stamp, text) = (format!("chaperone/policy/1/{name}/at"), format!("chaperone/policy/1/{name}/document"));
    let at = |second: u64| (second * 1_000_000_000).to_le_bytes().to_vec();
    let good = document(2, |_| {});
    let unknown = document(2, |policy| policy["a_member_of_tomorrow"] = json!(true));
    let stranger = document(2, |policy| policy["name"] = json!("another"));
    for (why, told, document) in [
        ("a member of tomorrow", at(5), Some([at(5), unknown].concat())),
        ("another name's", at(5), Some([at(5), stranger].concat())),
        ("no document", at(5), None),
        ("one that is older than was told", at(5), Some([at(4), good.clone()].concat())),
        ("half a time", at(5), Some(vec![0; 4])),
        ("a time that is none", vec![1], Some([at(5), good.clone()].concat())),
        ("no JSON", at(5), Some([at(5), b"{".to_vec()].concat())),
    ] {
        let shared = LocalState::default();
        shared.put(&stamp, &told, None).unwrap();
        if let Some(document) = document {
            shared.put(&text, &document, None).unwrap();
        }
        let old = configured(&document_of(1), 1);
        // It tells of its own first, which is older.
        let heard = old.tick(&shared, &MINE, false, ROOM);
        assert!(heard.unreadable, "{why}: {heard:?}");
        assert_eq!(generation(&old), None, "{why}");
    }
    // No room is no reading either.
    let shared = LocalState::default();
    configured(&good, 5).tick(&shared, &MINE, false, ROOM);
    let old = configured(&document_of(1), 1);
    assert!(old.tick(&shared, &MINE, false, good.len() - 1).unreadable && generation(&old).is_none());
    // A configuration of its own is the newest again.
    let next = document_of(3);
    old.configured(Rc::new(Policy::compile(&next).unwrap()), next, Some(Duration::from_secs(9)));
    old.tick(&shared, &MINE, false, ROOM);
    assert_eq!(generation(&old), Some(3));
}

fn document_of(generation: u64) -> Vec<u8> {
    document(generation, |_| {})
}

#[test]
fn where_no_configuration_reaches_its_streams_they_end_after_the_bound_unless_new_ones_come() {
    let bounds = [(json!("4s"), 4), (Value::Null, 10), (json!("0s"), 3), (json!("1s"), 3)];
    for (bound, seconds) in bounds {
        let shared = LocalState::default();
        let document = document(1, |policy| {
            if !bound.is_null() {
                policy["session"]["orphaned_streams"] = bound.clone();
            }
        });
        let (old, main) = (configured(&document, 0), configured(&document, 0));
        let tick = |milliseconds: u64| -> Heard {
            shared.advance(Duration::from_millis(milliseconds));
            old.tick(&shared, &MINE, false, ROOM)
        };
        // Nobody has said anything: nothing is known, and nothing is given up.
        assert!(!tick(90_000).abandoned && !old.is_abandoned());
        for beat in 0..40 {
            tick(100_000 + 250 * beat);
            main.tick(&shared, &MAIN, true, ROOM);
            assert!(!old.is_abandoned());
        }
        // The last beat was at 109 s. A stream that begins shows that somebody still sends some here.
        let last = 109_000;
        assert!(!tick(last + 1000 * seconds - 1).abandoned, "{bound}");
        old.begins();
        let begun = last + 1000 * seconds;
        tick(begun);
        assert!(!tick(begun + 1000 * seconds - 1).abandoned && !old.is_abandoned(), "{bound}");
        assert!(tick(begun + 1000 * seconds).abandoned, "{bound}");
        assert!(old.is_abandoned() && !tick(begun + 1000 * seconds + 1).abandoned, "told once");
        // A stream that begins is not ended with the others, and those have its time as well.
        old.begins();
        assert!(!old.is_abandoned());
        // It is in force again.
        main.tick(&shared, &MAIN, true, ROOM);
        tick(begun + 1000 * seconds + 2);
        assert!(!old.is_abandoned());
    }
    let shared = LocalState::default();
    let observing = document(1, |policy| policy["mode"] = json!("observe"));
    let (old, main) = (configured(&observing, 0), configured(&observing, 0));
    main.tick(&shared, &MAIN, true, ROOM);
    shared.advance(Duration::from_secs(9999));
    old.tick(&shared, &MINE, false, ROOM);
    assert!(!old.is_abandoned(), "observing cuts nothing");
}

#[test]
fn a_vm_takes_its_own_beats_back_when_it_has_its_first_stream_and_no_other_ones() {
    let shared = LocalState::default();
    let (one, other) = (configured(&document_of(1), 0), configured(&document_of(1), 0));
    let minutes = |lineage: &Lineage, vm: &VmId, idle: bool, second: u64| {
        shared.advance(Duration::from_secs(second));
        lineage.tick(&shared, vm, idle, ROOM);
        lineage.is_abandoned()
    };
    // A worker that nobody has used beats, and has then its first stream: it was the only one, and says nothing any more.
    assert!(!minutes(&one, &MINE, true, 1));
    assert!(!minutes(&one, &MINE, false, 2));
    assert!(!minutes(&one, &MINE, false, 500) && !minutes(&other, &MAIN, false, 501));
    // Beats of another VM stay what they are.
    assert!(!minutes(&other, &MAIN, true, 502));
    assert!(!minutes(&one, &MINE, false, 503));
    assert!(minutes(&one, &MINE, false, 600), "they have stopped");
    // Whatever else stands there is no beat.
    let key = format!("chaperone/policy/1/{}/beat", one.name());
    let (_, version) = shared.get(&key).unwrap().unwrap();
    assert!(shared.put(&key, &[7; 5], Some(version)).unwrap());
    assert!(!minutes(&one, &MINE, false, 700));
}

/// A proxy that fails.
struct Failing {
    inner: LocalState,
    elapsed: Cell<bool>,
    get: Cell<bool>,
}

impl SharedState for Failing {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        if self.elapsed.get() { Err(Unavailable) } else { self.inner.elapsed() }
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        if self.get.get() { Err(Unavailable) } else { self.inner.get(key) }
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        self.inner.put(key, value, version)
    }
}

#[test]
fn a_proxy_that_does_not_tell_of_newer_policies_gives_no_more_than_the_bound() {
    let shared = Failing { inner: LocalState::default(), elapsed: Cell::new(false), get: Cell::new(true) };
    let lineage = configured(&document_of(1), 0);
    assert!(!lineage.tick(&shared, &MINE, false, ROOM).told);
    shared.inner.advance(Duration::from_secs(9));
    lineage.tick(&shared, &MINE, false, ROOM);
    assert!(!lineage.is_abandoned());
    shared.inner.advance(Duration::from_secs(10));
    lineage.tick(&shared, &MINE, false, ROOM);
    assert!(lineage.is_abandoned());
    // What could not be told then is told now.
    shared.get.set(false);
    assert!(lineage.tick(&shared, &MINE, false, ROOM).told && !lineage.is_abandoned());
    shared.get.set(true);
    shared.elapsed.set(true);
    lineage.tick(&shared, &MINE, false, ROOM);
    assert!(lineage.is_abandoned(), "without a time there is no bound");
}

#[test]
fn what_was_configured_while_the_proxy_told_no_time_is_as_new_as_its_first_tick() {
    let shared = LocalState::default();
    let old = configured(&document_of(1), 1);
    old.tick(&shared, &MINE, false, ROOM);
    shared.advance(Duration::from_secs(5));
    let next = document_of(2);
    let new = Lineage::new(Rc::new(Policy::compile(&next).unwrap()), next, None);
    new.tick(&shared, &MINE, false, ROOM);
    old.tick(&shared, &MINE, false, ROOM);
    assert_eq!((generation(&new), generation(&old)), (Some(2), Some(2)));
}
