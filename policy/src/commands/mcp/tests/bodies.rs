//! Tables: each body that is read has beside it one that is not.

use super::*;
use crate::primitives::limits;

const INITIAL: &str = "Invalid request: ";

#[test]
fn a_message_is_a_request_a_notification_or_an_answer_and_nothing_between() {
    let request = takes(&call("ping", json!({})), LEGACY);
    assert_eq!((request.id, request.method.as_deref()), (Some(Id::Number(1)), Some("ping")));
    let note = takes(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), LEGACY);
    assert_eq!((note.id, note.wants), (None, vec![Wanted::Method("notifications/initialized".into())]));
    for answer in [
        json!({"jsonrpc": "2.0", "id": "s1", "result": {}}),
        json!({"jsonrpc": "2.0", "id": "s1", "error": {"code": -1, "message": "no", "data": 1}}),
    ] {
        let answer = takes(&answer, LEGACY);
        assert_eq!((answer.id, answer.method, answer.wants), (Some(Id::Text("s1".into())), None, vec![Wanted::Answer]));
    }
    for (wrong, why) in [
        (json!({"id": 1, "method": "ping"}), "jsonrpc is not \"2.0\""),
        (json!({"jsonrpc": "2.00", "id": 1, "method": "ping"}), "jsonrpc is not \"2.0\""),
        (json!({"jsonrpc": 2.0, "id": 1, "method": "ping"}), "jsonrpc is not \"2.0\""),
        (json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "result": {}}), "a message has a member that no such message has"),
        (json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "error": null}), "a message has a member that no such message has"),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "parameters": {}}),
            "a message has a member that no such message has",
        ),
        (json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "Params": {}}), "a message has a member that no such message has"),
        (json!({"jsonrpc": "2.0", "id": 1, "Method": "ping"}), "a member differs from a known one in case alone"),
        (json!({"jsonrpc": "2.0", "ID": 1, "method": "ping"}), "a member differs from a known one in case alone"),
        (json!({"jsonrpc": "2.0", "id": 1, "result": {}, "params": {}}), "a message has a member that no such message has"),
        (json!({"jsonrpc": "2.0", "id": 1}), "neither a method nor a single result or error"),
        (
            json!({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": ""}}),
            "neither a method nor a single result or error",
        ),
        (json!({"jsonrpc": "2.0", "id": 1, "result": []}), "neither a method nor a single result or error"),
        (json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1.5, "message": ""}}), "an error without a code and a message"),
        (json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1}}), "an error without a code and a message"),
        (json!({"jsonrpc": "2.0", "result": {}}), "an answer without an id"),
        (
            json!({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "a"}}),
            "a request without an id, or a notification with one",
        ),
        (
            json!({"jsonrpc": "2.0", "id": 1, "method": "notifications/initialized"}),
            "a request without an id, or a notification with one",
        ),
        (json!("ping"), "the body is neither an object nor a list"),
        (Value::Null, "the body is neither an object nor a list"),
    ] {
        assert_eq!(refuses(&wrong, LEGACY), format!("{INITIAL}{why}"), "{wrong}");
    }
}

#[test]
fn an_id_is_a_string_that_is_bounded_or_an_integer() {
    let with = |id: Value| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let longest = "x".repeat(limits::IDENTIFIER_BYTES);
    for (id, read) in [
        (json!(""), Id::Text(String::new())),
        (json!(longest), Id::Text(longest.clone())),
        (json!(0), Id::Number(0)),
        (json!(-9_007_199_254_740_991_i64), Id::Number(-9_007_199_254_740_991)),
        (json!(2.0), Id::Number(2)),
    ] {
        assert_eq!(takes(&with(id), LEGACY).id, Some(read));
    }
    for wrong in [json!(null), json!(1.5), json!(true), json!([1]), json!({}), json!(format!("{longest}x")), json!(1e20)] {
        assert!(refuses(&with(wrong.clone()), LEGACY).starts_with("Invalid request: the id is"), "{wrong}");
    }
}

