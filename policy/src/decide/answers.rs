//! What a server answers at an endpoint: lists cut down to what the session may use, and handles tied to it.

use std::rc::Rc;

use serde_json::{Map, Value};

use crate::commands::mcp::endpoint::{Entry, NameKind};
use crate::commands::mcp::message::{HandleKind, Id};
use crate::commands::mcp::rpc;
use crate::decide::calls::{Calls, SESSION_HEADER};
use crate::http::edits::Edits;
use crate::http::head::{Headers, values};
use crate::primitives::json;
use crate::primitives::limits;
use crate::primitives::reason::Reason;
use crate::token::claims::Claims;

mod events;

/// The answer to what a body asked for, and what is read of it.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) calls: Calls,
    /// What is answered is changed; else it is left as it is.
    enforced: bool,
    form: Form,
    /// What has come and has not gone on.
    kept: Vec<u8>,
    pub(crate) withheld: Withheld,
    /// It could not be read, and something else stands in its place.
    pub(crate) failed: bool,
}

/// How the answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Its head has not come yet, or nothing in it has to be read.
    Unread,
    /// One message, or a list of them.
    Json,
    /// Server-sent events, a message each.
    Events,
    /// Neither, where a list was asked for.
    Unreadable,
}

/// What lists did not show.
#[derive(Debug, Default)]
pub(crate) struct Withheld {
    pub(crate) count: usize,
    /// The first of them.
    pub(crate) names: Vec<String>,
}

/// What is asked of each entry that a list could show: may the session see what is a command of this name, of this kind?
pub(crate) type MaySee<'m> = &'m dyn Fn(&str, NameKind) -> bool;

impl Answers {
    /// Of what was let through; `enforced`: and is not only observed.
    pub(crate) fn to(calls: Calls, enforced: bool) -> Self {
        Self { calls, enforced, form: Form::Unread, kept: Vec::new(), withheld: Withheld::default(), failed: false }
    }

    fn must_read(&self) -> bool {
        self.calls.answer_must_be_read()
    }

