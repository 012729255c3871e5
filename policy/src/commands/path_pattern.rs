//! A command's path compared with others, as the router tells them apart: which takes all that another takes, and which
//! goes before another.

use crate::commands::read::{grpc_path, parse_path};
use crate::commands::router::{Part, ends_with_more_before};
use std::cmp::Reverse;

/// The path of a command: literal segments, `{id}` for one segment, `{id}:verb` for one with this end, `{*rest}` at the end
/// for the remaining ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(Vec<Part>);

impl PathPattern {
    /// Reads a path as policies write it; `None` when a policy with it would be refused.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        parse_path(text).ok().map(Self)
    }

    /// Makes the path of a gRPC method.
    #[must_use]
    pub fn of_grpc(service: &str, method: &str) -> Self {
        Self(grpc_path(service, method))
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Says whether it takes every path that `narrow` takes.
    #[must_use]
    pub fn covers(&self, narrow: &Self) -> bool {
        covers(&self.0, &narrow.0)
    }

    /// Says whether it takes away paths that `wide` would take without it.
    #[must_use]
    pub fn excepts(&self, wide: &Self) -> bool {
        meet(&self.0, &wide.0) && self.0.iter().map(rank).lt(wide.0.iter().map(rank))
    }

    /// Says whether the others take every path that it takes, and go before it. Only `/x/{*rest}` can be used up: by `/x/{a}`,
    /// `/x/{a}/` and `/x/{a}/{*rest}`, or what uses up that one in turn.
    #[must_use]
    pub fn is_used_up<'p>(&self, others: impl Iterator<Item = &'p Self> + Clone) -> bool {
        match self.0.split_last() {
            Some((Part::Rest, front)) => used_up(front, others),
            Some((Part::Literal { .. } | Part::End { .. } | Part::Capture, _)) | None => false,
        }
    }
}

/// The lower, the more specific; of two ends the longer one.
fn rank(part: &Part) -> (u8, Reverse<usize>) {
    match part {
        Part::Literal { .. } => (0, Reverse(0)),
        Part::End { decoded, .. } => (1, Reverse(decoded.len())),
        Part::Capture => (2, Reverse(0)),
        Part::Rest => (3, Reverse(0)),
    }
}

/// The segment after a slash at the end: no capture takes it.
fn is_empty(part: &Part) -> bool {
    matches!(part, Part::Literal { decoded, .. } if decoded.is_empty())
}

