//! An MCP server by hand, for what the SDKs' servers do not do: answers in pieces, coded, broken, too large. Those are `peers`.

use crate::{
    client::{Call, Reply},
    mesh::Mesh,
    scenario::Scenario,
    upstream::{Answer, Upstream},
    wasm,
};
use serde_json::{Value, json};
use std::time::Duration;

/// The scenario's policy with an MCP endpoint: agents may use some of its tools, resources and prompts.
///
/// # Panics
/// When the scenario has no commands.
#[must_use]
pub fn policy(scenario: &Scenario) -> Value {
    let mut policy = scenario.policy();
    let commands = policy["commands"].as_object_mut().expect("commands");
    let mut add = |name: &str, mut mcp: Value| {
        mcp["path"] = json!("/mcp");
        commands.insert(name.into(), json!({ "mcp": mcp }));
    };
    let methods = json!([
        "initialize",
        "ping",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "tasks/get",
        "subscriptions/listen",
        "notifications/*",
        "GET",
        "DELETE"
    ]);
    add("mcp.base", json!({"methods": methods, "answers": true}));
    let arguments = json!({"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 100}},
        "required": ["query"], "additionalProperties": false});
    add("tools.search", json!({"tools": ["search"], "arguments": arguments, "narrow": true}));
    add("tools.read", json!({"tools": ["read_*"]}));
    add("tools.delete", json!({"tools": ["delete_ticket"]}));
    add("docs", json!({"resources": ["docs://handbook/**"], "prompts": ["summarize"]}));
    policy["grants"][0]["allow"] = json!(["mcp.base", "tools.search", "tools.read", "docs", "orders.list"]);
    policy["limits"] = json!({"body_bytes": 8192});
    policy
}

const ALL_TOOLS: [&str; 4] = ["search", "read_ticket", "delete_ticket", "shell"];

fn answer_to(message: &Value) -> Value {
    let tool = |name: &str| {
        json!({"name": name, "description": name, "inputSchema": {"type": "object", "properties": {
            "query": {"type": "string", "description": "what to look for"}, "limit": {"type": "integer", "minimum": 1},
            "as_user": {"type": "string"}}, "required": ["limit"]}})
    };
    let result = match message["method"].as_str().unwrap_or_default() {
        "tools/list" => json!({"tools": ALL_TOOLS.map(tool), "nextCursor": "2", "cacheScope": "public"}),
        "prompts/list" => json!({"prompts": [{"name": "summarize"}, {"name": "other"}]}),
        "resources/list" => {
            json!({"resources": [{"uri": "docs://handbook/a", "name": "a"}, {"uri": "file:///etc/passwd", "name": "b"}]})
        }
        "resources/templates/list" => {
            json!({"resourceTemplates": [{"uriTemplate": "docs://handbook/{page}"}, {"uriTemplate": "file:///{+path}"}]})
        }
        "tasks/get" => json!({"taskId": message["params"]["taskId"], "status": "working"}),
        "subscriptions/listen" => {
            return json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged",
                "params": {"notifications": message["params"]["notifications"]}});
        }
        "tools/call" if message["params"].get("task").is_some() => json!({"task": {"taskId": "task-1", "status": "working"}}),
        "tools/call" if message["params"].get("_meta").is_some() && message["params"].get("requestState").is_none() => {
            json!({"resultType": "input_required", "requestState": "opaque state"})
        }
        _ => json!({"content": [{"type": "text", "text": "done"}], "echo": message["params"]}),
    };
    json!({"jsonrpc": "2.0", "id": message["id"], "result": result})
}

/// A server that answers as the request's field `x-answer` says.
async fn server() -> Upstream {
    Upstream::answering(|received| {
        let message: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let text = answer_to(&message).to_string();
        let json = |text: &str| Answer::ok(text.to_owned()).header("content-type", "application/json");
        let answer = match received.header("x-answer") {
            Some("events") => {
                let (front, back) = text.split_at(text.len() / 2);
                let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"working"}}"#;
                let pieces = [
                    &format!(": hello\r\n\r\ndata: {note}\n\nevent: message\nid: 7\nda"),
                    &format!("ta: {front}"),
                    &format!("{back}\n"),
                    &"\n".to_owned(),
                ];
                let pieces: Vec<&str> = pieces.iter().map(|piece| piece.as_str()).collect();
                Answer::pieces(&pieces, Duration::from_millis(20), false).header("content-type", "text/event-stream")
            }
            Some("pieces") => {
                let (front, back) = text.split_at(text.len() / 2);
                Answer::pieces(&[front, back], Duration::from_millis(30), false).header("content-type", "application/json")
            }
            Some("trailers") => json(&text).trailer("x-sum", "1"),
            Some("broken") => json(text.trim_end_matches('}')),
            Some("coded") => json(&text).header("content-encoding", "gzip"),
            Some("text") => Answer::ok(text).header("content-type", "text/plain"),
            Some("large") => json(&text.replace("done", &"x".repeat(3 << 20)).replace("what to look for", &"x".repeat(1 << 20))),
            Some("failing") => json(&text).status(500),
            Some("open") => Answer::pieces(&[": hello\n\n"], Duration::ZERO, true).header("content-type", "text/event-stream"),
            _ => json(&text),
        };
        if message["method"] == "initialize" { answer.header("mcp-session-id", "session-of-the-server") } else { answer }
    })
    .await
}

/// An Envoy with such a policy before that server.
pub async fn mesh(name: &str, policy: &Value) -> Mesh {
    Mesh::with(name, policy, server().await, wasm::chaperone(), &[]).await
}

/// A message as version 2025-11-25 sends it.
#[must_use]
pub fn post(token: &str, body: &Value) -> Call {
    let call = Call::new("POST", "/mcp").bearer(token).header("content-type", "application/json");
    call.header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .body(body.to_string())
}

/// A request of the protocol.
#[must_use]
pub fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The message of an answer, whichever way it came.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn told(reply: &Reply) -> Value {
    let text = reply.text();
    match text.split("data: ").last().filter(|_| text.contains("data: ")) {
        Some(event) => serde_json::from_str(event.trim_end()).unwrap_or_else(|_| panic!("{text}")),
        None => serde_json::from_str(&text).unwrap_or_else(|_| panic!("{} {text}", reply.status)),
    }
}

/// What a list names.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn names(list: &Value, member: &str) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|item| item[member].as_str().expect("a name").to_owned()).collect()
}
