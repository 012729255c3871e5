//! Paths of commands in a tree over their segments, for whoever would otherwise compare each of thousands with each.

use crate::commands::path_pattern::PathPattern;
use crate::commands::router::Part;
use std::collections::HashMap;

/// What belongs to paths, found by how wide they are beside another path. Each answer may hold more than was asked for and never less:
/// [`PathPattern`] decides.
#[derive(Debug)]
pub struct PathIndex<T>(Node<T>);

#[derive(Debug)]
struct Node<T> {
    /// By decoded form.
    literals: HashMap<Vec<u8>, Self>,
    ends: HashMap<Vec<u8>, Self>,
    capture: Option<Box<Self>>,
    rest: Vec<T>,
    here: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { literals: HashMap::new(), ends: HashMap::new(), capture: None, rest: Vec::new(), here: Vec::new() }
    }
}

impl<T> Default for PathIndex<T> {
    fn default() -> Self {
        Self(Node::default())
    }
}

impl<T> FromIterator<(PathPattern, T)> for PathIndex<T> {
    fn from_iter<I: IntoIterator<Item = (PathPattern, T)>>(all: I) -> Self {
        let mut index = Self::default();
        all.into_iter().for_each(|(path, of)| index.0.insert(path.parts(), of));
        index
    }
}

impl<T> PathIndex<T> {
    /// What could take all that this path takes, or goes after it: of which [`PathPattern::covers`] may hold, or
    /// [`PathPattern::excepts`] of this one.
    #[must_use]
    pub fn wider(&self, path: &PathPattern) -> Vec<&T> {
        let mut found = Vec::new();
        self.0.wider(path.parts(), false, &mut found);
        found
    }

    /// What can help to use up this path: what has a `{id}` where this has `{*rest}`. Nothing for any other path.
    #[must_use]
    pub fn beneath(&self, path: &PathPattern) -> Vec<&T> {
        let mut found = Vec::new();
        if let Some((Part::Rest, front)) = path.parts().split_last()
            && let Some(captured) = self.0.at(front).and_then(|node| node.capture.as_ref())
        {
            captured.all(&mut found);
        }
        found
    }
}

impl<T> Node<T> {
    fn insert(&mut self, parts: &[Part], of: T) {
        match parts.split_first() {
            None => self.here.push(of),
            Some((Part::Literal { decoded, .. }, after)) => self.literals.entry(decoded.clone()).or_default().insert(after, of),
            Some((Part::End { decoded, .. }, after)) => self.ends.entry(decoded.clone()).or_default().insert(after, of),
            Some((Part::Capture, after)) => self.capture.get_or_insert_default().insert(after, of),
            Some((Part::Rest, _)) => self.rest.push(of),
        }
    }

    fn at(&self, parts: &[Part]) -> Option<&Self> {
        let Some((part, after)) = parts.split_first() else { return Some(self) };
        let next = match part {
            Part::Literal { decoded, .. } => self.literals.get(decoded),
            Part::End { decoded, .. } => self.ends.get(decoded),
            Part::Capture => self.capture.as_deref(),
            Part::Rest => None,
        };
        next?.at(after)
    }

    /// Once the path was `narrower` at some segment, what follows may be anything that meets it.
    fn wider<'n>(&'n self, parts: &[Part], narrower: bool, found: &mut Vec<&'n T>) {
        let Some((part, after)) = parts.split_first() else { return found.extend(&self.here) };
        found.extend(&self.rest);
        // An end of the same length is the same one.
        let ends = |text: &[u8], found: &mut Vec<&'n T>| {
            for length in 0..=text.len() {
                let node = text.get(text.len() - length..).and_then(|end| self.ends.get(end));
                node.into_iter().for_each(|node| node.wider(after, narrower || length < text.len(), found));
            }
        };
        match part {
            Part::Literal { decoded, .. } => {
                self.literals.get(decoded).into_iter().for_each(|node| node.wider(after, narrower, found));
                ends(decoded, found);
            }
            Part::End { .. } | Part::Capture if narrower => {
                self.literals.values().chain(self.ends.values()).for_each(|node| node.wider(after, true, found));
            }
            Part::End { decoded, .. } => ends(decoded, found),
            Part::Capture => {}
            Part::Rest if narrower => self.beside_rest(found),
            Part::Rest => {}
        }
        if let Some(node) = self.capture.as_ref().filter(|_| *part != Part::Rest) {
            node.wider(after, narrower || *part != Part::Capture, found);
        }
    }

    /// All that has a segment here, but for what [`Node::wider`] has found.
    fn beside_rest<'n>(&'n self, found: &mut Vec<&'n T>) {
        let nodes = self.literals.values().chain(self.ends.values()).chain(self.capture.as_deref());
        nodes.for_each(|node| node.all(found));
    }

    fn all<'n>(&'n self, found: &mut Vec<&'n T>) {
        found.extend(self.here.iter().chain(&self.rest));
        self.beside_rest(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> impl Strategy<Value = PathPattern> {
        let segment = prop::sample::select(vec!["a", "b", "a:x", "b:x", "{id}", "{id}:x", "{id}a:x", "%61", ""]);
        (prop::collection::vec(segment, 0..4), any::<bool>()).prop_filter_map("no path", |(segments, rest)| {
            let text: String = segments.iter().map(|segment| format!("/{segment}")).collect();
            PathPattern::parse(&if rest { format!("{text}/{{*rest}}") } else { text })
        })
    }

    proptest! {
        #[test]
        fn nothing_is_missed_that_comparing_each_with_each_finds(paths in prop::collection::vec(path(), 1..24), one in path()) {
            let index: PathIndex<usize> = paths.iter().cloned().zip(0..).collect();
            let (wider, beneath) = (index.wider(&one), index.beneath(&one));
            for (place, other) in paths.iter().enumerate() {
                if other.covers(&one) || one.excepts(other) {
                    prop_assert!(wider.contains(&&place), "{one:?} {other:?}");
                }
            }
            let found = beneath.iter().filter_map(|place| paths.get(**place));
            prop_assert_eq!(one.is_used_up(found), one.is_used_up(paths.iter()));
        }

        #[test]
        fn nothing_is_found_twice(paths in prop::collection::vec(path(), 1..24), one in path()) {
            let index: PathIndex<usize> = paths.into_iter().zip(0..).collect();
            let mut found = index.wider(&one);
            let length = found.len();
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!(found.len(), length);
        }
    }
}
