//! One step: a request, a stream that opens, a change of the policy, or time that passes.

use super::{
    builder::Builder,
    change,
    expect::Expect,
    fetches,
    plan::{Action, Exchange, Step, StreamState},
    read::{Errors, Members, Node, unknown_name},
    request::known_members,
    stream,
};
use chaperone_policy::Policy;
use jiff::Timestamp;
use serde_json::Value;

/// Where a case has come to.
pub(super) struct Scene {
    policy: Value,
    now: Timestamp,
    /// The streams that were opened, by name.
    streams: Vec<String>,
}

impl Scene {
    pub(super) fn new(policy: Value, now: Timestamp) -> Self {
        Self { policy, now, streams: Vec::new() }
    }
}

impl<'v> Builder<'v> {
    /// The members of something that may be a request, beside these.
    pub(super) fn request_members(&self, node: &Node<'v>, own: &[&'static str], errors: &Errors<'_>) -> Option<Members<'v>> {
        let of_requests = ["expect", "reply", "worker", "send"];
        let known: Vec<&str> = own.iter().copied().chain(of_requests).chain(known_members()).collect();
        node.members(errors, &known)
    }

    pub(super) fn step(&self, index: usize, node: &Node<'v>, scene: &mut Scene, errors: &Errors<'_>) -> Option<Step> {
        let own = ["name", "at", "after", "config", "fetches", "open"];
        let members = self.request_members(node, &own, errors)?;
        let at = self.when(&members, scene, errors)?;
        scene.now = at;
        let name = match members.get("name") {
            Some(name) => name.text(errors)?.to_owned(),
            None => format!("step {}", index + 1),
        };
        if let Some(config) = members.get("config") {
            let action = self.configure(&members, config, scene, errors)?;
            return Some(Step { name, location: errors.location(&node.pointer), at, worker: 0, action });
        }
        if let Some(node) = members.get("fetches") {
            if let Some(other) = members.iter().find(|(name, _)| !["name", "at", "after", "fetches"].contains(name)) {
                other.1.wrong(errors, "has no place beside `fetches`", "make it a step of its own");
                return None;
            }
            let scripts = fetches::read(node, &self.published.borrow(), errors)?;
            return Some(Step {
                name,
                location: errors.location(&node.pointer),
                at,
                worker: 0,
                action: Action::Publish(scripts),
            });
        }
        if let Some(open) = members.get("open") {
            return self.open(&name, node, open, &members, scene, errors);
        }
        if members.contains_key("send") || members.keys().any(|name| known_members().any(|known| known == *name)) {
            return self.send(&name, node, &members, at, errors);
        }
        if let Some(other) = ["reply", "worker"].iter().find_map(|name| members.get(name)) {
            other.wrong(errors, "belongs to a request, and this step sends none", "add `send:`");
            return None;
        }
        let states = match members.get("expect") {
            Some(expect) => self.looked_at(expect, scene, errors)?,
            None if members.contains_key("at") || members.contains_key("after") => Vec::new(),
            None => {
                node.wrong(
                    errors,
                    "does nothing",
                    "a step has `send:`, `open:`, `config:`, `fetches:`, or lets time pass by `after:` and expects something of streams",
                );
                return None;
            }
        };
        Some(Step { name, location: errors.location(&node.pointer), at, worker: 0, action: Action::Look(states) })
    }

    /// `at` counts from the beginning of the file's time, `after` from the step before.
    fn when(&self, members: &Members<'v>, scene: &Scene, errors: &Errors<'_>) -> Option<Timestamp> {
        let Some(after) = members.get("after") else {
            let at = self.instant(members, scene.now, errors)?;
            if at < scene.now {
                members.get("at")?.wrong(errors, "is before the step before it", "time only moves forward");
                return None;
            }
            return Some(at);
        };
        if members.contains_key("at") {
            after.wrong(
                errors,
                "stands beside `at`",
                "keep one: `at` counts from the beginning of the case, `after` from the step before",
            );
            return None;
        }
        let seconds = after.duration(errors)?;
        if seconds < 0 {
            after.wrong(errors, "is before the step before it", "time only moves forward");
            return None;
        }
        let at = scene.now.as_second().checked_add(seconds).and_then(|at| Timestamp::from_second(at).ok());
        if at.is_none() {
            after.wrong(errors, "is too long", "");
        }
        at
    }

    fn configure(&self, members: &Members<'v>, config: &Node<'v>, scene: &mut Scene, errors: &Errors<'_>) -> Option<Action> {
        if let Some(other) = members.iter().find(|(name, _)| !["name", "at", "after", "config"].contains(name)) {
            other.1.wrong(errors, "has no place beside `config`", "make it a step of its own");
            return None;
        }
        change::apply(&mut scene.policy, config, self.at, errors)?;
        self.requests.tokens().add_keys_to(&mut scene.policy);
        self.requests.tokens().publish_besides(&mut self.published.borrow_mut(), &scene.policy);
        self.generation.set(self.generation.get() + 1);
        let bytes = change::with_generation(scene.policy.to_string().as_bytes(), self.generation.get());
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
        Some(Action::Configure(bytes))
    }

