//! The router and the comparisons of paths against a reading of one pattern at a time.

use std::cmp::Ordering;

use proptest::prelude::*;
use proptest::sample::select;

use super::path_pattern::PathPattern;
use super::read::parse_path;
use super::router::{CommandId, Form, Lookup, Route, Router};
use crate::http::path::{CanonicalPath, Spellings};

const PARTS: [&str; 14] =
    ["a", "b", "a:x", "a%3Ax", "b:x", "a:x:y", "{}", "{}:x", "{}:y", "{}:x:y", "{}x", "{}.x", "{}%3Ax:y", "{}%C3%A9"];
const SENT: [&str; 16] =
    ["a", "b", "a:x", "a%3Ax", "a%3ax:y", "b:x:y", "c:x", ":x", ".x", "..x", "...x", "c.x", "%63%2Ex", "c%c3%a9", "x", "a;b:x"];

fn pattern() -> impl Strategy<Value = String> {
    (prop::collection::vec(select(&PARTS[..]), 1..4), 0..4_u8).prop_map(|(parts, rest)| {
        let named = parts.iter().enumerate().map(|(index, part)| part.replace("{}", &format!("{{c{index}}}")));
        let text: String = named.map(|part| format!("/{part}")).collect();
        if rest == 0 { text + "/{*rest}" } else { text }
    })
}

fn sent() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&SENT[..]), 1..5).prop_map(|parts| parts.iter().map(|part| format!("/{part}")).collect())
}

/// Only what the alphabets above have.
fn decoded(text: &str) -> String {
    text.replace("%3A", ":")
        .replace("%3a", ":")
        .replace("%63", "c")
        .replace("%2E", ".")
        .replace("%C3%A9", "\u{e9}")
        .replace("%c3%a9", "\u{e9}")
}

fn canonical(text: &str) -> String {
    text.replace("%63", "c").replace("%2E", ".").replace("%3a", "%3A").replace("%c3%a9", "%C3%A9")
}

/// How specifically the pattern takes each segment, the lower the more, and whether it does in the one spelling that is sure.
fn naive(pattern: &str, path: &str) -> Option<(Vec<(u8, isize)>, bool)> {
    let mut sent = path.split('/').skip(1);
    let mut ranks = Vec::new();
    let mut sure = true;
    for part in pattern.split('/').skip(1) {
        let segment = sent.next()?;
        if part.starts_with("{*") {
            sure &= !segment.contains(';') && sent.all(|segment| !segment.contains(';'));
            ranks.push((3, 0));
            return Some((ranks, sure));
        }
        match part.strip_prefix('{').and_then(|part| part.split_once('}')) {
            None => {
                (decoded(part) == decoded(segment)).then_some(())?;
                sure &= canonical(part) == canonical(segment);
                ranks.push((0, 0));
            }
            Some((_, "")) => {
                sure &= !segment.contains(';');
                ranks.push((2, 0));
            }
            Some((_, end)) => {
                let plain = decoded(segment);
                let name = plain.strip_suffix(&decoded(end)).filter(|name| !name.is_empty())?;
                sure &= canonical(segment).ends_with(end) && name != "." && name != ".." && !segment.contains(';');
                ranks.push((1, -isize::try_from(decoded(end).len()).unwrap()));
            }
        }
    }
    sent.next().is_none().then_some((ranks, sure))
}

fn route(command: usize, method: &str) -> Route {
    let form = Form::Http { methods: vec![method.into()], upgrade: false, body: None };
    Route { command: CommandId(command.try_into().unwrap()), form, hosts: Vec::new(), permit: Spellings::default() }
}

/// `None` for a miss, `Some(None)` for a refusal.
fn find(router: &Router, path: &str) -> Option<Option<usize>> {
    let parsed = CanonicalPath::parse(path.as_bytes()).unwrap();
    match router.find(b"GET", "", &parsed) {
        Lookup::Found(route) => Some(Some(route.command.0 as usize)),
        Lookup::Missed => None,
        Lookup::Ambiguous => Some(None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_router_finds_what_asking_each_pattern_finds(
            patterns in prop::collection::vec((pattern(), select(vec!["GET", "GET", "GET", "POST"])), 1..12),
            path in sent(),
        ) {
        let mut router = Router::default();
        let mut taken: Vec<(usize, &str)> = Vec::new();
        for (index, (pattern, method)) in patterns.iter().enumerate() {
            // A command for another method is found by no GET, and takes none from others.
            if router.insert(&parse_path(pattern).unwrap(), route(index, method)).is_ok() && *method == "GET" {
                taken.push((index, pattern));
            }
        }
        let mut matching: Vec<_> =
            taken.iter().filter_map(|(index, pattern)| Some((naive(pattern, &path)?, *index))).collect();
        matching.sort();
        for pair in matching.windows(2) {
            let sides: Vec<Ordering> = pair[0].0.0.iter().zip(&pair[1].0.0).map(|(one, other)| one.cmp(other)).collect();
            prop_assert!(sides.contains(&Ordering::Less) && !sides.contains(&Ordering::Greater), "{:?}", pair);
        }
        let wanted = match matching.first() {
            Some(((_, sure), index)) => Some(sure.then_some(*index)),
            None => path.contains(';').then_some(None),
        };
        prop_assert_eq!(find(&router, &path), wanted, "{:?}", taken);
    }

    #[test]
    fn paths_are_compared_as_the_router_tells_them_apart(one in pattern(), other in pattern(), paths in prop::collection::vec(sent(), 32)) {
        let alone = |pattern: &str| {
            let mut router = Router::default();
            router.insert(&parse_path(pattern).unwrap(), route(0, "GET")).unwrap();
            router
        };
        let (first, second) = (PathPattern::parse(&one).unwrap(), PathPattern::parse(&other).unwrap());
        for path in paths {
            let (by_first, by_second) = (find(&alone(&one), &path), find(&alone(&other), &path));
            if first.covers(&second) && by_second == Some(Some(0)) {
                prop_assert_eq!(by_first, Some(Some(0)), "{}", &path);
            }
            let mut both = Router::default();
            both.insert(&parse_path(&one).unwrap(), route(0, "GET")).unwrap();
            if by_first == Some(Some(0)) && by_second == Some(Some(0)) && both.insert(&parse_path(&other).unwrap(), route(1, "GET")).is_ok() {
                let found = find(&both, &path);
                prop_assert_eq!(first.excepts(&second), found == Some(Some(0)), "{}", &path);
                prop_assert_eq!(second.excepts(&first), found == Some(Some(1)), "{}", &path);
            }
        }
    }
}
