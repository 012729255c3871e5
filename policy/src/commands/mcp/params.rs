//! The parameters of a method: what they want, and the handles in them.

use serde_json::{Map, Value};

use crate::commands::mcp::error::Fault;
use crate::commands::mcp::handle::{Handle, HandleKind, Place, Step};
use crate::commands::mcp::message::Wanted;
use crate::primitives::{json, limits};

type Object = Map<String, Value>;

const META: &str = "_meta";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
const STATE: &str = "requestState";
const TASK: &str = "taskId";

/// A member by its name. A name that differs from it in case alone is an error: a reader that takes either would see what was
/// not judged. Where both are, the body has been refused before.
pub(super) fn member<'o>(object: &'o Object, name: &str) -> Result<Option<&'o Value>, Fault> {
    if let Some(value) = object.get(name) {
        return Ok(Some(value));
    }
    let folded = json::fold(name);
    if object.keys().any(|other| json::fold(other) == folded) {
        return Err(Fault::Malformed("a member differs from a known one in case alone"));
    }
    Ok(None)
}

fn object<'o>(value: Option<&'o Value>, what: &'static str) -> Result<Option<&'o Object>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Fault::Params(what)),
    }
}

fn text<'o>(value: Option<&'o Value>, bytes: usize, what: &'static str) -> Result<&'o str, Fault> {
    let text = value.and_then(Value::as_str);
    text.filter(|text| !text.is_empty() && text.len() <= bytes).ok_or(Fault::Params(what))
}

/// What a message's own `_meta` says of the version.
pub(super) fn version(params: &Object) -> Result<Option<&str>, Fault> {
    let Some(meta) = object(member(params, META)?, "_meta is no object")? else { return Ok(None) };
    match member(meta, VERSION)? {
        None => Ok(None),
        Some(Value::String(version)) => Ok(Some(version)),
        Some(_) => Err(Fault::Params("the protocol version is no string")),
    }
}

/// What an `initialize` proposes.
pub(super) fn proposed(params: &Object) -> Result<&str, Fault> {
    text(member(params, "protocolVersion")?, limits::IDENTIFIER_BYTES, "protocolVersion is no version")
}

/// What a request or notification wants.
pub(super) fn wants(method: &str, params: &Object) -> Result<Vec<Wanted>, Fault> {
    Ok(match method {
        // Other members than the schema's are passed on, as servers ignore them: what could be mistaken for one is refused above.
        "tools/call" => vec![Wanted::Tool { name: name(params)?, arguments: arguments(params)? }],
        "prompts/get" => vec![Wanted::Prompt { name: name(params)?, arguments: Some(arguments(params)?) }],
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            vec![Wanted::Resource { uri: uri(member(params, "uri")?)? }]
        }
        "completion/complete" => vec![Wanted::Method(method.to_owned()), completed(params)?],
        "subscriptions/listen" => {
            let filter = object(member(params, "notifications")?, "notifications is no object")?;
            let listened = filter.map_or(Ok(&[][..]), |filter| list(filter, "resourceSubscriptions"))?;
            let resources = listened.iter().map(|item| Ok(Wanted::Resource { uri: uri(Some(item))? }));
            std::iter::once(Ok(Wanted::Method(method.to_owned()))).chain(resources).collect::<Result<_, _>>()?
        }
        _ => vec![Wanted::Method(method.to_owned())],
    })
}

fn name(params: &Object) -> Result<String, Fault> {
    text(member(params, "name")?, limits::IDENTIFIER_BYTES, "name is no name").map(str::to_owned)
}

fn arguments(params: &Object) -> Result<Object, Fault> {
    Ok(object(member(params, "arguments")?, "arguments is no object")?.cloned().unwrap_or_default())
}

fn uri(value: Option<&Value>) -> Result<String, Fault> {
    text(value, limits::URI_BYTES, "a URI is no string, or too long").map(str::to_owned)
}

/// What a completion is for.
fn completed(params: &Object) -> Result<Wanted, Fault> {
    let reference = object(member(params, "ref")?, "ref is no object")?.ok_or(Fault::Params("ref is missing"))?;
    match member(reference, "type")?.and_then(Value::as_str) {
        Some("ref/prompt") => Ok(Wanted::Prompt { name: name(reference)?, arguments: None }),
        Some("ref/resource") => Ok(Wanted::Resource { uri: uri(member(reference, "uri")?)? }),
        Some(_) | None => Err(Fault::Params("ref is neither a prompt nor a resource")),
    }
}

fn list<'o>(filter: &'o Object, name: &str) -> Result<&'o [Value], Fault> {
    match member(filter, name)? {
        None => Ok(&[]),
        Some(Value::Array(items)) if items.len() <= limits::LISTENED => Ok(items),
        Some(Value::Array(_)) => Err(Fault::Params("more is listened to than can be judged")),
        Some(_) => Err(Fault::Params("what is listened to is no list")),
    }
}

/// Collects the handles of one message.
pub(super) struct Handles<'m> {
    /// The way down to the message.
    pub(super) message: &'m [Step],
    pub(super) found: Vec<Handle>,
}

impl Handles<'_> {
    /// Those of a request or notification.
    pub(super) fn of_params(&mut self, method: &str, params: &Object, named: bool) -> Result<(), Fault> {
        // First, so that a message of tasks/* has its own task before others.
        if method.starts_with("tasks/") {
            let task = member(params, TASK)?;
            let required = matches!(method, "tasks/get" | "tasks/result" | "tasks/update" | "tasks/cancel");
            if required || task.is_some() {
                let task = self.add(HandleKind::Task, task, &[Step::Member("params"), Step::Member(TASK)])?;
                if named {
                    self.found.push(Handle { kind: HandleKind::Task, text: task, place: Place::Header(super::headers::NAME) });
                }
            }
        }
        if let state @ Some(_) = member(params, STATE)? {
            self.add(HandleKind::RequestState, state, &[Step::Member("params"), Step::Member(STATE)])?;
        }
        if method == "subscriptions/listen"
            && let Some(filter) = object(member(params, "notifications")?, "notifications is no object")?
        {
            for (index, task) in list(filter, "taskIds")?.iter().enumerate() {
                let [params, filter, tasks] = ["params", "notifications", "taskIds"].map(Step::Member);
                self.add(HandleKind::Task, Some(task), &[params, filter, tasks, Step::Index(index)])?;
            }
        }
        self.of_meta("params", params)
    }

    /// The task that `_meta` says a message belongs to: of parameters, and of the result in an answer.
    pub(super) fn of_meta(&mut self, within: &'static str, members: &Object) -> Result<(), Fault> {
        let Some(meta) = object(member(members, META)?, "_meta is no object")? else { return Ok(()) };
        let Some(related) = object(member(meta, RELATED_TASK)?, "the related task is no object")? else { return Ok(()) };
        let place = [within, META, RELATED_TASK, TASK].map(Step::Member);
        self.add(HandleKind::Task, member(related, TASK)?, &place).map(drop)
    }

    fn add(&mut self, kind: HandleKind, value: Option<&Value>, place: &[Step]) -> Result<String, Fault> {
        // As long as what it is part of may be: servers put their whole state into one.
        let text = text(value, usize::MAX, "a handle is no string")?.to_owned();
        let place = Place::Body(self.message.iter().chain(place).copied().collect());
        self.found.push(Handle { kind, text: text.clone(), place });
        Ok(text)
    }
}
