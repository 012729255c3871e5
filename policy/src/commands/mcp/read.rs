//! `mcp: {path, tools, …}` as documents write it.

use std::rc::Rc;

use serde_json::Value;

use super::endpoint::{Endpoint, Entry, NameKind};
use super::version::Version;
use crate::commands::read::{read_host, read_path};
use crate::commands::router::{CommandId, Part};
use crate::commands::schema::Schema;
use crate::document::{At, Errors, Object, boolean, each, one_of, text};
use crate::http::host::HostPattern;
use crate::primitives::limits;
use crate::primitives::pattern::Pattern;

/// One matcher: what it names, and at which endpoint.
pub(crate) struct Matcher {
    pub(crate) parts: Vec<Part>,
    /// Sorted; empty for any.
    pub(crate) hosts: Vec<HostPattern>,
    names: Vec<(NameKind, Pattern)>,
    answers: bool,
    entry: Entry,
}

/// Methods that are named by what they ask for, with the member that names it.
const BY_NAME: [(&str, &str); 5] = [
    ("tools/call", "tools: [search]"),
    ("prompts/get", "prompts: [summarize]"),
    ("resources/read", "resources: [\"docs://handbook/**\"]"),
    ("resources/subscribe", "resources: [\"docs://handbook/**\"]"),
    ("resources/unsubscribe", "resources: [\"docs://handbook/**\"]"),
];

/// A server lists the tasks of everybody who uses its credential, whichever session began them.
const TASKS_OF_ALL: &str = "tasks/list";

pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, command: CommandId, name: Rc<str>) -> Option<Matcher> {
    let mut object = Object::open(value, at, errors)?;
    let parts = object.required("path", "for example `path: /mcp`", errors, read_path);
    let hosts = object.optional("hosts", errors, |value, at, errors| each(value, at, errors, read_host));
    let mut names = Vec::new();
    let mut add = |kind, found: Option<Vec<Pattern>>| names.extend(found.into_iter().flatten().map(|pattern| (kind, pattern)));
    add(NameKind::Tool, object.optional("tools", errors, |value, at, errors| each(value, at, errors, read_name)));
    add(NameKind::Prompt, object.optional("prompts", errors, |value, at, errors| each(value, at, errors, read_name)));
    add(NameKind::Resource, object.optional("resources", errors, |value, at, errors| each(value, at, errors, read_uri)));
    add(NameKind::Method, object.optional("methods", errors, |value, at, errors| each(value, at, errors, read_method)));
    let answers = object.optional("answers", errors, boolean).unwrap_or(false);
    let arguments = object.optional("arguments", errors, Schema::read);
    let narrow = object.optional("narrow", errors, boolean).unwrap_or(false);
    let versions = object.optional("versions", errors, |value, at, errors| each(value, at, errors, read_version));
    let takes_arguments = ["tools", "prompts"].iter().any(|name| object.has(name));
    if object.has("arguments") && !takes_arguments {
        let help = "remove it, or name the tools or prompts whose arguments it bounds";
        errors.add_with_help(&at.member("arguments"), "bounds nothing: only `tools` and `prompts` have arguments", help);
    }
    if narrow && !(object.has("tools") && object.has("arguments")) {
        let help = "remove it, or write `tools` and `arguments` beside it";
        errors.add_with_help(&at.member("narrow"), "narrows nothing: it shows agents what `arguments` takes of a tool", help);
    }
    let named = ["tools", "prompts", "resources", "methods"].iter().any(|name| object.has(name)) || answers;
    if !named {
        let help = "name what it is, such as `tools: [search]`, or `methods: [initialize, ping, tools/list]`";
        errors.add_with_help(at, "names no `tools`, `prompts`, `resources`, `methods` or `answers`", help);
    }
    object.finish(errors);
    let mut hosts = hosts.unwrap_or_default();
    hosts.sort_unstable();
    hosts.dedup();
    let entry = Entry { command, name, versions: versions.unwrap_or_default().into(), arguments: arguments.map(Rc::new), narrow };
    Some(Matcher { parts: parts?, hosts, names, answers, entry })
}

impl Matcher {
    /// Puts what it names into its endpoint, or tells what is another command's as well, and whose.
    pub(crate) fn put_into(self, endpoint: &mut Endpoint) -> Result<(), (String, CommandId)> {
        let Self { names, answers, entry, .. } = self;
        for (kind, pattern) in names {
            let told = pattern.to_string();
            endpoint.insert(kind, pattern, entry.clone()).map_err(|other| (told, other))?;
        }
        if answers {
            endpoint.insert_answers(entry).map_err(|other| ("answers".to_owned(), other))?;
        }
        Ok(())
    }
}

fn read_version(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Version> {
    if value == "2024-11-05" {
        let help = "take it out: whoever names it after `initialize` is refused";
        errors.add_with_help(at, "`2024-11-05` is over another transport than Streamable HTTP", help);
        return None;
    }
    one_of(value, at, errors, &Version::WORDS)
}

/// The name of a tool or a prompt, or a beginning and `*`.
fn read_name(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Pattern> {
    let found = text(value, at, errors, "write one name, such as `search`, or a beginning such as `read_*`")?;
    let parsed = Pattern::parse(found);
    if parsed.is_none() {
        let help = format!("`*` stands only at the end; at most {} bytes", limits::IDENTIFIER_BYTES);
        errors.add_with_help(at, format!("`{found}` is not a name, nor a pattern of names"), help);
    }
    parsed
}

/// The URI of a resource, or a beginning and `*` or `**`.
fn read_uri(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Pattern> {
    const HELP: &str =
        "write a URI with its scheme, such as `docs://handbook/start`, or a beginning and `*` or, beyond a `/`, `**`";
    let found = text(value, at, errors, HELP)?;
    let parsed = Pattern::parse_across(found).filter(|pattern| {
        let (Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Across(text)) = pattern;
        text.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
        })
    });
    if parsed.is_none() {
        errors.add_with_help(at, format!("`{found}` is not a URI, nor a pattern of URIs"), HELP);
    }
    parsed
}

/// A method of the protocol, or of HTTP: `GET` opens the server's own stream, `DELETE` ends the protocol's session.
fn read_method(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Pattern> {
    let found = text(value, at, errors, "write one method, such as `tools/list`, or a beginning such as `notifications/*`")?;
    if let Some((_, instead)) = BY_NAME.iter().find(|(method, _)| *method == found) {
        errors.add_with_help(
            at,
            format!("`{found}` is named by what it asks for"),
            format!("take it out, and write `{instead}`"),
        );
        return None;
    }
    let parsed = Pattern::parse(found);
    match &parsed {
        Some(pattern) if pattern.matches(TASKS_OF_ALL) => {
            let message =
                format!("`{found}` would show a session the tasks of others: a server lists those of all who use its credential");
            errors.add_with_help(at, message, "name the methods one by one, without `tasks/list`");
        }
        Some(Pattern::Prefix(beginning)) if !beginning.contains('/') => {
            errors.add_with_help(
                at,
                format!("`{found}` is any method at all"),
                "name the methods, or those of one kind: `notifications/*`",
            );
        }
        Some(_) => {}
        None => {
            let help = format!("`*` stands only at the end; at most {} bytes", limits::IDENTIFIER_BYTES);
            errors.add_with_help(at, format!("`{found}` is not a method, nor a pattern of methods"), help);
        }
    }
    parsed
}
