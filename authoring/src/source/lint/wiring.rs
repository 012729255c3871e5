//! What keeps one caller from taking the proxy's room, in the wiring around a filter: Envoy's listeners and clusters, the objects
//! of a mesh.

use super::{Lint, allowed, summarise};
use crate::source::{Document, Finding, Findings, Severity, push_index, push_member};
use serde_json::Value;
use std::collections::BTreeSet;

/// Envoy files and lists of manifests may be nothing but wiring: then there is no policy to speak of.
///
/// `None` when the file wires no wasm filter.
pub(in crate::source) fn wiring_alone(file: &Document) -> Option<Option<Findings>> {
    let mut wiring = Wiring::new(file);
    wiring.walk(file.value(), &mut String::new());
    (wiring.managers > 0).then(|| {
        allowed::apply(file, &mut wiring.found);
        let mut found = summarise(wiring.found);
        found.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
        Findings::new(found)
    })
}

/// What is missing around the filter of this file.
pub(super) fn wiring(file: &Document) -> Vec<Finding> {
    let mut wiring = Wiring::new(file);
    wiring.walk(file.value(), &mut String::new());
    wiring.list();
    wiring.found
}

struct Wiring<'d> {
    file: &'d Document,
    /// Connection managers with a wasm filter.
    managers: usize,
    found: Vec<Finding>,
}

/// A member by either of the names that protobuf's JSON has for it.
fn member<'v>(value: &'v Value, name: &str) -> Option<(&'v Value, String)> {
    let mut upper = false;
    let mut camel = String::new();
    for character in name.chars() {
        match character {
            '_' => upper = true,
            other if std::mem::take(&mut upper) => camel.push(other.to_ascii_uppercase()),
            other => camel.push(other),
        }
    }
    [name.to_owned(), camel].into_iter().find_map(|name| Some((value.get(&name)?, name)))
}

fn get<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    member(value, name).map(|(value, _)| value)
}

/// A duration that says something: Envoy takes none, and nought, for no bound.
fn is_bound(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str).is_some_and(|text| text.bytes().any(|byte| matches!(byte, b'1'..=b'9')))
}

impl<'d> Wiring<'d> {
    fn new(file: &'d Document) -> Self {
        Self { file, managers: 0, found: Vec::new() }
    }

    fn warn(&mut self, lint: Lint, pointer: &str, message: impl Into<String>, help: impl Into<String>) {
        let finding = self.file.finding(pointer, message, Some(help.into()));
        self.found.push(Finding { severity: Severity::Warning(lint), ..finding });
    }

