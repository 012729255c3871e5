//! What another policy would change: two outcomes of each request, kept where they differ, by kind of difference.

use super::Secrets;
use chaperone_authoring::outcome::{Answer, Decision, Outcome};
use serde::Serialize;
use std::{cmp::Ordering, collections::BTreeMap};

/// Examples kept of each change; the first ones, as those of a log explain those after them.
const EXAMPLES: usize = 3;

/// What was decided, without what differs from request to request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Verdict {
    /// Let through or not.
    pub decision: Decision,
    /// Why it was denied, or, under `allow`, what was only observed.
    pub reason: Option<String>,
    /// The command, where the request is one.
    pub command: Option<String>,
    /// What the client gets of the answer, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answered>,
}

/// What the client gets of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Answered {
    /// The status.
    pub status: Option<u16>,
    /// Entries of lists that were withheld.
    pub withheld: u64,
    /// Why it was cut.
    pub cut: Option<String>,
}

/// A request of which the two policies think differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The line of the input, from 1.
    pub line: u64,
    /// The method.
    pub method: String,
    /// The path without its query, in which tokens end up.
    pub path: String,
    /// The session, where there is one.
    pub session: Option<String>,
}

/// All requests that changed in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Under the policy in force.
    pub old: Verdict,
    /// Under the other one.
    pub new: Verdict,
    /// The body that the client gets is another one.
    pub other_body: bool,
    /// The target is given another credential.
    pub other_credential: bool,
    /// How many requests.
    pub count: u64,
    /// The first of them.
    pub examples: Vec<Example>,
}

/// The changes so far.
#[derive(Debug, Default)]
pub struct Comparison {
    secrets: Secrets,
    decided: u64,
    changes: BTreeMap<(Verdict, Verdict, Others), (u64, Vec<Example>)>,
}

/// What is another one that a verdict does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Others {
    body: bool,
    credential: bool,
}

impl Verdict {
    fn of(outcome: &Outcome) -> Self {
        Self {
            decision: outcome.decision,
            reason: outcome.reason.clone(),
            command: outcome.command.clone(),
            answer: outcome.answer.as_ref().map(|answer| Answered {
                status: answer.status,
                withheld: answer.withheld,
                cut: answer.cut.clone(),
            }),
        }
    }
}

/// The body that the client gets, but for the id of its record, which no two have in common.
fn body(answer: &Answer) -> String {
    let id = answer.headers.iter().find(|(name, _)| name.ends_with("-audit-id")).map(|(_, id)| id.as_str());
    match id.filter(|id| !id.is_empty()) {
        Some(id) => answer.body.replace(id, ""),
        None => answer.body.clone(),
    }
}

impl Comparison {
    /// Compares what is done under policies that have these secrets.
    #[must_use]
    pub fn of(secrets: Secrets) -> Self {
        Self { secrets, ..Self::default() }
    }

    /// Takes the two outcomes of one request. `method` and `path` are shown where they differ.
    pub fn add(&mut self, old: &Outcome, new: &Outcome, method: &[u8], path: &[u8]) {
        self.decided += 1;
        let answered = old.answer.is_some() || new.answer.is_some();
        let credential = self.secrets.differ(old, new);
        let same = (old.decision, &old.reason, &old.command) == (new.decision, &new.reason, &new.command);
        if !answered && !credential && same {
            return;
        }
        let answers = old.answer.as_ref().zip(new.answer.as_ref());
        let others = Others { body: answers.is_some_and(|(old, new)| body(old) != body(new)), credential };
        let (was, will_be) = (Verdict::of(old), Verdict::of(new));
        if was == will_be && others == Others::default() {
            return;
        }
        let (count, examples) = self.changes.entry((was, will_be, others)).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            examples.push(Example {
                line: old.line,
                method: String::from_utf8_lossy(method).into_owned(),
                path: String::from_utf8_lossy(path).into_owned(),
                session: old.session.clone().or_else(|| new.session.clone()),
            });
        }
    }

    /// This one and that of other requests of the same log: of each change the first examples by their lines.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.decided += other.decided;
        for (change, (more, others)) in other.changes {
            let (count, examples) = self.changes.entry(change).or_default();
            *count += more;
            examples.extend(others);
            examples.sort_by_key(|example| example.line);
            examples.truncate(EXAMPLES);
        }
        self
    }

    /// How many requests were decided.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.decided
    }

    /// The changes: first what would newly be allowed, then what would newly be denied, then what would be denied or allowed
    /// for another reason; the most frequent first.
    #[must_use]
    pub fn changes(self) -> Vec<Change> {
        let changes = self.changes.into_iter();
        let mut list: Vec<Change> =
            changes.map(|((old, new, others), (count, examples))| Change::of(old, new, others, count, examples)).collect();
        list.sort_by_key(|change| (change.kind(), std::cmp::Reverse(change.count)));
        list
    }
}

/// What a change means for the caller. In the order in which a reviewer wants to see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Denied so far.
    NewlyAllowed,
    /// Allowed so far.
    NewlyDenied,
    /// The same, for another reason or as another command.
    Otherwise,
}

impl Change {
    fn of(old: Verdict, new: Verdict, others: Others, count: u64, examples: Vec<Example>) -> Self {
        Self { old, new, other_body: others.body, other_credential: others.credential, count, examples }
    }

    /// What it means for the caller.
    #[must_use]
    pub fn kind(&self) -> Kind {
        // What is cut was asked of the target all the same, and is not had.
        let had = |verdict: &Verdict| match (verdict.decision, &verdict.answer) {
            (Decision::Deny, _) => 0,
            (Decision::Allow, Some(Answered { cut: Some(_), .. })) => 1,
            (Decision::Allow, _) => 2,
        };
        match had(&self.new).cmp(&had(&self.old)) {
            Ordering::Greater => Kind::NewlyAllowed,
            Ordering::Less => Kind::NewlyDenied,
            Ordering::Equal => Kind::Otherwise,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(line: u64, decision: Decision, reason: Option<&str>) -> Outcome {
        Outcome {
            decision,
            reason: reason.map(str::to_owned),
            command: Some("orders.read".to_owned()),
            ..Outcome::undecided(line)
        }
    }

    #[test]
    fn changes_are_grouped_counted_and_sorted_and_examples_have_no_query() {
        let mut comparison = Comparison::default();
        let allow = |line| outcome(line, Decision::Allow, None);
        let deny = |line, reason| outcome(line, Decision::Deny, Some(reason));
        for line in 1..=5 {
            comparison.add(&allow(line), &deny(line, "command_not_granted"), b"GET", b"/v1/orders/7?token=secret");
        }
        comparison.add(&deny(6, "revoked"), &allow(6), b"GET", b"/");
        comparison.add(&deny(7, "revoked"), &deny(7, "expired"), b"GET", b"/");
        comparison.add(&allow(8), &allow(8), b"GET", b"/");
        assert_eq!(comparison.decided(), 8);
        let changes = comparison.changes();
        let seen: Vec<_> = changes.iter().map(|change| (change.kind(), change.count)).collect();
        assert_eq!(seen, [(Kind::NewlyAllowed, 1), (Kind::NewlyDenied, 5), (Kind::Otherwise, 1)]);
        assert_eq!(changes[1].examples.iter().map(|example| example.line).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(changes[1].examples.iter().all(|example| example.path == "/v1/orders/7"));
    }
}
