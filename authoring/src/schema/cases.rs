//! A cases file, described: as its reader in `cases/` has it.
#![allow(dead_code, reason = "descriptions")]

use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a policy must decide: requests with their decisions, sent through the filter.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Cases {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u64,
    /// The policy's file, relative to this one.
    policy: String,
    /// When every case begins (RFC 3339).
    at: String,
    /// Workers of the proxy, 1 without it.
    #[schemars(range(min = 1, max = 16))]
    workers: Option<u64>,
    /// The filter's environment, where the policy's credential is.
    env: Option<BTreeMap<String, String>>,
    /// Session tokens by name, signed by a key of this run that the policy is given.
    tokens: Option<BTreeMap<String, Token>>,
    /// Requests by name.
    requests: Option<BTreeMap<String, Request>>,
    /// What the policy has fetched, by URL: the run's keys, and status lists in which every token is valid, unless said otherwise.
    fetches: Option<BTreeMap<String, Fetched>>,
    /// The cases.
    cases: Vec<Case>,
}

/// What a URL answers: a status with a body, a key set, or a status list.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Fetched {
    /// The status of the answer.
    #[schemars(range(min = 200, max = 599))]
    status: Option<u16>,
    /// Its body, beside `status`.
    body: Option<String>,
    /// The run's own keys, or another set.
    keys: Option<FetchedKeys>,
    /// The entries of a status list that are not valid.
    revoked: Option<Vec<u32>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum FetchedKeys {
    /// Those that sign the file's tokens.
    Own,
    /// One that signs nothing here.
    Other,
}

/// Times are relative to `at`: `10m`, `-5s`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Token {
    /// Another token, all but what is said here.
    like: Option<String>,
    /// Issued at.
    iat: Option<Value>,
    /// Not before.
    nbf: Option<Value>,
    /// Expires.
    exp: Option<Value>,
    /// Claims; null removes one that `like` brought. `${at+10m}` is that instant in Unix seconds.
    claims: Option<BTreeMap<String, Value>>,
    /// Members of the header; null removes one.
    header: Option<BTreeMap<String, Value>>,
    /// `stranger`: signed by a key that the policy does not know, with the `kid` of one that it does.
    key: Option<String>,
    /// The algorithm of the key.
    alg: Option<String>,
    /// The whole text, not signed at all.
    raw: Option<String>,
    /// The payload, signed byte by byte.
    payload: Option<String>,
}

/// A request: `get: /path`, or `method` and `path`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Request {
    /// Another request, all but what is said here.
    like: Option<String>,
    /// A token by name, or `none`; it goes where the policy first looks.
    token: Option<Value>,
    get: Option<String>,
    head: Option<String>,
    post: Option<String>,
    put: Option<String>,
    patch: Option<String>,
    delete: Option<String>,
    options: Option<String>,
    trace: Option<String>,
    connect: Option<String>,
    /// The method, where it has no short form.
    method: Option<String>,
    /// The path, with its query.
    path: Option<String>,
    /// The authority; the first that a command asks for without it.
    host: Option<String>,
    /// `http` or `https`.
    scheme: Option<String>,
    /// `{name: value}`, or `[[name, value], …]` for several of one name.
    headers: Option<Value>,
    /// The body.
    body: Option<Value>,
    /// The body in pieces, none of them empty.
    chunks: Option<Vec<Piece>>,
    /// Like headers.
    trailers: Option<Value>,
    /// The caller's address; 127.0.0.1 when there is none.
    source_address: Option<String>,
    /// In hex.
    client_certificate_sha256: Option<String>,
    /// For example a SPIFFE ID.
    peer_uri_san: Option<String>,
}

/// A request by name, or written out.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Send {
    Name(String),
    Request(Box<Request>),
}

/// A case has one of `send`, `each` and `steps`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_of_send_each_and_steps)]
struct Case {
    /// In a table it may say `{token} {get}`.
    name: String,
    /// When it begins: RFC 3339, or a time after the file's `at`.
    at: Option<String>,
    /// One request.
    send: Option<Send>,
    /// The worker that takes `send`, from 1; the first without it.
    #[schemars(range(min = 1, max = 16))]
    worker: Option<u64>,
    /// What the target answers to `send`.
    reply: Option<Reply>,
    /// What must be decided about `send`.
    expect: Option<Expect>,
    /// A table: one case a row.
    #[schemars(length(min = 1))]
    each: Option<Vec<Row>>,
    /// Requests, streams and changes of the policy, one after the other.
    #[schemars(length(min = 1))]
    steps: Option<Vec<Step>>,
}

fn one_of_send_each_and_steps(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), one_of_these(&["send", "each", "steps"]));
}

