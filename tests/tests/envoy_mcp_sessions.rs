//! In a real Envoy: what an MCP server gives to one session is no other's, and its streams end with the session.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    client::{Call, Protocol},
    mcp::{mesh, message, policy, post, told},
    open::Open,
    scenario::Scenario,
    upstream::Received,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn body_of(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

/// The parts of a request that has reached the server.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_gave_to_one_session_is_no_other_sessions() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-handles", &policy(&scenario)).await;
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

/// The server's own messages: on the stream of a GET, and from 2026-07-28 on as the answer of a POST whose body was held.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_the_protocol_are_cut_with_their_session() {
    let scenario = Scenario::new();
    let mesh = mesh("mcp-cut", &policy(&scenario)).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    let listen = message(
        "subscriptions/listen",
        &json!({"_meta": meta, "notifications": {"resourceSubscriptions": ["docs://handbook/a"]}}),
    );
    let listening = |token: &str| {
        let call = Call::new("POST", "/mcp").bearer(token).header("content-type", "application/json").body(listen.to_string());
        call.header("mcp-protocol-version", "2026-07-28").header("mcp-method", "subscriptions/listen").header("x-answer", "open")
    };
    let getting = |token: &str| Call::get("/mcp").bearer(token).header("accept", "text/event-stream").header("x-answer", "open");
    let (mine, theirs) = (scenario.token("s-1"), scenario.token("s-2"));
    let mut ended = Open::several(&mesh, &listening(&mine), 6).await;
    ended.extend(Open::several(&mesh, &getting(&mine), 6).await);
    let mut others = [
        Open::start(&mesh, &listening(&theirs), Protocol::Http2).await,
        Open::start(&mesh, &getting(&theirs), Protocol::Http1).await,
    ];
    assert!(ended[0].is_silent().await && ended[6].is_silent().await);
    let mut next = policy(&scenario);
    (next["generation"], next["revoked"]) = (json!(2), json!([{"session": "s-1"}]));
    let renamed = Instant::now();
    mesh.envoy.write_ecds(&next);
    for stream in &mut ended {
        let took = stream.cut().await - renamed;
        assert!(took < Duration::from_secs(1), "cut only after {took:?}");
        assert_eq!(mesh.log.record(&stream.audit_id).await.record["unmapped"]["ended_by"], "revoked");
    }
    for stream in &mut others {
        assert!(stream.is_silent().await, "another session's stream goes on");
    }
}
