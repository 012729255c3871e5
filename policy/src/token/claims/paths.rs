//! Where an issuer keeps its claims, as the document says it.

use std::fmt;

use serde_json::{Map, Value};

use super::fault::{Claim, Found, Invalid};
use crate::document::{At, Errors, Object, each, string, strings};
use crate::primitives::limits;

/// The way to a claim: names of objects, one in the other, and of the claim in the innermost. Never empty. A dot is literal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClaimPath(Vec<String>);

impl ClaimPath {
    pub(crate) fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Reads a name, or a list of names that descends.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        if !value.is_array() {
            return Some(Self(vec![string(value, at, errors)?.to_owned()]));
        }
        let names = strings(value, at, errors)?;
        if names.len() > limits::TOKEN_JSON_DEPTH {
            let depth = limits::TOKEN_JSON_DEPTH;
            errors.add_with_help(
                at,
                format!("more than {depth} names"),
                "name a claim further up: no token is read that is nested so deeply",
            );
        }
        (!names.is_empty()).then(|| Self(names.into_iter().map(str::to_owned).collect()))
    }

    /// The claim; `None` where the token has none by this path, also where something on the way is no object.
    pub(crate) fn find<'v>(&self, all: &'v Map<String, Value>) -> Option<&'v Value> {
        self.descend(all).ok().flatten()
    }

    /// The claim; `None` when any step is absent, the type of what is on the way when that is no object.
    pub(super) fn descend<'v>(&self, all: &'v Map<String, Value>) -> Result<Option<&'v Value>, Found> {
        let Some((last, way)) = self.0.split_last() else { return Ok(None) };
        let mut members = all;
        for name in way {
            match members.get(name) {
                None => return Ok(None),
                Some(Value::Object(inner)) => members = inner,
                Some(other) => return Err(Found::NoObject(other.into())),
            }
        }
        Ok(members.get(last))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

/// The names with dots between them, for people.
impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if index > 0 { "." } else { "" })?;
        }
        Ok(())
    }
}

/// Paths of which a token's first counts that it has: an issuer's users and its services have different claims. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirstOf(Vec<ClaimPath>);

impl FirstOf {
    fn only(names: &[&str]) -> Self {
        Self(vec![ClaimPath::of(names)])
    }

    fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        if !value.is_object() {
            return ClaimPath::read(value, at, errors).map(|path| Self(vec![path]));
        }
        let mut object = Object::open(value, at, errors)?;
        let paths = object.required("first_of", "for example `{first_of: [sid, jti]}`", errors, |value, at, errors| {
            each(value, at, errors, ClaimPath::read)
        });
        object.finish(errors);
        let paths = paths.filter(|paths| !paths.is_empty())?;
        if paths.len() > limits::CLAIM_CHOICES {
            errors.add_with_help(
                at,
                format!("more than {} places", limits::CLAIM_CHOICES),
                "name fewer: one or two are what an issuer has, and each further one is another way to be the same session",
            );
        }
        Some(Self(paths))
    }

    pub(super) fn descend<'v>(&self, all: &'v Map<String, Value>) -> Result<Option<&'v Value>, Found> {
        for path in &self.0 {
            if let Some(value) = path.descend(all)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The first path that the token has the beginning of: half of a way is a mistake, not another way.
    pub(super) fn begun(&self, all: &Map<String, Value>) -> Option<&ClaimPath> {
        self.0.iter().find(|path| path.0.first().is_some_and(|name| all.contains_key(name)))
    }
}

impl fmt::Display for FirstOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            write!(f, "{}`{path}`", if index > 0 { " or " } else { "" })?;
        }
        Ok(())
    }
}

/// The member `claims` of an issuer.
#[derive(Debug)]
pub(crate) struct ClaimPaths {
    pub(super) session: FirstOf,
    pub(super) agent: FirstOf,
    pub(super) commands: ClaimPath,
    /// `None` for the same as `iat`.
    pub(super) started: Option<FirstOf>,
    /// What stands in for `iat` in a token without.
    pub(super) issued: Option<ClaimPath>,
    /// What stands in for `aud` in a token without.
    pub(super) audience: Option<ClaimPath>,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        Self {
            session: FirstOf::only(&["sid"]),
            agent: FirstOf::only(&["act", "sub"]),
            commands: ClaimPath::of(&["commands"]),
            started: None,
            issued: None,
            audience: None,
        }
    }
}

impl ClaimPaths {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        let default = Self::default();
        let paths = Self {
            session: object.optional("session", errors, FirstOf::read).unwrap_or(default.session),
            agent: object.optional("agent", errors, FirstOf::read).unwrap_or(default.agent),
            commands: object.optional("commands", errors, ClaimPath::read).unwrap_or(default.commands),
            started: object.optional("started", errors, FirstOf::read),
            issued: object.optional("issued", errors, ClaimPath::read),
            audience: object.optional("audience", errors, ClaimPath::read),
        };
        object.finish(errors);
        Some(paths)
    }

    /// The session that a token names, before anything of it is believed.
    pub(crate) fn session<'v>(&self, all: &'v Map<String, Value>) -> Option<&'v str> {
        self.session.descend(all).ok().flatten()?.as_str()
    }

    /// Whom a token is for: `aud` or, where it has none and the policy names a claim for that, what stands there.
    pub(crate) fn audience<'v>(&self, all: &'v Map<String, Value>) -> Option<&'v Value> {
        all.get("aud").or_else(|| self.audience.as_ref()?.find(all))
    }

    /// What is wrong with a token's claims, in a sentence.
    pub(crate) fn explain(&self, invalid: &Invalid) -> String {
        let name = match invalid.claim {
            Claim::Named(name) => format!("`{name}`"),
            Claim::Issued => match &self.issued {
                Some(path) => format!("`iat` or `{path}`"),
                None => "`iat`".to_owned(),
            },
            Claim::Session => self.session.to_string(),
            Claim::Started => self.started.as_ref().map_or("`iat`".to_owned(), ToString::to_string),
            Claim::Commands => format!("`{}`", self.commands),
            Claim::Hop(0) => self.agent.to_string(),
            Claim::Hop(hop) => format!("{} of hop {} of the chain", self.agent, hop + 1),
        };
        invalid.sentence(&name)
    }
}
