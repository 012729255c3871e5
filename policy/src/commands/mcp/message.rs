//! What a body says: messages of JSON-RPC 2.0, and what each asks for. Whatever could be read as something else is refused.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::version::{Version, one};
use crate::http::head::Headers;
use crate::primitives::json::{BodyFault, fold, parse_body};
use crate::primitives::limits;

/// Why a body says nothing that can be judged; never what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not JSON with one reading.
    Json(BodyFault),
    /// Not a message of JSON-RPC or of the protocol.
    Message(&'static str),
    /// Of the protocol, but without what its version asks for.
    Params(&'static str),
    /// The head says something else than the body.
    Header(&'static str),
    /// A version that is not known here, as it is named; for the caller alone.
    Version(String),
}

/// A fault, and the request that is answered by it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    /// `None` where it is not known, or there are several.
    pub(crate) id: Option<Id>,
}

impl From<Fault> for Faulty {
    fn from(fault: Fault) -> Self {
        Self { fault, id: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => fault.fmt(f),
            Self::Message(said) | Self::Params(said) | Self::Header(said) => f.write_str(said),
            Self::Version(_) => f.write_str("a version of the protocol that is not known here"),
        }
    }
}

impl Fault {
    /// The code of the JSON-RPC error that says so: of JSON-RPC 2.0 §5.1, and of MCP 2026-07-28.
    pub(crate) fn code(&self) -> i64 {
        match self {
            Self::Json(_) => -32_700,
            Self::Message(_) => -32_600,
            Self::Params(_) => -32_602,
            Self::Header(_) => -32_020,
            Self::Version(_) => -32_022,
        }
    }
}

/// A whole body.
#[derive(Debug)]
pub(crate) struct Body {
    /// A list of messages, of which at least one; else exactly one.
    pub(crate) batch: bool,
    pub(crate) messages: Vec<Message>,
    /// What it was parsed to.
    pub(crate) value: Value,
}

/// A message of the caller.
#[derive(Debug)]
pub(crate) struct Message {
    /// Of a request, and of an answer that of the server's request.
    pub(crate) id: Option<Id>,
    pub(crate) version: Version,
    /// What it is; `None` for an answer to a request of the server.
    pub(crate) method: Option<String>,
    /// What it asks for: the first is what it is called by, the others it names besides.
    pub(crate) wants: Vec<Wanted>,
    /// What the server gave out before and is shown now.
    pub(crate) handles: Vec<Handle>,
    /// It wants to be carried out as a task (2025-11-25), whose id comes back.
    pub(crate) asks_task: bool,
}

/// The identity of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    Text(String),
    Number(i64),
}

impl Id {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
        }
    }

    /// For records: which kind it is, not what the caller wrote.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Number(_) => "number",
        }
    }
}

/// Something that a message asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wanted {
    Tool {
        name: String,
        arguments: Value,
    },
    /// Arguments are `null` where a completion is asked for, which has only one of them.
    Prompt {
        name: String,
        arguments: Value,
    },
    /// By its URI.
    Resource(String),
    Method(String),
    /// To be told of: an answer to a request of the server.
    Answer,
}

/// Which kind of thing a server gave out to be shown again. The MAC that ties it to its session is over the kind, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandleKind {
    /// `Mcp-Session-Id`, a field of the head.
    Session,
    Task,
    RequestState,
}

impl HandleKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Task => "task",
            Self::RequestState => "request_state",
        }
    }
}

/// A handle, and where in the body it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) kind: HandleKind,
    pub(crate) text: String,
    /// The JSON pointer in the message (RFC 6901).
    pub(crate) place: Cow<'static, str>,
}

/// Where a task is that a message is about.
pub(crate) const TASK: &str = "/params/taskId";

/// Where the specifications put handles: a task's id in the methods of tasks and in what is related to one, an answer of the caller
/// included; the state of a request that wants more input. Cursors are no handles: a list is cut down whatever page it is. A
/// subscription's id is the caller's own.
const HANDLES: [(&str, HandleKind); 4] = [
    (TASK, HandleKind::Task),
    ("/params/_meta/io.modelcontextprotocol~1related-task/taskId", HandleKind::Task),
    ("/result/_meta/io.modelcontextprotocol~1related-task/taskId", HandleKind::Task),
    ("/params/requestState", HandleKind::RequestState),
];

/// The tasks that `subscriptions/listen` has told of, results included (SEP-2663, *Task Status Notifications*).
const LISTENED: &str = "/params/notifications/taskIds";

