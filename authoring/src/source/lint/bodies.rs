//! Commands that are found in bodies: what they let through unseen, what clients miss beside them, and what is too near their
//! endpoints.

use super::{
    Lint, Linter, and,
    commands::{Hosts, Route, each, granted, hosts_meet, named_hosts, pointer_to, strings},
    grants::grants,
    items, patterns,
};
use chaperone_policy::{PathPattern, Pattern, uri_is_plain};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is named by what it is, with the methods that list it: one of them will do.
const LISTS: [(&str, &[&str]); 3] =
    [("tools", &["tools/list"]), ("prompts", &["prompts/list"]), ("resources", &["resources/list", "resources/templates/list"])];
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
}

pub(super) fn in_bodies(policy: &Value) -> Vec<InBody<'_>> {
    let mut found = Vec::new();
    for (command, matchers) in policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
        for (item, matcher) in each(matchers) {
            let Some(mcp) = matcher.get("mcp") else { continue };
            let Some(path) = mcp.get("path").and_then(Value::as_str) else { continue };
            let Some(place) = PathPattern::parse(path) else { continue };
            let pointer = format!("{}{item}/mcp", pointer_to(command));
            found.push(InBody { command, pointer, mcp, path, place, hosts: named_hosts(mcp) });
        }
    }
    found
}

impl InBody<'_> {
    /// Are both of one endpoint?
    fn is_beside(&self, other: &Self) -> bool {
        self.place == other.place && self.hosts == other.hosts
    }

    /// Does it take away messages that the other, wider one would get?
    pub(super) fn excepts(&self, wide: &Self) -> bool {
        let narrower = |member: &str| {
            let (mine, theirs) = (named(self.mcp, member), named(wide.mcp, member));
            mine.iter().any(|narrow| theirs.iter().any(|wide| wide != narrow && wide.covers(narrow)))
        };
        self.command != wide.command
            && self.is_beside(wide)
            && ["tools", "prompts", "resources", "methods"].into_iter().any(narrower)
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

/// What a matcher names under this member.
fn named(mcp: &Value, member: &str) -> Vec<Pattern> {
    if member == "resources" {
        strings(mcp.get(member)).filter_map(Pattern::parse_across).collect()
    } else {
        patterns(mcp.get(member))
    }
}

impl Linter<'_> {
    pub(super) fn bodies(&mut self, routes: &[Route<'_>], bodies: &[InBody<'_>], used: &BTreeSet<&str>) {
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
        let grants = grants(self.policy);
        for grant in &grants {
            // The same sessions may do what other grants for them allow.
            let beside: BTreeSet<&str> = grants
                .iter()
                .filter(|other| other.is_for_all_of(grant))
                .flat_map(|other| other.commands.iter().copied())
                .collect();
            let mine: Vec<&InBody<'_>> = bodies.iter().filter(|body| grant.commands.contains(body.command)).collect();
            for (index, first) in mine.iter().enumerate() {
                if mine.iter().take(index).any(|earlier| earlier.is_beside(first)) {
                    continue;
                }
                let here = || mine.iter().filter(|body| body.is_beside(first));
                let may = |method: &&str| {
                    let allowing = bodies.iter().filter(|body| body.is_beside(first) && beside.contains(body.command));
                    allowing.flat_map(|body| named(body.mcp, "methods")).any(|pattern| pattern.matches(method))
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
    fn look_alikes(&mut self, routes: &[Route<'_>], bodies: &[InBody<'_>], used: &BTreeSet<&str>) {
        for (index, body) in bodies.iter().enumerate() {
            if bodies.iter().take(index).any(|earlier| earlier.is_beside(body)) {
                continue;
            }
            let other = body.path.strip_suffix('/').map_or_else(|| format!("{}/", body.path), str::to_owned);
            let Some(twin) = PathPattern::parse(&other) else { continue };
            if let Some(alike) =
                bodies.iter().find(|alike| alike.place == twin && hosts_meet(alike.hosts.as_ref(), body.hosts.as_ref()))
            {
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
            let taking = || {
                let posts = routes.iter().filter(|route| route.methods.as_ref().is_some_and(|methods| methods.contains("POST")));
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
