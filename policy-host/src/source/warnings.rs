//! What is allowed, and probably not meant.

use super::{Findings, PolicyDocument, finding::Severity, push_index};
use serde_json::Value;

/// Methods that only read (RFC 9110 §9.2.1).
const SAFE: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

impl PolicyDocument {
    /// What the filter takes, and a reviewer would ask about.
    #[must_use]
    pub fn warnings(&self) -> Option<Findings> {
        let mut list = Vec::new();
        let unmediated = self.value().get("unmediated").and_then(Value::as_array);
        for (index, name) in unmediated.into_iter().flatten().enumerate() {
            let Some(name) = name.as_str() else { continue };
            let named = |command: &str| match name.strip_suffix('*') {
                Some(beginning) => command.starts_with(beginning),
                None => command == name,
            };
            let commands = self.value().get("commands").and_then(Value::as_object);
            let mut unsafe_methods: Vec<String> = commands
                .into_iter()
                .flatten()
                .filter(|(command, _)| named(command))
                .flat_map(|(_, matchers)| unsafe_methods(matchers))
                .collect();
            unsafe_methods.sort();
            unsafe_methods.dedup();
            if unsafe_methods.is_empty() {
                continue;
            }
            let mut pointer = "/unmediated".to_owned();
            push_index(&mut pointer, index);
            let mut finding = self.finding(
                &pointer,
                format!("`{name}` lets anybody send {} without a session", unsafe_methods.join(", ")),
                Some("leave only GET, HEAD and OPTIONS unmediated, or grant the command to somebody".to_owned()),
            );
            finding.severity = Severity::Warning;
            list.push(finding);
        }
        Findings::new(list)
    }
}

/// The methods of a command that do more than read: a gRPC call is a POST.
fn unsafe_methods(command: &Value) -> Vec<String> {
    let matchers = command.as_array().map_or_else(|| vec![command], |list| list.iter().collect());
    let mut methods = Vec::new();
    for matcher in matchers {
        if matcher.get("grpc").is_some() {
            methods.push("gRPC calls".to_owned());
        }
        let listed = matcher.pointer("/http/methods").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        methods.extend(listed.filter(|method| !SAFE.contains(method)).map(str::to_owned));
    }
    methods
}

#[cfg(test)]
mod tests {
    use crate::source::{Document, PolicyDocument};

    #[test]
    fn a_pattern_is_asked_about_for_all_that_it_names() {
        let text = "commands:\n  a.read: {http: {methods: [GET], path: /a}}\n  a.write: {http: {methods: [PUT, POST], path: /a}}\nunmediated: [\"a.*\"]\n";
        let policy = PolicyDocument::find(Document::parse("p.yaml", text.into()).unwrap()).unwrap();
        assert!(policy.warnings().unwrap().to_string().contains("`a.*` lets anybody send POST, PUT without a session"));
    }

    #[test]
    fn an_unmediated_command_that_writes_is_asked_about() {
        let text = "commands:\n  health: {http: {methods: [GET], path: /h}}\n  hook:\n  - {http: {methods: [GET, POST], path: /x}}\n  - {grpc: {service: a, methods: [B]}}\nunmediated: [health, hook]\n";
        let policy = PolicyDocument::find(Document::parse("p.yaml", text.into()).unwrap()).unwrap();
        assert_eq!(
            policy.warnings().unwrap().to_string(),
            "p.yaml:6:22: `hook` lets anybody send POST, gRPC calls without a session (leave only GET, HEAD and OPTIONS unmediated, or grant the command to somebody)"
        );
    }
}
