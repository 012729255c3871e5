//! In a real Envoy: commands in bodies at an endpoint of the Model Context Protocol, and lists that show what a session may use.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mcp::{mesh, message, names, policy, post, told},
    raw,
    scenario::{CREDENTIAL, Scenario},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_the_session_may_use() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-lists", &policy(&scenario)).await;
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
    let mesh = mesh("mcp-unreadable", &policy(&scenario)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_an_error_that_a_client_can_live_with_and_on_record() {
    let scenario = Scenario::new();
    let mut policy = policy(&scenario);
    policy["tokens"]["resource_metadata"] = json!("https://orders.example/.well-known/oauth-protected-resource");
    let mesh = mesh("mcp-denials", &policy).await;
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
    let mesh = mesh("mcp-codes", &policy(&scenario)).await;
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
    let mesh = mesh("mcp-bodies", &policy(&scenario)).await;
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
