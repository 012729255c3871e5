//! Commands in a body: what a whole body asks for, and whether its session may.

use std::rc::Rc;

use serde_json::Value;

use crate::commands::mcp::endpoint::{Endpoint, Entry, NameKind};
use crate::commands::mcp::message::{self, Faulty, HandleKind, Id, Message, TASK, Wanted, encoded};
use crate::commands::mcp::version::{Version, one};
use crate::commands::schema::Violation;
use crate::decide::asked::{Asked, AskedUnder};
use crate::decide::check::{Findings, authorize_command};
use crate::decide::trace::{CheckStep, Trace};
use crate::http::head::{Headers, values};
use crate::primitives::digest::TextSha256;
use crate::primitives::json::canonical;
use crate::primitives::reason::Reason;
use crate::rules::policy::Rules;
use crate::state::handles::HandleKey;
use crate::state::session::Session;
use crate::state::worker::Worker;

/// The field of the head with the protocol's own session, which a server gives out.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";

/// The field of the head that repeats what a message names.
const NAME_HEADER: &str = "mcp-name";

/// What the body of a request at an endpoint asks for.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) endpoint: Rc<Endpoint>,
    pub(crate) version: Version,
    pub(crate) batch: bool,
    pub(crate) messages: Vec<Called>,
    /// The whole body.
    value: Value,
    /// With it handles are tied and untied; known once they have been looked at.
    pub(crate) key: Option<HandleKey>,
    /// The protocol's session as the server gave it out, where the head has one.
    pub(crate) session: Option<String>,
    /// `Mcp-Name`, where it repeats a task: as the server gave that out.
    pub(crate) name: Option<String>,
    /// The body with its handles as the server gave them out, where it has any.
    pub(crate) body: Option<String>,
}

/// One message, as far as records and answers tell of it.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) id: Option<Id>,
    pub(crate) method: Option<String>,
    wants: Vec<Found>,
    handles: Vec<message::Handle>,
    /// What the record names: the tool, the prompt or the resource.
    pub(crate) target: Option<(NameKind, String)>,
    /// It asks for a task, or is about one.
    pub(crate) of_task: bool,
}

/// Something asked for, and the command that it is.
#[derive(Debug)]
struct Found {
    entry: Option<Entry>,
    arguments: Value,
    /// Of its canonical form (RFC 8785), where there are any. What goes upstream has the same: no handle is in arguments.
    digest: Option<TextSha256>,
}

impl Calls {
    fn new(endpoint: &Rc<Endpoint>, version: Version, batch: bool, messages: Vec<Called>, value: Value) -> Self {
        let endpoint = Rc::clone(endpoint);
        Self { endpoint, version, batch, messages, value, key: None, session: None, name: None, body: None }
    }

    /// Finds the commands of a whole body.
    pub(crate) fn read(endpoint: &Rc<Endpoint>, body: &[u8], headers: &Headers<'_>) -> Result<Self, Faulty> {
        let message::Body { batch, messages, value } = message::read(body, headers)?;
        let version = messages.first().map_or(Version::V2025_03_26, |message| message.version);
        let messages = messages.into_iter().map(|message| Called::of(message, endpoint)).collect();
        Ok(Self::new(endpoint, version, batch, messages, value))
    }

    /// What a head without a body asks for at an endpoint: the stream of the server's own messages, or the end of the protocol's
    /// session.
    pub(crate) fn of_head(endpoint: &Rc<Endpoint>, method: &[u8], headers: &Headers<'_>) -> Result<Self, Faulty> {
        let version = Version::of_head(headers)?.unwrap_or(Version::V2025_03_26);
        let name = std::str::from_utf8(method).ok().filter(|name| matches!(*name, "GET" | "DELETE"));
        let entry = name.and_then(|name| endpoint.find(NameKind::Method, name, version)).cloned();
        let called = Called {
            id: None,
            method: None,
            wants: vec![Found::without_arguments(entry)],
            handles: Vec::new(),
            target: None,
            of_task: false,
        };
        Ok(Self::new(endpoint, version, false, vec![called], Value::Null))
    }

    /// All that it asks for.
    fn found(&self) -> impl Iterator<Item = &Found> {
        self.messages.iter().flat_map(|called| &called.wants)
    }

