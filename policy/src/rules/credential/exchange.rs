//! A credential that is had for the session's own token: by an exchange of tokens (RFC 8693), or by the token as an assertion
//! (RFC 7523), at an endpoint behind one of the proxy's clusters.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::template::Template;
use super::{Secret, read_template};
use crate::document::{At, Errors, Object, one_of, text};
use crate::primitives::limits;
use crate::rules::endpoint::{Target, between, read_authority, read_cluster, read_path};

/// The member `exchange`: where, what for, and as whom. What one has got of it is another's who says the same, and nobody else's.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenExchange {
    pub(crate) target: Target,
    pub(crate) grant: Grant,
    pub(crate) audience: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) client: Client,
    pub(crate) timeout: Duration,
}

/// What the endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grant {
    /// RFC 8693 §2.1.
    TokenExchange,
    /// RFC 7523 §2.1.
    JwtBearer,
}

/// As whom the proxy asks.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) proof: Proof,
}

/// How it shows who it is.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) enum Proof {
    /// `client_secret_basic` (RFC 6749 §2.3.1).
    Secret(Variable),
    /// `private_key_jwt` (RFC 7523 §2.2), by ES256.
    Key {
        key: Variable,
        /// `kid`.
        id: Option<String>,
        /// `aud`: as whom the endpoint knows itself.
        audience: String,
    },
}

/// The name of one variable of the proxy's environment.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variable(String);

impl Variable {
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Its value; `None` where it is absent or empty.
    pub(crate) fn of<'e>(&self, environment: &'e BTreeMap<String, Secret>) -> Option<&'e str> {
        super::template::variable(environment, &self.0)
    }
}

const SECRET: &str = "write `secret: \"${env:STS_SECRET}\"` and give the proxy that environment variable";
const KEY: &str =
    "write `private_key: \"${env:STS_KEY}\"` and give the proxy a P-256 key in PKCS #8 PEM in that environment variable";
const CLIENT: &str = "say as whom the proxy asks: `client: {id: chaperone, secret: \"${env:STS_SECRET}\"}`";

pub(super) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<TokenExchange> {
    let mut object = Object::open(value, at, errors)?;
    let cluster = object.required("cluster", "name the proxy's cluster that leads there: `cluster: sts`", errors, read_cluster);
    let authority = object.required("authority", "for example `authority: sts.example`", errors, read_authority);
    let path = object.required("path", "for example `path: /token`", errors, read_path);
    let grant = object.optional("grant", errors, |value, at, errors| {
        one_of(value, at, errors, &[("token_exchange", Grant::TokenExchange), ("jwt_bearer", Grant::JwtBearer)])
    });
    let audience =
        object.optional("audience", errors, |value, at, errors| read_text(value, at, errors, "`audience: orders-api`"));
    let resource = object.optional("resource", errors, read_resource);
    let scope = object.optional("scope", errors, |value, at, errors| read_text(value, at, errors, "`scope: orders.read`"));
    let client = object.required("client", CLIENT, errors, read_client);
    // Within `limits::HELD`, or nobody would wait as long.
    let timeout = object.optional("timeout", errors, |value, at, errors| between(value, at, errors, (1, "1s"), (8, "8s")));
    let is_for_something = ["audience", "resource", "scope"].iter().any(|name| object.has(name));
    object.finish(errors);
    if !is_for_something {
        errors.add_with_help(
            at,
            "a token for everything that the endpoint gives",
            "say what it is for: `audience`, `resource` (RFC 8707) or `scope`",
        );
    }
    Some(TokenExchange {
        target: Target { cluster: cluster?, authority: authority?, path: path? },
        grant: grant.unwrap_or(Grant::TokenExchange),
        audience,
        resource,
        scope,
        client: client?,
        timeout: timeout.unwrap_or(limits::FETCH_TIMEOUT),
    })
}

fn read_client(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Client> {
    let mut object = Object::open(value, at, errors)?;
    let id = object.required("id", "for example `id: chaperone`", errors, |value, at, errors| {
        read_text(value, at, errors, "`id: chaperone`")
    });
    let (has_secret, has_key) = (object.has("secret"), object.has("private_key"));
    let secret = object.optional("secret", errors, |value, at, errors| read_variable(value, at, errors, SECRET));
    let key = object.optional("private_key", errors, |value, at, errors| read_variable(value, at, errors, KEY));
    let proof = if has_key {
        let id = object.optional("key_id", errors, |value, at, errors| read_text(value, at, errors, "`key_id: k1`"));
        let help = "write what the endpoint expects in `aud`, such as `audience: \"https://sts.example/token\"`";
        let audience = object.required("audience", help, errors, |value, at, errors| {
            read_text(value, at, errors, "`audience: \"https://sts.example/token\"`")
        });
        key.zip(audience).map(|(key, audience)| Proof::Key { key, id, audience })
    } else {
        secret.map(Proof::Secret)
    };
    object.finish(errors);
    match (has_secret, has_key) {
        (true, true) => errors.add_with_help(at, "must not have both `secret` and `private_key`", "leave one of them out"),
        (false, false) => errors.add_with_help(at, "`secret` or `private_key` is missing", CLIENT),
        (true, false) | (false, true) => {}
    }
    Some(Client { id: id?, proof: proof? })
}

/// One variable and nothing else: what is around it would be no secret.
fn read_variable(value: &Value, at: &At<'_>, errors: &mut Errors, help: &str) -> Option<Variable> {
    let template = read_template(value, at, errors, help, true)?;
    let name = Template::whole_variable(&template).map(|name| Variable(name.to_owned()));
    if name.is_none() {
        errors.add_with_help(at, "must be one `${env:NAME}`, and nothing around it", help);
    }
    name
}

fn read_text(value: &Value, at: &At<'_>, errors: &mut Errors, example: &str) -> Option<String> {
    let help = format!("for example {example}");
    let text = text(value, at, errors, &help)?;
    let plain = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if text.len() > limits::EXCHANGE_TEXT_BYTES || !plain {
        let message = format!("must be at most {} characters of ASCII", limits::EXCHANGE_TEXT_BYTES);
        errors.add_with_help(at, message, help);
        return None;
    }
    Some(text.to_owned())
}

fn read_resource(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const EXAMPLE: &str = "`resource: \"https://orders.example\"`";
    let text = read_text(value, at, errors, EXAMPLE)?;
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme || text.contains(['#', ' ']) {
        errors.add_with_help(at, "must be an absolute URI without a fragment (RFC 8707 §2)", format!("for example {EXAMPLE}"));
        return None;
    }
    Some(text)
}

impl TokenExchange {
    /// How records name what comes of it: never a value.
    pub(super) fn reference(&self) -> String {
        let simple = |text: &&String| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        let audience = self.audience.as_ref().filter(simple).map(|audience| format!(":{audience}")).unwrap_or_default();
        format!("exchange:{}{audience}", self.target.cluster)
    }
}
