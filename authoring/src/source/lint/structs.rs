//! What changes on the way through another YAML reader, in a policy that is written into a manifest. (Numbers that the doubles
//! of a `Struct` cannot hold are errors anyway.)

use super::{Lint, Linter, Target};
use crate::source::{push_index, push_member};
use serde_json::Value;

impl Linter<'_> {
    pub(super) fn structs(&mut self) {
        if self.target != Target::Envoy || self.document.is_struct() {
            let policy = self.policy;
            self.leaves(policy, &mut String::new());
        }
    }

    fn leaves(&mut self, value: &Value, pointer: &mut String) {
        let length = pointer.len();
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    push_member(pointer, name);
                    if self.document.raw_key(pointer).is_some_and(is_another_to_yaml_1_1) {
                        self.ambiguous(name, pointer);
                    }
                    self.leaves(member, pointer);
                    pointer.truncate(length);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    push_index(pointer, index);
                    self.leaves(item, pointer);
                    pointer.truncate(length);
                }
            }
            Value::String(text) => {
                if self.document.raw_value(pointer).is_some_and(is_another_to_yaml_1_1) {
                    self.ambiguous(text, pointer);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn ambiguous(&mut self, text: &str, pointer: &str) {
        self.warn(
            Lint::YamlAmbiguous,
            pointer,
            format!("`{text}` is no text to Kubernetes and Envoy, who read YAML 1.1"),
            format!("put it in quotes: \"{text}\""),
        );
    }
}

/// As it stands in the file: would a YAML 1.1 reader take it for a boolean or a number? Quotes say no.
fn is_another_to_yaml_1_1(raw: &str) -> bool {
    const WORDS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let unsigned = raw.strip_prefix(['-', '+']).unwrap_or(raw);
    let grouped = unsigned.contains('_')
        && unsigned.starts_with(|first: char| first.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'_' | b'.' | b'x'));
    let binary = unsigned
        .strip_prefix("0b")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0' | b'1' | b'_')));
    WORDS.iter().any(|word| raw.eq_ignore_ascii_case(word)) || grouped || binary
}
