//! The JSON Schemas say what the core and the readers say, as far as a schema can; and the shipped files are current.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::{cases::Clock, schema};
use chaperone_policy::Policy;
use chaperone_tests::{json_schema::verdicts, root};
use policy_host::files;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of the corpus and the examples with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    let listed = |folder: &str| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let examples = listed("examples").map(|folder| folder.join(format!("{ending}.yaml")));
    let corpus = listed("tests/corpus").filter(|path| path.to_string_lossy().ends_with(&format!("{ending}.yaml")));
    let mut files: Vec<PathBuf> = examples.chain(corpus).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    files
}

fn read(path: &Path) -> Value {
    files::document(path).unwrap_or_else(|findings| panic!("{findings}")).value().clone()
}

fn all_valid(schema: &Value, files: &[PathBuf]) {
    let documents: Vec<Value> = files.iter().map(|file| read(file)).collect();
    for (file, verdict) in files.iter().zip(verdicts(schema, &documents)) {
        assert_eq!(verdict, None, "{}", file.display());
    }
}

#[test]
fn every_policy_that_is_shipped_or_tested_is_valid() {
    all_valid(&schema::policy(), &files("policy"));
}

#[test]
fn every_cases_file_that_is_shipped_or_tested_is_valid() {
    all_valid(&schema::cases(), &files("cases"));
}

#[test]
fn the_shipped_schemas_are_current() {
    for (file, schema) in [("policy", schema::policy()), ("cases", schema::cases())] {
        let path = root().join(format!("schema/{file}.schema.json"));
        let current = format!("{schema:#}\n");
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        assert!(shipped == current, "policy-host schema {file} > schema/{file}.schema.json");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}

#[test]
fn the_examples_name_their_schema() {
    for (ending, files) in [("policy", files("policy")), ("cases", files("cases"))] {
        for file in files.iter().filter(|file| file.components().any(|part| part.as_os_str() == "examples")) {
            let text = fs::read_to_string(file).unwrap();
            let line = format!("# yaml-language-server: $schema=../../schema/{ending}.schema.json\n");
            assert!(text.starts_with(&line), "{}", file.display());
        }
    }
}

/// A policy with every member that there is.
fn full() -> Value {
    read(&root().join("tests/fixtures/full.policy.yaml"))
}

/// Every object in the document, by pointer, that is not one of free names.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if !matches!(pointer, "/commands" | "/grants/1/when/claims") && !pointer.contains("/jwks/keys/") {
                found.push(pointer.to_owned());
            }
            members.iter().for_each(|(name, member)| objects(member, &format!("{pointer}/{}", name.replace('/', "~1")), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, &format!("{pointer}/{index}"), found))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| leaves(member, &format!("{pointer}/{name}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| leaves(item, &format!("{pointer}/{index}"), found))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(pointer.to_owned()),
    }
}