    fn open(
        &self,
        name: &str,
        node: &Node<'v>,
        open: &Node<'v>,
        members: &Members<'v>,
        scene: &mut Scene,
        errors: &Errors<'_>,
    ) -> Option<Step> {
        let stream = open.text(errors)?;
        if scene.streams.iter().any(|known| known == stream) {
            open.wrong(errors, format!("a second stream with the name `{stream}`"), "give each a name of its own");
            return None;
        }
        // A stream whose request has a mistake is one that later steps may speak of: that is no second mistake.
        scene.streams.push(stream.to_owned());
        let exchange = self.exchange(node, members, errors);
        let expect = members.get("expect").map(|expect| Expect::read(expect, self.at, errors));
        let worker = self.worker(members, errors);
        let action =
            Action::Open { stream: stream.to_owned(), exchange: exchange?, expect: expect.map_or(Some(None), |e| e.map(Some))? };
        Some(Step { name: name.to_owned(), location: errors.location(&node.pointer), at: scene.now, worker: worker?, action })
    }

    pub(super) fn send(
        &self,
        name: &str,
        node: &Node<'v>,
        members: &Members<'v>,
        at: Timestamp,
        errors: &Errors<'_>,
    ) -> Option<Step> {
        let exchange = self.exchange(node, members, errors);
        let expect = match members.get("expect") {
            Some(expect) => Expect::read(expect, self.at, errors),
            None => {
                node.wrong(errors, "expects nothing", "add `expect: {allow: command}` or `expect: {deny: reason}`");
                None
            }
        };
        let worker = self.worker(members, errors);
        let action = Action::Send { exchange: exchange?, expect: expect? };
        Some(Step { name: name.to_owned(), location: errors.location(&node.pointer), at, worker: worker?, action })
    }

    /// The request under `send`, or written out in the step itself, and the reply to it.
    fn exchange(&self, node: &Node<'v>, members: &Members<'v>, errors: &Errors<'_>) -> Option<Exchange> {
        let mut inline = members.clone();
        inline.retain(|name, _| known_members().any(|known| known == *name));
        let sent = match (members.get("send"), inline.is_empty()) {
            (Some(sent), true) => self.requests.sent(sent, errors),
            (Some(sent), false) => {
                sent.wrong(errors, "stands beside a request written out", "`send: {like: name, …}` changes a named one");
                None
            }
            (None, _) => self.requests.build(node, inline, errors),
        };
        let reply = members.get("reply").map(|reply| stream::reply(reply, &self.requests, errors));
        let (request, chunks) = sent?;
        Some(Exchange { request: Box::new(request), chunks, reply: reply.map_or(Some(None), |reply| reply.map(Some))? })
    }

    /// From 0, as drivers count; authors count from 1.
    fn worker(&self, members: &Members<'v>, errors: &Errors<'_>) -> Option<usize> {
        let Some(node) = members.get("worker") else { return Some(0) };
        if self.workers == 1 && node.value.as_u64().is_some_and(|worker| worker > 1) {
            node.wrong(errors, "the proxy has one worker", "say `workers: 2` at the top of the file");
            return None;
        }
        usize::try_from(node.whole_number(errors, 1, self.workers)? - 1).ok()
    }

    /// `expect:` of a step without a request: streams by their names.
    fn looked_at(&self, expect: &Node<'v>, scene: &Scene, errors: &Errors<'_>) -> Option<Vec<(String, StreamState)>> {
        let mut states = Vec::new();
        let mut whole = true;
        for (name, node) in expect.any_members(errors)? {
            if ["allow", "deny", "observed", "cut"].contains(&name) && !scene.streams.iter().any(|known| known == name) {
                node.wrong(
                    errors,
                    format!("`{name}` is expected of a request, and this step sends none"),
                    "add `send:`, or expect something of a stream: `{name: {cut: reason}}`, `{name: open}`",
                );
                return None;
            }
            if !scene.streams.iter().any(|known| known == name) {
                unknown_name(&node, errors, "stream", name, scene.streams.iter().map(String::as_str));
                whole = false;
                continue;
            }
            match stream::state(&node, errors) {
                Some(state) => states.push((name.to_owned(), state)),
                None => whole = false,
            }
        }
        if states.is_empty() && whole {
            expect.wrong(errors, "expects nothing", "name a stream: `{feed: open}`, `{feed: {cut: revoked}}`");
            return None;
        }
        whole.then_some(states)
    }
}
