//! Lists that name something twice. The filter takes them: it is a slip that stands for something else, or nothing.

use super::{Lint, Linter};
use crate::source::{push_index, push_member};
use serde_json::Value;

/// Members that list texts of which each counts once. `session.bind` is one, too, and an error already.
const LISTS: [&str; 18] = [
    "algorithms",
    "allow",
    "audiences",
    "commands",
    "context_changes",
    "forms",
    "hosts",
    "methods",
    "observe",
    "origins",
    "permit",
    "prompts",
    "resources",
    "tools",
    "types",
    "unmediated",
    "uris",
    "versions",
];
/// Members with lists of their own meaning: ways to a claim, schemas, what an issuer publishes.
const OTHERS: [&str; 3] = ["claims", "arguments", "jwks"];

impl Linter<'_> {
    pub(super) fn repeated(&mut self) {
        let policy = self.policy;
        self.lists(policy, &mut String::new());
    }

    fn lists(&mut self, value: &Value, pointer: &mut String) {
        let length = pointer.len();
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str())) {
                    push_member(pointer, name);
                    match member {
                        Value::Array(items) if LISTS.contains(&name.as_str()) => self.list(items, pointer),
                        Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::String(_)
                        | Value::Array(_)
                        | Value::Object(_) => {
                            self.lists(member, pointer);
                        }
                    }
                    pointer.truncate(length);
                }
            }
            // Revocations have no lists, and may be 100,000.
            Value::Array(items) if pointer != "/revoked" => {
                for (index, item) in items.iter().enumerate() {
                    push_index(pointer, index);
                    self.lists(item, pointer);
                    pointer.truncate(length);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
        }
    }

    fn list(&mut self, items: &[Value], pointer: &str) {
        for (index, item) in items.iter().enumerate() {
            if let Some(text) = item.as_str().filter(|_| items.iter().take(index).any(|earlier| earlier == item)) {
                self.warn(
                    Lint::ItemRepeated,
                    &format!("{pointer}/{index}"),
                    format!("`{text}` stands here twice"),
                    "remove one of them",
                );
            }
        }
    }
}
