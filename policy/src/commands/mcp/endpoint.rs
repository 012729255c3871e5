//! An MCP endpoint: one path at which the command is not in the head but in the body. Which command a tool, a prompt, a resource
//! or a method is, so that the cost does not grow with their number.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use crate::commands::mcp::uri::uri_is_plain;
use crate::commands::mcp::version::Version;
use crate::commands::router::CommandId;
use crate::commands::schema::Schema;
use crate::primitives::pattern::Pattern;

/// An endpoint's place in the policy's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndpointId(pub(crate) u32);

/// Which command something at an endpoint is, and on which terms.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) command: CommandId,
    /// The command's name.
    pub(crate) name: Rc<str>,
    /// The versions of the protocol for which it holds; empty for all.
    pub(crate) versions: Rc<[Version]>,
    /// What the arguments of its tools and prompts are held to.
    pub(crate) arguments: Option<Rc<Schema>>,
    /// What agents are told of its tools is cut down to that.
    pub(crate) narrow: bool,
}

impl Entry {
    fn holds_for(&self, version: Version) -> bool {
        self.versions.is_empty() || self.versions.contains(&version)
    }

    /// Is there a version for which both hold?
    fn meets(&self, other: &Self) -> bool {
        self.versions.is_empty()
            || other.versions.is_empty()
            || self.versions.iter().any(|version| other.versions.contains(version))
    }
}

/// What can be asked for by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    Tool,
    Prompt,
    /// By its URI.
    Resource,
    /// Any other method of the protocol.
    Method,
}

/// Entries by name.
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<String, Vec<Entry>>,
    /// By the length of what stands before the `*`: a name is looked up once a length, of which there are at most
    /// [`limits::IDENTIFIER_BYTES`](crate::primitives::limits::IDENTIFIER_BYTES).
    beginnings: BTreeMap<usize, HashMap<String, Vec<(Pattern, Entry)>>>,
}

/// All that can be asked for at one path.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    tools: Names,
    prompts: Names,
    resources: Names,
    methods: Names,
    /// What the caller answers to a request of the server.
    answers: Vec<Entry>,
}

impl Endpoint {
    fn names(&self, kind: NameKind) -> &Names {
        match kind {
            NameKind::Tool => &self.tools,
            NameKind::Prompt => &self.prompts,
            NameKind::Resource => &self.resources,
            NameKind::Method => &self.methods,
        }
    }

    /// Adds what this pattern names, or tells the command that could be meant as well.
    pub(crate) fn insert(&mut self, kind: NameKind, pattern: Pattern, entry: Entry) -> Result<(), CommandId> {
        let names = match kind {
            NameKind::Tool => &mut self.tools,
            NameKind::Prompt => &mut self.prompts,
            NameKind::Resource => &mut self.resources,
            NameKind::Method => &mut self.methods,
        };
        let beginning = match &pattern {
            Pattern::Exact(name) => return push(names.exact.entry(name.clone()).or_default(), entry),
            Pattern::Prefix(beginning) | Pattern::Across(beginning) => beginning.clone(),
        };
        let known = names.beginnings.entry(beginning.len()).or_default().entry(beginning).or_default();
        if let Some((_, other)) = known.iter().find(|(_, other)| other.meets(&entry)) {
            return Err(other.command);
        }
        known.push((pattern, entry));
        Ok(())
    }

    /// Adds the caller's answers.
    pub(crate) fn insert_answers(&mut self, entry: Entry) -> Result<(), CommandId> {
        push(&mut self.answers, entry)
    }

    /// The entry of this name, in this version: an exact name goes before a pattern, a longer pattern before a shorter one.
    pub(crate) fn find(&self, kind: NameKind, name: &str, version: Version) -> Option<&Entry> {
        self.find_where(kind, name, |entry| entry.holds_for(version))
    }

    /// The command of the caller's answers.
    pub(crate) fn find_answers(&self, version: Version) -> Option<&Entry> {
        self.answers.iter().find(|entry| entry.holds_for(version))
    }

    fn find_where(&self, kind: NameKind, name: &str, holds: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let names = self.names(kind);
        if let Some(found) = names.exact.get(name).and_then(|entries| entries.iter().find(|entry| holds(entry))) {
            return Some(found);
        }
        // What a server could read as another resource is none of those that a pattern names.
        if names.beginnings.is_empty() || kind == NameKind::Resource && !uri_is_plain(name) {
            return None;
        }
        names.beginnings.range(..=name.len()).rev().find_map(|(length, known)| {
            let known = known.get(name.get(..*length)?)?;
            known.iter().find(|(pattern, entry)| pattern.matches(name) && holds(entry)).map(|(_, entry)| entry)
        })
    }

    /// Could a resource of this template (RFC 6570) be one that an entry with this property names?
    pub(crate) fn template_meets(&self, template: &str, version: Version, mut may: impl FnMut(&Entry) -> bool) -> bool {
        let fixed = template.split_once('{').map_or(template, |(fixed, _)| fixed);
        let mut may = |entry: &Entry| entry.holds_for(version) && may(entry);
        self.resources.exact.iter().any(|(uri, entries)| uri.starts_with(fixed) && entries.iter().any(&mut may))
            || self.resources.beginnings.values().flatten().any(|(beginning, entries)| {
                let meets = beginning.starts_with(fixed) || fixed.starts_with(beginning.as_str());
                meets && entries.iter().any(|(_, entry)| may(entry))
            })
    }
}

fn push(entries: &mut Vec<Entry>, entry: Entry) -> Result<(), CommandId> {
    match entries.iter().find(|other| other.meets(&entry)) {
        Some(other) => Err(other.command),
        None => {
            entries.push(entry);
            Ok(())
        }
    }
}