const OF_META: &[&str] = &["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/related-task"];

/// The members that are read, by the object that they are in.
const READ: [(&str, &[&str]); 9] = [
    ("", &["jsonrpc", "id", "method", "params", "result", "error"]),
    (
        "/params",
        &["_meta", "arguments", "name", "notifications", "protocolVersion", "ref", "requestState", "task", "taskId", "uri"],
    ),
    ("/params/_meta", OF_META),
    ("/params/_meta/io.modelcontextprotocol~1related-task", &["taskId"]),
    ("/params/notifications", &["resourceSubscriptions", "taskIds"]),
    ("/params/ref", &["name", "type", "uri"]),
    ("/result", &["_meta"]),
    ("/result/_meta", OF_META),
    ("/result/_meta/io.modelcontextprotocol~1related-task", &["taskId"]),
];

const META_VERSION: &str = "/params/_meta/io.modelcontextprotocol~1protocolVersion";

/// Reads a whole body, and holds its head against it.
pub(crate) fn read(body: &[u8], headers: &Headers<'_>) -> Result<Body, Faulty> {
    let value = parse_body(body).map_err(Fault::Json)?;
    let request = value.as_object().filter(|message| message.contains_key("method"));
    let id = request.and_then(|request| id(request.get("id")?).ok());
    messages(value, headers).map_err(|fault| Faulty { fault, id })
}

fn messages(value: Value, headers: &Headers<'_>) -> Result<Body, Fault> {
    let announced = Version::of_head(headers).map_err(|fault| match (&fault, said_version(&value)) {
        (Fault::Version(_), Some(Ok(_))) => OTHER_VERSION,
        _ => fault,
    })?;
    let (batch, items) = match &value {
        // Batches were of one version alone.
        Value::Array(_) if announced.is_some_and(|version| version != Version::V2025_03_26) => {
            return Err(Fault::Message("a list of messages, which only version 2025-03-26 knows"));
        }
        Value::Array(items) if items.is_empty() || items.len() > limits::BATCH => {
            return Err(Fault::Message("a list of no messages, or of too many"));
        }
        Value::Array(items) => (true, items.as_slice()),
        single @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            (false, std::slice::from_ref(single))
        }
    };
    let messages = items.iter().map(|item| message(item, announced, batch)).collect::<Result<Vec<_>, _>>()?;
    let [first, ..] = messages.as_slice() else { return Err(Fault::Message("no message")) };
    if !batch {
        head_agrees(first, headers)?;
    } else if one(headers, "mcp-method")?.is_some() || one(headers, "mcp-name")?.is_some() {
        return Err(Fault::Header("`Mcp-Method` and `Mcp-Name` are of a single message"));
    }
    // Two requests of one id get answers that nobody can tell apart.
    let ids: Vec<&Id> =
        messages.iter().filter(|message| message.method.is_some()).filter_map(|message| message.id.as_ref()).collect();
    if ids.iter().enumerate().any(|(place, id)| ids.iter().skip(place + 1).any(|other| other == id)) {
        return Err(Fault::Message("two requests with one `id`"));
    }
    Ok(Body { batch, messages, value })
}

const OTHER_VERSION: Fault = Fault::Header("`MCP-Protocol-Version` is another version than that of the body");

/// The version that a message says itself to be in.
fn said_version(message: &Value) -> Option<Result<Version, Fault>> {
    let said = at(message, META_VERSION)?.as_str().unwrap_or_default();
    Some(Version::named(said.as_bytes()))
}

