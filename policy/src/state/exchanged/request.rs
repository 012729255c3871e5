//! What the endpoint is sent: a form (RFC 6749 §4.5), with the session's token in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Asker, Means, Unsent};
use crate::http::query::percent_encoded;
use crate::primitives::digest::hash;
use crate::primitives::limits;
use crate::rules::credential::{Grant, Proof, Variable};
use crate::state::fetch::{Failure, Post};
use crate::token::assertion::{self, Assertion};

pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// A form in the making.
struct Form(String);

impl Form {
    fn add(&mut self, name: &str, value: &[u8]) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&percent_encoded(value));
    }
}

pub(super) fn post(asker: &Asker<'_>, means: &Means<'_>) -> Result<Post, Unsent> {
    let exchange = asker.exchange;
    let mut form = Form(String::new());
    match exchange.grant {
        Grant::TokenExchange => {
            form.add("grant_type", b"urn:ietf:params:oauth:grant-type:token-exchange");
            form.add("subject_token", asker.text);
            form.add("subject_token_type", JWT.as_bytes());
            form.add("requested_token_type", ACCESS_TOKEN.as_bytes());
        }
        Grant::JwtBearer => {
            form.add("grant_type", b"urn:ietf:params:oauth:grant-type:jwt-bearer");
            form.add("assertion", asker.text);
        }
    }
    for (name, value) in [("audience", &exchange.audience), ("resource", &exchange.resource), ("scope", &exchange.scope)] {
        if let Some(value) = value {
            form.add(name, value.as_bytes());
        }
    }
    let value = |variable: &Variable| variable.of(means.environment).ok_or_else(|| unsent(Failure::VariableMissing, variable));
    let id = &exchange.client.id;
    let authorization = match &exchange.client.proof {
        Proof::Secret(secret) => {
            let pair = format!("{}:{}", percent_encoded(id.as_bytes()), percent_encoded(value(secret)?.as_bytes()));
            Some(format!("Basic {}", STANDARD.encode(pair)).into_bytes())
        }
        Proof::Key { key, id: key_id, audience } => {
            let now = means.latest.seconds();
            // Each is another, and nobody who has seen some knows the next.
            let unique = hash(&[b"the id of an assertion", means.seed, &means.ticket.number().to_be_bytes()]);
            let assertion = Assertion {
                client: id,
                audience,
                key_id: key_id.as_deref(),
                unique,
                issued: now,
                expires: now + limits::ASSERTION_SECONDS,
            };
            let signed = assertion::sign(&assertion, value(key)?).ok_or_else(|| unsent(Failure::KeyUnusable, key))?;
            form.add("client_id", id.as_bytes());
            form.add("client_assertion_type", b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
            form.add("client_assertion", signed.as_bytes());
            None
        }
    };
    Ok(Post { content_type: "application/x-www-form-urlencoded", authorization, body: form.0.into_bytes() })
}

fn unsent(failure: Failure, variable: &Variable) -> Unsent {
    Unsent { failure, variable: variable.name().to_owned() }
}
