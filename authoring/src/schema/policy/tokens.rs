//! The member `tokens`, described.

use super::{OneOrMore, SomeTime, Text};
use schemars::JsonSchema;

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Tokens {
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
pub(super) struct HeaderName(#[schemars(regex(pattern = r"^[A-Za-z0-9-]+$"), length(min = 1, max = 64))] String);

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
    /// Where it tells of sessions and subjects that have ended: security events (OpenID Shared Signals), polled (RFC 8936).
    events: Option<Events>,
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
pub(super) struct Cluster(#[schemars(regex(pattern = r"^[!-~]+$"), length(min = 1, max = 256))] String);

/// A host, perhaps with a port.
#[derive(JsonSchema)]
pub(super) struct Authority(#[schemars(regex(pattern = r"^[A-Za-z0-9._:\[\]-]+$"), length(min = 1, max = 256))] String);

/// A path, perhaps with a query.
#[derive(JsonSchema)]
pub(super) struct EndpointPath(#[schemars(regex(pattern = r#"^/[!"\x24-~]*$"#), length(min = 1, max = 8192))] String);

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

/// A stream of security events, polled by one worker of the proxy for all.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Events {
    /// The proxy's cluster that leads to the transmitter.
    cluster: Cluster,
    /// The host to ask, perhaps with a port.
    authority: Authority,
    /// The path of the stream's polls, perhaps with a query.
    path: EndpointPath,
    /// The `aud` of the stream's events. One for somebody else is refused.
    audience: Text,
    /// How often it is polled while there is nothing, from 1s to 5m; `5s` without it.
    every: Option<SomeTime>,
    /// What it is asked with: a bearer token from the proxy's environment, such as `${env:SSF_TOKEN}`.
    token: Option<BearerToken>,
}

/// Holds `${env:NAME}`, and no token itself.
#[derive(JsonSchema)]
struct BearerToken(#[schemars(regex(pattern = r"^[!-~]*\$\{env:[A-Za-z0-9_]+\}[!-~]*$"))] String);

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
