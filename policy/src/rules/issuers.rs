//! Whose tokens are accepted, and where a request may carry one: the member `tokens`.

use std::collections::HashMap;

use serde_json::Value;

use crate::document::{At, Errors, Object, each, one_of, string, strings, text};
use crate::http::credentials::{Scheme, Source};
use crate::primitives::limits;
use crate::rules::endpoint::{Endpoint, read_endpoint};
use crate::rules::events::Events;
use crate::rules::status::Status;
use crate::token::claims::ClaimPaths;
use crate::token::jws::media_type;
use crate::token::keys::{Accepted, Algorithm, KeySet, KeyUse, read_algorithms};

/// The member `tokens`.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) sources: Vec<Source>,
    /// RFC 9728 §5.1, for the challenge.
    pub(crate) resource_metadata: Option<String>,
    pub(crate) issuers: HashMap<String, Issuer>,
}

/// One issuer and what is expected of its tokens.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<Algorithm>,
    /// In comparable form; `None` when any `typ` will do.
    pub(crate) types: Option<Vec<String>>,
    pub(crate) keys: Keys,
    pub(crate) claims: ClaimPaths,
    pub(crate) status: Option<Status>,
    pub(crate) events: Option<Events>,
}

/// Where the issuer's keys are.
#[derive(Debug)]
pub(crate) enum Keys {
    /// In the document.
    Inline(KeySet),
    /// With the issuer, which may change them at any time.
    Endpoint(Endpoint),
}

impl Tokens {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let sources = object.optional("from", errors, |value, at, errors| each(value, at, errors, read_source));
        let resource_metadata = object.optional("resource_metadata", errors, |value, at, errors| {
            const HELP: &str = "write where it is, such as `https://orders.example/.well-known/oauth-protected-resource`";
            let text = text(value, at, errors, HELP)?;
            if !text.starts_with("https://")
                || text.bytes().any(|byte| !(0x21..=0x7e).contains(&byte) || matches!(byte, b'"' | b'\\'))
            {
                errors.add_with_help(at, "must be an https URL (RFC 9728 §3)", HELP);
            }
            Some(text.to_owned())
        });
        let list = object.required(
            "issuers",
            "list who issues session tokens: `issuers: [{issuer: …, audiences: […], algorithms: […], keys: {…}}]`",
            errors,
            |value, at, errors| each(value, at, errors, read_issuer),
        );
        object.finish(errors);
        let list = list?;
        bound_what_is_fetched(&list, &at.member("issuers"), errors);
        let mut issuers = HashMap::new();
        for (name, issuer) in list {
            if issuers.contains_key(&name) {
                errors.add_with_help(
                    &at.member("issuers"),
                    format!("the issuer `{name}` stands twice"),
                    "put all its keys and audiences in one place",
                );
            }
            issuers.insert(name, issuer);
        }
        let default = || vec![Source { header: "authorization".to_owned(), scheme: Some(Scheme::Bearer) }];
        Some(Self { sources: sources.unwrap_or_else(default), resource_metadata, issuers })
    }
}

fn bound_what_is_fetched(issuers: &[(String, Issuer)], at: &At<'_>, errors: &mut Errors) {
    let endpoints = issuers.iter().filter(|(_, issuer)| matches!(issuer.keys, Keys::Endpoint(_))).count();
    let statuses = || issuers.iter().filter_map(|(_, issuer)| issuer.status.as_ref());
    let streams = issuers.iter().filter(|(_, issuer)| issuer.events.is_some()).count();
    if endpoints + streams + statuses().map(|status| status.lists.len()).sum::<usize>() > limits::SOURCES {
        errors.add_with_help(
            at,
            format!("more than {} key sets, status lists and streams of events to fetch", limits::SOURCES),
            "name fewer lists, or write keys that do not change under `jwks`",
        );
    }
    if statuses().map(|status| status.lists.len() * status.most_bytes).sum::<usize>() > limits::STATUS_LISTS_BYTES {
        errors.add_with_help(
            at,
            format!("status lists of more than {} bytes in all", limits::STATUS_LISTS_BYTES),
            "lower `max_bytes`, or name fewer lists",
        );
    }
}

