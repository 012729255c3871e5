//! Commands that are found in bodies: what they let through unseen, what clients miss beside them, and what is too near their
//! endpoints.

use super::{
    Lint, Linter, and, beginning, beginnings,
    commands::{ByPath, Hosts, each, granted, hosts_meet, named_hosts, pointer_to, strings},
    grants::grants,
    items,
    naming::Naming,
    patterns,
};
use chaperone_policy::{PathPattern, Pattern, uri_is_plain};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What is named by what it is, with the methods that list it: one of them will do.
const LISTS: [(&str, &[&str]); 3] =
    [("tools", &["tools/list"]), ("prompts", &["prompts/list"]), ("resources", &["resources/list", "resources/templates/list"])];
/// Members whose patterns take messages; the methods last.
const KINDS: [&str; 4] = ["tools", "prompts", "resources", "methods"];
/// The first version of the protocol that begins without `initialize`.
const SESSIONLESS: &str = "2026-07-28";

/// One `mcp` matcher of a command.
pub(super) struct InBody<'p> {
    pub(super) command: &'p str,
    pointer: String,
    mcp: &'p Value,
    /// As it is written.
    path: &'p str,
    place: PathPattern,
    hosts: Option<Hosts>,
    /// What it names under each of [`KINDS`].
    names: [Vec<Pattern>; KINDS.len()],
}

pub(super) fn in_bodies(policy: &Value) -> Vec<InBody<'_>> {
    let mut found = Vec::new();
    for (command, matchers) in policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
        for (item, matcher) in each(matchers) {
            let Some(mcp) = matcher.get("mcp") else { continue };
            let Some(path) = mcp.get("path").and_then(Value::as_str) else { continue };
            let Some(place) = PathPattern::parse(path) else { continue };
            let pointer = format!("{}{item}/mcp", pointer_to(command));
            let names = KINDS.map(|member| named(mcp, member));
            found.push(InBody { command, pointer, mcp, path, place, hosts: named_hosts(mcp), names });
        }
    }
    found
}

impl InBody<'_> {
    /// Are both of one endpoint?
    fn is_beside(&self, other: &Self) -> bool {
        self.place == other.place && self.hosts == other.hosts
    }

    /// What it names, each with the place of its kind.
    fn patterns(&self) -> impl Iterator<Item = (usize, &Pattern)> {
        self.names.iter().enumerate().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name)))
    }

    fn methods(&self) -> &[Pattern] {
        let [.., methods] = &self.names;
        methods
    }

    /// Is it for a version that begins with `initialize`?
    fn begins(&self) -> bool {
        self.mcp.get("versions").is_none() || strings(self.mcp.get("versions")).any(|version| version != SESSIONLESS)
    }

    /// The members by which something is named that clients look for in a list.
    fn listed(&self) -> impl Iterator<Item = &'static [&'static str]> {
        LISTS.into_iter().filter(|(member, _)| self.mcp.get(member).is_some()).map(|(_, lists)| lists)
    }
}

/// An endpoint, one of [`KINDS`] by its place, and what stands before a `*`.
type Open<'b> = (&'b PathPattern, &'b Option<Hosts>, usize, &'b str);

/// Patterns that take more than one name, found by what is before their `*`: an endpoint may have thousands.
pub(super) struct Wide<'b, 'p>(HashMap<Open<'b>, Vec<(&'b InBody<'p>, &'b Pattern)>>);

impl<'b, 'p> Wide<'b, 'p> {
    pub(super) fn of(bodies: impl Iterator<Item = &'b InBody<'p>>) -> Self {
        let mut wide: HashMap<Open<'b>, Vec<_>> = HashMap::new();
        for body in bodies {
            for (kind, pattern) in body.patterns() {
                if let Pattern::Prefix(beginning) | Pattern::Across(beginning) = pattern {
                    wide.entry((&body.place, &body.hosts, kind, beginning)).or_default().push((body, pattern));
                }
            }
        }
        Self(wide)
    }

