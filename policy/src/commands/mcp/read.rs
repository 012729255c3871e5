//! A body read as JSON-RPC, and its headers beside it.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::commands::mcp::error::{Fault, Refused};
use crate::commands::mcp::handle::Step;
use crate::commands::mcp::headers::{Declared, is_version};
use crate::commands::mcp::message::{Body, Id, Message, Wanted};
use crate::commands::mcp::params::{Handles, member, proposed, version, wants};
use crate::commands::mcp::version::Version;
use crate::http::head::Headers;
use crate::primitives::json::parse_strict;
use crate::primitives::limits;

type Object = Map<String, Value>;

/// Reads the body of a POST to an endpoint, which nobody has encoded (`content-encoding`), and compares it with its headers.
pub(crate) fn read(body: &[u8], headers: &Headers<'_>) -> Result<Body, Refused> {
    let value =
        parse_strict(body, limits::BODY_JSON_DEPTH).map_err(|error| Refused { id: None, fault: Fault::NotJson(error) })?;
    let read = Declared::read(headers).and_then(|declared| match &value {
        Value::Object(message) => single(message, &declared),
        Value::Array(messages) => batch(messages, &declared),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err(Fault::Malformed("the body is neither an object nor a list"))
        }
    });
    read.map_err(|fault| Refused { id: answerable(&value), fault })
}

/// The `id` of what is one request, however malformed otherwise. That of an answer is the server's.
fn answerable(value: &Value) -> Option<Id> {
    value.get("method").and_then(|_| value.get("id")).and_then(|id| read_id(id).ok())
}

fn single(object: &Object, declared: &Declared<'_>) -> Result<Body, Fault> {
    let message = read_message(object, &[], declared)?;
    declared.suits(&message)?;
    let version = declared.version.or(message.version).unwrap_or(Version::V2025_03_26);
    Ok(Body { version, batch: false, messages: vec![message] })
}

fn batch(values: &[Value], declared: &Declared<'_>) -> Result<Body, Fault> {
    let version = declared.version.unwrap_or(Version::V2025_03_26);
    if version != Version::V2025_03_26 {
        return Err(Fault::Malformed("this version has no batches"));
    }
    if values.is_empty() || values.len() > limits::BATCH {
        return Err(Fault::Malformed("a batch of no message, or of too many"));
    }
    declared.suits_batch()?;
    let mut messages = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let object = value.as_object().ok_or(Fault::Malformed("a message is no object"))?;
        messages.push(read_message(object, &[Step::Index(index)], declared)?);
    }
    if messages.iter().any(|message| message.method.as_deref() == Some("initialize")) {
        // 2025-03-26, *Lifecycle*: what follows it in the batch would be of a version that is not agreed upon yet.
        return Err(Fault::Malformed("initialize is in a batch"));
    }
    let answers = messages.iter().filter(|message| message.is_answer()).count();
    if answers != 0 && answers != messages.len() {
        return Err(Fault::Malformed("a batch of answers and others"));
    }
    let mut ids = HashSet::new();
    if !messages.iter().filter_map(|message| message.id.as_ref()).all(|id| ids.insert(id)) {
        return Err(Fault::Malformed("two messages of a batch have one id"));
    }
    Ok(Body { version, batch: true, messages })
}

fn read_message(object: &Object, place: &[Step], declared: &Declared<'_>) -> Result<Message, Fault> {
    if member(object, "jsonrpc")?.and_then(Value::as_str) != Some("2.0") {
        return Err(Fault::Malformed("jsonrpc is not \"2.0\""));
    }
    let id = member(object, "id")?.map(read_id).transpose()?;
    match member(object, "method")? {
        Some(method) => read_call(object, read_method(method)?, id, place, declared),
        None => read_answer(object, id, place, declared),
    }
}

