//! In a real Envoy: commands in bodies at an endpoint of the Model Context Protocol, lists that show what a session may use, and what
//! a server gives to one session.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol, Reply},
    mesh::Mesh,
    raw,
    scenario::{CREDENTIAL, Scenario},
    upstream::{Answer, Received, Upstream},
    wasm,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

fn policy(scenario: &Scenario) -> Value {
    let mut policy = scenario.policy();
    let commands = policy["commands"].as_object_mut().unwrap();
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
            _ => json(&text),
        };
        if message["method"] == "initialize" { answer.header("mcp-session-id", "session-of-the-server") } else { answer }
    })
    .await
}

async fn mesh(name: &str, scenario: &Scenario) -> Mesh {
    Mesh::with(name, &policy(scenario), server().await, wasm::chaperone(), &[]).await
}

fn post(token: &str, body: &Value) -> Call {
    let call = Call::new("POST", "/mcp").bearer(token).header("content-type", "application/json");
    call.header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
        .body(body.to_string())
}

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The message of an answer, whichever way it came.
fn told(reply: &Reply) -> Value {
    let text = reply.text();
    match text.split("data: ").last().filter(|_| text.contains("data: ")) {
        Some(event) => serde_json::from_str(event.trim_end()).unwrap_or_else(|_| panic!("{text}")),
        None => serde_json::from_str(&text).unwrap_or_else(|_| panic!("{} {text}", reply.status)),
    }
}

