//! `cases:`: one request, a table of them, or several steps, all written out as steps.

use super::{
    change,
    expect::Expect,
    plan::{Action, Case, Step},
    read::{Errors, Members, Node},
    request::{Requests, known_members},
};
use chaperone_policy::Policy;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{cell::Cell, collections::BTreeSet};

/// Of issue-to-come: streams, several workers.
const LATER: [&str; 4] = ["open", "after", "worker", "reply"];

/// What steps are made with.
pub(super) struct Builder<'v> {
    pub(super) requests: Requests<'v>,
    /// The policy with the run's keys: where each case begins.
    pub(super) policy: Value,
    pub(super) at: Timestamp,
    /// The last generation that was given out; no two configurations of a file share one.
    pub(super) generation: Cell<u64>,
}

impl<'v> Builder<'v> {
    pub(super) fn cases(&self, node: &Node<'v>, errors: &Errors<'_>) -> Vec<Case> {
        let mut cases = Vec::new();
        let mut names = BTreeSet::new();
        for node in node.items(errors).unwrap_or_default() {
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
        let members = node.members(errors, &["name", "at", "send", "expect", "each", "steps"], &LATER)?;
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
                Some(vec![Case { name: name.to_owned(), place: step.place.clone(), steps: vec![step] }])
            }
            ["each"] => {
                self.no_expect(&members, errors);
                let rows = members.get("each")?.items(errors)?;
                Some(rows.iter().filter_map(|row| self.row(name, row, at, errors)).collect())
            }
            ["steps"] => {
                self.no_expect(&members, errors);
                let steps = self.steps(members.get("steps")?, at, errors)?;
                Some(vec![Case { name: name.to_owned(), place: errors.place(&node.pointer), steps }])
            }
            _ => {
                node.wrong(errors, "must have one of `send`, `each` and `steps`", "");
                None
            }
        }
    }

    fn no_expect(&self, members: &Members<'_>, errors: &Errors<'_>) {
        if let Some(node) = members.get("expect") {
            node.wrong(errors, "belongs to a request", "move it to each row or step");
        }
    }

    /// A row of a table: a request with its expectation, named by the template.
    fn row(&self, template: &str, node: &Node<'v>, at: Timestamp, errors: &Errors<'_>) -> Option<Case> {
        let members = self.step_members(node, &["name", "at", "expect"], errors)?;
        let name = self.fill(template, node, &members, errors)?;
        let at = self.instant(&members, at, errors)?;
        let step = self.send(&name, node, &members, at, errors)?;
        Some(Case { name, place: step.place.clone(), steps: vec![step] })
    }

    fn steps(&self, node: &Node<'v>, at: Timestamp, errors: &Errors<'_>) -> Option<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        let mut policy = self.policy.clone();
        let mut whole = true;
        for (index, node) in node.items(errors)?.iter().enumerate() {
            let now = steps.last().map_or(at, |step| step.at);
            match self.step(index, node, now, &mut policy, errors) {
                Some(step) => steps.push(step),
                None => whole = false,
            }
        }
        if steps.is_empty() && whole {
            node.wrong(errors, "has no steps", "");
        }
        (whole && !steps.is_empty()).then_some(steps)
    }

    fn step(&self, index: usize, node: &Node<'v>, now: Timestamp, policy: &mut Value, errors: &Errors<'_>) -> Option<Step> {
        let members = self.step_members(node, &["name", "at", "expect", "config"], errors)?;
        let at = self.instant(&members, now, errors)?;
        if at < now {
            members.get("at")?.wrong(errors, "is before the step before it", "time only moves forward");
            return None;
        }
        let name = match members.get("name") {
            Some(name) => name.text(errors)?.to_owned(),
            None => format!("step {}", index + 1),
        };
        let Some(config) = members.get("config") else { return self.send(&name, node, &members, at, errors) };
        if let Some(other) = members.iter().find(|(name, _)| !["name", "at", "config"].contains(name)) {
            other.1.wrong(errors, "has no place beside `config`", "make it a step of its own");
            return None;
        }
        change::apply(policy, config, self.at, errors)?;
        self.requests.tokens().add_keys_to(policy);
        self.generation.set(self.generation.get() + 1);
        policy["generation"] = json!(self.generation.get());
        let bytes = policy.to_string().into_bytes();
        if let Err(wrong) = Policy::compile(&bytes) {
            for error in wrong.errors() {
                config.wrong(
                    errors,
                    format!("makes the policy invalid: {}: {}", error.pointer, error.message),
                    error.help.as_deref().unwrap_or_default(),
                );
            }
            return None;
        }
        Some(Step { name, place: errors.place(&node.pointer), at, action: Action::Configure(bytes) })
    }

    fn step_members(&self, node: &Node<'v>, own: &[&'static str], errors: &Errors<'_>) -> Option<Members<'v>> {
        let known: Vec<&str> = own.iter().copied().chain(known_members().filter(|name| *name != "chunks")).collect();
        let later: Vec<&str> = LATER.into_iter().chain(["chunks"]).collect();
        node.members(errors, &known, &later)
    }

    fn send(&self, name: &str, node: &Node<'v>, members: &Members<'v>, at: Timestamp, errors: &Errors<'_>) -> Option<Step> {
        let mut inline = members.clone();
        inline.retain(|name, _| !["name", "at", "expect", "send"].contains(name));
        let request = match (members.get("send"), inline.is_empty()) {
            (Some(sent), true) => self.requests.sent(sent, errors),
            (Some(sent), false) => {
                sent.wrong(errors, "stands beside a request written out", "`send: {like: name, …}` changes a named one");
                None
            }
            (None, _) => self.requests.build(node, inline, errors),
        };
        let expect = match members.get("expect") {
            Some(expect) => Expect::read(expect, self.at, errors),
            None => {
                node.wrong(errors, "expects nothing", "add `expect: {allow: command}` or `expect: {deny: reason}`");
                None
            }
        };
        let (request, expect) = (Box::new(request?), expect?);
        Some(Step { name: name.to_owned(), place: errors.place(&node.pointer), at, action: Action::Send { request, expect } })
    }

    fn instant(&self, members: &Members<'v>, default: Timestamp, errors: &Errors<'_>) -> Option<Timestamp> {
        members.get("at").map_or(Some(default), |node| node.instant(errors, self.at))
    }

    /// `{token} {get}` with the row's own members.
    fn fill(&self, template: &str, node: &Node<'_>, members: &Members<'_>, errors: &Errors<'_>) -> Option<String> {
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
}