fn message(value: &Value, announced: Option<Version>, batch: bool) -> Result<Message, Fault> {
    let object = value.as_object().ok_or(Fault::Message("no object"))?;
    if object.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(Fault::Message("`jsonrpc` is not \"2.0\""));
    }
    let id = object.get("id").map(id).transpose()?;
    let (has_method, answers) = (object.contains_key("method"), ["result", "error"].map(|name| object.contains_key(name)));
    // A member that is none of the specification's could be one to its reader.
    let known: &[&str] = match (has_method, answers) {
        (true, [false, false]) => &["jsonrpc", "id", "method", "params"],
        (false, [true, false]) if id.is_some() => &["jsonrpc", "id", "result"],
        (false, [false, true]) if id.is_some() => &["jsonrpc", "id", "error"],
        _ => return Err(Fault::Message("neither a request, nor a notification, nor an answer")),
    };
    if object.keys().any(|name| !known.contains(&name.as_str())) {
        return Err(Fault::Message("a member that messages do not have"));
    }
    if has_other_case(value) {
        return Err(Fault::Message("a member that is one of the protocol's but for its case"));
    }
    let params = match object.get("params") {
        None => None,
        Some(Value::Object(params)) => Some(params),
        Some(_) => return Err(Fault::Message("`params` is no object")),
    };
    let said = match (said_version(value), announced) {
        (Some(Err(_)), Some(_)) => return Err(OTHER_VERSION),
        (Some(Ok(said)), Some(announced)) if said != announced => return Err(OTHER_VERSION),
        (said, _) => said.transpose()?,
    };
    // Before 2026-07-28 that member says nothing, and since then it is not alone.
    if announced.is_none() && said.is_some_and(|said| said != Version::V2025_03_26) {
        return Err(Fault::Header("a version that the body names is named in the head as well"));
    }
    // The first message of the versions with sessions comes before any header: what it proposes is what it is in.
    let proposed =
        || at(value, "/params/protocolVersion").filter(|_| object.get("method").is_some_and(|method| method == "initialize"));
    let proposed = || Version::from_name(proposed()?.as_str()?).filter(|version| !version.is_sessionless());
    let version = announced.or(said).or_else(proposed).unwrap_or(Version::V2025_03_26);
    if version.is_sessionless() && said.is_none() && has_method && id.is_some() {
        return Err(Fault::Params("version 2026-07-28 is named both in the head and in the body"));
    }
    if !has_method {
        if version.is_sessionless() {
            return Err(Fault::Message("an answer, which version 2026-07-28 does not know"));
        }
        let handles = handles(value)?;
        return Ok(Message { id, version, method: None, wants: vec![Wanted::Answer], handles, asks_task: false });
    }
    let method = object.get("method").and_then(Value::as_str).filter(|method| is_method(method));
    let method = method.ok_or(Fault::Message("`method` is not the name of one"))?;
    if method == "initialize" && batch {
        return Err(Fault::Message("`initialize` in a list of messages"));
    }
    let wants = wants(method, params, version)?;
    let handles = handles(value)?;
    let asks_task = params.is_some_and(|params| params.contains_key("task"));
    Ok(Message { id, version, method: Some(method.to_owned()), wants, handles, asks_task })
}

/// What is at a JSON pointer through objects (RFC 6901). `Value::pointer` makes two texts of each name on the way, and each message is
/// asked for fifteen.
fn at<'v>(message: &'v Value, pointer: &str) -> Option<&'v Value> {
    let mut names = pointer.split('/').skip(1);
    names.try_fold(message, |value, name| if name.contains('~') { value.get(name.replace("~1", "/")) } else { value.get(name) })
}

/// What of a message the server gave out before.
fn handles(message: &Value) -> Result<Vec<Handle>, Fault> {
    let listened = match at(message, LISTENED) {
        None => &[],
        Some(Value::Array(tasks)) => tasks.as_slice(),
        Some(_) => return Err(Fault::Message("`taskIds` is no list")),
    };
    let listened = listened.iter().enumerate();
    let listened = listened.map(|(index, found)| (Cow::Owned(format!("{LISTENED}/{index}")), HandleKind::Task, found));
    let single = HANDLES.into_iter().filter_map(|(place, kind)| Some((Cow::Borrowed(place), kind, at(message, place)?)));
    let found = single.chain(listened).map(|(place, kind, found)| match found.as_str() {
        Some(text) => Ok(Handle { kind, text: text.to_owned(), place }),
        None => Err(Fault::Message("a handle that is no text")),
    });
    found.collect()
}

/// Is there a member that differs from one that is read in case alone? A server that takes either for the other (Go's
/// `encoding/json` does) would read what nobody has judged. Where both are there, the body has been refused before.
fn has_other_case(message: &Value) -> bool {
    READ.iter().any(|(place, known)| {
        let object = at(message, place).and_then(Value::as_object);
        let strange = object.into_iter().flat_map(Map::keys).filter(|name| !known.contains(&name.as_str()));
        strange.map(|name| fold(name)).any(|name| known.iter().any(|known| fold(known) == name))
    })
}

/// A text or an integer: `null` and fractions are none in the protocol, though JSON-RPC lets them be.
fn id(value: &Value) -> Result<Id, Fault> {
    match value {
        Value::String(text) if text.len() <= limits::IDENTIFIER_BYTES => Ok(Id::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(Id::Number).ok_or(Fault::Message("`id` is no integer")),
        Value::String(_) => Err(Fault::Message("`id` is too long")),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(Fault::Message("`id` is neither text nor integer"))
        }
    }
}