    /// Looks at the head of the answer, and changes in it what will not be so any more. `last`: nothing follows it.
    pub(crate) fn begin(&mut self, headers: &Headers<'_>, claims: &Claims, last: bool, edits: &mut Edits) {
        if !self.enforced {
            return;
        }
        if let (Some(key), Some(given)) = (&self.calls.key, values(headers, SESSION_HEADER).next()) {
            match std::str::from_utf8(given) {
                Ok(given) => edits.replace(SESSION_HEADER, &key.tie(claims, HandleKind::Session, given)),
                Err(_) => edits.remove(SESSION_HEADER.as_bytes()),
            }
        }
        let kind = values(headers, "content-type").next().unwrap_or_default();
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let good = values(headers, ":status").next().is_some_and(|status| status.starts_with(b"2"));
        let coded = values(headers, "content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        let (must, wants) = (self.must_read(), self.calls.answer_is_read());
        self.form = match () {
            () if last => Form::Unread,
            () if coded && must => Form::Unreadable,
            () if coded => Form::Unread,
            () if kind.eq_ignore_ascii_case(b"text/event-stream") => Form::Events,
            () if kind.eq_ignore_ascii_case(b"application/json") && wants => Form::Json,
            () if must && good => Form::Unreadable,
            () => Form::Unread,
        };
        if self.form != Form::Unread {
            for name in ["content-length", "content-digest", "repr-digest", "digest", "etag", "content-md5"] {
                if values(headers, name).next().is_some() {
                    edits.remove(name.as_bytes());
                }
            }
        }
    }

    /// Must the pieces of the body be shown to [`Self::piece`]?
    pub(crate) fn reads(&self) -> bool {
        self.form != Form::Unread
    }

    /// Has something come that has not gone on?
    pub(crate) fn is_waiting(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Takes a piece of the body, and gives what goes on in its place.
    pub(crate) fn piece(&mut self, piece: &[u8], last: bool, claims: &Claims, may_see: MaySee<'_>) -> Vec<u8> {
        if self.failed {
            return Vec::new();
        }
        match self.form {
            Form::Unread => piece.to_vec(),
            Form::Unreadable => self.fail(),
            Form::Json => self.json(piece, last, claims, may_see),
            Form::Events => self.events(piece, last, claims, may_see),
        }
    }

    fn json(&mut self, piece: &[u8], last: bool, claims: &Claims, may_see: MaySee<'_>) -> Vec<u8> {
        if self.kept.len().saturating_add(piece.len()) > limits::ANSWER_BYTES {
            if self.must_read() {
                return self.fail();
            }
            // What would be tied in it is not, and good for nothing.
            self.form = Form::Unread;
            self.kept.extend_from_slice(piece);
            return std::mem::take(&mut self.kept);
        }
        self.kept.extend_from_slice(piece);
        if !last {
            return Vec::new();
        }
        let whole = std::mem::take(&mut self.kept);
        match self.message(&whole, claims, may_see) {
            Ok(Some(changed)) => changed.into_bytes(),
            Ok(None) => whole,
            Err(Unreadable) if self.must_read() => self.fail(),
            Err(Unreadable) => whole,
        }
    }

    /// One message, or a list of them; `None` where nothing in it changes.
    fn message(&mut self, text: &[u8], claims: &Claims, may_see: MaySee<'_>) -> Result<Option<String>, Unreadable> {
        let mut value = json::parse(text, limits::ANSWER_JSON_DEPTH).map_err(|_| Unreadable)?;
        let changed = match &mut value {
            Value::Array(items) => items.iter_mut().try_fold(false, |any, item| Ok(self.one(item, claims, may_see)? | any))?,
            single @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                self.one(single, claims, may_see)?
            }
        };
        Ok(changed.then(|| value.to_string()))
    }

    fn one(&mut self, message: &mut Value, claims: &Claims, may_see: MaySee<'_>) -> Result<bool, Unreadable> {
        let message = message.as_object_mut().ok_or(Unreadable)?;
        let mut changed = false;
        // Told besides: which task a message is about.
        if let Some(Value::Object(params)) = message.get_mut("params") {
            changed |= self.tie_task(params.get_mut("taskId"), claims);
            changed |= self.tie_related(params, claims);
            // What of `subscriptions/listen` the server keeps to.
            let listened = params.get_mut("notifications").and_then(|listened| listened.get_mut("taskIds"));
            for task in listened.and_then(Value::as_array_mut).into_iter().flatten() {
                changed |= self.tie_task(Some(task), claims);
            }
        }
        let Some(Value::Object(result)) = message.get_mut("result") else { return Ok(changed) };
        for (name, kind) in [("tools", NameKind::Tool), ("prompts", NameKind::Prompt), ("resources", NameKind::Resource)] {
            let Some(listed) = result.get_mut(name) else { continue };
            let listed = listed.as_array_mut().ok_or(Unreadable)?;
            changed |= self.cut_down(kind, listed, may_see)?;
        }
        if let Some(listed) = result.get_mut("resourceTemplates") {
            changed |= self.cut_down_templates(listed.as_array_mut().ok_or(Unreadable)?, may_see)?;
        }
        // What is one session's is nobody else's, whoever keeps copies.
        if changed && let Some(scope) = result.get_mut("cacheScope") {
            *scope = "private".into();
        }
        if let Some(state) = result.get_mut("requestState") {
            changed |= self.tie(state, HandleKind::RequestState, claims);
        }
        changed |= self.tie_task(result.get_mut("taskId"), claims);
        if let Some(Value::Object(task)) = result.get_mut("task") {
            changed |= self.tie_task(task.get_mut("taskId"), claims);
        }
        changed |= self.tie_related(result, claims);
        Ok(changed)
    }

    fn tie_related(&self, within: &mut Map<String, Value>, claims: &Claims) -> bool {
        let related = within.get_mut("_meta").and_then(|meta| meta.get_mut("io.modelcontextprotocol/related-task"));
        self.tie_task(related.and_then(|related| related.get_mut("taskId")), claims)
    }

    fn tie_task(&self, place: Option<&mut Value>, claims: &Claims) -> bool {
        place.is_some_and(|place| self.tie(place, HandleKind::Task, claims))
    }

    fn tie(&self, place: &mut Value, kind: HandleKind, claims: &Claims) -> bool {
        let (Some(key), Some(text)) = (&self.calls.key, place.as_str()) else { return false };
        *place = key.tie(claims, kind, text).into();
        true
    }

    fn cut_down(&mut self, kind: NameKind, listed: &mut Vec<Value>, may_see: MaySee<'_>) -> Result<bool, Unreadable> {
        let name = if kind == NameKind::Resource { "uri" } else { "name" };
        let (endpoint, version) = (Rc::clone(&self.calls.endpoint), self.calls.version);
        let (before, mut narrowed) = (listed.len(), false);
        let mut kept = Vec::with_capacity(before);
        for mut item in listed.drain(..) {
            let name = item.get(name).and_then(Value::as_str).ok_or(Unreadable)?;
            match endpoint.find(kind, name, version).filter(|entry| may_see(&entry.name, kind)) {
                Some(entry) => {
                    narrowed |= narrow(entry, &mut item);
                    kept.push(item);
                }
                None => self.withheld.note(name),
            }
        }
        *listed = kept;
        Ok(narrowed || listed.len() < before)
    }

    fn cut_down_templates(&mut self, listed: &mut Vec<Value>, may_see: MaySee<'_>) -> Result<bool, Unreadable> {
        let (endpoint, version) = (Rc::clone(&self.calls.endpoint), self.calls.version);
        let before = listed.len();
        let mut kept = Vec::with_capacity(before);
        for item in listed.drain(..) {
            let template = item.get("uriTemplate").and_then(Value::as_str).ok_or(Unreadable)?;
            if endpoint.template_meets(template, version, |entry| may_see(&entry.name, NameKind::Resource)) {
                kept.push(item);
            } else {
                self.withheld.note(template);
            }
        }
        *listed = kept;
        Ok(listed.len() < before)
    }

    /// Says in the place of what cannot be read that it cannot: whoever asked waits for an answer.
    fn fail(&mut self) -> Vec<u8> {
        self.failed = true;
        self.kept = Vec::new();
        let id = self.calls.messages.iter().find_map(|called| called.id.as_ref().filter(|_| called.method.is_some()));
        let reason = Reason::AnswerUnreadable;
        let text = rpc::error(id.map(Id::to_json), rpc::code(reason), reason.client_title(), &reason_data(reason));
        match self.form {
            Form::Events => format!("data: {text}\n\n").into_bytes(),
            Form::Unread | Form::Json | Form::Unreadable => text.into_bytes(),
        }
    }
}

fn reason_data(reason: Reason) -> Value {
    serde_json::json!({ "reason": reason.client_code() })
}

/// A tool's schema as the policy takes it, where that asks for it.
fn narrow(entry: &Entry, item: &mut Value) -> bool {
    let Some(schema) = entry.arguments.as_ref().filter(|_| entry.narrow) else { return false };
    let Some(advertised) = item.get_mut("inputSchema") else { return false };
    *advertised = schema.narrow(advertised);
    true
}

impl Withheld {
    fn note(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < limits::WITHHELD_NAMES {
            self.names.push(name.chars().take(limits::IDENTIFIER_BYTES).collect());
        }
    }
}

/// It is not a message, or not in a form that is read.
#[derive(Debug)]
struct Unreadable;
