//! What two or three workers make of one session at the same time, at every point where one can come between another's steps; and who
//! gets room.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use super::bytes::StreamBytes;
use super::entry::Entry;
use super::key::{Key, StateKey};
use super::shard::Shard;
use super::usage::Bytes;
use super::{Charge, Count, Id, LocalState, Sessions, SharedState, StateQuery, Stop, Unavailable};
use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::rules::ending::{Denials, StateRules};
use crate::rules::grants::SessionBytes;
use crate::token::claims::{ClaimPaths, Claims};

const LIFETIME: u64 = 900;
/// When it begins, in milliseconds.
const NOW: u64 = 10_000_000;
/// When what is kept for long is over.
const LONG: u64 = 2 * NOW;

fn claims(subject: &str, session: &str) -> Claims {
    let all = json!({"sub": subject, "sid": session, "iat": 0, "exp": 10});
    Claims::read(all.as_object().unwrap(), "https://broker.example", &[], &ClaimPaths::default()).unwrap()
}

fn rules(count: u8) -> StateRules {
    StateRules { denials: Some(Denials { count, within: 60 }), idle_timeout: Some(800), ..StateRules::default() }
}

fn query<'a>(rules: &'a StateRules, claims: &'a Claims, key: &'a StateKey) -> StateQuery<'a> {
    StateQuery { rules, lifetime: LIFETIME, claims, key }
}

fn worker(seed: u8, shared: Rc<dyn SharedState>) -> Sessions {
    let mut sessions = Sessions::new(&[seed; 32]);
    sessions.share(shared);
    sessions
}

fn context(place: u8) -> Id {
    let mut context = [place; 16];
    context[0] = 32;
    context
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Denied,
    EnterFrom(u8),
}

/// What came of it: whether the session may go on.
fn act(what: Act, sessions: &mut Sessions, count: u8) -> Result<(), Stop> {
    let (rules, claims, place) = (rules(count), claims("agent", "s"), StateKey::default());
    let query = query(&rules, &claims, &place);
    match what {
        Act::Denied => {
            sessions.denied(&query).map_or(Ok(()), |ending| Err(Stop { reason: Reason::SessionEnded, ended_now: Some(ending) }))
        }
        Act::EnterFrom(from) => sessions.enter(&query, Some(context(from))),
    }
}

type Other = Box<dyn FnOnce()>;

/// Lets others act before some of a worker's reads and writes.
struct Interposed {
    of: Rc<LocalState>,
    calls: Cell<usize>,
    others: RefCell<Vec<(usize, Other)>>,
}

impl Interposed {
    fn call(&self) {
        let number = self.calls.replace(self.calls.get() + 1);
        let due: Vec<_> = self.others.borrow_mut().extract_if(.., |(at, _)| *at == number).collect();
        due.into_iter().for_each(|(_, other)| other());
    }
}

impl SharedState for Interposed {
    fn elapsed(&self) -> Result<Duration, Unavailable> {
        self.of.elapsed()
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Unavailable> {
        self.call();
        self.of.get(key)
    }

    fn put(&self, key: &str, value: &[u8], version: Option<u32>) -> Result<bool, Unavailable> {
        self.call();
        self.of.put(key, value, version)
    }
}

fn key_of(number: u8) -> String {
    format!("chaperone/state/1/{number:02x}")
}

fn shard(shared: &LocalState, number: u8) -> Shard {
    shared.get(&key_of(number)).unwrap().map_or_else(Shard::default, |(bytes, _)| Shard::read(&bytes).unwrap())
}

fn store(shared: &LocalState, number: u8, shard: &Shard) {
    let version = shared.get(&key_of(number)).unwrap().map(|(_, version)| version);
    assert!(shared.put(&key_of(number), &shard.write(), version).unwrap());
}

/// The state in which the workers find a session's shards.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Setup {
    NoKey,
    Empty,
    /// So many of them are full, and do not say so yet.
    Full(usize),
    /// So many are full and say so.
    Overflowed(usize),
    /// The first says that it has overflowed, and has room again.
    RoomAgain,
    /// The same for another millisecond.
    SoonOver,
    /// It is known in the first, and soon no more.
    SoonForgotten,
    /// It is known in the second.
    Elsewhere,
    /// It is known in the first, which has overflowed.
    BeforeOthers,
}

const SETUPS: [Setup; 14] = [
    Setup::NoKey,
    Setup::Empty,
    Setup::Full(1),
    Setup::Full(2),
    Setup::Full(3),
    Setup::Full(4),
    Setup::Overflowed(1),
    Setup::Overflowed(2),
    Setup::Overflowed(3),
    Setup::RoomAgain,
    Setup::SoonOver,
    Setup::SoonForgotten,
    Setup::Elsewhere,
    Setup::BeforeOthers,
];