fn is_method(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.' | b'$' | b':');
    !text.is_empty() && text.len() <= limits::IDENTIFIER_BYTES && text.bytes().all(good)
}

/// What a method with these parameters asks for.
fn wants(method: &str, params: Option<&Map<String, Value>>, version: Version) -> Result<Vec<Wanted>, Fault> {
    let member = |name: &str| params.and_then(|params| params.get(name));
    let text = |name: &str, wrong: &'static str| {
        let text = member(name).and_then(Value::as_str).filter(|text| text.len() <= limits::RESOURCE_BYTES);
        text.map(str::to_owned).ok_or(Fault::Message(wrong))
    };
    let arguments = || match member("arguments") {
        None => Ok(Value::Object(Map::new())),
        Some(arguments @ Value::Object(_)) => Ok(arguments.clone()),
        Some(_) => Err(Fault::Message("`arguments` is no object")),
    };
    let itself = || Wanted::Method(method.to_owned());
    Ok(match method {
        "tools/call" => vec![Wanted::Tool { name: text("name", "a call of no tool")?, arguments: arguments()? }],
        "prompts/get" => vec![Wanted::Prompt { name: text("name", "no prompt is named")?, arguments: arguments()? }],
        method if version.lacks(method) => vec![itself()],
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => {
            vec![Wanted::Resource(text("uri", "no resource is named")?)]
        }
        "completion/complete" => {
            let reference = member("ref").and_then(Value::as_object).ok_or(Fault::Message("no `ref` to complete for"))?;
            let text = |name: &str| reference.get(name).and_then(Value::as_str).map(str::to_owned);
            let wanted = match (text("type").as_deref(), text("name"), text("uri")) {
                (Some("ref/prompt"), Some(name), None) => Wanted::Prompt { name, arguments: Value::Null },
                (Some("ref/resource"), None, Some(uri)) => Wanted::Resource(uri),
                _ => return Err(Fault::Message("a `ref` to neither a prompt nor a resource")),
            };
            vec![itself(), wanted]
        }
        "subscriptions/listen" => {
            let uris = match params.and_then(|params| params.get("notifications")?.get("resourceSubscriptions")) {
                None => &[],
                Some(Value::Array(uris)) => uris.as_slice(),
                Some(_) => return Err(Fault::Message("`resourceSubscriptions` is no list")),
            };
            let uris = uris.iter().map(|uri| uri.as_str().map(|uri| Wanted::Resource(uri.to_owned())));
            let uris = uris.map(|uri| uri.ok_or(Fault::Message("a resource that is no text")));
            std::iter::once(Ok(itself())).chain(uris).collect::<Result<_, _>>()?
        }
        _ => vec![itself()],
    })
}

/// The head of a single message: where it names method, tool, prompt or resource, those are the body's; from version 2026-07-28 on it
/// must.
fn head_agrees(message: &Message, headers: &Headers<'_>) -> Result<(), Fault> {
    let (method, name) = (one(headers, "mcp-method")?, one(headers, "mcp-name")?);
    let must = message.version.is_sessionless();
    match (method, message.method.as_deref()) {
        (Some(said), Some(method)) if said == method.as_bytes() => {}
        (None, _) if !must => {}
        (None, None) => {}
        (Some(_) | None, _) => return Err(Fault::Header("`Mcp-Method` is not the method of the body")),
    }
    let named = match message.wants.first() {
        Some(Wanted::Tool { name, .. } | Wanted::Prompt { name, .. } | Wanted::Resource(name)) => Some(name),
        // SEP-2663, *Routing Headers*.
        Some(Wanted::Method(method)) if method.starts_with("tasks/") => {
            message.handles.iter().find(|handle| handle.place == TASK).map(|handle| &handle.text)
        }
        Some(Wanted::Method(_) | Wanted::Answer) | None => None,
    };
    // Subscriptions to resources are none of the methods that have the field by the specification.
    let must = must && matches!(message.method.as_deref(), Some("tools/call" | "prompts/get" | "resources/read"));
    match (name, named) {
        (Some(said), Some(named)) if decoded(said).is_some_and(|said| said == named.as_bytes()) => Ok(()),
        (None, _) if !must => Ok(()),
        (Some(_) | None, _) => Err(Fault::Header("`Mcp-Name` is not what the body names")),
    }
}

