//! Which grants could hold for a session, found without asking each of them: a new token costs the same under ten grants as
//! under a thousand.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::condition::Subject;
use super::{Grant, When};
use crate::primitives::pattern::Pattern;
use crate::token::claims::Claims;

/// Each grant stands under one of its conditions, the most selective one. Its others are for whoever finds it to check.
#[derive(Debug, Default)]
pub(super) struct Index {
    session: Places,
    subject: Places,
    agent: Places,
    claims: HashMap<Subject, Places>,
    issuer: Places,
}

/// Places of grants by the text that a condition asks for.
#[derive(Debug, Default)]
struct Places {
    exact: HashMap<String, Vec<usize>>,
    /// By the length of the beginning that is asked for, so that a text is looked up once a length.
    prefix: BTreeMap<usize, HashMap<String, Vec<usize>>>,
}

impl Places {
    fn insert(&mut self, pattern: &Pattern, place: usize) {
        let places = match pattern {
            Pattern::Exact(text) => self.exact.entry(text.clone()),
            Pattern::Prefix(beginning) | Pattern::Across(beginning) => {
                self.prefix.entry(beginning.len()).or_default().entry(beginning.clone())
            }
        };
        places.or_default().push(place);
    }

    fn find(&self, text: &str, found: &mut Vec<usize>) {
        found.extend(self.exact.get(text).into_iter().flatten());
        for (length, beginnings) in self.prefix.range(..=text.len()) {
            let places = text.get(..*length).and_then(|beginning| beginnings.get(beginning));
            found.extend(places.into_iter().flatten());
        }
    }
}

impl Index {
    pub(super) fn of(grants: &[Grant]) -> Self {
        let mut index = Self::default();
        for (place, grant) in grants.iter().enumerate() {
            let (condition, pattern) = most_selective(&grant.when);
            let places = match condition {
                Condition::Session => &mut index.session,
                Condition::Subject => &mut index.subject,
                Condition::Agent => &mut index.agent,
                Condition::Claim(subject) => index.claims.entry(subject.clone()).or_default(),
                Condition::Issuer => &mut index.issuer,
            };
            places.insert(&pattern, place);
        }
        index
    }

