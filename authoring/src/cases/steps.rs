//! `cases:`: one request, a table of them, or several steps, all written out as steps.

use super::{
    builder::Builder,
    plan::{Case, Step},
    read::{Errors, Members, Node},
    step::Scene,
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

impl<'v> Builder<'v> {
    pub(super) fn cases(&self, node: &Node<'v>, errors: &Errors<'_>) -> Vec<Case> {
        let mut cases = Vec::new();
        let mut names = BTreeSet::new();
        let items = node.items(errors);
        if items.as_ref().is_some_and(Vec::is_empty) {
            node.wrong(errors, "has no cases", "a file that tests nothing would pass for ever");
        }
        for node in items.unwrap_or_default() {
            for case in self.case(&node, errors).unwrap_or_default() {
                if !names.insert(case.name.clone()) {
                    node.wrong(errors, format!("a second case with the name `{}`", case.name), "give each a name of its own");
                }
                cases.push(case);
            }
        }
        cases
    }

    fn case(&self, node: &Node<'v>, errors: &Errors<'_>) -> Option<Vec<Case>> {
        let members = node.members(errors, &["name", "at", "worker", "send", "reply", "expect", "each", "steps"])?;
        let Some(name) = members.get("name") else {
            node.wrong(errors, "has no name", "add `name:`; in a table it may say `{token} {get}`");
            return None;
        };
        let name = name.text(errors)?;
        let at = self.instant(&members, self.at, errors)?;
        let bodies: Vec<_> = ["send", "each", "steps"].into_iter().filter(|body| members.contains_key(body)).collect();
        match bodies.as_slice() {
            ["send"] => {
                let step = self.send(name, node, &members, at, errors)?;
                Some(vec![Case { name: name.to_owned(), location: step.location.clone(), steps: vec![step] }])
            }
            ["each"] => {
                self.only_of_requests(&members, errors);
                let rows = members.get("each")?.items(errors)?;
                if rows.is_empty() {
                    members.get("each")?.wrong(errors, "has no rows", "");
                }
                Some(rows.iter().filter_map(|row| self.row(name, row, at, errors)).collect())
            }
            ["steps"] => {
                self.only_of_requests(&members, errors);
                let steps = self.steps(members.get("steps")?, at, errors)?;
                Some(vec![Case { name: name.to_owned(), location: errors.location(&node.pointer), steps }])
            }
            _ => {
                node.wrong(errors, "must have one of `send`, `each` and `steps`", "");
                None
            }
        }
    }

    fn only_of_requests(&self, members: &Members<'_>, errors: &Errors<'_>) {
        for node in ["expect", "reply", "worker"].iter().filter_map(|name| members.get(name)) {
            node.wrong(errors, "belongs to a request", "move it to each row or step");
        }
    }

    /// A row of a table: a request with its expectation, named by the template.
    fn row(&self, template: &str, node: &Node<'v>, at: Timestamp, errors: &Errors<'_>) -> Option<Case> {
        let members = self.request_members(node, &["name", "at"], errors)?;
        let name = fill(template, node, &members, errors)?;
        let at = self.instant(&members, at, errors)?;
        let step = self.send(&name, node, &members, at, errors)?;
        Some(Case { name, location: step.location.clone(), steps: vec![step] })
    }

    fn steps(&self, node: &Node<'v>, at: Timestamp, errors: &Errors<'_>) -> Option<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut scene = Scene::new(self.policy.clone(), at);
        let mut whole = true;
        for (index, node) in node.items(errors)?.iter().enumerate() {
            match self.step(index, node, &mut scene, errors) {
                Some(step) => steps.push(step),
                None => whole = false,
            }
        }
        if steps.is_empty() && whole {
            node.wrong(errors, "has no steps", "");
        }
        (whole && !steps.is_empty()).then_some(steps)
    }
}

/// `{token} {get}` with the row's own members.
fn fill(template: &str, node: &Node<'_>, members: &Members<'_>, errors: &Errors<'_>) -> Option<String> {
    let mut name = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((member, tail)) = after.split_once('}') else { break };
        name.push_str(before);
        match members.get(member).map(|node| node.value) {
            Some(Value::String(text)) => name.push_str(text),
            Some(other) => name.push_str(&other.to_string()),
            None => {
                node.wrong(errors, format!("has no `{member}`, which the case's name asks for"), "");
                return None;
            }
        }
        rest = tail;
    }
    name.push_str(rest);
    Some(name)
}