fn filler(number: u32, until: u64) -> Entry {
    let mut id = [1; 16];
    id[..4].copy_from_slice(&number.to_le_bytes());
    Entry { keep_until: until, used: Some(NOW), ..Entry::new(id, number.to_le_bytes()) }
}

/// No room for anything new: the bytes of one that is full for long.
fn full() -> &'static [u8] {
    static FULL: OnceLock<Vec<u8>> = OnceLock::new();
    FULL.get_or_init(|| {
        let mut shard = Shard::default();
        let fits = |shard: &Shard, entry: &Entry| shard.lack(entry, None).unwrap().is_none();
        (0..)
            .map(|number| filler(number, LONG))
            .take_while(|entry| fits(&shard, entry).then(|| shard.put(entry)).is_some())
            .count();
        shard.write()
    })
}

fn spot() -> super::key::Spot {
    StateKey::default().spot(&Key::proposed(&[9; 32]), &claims("agent", "s"))
}

fn prepare(setup: Setup) -> Rc<LocalState> {
    let shared = Rc::new(LocalState::default());
    shared.advance(Duration::from_millis(NOW));
    if setup == Setup::NoKey {
        return shared;
    }
    assert!(shared.put("chaperone/state/1/key", Key::proposed(&[9; 32]).bytes(), None).unwrap());
    let spot = spot();
    let subject = StateKey::default().subject(&Key::proposed(&[9; 32]), &claims("agent", "s"));
    let known = |until| Entry { contexts: vec![context(1)], keep_until: until, ..Entry::new(spot.id, subject) };
    for (nth, number) in spot.shards.into_iter().enumerate() {
        let mut shard = Shard::default();
        match setup {
            Setup::NoKey | Setup::Empty => {}
            Setup::Full(count) if nth < count => shard = Shard::read(full()).unwrap(),
            Setup::Overflowed(count) if nth < count => {
                shard = Shard::read(full()).unwrap();
                shard.overflowed_until = LONG;
            }
            Setup::RoomAgain if nth == 0 => shard.overflowed_until = LONG,
            Setup::SoonOver if nth == 0 => shard.overflowed_until = NOW + 1,
            Setup::SoonForgotten if nth == 0 => {
                shard.overflowed_until = LONG;
                shard.put(&known(NOW + 1));
            }
            Setup::Elsewhere if nth == 0 => shard.overflowed_until = LONG,
            Setup::Elsewhere if nth == 1 => shard.put(&known(NOW + 900_000)),
            Setup::BeforeOthers if nth == 0 => {
                shard.overflowed_until = LONG;
                shard.put(&known(NOW + 900_000));
            }
            Setup::Full(_)
            | Setup::Overflowed(_)
            | Setup::RoomAgain
            | Setup::SoonOver
            | Setup::SoonForgotten
            | Setup::Elsewhere
            | Setup::BeforeOthers => {}
        }
        if shard != Shard::default() {
            store(&shared, number, &shard);
        }
    }
    shared
}

/// All entries of the session that are kept, wherever.
fn entries(shared: &LocalState) -> Vec<Entry> {
    let Some((key, _)) = shared.get("chaperone/state/1/key").unwrap() else { return Vec::new() };
    let spot = StateKey::default().spot(&Key::read(&key).unwrap(), &claims("agent", "s"));
    let now = u64::try_from(shared.elapsed().unwrap().as_millis()).unwrap();
    let kept = spot.shards.into_iter().filter_map(|number| shard(shared, number).find(&spot.id).unwrap());
    kept.filter(|entry| entry.keep_until > now).collect()
}

