//! The policy document, described. Nothing is read through these types: the core reads by hand, without dependencies.
#![allow(dead_code, reason = "descriptions")]

mod grants;
mod tokens;
mod upstream;

use grants::Grant;
use schemars::{JsonSchema, Schema};
use std::collections::BTreeMap;
use tokens::Tokens;
use upstream::Upstream;

/// Who may send which request to the target behind a proxy, and until when. What is not granted is denied.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Policy {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u64,
    /// Stands in audit headers and records.
    name: Name,
    /// Written by `render` and `revoke`, never equal to an earlier one; not part of the revision.
    generation: Option<WholeNumber>,
    /// Are denials carried out? `enforce` without it.
    mode: Option<Mode>,
    /// Under `enforce`: reasons of status 403 that are only recorded for now. Later checks still run, and may deny.
    observe: Option<Vec<Observable>>,
    /// Whose session tokens are accepted, and where they are.
    tokens: Tokens,
    /// How long a session lives.
    session: Session,
    /// Names for the requests that are known; every other request is `unknown_command`.
    commands: BTreeMap<String, OneOrMore<Matcher>>,
    /// Commands that need no session. They are recorded, and never given a credential.
    unmediated: Option<Vec<CommandPattern>>,
    /// Who may use which commands.
    grants: Vec<Grant>,
    /// What has ended: any entry that holds ends what it names. `policy-host revoke` writes these.
    revoked: Option<Vec<Revocation>>,
    /// What ends a session for the rest of its lifetime, on this proxy.
    end_session_when: Option<EndSessionWhen>,
    /// What the target is given.
    upstream: Option<Upstream>,
    /// Bounds.
    limits: Option<Limits>,
    /// Audit headers.
    audit: Option<Audit>,
}

