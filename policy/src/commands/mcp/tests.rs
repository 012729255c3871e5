//! Bodies and their headers: what is read, and beside it what is refused.

mod bodies;
mod laws;

use serde_json::{Map, Value, json};

use super::error::{Fault, Refused};
use super::handle::{Handle, HandleKind, Place, Step, rewrite};
use super::headers::encode_value;
use super::message::{Body, Id, Message, Wanted};
use super::read::read;
use super::version::Version;

/// Headers of a request, by name.
type Said<'h> = &'h [(&'h str, &'h str)];

const META: &str = "io.modelcontextprotocol/protocolVersion";
const LEGACY: Said<'static> = &[("MCP-Protocol-Version", "2025-11-25")];

fn reads(body: &Value, headers: Said<'_>) -> Result<Body, Refused> {
    let headers: Vec<(&[u8], &[u8])> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    read(body.to_string().as_bytes(), &headers)
}

#[track_caller]
fn takes(body: &Value, headers: Said<'_>) -> Message {
    let mut body = reads(body, headers).unwrap_or_else(|refused| panic!("{body}: {refused:?}"));
    assert!(!body.batch);
    body.messages.pop().unwrap()
}

/// Why it is refused.
#[track_caller]
fn refuses(body: &Value, headers: Said<'_>) -> String {
    match reads(body, headers) {
        Ok(read) => panic!("{body}: {read:?}"),
        Err(refused) => refused.fault.message(),
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn call(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// A request of 2026-07-28, with what its parameters are besides.
fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({META: "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    call(method, params)
}

fn wants(method: &str, params: Value) -> Vec<Wanted> {
    takes(&call(method, params), LEGACY).wants
}

fn handles(body: &Value, headers: Said<'_>) -> Vec<(HandleKind, String, Place)> {
    takes(body, headers).handles.into_iter().map(|handle| (handle.kind, handle.text, handle.place)).collect()
}