/// Runs the first act with the others before its reads and writes of these numbers; false when it had not so many.
fn run(setup: Setup, first: Act, others: &[(usize, Act)], count: u8) -> bool {
    let shared = prepare(setup);
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let interposed = Rc::new(Interposed { of: Rc::clone(&shared), calls: Cell::new(0), others: RefCell::default() });
    for (nth, (at, what)) in others.iter().copied().enumerate() {
        let (shared, outcomes) = (Rc::clone(&shared), Rc::clone(&outcomes));
        let other = move || {
            // Time passes, too: what was about to be over is.
            shared.advance(shared.elapsed().unwrap() + Duration::from_millis(2));
            let outcome = act(what, &mut worker(20 + u8::try_from(nth).unwrap(), shared), count);
            outcomes.borrow_mut().push((what, outcome));
        };
        interposed.others.borrow_mut().push((at, Box::new(other)));
    }
    let outcome = act(first, &mut worker(9, interposed.clone()), count);
    if !interposed.others.borrow().is_empty() {
        return false;
    }
    outcomes.borrow_mut().push((first, outcome));
    let outcomes = outcomes.take();
    let what = format!("{setup:?}, {first:?} with {others:?}: {outcomes:?}");
    let kept = entries(&shared);
    assert!(kept.len() <= 1, "two entries; {what}: {kept:#?}");
    let (ended, denials) = kept.first().map_or((None, 0), |entry| (entry.ended, entry.denials.len()));
    let denied = outcomes.iter().filter(|(act, _)| *act == Act::Denied).count();
    let over = outcomes.iter().any(|(_, outcome)| outcome.is_err_and(|stop| stop.ended_now.is_some()));
    let again = act(Act::EnterFrom(1), &mut worker(30, Rc::clone(&shared) as Rc<dyn SharedState>), count);
    if over {
        assert!(ended.is_some(), "an ending is lost; {what}: {kept:#?}");
        assert_eq!(again.unwrap_err().reason, Reason::SessionEnded, "{what}");
    }
    if setup == Setup::Full(limits::SHARD_CHOICES) {
        // Without room nothing is let in, and a denial that cannot be noted lets in nothing later.
        assert!(
            outcomes.iter().all(|(act, outcome)| *act == Act::Denied || *outcome == Err(Reason::Overloaded.into())),
            "{what}"
        );
        assert_eq!(again, Err(Reason::Overloaded.into()), "{what}");
        return true;
    }
    assert!(outcomes.iter().all(|(_, outcome)| *outcome != Err(Reason::Overloaded.into())), "there is room; {what}");
    if ended.is_none() {
        assert_eq!(denials, denied, "not all are counted; {what}: {kept:#?}");
        assert!(denials < usize::from(count), "{what}");
        // Those that were let in came from one place.
        let mut from: Vec<u8> = outcomes
            .iter()
            .filter_map(|(act, outcome)| match act {
                Act::EnterFrom(from) if outcome.is_ok() => Some(*from),
                Act::EnterFrom(_) | Act::Denied => None,
            })
            .collect();
        from.sort_unstable();
        from.dedup();
        assert!(from.len() <= 1, "{what}");
    }
    true
}

#[test]
fn no_interleaving_makes_two_entries_or_loses_anything() {
    let acts = [Act::Denied, Act::EnterFrom(1), Act::EnterFrom(2)];
    let mut runs = 0;
    for (setup, first, count) in
        SETUPS.into_iter().flat_map(|setup| acts.into_iter().flat_map(move |first| [1, 2, 3].map(|count| (setup, first, count))))
    {
        for second in acts {
            for at in (0..).take_while(|at| run(setup, first, &[(*at, second)], count)) {
                runs += 1;
                for third in acts {
                    runs += (at..).take_while(|later| run(setup, first, &[(at, second), (*later, third)], count)).count();
                }
            }
        }
    }
    assert!(runs > 5_000, "{runs}");
}

#[test]
fn a_denial_that_does_not_fit_ends_a_session_that_is_known_and_no_other() {
    let shared = prepare(Setup::Empty);
    let (spot, key) = (spot(), Key::proposed(&[9; 32]));
    let mut crowded = Shard::read(full()).unwrap();
    let known = Entry {
        used: Some(NOW),
        contexts: vec![context(1)],
        keep_until: LONG,
        ..Entry::new(spot.id, StateKey::default().subject(&key, &claims("agent", "s")))
    };
    crowded.put(&known);
    // Until nothing is left of what is kept for those that are known, either.
    let more = (100_000..).map(|number| filler(number, LONG));
    more.take_while(|entry| crowded.lack(entry, Some(0)).unwrap().is_none().then(|| crowded.put(entry)).is_some()).count();
    store(&shared, spot.shards[0], &crowded);
    let mut sessions = worker(9, shared.clone());
    assert_eq!(act(Act::EnterFrom(1), &mut sessions, 3), Ok(()));
    assert_eq!(act(Act::Denied, &mut sessions, 3).unwrap_err().ended_now, Some(super::Ending::Denials));
    assert_eq!(act(Act::EnterFrom(1), &mut worker(10, shared.clone()), 3), Err(Reason::SessionEnded.into()));
    let after = shard(&shared, spot.shards[0]);
    assert_eq!(after.find(&filler(3, LONG).id).unwrap(), Some(filler(3, LONG)));
}