/// The full policy broken in one place each, and in what way.
fn broken() -> Vec<(String, Value)> {
    let full = full();
    let mut broken = Vec::new();
    let mut with = |what: String, change: &dyn Fn(&mut Value)| {
        let mut document = full.clone();
        change(&mut document);
        broken.push((what, document));
    };
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    objects(&full, "", &mut all);
    leaves(&full, "", &mut ends);
    for pointer in &all {
        with(format!("unknown member in {pointer:?}"), &|document| {
            document.pointer_mut(pointer).unwrap()["unknown_member"] = json!(1);
        });
        let names: Vec<String> = full.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names {
            // Whether it is required is for the core to say: the schema must say the same.
            with(format!("{name} missing in {pointer:?}"), &|document| {
                document.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(&name);
            });
            with(format!("{name} null in {pointer:?}"), &|document| document.pointer_mut(pointer).unwrap()[&name] = Value::Null);
            with(format!("{name} of a wrong type in {pointer:?}"), &|document| {
                let member = &mut document.pointer_mut(pointer).unwrap()[&name];
                *member = if member.is_object() { json!("text") } else { json!({"an": "object"}) };
            });
        }
    }
    for pointer in ends.iter().filter(|pointer| !pointer.contains("/jwks/keys/")) {
        with(format!("{pointer} empty"), &|document| *document.pointer_mut(pointer).unwrap() = json!(""));
    }
    let lists: Vec<&str> = vec![
        "/tokens/from",
        "/tokens/issuers",
        "/tokens/issuers/0/audiences",
        "/tokens/issuers/0/algorithms",
        "/tokens/issuers/0/types",
        "/tokens/issuers/0/keys/jwks/keys",
        "/commands/one/http/methods",
        "/commands/one/http/hosts",
        "/commands/one/http/permit",
        "/commands/two",
        "/commands/call/grpc/methods",
        "/commands/call/grpc/forms",
        "/grants/0/allow",
        "/grants",
        "/revoked",
        "/unmediated",
        "/observe",
    ];
    for pointer in lists {
        with(format!("{pointer} an empty list"), &|document| *document.pointer_mut(pointer).unwrap() = json!([]));
    }
    for (pointer, value) in [
        ("/version", json!(2)),
        ("/version", json!("1")),
        ("/name", json!("a b")),
        ("/generation", json!(-1)),
        ("/generation", json!(1.5)),
        ("/mode", json!("enforced")),
        ("/observe/0", json!("expired")),
        ("/session/max_lifetime", json!(15)),
        ("/session/max_lifetime", json!("0m")),
        ("/session/max_lifetime", json!("1h30m")),
        ("/session/clock_skew", json!("0s")),
        ("/session/token_commands", json!("no")),
        ("/tokens/issuers/0/algorithms/0", json!("HS256")),
        ("/tokens/issuers/0/algorithms/0", json!("none")),
        ("/tokens/resource_metadata", json!("http://x.example/")),
        ("/tokens/from/0/scheme", json!("bearer")),
        ("/tokens/from/0/header", json!("a b")),
        ("/commands/one/http/methods/0", json!("get")),
        ("/commands/one/http/path", json!("v1")),
        ("/commands/one/http/permit/0", json!("slash")),
        ("/commands/one/http/upgrade", json!("yes")),
        ("/commands/call/grpc/forms/0", json!("grpc-web")),
        ("/grants/0/when", json!({})),
        ("/grants/1/when/claims", json!({})),
        ("/grants/0/when/subject", json!("*-agent")),
        ("/grants/0/max_lifetime", json!("0s")),
        ("/grants/1/transfers", json!({})),
        ("/grants/1/transfers/uploads", json!(false)),
        ("/grants/1/transfers/downloads", json!("no")),
        ("/grants/1/transfers/max_request_bytes", json!(0)),
        ("/grants/1/transfers/max_session_request_bytes", json!(1_u64 << 48)),
        ("/grants/1/transfers/max_session_response_bytes", json!(0)),
        ("/grants/1/transfers/max_response_bytes", json!("1MB")),
        ("/revoked/0", json!({"because": "x"})),
        ("/revoked/0/session", json!(7)),
        ("/revoked/1/issued_before", json!("yesterday")),
        ("/upstream/credential/value", json!("Bearer secret")),
        ("/upstream/echoed_credential", json!("drop")),
        ("/upstream/forward_token", json!("no")),
        ("/limits/verifications_per_second", json!(0)),
        ("/limits/streams_per_session", json!(0)),
        ("/limits/unmediated_streams", json!(100_001)),
        ("/commands/one/http/body", json!("no")),
        ("/audit/header_prefix", json!("chaperone-")),
        ("/audit/headers", json!("joined")),
        ("/audit/source", json!(true)),
        ("/commands/one", json!({"http": full["commands"]["one"]["http"], "grpc": full["commands"]["call"]["grpc"]})),
        ("/commands/one", json!({"mcp": {}})),
        ("/unmediated/0", json!("**")),
    ] {
        with(format!("{pointer} {value}"), &|document| *document.pointer_mut(pointer).unwrap() = value.clone());
    }
    broken
}