fn names(list: &Value, member: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[member].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_the_session_may_use() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-lists", &scenario).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        for form in ["json", "pieces", "events"] {
            let list = |method: &str| post(&token, &message(method, &json!({}))).header("x-answer", form);
            let (reply, entry) = mesh.observe(&list("tools/list"), protocol).await;
            assert_eq!(reply.status, 200);
            let result = &told(&reply)["result"];
            assert_eq!(names(&result["tools"], "name"), ["search", "read_ticket"], "{form}");
            assert_eq!((&result["nextCursor"], &result["cacheScope"]), (&json!("2"), &json!("private")));
            let narrowed = json!({"type": "object", "additionalProperties": false, "required": ["limit", "query"], "properties": {
                "query": {"type": "string", "description": "what to look for"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 100}}});
            assert_eq!(result["tools"][0]["inputSchema"], narrowed);
            assert_eq!(result["tools"][1]["inputSchema"]["properties"]["as_user"], json!({"type": "string"}), "not narrowed");
            let mcp = &entry.record["unmapped"]["mcp"];
            assert_eq!((&mcp["withheld"], &mcp["withheld_names"]), (&json!(2), &json!(["delete_ticket", "shell"])));
            assert_eq!(entry.record["status_code"], "allowed");
            if form == "events" {
                let text = reply.text();
                assert!(text.starts_with(": hello\r\n\r\ndata: {\"jsonrpc\""), "{text}");
                assert!(text.contains("working") && text.contains("event: message\nid: 7\n"), "{text}");
            }
            let prompts = told(&mesh.send(&list("prompts/list"), protocol).await);
            assert_eq!(names(&prompts["result"]["prompts"], "name"), ["summarize"]);
            let resources = told(&mesh.send(&list("resources/list"), protocol).await);
            assert_eq!(names(&resources["result"]["resources"], "uri"), ["docs://handbook/a"]);
            let templates = told(&mesh.send(&list("resources/templates/list"), protocol).await);
            assert_eq!(names(&templates["result"]["resourceTemplates"], "uriTemplate"), ["docs://handbook/{page}"]);
        }
    }
    // A token's own list counts, too.
    let narrow = scenario.token_with("s-2", json!({"commands": ["mcp.base", "tools.read"]}));
    let tools = told(&mesh.send(&post(&narrow, &message("tools/list", &json!({}))), Protocol::Http1).await);
    assert_eq!(names(&tools["result"]["tools"], "name"), ["read_ticket"]);
    // What the target is asked is answered in a form that can be read.
    assert_eq!(mesh.upstream.last().header("accept-encoding"), Some("identity"));
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_cannot_be_read_is_not_passed() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-unreadable", &scenario).await;
    let token = scenario.token("s-1");
    for protocol in Protocol::ALL {
        for form in ["broken", "coded", "text", "large"] {
            let list = post(&token, &message("tools/list", &json!({}))).header("x-answer", form);
            let (reply, entry) = mesh.observe(&list, protocol).await;
            let told = told(&reply);
            assert_eq!((&told["id"], &told["error"]["code"]), (&json!(1), &json!(-31502)), "{form}: {told}");
            assert_eq!(told["error"]["data"]["reason"], "answer_unreadable");
            assert!(!reply.text().contains("delete_ticket"));
            assert_eq!(entry.record["status_code"], "answer_unreadable");
        }
        // What is not a list is nobody's to read: it goes on as it is, however large, also an error's.
        for form in ["text", "coded", "large", "trailers", "failing"] {
            let call = post(&token, &message("tools/call", &json!({"name": "read_ticket"}))).header("x-answer", form);
            let (reply, entry) = mesh.observe(&call, protocol).await;
            assert_eq!(reply.status, if form == "failing" { 500 } else { 200 });
            assert!(reply.text().contains("content"), "{form}");
            assert_eq!(entry.record["status_code"], "allowed");
        }
        // Before trailers nothing can be put any more: what was kept is cut, and nothing of it was shown.
        let list = post(&token, &message("tools/list", &json!({}))).header("x-answer", "trailers");
        if let Ok(reply) = list.try_send(mesh.envoy.address(), protocol).await {
            assert!(!reply.text().contains("delete_ticket"), "{}", reply.text());
        }
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

/// The parts of a request that has reached the server.
fn body_of(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_gave_to_one_session_is_no_other_sessions() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-handles", &scenario).await;
    let (mine, renewed) = (scenario.token("s-1"), scenario.token_with("s-1", json!({"jti": "2"})));
    let theirs = scenario.token("s-2");
    for protocol in Protocol::ALL {
        let begun = mesh.send(&post(&mine, &message("initialize", &json!({}))), protocol).await;
        let session = begun.header("mcp-session-id").unwrap().to_owned();
        assert!(session.starts_with("session-of-the-server."), "{session}");
        let ping = message("ping", &json!({}));
        // On connections of their own, so that both workers are asked; a renewed token is the same session's.
        for round in 0..6 {
            let token = if round % 2 == 0 { &mine } else { &renewed };
            let reply = mesh.send(&post(token, &ping).header("mcp-session-id", &session), protocol).await;
            assert_eq!(reply.status, 200);
            assert_eq!(mesh.upstream.last().all("mcp-session-id"), ["session-of-the-server"]);
            let count = mesh.upstream.count();
            let (reply, entry) = mesh.observe(&post(&theirs, &ping).header("mcp-session-id", &session), protocol).await;
            assert_eq!((reply.status, entry.reason()), (200, "handle_foreign"));
            assert_eq!(told(&reply)["error"]["data"]["reason"], "handle_foreign");
            for call in [Call::get("/mcp"), Call::new("DELETE", "/mcp")] {
                let (reply, entry) = mesh.observe(&call.bearer(&theirs).header("mcp-session-id", &session), protocol).await;
                assert_eq!((reply.status, entry.reason()), (403, "handle_foreign"));
            }
            assert_eq!(mesh.upstream.count(), count, "nothing has gone upstream");
        }
        let gone = mesh.send(&Call::new("DELETE", "/mcp").bearer(&mine).header("mcp-session-id", &session), protocol).await;
        assert_eq!(gone.status, 200);
        assert_eq!(mesh.upstream.last().all("mcp-session-id"), ["session-of-the-server"]);
        // Two of them, or one in another spelling.
        let twice = post(&mine, &ping).header("mcp-session-id", &session).header("mcp-session-id", &session);
        assert_eq!(mesh.send(&twice, protocol).await.status, 400);
        let spelled = post(&mine, &ping).header("mcp_session_id", "session-of-the-server");
        assert_eq!(mesh.send(&spelled, protocol).await.status, 200);
        assert!(!mesh.upstream.last().headers.iter().any(|(name, _)| name == "mcp_session_id"));

        for form in ["json", "events"] {
            // A task.
            let call = message("tools/call", &json!({"name": "read_ticket", "task": {"ttl": 60000}}));
            let task = told(&mesh.send(&post(&mine, &call).header("x-answer", form), protocol).await);
            let task = task["result"]["task"]["taskId"].clone();
            assert!(task.as_str().unwrap().starts_with("task-1."), "{task}");
            let get = message("tasks/get", &json!({"taskId": task}));
            let reply = mesh.send(&post(&mine, &get).header("x-answer", form).trailer("x-sum", "1"), protocol).await;
            assert_eq!(told(&reply)["result"]["taskId"], task, "as it was given out");
            assert_eq!(body_of(&mesh.upstream.last())["params"]["taskId"], "task-1");
            assert_eq!(mesh.upstream.last().header("x-chaperone-command"), Some("mcp.base"));
            let (_, entry) = mesh.observe(&post(&theirs, &get), protocol).await;
            assert_eq!(entry.reason(), "handle_foreign");
            // Also where the head repeats it, and where a client wants to be told of it.
            let listen = message("subscriptions/listen", &json!({"notifications": {"taskIds": [task]}}));
            let kept = told(&mesh.send(&post(&mine, &listen).header("x-answer", form), protocol).await);
            assert_eq!(kept["params"]["notifications"]["taskIds"], json!([task]), "as they were given out");
            assert_eq!(body_of(&mesh.upstream.last())["params"]["notifications"]["taskIds"], json!(["task-1"]));
            for foreign in [task.clone(), json!("task-1")] {
                let listen = message("subscriptions/listen", &json!({"notifications": {"taskIds": [foreign]}}));
                let (_, entry) = mesh.observe(&post(&theirs, &listen), protocol).await;
                assert_eq!(entry.reason(), "handle_foreign");
            }
            let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
            let get = message("tasks/get", &json!({"taskId": task, "_meta": meta}));
            let call = Call::new("POST", "/mcp").bearer(&mine).header("content-type", "application/json");
            let call =
                call.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tasks/get").header("x-answer", form);
            let reply = mesh.send(&call.header("mcp-name", task.as_str().unwrap()).body(get.to_string()), protocol).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(mesh.upstream.last().all("mcp-name"), ["task-1"]);
            // The state of a request that wants more input.
            let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
            let modern = |token: &str, params: Value| {
                let call = Call::new("POST", "/mcp").bearer(token).header("content-type", "application/json");
                let call = call.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "tools/call");
                call.header("mcp-name", "read_ticket").header("x-answer", form).body(message("tools/call", &params).to_string())
            };
            let asked = told(&mesh.send(&modern(&mine, json!({"name": "read_ticket", "_meta": meta})), protocol).await);
            let state = asked["result"]["requestState"].clone();
            assert!(state.as_str().unwrap().starts_with("opaque state."), "{state}");
            let again = json!({"name": "read_ticket", "_meta": meta, "requestState": state, "inputResponses": {}});
            let reply = mesh.send(&modern(&mine, again.clone()), protocol).await;
            assert_eq!(reply.status, 200);
            assert_eq!(body_of(&mesh.upstream.last())["params"]["requestState"], "opaque state");
            let (reply, entry) = mesh.observe(&modern(&theirs, again), protocol).await;
            assert_eq!((reply.status, entry.reason()), (403, "handle_foreign"));
        }
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_an_error_that_a_client_can_live_with_and_on_record() {
    let scenario = Scenario::new();
    let mut policy = policy(&scenario);
    policy["tokens"]["resource_metadata"] = json!("https://orders.example/.well-known/oauth-protected-resource");
    let mesh = Mesh::with("mcp-denials", &policy, server().await, wasm::chaperone(), &[]).await;
    let token = scenario.token("s-1");
    let call = |name: &str, arguments: Value| message("tools/call", &json!({"name": name, "arguments": arguments}));
    for protocol in Protocol::ALL {
        let (reply, entry) = mesh.observe(&post(&token, &call("delete_ticket", json!({"id": 7}))), protocol).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let told = told(&reply);
        assert_eq!((&told["id"], &told["error"]["code"]), (&json!(1), &json!(-31403)));
        let data = &told["error"]["data"];
        assert_eq!((&data["reason"], &data["command"]), (&json!("command_not_granted"), &json!("tools.delete")));
        assert_eq!(data["authorization_details"], json!([{"type": "chaperone", "actions": ["tools.delete"]}]));
        let challenge = reply.header("www-authenticate").unwrap();
        for part in ["error=\"insufficient_scope\"", "scope=\"tools.delete\"", "resource_metadata=\"https://orders.example/"] {
            assert!(challenge.contains(part), "{challenge}");
        }
        let mcp = &entry.record["unmapped"]["mcp"];
        assert_eq!(mcp["version"], "2025-11-25");
        assert_eq!(mcp["messages"][0]["tool"], "delete_ticket");
        // SHA-256 of `{"id":7}`.
        assert_eq!(mcp["messages"][0]["arguments_sha256"], "a3c90e3b7448d23d9eacebd0ebf15cae100e21f9b2c688f3f9d238edcd26d67f");
        assert!(!entry.record.to_string().contains("\"id\":7"));
        let (reply, _) = mesh.observe(&post(&token, &call("search", json!({"query": "x", "limit": 500}))), protocol).await;
        let data = &self::told(&reply)["error"]["data"];
        assert_eq!((&data["argument"], &data["rule"]), (&json!("/limit"), &json!("must be at most 100")));
    }
    assert_eq!(mesh.upstream.count(), 0);
}

/// What the specification has a code for, with the status and the id that it asks for.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_of_the_protocol_is_told_by_its_code() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-codes", &scenario).await;
    let token = scenario.token("s-1");
    let said = |version: &str| json!({"io.modelcontextprotocol/protocolVersion": version});
    let read = |version: &str| json!({"uri": "docs://handbook/a", "_meta": said(version)});
    let (old, new) = ("2025-11-25", "2026-07-28");
    for (version, method, params, status, code) in [
        (new, "resources/read", read(new), 200, None),
        (new, "resources/read", json!({"uri": "docs://handbook/a"}), 400, Some(-32_602)),
        (new, "resources/read", read("2020-01-01"), 400, Some(-32_020)),
        ("2020-01-01", "resources/read", read(new), 400, Some(-32_020)),
        ("2020-01-01", "resources/read", read("2020-01-01"), 400, Some(-32_022)),
        (new, "logging/setLevel", json!({"level": "debug", "_meta": said(new)}), 404, Some(-32_601)),
        (new, "resources/subscribe", read(new), 404, Some(-32_601)),
        (old, "resources/subscribe", json!({"uri": "docs://handbook/a"}), 200, None),
        (old, "logging/setLevel", json!({"level": "debug"}), 200, Some(-32_601)),
        (old, "tools/call", json!({"name": "unheard_of"}), 200, Some(-31_403)),
    ] {
        let body = message(method, &params).to_string();
        let call = Call::new("POST", "/mcp").bearer(&token).header("content-type", "application/json").body(body);
        let call = call.header("mcp-protocol-version", version).header("mcp-method", method);
        let call = if method == "resources/read" { call.header("mcp-name", "docs://handbook/a") } else { call };
        let before = mesh.upstream.count();
        let reply = mesh.send(&call, Protocol::Http2).await;
        let told = told(&reply);
        assert_eq!((reply.status, told["error"]["code"].as_i64()), (status, code), "{version} {method} {params}: {told}");
        assert_eq!((&told["id"], mesh.upstream.count() - before), (&json!(1), usize::from(code.is_none())), "{told}");
        if code == Some(-32_022) {
            assert_eq!(told["error"]["data"]["requested"], version);
            assert!(told["error"]["data"]["supported"].as_array().unwrap().contains(&json!(old)), "{told}");
        }
    }
    // What is told of an argument is of the caller's length in no answer, of which a batch has many.
    let long = message("tools/call", &json!({"name": "search", "arguments": {"query": "x", "/".repeat(2000): 1}}));
    let batch: Vec<Value> = (2..30).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).chain([long]).collect();
    let call = Call::new("POST", "/mcp").bearer(&token).header("content-type", "application/json").body(json!(batch).to_string());
    let text = mesh.send(&call, Protocol::Http2).await.text();
    assert!(text.contains("arguments_not_allowed") && text.len() < 29 * 600, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_bound_and_an_end() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-bodies", &scenario).await;
    let token = scenario.token("s-1");
    let head = |more: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nhost: orders.example\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             mcp-protocol-version: 2025-11-25\r\nconnection: close\r\n{more}\r\n"
        )
    };
    // Said to be 100 MB: refused by the head alone.
    let answer = raw::until_closed(mesh.envoy.address(), head("content-length: 104857600\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // 100 MB that say nothing: refused once more than the bound has come.
    let mut socket = TcpStream::connect(mesh.envoy.address()).await.unwrap();
    socket.write_all(head("transfer-encoding: chunked\r\n").as_bytes()).await.unwrap();
    let piece = format!("{:x}\r\n{}\r\n", 1 << 16, " ".repeat(1 << 16));
    for _ in 0..1600 {
        if socket.write_all(piece.as_bytes()).await.is_err() {
            break;
        }
    }
    drop(socket);
    // A body that never ends, and one whose sender goes away.
    let mut slow = TcpStream::connect(mesh.envoy.address()).await.unwrap();
    slow.write_all(head("transfer-encoding: chunked\r\n").as_bytes()).await.unwrap();
    let begun = Instant::now();
    for _ in 0..4 {
        let mut gone = TcpStream::connect(mesh.envoy.address()).await.unwrap();
        gone.write_all(head("transfer-encoding: chunked\r\n").as_bytes()).await.unwrap();
        gone.write_all(b"8\r\n{\"jsonrp\r\n").await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    let mut answer = Vec::new();
    loop {
        let _ = slow.write_all(b"1\r\n \r\n").await;
        let mut some = [0; 4096];
        match timeout(Duration::from_millis(500), slow.read(&mut some)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => answer.extend_from_slice(&some[..read]),
            Err(_) => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it ends");
    }
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert!(begun.elapsed() > Duration::from_secs(9));
    assert_eq!(mesh.upstream.count(), 0, "nothing has gone upstream");
    assert_eq!(mesh.envoy.traps(), 0);
    let good = post(&token, &message("ping", &json!({})));
    assert_eq!(mesh.send(&good, Protocol::Http1).await.status, 200);
    assert_eq!(mesh.upstream.last().header("authorization"), Some(format!("Bearer {}", CREDENTIAL.1).as_str()));
}