fn one_call() -> Charge {
    Charge { counts: vec![Count { rule: [5; 8], calls: 1, most: 1, window: Some(60_000) }], ..Charge::default() }
}

fn call(sessions: &mut Sessions) -> Result<(), Stop> {
    let (rules, claims, place) = (rules(1), claims("agent", "s"), StateKey::default());
    sessions.charge(&query(&rules, &claims, &place), &one_call()).result.map_err(|refused| refused.stop)
}

#[test]
fn of_two_workers_one_takes_the_last_call_wherever_the_other_comes_between() {
    let mut runs = 0;
    for setup in SETUPS {
        for at in 0.. {
            let shared = prepare(setup);
            let outcome = Rc::new(RefCell::new(None));
            let interposed = Rc::new(Interposed { of: Rc::clone(&shared), calls: Cell::new(0), others: RefCell::default() });
            let (theirs, said) = (Rc::clone(&shared), Rc::clone(&outcome));
            let other = move || *said.borrow_mut() = Some(call(&mut worker(20, theirs)));
            interposed.others.borrow_mut().push((at, Box::new(other)));
            let first = call(&mut worker(9, interposed.clone()));
            let Some(second) = outcome.take() else { break };
            runs += 1;
            let let_through = usize::from(first.is_ok()) + usize::from(second.is_ok());
            let full = setup == Setup::Full(limits::SHARD_CHOICES);
            assert_eq!(let_through, usize::from(!full), "{setup:?}, {at}: {first:?}, {second:?}");
            let denied = if full { Reason::Overloaded } else { Reason::CallsExceeded };
            assert!(
                [first, second].iter().flat_map(|outcome| outcome.err()).all(|stop| stop.reason == denied),
                "{setup:?}, {at}"
            );
            assert_eq!(call(&mut worker(30, shared)).unwrap_err().reason, denied);
        }
    }
    assert!(runs > 50, "{runs}");
}

/// Of what does not say how long it is.
fn carry(
    stream: &mut StreamBytes,
    worker: &mut Sessions,
    query: &StateQuery<'_>,
    most: &SessionBytes,
    piece: Bytes,
) -> Result<(), Stop> {
    stream.take(worker, query, most, piece, true)?;
    stream.spend(piece);
    Ok(())
}

#[test]
fn streams_of_a_session_never_move_more_than_it_may_and_give_back_what_they_have_not() {
    let step = limits::SESSION_BYTES_STEP;
    let shared = prepare(Setup::Empty);
    let (rules, claims, place) = (rules(1), claims("agent", "s"), StateKey::default());
    let query = query(&rules, &claims, &place);
    let most = SessionBytes { rule: [6; 8], request: Some(30 * step), response: None };
    let mut workers = [worker(9, shared.clone()), worker(10, shared.clone())];
    let mut streams = [StreamBytes::under(most.rule), StreamBytes::under(most.rule)];
    let mut moved = 0;
    for turn in 0..10_000_usize {
        let piece = Bytes { request: 1000, response: 100_000 };
        if carry(&mut streams[turn % 2], &mut workers[turn % 2], &query, &most, piece).is_ok() {
            moved += piece.request;
        }
    }
    assert!((30 * step - 2 * 1000..=30 * step).contains(&moved), "{moved}");
    let version = || spot().shards.map(|number| shared.get(&key_of(number)).unwrap().map(|(_, version)| version));
    let [first, second] = streams;
    first.finish(&mut workers[0], &claims, &place);
    second.finish(&mut workers[1], &claims, &place);
    let rest = 30 * step - moved;
    let piece = |request| Bytes { request, response: 0 };
    let mut last = StreamBytes::under(most.rule);
    let one_more = carry(&mut last, &mut workers[0], &query, &most, piece(rest + 1));
    assert_eq!(one_more.unwrap_err().reason, Reason::TransferNotAllowed);
    carry(&mut last, &mut workers[0], &query, &most, piece(rest)).unwrap();
    // A piece of what was taken costs nothing, and a direction without a bound never does.
    let fresh = SessionBytes { rule: [7; 8], ..most };
    let mut stream = StreamBytes::under(fresh.rule);
    carry(&mut stream, &mut workers[0], &query, &fresh, piece(1)).unwrap();
    let before = version();
    carry(&mut stream, &mut workers[0], &query, &fresh, Bytes { request: step - 1, response: 1 << 40 }).unwrap();
    assert_eq!(version(), before);
    carry(&mut stream, &mut workers[0], &query, &fresh, piece(1)).unwrap();
    assert_ne!(version(), before);
}
