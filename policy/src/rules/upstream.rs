//! What the target is given, and what it must not give back or get otherwise: the member `upstream`.

use serde_json::Value;

use crate::commands::read::Command;
use crate::document::{At, Errors, Object, boolean, each, kind, list, one_of};
use crate::rules::credential::Credentials;
use crate::rules::issuers::read_header_name;

/// What is done about bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// They pass unread.
    #[default]
    Unread,
    /// They are read, and a response with the credential in it is cut.
    Cut,
}

/// A long-lived credential of the target's own, by which a caller would go round the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Direct {
    /// `authorization: Basic …` (RFC 7617).
    Basic,
    /// `authorization: Bearer …` with what is no JWT: a key of the target's, as no session token is.
    OpaqueBearer,
    /// This header, whatever is in it; in lower case.
    Header(String),
}

impl Direct {
    /// As documents and records name it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Basic => "basic",
            Self::OpaqueBearer => "opaque_bearer",
            Self::Header(name) => name,
        }
    }

    /// The header that it is in any way.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Basic | Self::OpaqueBearer => None,
        }
    }
}

/// The member `upstream`.
#[derive(Default)]
pub(crate) struct Upstream {
    pub(crate) credentials: Credentials,
    pub(crate) echoes: Bodies,
    pub(crate) direct: Vec<Direct>,
    /// Further fields that never pass, in lower case.
    pub(crate) strip: Vec<String>,
    pub(crate) forward_token: bool,
}

impl Upstream {
    /// `given`: a grant gives a credential of its own.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, commands: &[Command], given: bool) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let has_credential = given || object.has("credential");
        let credentials =
            object.optional("credential", errors, |value, at, errors| Credentials::read(value, at, errors, commands));
        let echoes = object.optional("echoed_credential", errors, |value, at, errors| {
            let bodies = one_of(value, at, errors, &[("remove", Bodies::Unread), ("cut", Bodies::Cut)])?;
            if bodies == Bodies::Cut && !has_credential {
                errors.add_with_help(
                    at,
                    "no credential is given that could come back",
                    "name `upstream.credential`, or leave this out",
                );
            }
            Some(bodies)
        });
        let direct = object.optional("direct_credentials", errors, |value, at, errors| {
            let mut object = Object::open(value, at, errors)?;
            let help = "write `direct_credentials: {refuse: [basic, opaque_bearer, {header: x-api-key}]}`";
            let refused = object.required("refuse", help, errors, |value, at, errors| each(value, at, errors, read_direct));
            object.finish(errors);
            refused
        });
        let strip = object.optional("strip", errors, |value, at, errors| list(value, at, errors, read_header_name));
        let forward_token = object.optional("forward_token", errors, boolean).unwrap_or(false);
        object.finish(errors);
        Some(Self {
            credentials: credentials.unwrap_or_default(),
            echoes: echoes.unwrap_or_default(),
            direct: direct.unwrap_or_default(),
            strip: strip.unwrap_or_default(),
            forward_token,
        })
    }
}

fn read_direct(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Direct> {
    match value {
        Value::String(_) => {
            // A word stands for each kind that has no name of its own.
            let basic = one_of(value, at, errors, &[("basic", true), ("opaque_bearer", false)])?;
            Some(if basic { Direct::Basic } else { Direct::OpaqueBearer })
        }
        Value::Object(_) => {
            let mut object = Object::open(value, at, errors)?;
            let name = object.required("header", "for example `{header: x-api-key}`", errors, read_header_name);
            object.finish(errors);
            name.map(Direct::Header)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            let help = "write `basic`, `opaque_bearer` or `{header: x-api-key}`";
            errors.add_with_help(at, format!("must be a word or an object, not {}", kind(value)), help);
            None
        }
    }
}