    /// Is a list asked for, or may there be one, as on a stream that begins again where it broke off?
    pub(crate) fn answer_must_be_read(&self) -> bool {
        self.messages.iter().any(|called| called.lists() || called.method.is_none() && called.id.is_none())
    }

    /// Is there anything in the answer that could have to be changed?
    pub(crate) fn answer_is_read(&self) -> bool {
        self.answer_must_be_read() || self.messages.iter().any(|called| called.gives_handles(self.version))
    }

    /// Is it a single message with a method that the endpoint does not have?
    pub(crate) fn is_unknown_method(&self) -> bool {
        let [called] = self.messages.as_slice() else { return false };
        let names_more = called.target.is_some() || self.batch;
        !names_more && called.method.is_some() && called.wants.iter().any(|found| found.entry.is_none())
    }

    /// Names of its commands, as often as each is asked for.
    pub(crate) fn every_name(&self) -> impl Iterator<Item = &Rc<str>> {
        self.found().filter_map(|found| found.entry.as_ref()).map(|entry| &entry.name)
    }

    /// The commands that it asks for, each once with the same arguments.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let mut all: Vec<Asked> = Vec::new();
        for Found { entry, digest, .. } in self.found() {
            let Some(Entry { name, .. }) = entry else { continue };
            if !all.iter().any(|asked| asked.arguments == *digest && asked.command == *name) {
                all.push(Asked { command: Rc::clone(name), arguments: *digest });
            }
        }
        all
    }

    /// May the session do all of that? The first denial is that of the whole.
    pub(crate) fn authorize(
        &mut self,
        rules: &Rules,
        session: &Session,
        headers: &Headers<'_>,
        worker: &mut Worker,
        findings: &mut Findings,
        trace: &mut impl Trace,
    ) -> Result<(), Reason> {
        if self.found().any(|found| found.entry.is_none()) {
            trace.saw(|| CheckStep::Command { command: None });
            findings.deny(Reason::UnknownCommand, rules)?;
        }
        let known: Vec<AskedUnder<'_>> = self.asked().iter().filter_map(|asked| asked.under(rules)).collect();
        findings.command = known.first().map(|asked| asked.id);
        if !known.is_empty() {
            authorize_command(rules, session, &known, worker.latest(), findings, trace)?;
        }
        for found in self.found() {
            if let Err(violation) = found.arguments_fit() {
                trace.saw(|| CheckStep::Arguments {
                    command: found.entry.as_ref().map(|entry| entry.name.to_string()).unwrap_or_default(),
                    place: violation.pointer.clone(),
                    rule: violation.rule.clone(),
                });
                findings.violation.get_or_insert(violation);
                findings.deny(Reason::ArgumentsNotAllowed, rules)?;
            }
        }
        self.untie(rules, session, headers, worker, findings, trace)
    }

    /// `handle_foreign`: what a server gave out is good in the session that it was given to.
    fn untie(
        &mut self,
        rules: &Rules,
        session: &Session,
        headers: &Headers<'_>,
        worker: &mut Worker,
        findings: &mut Findings,
        trace: &mut impl Trace,
    ) -> Result<(), Reason> {
        if !rules.enforces() {
            // Nothing is changed, so that nothing comes back that could be looked at.
            return Ok(());
        }
        let shown = values(headers, SESSION_HEADER).next().is_some();
        if !shown && !self.messages.iter().any(|called| !called.handles.is_empty() || called.gives_handles(self.version)) {
            return Ok(());
        }
        let key = worker.handle_key()?;
        let mut foreign = None;
        if let Some(tied) = one(headers, SESSION_HEADER).map_err(|_| Reason::BodyMalformed)? {
            let untied = std::str::from_utf8(tied).ok().and_then(|tied| key.untie(&session.claims, HandleKind::Session, tied));
            match untied {
                Some(text) => self.session = Some(text.to_owned()),
                None => foreign = Some(HandleKind::Session),
            }
        }
        let mut changed = false;
        for (index, called) in self.messages.iter().enumerate() {
            for handle in &called.handles {
                let message = if self.batch { self.value.get_mut(index) } else { Some(&mut self.value) };
                let place = message.and_then(|message| message.pointer_mut(&handle.place));
                match (key.untie(&session.claims, handle.kind, &handle.text), place) {
                    (Some(text), Some(place)) => {
                        // It has been compared with the body, and repeats a task where the message is about one.
                        if handle.place == TASK
                            && called.is_about_task()
                            && one(headers, NAME_HEADER).is_ok_and(|name| name.is_some())
                        {
                            self.name = Some(encoded(text).into_owned());
                        }
                        *place = text.into();
                        changed = true;
                    }
                    (None, _) | (_, None) => foreign = Some(handle.kind),
                }
            }
        }
        self.key = Some(key);
        if let Some(kind) = foreign {
            trace.saw(|| CheckStep::Handle { kind: kind.name() });
            findings.deny(Reason::HandleForeign, rules)?;
        } else if changed {
            self.body = Some(self.value.to_string());
        }
        Ok(())
    }
}

