//! What holds for any body.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What may be written somewhere as a name, a URI or a handle.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,8}", "[ -~]{1,12}", "[^\u{0}]{1,8}"]
}

fn id() -> impl Strategy<Value = Id> {
    prop_oneof![(-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(Id::Number), "[^\u{0}]{0,12}".prop_map(Id::Text)]
}

fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from));
    prop::collection::btree_map("[a-z]{1,6}", value, 0..4).prop_map(|members| members.into_iter().collect())
}

/// A method, its parameters, what they want, and the handle in them.
type Case = (String, Value, Vec<Wanted>, Option<(HandleKind, String, Vec<Step>)>);

fn wanted() -> impl Strategy<Value = Case> {
    let method = |name: &str| Wanted::Method(name.to_owned());
    prop_oneof![
        (text(), arguments(), prop::option::of(text())).prop_map(|(name, arguments, state)| {
            let mut params = json!({"name": name, "arguments": arguments});
            let place = vec![Step::Member("params"), Step::Member("requestState")];
            let handle = state.map(|state| (HandleKind::RequestState, state, place));
            if let Some((_, state, _)) = &handle {
                params["requestState"] = json!(state);
            }
            ("tools/call".to_owned(), params, vec![Wanted::Tool { name, arguments }], handle)
        }),
        (text(), arguments()).prop_map(|(name, arguments)| {
            let params = json!({"name": name, "arguments": arguments});
            ("prompts/get".to_owned(), params, vec![Wanted::Prompt { name, arguments: Some(arguments) }], None)
        }),
        (select(vec!["resources/read", "resources/subscribe"]), text()).prop_map(|(method, uri)| (
            method.to_owned(),
            json!({"uri": uri}),
            vec![Wanted::Resource { uri }],
            None
        )),
        (select(vec!["tasks/get", "tasks/cancel"]), text()).prop_map(move |(name, task)| {
            let place = vec![Step::Member("params"), Step::Member("taskId")];
            (name.to_owned(), json!({"taskId": task}), vec![method(name)], Some((HandleKind::Task, task, place)))
        }),
        prop::collection::vec(text(), 0..4).prop_map(move |uris| {
            let params = json!({"notifications": {"resourceSubscriptions": uris}});
            let resources = uris.into_iter().map(|uri| Wanted::Resource { uri });
            (
                "subscriptions/listen".to_owned(),
                params,
                std::iter::once(method("subscriptions/listen")).chain(resources).collect(),
                None,
            )
        }),
    ]
}

fn headers<'h>(version: Version, method: &'h str, name: Option<&'h str>) -> Vec<(&'h str, &'h str)> {
    let name = name.map(|name| ("mcp-name", name));
    [("mcp-protocol-version", version.as_str()), ("mcp-method", method)].into_iter().chain(name).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_message_is_read_as_it_was_written(id in id(), version in select(Version::ALL.to_vec()), (method, mut params, wants, handle) in wanted()) {
        params["_meta"] = json!({META: version.as_str()});
        let body = json!({"jsonrpc": "2.0", "id": match &id { Id::Text(text) => json!(text), Id::Number(number) => json!(number) },
            "method": method, "params": params});
        let named = match wants.first().unwrap() {
            Wanted::Tool { name, .. } | Wanted::Prompt { name, .. } => Some(encode_value(name)),
            Wanted::Resource { uri } => Some(encode_value(uri)),
            Wanted::Method(_) | Wanted::Answer => None,
        };
        let said = headers(version, &method, named.as_deref());
        let handles: Vec<Handle> = handle.into_iter().map(|(kind, text, place)| Handle { kind, text, place: Place::Body(place) }).collect();
        let message = Message { id: Some(id), version: Some(version), method: Some(method.clone()), wants, handles };
        let read = reads(&body, &said);
        prop_assert_eq!(read, Ok(Body { version, batch: false, messages: vec![message] }));
    }

    /// A handle is written anew where it was found, and is then found there.
    #[test]
    fn a_handle_is_found_again_where_it_is_written(new in text(), (method, params, _, _) in wanted()) {
        let body = call(&method, params).to_string();
        let found = |body: &[u8]| read(body, &[]).unwrap().messages.pop().unwrap();
        let before = found(body.as_bytes());
        for handle in &before.handles {
            let Place::Body(place) = &handle.place else { panic!("no header says one") };
            let after = found(&rewrite(body.as_bytes(), &[(place, &new)]).unwrap());
            prop_assert_eq!(&after.handles[0].text, &new);
            prop_assert_eq!(&after.wants, &before.wants);
            prop_assert_eq!(rewrite(body.as_bytes(), &[(place, &handle.text)]).unwrap(), body.as_bytes());
        }
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..96), name in "[ -~]{0,20}", value in prop::collection::vec(any::<u8>(), 0..24)) {
        let headers: [(&[u8], &[u8]); 2] = [(name.as_bytes(), &value), (b"mcp-name", &value)];
        let _ = read(&body, &headers);
        let _ = rewrite(&body, &[(&[Step::Member("a"), Step::Index(1)], "n")]);
    }

    /// With any one part of a good body put in place of another.
    #[test]
    fn no_json_panics(one in 0..12_usize, other in 0..12_usize, (method, params, _, _) in wanted()) {
        let whole = call(&method, params).to_string();
        let parts: Vec<&str> = whole.split_inclusive([',', ':', '}']).collect();
        let mut mixed = parts.clone();
        mixed[one % parts.len()] = parts[other % parts.len()];
        if let Ok(read) = read(mixed.concat().as_bytes(), &[]) {
            prop_assert!(!read.messages.is_empty() && read.messages.iter().all(|message| !message.wants.is_empty()));
        }
    }
}
