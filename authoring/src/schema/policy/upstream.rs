//! The member `upstream`, and a grant's `credential`.

use super::{
    CommandPattern, SomeTime,
    tokens::{Authority, Cluster, EndpointPath, HeaderName},
};
use schemars::{JsonSchema, Schema};

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Upstream {
    /// The target's own credential: one for all, or a list of them, each for its commands.
    credential: Option<Credentials>,
    /// What happens when the target sends the credential back: it is always removed from heads and trailers; `cut` reads bodies,
    /// too, and cuts a response in which it is seen. `remove` without it.
    echoed_credential: Option<Echoed>,
    /// Credentials of the target's own that no caller may show: the way round the session. Denied as `direct_credential`.
    direct_credentials: Option<DirectCredentials>,
    /// Further headers that never reach the target.
    #[schemars(length(min = 1))]
    strip: Option<Vec<HeaderName>>,
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
#[schemars(untagged)]
pub(super) enum Credentials {
    One(Box<Credential>),
    Several(#[schemars(length(min = 1))] Vec<Credential>),
}

/// Where a credential goes and what it is made of; never a credential itself.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_form)]
pub(super) struct Credential {
    /// The commands that it is for, by names and `beginning*`; all that no other is for without it.
    #[schemars(length(min = 1))]
    r#for: Option<Vec<CommandPattern>>,
    /// The header that it goes into; `authorization` for `basic`.
    header: Option<HeaderName>,
    /// The parameter of the query that it goes into, for targets that take it nowhere else: access logs with `:path` show it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    query: Option<String>,
    /// For example `Bearer ${env:ORDERS_TOKEN}`, from the proxy's environment.
    #[schemars(regex(pattern = r"\$\{env:[A-Za-z0-9_]+\}"))]
    value: Option<String>,
    /// User and password (RFC 7617).
    basic: Option<Basic>,
    /// A token that is had for the session's own.
    exchange: Option<Exchange>,
}

/// `header` or `query` with `value`, or `basic`, or `exchange`.
fn one_form(schema: &mut Schema) {
    let without = |names: &[&str]| {
        let any: Vec<_> = names.iter().map(|name| serde_json::json!({"required": [name]})).collect();
        serde_json::json!({"anyOf": any})
    };
    let forms = serde_json::json!([
        {"required": ["header", "value"], "not": without(&["query", "basic", "exchange"])},
        {"required": ["query", "value"], "not": without(&["header", "basic", "exchange"])},
        {"required": ["basic"], "not": without(&["query", "value", "exchange"])},
        {"required": ["exchange"], "not": without(&["query", "value", "basic"])},
    ]);
    schema.insert("oneOf".to_owned(), forms);
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Basic {
    /// A text without a colon, or `${env:ORDERS_USER}`.
    #[schemars(length(min = 1))]
    user: String,
    /// For example `${env:ORDERS_PASSWORD}`, from the proxy's environment.
    #[schemars(regex(pattern = r"\$\{env:[A-Za-z0-9_]+\}"))]
    password: String,
}

/// Where a token is had for the session's own, what for, and as whom.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = for_something)]
struct Exchange {
    /// The proxy's cluster that leads to the token endpoint; it is the cluster that brings TLS.
    cluster: Cluster,
    /// The host to ask, perhaps with a port.
    authority: Authority,
    /// The endpoint's path.
    path: EndpointPath,
    /// What the endpoint knows: an exchange of tokens (RFC 8693), or the session's token as an assertion (RFC 7523).
    /// `token_exchange` without it.
    grant: Option<Grant>,
    /// Whom the token is to be for. One that says that it is for others is not taken.
    audience: Option<ExchangeText>,
    /// What the token is to be for (RFC 8707): an absolute URI without a fragment.
    #[schemars(regex(pattern = r"^[A-Za-z][A-Za-z0-9+.-]*:[!\x22\x24-~]*$"), length(max = 1024))]
    resource: Option<String>,
    /// What the token is to be good for.
    scope: Option<ExchangeText>,
    /// As whom the proxy asks.
    client: Client,
    /// How long an answer may take, from 1s to 8s, `2s` without it: the request waits for it.
    timeout: Option<SomeTime>,
}

/// A token for everything that the endpoint gives is nothing to hand on.
fn for_something(schema: &mut Schema) {
    let forms = serde_json::json!([{"required": ["audience"]}, {"required": ["resource"]}, {"required": ["scope"]}]);
    schema.insert("anyOf".to_owned(), forms);
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Grant {
    /// RFC 8693.
    TokenExchange,
    /// RFC 7523.
    JwtBearer,
}

/// Visible ASCII and spaces.
#[derive(JsonSchema)]
struct ExchangeText(#[schemars(regex(pattern = r"^[ -~]+$"), length(min = 1, max = 1024))] String);

/// A client of the token endpoint.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, transform = one_proof)]
struct Client {
    /// Its id.
    id: ExchangeText,
    /// Its secret, `${env:STS_SECRET}` (`client_secret_basic`).
    #[schemars(regex(pattern = r"^\$\{env:[A-Za-z0-9_]+\}$"))]
    secret: Option<String>,
    /// Its key, `${env:STS_KEY}`: P-256 in PKCS #8 PEM (`private_key_jwt` by ES256).
    #[schemars(regex(pattern = r"^\$\{env:[A-Za-z0-9_]+\}$"))]
    private_key: Option<String>,
    /// How the endpoint calls that key: `kid`.
    key_id: Option<ExchangeText>,
    /// What the endpoint expects in `aud` of an assertion.
    audience: Option<ExchangeText>,
}

/// `secret`, or `private_key` with `audience`.
fn one_proof(schema: &mut Schema) {
    let forms = serde_json::json!([
        {"required": ["secret"], "properties": {"private_key": false, "key_id": false, "audience": false}},
        {"required": ["private_key", "audience"], "properties": {"secret": false}},
    ]);
    schema.insert("oneOf".to_owned(), forms);
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct DirectCredentials {
    /// Which.
    #[schemars(length(min = 1))]
    refuse: Vec<DirectCredential>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum DirectCredential {
    /// `authorization: Basic …`.
    Basic,
    /// `authorization: Bearer …` with what is no JWT.
    OpaqueBearer,
    /// This header, whatever is in it.
    Header(HeaderName),
}