#[test]
fn schema_and_core_agree_about_what_is_wrong() {
    let full = full();
    Policy::compile(full.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    let broken = broken();
    assert!(broken.len() > 300, "{}", broken.len());
    let documents: Vec<Value> = broken.iter().map(|(_, document)| document.clone()).chain([full]).collect();
    let mut verdicts = verdicts(&schema::policy(), &documents);
    assert_eq!(verdicts.pop(), Some(None), "the whole one is valid");
    // What a schema cannot know: how one part of the document depends on another.
    let by_reference = |errors: &str| {
        [
            "names no command",
            "is not an issuer",
            "is nothing that this grant allows",
            "is not a command",
            "would have to be called before itself",
            "permits nothing",
            "without `scheme`",
            "could also be the command",
            "no key",
            "does not fit",
            "fits none",
            "`issuer` is missing",
            "changes nothing",
            "stands without `dpop`",
            "`dpop` is missing",
            "`dpop` without a place",
            "no credential is given",
        ]
        .iter()
        .any(|message| errors.contains(message))
    };
    let mut differences = Vec::new();
    let mut both = 0;
    for ((what, document), verdict) in broken.iter().zip(verdicts) {
        match (Policy::compile(document.to_string().as_bytes()), verdict) {
            (Ok(_), None) => {}
            (Err(_), Some(_)) => both += 1,
            (Err(errors), None) if by_reference(&errors.to_string()) => {}
            (Err(errors), None) => differences.push(format!("{what}: the core alone refuses: {errors}")),
            (Ok(_), Some(said)) => differences.push(format!("{what}: the schema alone refuses: {said}")),
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    assert!(both > 200, "refused by both: {both}");
}

/// Steps that open a stream and expect this of it.
fn streams(expect: &Value) -> Value {
    json!([{"open": "feed", "send": "list"}, {"after": "1s", "expect": expect}])
}

#[test]
fn schema_and_reader_agree_about_wrong_cases() {
    let folder = tempfile::tempdir().unwrap();
    let example = root().join("examples/agent-orders");
    fs::copy(example.join("policy.yaml"), folder.path().join("policy.yaml")).unwrap();
    let good = read(&example.join("cases.yaml"));
    let mut documents = vec![("good", good.clone())];
    for expect in [json!({"feed": "open"}), json!({"feed": {"cut": "revoked"}})] {
        let mut document = good.clone();
        document["cases"][9]["steps"] = streams(&expect);
        documents.push(("good", document));
    }
    for (what, pointer, value) in [
        ("unknown member", "/caes", json!([])),
        ("version", "/version", json!(2)),
        ("no policy", "/policy", Value::Null),
        ("workers", "/workers", json!(0)),
        ("a token's member", "/tokens/agent/audience", json!("x")),
        ("a request's member", "/requests/list/hots", json!("x")),
        ("a case's member", "/cases/0/expects", json!({})),
        ("a status", "/cases/0/expect/status", json!(99)),
        ("a reason", "/cases/0/expect", json!({"deny": "expird"})),
        ("two verdicts", "/cases/0/expect", json!({"allow": "orders.list", "deny": "expired"})),
        ("no verdict", "/cases/0/expect", json!({"status": 200})),
        ("a worker", "/cases/0/worker", json!(0)),
        ("a reply's member", "/cases/0/reply", json!({"body": "x"})),
        ("a reply's status", "/cases/0/reply", json!({"status": 100})),
        ("an empty piece", "/cases/0/reply", json!({"chunks": [""]})),
        ("two bodies of a case", "/cases/0/steps", json!([{"send": "list", "expect": {"allow": "orders.list"}}])),
        ("no cases at all in a table", "/cases/0", json!({"name": "x", "each": []})),
        (
            "a row's member",
            "/cases/0",
            json!({"name": "x", "each": [{"send": "list", "open": "x", "expect": {"allow": "orders.list"}}]}),
        ),
        ("a row that expects nothing", "/cases/0", json!({"name": "x", "each": [{"send": "list"}]})),
        (
            "a row's own request",
            "/cases/0",
            json!({"name": "x", "each": [{"gett": "/v1/orders", "expect": {"allow": "orders.list"}}]}),
        ),
        ("config", "/cases/9/steps/2/config", json!({"remove": {}})),
        ("a step's member", "/cases/9/steps/0/aftr", json!("1s")),
        ("a stream's state", "/cases/9/steps", streams(&json!({"feed": "opened"}))),
        ("a stream's cut", "/cases/9/steps", streams(&json!({"feed": {"cut": "expird"}}))),
        ("a stream's member", "/cases/9/steps", streams(&json!({"feed": {"cuts": "expired"}}))),
    ] {
        let mut document = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        if value.is_null() {
            parent.as_object_mut().unwrap().remove(name);
        } else if let Value::Array(items) = parent {
            items[name.parse::<usize>().unwrap()] = value;
        } else {
            parent[name] = value;
        }
        documents.push((what, document));
    }
    let values: Vec<Value> = documents.iter().map(|(_, document)| document.clone()).collect();
    for ((what, document), verdict) in documents.iter().zip(verdicts(&schema::cases(), &values)) {
        let path = folder.path().join("cases.yaml");
        fs::write(&path, document.to_string()).unwrap();
        let read = files::plan(&path, Clock::AsWritten);
        assert_eq!((read.is_ok(), verdict.is_none()), (*what == "good", *what == "good"), "{what}: {verdict:?}");
    }
}