/// A value of `Mcp-Name`: `=?base64?…?=` stands for what cannot be in a head ("Value Encoding" of Streamable HTTP, 2026-07-28).
fn decoded(value: &[u8]) -> Option<Vec<u8>> {
    match value.strip_prefix(b"=?base64?").and_then(|value| value.strip_suffix(b"?=")) {
        Some(coded) => STANDARD.decode(coded).ok(),
        None => is_plain(value).then(|| value.to_vec()),
    }
}

/// May a value of `Mcp-Name` stand for itself? Visible ASCII, and spaces inside.
fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) && value.trim_ascii() == value
}

/// A text as the value of `Mcp-Name`.
pub(crate) fn encoded(text: &str) -> Cow<'_, str> {
    let is_code = text.starts_with("=?base64?") && text.ends_with("?=");
    if is_plain(text.as_bytes()) && !is_code { text.into() } else { format!("=?base64?{}?=", STANDARD.encode(text)).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(body: &Value) -> Result<Body, Fault> {
        read(body.to_string().as_bytes(), &[(b"mcp-protocol-version", b"2025-11-25")]).map_err(|faulty| faulty.fault)
    }

    #[test]
    fn what_a_message_asks_for_and_shows_again() {
        let wants = |method: &str, params: Value| {
            let body = of(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).unwrap();
            body.messages.into_iter().next().unwrap().wants
        };
        assert_eq!(
            wants("tools/call", json!({"name": "a"})),
            [Wanted::Tool { name: "a".to_owned(), arguments: json!({}) }],
            "no arguments are none"
        );
        let method = |name: &str| Wanted::Method(name.to_owned());
        assert_eq!(wants("tools/list", json!({"cursor": "x"})), [method("tools/list")]);
        assert_eq!(wants("resources/subscribe", json!({"uri": "a:b"})), [Wanted::Resource("a:b".to_owned())]);
        let listen = json!({"notifications": {"resourceSubscriptions": ["a:b", "a:c"]}});
        let uris = ["a:b", "a:c"].map(|uri| Wanted::Resource(uri.to_owned()));
        assert_eq!(wants("subscriptions/listen", listen), [&[method("subscriptions/listen")][..], &uris].concat());
        let handles = |params: Value| {
            let body = of(&json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": params})).unwrap();
            body.messages
                .into_iter()
                .next()
                .unwrap()
                .handles
                .into_iter()
                .map(|handle| (handle.kind, handle.text))
                .collect::<Vec<_>>()
        };
        assert_eq!(handles(json!({"taskId": "t"})), [(HandleKind::Task, "t".to_owned())]);
        assert_eq!(handles(json!({"requestState": "s"})), [(HandleKind::RequestState, "s".to_owned())]);
        let related = json!({"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}});
        assert_eq!(handles(related), [(HandleKind::Task, "t".to_owned())]);
        assert!(of(&json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"taskId": 7}})).is_err());
        let listened = json!({"notifications": {"taskIds": ["t", "u"]}});
        assert_eq!(handles(listened), ["t", "u"].map(|text| (HandleKind::Task, text.to_owned())));
        assert!(handles(json!({"notifications": {"toolsListChanged": true}, "arguments": {"taskId": "t"}})).is_empty());
        for wrong in [json!("t"), json!([7])] {
            assert!(of(&call("subscriptions/listen", json!({"notifications": {"taskIds": wrong}}))).is_err());
        }
        let answer =
            |result: Value| of(&json!({"jsonrpc": "2.0", "id": 1, "result": result})).unwrap().messages.remove(0).handles;
        let related = answer(json!({"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}}));
        assert_eq!(related.into_iter().map(|handle| handle.text).collect::<Vec<_>>(), ["t"]);
        assert!(answer(json!({"action": "accept"})).is_empty());
    }

    fn call(method: &str, params: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    }

    /// Each handle is where it says: there it is written anew.
    #[test]
    fn a_handle_is_at_its_place() {
        let meta = json!({"io.modelcontextprotocol/related-task": {"taskId": "r"}});
        let listen = call("subscriptions/listen", json!({"_meta": meta, "notifications": {"taskIds": ["a", "b"]}}));
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"_meta": meta}});
        for (body, count) in [(listen, 3), (call("tasks/get", json!({"taskId": "t", "requestState": "s"})), 2), (answer, 1)] {
            let handles = of(&body).unwrap().messages.remove(0).handles;
            assert_eq!(handles.len(), count);
            for handle in handles {
                assert_eq!(body.pointer(&handle.place), Some(&Value::from(handle.text)));
            }
        }
    }

    #[test]
    fn a_member_that_is_one_of_the_protocols_but_for_its_case_is_refused() {
        for (method, params) in [
            ("tools/call", json!({"name": "a", "Arguments": {}})),
            ("tools/call", json!({"name": "a", "argument\u{17f}": {}})),
            ("tools/call", json!({"name": "a", "RequestState": "s"})),
            ("tools/call", json!({"name": "a", "_META": {}})),
            ("tools/call", json!({"name": "a", "_meta": {"io.modelcontextprotocol/Related-Task": {"taskId": "t"}}})),
            ("tools/call", json!({"name": "a", "_meta": {"io.modelcontextprotocol/related-task": {"TaskId": "t"}}})),
            ("subscriptions/listen", json!({"Notifications": {}})),
            ("subscriptions/listen", json!({"notifications": {"resourcesubscriptions": ["a:b"]}})),
            ("subscriptions/listen", json!({"notifications": {"TaskIds": ["t"]}})),
            ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "p", "URI": "a:b"}})),
            ("tasks/list", json!({"TaskID": "t"})),
        ] {
            let said = of(&call(method, params.clone())).map(drop);
            assert_eq!(said, Err(Fault::Message("a member that is one of the protocol's but for its case")), "{params}");
        }
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"_Meta": {}}});
        assert!(of(&answer).is_err());
        // What is nobody's, or the tool's own.
        assert!(of(&call("tools/call", json!({"name": "a", "arguments": {"Name": 1}, "other": 2}))).is_ok());
    }

    #[test]
    fn an_initialize_without_a_header_is_in_the_version_that_it_proposes() {
        let version = |method: &str, proposed: Value, headers: &Headers<'_>| {
            let body = call(method, json!({"protocolVersion": proposed}));
            read(body.to_string().as_bytes(), headers).unwrap().messages[0].version
        };
        assert_eq!(version("initialize", json!("2025-11-25"), &[]), Version::V2025_11_25);
        assert_eq!(version("initialize", json!("2025-11-25"), &[(b"mcp-protocol-version", b"2025-06-18")]), Version::V2025_06_18);
        for unknown in [json!("2024-11-05"), json!("2026-07-28"), json!(7)] {
            assert_eq!(version("initialize", unknown, &[]), Version::V2025_03_26);
        }
        assert_eq!(version("ping", json!("2025-11-25"), &[]), Version::V2025_03_26);
    }

    #[test]
    fn the_name_in_the_head_is_the_task_of_a_request_about_one() {
        let params = |task: &str| json!({"taskId": task, "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}});
        let said = |method: &str, name: Option<&str>| {
            let mut headers: Vec<(&[u8], &[u8])> =
                vec![(b"mcp-protocol-version", b"2026-07-28"), (b"mcp-method", method.as_bytes())];
            headers.extend(name.map(|name| (&b"mcp-name"[..], name.as_bytes())));
            read(call(method, params("t")).to_string().as_bytes(), &headers).is_ok()
        };
        assert!(said("tasks/get", Some("t")) && said("tasks/cancel", Some("=?base64?dA==?=")) && said("tasks/get", None));
        assert!(!said("tasks/get", Some("u")) && !said("tools/list", Some("t")));
    }

    /// The examples of *Value Encoding*, and what is no value.
    #[test]
    fn names_are_coded_for_a_head() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            assert_eq!(encoded(text), value);
            assert_eq!(decoded(value.as_bytes()).as_deref(), Some(text.as_bytes()));
        }
        for wrong in ["世界", " padded ", "a\u{7f}", "=?base64?dA?=", "=?base64?dB==?=", "=?base64?literal!?="] {
            assert_eq!(decoded(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(body in prop::collection::vec(any::<u8>(), 0..64), version in "[0-9-]{0,10}") {
            let _ = read(&body, &[(b"mcp-protocol-version", version.as_bytes())]);
        }

        #[test]
        fn a_message_is_read_as_it_was_written(id in prop_oneof![any::<i32>().prop_map(Value::from), "[a-z]{1,8}".prop_map(Value::from)],
                                               method in "[a-z]{1,8}(/[a-z]{1,8})?") {
            prop_assume!(!matches!(method.as_str(), "tools/call" | "prompts/get"));
            let body = of(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {}})).unwrap();
            prop_assert_eq!(body.messages.len(), 1);
            prop_assert_eq!(body.messages[0].id.as_ref().map(Id::to_json), Some(id));
            prop_assert_eq!(body.messages[0].method.as_deref(), Some(method.as_str()));
        }
    }
}