    fn walk(&mut self, value: &Value, pointer: &mut String) {
        let length = pointer.len();
        match value {
            Value::Object(members) => {
                if get(value, "http_filters").is_some_and(runs_wasm) {
                    self.manager(value, pointer);
                }
                for (name, inner) in members {
                    push_member(pointer, name);
                    self.walk(inner, pointer);
                    pointer.truncate(length);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    push_index(pointer, index);
                    self.walk(item, pointer);
                    pointer.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// An HTTP connection manager with a wasm filter.
    fn manager(&mut self, manager: &Value, pointer: &str) {
        self.managers += 1;
        for (name, holds, instead) in [
            ("request_headers_timeout", "headers that never end hold a stream that nobody has authenticated", "10s"),
            ("request_timeout", "a body that never comes holds a stream for as long as its sender likes", "30s"),
            // Unset it is five minutes.
            ("stream_idle_timeout", "a stream on which nothing moves stays for ever", "300s"),
        ] {
            let value = member(manager, name);
            let unset_is_fine = name == "stream_idle_timeout" && value.is_none();
            if !unset_is_fine && !is_bound(value.as_ref().map(|(value, _)| *value)) {
                let place = value.map_or_else(|| pointer.to_owned(), |(_, name)| format!("{pointer}/{name}"));
                self.warn(
                    Lint::TimeoutMissing,
                    &place,
                    format!("no `{name}`: {holds}"),
                    format!("write `{name}: {instead}`, as envoy/bootstrap.yaml has it"),
                );
            }
        }
        let mut names = BTreeSet::new();
        if let Some(routes) = get(manager, "route_config") {
            clusters(routes, &mut names);
        }
        names.into_iter().for_each(|name| self.cluster(name));
    }

    /// A cluster that requests go to, where this file has it.
    fn cluster(&mut self, name: &str) {
        let file = self.file.value();
        let Some((resources, resources_name)) = member(file, "static_resources") else { return };
        let all = resources.get("clusters").and_then(Value::as_array);
        let Some((index, cluster)) = all.into_iter().flatten().enumerate().find(|(_, cluster)| cluster["name"] == name) else {
            return;
        };
        let pointer = format!("/{resources_name}/clusters/{index}");
        let thresholds =
            get(cluster, "circuit_breakers").and_then(|breakers| breakers.get("thresholds")).and_then(Value::as_array);
        let usual = thresholds
            .into_iter()
            .flatten()
            .find(|one| one.get("priority").is_none_or(|priority| priority == "DEFAULT" || priority == 0));
        let missing: Vec<String> = ["max_connections", "max_pending_requests", "max_requests"]
            .into_iter()
            .filter(|name| usual.and_then(|usual| get(usual, name)).is_none())
            .map(|name| format!("`{name}`"))
            .collect();
        if !missing.is_empty() {
            self.warn(
                Lint::CircuitBreakersMissing,
                &format!("{pointer}/name"),
                format!("{} of `{name}` are Envoy's 1,024: as many idle streams of one caller, and everybody else gets 503", super::and(&missing)),
                "write `circuit_breakers: {thresholds: [{max_connections: 10000, max_pending_requests: 10000, max_requests: 10000}]}`",
            );
        }
    }

    /// Objects of a mesh that are delivered together. One that stands alone says nothing of the others.
    fn list(&mut self) {
        let Some(items) =
            self.file.value().get("items").and_then(Value::as_array).filter(|_| self.file.value()["kind"] == "List")
        else {
            return;
        };
        let of_kind = |kind: &'static str| items.iter().enumerate().filter(move |(_, item)| item["kind"] == kind);
        let bounded = of_kind("EnvoyFilter").any(|(_, filter)| mentions(filter, "request_timeout"));
        for (index, plugin) in of_kind("WasmPlugin").chain(of_kind("TrafficExtension")) {
            // At a waypoint no EnvoyFilter can be relied on, and only `targetRefs` lead there.
            let may_be_waypoint = plugin.pointer("/spec/targetRefs").is_some() && of_kind("EnvoyFilter").next().is_none();
            if !bounded && !may_be_waypoint {
                self.warn(
                    Lint::TimeoutMissing,
                    &format!("/items/{index}/kind"),
                    "no EnvoyFilter beside it sets `request_timeout`: a body that never comes holds a stream for as long as its sender likes",
                    "take the EnvoyFilter that `policy-host render istio` prints",
                );
            }
        }
        for (index, policy) in of_kind("EnvoyExtensionPolicy") {
            let breakers = of_kind("BackendTrafficPolicy")
                .any(|(_, policy)| policy.pointer("/spec/circuitBreaker/maxParallelRequests").is_some());
            if !breakers {
                self.warn(
                    Lint::CircuitBreakersMissing,
                    &format!("/items/{index}/kind"),
                    "no BackendTrafficPolicy beside it sets `circuitBreaker`: 1,024 idle streams of one caller, and everybody else gets 503",
                    "take the BackendTrafficPolicy that `policy-host render envoy-gateway` prints",
                );
            }
            let targets = policy.pointer("/spec/targetRefs").and_then(Value::as_array);
            // A route does not choose its Gateway's timeouts.
            let gateway = targets.into_iter().flatten().any(|target| target["kind"] == "Gateway");
            let timeouts = of_kind("ClientTrafficPolicy")
                .any(|(_, policy)| is_bound(policy.pointer("/spec/timeout/http/requestReceivedTimeout")));
            if gateway && !timeouts {
                self.warn(
                    Lint::TimeoutMissing,
                    &format!("/items/{index}/kind"),
                    "no ClientTrafficPolicy beside it sets `requestReceivedTimeout`: a body that never comes holds a stream for as long as its sender likes",
                    "take the ClientTrafficPolicy that `policy-host render envoy-gateway` prints",
                );
            }
        }
    }
}

/// Is one of these filters wasm, or a wasm filter that is to be discovered?
fn runs_wasm(filters: &Value) -> bool {
    const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    filters.as_array().into_iter().flatten().any(|filter| {
        let own = get(filter, "typed_config").and_then(|config| config.get("@type")).is_some_and(|kind| kind == WASM);
        let discovered =
            get(filter, "config_discovery").and_then(|discovery| get(discovery, "type_urls")).and_then(Value::as_array);
        own || discovered.into_iter().flatten().any(|kind| kind == WASM)
    })
}

/// The clusters that routes name.
fn clusters<'v>(routes: &'v Value, names: &mut BTreeSet<&'v str>) {
    match routes {
        Value::Object(members) => {
            let route = members.get("route").and_then(|route| route.get("cluster")).and_then(Value::as_str);
            names.extend(route);
            let weighted =
                get(routes, "weighted_clusters").and_then(|weighted| weighted.get("clusters")).and_then(Value::as_array);
            names.extend(weighted.into_iter().flatten().filter_map(|cluster| cluster.get("name")?.as_str()));
            members.values().for_each(|inner| clusters(inner, names));
        }
        Value::Array(items) => items.iter().for_each(|item| clusters(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Is there a bound of this name anywhere in it?
fn mentions(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => is_bound(get(value, name)) || members.values().any(|inner| mentions(inner, name)),
        Value::Array(items) => items.iter().any(|item| mentions(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests;