/// Any one of these members must be there, and no other of them.
fn one_of_these(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"required": [name]})).collect()
}

/// A row: a request with what is expected. A request's members may stand right here.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Row {
    /// How it is called in a report, where the case's name asks for it.
    name: Option<String>,
    /// When: RFC 3339, or a time after the file's `at`.
    at: Option<String>,
    /// A request by name, or written out.
    send: Option<Send>,
    /// The worker that takes it, from 1; the first without it.
    #[schemars(range(min = 1, max = 16))]
    worker: Option<u64>,
    /// What the target answers.
    reply: Option<Reply>,
    /// What must be decided.
    expect: Expect,
}

/// A request, a stream that opens, a change of the policy, or time that passes. A request's members may stand right here.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Step {
    /// How it is called in a report.
    name: Option<String>,
    /// When: RFC 3339, or a time after the file's `at`.
    at: Option<String>,
    /// How long after the step before: `1s`.
    after: Option<String>,
    /// A name for the stream of this request, which stays open.
    open: Option<String>,
    /// A request by name, or written out.
    send: Option<Send>,
    /// The worker that takes it, from 1; the first without it.
    #[schemars(range(min = 1, max = 16))]
    worker: Option<u64>,
    /// What the target answers.
    reply: Option<Reply>,
    /// What must be decided; without a request, how streams are: `{feed: open}`, `{feed: {cut: revoked}}`.
    expect: Option<Expected>,
    /// The policy changes: `{add: …}` appends to lists, `{set: …}` replaces.
    config: Option<Config>,
    /// What the policy has fetched changes, by URL.
    fetches: Option<BTreeMap<String, Fetched>>,
}

/// What the target answers: 200 without a body, where nothing is said.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Reply {
    #[schemars(range(min = 200, max = 599))]
    status: Option<u64>,
    /// `{name: value}`, or `[[name, value], …]` for several of one name.
    headers: Option<Value>,
    /// The body in pieces, none of them empty.
    chunks: Option<Vec<Piece>>,
    /// Like headers.
    trailers: Option<Value>,
}

#[derive(JsonSchema)]
struct Piece(#[schemars(length(min = 1))] String);

/// Of a request, or of streams by their names.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Expected {
    Request(Box<Expect>),
    Streams(BTreeMap<String, Stream>),
}

/// How a stream is.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Stream {
    State(State),
    Cut(Cut),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum State {
    Open,
    Closed,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Cut {
    /// Why the filter reset it.
    cut: ReasonCode,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Config {
    /// Lists grow, objects gain members.
    add: Option<BTreeMap<String, Value>>,
    /// RFC 7396: null removes, what is no object is replaced.
    set: Option<BTreeMap<String, Value>>,
}

/// One of `allow`, `deny`, `observed` and `cut`, and what else must hold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_verdict)]
struct Expect {
    /// The command as which it is allowed.
    allow: Option<String>,
    /// Why it is denied.
    deny: Option<ReasonCode>,
    /// Why it would be denied, were it not only observed.
    observed: Option<ReasonCode>,
    /// Why it is reset, having been let through at first.
    cut: Option<ReasonCode>,
    /// The command, of what is denied.
    command: Option<String>,
    /// The status of the answer.
    #[schemars(range(min = 100, max = 599))]
    status: Option<u64>,
    /// What the client is told.
    client_reason: Option<String>,
    /// The session that was found.
    session: Option<String>,
    /// Headers that the target gets; null: absent; members of a dictionary, such as `x-chaperone-audit`, by their names.
    upstream: Option<BTreeMap<String, Value>>,
    /// How many bytes of the body the target gets.
    upstream_bytes: Option<u64>,
    /// Headers of the answer; null: absent.
    response: Option<BTreeMap<String, Value>>,
    /// The body that the client gets: a text as it is, or what it is as JSON.
    response_body: Option<Value>,
}

fn one_verdict(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), one_of_these(&["allow", "deny", "observed", "cut"]));
}

/// The reason of a denial.
#[derive(JsonSchema)]
#[schemars(transform = any_reason)]
struct ReasonCode(String);

fn any_reason(schema: &mut Schema) {
    super::reasons(schema, false);
}

/// Rows and steps may have a request's members beside their own: JSON Schema closes an object only by listing all of them.
pub(super) fn with_requests_members(schema: &mut Value) {
    let Some(Value::Object(request)) = schema.pointer("/$defs/Request/properties").cloned() else { return };
    for kind in ["Row", "Step"] {
        if let Some(Value::Object(members)) = schema.pointer_mut(&format!("/$defs/{kind}/properties")) {
            request.iter().for_each(|(name, member)| {
                members.entry(name).or_insert_with(|| member.clone());
            });
        }
    }
}
