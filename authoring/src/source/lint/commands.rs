//! Commands that nothing can reach, and commands that anybody can.

use super::{
    Lint, Linter, Target,
    bodies::{InBody, Wide, in_bodies},
    items, named_by, patterns,
};
use crate::source::{commands_in_bodies, push_member};
use chaperone_policy::{HostPattern, PathIndex, PathPattern, Pattern};
use serde_json::Value;
use std::collections::BTreeSet;

/// Methods that only read (RFC 9110 §9.2.1).
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// Hosts that a matcher names.
pub(super) type Hosts = BTreeSet<HostPattern>;

/// One matcher of a command that is in the head.
pub(super) struct Route<'p> {
    pub(super) command: &'p str,
    pub(super) pointer: String,
    pub(super) path: PathPattern,
    /// `None` for any: a gRPC command takes every method of its path.
    pub(super) methods: Option<BTreeSet<&'p str>>,
    /// `None` for any.
    pub(super) hosts: Option<Hosts>,
    /// Does it take more than a plain one would (`permit`, `upgrade`)?
    special: bool,
}

impl Linter<'_> {
    pub(super) fn commands(&mut self) {
        self.unmediated();
        let routes = routes(self.policy);
        let by_path = by_path(&routes);
        let bodies = in_bodies(self.policy);
        let used: BTreeSet<&str> = used(self.policy);
        let mut shadowed = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let repeats = |(other, wide): &(usize, &Route<'_>)| {
                let same = *other != index && wide.command == route.command && wide.covers(route);
                same && (*other < index || !route.covers(wide))
            };
            if by_path.wider(&route.path).into_iter().any(repeats) {
                self.warn(
                    Lint::MatcherRepeated,
                    &route.pointer,
                    format!("another matcher of `{}` takes all of these requests", route.command),
                    "remove this one",
                );
            } else if route.is_shadowed(&by_path) {
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
        // Named so that others do not get what they name.
        let except = |mine: &&Route<'_>| {
            let mut wider = by_path.wider(&mine.path).into_iter().map(|(_, wide)| wide);
            !used.contains(mine.command) && wider.any(|wide| used.contains(wide.command) && mine.excepts(wide))
        };
        let wide = Wide::of(bodies.iter().filter(|body| used.contains(body.command)));
        let in_body = |mine: &&InBody<'_>| !used.contains(mine.command) && wide.has_except(mine);
        let in_heads = routes.iter().filter(except).map(|route| route.command);
        let excepting: BTreeSet<&str> = in_heads.chain(bodies.iter().filter(in_body).map(|body| body.command)).collect();
        for (name, _) in self.policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
            if !used.contains(name.as_str()) && !excepting.contains(name.as_str()) {
                self.warn(
                    Lint::CommandUnused,
                    &pointer_to(name),
                    format!("nobody is granted `{name}`: every request of it is denied"),
                    format!("grant it to somebody, or remove it; or write `# check: allow {}` beside it if it is named for the record alone", Lint::CommandUnused.code()),
                );
            }
        }
        self.decided_by_body();
        self.bodies(&by_path, &bodies, &used);
    }

    fn unmediated(&mut self) {
        for (pointer, name) in items(self.policy, "/unmediated") {
            let Some(name) = name.as_str() else { continue };
            let commands = self.policy.get("commands").and_then(Value::as_object).into_iter().flatten();
            let pattern = Pattern::parse(name);
            let named = commands.filter(|(command, _)| pattern.as_ref().is_some_and(|pattern| pattern.matches(command)));
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

    /// Where a filter cannot hold a request for its body: Istio's WasmPlugin has no field for that, and Envoy's own plugin has to have
    /// it set.
    fn decided_by_body(&mut self) {
        let policy = self.policy;
        let carrier = self.document.carrier();
        let plugin = self.document.plugin_pointer().filter(|_| carrier.pointer().ends_with("/configuration/value"));
        let plugin = plugin.and_then(|plugin| carrier.file().value().pointer(&plugin));
        let held = |plugin: &Value| {
            let names = ["allow_on_headers_stop_iteration", "allowOnHeadersStopIteration"];
            names.iter().any(|name| plugin.get(name) == Some(&Value::Bool(true)))
        };
        let (lacks, help) = match (plugin, self.target) {
            (Some(plugin), _) if held(plugin) => return,
            (Some(_), _) => ("this plugin does not", "write `allow_on_headers_stop_iteration: true` beside its `configuration`"),
            (None, Target::Istio) => (
                "a WasmPlugin cannot",
                "take the EnvoyFilter that `policy-host render istio` prints for it: with `allow_on_headers_stop_iteration: true`",
            ),
            (None, Target::EnvoyGateway) => (
                "Envoy Gateway's plugin cannot",
                "take Envoy's own file, or the EnvoyFilter that `policy-host render istio` prints",
            ),
            (None, Target::Envoy) => return,
        };
        let mut found = commands_in_bodies(policy);
        if let Some((name, kind)) = found.next() {
            let others = match found.count() {
                0 => String::new(),
                count => format!(", as {count} more,"),
            };
            let message = format!("`{name}`{others} is decided by the body ({kind}), and {lacks} wait for one");
            self.warn(Lint::BodyUnavailable, &pointer_to(name), message, help);
        }
    }
}

/// The commands that a grant allows.
pub(super) fn granted(policy: &Value) -> BTreeSet<&str> {
    commands_of(policy, items(policy, "/grants").flat_map(|(_, grant)| patterns(grant.get("allow"))).collect())
}

/// The commands that a grant allows, or that need none.
fn used(policy: &Value) -> BTreeSet<&str> {
    granted(policy).into_iter().chain(commands_of(policy, patterns(policy.get("unmediated")))).collect()
}

fn commands_of(policy: &Value, patterns: Vec<Pattern>) -> BTreeSet<&str> {
    named_by(&super::names(policy), &patterns)
}

pub(super) fn pointer_to(command: &str) -> String {
    let mut pointer = "/commands".to_owned();
    push_member(&mut pointer, command);
    pointer
}

/// The matchers of a command, with what follows its pointer.
pub(super) fn each(command: &Value) -> impl Iterator<Item = (String, &Value)> {
    let several = command.as_array().into_iter().flatten().enumerate().map(|(index, matcher)| (format!("/{index}"), matcher));
    several.chain((!command.is_array()).then(|| (String::new(), command)))
}

pub(super) fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The methods of a command that do more than read: a gRPC call is a POST, but where only Connect's GET is named.
fn unsafe_methods(command: &Value) -> Vec<String> {
    let mut methods = Vec::new();
    for (_, matcher) in each(command) {
        let named: Vec<&str> = strings(matcher.pointer("/grpc/forms")).collect();
        if matcher.get("grpc").is_some() && (named.is_empty() || named.iter().any(|form| *form != "connect_get")) {
            methods.push("gRPC calls".to_owned());
        }
        let listed = strings(matcher.pointer("/http/methods"));
        methods.extend(listed.filter(|method| !SAFE.contains(method)).map(str::to_owned));
    }
    methods
}

pub(super) fn routes(policy: &Value) -> Vec<Route<'_>> {
    let mut routes = Vec::new();
    for (command, matchers) in policy.get("commands").and_then(Value::as_object).into_iter().flatten() {
        for (place, matcher) in each(matchers) {
            let pointer = pointer_to(command) + &place;
            if let Some(http) = matcher.get("http") {
                let Some(path) = http.get("path").and_then(Value::as_str).and_then(PathPattern::parse) else { continue };
                routes.push(Route {
                    command,
                    pointer,
                    path,
                    methods: Some(strings(http.get("methods")).collect()),
                    hosts: named_hosts(http),
                    special: http.get("permit").is_some() || http.get("upgrade") == Some(&Value::Bool(true)),
                });
            } else if let Some(service) = matcher.pointer("/grpc/service").and_then(Value::as_str) {
                for method in strings(matcher.pointer("/grpc/methods")) {
                    let path = PathPattern::of_grpc(service, method);
                    routes.push(Route { command, pointer: pointer.clone(), path, methods: None, hosts: None, special: true });
                }
            }
        }
    }
    routes
}