fn read_source(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Source> {
    let mut object = Object::open(value, at, errors)?;
    let header = object.required("header", "for example `header: authorization`", errors, read_header_name);
    let scheme = object.optional("scheme", errors, |value, at, errors| {
        one_of(value, at, errors, &[("Bearer", Scheme::Bearer), ("DPoP", Scheme::DPoP)])
    });
    object.finish(errors);
    let header = header?;
    if header == "authorization" && scheme.is_none() {
        errors.add_with_help(at, "`authorization` without `scheme`", "add `scheme: Bearer` or `scheme: DPoP`");
    }
    if header == "cookie" {
        errors.add_with_help(at, "tokens are never read from cookies", "browsers send them unasked; use a header of its own");
    }
    Some(Source { header, scheme })
}

/// A header's name, in lower case (RFC 9110 §5.1).
pub(crate) fn read_header_name(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "name another header, such as `x-api-key`";
    let text = text(value, at, errors, HELP)?;
    // What frames, routes or upgrades a message is not ours to take off or set.
    const TAKEN: [&str; 11] = [
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let taken = TAKEN.iter().any(|name| text.eq_ignore_ascii_case(name)) || text.to_ascii_lowercase().starts_with("x-chaperone-");
    if !text.bytes().all(good) || text.len() > 64 || taken {
        let help = if taken { HELP } else { "use letters, digits and `-`, at most 64 of them" };
        errors.add_with_help(at, format!("`{text}` cannot be used as a header here"), help);
        return None;
    }
    Some(text.to_ascii_lowercase())
}

fn read_issuer(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<(String, Issuer)> {
    let mut object = Object::open(value, at, errors)?;
    let name = object.required(
        "issuer",
        "write the `iss` claim of its tokens, such as `issuer: https://broker.example`",
        errors,
        string,
    );
    let audiences = object.required(
        "audiences",
        "write the `aud` claim of tokens that are for you, such as `audiences: [orders]`; without it a token for somebody else would do",
        errors,
        strings,
    );
    let algorithms = object.required("algorithms", "for example `algorithms: [ES256]`", errors, read_algorithms);
    let types = object.optional("types", errors, strings);
    // When the algorithms themselves are wrong, that the keys do not fit them is no second mistake.
    let accepted = algorithms.clone().filter(|list| !list.is_empty()).unwrap_or_else(|| Algorithm::ALL.to_vec());
    let keys = object.required("keys", KEYS, errors, |value, at, errors| read_keys(value, at, errors, name, &accepted));
    let claims = object.optional("claims", errors, ClaimPaths::read);
    let status = object.optional("status", errors, |value, at, errors| Status::read(value, at, errors, name));
    let events = object.optional("events", errors, |value, at, errors| Events::read(value, at, errors, name));
    object.finish_with(
        errors,
        &[("jwksUri", KEYS), ("jwks_uri", KEYS), ("jwks", KEYS), ("audience", AUDIENCES), ("aud", AUDIENCES)],
    );
    let issuer = Issuer {
        audiences: audiences?.into_iter().map(str::to_owned).collect(),
        algorithms: algorithms?,
        types: types.map(|types| types.into_iter().map(media_type).collect()),
        keys: keys?,
        claims: claims.unwrap_or_default(),
        status,
        events,
    };
    Some((name?.to_owned(), issuer))
}

const KEYS: &str =
    "write `keys: {jwks: {keys: [{kty: …}]}}`, or `keys: {endpoint: {cluster: …, authority: …, path: …}}` to have them fetched";
const AUDIENCES: &str = "write `audiences`, a list: `audiences: [orders]`";

fn read_keys(value: &Value, at: &At<'_>, errors: &mut Errors, issuer: Option<&str>, algorithms: &[Algorithm]) -> Option<Keys> {
    let mut object = Object::open(value, at, errors)?;
    let key_use =
        object.optional("use", errors, |value, at, errors| one_of(value, at, errors, &KeyUse::WORDS)).unwrap_or_default();
    let accepted = Accepted { algorithms: algorithms.into(), key_use };
    let endpoint = object.optional("endpoint", errors, |value, at, errors| read_endpoint(value, at, errors, issuer, &accepted));
    let read_set = |value: &Value, at: &At<'_>, errors: &mut Errors| KeySet::read(value, at, errors, &accepted);
    let inline = if object.has("endpoint") {
        if object.has("jwks") {
            errors.add_with_help(
                at,
                "both `jwks` and `endpoint`: which keys the issuer has must be said in one place",
                "keep `endpoint` if the issuer rotates its keys, `jwks` if not",
            );
        }
        object.optional("jwks", errors, read_set)
    } else {
        object.required("jwks", KEYS_HERE, errors, read_set)
    };
    object.finish_with(errors, &ELSEWHERE);
    endpoint.map(Keys::Endpoint).or(inline.map(Keys::Inline))
}

const KEYS_HERE: &str = "write the issuer's public keys (RFC 7517 §5), `jwks: {keys: [{kty: …}]}`, or have them fetched: `endpoint: {cluster: …, authority: …, path: …}`";

/// What other products call keys, and what is written here instead.
const ELSEWHERE: [(&str, &str); 8] = [
    ("jwks_uri", FETCHED),
    ("jwksUri", FETCHED),
    ("remote_jwks", FETCHED),
    ("url", FETCHED),
    ("local_jwks", PASTED),
    ("keys", PASTED),
    ("pem", PASTED),
    ("public_key", PASTED),
];
const FETCHED: &str = "write `endpoint: {cluster: …, authority: …, path: …}`: the proxy fetches keys through one of its clusters";
const PASTED: &str = "write each key as a JWK (RFC 7517): `jwks: {keys: [{kty: …}]}`";
