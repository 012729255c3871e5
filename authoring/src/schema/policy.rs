//! The policy document, described. Nothing is read through these types: the core reads by hand, without dependencies.
#![allow(dead_code, reason = "descriptions")]

use schemars::{JsonSchema, Schema};
use std::collections::BTreeMap;

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
struct Tokens {
    /// The headers that may carry the token; `authorization` with scheme `Bearer` without it.
    #[schemars(length(min = 1))]
    from: Option<Vec<Source>>,
    /// For the challenge (RFC 9728): where callers learn about sessions.
    #[schemars(regex(pattern = r#"^https://[!#-\[\]-~]+$"#))]
    resource_metadata: Option<String>,
    /// Who issues session tokens.
    #[schemars(length(min = 1))]
    issuers: Vec<Issuer>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Source {
    /// For example `authorization`; never `cookie`.
    header: HeaderName,
    /// The authentication scheme before the token; mandatory for `authorization`.
    scheme: Option<Scheme>,
}

/// Letters, digits and `-`.
#[derive(JsonSchema)]
struct HeaderName(#[schemars(regex(pattern = r"^[A-Za-z0-9-]+$"), length(min = 1, max = 64))] String);

#[derive(JsonSchema)]
enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    DPoP,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Issuer {
    /// The `iss` claim of its tokens.
    issuer: Text,
    /// The `aud` claims of tokens that are for you: a token for somebody else is no use here.
    #[schemars(length(min = 1))]
    audiences: Vec<Text>,
    /// The algorithms of its signatures; never a shared secret.
    #[schemars(length(min = 1))]
    algorithms: Vec<Algorithm>,
    /// The `typ` headers that are accepted; any without it.
    #[schemars(length(min = 1))]
    types: Option<Vec<Text>>,
    /// Its public keys.
    keys: Keys,
    /// Where in a token to look.
    claims: Option<Claims>,
    /// Lists of tokens that are not valid any more.
    status: Option<Status>,
}

#[derive(JsonSchema)]
enum Algorithm {
    ES256,
    ES384,
    EdDSA,
    /// RFC 9864: another name for EdDSA.
    Ed25519,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
}

/// Where the keys are.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Keys {
    Inline(InlineKeys),
    Published(PublishedKeys),
}

/// In the document.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct InlineKeys {
    /// A JWK Set (RFC 7517 §5). Keys in it for other purposes or of other algorithms are passed over.
    jwks: Jwks,
    /// What the keys say that they are for; `sig`, or nothing, without it.
    r#use: Option<KeyUse>,
}

/// With the issuer, which may change them at any time.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct PublishedKeys {
    /// Where the proxy fetches the issuer's JWK Set.
    endpoint: Endpoint,
    /// What the keys say that they are for; `sig`, or nothing, without it.
    r#use: Option<KeyUse>,
}