/// The matchers by their paths, each with its place.
pub(super) type ByPath<'r, 'p> = PathIndex<(usize, &'r Route<'p>)>;

fn by_path<'r, 'p>(routes: &'r [Route<'p>]) -> ByPath<'r, 'p> {
    routes.iter().enumerate().map(|(place, route)| (route.path.clone(), (place, route))).collect()
}

/// The hosts that a matcher names; `None` for any.
pub(super) fn named_hosts(matcher: &Value) -> Option<Hosts> {
    let hosts: Hosts = strings(matcher.get("hosts")).filter_map(HostPattern::parse).collect();
    (!hosts.is_empty()).then_some(hosts)
}

/// Could a request be at the hosts of both?
pub(super) fn hosts_meet(mine: Option<&Hosts>, theirs: Option<&Hosts>) -> bool {
    match (mine, theirs) {
        (Some(mine), Some(theirs)) => {
            mine.iter().any(|mine| theirs.iter().any(|theirs| theirs.covers(mine) || mine.covers(theirs)))
        }
        (None, _) | (_, None) => true,
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
            (Some(mine), Some(theirs)) => theirs.iter().all(|host| mine.iter().any(|wide| wide.covers(host))),
            (Some(_), None) => false,
        };
        methods && hosts && !narrow.special && self.path.covers(&narrow.path)
    }

    /// Does it take away requests that the other, wider one would get?
    fn excepts(&self, wide: &Self) -> bool {
        let methods = match (&self.methods, &wide.methods) {
            (Some(mine), Some(theirs)) => !mine.is_disjoint(theirs),
            (None, _) | (_, None) => true,
        };
        let hosts = hosts_meet(self.hosts.as_ref(), wide.hosts.as_ref());
        // With the same path, an exact host goes before a wildcard.
        let by_host = || {
            let (mine, theirs) = (self.hosts.iter().flatten(), || wide.hosts.iter().flatten());
            self.path == wide.path && mine.clone().any(|mine| theirs().any(|wide| wide != mine && wide.covers(mine)))
        };
        self.command != wide.command && methods && hosts && (self.path.excepts(&wide.path) || by_host())
    }

    /// Do more specific commands take all of its requests?
    fn is_shadowed(&self, by_path: &ByPath<'_, '_>) -> bool {
        let beneath = by_path.beneath(&self.path);
        let methods: Vec<&str> = self.methods.iter().flatten().copied().collect();
        let any = [None];
        let named: Vec<Option<&HostPattern>> = self.hosts.iter().flatten().map(Some).collect();
        let hosts = if named.is_empty() { &any[..] } else { &named[..] };
        let used_up = |method: &str, host: Option<&HostPattern>| {
            let others =
                beneath.iter().map(|(_, route)| route).filter(|route| route.command != self.command && route.takes(method, host));
            self.path.is_used_up(others.map(|route| &route.path))
        };
        // Of a gRPC method nothing can be taken away: its path has no captures.
        !methods.is_empty() && methods.iter().all(|method| hosts.iter().all(|host| used_up(method, *host)))
    }

    /// Does it take this method at this host, and at any host where none is named?
    fn takes(&self, method: &str, host: Option<&HostPattern>) -> bool {
        let takes_method = self.methods.as_ref().is_none_or(|methods| methods.contains(method));
        takes_method
            && self.hosts.as_ref().is_none_or(|hosts| host.is_some_and(|host| hosts.iter().any(|mine| mine.covers(host))))
    }
}