#[test]
fn a_method_is_a_name_and_none_of_http() {
    let longest = format!("a{}", "/".repeat(limits::IDENTIFIER_BYTES - 1));
    for good in ["ping", "com.example/x-y_z:1", "$/x", "Get", "GET/x", &longest] {
        assert_eq!(wants(good, json!({})), [Wanted::Method(good.into())]);
    }
    for wrong in ["", "GET", "DELETE", "POST", "tools call", "tools/call\n", "ping,", "p\u{ef}ng", "a\"", &format!("{longest}x")]
    {
        assert_eq!(refuses(&call(wrong, json!({})), LEGACY), "Invalid request: the method is no name of one", "{wrong}");
    }
    assert!(refuses(&json!({"jsonrpc": "2.0", "id": 1, "method": 1}), LEGACY).contains("the method"));
}

#[test]
fn params_are_an_object_where_there_are_any() {
    assert_eq!(takes(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}), LEGACY).wants.len(), 1);
    for wrong in [json!([]), json!(null), json!("x"), json!(["a", {}])] {
        assert_eq!(refuses(&call("ping", wrong), LEGACY), "Invalid request: params is no object");
    }
}

#[test]
fn what_a_message_wants_is_read_out_of_its_params() {
    let arguments = json!({"q": ["x", 1.5]});
    let tool = |arguments: &Value| Wanted::Tool { name: "search".into(), arguments: object(arguments) };
    assert_eq!(wants("tools/call", json!({"name": "search", "arguments": arguments})), [tool(&arguments)]);
    assert_eq!(wants("tools/call", json!({"name": "search", "task": {"ttl": 1}, "other": []})), [tool(&json!({}))]);
    let prompt = |arguments: Option<Value>| Wanted::Prompt { name: "p".into(), arguments: arguments.as_ref().map(object) };
    assert_eq!(wants("prompts/get", json!({"name": "p", "arguments": {"a": "b"}})), [prompt(Some(json!({"a": "b"})))]);
    assert_eq!(wants("prompts/get", json!({"name": "p"})), [prompt(Some(json!({})))]);
    let resource = |uri: &str| Wanted::Resource { uri: uri.into() };
    for method in ["resources/read", "resources/subscribe", "resources/unsubscribe"] {
        assert_eq!(wants(method, json!({"uri": "docs://a"})), [resource("docs://a")], "{method}");
    }
    let complete =
        |reference: Value| wants("completion/complete", json!({"ref": reference, "argument": {"name": "n", "value": "v"}}));
    let completion = Wanted::Method("completion/complete".into());
    assert_eq!(complete(json!({"type": "ref/prompt", "name": "p"})), [completion.clone(), prompt(None)]);
    assert_eq!(complete(json!({"type": "ref/resource", "uri": "docs://{x}"})), [completion, resource("docs://{x}")]);
    let listen = Wanted::Method("subscriptions/listen".into());
    let filter = json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["docs://a", "docs://b"]}});
    assert_eq!(wants("subscriptions/listen", filter), [listen.clone(), resource("docs://a"), resource("docs://b")]);
    assert_eq!(wants("subscriptions/listen", json!({})), [listen]);
    // The same names mean nothing elsewhere.
    assert_eq!(wants("tools/list", json!({"name": "search", "uri": 1})), [Wanted::Method("tools/list".into())]);
}

