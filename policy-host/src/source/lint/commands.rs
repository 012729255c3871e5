//! Commands that nothing can reach, and commands that anybody can.

use super::{Lint, Linter, Target, items, pattern};
use serde_json::Value;
use std::collections::BTreeSet;

/// Methods that only read (RFC 9110 §9.2.1).
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// One matcher of a command.
struct Route<'p> {
    command: &'p str,
    pointer: String,
    path: Vec<Part<'p>>,
    /// `None` for any: a gRPC command takes every method of its path.
    methods: Option<BTreeSet<&'p str>>,
    /// In lower case; `None` for any.
    hosts: Option<BTreeSet<String>>,
    /// Does it take more than a plain one would (`permit`, `upgrade`)?
    special: bool,
}

/// One segment; in this order each is more specific than those after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part<'p> {
    Literal(&'p str),
    Capture,
    Rest,
}

impl Linter<'_> {
    pub(super) fn commands(&mut self) {
        self.unmediated();
        let routes = routes(self.policy);
        let used: BTreeSet<&str> = used(self.policy);
        let mut shadowed = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let same = routes.iter().enumerate().filter(|(other, _)| *other != index);
            let mut same = same.filter(|(other, wide)| {
                wide.command == route.command && wide.covers(route) && (*other < index || !route.covers(wide))
            });
            if same.next().is_some() {
                self.warn(
                    Lint::MatcherRepeated,
                    &route.pointer,
                    format!("another matcher of `{}` takes all of these requests", route.command),
                    "remove this one",
                );
            } else if route.is_shadowed(&routes) {
                shadowed.push(route);
            }
        }
        for route in shadowed {
            self.warn(
                Lint::CommandShadowed,
                &route.pointer,
                format!("no request is left for `{}`: more specific commands take them all", route.command),
                "remove it, or one of the others",
            );
        }
        for (name, _) in self.policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
            let mine = routes.iter().filter(|route| route.command == name);
            let excepts = mine.clone().any(|mine| routes.iter().any(|wide| used.contains(wide.command) && mine.excepts(wide)));
            if !used.contains(name.as_str()) && !excepts {
                self.warn(
                    Lint::CommandUnused,
                    &format!("/commands/{}", name.replace('~', "~0").replace('/', "~1")),
                    format!("nobody is granted `{name}`: every request of it is denied"),
                    format!("grant it to somebody, or remove it; or write `# check: allow {}` beside it if it is named for the record alone", Lint::CommandUnused.code()),
                );
            }
        }
        self.decided_by_body();
    }

    fn unmediated(&mut self) {
        for (pointer, name) in items(self.policy, "/unmediated") {
            let Some(name) = name.as_str() else { continue };
            let commands = self.policy.get("commands").and_then(Value::as_object).into_iter().flatten();
            let named = commands.filter(|(command, _)| pattern::names(name, command));
            let mut unsafe_methods: Vec<String> = named.flat_map(|(_, matchers)| unsafe_methods(matchers)).collect();
            unsafe_methods.sort();
            unsafe_methods.dedup();
            if name == "*" {
                self.warn(
                    Lint::AllowEverything,
                    &pointer,
                    "every command, those to come included, needs no session",
                    "list the commands that anybody may use",
                );
            } else if !unsafe_methods.is_empty() {
                self.warn(
                    Lint::UnmediatedWrites,
                    &pointer,
                    format!("`{name}` lets anybody send {} without a session", unsafe_methods.join(", ")),
                    "leave only GET, HEAD and OPTIONS unmediated, or grant the command to somebody",
                );
            }
        }
    }

    /// Istio's WasmPlugin has no `allow_on_headers_stop_iteration`, without which a filter cannot hold a request for its body.
    fn decided_by_body(&mut self) {
        if self.target != Target::Istio {
            return;
        }
        for (name, matchers) in self.policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
            let kinds = ["mcp", "sql"];
            if let Some(kind) = kinds.into_iter().find(|kind| each(matchers).any(|(_, matcher)| matcher.get(kind).is_some())) {
                self.warn(
                    Lint::BodyUnavailable,
                    &format!("/commands/{}", name.replace('~', "~0").replace('/', "~1")),
                    format!("`{name}` is decided by the body ({kind}), and a WasmPlugin cannot wait for one"),
                    "deliver the filter by an EnvoyFilter with `allow_on_headers_stop_iteration: true`",
                );
            }
        }
    }
}

/// The commands that a grant allows, or that need none.
fn used(policy: &Value) -> BTreeSet<&str> {
    let allowed = items(policy, "/grants").flat_map(|(_, grant)| grant.get("allow").and_then(Value::as_array)).flatten();
    let open = policy.get("unmediated").and_then(Value::as_array).into_iter().flatten();
    let patterns: Vec<&str> = allowed.chain(open).filter_map(Value::as_str).collect();
    let names = policy.get("commands").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str());
    names.filter(|name| patterns.iter().any(|pattern| pattern::names(pattern, name))).collect()
}

