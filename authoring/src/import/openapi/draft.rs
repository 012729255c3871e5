//! The draft: commands with their matchers, as a policy takes them, and what cannot be one.

use super::Operation;
use crate::source::quoted;
use chaperone_policy::{PathPattern, Policy};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One command of the draft: the paths it has, each with the methods and hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its name.
    pub name: String,
    matchers: Vec<Matcher>,
    /// The operations that it is made of, for people.
    from: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Matcher {
    methods: Vec<String>,
    path: String,
    hosts: Vec<String>,
}

/// A draft of `commands`.
#[derive(Debug, Default)]
pub struct Draft {
    /// By the documents' paths.
    pub commands: Vec<Command>,
    /// Operations and paths that are no command, and why.
    pub left_out: Vec<(String, String)>,
}

impl Draft {
    pub(super) fn of(operations: Vec<Operation>, left_out: Vec<(String, String)>) -> Self {
        let mut draft = Self { commands: Vec::new(), left_out };
        // A HEAD is a GET without the body (RFC 9110 §9.3.2): where both are there, one grant is for both.
        let (heads, others): (Vec<_>, Vec<_>) = operations.into_iter().partition(|operation| operation.method == "HEAD");
        let mut by_place: BTreeMap<(String, String), usize> = BTreeMap::new();
        for operation in others.into_iter().chain(heads) {
            let matchers = match matchers(&operation) {
                Ok(matchers) => matchers,
                Err(why) => {
                    draft.left_out.push((operation.shown(), why));
                    continue;
                }
            };
            let name = operation.name();
            let head_of = if operation.method == "HEAD" { "GET" } else { "" };
            let same_name = operation.id.is_none().then(|| by_place.get(&(operation.template.clone(), name.clone()))).flatten();
            let joined = by_place.get(&(operation.template.clone(), head_of.to_owned())).or(same_name).copied();
            let place = match joined.and_then(|at| draft.commands.get_mut(at).filter(|command| command.joins(&matchers))) {
                Some(command) => {
                    command.join(&operation);
                    joined.unwrap_or_default()
                }
                None => {
                    let from = vec![operation.shown()];
                    draft.commands.push(Command { name: name.clone(), matchers, from });
                    draft.commands.len() - 1
                }
            };
            by_place.entry((operation.template.clone(), operation.method.clone())).or_insert(place);
            by_place.entry((operation.template.clone(), name)).or_insert(place);
        }
        draft.tell_names_apart();
        draft.drop_conflicts();
        draft
    }

    /// Two operations of one name are two commands: a grant for the one must not be for the other.
    fn tell_names_apart(&mut self) {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let taken: Vec<String> = self.commands.iter().map(|command| command.name.clone()).collect();
        for command in &mut self.commands {
            let count = seen.entry(command.name.clone()).or_default();
            *count += 1;
            while *count > 1 && taken.contains(&format!("{}-{count}", command.name)) {
                *count += 1;
            }
            if *count > 1 {
                command.name = format!("{}-{count}", command.name);
            }
        }
    }

    /// Takes out what the filter would refuse, which is asked itself: two commands for one request above all.
    fn drop_conflicts(&mut self) {
        loop {
            let commands: Map<String, Value> = self.commands.iter().map(|c| (c.name.clone(), c.json())).collect();
            let Err(errors) = Policy::compile(policy_with(&commands).to_string().as_bytes()) else { return };
            let wrong: BTreeMap<String, String> = errors
                .errors()
                .iter()
                .filter_map(|error| {
                    let name = error.pointer.strip_prefix("/commands/")?.split('/').next()?.to_owned();
                    Some((name, error.message.clone()))
                })
                .collect();
            let before = self.commands.len();
            let left_out = &mut self.left_out;
            self.commands.retain(|command| match wrong.get(&command.name) {
                Some(why) => {
                    left_out.extend(command.from.iter().map(|from| (from.clone(), why.clone())));
                    false
                }
                None => true,
            });
            // What is wrong is none of the commands': there is nothing to take out.
            if self.commands.len() == before {
                return;
            }
        }
    }

    /// The member `commands` of a policy, as YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        let width =
            self.commands.iter().map(|command| key(&command.name).len() + 1).filter(|width| *width <= 40).max().unwrap_or(0);
        let mut text = "commands:\n".to_owned();
        if self.commands.is_empty() {
            return "commands: {}\n".to_owned();
        }
        for Command { name, matchers, from: _ } in &self.commands {
            let matchers: Vec<String> = matchers.iter().map(Matcher::yaml).collect();
            let key = format!("{}:", key(name));
            match matchers.as_slice() {
                [one] => text.push_str(&format!("  {key:width$} {one}\n")),
                several => {
                    text.push_str(&format!("  {key}\n"));
                    several.iter().for_each(|matcher| text.push_str(&format!("    - {matcher}\n")));
                }
            }
        }
        text
    }
}