#[test]
fn params_of_another_form_are_refused() {
    let listen = |uris: Value| json!({"notifications": {"resourceSubscriptions": uris}});
    let many = |count: usize| listen(json!(vec!["docs://a"; count]));
    assert_eq!(wants("subscriptions/listen", many(limits::LISTENED)).len(), limits::LISTENED + 1);
    let long = "x".repeat(limits::IDENTIFIER_BYTES + 1);
    for (method, params) in [
        ("tools/call", json!({})),
        ("tools/call", json!({"name": ""})),
        ("tools/call", json!({"name": ["search"]})),
        ("tools/call", json!({"name": long})),
        ("tools/call", json!({"name": "search", "arguments": []})),
        ("tools/call", json!({"name": "search", "arguments": null})),
        ("tools/call", json!({"name": "search", "arguments": "{}"})),
        ("tools/call", json!({"name": "search", "_meta": []})),
        ("tools/call", json!({"name": "search", "_meta": {META: 1}})),
        ("prompts/get", json!({"arguments": {}})),
        ("resources/read", json!({"uri": {}})),
        ("resources/read", json!({"uri": ""})),
        ("resources/read", json!({"uri": format!("x:{}", "a".repeat(limits::URI_BYTES))})),
        ("resources/subscribe", json!({})),
        ("completion/complete", json!({})),
        ("completion/complete", json!({"ref": "ref/prompt"})),
        ("completion/complete", json!({"ref": {"type": "ref/tool", "name": "search"}})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "uri": "docs://a"}})),
        ("completion/complete", json!({"ref": {"type": "ref/resource", "name": "p"}})),
        ("subscriptions/listen", json!({"notifications": []})),
        ("subscriptions/listen", listen(json!("docs://a"))),
        ("subscriptions/listen", listen(json!(["docs://a", 1]))),
        ("subscriptions/listen", many(limits::LISTENED + 1)),
        ("tasks/get", json!({})),
        ("tasks/get", json!({"taskId": 7})),
        ("tasks/cancel", json!({"taskId": ""})),
        ("tools/call", json!({"name": "search", "requestState": {}})),
        ("tools/call", json!({"name": "search", "_meta": {"io.modelcontextprotocol/related-task": {}}})),
        ("tools/call", json!({"name": "search", "_meta": {"io.modelcontextprotocol/related-task": "t"}})),
        ("initialize", json!({})),
        ("initialize", json!({"protocolVersion": "2025 11 25"})),
    ] {
        let why = refuses(&call(method, params.clone()), LEGACY);
        assert!(why.starts_with("Invalid params: "), "{method} {params}: {why}");
    }
}

/// A server that takes either spelling would read what nobody has judged.
#[test]
fn a_member_that_is_a_known_one_but_for_its_case_is_refused() {
    for (method, params) in [
        ("tools/call", json!({"name": "search", "Arguments": {}})),
        ("tools/call", json!({"Name": "search"})),
        ("tools/call", json!({"name": "search", "RequestState": "s"})),
        ("tools/call", json!({"name": "search", "_Meta": {}})),
        ("tools/call", json!({"name": "search", "_meta": {"io.modelcontextprotocol/ProtocolVersion": "2025-11-25"}})),
        ("tools/call", json!({"name": "search", "_meta": {"io.modelcontextprotocol/related-Task": {"taskId": "t"}}})),
        ("prompts/get", json!({"name": "p", "argument\u{17f}": {}})),
        ("subscriptions/listen", json!({"Notifications": {}})),
        ("subscriptions/listen", json!({"notifications": {"resourcesubscriptions": ["docs://a"]}})),
        ("subscriptions/listen", json!({"notifications": {"taskids": ["t"]}})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "NAME": "p"}})),
        ("tasks/list", json!({"TaskID": "t"})),
    ] {
        let why = refuses(&call(method, params.clone()), LEGACY);
        assert_eq!(why, "Invalid request: a member differs from a known one in case alone", "{method} {params}");
    }
}