fn covers(wide: &[Part], narrow: &[Part]) -> bool {
    match (wide.split_first(), narrow.split_first()) {
        (None, None) => true,
        (Some((Part::Rest, _)), Some((first, _))) => !is_empty(first),
        (Some((Part::Capture, wide)), Some((first, narrow))) => *first != Part::Rest && !is_empty(first) && covers(wide, narrow),
        (Some((Part::End { canonical, decoded }, wide)), Some((first, narrow))) => {
            takes_all(canonical, decoded, first) && covers(wide, narrow)
        }
        (Some((mine @ Part::Literal { .. }, wide)), Some((theirs, narrow))) => mine == theirs && covers(wide, narrow),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Does a segment with this end take every segment that the other one takes?
fn takes_all(canonical: &[u8], decoded: &[u8], narrow: &Part) -> bool {
    match narrow {
        Part::Literal { canonical: text, decoded: plain } => {
            let name = text.strip_suffix(canonical).is_some_and(|name| !matches!(name, b"" | b"." | b".."));
            name && ends_with_more_before(plain, decoded)
        }
        Part::End { canonical: text, decoded: plain } => text.ends_with(canonical) && plain.ends_with(decoded),
        Part::Capture | Part::Rest => false,
    }
}

/// Could one path match both?
fn meet(one: &[Part], other: &[Part]) -> bool {
    match (one.split_first(), other.split_first()) {
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some((Part::Rest, _)), Some((first, _))) | (Some((first, _)), Some((Part::Rest, _))) => !is_empty(first),
        (Some((Part::Capture, one)), Some((first, other))) | (Some((first, one)), Some((Part::Capture, other))) => {
            !is_empty(first) && meet(one, other)
        }
        (Some((Part::End { decoded: end, .. }, one)), Some((Part::Literal { decoded, .. }, other)))
        | (Some((Part::Literal { decoded, .. }, one)), Some((Part::End { decoded: end, .. }, other))) => {
            ends_with_more_before(decoded, end) && meet(one, other)
        }
        (Some((Part::End { decoded: mine, .. }, one)), Some((Part::End { decoded: theirs, .. }, other))) => {
            (mine.ends_with(theirs) || theirs.ends_with(mine)) && meet(one, other)
        }
        (Some((mine @ Part::Literal { .. }, one)), Some((theirs @ Part::Literal { .. }, other))) => {
            mine == theirs && meet(one, other)
        }
    }
}

fn used_up<'p>(front: &[Part], others: impl Iterator<Item = &'p PathPattern> + Clone) -> bool {
    let under = || others.clone().filter_map(|other| other.0.strip_prefix(front));
    let captured = under().any(|rest| matches!(rest, [Part::Capture]));
    let with_slash = under().any(|rest| matches!(rest, [Part::Capture, last] if is_empty(last)));
    let all_beneath = || under().any(|rest| matches!(rest, [Part::Capture, Part::Rest]));
    // Paths are finite: with no longer one under this front there is nothing further to ask.
    let deeper = || {
        let next: Vec<Part> = front.iter().cloned().chain([Part::Capture]).collect();
        others.clone().any(|other| other.0.len() > next.len()) && used_up(&next, others.clone())
    };
    captured && with_slash && (all_beneath() || deeper())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn a_wide_path_covers_narrow_ones() {
        for (wide, narrow) in
            [("/a", "/%61"), ("/{x}", "/a"), ("/{x}", "/{y}"), ("/{*r}", "/a/b"), ("/a/{*r}", "/a/{x}/"), ("/a/", "/a/")]
        {
            assert!(path(wide).covers(&path(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in
            [("/a", "/{x}"), ("/{x}", "/a/b"), ("/{x}", "/{*r}"), ("/a/{x}", "/a/"), ("/a/{*r}", "/a/"), ("/a", "/b")]
        {
            assert!(!path(wide).covers(&path(narrow)), "{wide} {narrow}");
        }
        assert!(path("/users.v1.Users/{x}").covers(&PathPattern::of_grpc("users.v1.Users", "Get")));
    }

    #[test]
    fn the_more_specific_path_takes_from_the_wider_one() {
        for (narrow, wide) in [("/a/b", "/a/{x}"), ("/a/b", "/{*r}"), ("/{x}", "/{*r}"), ("/{x}/b", "/{x}/{*r}")] {
            assert!(path(narrow).excepts(&path(wide)), "{narrow} {wide}");
            assert!(!path(wide).excepts(&path(narrow)), "{wide} {narrow}");
        }
        assert!(!path("/a/b").excepts(&path("/b/{x}")), "no path is both");
        assert!(!path("/a/").excepts(&path("/a/{x}")), "a capture is never empty");
    }

    #[test]
    fn what_takes_all_that_is_left_can_be_used_up() {
        let used_up = |text: &str, others: &[&str]| {
            let others: Vec<PathPattern> = others.iter().map(|other| path(other)).collect();
            path(text).is_used_up(others.iter())
        };
        assert!(used_up("/x/{*r}", &["/x/{a}", "/x/{a}/", "/x/{a}/{*r}"]));
        assert!(used_up("/x/{*r}", &["/x/{a}", "/x/{a}/", "/x/{a}/{b}", "/x/{a}/{b}/", "/x/{a}/{b}/{*r}"]));
        assert!(!used_up("/x/{*r}", &["/x/{a}", "/x/{a}/{*r}"]), "`/x/a/` is left");
        assert!(!used_up("/x/{*r}", &["/x/{a}", "/x/{a}/"]));
        assert!(!used_up("/x/{a}", &["/x/{b}"]));
    }

    #[test]
    fn what_a_policy_may_not_say_is_no_path() {
        for wrong in ["a", "/{}", "/{*r}/a", "/a//b", "/a*", "/../a"] {
            assert_eq!(PathPattern::parse(wrong), None, "{wrong}");
        }
    }
}