impl Command {
    /// Are these the very places of this command, whatever the method?
    fn joins(&self, matchers: &[Matcher]) -> bool {
        let places = |matchers: &[Matcher]| matchers.iter().map(|m| (m.path.clone(), m.hosts.clone())).collect::<Vec<_>>();
        places(&self.matchers) == places(matchers)
    }

    fn join(&mut self, operation: &Operation) {
        self.from.push(operation.shown());
        for matcher in &mut self.matchers {
            if !matcher.methods.contains(&operation.method) {
                matcher.methods.push(operation.method.clone());
            }
        }
    }

    fn json(&self) -> Value {
        self.matchers
            .iter()
            .map(|Matcher { methods, path, hosts }| {
                let mut http = Map::from_iter([("methods".to_owned(), json!(methods)), ("path".to_owned(), json!(path))]);
                if !hosts.is_empty() {
                    http.insert("hosts".to_owned(), json!(hosts));
                }
                json!({ "http": http })
            })
            .collect()
    }
}

impl Matcher {
    fn yaml(&self) -> String {
        let Self { methods, path, hosts } = self;
        let hosts: Vec<String> = hosts.iter().map(|host| value(host)).collect();
        let hosts = if hosts.is_empty() { String::new() } else { format!(", hosts: [{}]", hosts.join(", ")) };
        format!("{{http: {{methods: [{}], path: {}{hosts}}}}}", methods.join(", "), value(path))
    }
}

/// One matcher for each base path of the operation's servers, with the hosts that have it.
fn matchers(operation: &Operation) -> Result<Vec<Matcher>, String> {
    let method = &operation.method;
    if !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        return Err(format!("`{method}` is no method that a command can have"));
    }
    if matches!(method.as_str(), "TRACE" | "CONNECT") {
        return Err(format!("{method} is always refused"));
    }
    if operation.template.contains(['?', '#']) {
        return Err("a query takes no part in a command: requests that differ by it alone are the same one".to_owned());
    }
    let mut matchers: Vec<Matcher> = Vec::new();
    for server in &operation.bases {
        let path = path_of(&format!("{}{}", server.base, operation.template))?;
        match matchers.iter_mut().find(|matcher| matcher.path == path) {
            Some(matcher) => match &server.host {
                Some(host) if !matcher.hosts.is_empty() && !matcher.hosts.contains(host) => matcher.hosts.push(host.clone()),
                Some(_) => {}
                // One that is served anywhere needs no list.
                None => matcher.hosts.clear(),
            },
            None => matchers.push(Matcher { methods: vec![method.clone()], path, hosts: server.host.iter().cloned().collect() }),
        }
    }
    Ok(matchers)
}

/// A template as a policy writes it: captures have names of letters, digits and `_`, each once.
fn path_of(template: &str) -> Result<String, String> {
    let mut path = String::with_capacity(template.len());
    let mut names: Vec<String> = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        let Some((name, after)) = after.split_once('}') else { return Err(format!("`{template}` has an open `{{`")) };
        // RFC 6570 operators: `{+path}` crosses slashes, `{?page}` is a query.
        if name.starts_with(['+', '#', '/', ';', '?', '&']) || name.ends_with('*') {
            return Err(format!("`{{{name}}}` may cross slashes: write `{{*rest}}` at the end by hand if that is meant"));
        }
        let mut name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if name.is_empty() {
            name.push_str("id");
        }
        let count = names.iter().filter(|other| **other == name).count();
        names.push(name.clone());
        path.push('{');
        path.push_str(&name);
        if count > 0 {
            path.push_str(&format!("_{}", count + 1));
        }
        path.push('}');
        rest = after;
    }
    path.push_str(rest);
    match PathPattern::parse(&path) {
        Some(_) => Ok(path),
        None => Err(format!("`{path}` is no path that a command can have")),
    }
}

/// A policy that is right but for these commands.
fn policy_with(commands: &Map<String, Value>) -> Value {
    json!({
        "version": 1,
        "name": "draft",
        "tokens": {"issuers": [{
            "issuer": "https://issuer.invalid", "audiences": ["draft"], "algorithms": ["ES256"],
            "keys": {"endpoint": {"cluster": "issuer", "authority": "issuer.invalid", "path": "/jwks.json"}},
        }]},
        "session": {"max_lifetime": "15m"},
        "commands": commands,
        "grants": [],
    })
}

/// A key as YAML takes it for a text.
fn key(name: &str) -> String {
    let words = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !words.contains(&name.to_ascii_lowercase().as_str());
    if plain { name.to_owned() } else { quoted(name) }
}

/// A text within braces.
fn value(text: &str) -> String {
    let plain = text.starts_with(|c: char| c == '/' || c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-'));
    if plain { text.to_owned() } else { quoted(text) }
}