impl Called {
    fn of(message: Message, endpoint: &Endpoint) -> Self {
        let Message { id, version, method, wants, handles, asks_task } = message;
        let target = wants.iter().find_map(|wanted| match wanted {
            Wanted::Tool { name, .. } => Some((NameKind::Tool, name.clone())),
            Wanted::Prompt { name, .. } => Some((NameKind::Prompt, name.clone())),
            Wanted::Resource(uri) => Some((NameKind::Resource, uri.clone())),
            Wanted::Method(_) | Wanted::Answer => None,
        });
        let of_task = asks_task || !handles.is_empty() || is_about_task(method.as_deref());
        let found = |wanted: Wanted| {
            let (kind, name, arguments) = match wanted {
                Wanted::Tool { name, arguments } => (NameKind::Tool, name, arguments),
                Wanted::Prompt { name, arguments } => (NameKind::Prompt, name, arguments),
                Wanted::Resource(uri) => (NameKind::Resource, uri, Value::Null),
                Wanted::Method(name) => (NameKind::Method, name, Value::Null),
                Wanted::Answer => return Found::without_arguments(endpoint.find_answers(version).cloned()),
            };
            // Methods of HTTP have names of their own, that no message may have.
            let is_none = kind == NameKind::Method && (matches!(name.as_str(), "GET" | "DELETE") || version.lacks(&name));
            let entry = endpoint.find(kind, &name, version).filter(|_| !is_none).cloned();
            Found::with(entry, arguments)
        };
        Self { id, method, wants: wants.into_iter().map(found).collect(), handles, target, of_task }
    }

    /// Of its arguments, where it has any.
    pub(crate) fn arguments_digest(&self) -> Option<TextSha256> {
        self.wants.iter().find_map(|found| found.digest)
    }

    fn is_about_task(&self) -> bool {
        is_about_task(self.method.as_deref())
    }

    /// May its answer hold what the server wants to see again?
    pub(crate) fn gives_handles(&self, version: Version) -> bool {
        let method = self.method.as_deref().unwrap_or_default();
        // A session begins with its first message.
        method == "initialize"
            || self.of_task
            || version.is_sessionless() && matches!(method, "tools/call" | "prompts/get" | "resources/read")
    }

    /// Did it come in a body?
    pub(crate) fn is_message(&self) -> bool {
        self.method.is_some() || self.id.is_some()
    }

    /// Is it answered by a list?
    pub(crate) fn lists(&self) -> bool {
        let method = self.method.as_deref().unwrap_or_default();
        matches!(method, "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list")
    }
}

fn is_about_task(method: Option<&str>) -> bool {
    method.is_some_and(|method| method.starts_with("tasks/"))
}

impl Found {
    /// `arguments`: `null` for none.
    fn with(entry: Option<Entry>, arguments: Value) -> Self {
        let digest = (!arguments.is_null()).then(|| TextSha256::of(&canonical(&arguments)));
        Self { entry, arguments, digest }
    }

    fn without_arguments(entry: Option<Entry>) -> Self {
        Self::with(entry, Value::Null)
    }

    fn arguments_fit(&self) -> Result<(), Violation> {
        match self.entry.as_ref().and_then(|entry| entry.arguments.as_ref()) {
            Some(schema) if !self.arguments.is_null() => schema.check(&self.arguments),
            Some(_) | None => Ok(()),
        }
    }
}
