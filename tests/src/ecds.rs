//! The shipped `envoy/` files, made usable by replacing their documented placeholders by text.

use crate::root;
use serde_json::Value;
use std::{fs, path::Path};

/// Fills in the placeholders of one of the shipped files.
///
/// # Panics
/// When a placeholder stays, or when one given does not occur: the files and their users must not drift apart.
#[must_use]
pub fn fill(file: &str, values: &[(&str, &str)]) -> String {
    let path = root().join("envoy").join(file);
    let template = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The comment that lists them stays as it is: filled in, it would hold the whole policy a second time.
    let begin = template.lines().take_while(|line| line.starts_with('#')).map(|line| line.len() + 1).sum();
    let (comment, settings) = template.split_at(begin);
    let filled = values.iter().fold(settings.to_owned(), |text, (name, value)| {
        let placeholder = format!("${{{name}}}");
        assert!(text.contains(&placeholder), "{file} has no {placeholder}");
        text.replace(&placeholder, value)
    });
    let left = filled.split("${").skip(1).map(|rest| rest.split('}').next().unwrap_or(rest));
    // `${env:NAME}` belongs to the policy.
    let left: Vec<&str> = left.filter(|name| !name.starts_with("env:")).collect();
    assert!(left.is_empty(), "{file} still has {left:?}");
    format!("{comment}{filled}")
}

/// The policy of an ECDS file: a document, or text that may be anything but two lines.
#[must_use]
pub fn policy_text(policy: &Value) -> String {
    policy.as_str().map_or_else(|| policy.to_string(), |raw| raw.replace('\n', " "))
}

/// Writes `ecds.yaml` in `dir` the way an operator must: whole, beside it, then renamed over it.
pub fn write(dir: &Path, wasm: &Path, policy: &Value, variables: &str) {
    write_with(dir, wasm, policy, variables, &[]);
}

/// The same with other text around the policy.
pub fn write_with(dir: &Path, wasm: &Path, policy: &Value, variables: &str, other_settings: &[(&str, &str)]) {
    let text = fill(
        "ecds.yaml",
        &[("WASM", &wasm.display().to_string()), ("POLICY_JSON", &policy_text(policy)), ("CREDENTIAL_ENV", variables)],
    );
    let text = exchange(text, other_settings);
    // A name that Envoy does not watch, in the same file system.
    let next = dir.join(".ecds.yaml.next");
    fs::write(&next, text).expect("the ECDS folder can be written");
    fs::rename(&next, dir.join("ecds.yaml")).expect("a rename within the ECDS folder");
}

/// Exchanges text of a shipped file.
///
/// # Panics
/// When the file has no such text.
#[must_use]
pub fn exchange(text: String, other_settings: &[(&str, &str)]) -> String {
    other_settings.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "the file has no {from:?}");
        text.replace(from, to)
    })
}