    /// Does this matcher take away messages that one of these, a wider one of another command, would get?
    pub(super) fn has_except(&self, mine: &InBody<'_>) -> bool {
        mine.patterns().any(|(kind, narrow)| {
            beginnings(beginning(narrow)).any(|beginning| {
                let mut alike = self.0.get(&(&mine.place, &mine.hosts, kind, beginning)).into_iter().flatten();
                alike.any(|(body, wide)| body.command != mine.command && *wide != narrow && wide.covers(narrow))
            })
        })
    }
}

/// The first matcher of each endpoint.
fn firsts<'b, 'p: 'b>(bodies: impl Iterator<Item = &'b InBody<'p>>) -> impl Iterator<Item = &'b InBody<'p>> {
    let mut seen = HashSet::new();
    bodies.filter(move |body| seen.insert((&body.place, &body.hosts)))
}

/// What a matcher names under this member.
fn named(mcp: &Value, member: &str) -> Vec<Pattern> {
    if member == "resources" {
        strings(mcp.get(member)).filter_map(Pattern::parse_across).collect()
    } else {
        patterns(mcp.get(member))
    }
}

impl Linter<'_> {
    pub(super) fn bodies(&mut self, routes: &ByPath<'_, '_>, bodies: &[InBody<'_>], used: &BTreeSet<&str>) {
        for body in bodies {
            if used.contains(body.command) {
                self.any_tool(body);
            }
            self.dead_uris(body);
        }
        self.methods_missing(bodies);
        self.look_alikes(routes, bodies, used);
        self.coded_forms();
    }

    fn any_tool(&mut self, body: &InBody<'_>) {
        let tools = body.mcp.get("tools").and_then(Value::as_array).into_iter().flatten();
        for (index, _) in tools.enumerate().filter(|(_, tool)| *tool == "*") {
            let arguments = if body.mcp.get("arguments").is_some() { "" } else { ", with any arguments" };
            self.warn(
                Lint::AnyTool,
                &format!("{}/tools/{index}", body.pointer),
                format!("`{}` is every tool that the server has or will have{arguments}", body.command),
                "name the tools that are needed, such as `tools: [search, \"read_*\"]`",
            );
        }
    }

    /// Beginnings that no URI goes on from: what servers read differently is matched by no pattern.
    fn dead_uris(&mut self, body: &InBody<'_>) {
        for (pointer, uri) in items(body.mcp, "/resources") {
            let Some(Pattern::Prefix(beginning) | Pattern::Across(beginning)) = uri.as_str().and_then(Pattern::parse_across)
            else {
                continue;
            };
            // What follows may end an escape, or a character of several.
            let whole = beginning.trim_end_matches(|last: char| last == '%' || last.is_ascii_hexdigit());
            if beginning.contains(':') && !uri_is_plain(&format!("{whole}x")) {
                self.warn(
                    Lint::PatternUnmatched,
                    &format!("{}{pointer}", body.pointer),
                    format!("`{beginning}` begins no URI that a pattern matches: servers read it differently"),
                    "write it without dot segments, `//`, `#`, spaces, and escapes of `.` and `/`",
                );
            }
        }
    }

    /// What clients do by themselves before they use what a grant allows.
    fn methods_missing(&mut self, bodies: &[InBody<'_>]) {
        let mut by_command: HashMap<&str, Vec<&InBody<'_>>> = HashMap::new();
        for body in bodies {
            by_command.entry(body.command).or_default().push(body);
        }
        let of = |command| by_command.get(command).into_iter().flatten().copied();
        let grants = grants(self.policy);
        let naming = Naming::of(&grants);
        for grant in &grants {
            let mine: Vec<&InBody<'_>> = grant.commands.iter().copied().flat_map(of).collect();
            if mine.is_empty() {
                continue;
            }
            // The same sessions may do what other grants for them allow.
            let beside: BTreeSet<&str> =
                naming.all_of(grant).into_iter().flat_map(|(_, other)| other.commands.iter().copied()).collect();
            let allowing: Vec<_> = beside.iter().copied().flat_map(of).filter(|body| !body.methods().is_empty()).collect();
            for first in firsts(mine.iter().copied()) {
                let here = || mine.iter().filter(|body| body.is_beside(first));
                let may = |method: &&str| {
                    let mut methods = allowing.iter().filter(|body| body.is_beside(first)).flat_map(|body| body.methods());
                    methods.any(|pattern| pattern.matches(method))
                };
                let mut missing: Vec<&str> = Vec::new();
                if here().any(|body| body.begins()) && !may(&"initialize") {
                    missing.push("initialize");
                }
                for lists in here().flat_map(|body| body.listed()).filter(|lists| !lists.iter().any(may)) {
                    missing.extend(lists.first().filter(|list| !missing.contains(list)));
                }
                let lost = match missing.as_slice() {
                    [] => continue,
                    ["initialize"] => "clients of versions before 2026-07-28 cannot begin",
                    ["initialize", ..] => "clients cannot begin, nor see what they may use",
                    [..] => "clients cannot see what they may use",
                };
                let told: Vec<String> = missing.iter().map(|method| format!("`{method}`")).collect();
                self.warn(
                    Lint::MethodMissing,
                    &format!("{}/allow", grant.pointer),
                    format!("`{}` allows `{}` at `{}`, and not {}: {lost}", grant.name, first.command, first.path, and(&told)),
                    format!("allow a command with `methods: [{}]` of that path as well", missing.join(", ")),
                );
            }
        }
    }

    /// Paths that differ from an endpoint's in the slash at their end, which many servers do not look at.
    fn look_alikes(&mut self, routes: &ByPath<'_, '_>, bodies: &[InBody<'_>], used: &BTreeSet<&str>) {
        let mut by_place: HashMap<&PathPattern, Vec<&InBody<'_>>> = HashMap::new();
        for body in bodies {
            by_place.entry(&body.place).or_default().push(body);
        }
        for body in firsts(bodies.iter()) {
            let other = body.path.strip_suffix('/').map_or_else(|| format!("{}/", body.path), str::to_owned);
            let Some(twin) = PathPattern::parse(&other) else { continue };
            let mut alike = by_place.get(&twin).into_iter().flatten();
            if let Some(alike) = alike.find(|alike| hosts_meet(alike.hosts.as_ref(), body.hosts.as_ref())) {
                // Once, at the longer one.
                if other.ends_with('/') {
                    self.warn(
                        Lint::PathLookAlike,
                        &format!("{}/path", alike.pointer),
                        format!("another endpoint than the `{}` of `{}`: to many servers they are one", body.path, body.command),
                        format!("write `path: {}` here, too", body.path),
                    );
                }
                continue;
            }
            let wider = routes.wider(&twin);
            let taking = || {
                let posts = wider
                    .iter()
                    .map(|(_, route)| route)
                    .filter(|route| route.methods.as_ref().is_some_and(|methods| methods.contains("POST")));
                posts.filter(|route| route.path.covers(&twin) && hosts_meet(route.hosts.as_ref(), body.hosts.as_ref()))
            };
            // A command of exactly that path goes before wider ones.
            let exact = taking().any(|route| route.path == twin);
            for route in taking().filter(|route| used.contains(route.command) && (!exact || route.path == twin)) {
                self.warn(
                    Lint::PathLookAlike,
                    &route.pointer,
                    format!("`{}` takes POST to `{other}` as well: a server to which that is `{}` gets messages that nobody has judged", route.command, body.path),
                    format!("give `POST {other}` a command that nobody is granted, or take POST from this one"),
                );
            }
        }
    }

    /// Forms of gRPC in which no answer passes. What is unmediated gets no credential, and its answers are not searched.
    fn coded_forms(&mut self) {
        let policy = self.policy;
        let granted = granted(policy);
        if policy.pointer("/upstream/echoed_credential").and_then(Value::as_str) != Some("cut") {
            return;
        }
        for (command, matchers) in policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
            for (place, matcher) in each(matchers).filter(|_| granted.contains(command.as_str())) {
                for (form, _) in items(matcher, "/grpc/forms").filter(|(_, form)| *form == "grpc_web_text") {
                    self.warn(
                        Lint::FormNotPassed,
                        &format!("{}{place}{form}", pointer_to(command)),
                        "with `echoed_credential: cut` each answer in this form is a 502: base64 throughout, it cannot be searched",
                        "take it out, or write `echoed_credential: remove`",
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