#[derive(JsonSchema)]
enum KeyUse {
    /// As RFC 7517 has it.
    #[schemars(rename = "sig")]
    Sig,
    /// The set is a SPIFFE bundle.
    #[schemars(rename = "jwt-svid")]
    JwtSvid,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Endpoint {
    /// The proxy's cluster that leads to the issuer; it is the cluster that brings TLS.
    cluster: Cluster,
    /// The host to ask, perhaps with a port.
    authority: Authority,
    /// The path of the set, perhaps with a query.
    path: EndpointPath,
    /// How often it is fetched, from 10s to 1d, `5m` without it: the time within which a removed key is gone.
    refresh: Option<SomeTime>,
    /// How long a fetch may take, from 1s to 30s, `2s` without it.
    timeout: Option<SomeTime>,
}

/// The name of one of the proxy's clusters.
#[derive(JsonSchema)]
struct Cluster(#[schemars(regex(pattern = r"^[!-~]+$"), length(min = 1, max = 256))] String);

/// A host, perhaps with a port.
#[derive(JsonSchema)]
struct Authority(#[schemars(regex(pattern = r"^[A-Za-z0-9._:\[\]-]+$"), length(min = 1, max = 256))] String);

/// A path, perhaps with a query.
#[derive(JsonSchema)]
struct EndpointPath(#[schemars(regex(pattern = r#"^/[!"\x24-~]*$"#), length(min = 1, max = 8192))] String);

/// The OAuth Token Status List: what the issuer says of its tokens after it has issued them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Status {
    /// The proxy's cluster that leads to the lists.
    cluster: Cluster,
    /// The lists that a token may name. One that names another is refused.
    #[schemars(length(min = 1))]
    uris: Vec<StatusUri>,
    /// Is a token without a `status` claim refused? `true` without it.
    required: Option<bool>,
    /// The longest list, inflated, 16777216 at most; 1048576 without it: eight million tokens of one bit.
    #[schemars(range(min = 1, max = 16_777_216))]
    max_bytes: Option<u64>,
}

/// An `https` URL with a path, as tokens name it.
#[derive(JsonSchema)]
struct StatusUri(
    #[schemars(regex(pattern = r#"^https://[A-Za-z0-9._:\[\]-]+/[!"\x24-~]*$"#))]
    String,
);

#[derive(JsonSchema)]
struct Jwks {
    /// Public keys; `policy-host token keygen` prints one.
    #[schemars(length(min = 1))]
    keys: Vec<Jwk>,
}

/// A public key (RFC 7517 §4).
#[derive(JsonSchema)]
struct Jwk {
    /// The kind of key: `EC` with `crv`, `x` and `y`, `OKP` with `crv` and `x`, or `RSA` with `n` and `e`.
    kty: Text,
    /// The key's name, as tokens have it in their header.
    #[schemars(length(min = 1, max = 256))]
    kid: Option<String>,
    /// The one algorithm that it is for.
    alg: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Claims {
    /// The session; `sid` without it.
    session: Option<FirstOf>,
    /// Who acts; `[act, sub]` without it.
    agent: Option<FirstOf>,
    /// What the token itself is limited to, a list or a text with spaces, such as `scope`; `commands` without it.
    commands: Option<OneOrMore<Text>>,
    /// When the session began; `iat` without it. A broker that refreshes tokens names the claim that stays the same.
    started: Option<FirstOf>,
    /// What stands in for `iat` in tokens without, such as `[nbf]`.
    issued: Option<OneOrMore<Text>>,
    /// What stands in for `aud` in tokens without, such as `client_id`.
    audience: Option<OneOrMore<Text>>,
}

/// The way to a claim, or several of which the first counts that the token has.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum FirstOf {
    Path(OneOrMore<Text>),
    Several(Several),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Several {
    /// The ways, each a name or a list of names that descends.
    #[schemars(length(min = 1, max = 4))]
    first_of: Vec<OneOrMore<Text>>,
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
    /// A gRPC method.
    Grpc(Grpc),
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
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Grant {
    /// Stands in the record of what it allowed.
    name: Name,
    /// Whom it is for: all that is named must hold.
    when: When,
    /// Commands: names, or a beginning and `*`.
    #[schemars(length(min = 1))]
    allow: Vec<CommandPattern>,
    /// Ends this long after the session began; only tightens.
    max_lifetime: Option<SomeTime>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct When {
    /// One of `tokens.issuers`; mandatory with several of them.
    issuer: Option<Text>,
    /// `sub`
    subject: Option<Pattern>,
    /// The session.
    session: Option<Pattern>,
    /// Who acts now.
    agent: Option<Pattern>,
    /// What other claims must be.
    claims: Option<ClaimConditions>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum ClaimConditions {
    /// Claims that are such a text, or a list with one.
    ByName(#[schemars(extend("minProperties" = 1))] BTreeMap<String, Pattern>),
    /// Conditions, all of which must hold.
    List(#[schemars(length(min = 1))] Vec<ClaimCondition>),
}

/// Exactly one of `is`, `contains` and `word`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = asks_one_thing)]
struct ClaimCondition {
    /// The claim: a name, or a list of names that descends.
    claim: OneOrMore<Text>,
    /// The whole claim: a text, perhaps a pattern, a boolean or a whole number.
    is: Option<Scalar>,
    /// An item of a list.
    contains: Option<Pattern>,
    /// A word of a text with spaces, such as `scope`.
    word: Option<Pattern>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Scalar {
    Text(Pattern),
    Boolean(bool),
    Number(#[schemars(range(max = 9_007_199_254_740_992_u64))] u64),
}

fn asks_one_thing(schema: &mut Schema) {
    let one = ["is", "contains", "word"].into_iter().map(|name| serde_json::json!({"required": [name]}));
    schema.insert("oneOf".to_owned(), one.collect());
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
struct Upstream {
    /// The target's own credential.
    credential: Option<Credential>,
    /// What happens when the target sends the credential back: it is always removed from heads and trailers; `cut` reads bodies,
    /// too, and cuts a response in which it is seen. `remove` without it.
    echoed_credential: Option<Echoed>,
    /// Does the session token go on to the target? No without it.
    forward_token: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Echoed {
    /// Bodies pass unread.
    Remove,
    /// Bodies are read, asked for without a coding, and cut.
    Cut,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Credential {
    /// The header that it goes into.
    header: HeaderName,
    /// For example `Bearer ${env:ORDERS_TOKEN}`, from the proxy's environment; never a credential itself.
    #[schemars(regex(pattern = r"\$\{env:[A-Za-z0-9_]+\}"))]
    value: String,
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
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Audit {
    /// What audit headers begin with; `x-chaperone-` without it.
    #[schemars(regex(pattern = r"^x-[a-z0-9-]*-$"), length(min = 4, max = 32))]
    header_prefix: Option<String>,
}