fn read_call(object: &Object, method: &str, id: Option<Id>, place: &[Step], declared: &Declared<'_>) -> Result<Message, Fault> {
    only(object, &["jsonrpc", "id", "method", "params"])?;
    // Each notification of each version is called so, and nothing else: a `tools/call` that wants no answer would be run by one
    // server and ignored by another.
    if method.starts_with("notifications/") != id.is_none() {
        return Err(Fault::Malformed("a request without an id, or a notification with one"));
    }
    let none = Object::new();
    let params = match object.get("params") {
        None => &none,
        Some(Value::Object(params)) => params,
        // JSON-RPC's parameters by position; MCP has none.
        Some(_) => return Err(Fault::Malformed("params is no object")),
    };
    let said = version(params)?;
    declared.suits_version(said, id.is_some())?;
    let version = match said {
        // Which is what the header says.
        Some(_) => declared.version,
        None if method == "initialize" => Some(initial(proposed(params)?)?),
        None => None,
    };
    let mut handles = Handles { message: place, found: Vec::new() };
    handles.of_params(method, params, declared.has_name())?;
    Ok(Message { id, version, method: Some(method.to_owned()), wants: wants(method, params)?, handles: handles.found })
}

/// The version that an `initialize` proposes. The last ones that have it are known, so that none is newer: a server that is asked
/// for another would answer with one of its own choice, which is what a client that hears of it here can do by itself.
fn initial(proposed: &str) -> Result<Version, Fault> {
    if !is_version(proposed) {
        return Err(Fault::Params("protocolVersion is no version"));
    }
    let version = proposed.parse().ok().filter(|version: &Version| !version.is_modern());
    version.ok_or_else(|| Fault::UnsupportedVersion { requested: proposed.to_owned() })
}

fn read_answer(object: &Object, id: Option<Id>, place: &[Step], declared: &Declared<'_>) -> Result<Message, Fault> {
    only(object, &["jsonrpc", "id", "result", "error"])?;
    if declared.is_modern() {
        // 2026-07-28, *Sending Messages*.
        return Err(Fault::Malformed("clients of this version send no answers"));
    }
    let mut handles = Handles { message: place, found: Vec::new() };
    match (object.get("result"), object.get("error")) {
        (Some(Value::Object(result)), None) => handles.of_meta("result", result)?,
        (None, Some(Value::Object(error))) => {
            let known =
                member(error, "code")?.is_some_and(Value::is_i64) && member(error, "message")?.is_some_and(Value::is_string);
            if !known {
                return Err(Fault::Malformed("an error without a code and a message"));
            }
        }
        _ => return Err(Fault::Malformed("neither a method nor a single result or error")),
    }
    if id.is_none() {
        return Err(Fault::Malformed("an answer without an id"));
    }
    Ok(Message { id, version: None, method: None, wants: vec![Wanted::Answer], handles: handles.found })
}

/// JSON-RPC 2.0 §4 and §5 name all members of a message. What else is there has a meaning to somebody, or is there in the hope
/// that it has one: a `Params` beside no `params`, a `result` beside a `method`.
fn only(object: &Object, names: &[&str]) -> Result<(), Fault> {
    if object.keys().all(|name| names.contains(&name.as_str())) {
        return Ok(());
    }
    Err(Fault::Malformed("a message has a member that no such message has"))
}

fn read_id(value: &Value) -> Result<Id, Fault> {
    match value {
        Value::String(text) if text.len() <= limits::IDENTIFIER_BYTES => Ok(Id::Text(text.clone())),
        Value::Number(number) => number.as_i64().map(Id::Number).ok_or(Fault::Malformed("the id is no integer")),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err(Fault::Malformed("the id is neither a string that is not too long nor an integer"))
        }
    }
}

/// The characters of all methods that there are. Upper case alone is no method of MCP: policies write those of HTTP so, which are
/// judged elsewhere.
fn read_method(value: &Value) -> Result<&str, Fault> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'.' | b':' | b'$');
    let text = value.as_str().filter(|text| (1..=limits::IDENTIFIER_BYTES).contains(&text.len()) && text.bytes().all(good));
    let text = text.filter(|text| !text.bytes().all(|byte| byte.is_ascii_uppercase()));
    text.ok_or(Fault::Malformed("the method is no name of one"))
}