#[test]
fn handles_are_found_with_their_places() {
    let state = call(
        "tools/call",
        json!({"name": "search", "requestState": "s", "_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}}),
    );
    let within = |names: &[&'static str]| Place::Body(names.iter().map(|name| Step::Member(name)).collect());
    let meta = ["params", "_meta", "io.modelcontextprotocol/related-task", "taskId"];
    assert_eq!(
        handles(&state, LEGACY),
        [
            (HandleKind::RequestState, "s".into(), within(&["params", "requestState"])),
            (HandleKind::Task, "t".into(), within(&meta)),
        ]
    );
    for method in ["tasks/get", "tasks/result", "tasks/cancel", "tasks/update", "tasks/new"] {
        let found = handles(&call(method, json!({"taskId": "t"})), LEGACY);
        assert_eq!(found, [(HandleKind::Task, "t".into(), within(&["params", "taskId"]))], "{method}");
    }
    let found = handles(
        &modern("tasks/get", json!({"taskId": "t"})),
        &[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tasks/get"), ("mcp-name", "=?base64?dA==?=")],
    );
    let both = [within(&["params", "taskId"]), Place::Header("mcp-name")];
    assert_eq!(found, both.map(|place| (HandleKind::Task, "t".to_owned(), place)));
    let listen = call("subscriptions/listen", json!({"notifications": {"taskIds": ["t", "u"]}}));
    let found = handles(&listen, LEGACY);
    let place = |index| {
        let [one, two, three] = ["params", "notifications", "taskIds"].map(Step::Member);
        Place::Body(vec![one, two, three, Step::Index(index)])
    };
    assert_eq!(found, [(HandleKind::Task, "t".into(), place(0)), (HandleKind::Task, "u".into(), place(1))]);
    let answer =
        json!({"jsonrpc": "2.0", "id": 1, "result": {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": "t"}}}});
    let meta = ["result", "_meta", "io.modelcontextprotocol/related-task", "taskId"];
    assert_eq!(handles(&answer, LEGACY), [(HandleKind::Task, "t".into(), within(&meta))]);
    // None: a cursor, the client's own tokens and tasks, and what is the tool's.
    for (method, params) in [
        ("tools/list", json!({"cursor": "c", "_meta": {"progressToken": "p"}})),
        ("tools/call", json!({"name": "search", "arguments": {"taskId": "t", "requestState": "s"}})),
    ] {
        assert_eq!(handles(&call(method, params), LEGACY), []);
    }
    assert_eq!(
        handles(&json!({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": {"taskId": "t"}}), LEGACY),
        []
    );
}

#[test]
fn the_version_is_the_headers_and_that_of_the_meta() {
    let version =
        |body: &Value, headers: Said<'_>| reads(body, headers).map(|body| body.version).map_err(|refused| refused.fault.code());
    let ping = call("ping", json!({}));
    let said = |version: &str| call("ping", json!({"_meta": {META: version}}));
    assert_eq!(version(&ping, &[]), Ok(Version::V2025_03_26));
    for known in Version::ALL.into_iter().filter(|version| !version.is_modern()) {
        assert_eq!(version(&ping, &[("mcp-protocol-version", known.as_str())]), Ok(known));
        assert_eq!(version(&said(known.as_str()), &[("mcp-protocol-version", known.as_str())]), Ok(known));
    }
    let mismatch = [
        (&ping, &[("mcp-protocol-version", "2025-11-25"), ("MCP-Protocol-Version", "2025-11-25")][..]),
        (&ping, &[("mcp-protocol-version", "2025-11-25, 2025-11-25")]),
        (&ping, &[("mcp-protocol-version", "")]),
        (&ping, &[("mcp-protocol-version", " 2025-11-25")]),
        (&said("2025-11-25"), &[]),
        (&said("2026-07-28"), &[]),
        (&said("2026-07-28"), LEGACY),
        (&said("2025-06-18"), LEGACY),
        (&said("1900-01-01"), LEGACY),
    ];
    for (body, headers) in mismatch {
        assert_eq!(version(body, headers), Err(-32_020), "{body} {headers:?}");
    }
    for unknown in ["2024-11-05", "1900-01-01", "2026-07-29", "DRAFT-2026-v1"] {
        let refused = reads(&ping, &[("mcp-protocol-version", unknown)]).unwrap_err();
        let fault = Fault::UnsupportedVersion { requested: unknown.into() };
        assert_eq!(refused, Refused { id: Some(Id::Number(1)), fault });
    }
}

#[test]
fn an_initialize_proposes_a_version_that_has_one() {
    let initialize = |version: &str| call("initialize", json!({"protocolVersion": version, "capabilities": {}}));
    let read = reads(&initialize("2025-11-25"), &[]).unwrap();
    assert_eq!((read.version, read.messages[0].version), (Version::V2025_11_25, Some(Version::V2025_11_25)));
    // A client that begins anew may still say what it had agreed upon before.
    let read = reads(&initialize("2025-11-25"), &[("mcp-protocol-version", "2025-06-18")]).unwrap();
    assert_eq!((read.version, read.messages[0].version), (Version::V2025_06_18, Some(Version::V2025_11_25)));
    for wrong in ["2024-11-05", "2026-07-28", "2027-01-01"] {
        let refused = reads(&initialize(wrong), &[]).unwrap_err();
        assert_eq!(refused.fault, Fault::UnsupportedVersion { requested: wrong.into() });
    }
}

#[test]
fn from_2026_on_headers_must_be_there_and_agree() {
    const VERSION: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
    let search = || modern("tools/call", json!({"name": "search"}));
    let read = || modern("resources/read", json!({"uri": "docs://\u{e9}"}));
    let prompt = || modern("prompts/get", json!({"name": "p"}));
    let good: [(Value, Said<'_>); 9] = [
        (search(), &[VERSION, ("Mcp-Method", "tools/call"), ("Mcp-Name", "search")]),
        (search(), &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?c2VhcmNo?=")]),
        (read(), &[VERSION, ("mcp-method", "resources/read"), ("mcp-name", "=?base64?ZG9jczovL8Op?=")]),
        (prompt(), &[VERSION, ("mcp-method", "prompts/get"), ("mcp-name", "p")]),
        (modern("tools/list", json!({})), &[VERSION, ("mcp-method", "tools/list")]),
        (modern("tasks/get", json!({"taskId": "t"})), &[VERSION, ("mcp-method", "tasks/get"), ("mcp-name", "t")]),
        (modern("tasks/get", json!({"taskId": "t"})), &[VERSION, ("mcp-method", "tasks/get")]),
        (json!({"jsonrpc": "2.0", "method": "notifications/x"}), &[VERSION]),
        (search(), &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "search"), ("mcp-param-region", "eu")]),
    ];
    for (body, headers) in &good {
        assert_eq!(reads(body, headers).map(|body| body.version), Ok(Version::V2026_07_28), "{body}");
    }
    let bad: [(Value, Said<'_>); 18] = [
        (search(), &[("mcp-method", "tools/call"), ("mcp-name", "search")]),
        (search(), &[VERSION, ("mcp-name", "search")]),
        (search(), &[VERSION, ("mcp-method", "tools/call")]),
        (read(), &[VERSION, ("mcp-method", "resources/read")]),
        (prompt(), &[VERSION, ("mcp-method", "prompts/get")]),
        (search(), &[VERSION, ("mcp-method", "tools/list"), ("mcp-name", "search")]),
        (search(), &[VERSION, ("mcp-method", "tools/Call"), ("mcp-name", "search")]),
        (search(), &[VERSION, ("mcp-method", "=?base64?dG9vbHMvY2FsbA==?="), ("mcp-name", "search")]),
        (search(), &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "delete")]),
        (search(), &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "=?base64?c2VhcmNo")]),
        (search(), &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "search"), ("Mcp-Name", "search")]),
        (search(), &[VERSION, ("mcp-method", "tools/call"), ("mcp-method", "tools/call"), ("mcp-name", "search")]),
        (search(), &[VERSION, ("mcp-method", "tools/call, tools/call"), ("mcp-name", "search")]),
        (read(), &[VERSION, ("mcp-method", "resources/read"), ("mcp-name", "docs://\u{e9}")]),
        (modern("tools/list", json!({})), &[VERSION, ("mcp-method", "tools/list"), ("mcp-name", "search")]),
        (modern("tasks/get", json!({"taskId": "t"})), &[VERSION, ("mcp-method", "tasks/get"), ("mcp-name", "u")]),
        (call("tools/call", json!({"name": "search"})), &[VERSION, ("mcp-method", "tools/call"), ("mcp-name", "search")]),
        (json!({"jsonrpc": "2.0", "method": "notifications/x"}), &[VERSION, ("mcp-method", "notifications/y")]),
    ];
    for (body, headers) in &bad {
        let refused = reads(body, headers).unwrap_err();
        assert_eq!(refused.fault.code(), -32_020, "{body} {headers:?}");
        assert_eq!(refused.id, body.get("id").map(|_| Id::Number(1)));
    }
}

#[test]
fn before_2026_the_headers_need_not_be_there_and_agree_where_they_are() {
    let search = call("tools/call", json!({"name": "search"}));
    let subscribe = call("resources/subscribe", json!({"uri": "docs://a"}));
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    for headers in [&[][..], LEGACY, &[("mcp-method", "tools/call")], &[("mcp-name", "search")]] {
        assert_eq!(takes(&search, headers).id, Some(Id::Number(1)));
    }
    assert_eq!(takes(&subscribe, &[("mcp-name", "docs://a")]).wants.len(), 1);
    for (body, headers) in [
        (&search, &[("mcp-method", "tools/list")][..]),
        (&search, &[("mcp-name", "other")]),
        (&search, &[("mcp-name", "search"), ("mcp-name", "other")]),
        (&subscribe, &[("mcp-name", "docs://b")]),
        (&answer, &[("mcp-method", "tools/call")]),
        (&answer, &[("mcp-name", "search")]),
        (&json!([search]), &[("mcp-method", "tools/call")]),
        (&json!([search]), &[("mcp-name", "search")]),
    ] {
        assert!(refuses(body, headers).starts_with("Header mismatch: "), "{body} {headers:?}");
    }
}

#[test]
fn clients_send_no_answers_from_2026_on() {
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    assert!(takes(&answer, LEGACY).is_answer());
    let refused = reads(&answer, &[("mcp-protocol-version", "2026-07-28")]).unwrap_err();
    assert_eq!(refused, Refused { id: None, fault: Fault::Malformed("clients of this version send no answers") });
}

#[test]
fn a_batch_is_of_2025_03_26_alone() {
    let ping = |id: usize| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let note = || json!({"jsonrpc": "2.0", "method": "notifications/x"});
    let answer = |id: usize| json!({"jsonrpc": "2.0", "id": id, "result": {}});
    let state = json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/get", "params": {"taskId": "t"}});
    let oldest: Said<'_> = &[("mcp-protocol-version", "2025-03-26")];
    for headers in [&[][..], oldest] {
        let read = reads(&json!([ping(1), note(), state]), headers).unwrap();
        assert!(read.batch && read.messages.len() == 3 && read.version == Version::V2025_03_26);
        let place = Place::Body(vec![Step::Index(2), Step::Member("params"), Step::Member("taskId")]);
        assert_eq!(read.messages[2].handles[0].place, place);
    }
    let most: Vec<Value> = (0..limits::BATCH).map(ping).collect();
    assert_eq!(reads(&json!(most), &[]).unwrap().messages.len(), limits::BATCH);
    assert!(reads(&json!([answer(1), answer(2)]), &[]).is_ok());
    let more: Vec<Value> = (0..=limits::BATCH).map(ping).collect();
    let initialize = call("initialize", json!({"protocolVersion": "2025-03-26"}));
    for (wrong, why) in [
        (json!([]), "a batch of no message, or of too many"),
        (json!(more), "a batch of no message, or of too many"),
        (json!([ping(1), 1]), "a message is no object"),
        (json!([[ping(1)]]), "a message is no object"),
        (json!([ping(1), ping(1)]), "two messages of a batch have one id"),
        (json!([ping(1), answer(2)]), "a batch of answers and others"),
        (json!([initialize]), "initialize is in a batch"),
    ] {
        let refused = reads(&wrong, oldest).unwrap_err();
        assert_eq!(refused, Refused { id: None, fault: Fault::Malformed(why) }, "{wrong}");
    }
    for version in ["2025-06-18", "2025-11-25", "2026-07-28"] {
        let why = refuses(&json!([ping(1)]), &[("mcp-protocol-version", version)]);
        assert_eq!(why, "Invalid request: this version has no batches");
    }
}

#[test]
fn strict_json_is_asked_for_and_an_error_tells_nothing_of_the_body() {
    let refused = read(br#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"s3cret"}"#, &[]).unwrap_err();
    assert_eq!((refused.fault.code(), refused.id), (-32_700, None));
    let deep = |depth: usize| {
        let list = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"a","arguments":{{"a":{list}}}}}}}"#)
    };
    assert!(read(deep(limits::BODY_JSON_DEPTH - 3).as_bytes(), &[]).is_ok());
    assert_eq!(read(deep(limits::BODY_JSON_DEPTH - 2).as_bytes(), &[]).unwrap_err().fault.code(), -32_700);
    let secret = call("tools/call", json!({"name": "s3cret", "arguments": {"s3cret": "s3cret"}, "requestState": "s3cret"}));
    assert!(!format!("{:?}", reads(&secret, &[]).unwrap()).contains("s3cret"));
    let wrong = call("tools/call", json!({"name": "s3cret", "arguments": "s3cret"}));
    assert!(!format!("{:?}", reads(&wrong, &[]).unwrap_err()).contains("s3cret"));
}
