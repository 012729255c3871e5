//! The member `upstream`, and a grant's `credential`.

use super::{CommandPattern, tokens::HeaderName};
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
}

/// `header` or `query` with `value`, or `basic`.
fn one_form(schema: &mut Schema) {
    let forms = serde_json::json!([
        {"required": ["header", "value"], "not": {"anyOf": [{"required": ["query"]}, {"required": ["basic"]}]}},
        {"required": ["query", "value"], "not": {"anyOf": [{"required": ["header"]}, {"required": ["basic"]}]}},
        {"required": ["basic"], "not": {"anyOf": [{"required": ["query"]}, {"required": ["value"]}]}},
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