    /// Places of the grants that could hold, in the document's order.
    pub(super) fn candidates(&self, claims: &Claims, all: &Map<String, Value>) -> Vec<usize> {
        let Self { session, subject, agent, claims: by_claim, issuer } = self;
        let mut found = Vec::new();
        session.find(&claims.session, &mut found);
        subject.find(&claims.subject, &mut found);
        if let Some(acting) = claims.agents.first() {
            agent.find(acting, &mut found);
        }
        issuer.find(&claims.issuer, &mut found);
        for (subject, places) in by_claim {
            subject.texts(all).for_each(|text| places.find(&text, &mut found));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// What a condition looks at.
enum Condition<'w> {
    Session,
    Subject,
    Agent,
    Claim(&'w Subject),
    Issuer,
}

/// An exact text names fewer sessions than a beginning does; among equals, a session fewer than a subject.
fn most_selective(when: &When) -> (Condition<'_>, Cow<'_, Pattern>) {
    let When { issuer, subject, session, agent, claims } = when;
    let named = [(Condition::Session, session), (Condition::Subject, subject), (Condition::Agent, agent)];
    let named = named.into_iter().filter_map(|(condition, pattern)| Some((condition, pattern.as_ref()?)));
    let claimed = claims.iter().map(|condition| (Condition::Claim(&condition.subject), &condition.pattern));
    let chosen = named.chain(claimed).min_by_key(|(_, pattern)| match pattern {
        Pattern::Exact(_) => 0,
        Pattern::Prefix(_) => 1,
        Pattern::Across(_) => 2,
    });
    // A `when` has one condition at the least, so that what is left is the issuer.
    let by_issuer = || Cow::Owned(Pattern::Exact(issuer.clone().unwrap_or_default()));
    chosen.map_or_else(|| (Condition::Issuer, by_issuer()), |(condition, pattern)| (condition, Cow::Borrowed(pattern)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::json;

    use super::super::ClaimCondition;
    use super::super::condition::Form;
    use super::super::{Grants, UsageRules};
    use super::*;
    use crate::rules::credential::Credentials;
    use crate::token::claims::{ClaimPath, ClaimPaths};

    const WORDS: [&str; 8] = ["a", "ab", "abc", "a/b", "ab/c", "\u{e9}", "\u{e9}a", "b"];

    fn pattern() -> impl Strategy<Value = Pattern> {
        let prefix = select(vec!["", "a", "ab", "a/", "\u{e9}", "b", "abcd"]).prop_map(|text| Pattern::Prefix(text.to_owned()));
        let across = select(vec!["a", "ab", "a/", "\u{e9}"]).prop_map(|text| Pattern::Across(text.to_owned()));
        prop_oneof![select(&WORDS[..]).prop_map(|text| Pattern::Exact(text.to_owned())), prefix, across]
    }

    prop_compose! {
        fn condition()(
            path in select(vec![&["role"][..], &["groups"], &["groups", "a"]]),
            form in select(vec![Form::TextOrItems, Form::WordsOrItems, Form::Text, Form::Items, Form::Words, Form::Scalar]),
            pattern in prop_oneof![pattern(), select(vec!["true", "7"]).prop_map(|text| Pattern::Exact(text.to_owned()))],
        ) -> ClaimCondition {
            ClaimCondition { subject: Subject { path: ClaimPath::of(path), form }, pattern }
        }
    }

    prop_compose! {
        fn grant()(
            issuer in prop::option::of(select(vec!["a", "i"])),
            fixed in prop::array::uniform3(prop::option::weighted(0.3, pattern())),
            claims in prop::collection::vec(condition(), 0..3),
        ) -> Grant {
            let [subject, session, agent] = fixed;
            let named = subject.is_some() || session.is_some() || agent.is_some() || !claims.is_empty();
            // No document has a grant without any condition.
            let issuer = issuer.or((!named).then_some("i")).map(str::to_owned);
            let when = When { issuer, subject, session, agent, claims };
            Grant { name: "g".into(), when, allow: vec![], max_lifetime: None, transfers: None, usage: UsageRules::default(), machine: false, credentials: Credentials::default() }
        }
    }

    fn claim() -> impl Strategy<Value = Value> {
        let word = || select(&WORDS[..]);
        prop_oneof![
            word().prop_map(|text| json!(text)),
            prop::collection::vec(word(), 0..3).prop_map(|texts| json!(texts)),
            word().prop_map(|text| json!([7, text, null, [text]])),
            prop::collection::vec(word(), 0..3).prop_map(|words| json!(words.join(" "))),
            select(vec![json!({"a": "a"}), json!({"a": ["ab", true]}), json!(true), json!(7), json!(7.0), json!(7.5)]),
            Just(json!(null)),
        ]
    }

    proptest! {
        #[test]
        fn the_index_finds_what_asking_each_grant_finds(
            grants in prop::collection::vec(grant(), 0..12),
            (subject, session) in (select(&WORDS[..]), select(&WORDS[..])),
            agents in prop::collection::vec(select(&WORDS[..]), 0..3),
            (role, groups) in (claim(), claim()),
        ) {
            let mut all = json!({"sub": subject, "sid": session, "iat": 1, "exp": 2, "role": role, "groups": groups});
            for agent in agents.into_iter().rev() {
                let inner = all.get("act").cloned();
                all["act"] = json!({"sub": agent});
                if let Some(inner) = inner {
                    all["act"]["act"] = inner;
                }
            }
            let all = all.as_object().unwrap();
            let claims = Claims::read(all, "i", &[], &ClaimPaths::default()).unwrap();
            let grants = Grants::new(grants);
            let naive: Vec<usize> = (0..grants.all().len()).filter(|place| grants.all()[*place].holds_for(&claims, all)).collect();
            prop_assert_eq!(grants.holding(&claims, all), naive);
        }
    }
}
