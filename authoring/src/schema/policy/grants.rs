//! An item of the member `grants`, described.

use super::upstream::Credentials;
use super::{CommandPattern, Name, OneOrMore, Pattern, SomeTime, Text};
use schemars::{JsonSchema, Schema};
use std::collections::BTreeMap;

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Grant {
    /// Stands in the record of what it allowed.
    name: Name,
    /// Whom it is for: all that is named must hold.
    when: When,
    /// Commands: names, or a beginning and `*`.
    #[schemars(length(min = 1))]
    allow: Vec<CommandPattern>,
    /// For whom of those: `machine` is for nobody who shows the marks of a browser (`interactive_use`).
    r#use: Option<Use>,
    /// What its requests are given in the place of `upstream.credential`.
    credential: Option<Credentials>,
    /// Ends this long after the session began; only tightens.
    max_lifetime: Option<SomeTime>,
    /// What may be carried under it; everything without.
    transfers: Option<Transfers>,
    /// How often a session may call commands, on all workers of the proxy together.
    #[schemars(length(min = 1, max = 4))]
    calls: Option<Vec<Calls>>,
    /// Commands that a session may call only after another.
    #[schemars(length(min = 1, max = 4))]
    after: Option<Vec<After>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
enum Use {
    /// For programs.
    Machine,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Calls {
    /// Of those that the grant allows; they are counted together.
    #[schemars(length(min = 1))]
    commands: Vec<CommandPattern>,
    /// Most calls.
    #[schemars(range(min = 1, max = 10_000))]
    count: u64,
    /// In any time of this length, 1d at most; without it for as long as the session.
    within: Option<SomeTime>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct After {
    /// Of those that the grant allows.
    #[schemars(length(min = 1))]
    commands: Vec<CommandPattern>,
    /// The command that must have been let through before, in full.
    needs: Name,
    /// So long ago at the most, 1d at most; without it as long as the session.
    within: Option<SomeTime>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Transfers {
    /// Whether a request's body may be a file.
    uploads: Option<Allowed>,
    /// Whether a response may be a file.
    downloads: Option<Allowed>,
    /// Most bytes of a request's body.
    max_request_bytes: Option<Bytes>,
    /// Most bytes of a response's body.
    max_response_bytes: Option<Bytes>,
    /// Most bytes of all requests of a session under this grant.
    max_session_request_bytes: Option<SessionBytes>,
    /// Most bytes of all responses to a session under this grant.
    max_session_response_bytes: Option<SessionBytes>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "described, never built")]
enum Allowed {
    Deny,
    Allow,
}

#[derive(JsonSchema)]
struct SessionBytes(#[schemars(range(min = 1, max = 281_474_976_710_655_u64))] u64);

#[derive(JsonSchema)]
struct Bytes(#[schemars(range(min = 1, max = 9_007_199_254_740_992_u64))] u64);

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