/// The matchers of a command, with what follows its pointer.
fn each(command: &Value) -> impl Iterator<Item = (String, &Value)> {
    let several = command.as_array().into_iter().flatten().enumerate().map(|(index, matcher)| (format!("/{index}"), matcher));
    several.chain((!command.is_array()).then(|| (String::new(), command)))
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The methods of a command that do more than read: a gRPC call is a POST.
fn unsafe_methods(command: &Value) -> Vec<String> {
    let mut methods = Vec::new();
    for (_, matcher) in each(command) {
        if matcher.get("grpc").is_some() {
            methods.push("gRPC calls".to_owned());
        }
        let listed = strings(matcher.pointer("/http/methods"));
        methods.extend(listed.filter(|method| !SAFE.contains(method)).map(str::to_owned));
    }
    methods
}

fn routes(policy: &Value) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    for (command, matchers) in policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
        for (place, matcher) in each(matchers) {
            let pointer = format!("/commands/{}{place}", command.replace('~', "~0").replace('/', "~1"));
            if let Some(http) = matcher.get("http") {
                let Some(path) = http.get("path").and_then(Value::as_str) else { continue };
                let hosts: BTreeSet<String> = strings(http.get("hosts")).map(str::to_ascii_lowercase).collect();
                routes.push(Route {
                    command,
                    pointer,
                    path: path.split('/').skip(1).map(part).collect(),
                    methods: Some(strings(http.get("methods")).collect()),
                    hosts: (!hosts.is_empty()).then_some(hosts),
                    special: http.get("permit").is_some() || http.get("upgrade") == Some(&Value::Bool(true)),
                });
            } else if let Some(service) = matcher.pointer("/grpc/service").and_then(Value::as_str) {
                for method in strings(matcher.pointer("/grpc/methods")) {
                    let path = vec![Part::Literal(service), Part::Literal(method)];
                    routes.push(Route { command, pointer: pointer.clone(), path, methods: None, hosts: None, special: true });
                }
            }
        }
    }
    routes
}

fn part(segment: &str) -> Part<'_> {
    match segment.strip_prefix('{') {
        Some(capture) if capture.starts_with('*') => Part::Rest,
        Some(_) => Part::Capture,
        None => Part::Literal(segment),
    }
}

impl Route<'_> {
    /// Does it take every request that the other one takes?
    fn covers(&self, narrow: &Self) -> bool {
        let methods = match (&self.methods, &narrow.methods) {
            (Some(mine), Some(theirs)) => mine.is_superset(theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let hosts = match (&self.hosts, &narrow.hosts) {
            (None, _) => true,
            (Some(mine), Some(theirs)) => mine.is_superset(theirs),
            (Some(_), None) => false,
        };
        methods && hosts && !narrow.special && covers(&self.path, &narrow.path)
    }

    /// Does it take away requests that the other, wider one would get?
    fn excepts(&self, wide: &Self) -> bool {
        let methods = match (&self.methods, &wide.methods) {
            (Some(mine), Some(theirs)) => !mine.is_disjoint(theirs),
            (None, _) | (_, None) => true,
        };
        let hosts = match (&self.hosts, &wide.hosts) {
            (Some(mine), Some(theirs)) => !mine.is_disjoint(theirs),
            (None, _) | (_, None) => true,
        };
        self.command != wide.command && methods && hosts && self.path < wide.path && meet(&self.path, &wide.path)
    }

    /// Do more specific commands take all of its requests? Only `/x/{*rest}` can be used up: by `/x/{a}`, `/x/{a}/` and
    /// `/x/{a}/{*rest}`, or what uses up that one in turn.
    fn is_shadowed(&self, routes: &[Self]) -> bool {
        let Some((Part::Rest, front)) = self.path.split_last() else { return false };
        let methods: Vec<&str> = self.methods.iter().flatten().copied().collect();
        let any = [None];
        let named: Vec<Option<&str>> = self.hosts.iter().flatten().map(|host| Some(host.as_str())).collect();
        let hosts = if named.is_empty() { &any[..] } else { &named[..] };
        methods.iter().all(|method| hosts.iter().all(|host| self.used_up(front, routes, method, *host)))
    }

    fn used_up(&self, front: &[Part<'_>], routes: &[Self], method: &str, host: Option<&str>) -> bool {
        let has = |more: &[Part<'_>]| {
            routes.iter().any(|route| {
                let takes_method = route.methods.as_ref().is_none_or(|methods| methods.contains(method));
                let takes_host = route.hosts.as_ref().is_none_or(|hosts| host.is_some_and(|host| hosts.contains(host)));
                let path = route.path.strip_prefix(front).is_some_and(|rest| rest == more);
                route.command != self.command && takes_method && takes_host && path
            })
        };
        // Paths are finite: with no longer route under this front there is nothing further to ask.
        let deeper = || {
            let next: Vec<Part<'_>> = front.iter().copied().chain([Part::Capture]).collect();
            routes.iter().any(|route| route.path.len() > next.len()) && self.used_up(&next, routes, method, host)
        };
        has(&[Part::Capture]) && has(&[Part::Capture, Part::Literal("")]) && (has(&[Part::Capture, Part::Rest]) || deeper())
    }
}

/// Does the wide path match whatever the narrow one does?
fn covers(wide: &[Part<'_>], narrow: &[Part<'_>]) -> bool {
    match (wide.split_first(), narrow.split_first()) {
        (None, None) => true,
        (Some((Part::Rest, _)), Some((first, _))) => *first != Part::Literal(""),
        (Some((Part::Capture, wide)), Some((first, narrow))) => {
            !matches!(first, Part::Literal("") | Part::Rest) && covers(wide, narrow)
        }
        (Some((Part::Literal(mine), wide)), Some((Part::Literal(theirs), narrow))) => mine == theirs && covers(wide, narrow),
        (Some((Part::Literal(_), _)), Some((Part::Capture | Part::Rest, _))) | (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Could one path match both?
fn meet(one: &[Part<'_>], other: &[Part<'_>]) -> bool {
    match (one.split_first(), other.split_first()) {
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some((Part::Rest, _)), Some((first, _))) | (Some((first, _)), Some((Part::Rest, _))) => *first != Part::Literal(""),
        (Some((Part::Literal(mine), one)), Some((Part::Literal(theirs), other))) => mine == theirs && meet(one, other),
        (Some((Part::Capture, one)), Some((first, other))) | (Some((first, one)), Some((Part::Capture, other))) => {
            *first != Part::Literal("") && meet(one, other)
        }
    }
}
