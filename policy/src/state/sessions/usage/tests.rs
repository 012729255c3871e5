//! Counts, marks and bytes of one session.

use super::*;

fn calls(number: u16, most: u16, window: Option<u64>) -> Charge {
    Charge { counts: vec![Count { rule: [1; 8], calls: number, most, window }], ..Charge::default() }
}

#[test]
fn no_window_of_any_length_holds_more_calls_than_may_be() {
    for (window, most) in [(1000, 3), (1001, 1), (60_000, 7), (7, 2)] {
        let (mut usage, mut let_through) = (Usage::default(), Vec::new());
        let mut now = 5_000_000_u64;
        for turn in 0..4000_u64 {
            now += (turn * turn * 7919) % (window / 4 + 2);
            if let Ok(after) = usage.charged(&calls(1, most, Some(window)), now) {
                usage = after;
                let_through.push(now);
            }
        }
        let worst = let_through
            .iter()
            .enumerate()
            .map(|(place, first)| let_through[place..].iter().take_while(|at| **at - first < window).count());
        assert_eq!(worst.max(), Some(usize::from(most)), "{window}");
    }
}

#[test]
fn room_comes_back_when_it_is_said_to_and_an_eighth_late_at_the_most() {
    let charge = calls(1, 2, Some(8000));
    let usage = Usage::default().charged(&charge, 1_000_500).unwrap().charged(&charge, 1_003_000).unwrap();
    let Err(Excess::Calls(Some(wait))) = usage.charged(&charge, 1_003_000) else { panic!("a third call") };
    assert!((1_008_500..=1_009_500).contains(&(1_003_000 + wait)), "{wait}");
    assert!(usage.charged(&charge, 1_003_000 + wait - 1).is_err());
    assert!(usage.charged(&charge, 1_003_000 + wait).is_ok());
    // More at once than there may ever be.
    assert_eq!(Usage::default().charged(&calls(3, 2, Some(8000)), 0).unwrap_err(), Excess::Calls(None));
}

#[test]
fn without_a_window_calls_count_for_ever() {
    let charge = calls(1, 2, None);
    let usage = Usage::default().charged(&charge, 0).unwrap().charged(&charge, 1 << 40).unwrap();
    assert_eq!(usage.charged(&charge, 1 << 46).unwrap_err(), Excess::Calls(None));
}

#[test]
fn an_earlier_time_forgets_nothing() {
    let charge = calls(1, 2, Some(8000));
    let usage = Usage::default().charged(&charge, 1_003_000).unwrap().charged(&charge, 1_000_000).unwrap();
    for now in [0, 1_000_000, 1_003_000, 1_010_999] {
        assert!(usage.charged(&charge, now).is_err(), "{now}");
    }
    assert!(usage.charged(&charge, 1_012_000).is_ok());
}

#[test]
fn all_calls_that_come_together_are_let_through_or_none() {
    let (small, large) = ([1; 8], [2; 8]);
    let count = |rule, most| Count { rule, calls: 2, most, window: Some(1000) };
    let both = Charge { counts: vec![count(large, 9), count(small, 3)], ..Charge::default() };
    let usage = Usage::default().charged(&both, 0).unwrap();
    assert!(usage.charged(&both, 0).is_err());
    assert_eq!(usage.calls(&count(large, 9), 0), 2);
}

#[test]
fn what_is_needed_was_called_before_and_lately() {
    let mark = |timed| Charge { marks: vec![Marked { command: [3; 8], timed }], ..Charge::default() };
    let need = |window| Charge { needs: vec![Needed { command: [3; 8], window }], ..Charge::default() };
    let empty = Usage::default();
    assert_eq!(empty.charged(&need(None), 0).unwrap_err(), Excess::Order);
    // Not by what comes with it.
    let together = Charge { marks: mark(true).marks, ..need(None) };
    assert_eq!(empty.charged(&together, 0).unwrap_err(), Excess::Order);
    let usage = empty.charged(&mark(true), 1000).unwrap();
    assert!(usage.charged(&need(None), 1 << 40).is_ok());
    assert!(usage.charged(&need(Some(500)), 1499).is_ok());
    assert_eq!(usage.charged(&need(Some(500)), 1500).unwrap_err(), Excess::Order);
    let again = usage.charged(&mark(true), 1400).unwrap();
    assert!(again.charged(&need(Some(500)), 1899).is_ok());
    assert_eq!(usage.charged(&mark(false), 1400).unwrap(), usage);
}

#[test]
fn bytes_are_taken_ahead_and_never_more_than_there_are() {
    let step = limits::SESSION_BYTES_STEP;
    let most = SessionBytes { rule: [4; 8], request: Some(8 * step + 8), response: None };
    let asked = |request| Bytes { request, response: 7 };
    let (usage, taken) = Usage::default().taken(&most, asked(1), true).unwrap();
    assert_eq!(taken, Bytes { request: step, response: 7 });
    // What says how long it is takes that alone; of less than eight steps one stream takes an eighth ahead.
    assert_eq!(usage.taken(&most, asked(1), false).unwrap().1.request, 1);
    let (usage, taken) = usage.taken(&most, asked(1), true).unwrap();
    assert_eq!(taken.request, 7 * step / 8 + 1);
    let rest = 8 * step + 8 - step - taken.request;
    assert_eq!(usage.taken(&most, asked(rest + 1), true).unwrap_err(), Excess::Bytes);
    let (usage, taken) = usage.taken(&most, asked(rest), true).unwrap();
    assert_eq!(taken.request, rest);
    assert_eq!(usage.taken(&most, asked(1), true).unwrap_err(), Excess::Bytes);
    assert!(usage.taken(&most, asked(0), true).is_ok());
    let usage = usage.given_back(&most.rule, Bytes { request: 5, response: 0 });
    assert_eq!(usage.taken(&most, asked(6), true).unwrap_err(), Excess::Bytes);
    assert_eq!(usage.taken(&most, asked(5), true).unwrap().1.request, 5);
}

#[test]
fn more_than_there_is_room_for_is_refused_and_what_is_over_makes_room() {
    let of =
        |rule: u8| Charge { counts: vec![Count { rule: [rule; 8], calls: 1, most: 1, window: Some(1000) }], ..Charge::default() };
    let full = (0..8).fold(Usage::default(), |usage, rule| usage.charged(&of(rule), 0).unwrap());
    assert_eq!(full.charged(&of(8), 0).unwrap_err(), Excess::Room);
    assert!(full.charged(&of(8), 2000).is_ok());
}

#[test]
fn what_is_written_is_read_and_other_bytes_are_refused() {
    let charge = Charge { marks: vec![Marked { command: [3; 8], timed: true }], ..calls(2, 9, Some(1000)) };
    let most = SessionBytes { rule: [4; 8], request: Some(100), response: Some(100) };
    let usage = Usage::default().charged(&charge, 77_777).unwrap();
    let (usage, _) = usage.taken(&most, Bytes { request: 1, response: 2 }, false).unwrap();
    let mut bytes = Vec::new();
    usage.write(&mut bytes);
    assert_eq!((bytes.len(), Usage::size_of(&bytes).unwrap()), (usage.size(), usage.size()));
    assert_eq!(Usage::read(&mut bytes.as_slice()).unwrap(), usage);
    for end in 0..bytes.len() {
        assert!(Usage::read(&mut &bytes[..end]).is_err(), "{end}");
    }
    for head in [[0, 0], [9, 0], [1 | 9 << 4, 0], [1, 5]] {
        assert!(Usage::size_of(&head).is_err(), "{head:?}");
    }
}