/// Letters, digits, `.`, `_` and `-`.
#[derive(JsonSchema)]
struct Name(#[schemars(regex(pattern = r"^[A-Za-z0-9._-]+$"), length(min = 1, max = 256))] String);

/// A text that is not empty. Put ids that look like numbers in quotes.
#[derive(JsonSchema)]
struct Text(#[schemars(length(min = 1))] String);

/// A command, or a beginning and `*`, which stands only at the end.
#[derive(JsonSchema)]
struct CommandPattern(#[schemars(regex(pattern = r"^[^*]*\*?$"), length(min = 1, max = 256))] String);

/// An exact text, or a beginning and `*`. The `*` stands only at the end, and never reaches across a `/`; a beginning and `**`
/// does.
#[derive(JsonSchema)]
struct Pattern(#[schemars(regex(pattern = r"^([^*]*\*?|[^*]+\*\*)$"), length(min = 1, max = 256))] String);

/// A whole number and a unit: `30s`, `15m`, `8h` or `1d`.
#[derive(JsonSchema)]
struct Duration(#[schemars(regex(pattern = r"^[0-9]+[smhd]$"))] String);

/// A duration of some time: `30s`, `15m`, `8h` or `1d`.
#[derive(JsonSchema)]
struct SomeTime(#[schemars(regex(pattern = r"^0*[1-9][0-9]*[smhd]$"))] String);

/// From 0 to 2^53.
#[derive(JsonSchema)]
struct WholeNumber(#[schemars(range(max = 9_007_199_254_740_992_u64))] u64);

/// One, or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrMore<T> {
    One(T),
    More(#[schemars(length(min = 1))] Vec<T>),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Mode {
    /// Denials are carried out.
    Enforce,
    /// Decide and record, change nothing but the audit headers: for trying a policy on live traffic.
    Observe,
}

/// A reason of status 403.
#[derive(JsonSchema)]
#[schemars(transform = observable)]
struct Observable(String);

fn observable(schema: &mut Schema) {
    super::reasons(schema, true);
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Session {
    /// `exp - iat` of a token may not exceed it, and the session ends this long after it began.
    max_lifetime: SomeTime,
    /// A session that is not used for so long ends, on this proxy.
    idle_timeout: Option<SomeTime>,
    /// How long open streams go on that no configuration reaches any more, because another `vm_id`, another policy name or another
    /// filter has come in the place of their own; 10s without it, 3s at least whatever it says, 5m at most.
    orphaned_streams: Option<Duration>,
    /// How far clocks may differ, 5m at most; none without it.
    clock_skew: Option<Duration>,
    /// Is a token without its own command list acceptable? `optional` without it.
    token_commands: Option<TokenCommands>,
    /// What whoever presents a token must show besides. All of it must hold, and a token's `cnf` may hold nothing else.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    bind: Option<Vec<Binding>>,
    /// With `dpop` in `bind`, and only then.
    dpop: Option<Dpop>,
}

/// At least one of `denials` and `context_changes`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = [{"required": ["denials"]}, {"required": ["context_changes"]}]))]
struct EndSessionWhen {
    /// So many denials of what the session wanted to do (the reasons of status 403), in so much time.
    denials: Option<Denials>,
    /// What must stay as it was when the session was first seen.
    #[schemars(length(min = 1))]
    context_changes: Option<Vec<Context>>,
    /// The leading bits of an IPv4 address that must stay, 32 without it; of an IPv6 address twice as many.
    #[schemars(range(min = 8, max = 32))]
    source_prefix: Option<u64>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Denials {
    #[schemars(range(min = 1, max = 32))]
    count: u64,
    within: SomeTime,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Context {
    /// Where the connection comes from.
    SourceAddress,
    /// The connection's certificate, or that it shows none.
    ClientCertificate,
}

/// How proofs are checked.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Dpop {
    /// Where this service is reached: scheme, host and, where it is another than the scheme's, port. The proof's `htu` is
    /// one of them with the request's path; what the request names as its host takes no part.
    #[schemars(length(min = 1), inner(regex(pattern = r"^[hH][tT][tT][pP][sS]?://[^/?#@]+$")))]
    origins: Vec<String>,
}

/// What a token can be bound to.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Binding {
    /// The connection's certificate: `cnf` has its `x5t#S256` (RFC 8705 §3).
    ClientCertificate,
    /// The SPIFFE ID in the connection's certificate: that of the outermost actor, or of the subject where nobody acts.
    SpiffeId,
    /// A key that the caller proves to have for each request (RFC 9449): `cnf` has its `jkt`.
    Dpop,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum TokenCommands {
    /// A token says what it is limited to, or is refused.
    Required,
    /// A token without a list is bounded by the grants alone.
    Optional,
}

/// A kind of request.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Matcher {
    /// By method, path and, where it matters, host.
    Http(Http),
    /// A method of a service of gRPC or Connect.
    Grpc(Grpc),
    /// What is asked for in the body, at an endpoint of the Model Context Protocol.
    Mcp(Mcp),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Mcp {
    /// The endpoint's, as for `http`.
    #[schemars(regex(pattern = r"^/[^?#]*$"))]
    path: String,
    /// As for `http`; commands of one path and the same hosts are of one endpoint.
    #[schemars(length(min = 1))]
    hosts: Option<Vec<Text>>,
    /// Tools by name, or a beginning and `*`.
    #[schemars(length(min = 1))]
    tools: Option<Vec<Text>>,
    /// Prompts by name, or a beginning and `*`.
    #[schemars(length(min = 1))]
    prompts: Option<Vec<Text>>,
    /// Resources by URI, or a beginning and `*`, or `**` to go beyond a `/`.
    #[schemars(length(min = 1))]
    resources: Option<Vec<Text>>,
    /// Other methods of the protocol by name, or a beginning and `*`. `GET` is the stream of the server's own messages, `DELETE` the
    /// end of the protocol's session.
    #[schemars(length(min = 1))]
    methods: Option<Vec<Text>>,
    /// May the caller answer what the server asks (sampling, elicitation, roots)? No without it.
    answers: Option<bool>,
    /// What the arguments of these tools and prompts are held to: a part of JSON Schema 2020-12.
    arguments: Option<serde_json::Value>,
    /// Are agents told of `arguments` in the list of tools? No without it.
    narrow: Option<bool>,
    /// Versions of the protocol for which this holds; all of them without it.
    #[schemars(length(min = 1))]
    versions: Option<Vec<McpVersion>>,
}

/// A version of the protocol.
#[derive(JsonSchema)]
enum McpVersion {
    /// With batches.
    #[schemars(rename = "2025-03-26")]
    V20250326,
    /// Without.
    #[schemars(rename = "2025-06-18")]
    V20250618,
    /// With tasks.
    #[schemars(rename = "2025-11-25")]
    V20251125,
    /// Without sessions of the protocol's own.
    #[schemars(rename = "2026-07-28")]
    V20260728,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Http {
    /// In capitals; TRACE and CONNECT are always refused.
    #[schemars(length(min = 1))]
    methods: Vec<Method>,
    /// Literal segments, `{id}` for one segment, `{id}:verb` for one with this end, `{*rest}` at the end for all that is left.
    /// The query never counts.
    #[schemars(regex(pattern = r"^/[^?#]*$"))]
    path: String,
    /// Port and case are ignored; any host without it. `*.tenant.example` takes exactly one label before its end.
    #[schemars(length(min = 1))]
    hosts: Option<Vec<Text>>,
    /// Spellings that captures of whole segments may have although two readers could understand them differently.
    #[schemars(length(min = 1))]
    permit: Option<Vec<Spelling>>,
    /// Is a request for an HTTP/1.1 upgrade this command, too?
    upgrade: Option<bool>,
    /// May the request have a body? Without it an unmediated command may not, unless the request is for an upgrade, and every
    /// other one may.
    body: Option<bool>,
}

/// A method in capitals.
#[derive(JsonSchema)]
struct Method(#[schemars(regex(pattern = r"^[A-Z-]+$"))] String);

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Spelling {
    /// `a%2Fb`
    EncodedSlash,
    /// `a;b`
    Semicolon,
    /// `a//b`
    DoubleSlash,
    /// `%2541`
    DoubleEncoding,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Grpc {
    /// With its package: `users.v1.Users`.
    service: Name,
    /// The service's methods.
    #[schemars(length(min = 1))]
    methods: Vec<Name>,
    /// In which forms they are called; native gRPC alone without it. Every other form of these methods is refused.
    #[schemars(length(min = 1))]
    forms: Option<Vec<CallForm>>,
}

/// A form of calls.
#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum CallForm {
    /// `application/grpc`
    Grpc,
    /// `application/grpc-web`
    GrpcWeb,
    /// `application/grpc-web-text`, in base64.
    GrpcWebText,
    /// POST of Connect: `application/proto` and `application/json` with `connect-protocol-version: 1`, `application/connect+proto` and
    /// `application/connect+json`.
    Connect,
    /// GET of Connect, with the message in the query: `?connect=v1&encoding=…&message=…`
    ConnectGet,
}

/// A conjunction: all that is named must hold.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = names_something)]
struct Revocation {
    /// One session.
    session: Option<Text>,
    /// All sessions of this `sub`.
    subject: Option<Text>,
    /// All sessions with this agent at any hop of the `act` chain.
    agent: Option<Text>,
    /// One token, by its `jti`.
    token: Option<Text>,
    /// All sessions of this issuer.
    issuer: Option<Text>,
    /// Only what began or was issued before this instant (RFC 3339).
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]"))]
    issued_before: Option<String>,
    /// Why; stands in the record of what is denied.
    because: Option<Text>,
}

fn names_something(schema: &mut Schema) {
    let selectors = ["session", "subject", "agent", "token", "issuer", "issued_before"];
    let any = selectors.into_iter().map(|name| serde_json::json!({"required": [name]}));
    schema.insert("anyOf".to_owned(), any.collect());
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Signature checks a second of one worker; 200 without it. They are shared out: known sessions, known addresses and strangers
    /// have a part each, and one address a share of that.
    #[schemars(range(min = 1, max = 100_000))]
    verifications_per_second: Option<u64>,
    /// Requests of one session that may be under way in one worker, open streams among them; 100 without it.
    #[schemars(range(min = 1, max = 100_000))]
    streams_per_session: Option<u64>,
    /// Requests of unmediated commands that may be under way in one worker; 100 without it. A quarter of them is the most that
    /// one address may have.
    #[schemars(range(min = 1, max = 100_000))]
    unmediated_streams: Option<u64>,
    /// The longest token that is read, in bytes; 8192 without it. The proxy's own bound for a head must leave room for it.
    #[schemars(range(min = 1, max = 16_384))]
    token_bytes: Option<u64>,
    /// The longest body in which a command is looked for, in bytes; 32768 without it. The proxy's own buffer for a request must be
    /// larger.
    #[schemars(range(min = 1, max = 4_194_304))]
    body_bytes: Option<u64>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Audit {
    /// What audit headers begin with; `x-chaperone-` without it.
    #[schemars(regex(pattern = r"^x-[a-z0-9-]*-$"), length(min = 4, max = 32))]
    header_prefix: Option<String>,
    /// `combined`: what the target is told is in one header, a dictionary (RFC 9651); `separate` without it.
    headers: Option<AuditHeaders>,
    /// `proxy`: the record does not say where a request comes from, for the proxy's access log does; `filter` without it.
    source: Option<SourceTeller>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum AuditHeaders {
    Separate,
    Combined,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum SourceTeller {
    Filter,
    Proxy,
}
