//! `tokens:` of a cases file: session tokens by name, signed when a request first carries them.

use super::read::{Errors, Members, Node, instant_named, unix_seconds, unknown_name};
use crate::published::Published;
use crate::token::{RunKeys, find, header_for, preferred};
use chaperone_policy::Algorithm;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{cell::RefCell, collections::BTreeMap};

const KNOWN: [&str; 10] = ["like", "iat", "nbf", "exp", "claims", "header", "key", "alg", "raw", "payload"];

/// The most names that may stand between a token and what it is like in the end: longer is a circle.
pub(super) const LONGEST_LIKENESS: usize = 16;

/// All tokens of a file.
pub(super) struct Tokens<'v> {
    specs: Members<'v>,
    policy: &'v Value,
    at: Timestamp,
    run: RefCell<RunKeys>,
    /// One name is one token: the same session is meant wherever it is used.
    minted: RefCell<BTreeMap<String, String>>,
}

impl<'v> Tokens<'v> {
    pub(super) fn read(node: Option<&Node<'v>>, policy: &'v Value, at: Timestamp, errors: &Errors<'_>) -> Self {
        let specs = node.and_then(|node| node.any_members(errors)).unwrap_or_default();
        let run = RefCell::new(RunKeys::for_policy(policy).unwrap_or_default());
        let tokens = Self { specs, policy, at, run, minted: RefCell::default() };
        // All of them, used or not: a mistake in a token is one even before a case uses it.
        for name in tokens.specs.keys() {
            if let Some(text) = tokens.mint(name, errors) {
                tokens.minted.borrow_mut().insert((*name).to_owned(), text);
            }
        }
        tokens
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.specs.keys().copied()
    }

    /// The token of this name; `None` when there is none, or when it has mistakes of its own.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.minted.borrow().get(name).cloned()
    }

    /// Puts the public keys of this run into a policy.
    pub(super) fn add_keys_to(&self, policy: &mut Value) {
        self.run.borrow().add_to(policy);
    }

    /// What the issuers of this policy publish with the keys of this run.
    pub(super) fn published(&self, policy: &Value) -> Published {
        // Without randomness there is no token either.
        Published::of(policy, &mut self.run.borrow_mut()).unwrap_or_default()
    }

    /// And what those of another one do.
    pub(super) fn publish_besides(&self, published: &mut Published, policy: &Value) {
        let _ = published.cover(policy, &mut self.run.borrow_mut());
    }

    fn mint(&self, name: &str, errors: &Errors<'_>) -> Option<String> {
        let spec = self.resolve(name, errors)?;
        if let Some(raw) = spec.get("raw") {
            return raw.text(errors).map(str::to_owned);
        }
        let mut claims = Map::new();
        for time in ["iat", "nbf", "exp"] {
            if let Some(node) = spec.get(time).filter(|node| !node.value.is_null()) {
                claims.insert(time.to_owned(), json!(self.at.as_second().saturating_add(node.duration(errors)?)));
            }
        }
        for (claim, node) in flatten(&spec, "claims") {
            if !node.value.is_null() {
                claims.insert(claim.to_owned(), self.claim(node));
            }
        }
        let payload = match spec.get("payload") {
            Some(node) => unix_seconds(node, node.text(errors)?, self.at, errors)?,
            None => Value::Object(claims.clone()).to_string(),
        };
        let said = spec.get("payload").and_then(|_| serde_json::from_str::<Value>(&payload).ok());
        let iss = said.as_ref().map_or_else(|| claims.get("iss"), |said| said.get("iss")).and_then(Value::as_str);
        let issuer = iss.and_then(|iss| find(self.policy, iss));
        let alg = match spec.get("alg") {
            Some(node) => match node.text(errors)?.parse::<Algorithm>() {
                Ok(alg) => alg,
                Err(error) => {
                    node.wrong(errors, error.to_string(), "an `alg` that is only said, and not used, goes under `header`");
                    return None;
                }
            },
            None => issuer.and_then(preferred).unwrap_or(Algorithm::Es256),
        };
        let mut header = header_for(issuer);
        let mut run = self.run.borrow_mut();
        let known = match (iss, issuer) {
            (Some(iss), Some(_)) => run.key(iss, alg),
            (Some(_) | None, _) => run.stranger(alg),
        };
        let known = known.map_err(|error| errors.add(&spec_pointer(&spec), error.to_string(), None)).ok()?.clone();
        let key = match spec.get("key").map(|node| (node, node.text(errors))) {
            None => known,
            Some((_, Some("stranger"))) => {
                // It claims to be the known key: a forger can read a `kid`, but not sign for it.
                header.insert("kid".to_owned(), json!(known.kid()));
                run.stranger(alg).map_err(|error| errors.add(&spec_pointer(&spec), error.to_string(), None)).ok()?.clone()
            }
            Some((node, other)) => {
                if other.is_some() {
                    node.wrong(
                        errors,
                        "no such key",
                        "leave it out for the run's key, or write `stranger` for one that the policy is not given",
                    );
                }
                return None;
            }
        };
        for (member, node) in flatten(&spec, "header") {
            header.insert(member.to_owned(), node.value.clone());
        }
        Some(key.sign_claims(Value::Object(header), payload.as_bytes()))
    }

    /// A claim's value. A text that is one `${at…}` is that instant in Unix seconds, as a number.
    fn claim(&self, node: &Node<'_>) -> Value {
        let name = node.value.as_str().and_then(|text| text.strip_prefix("${")?.strip_suffix('}'));
        match name.and_then(|name| instant_named(name, self.at)) {
            Some(instant) => json!(instant.as_second()),
            None => node.value.clone(),
        }
    }

    /// The members of a token, those of what it is like beneath. `claims` and `header` are laid over member by member,
    /// under names with a slash in front.
    fn resolve(&self, name: &str, errors: &Errors<'_>) -> Option<BTreeMap<String, Node<'v>>> {
        let mut layers = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next.take() {
            let node = self.specs.get(name.as_str())?;
            if layers.len() == LONGEST_LIKENESS {
                node.wrong(errors, "is like itself in the end", "end the chain of `like`");
                return None;
            }
            let members = node.members(errors, &KNOWN)?;
            if let Some(like) = members.get("like") {
                let text = like.text(errors)?;
                if !self.specs.contains_key(text) {
                    unknown_name(like, errors, "token", text, self.names());
                    return None;
                }
                next = Some(text.to_owned());
            }
            layers.push(members);
        }
        let mut whole = BTreeMap::new();
        for members in layers.into_iter().rev() {
            for (name, node) in members {
                match name {
                    "claims" | "header" => {
                        for (member, node) in node.any_members(errors)? {
                            whole.insert(format!("{name}/{member}"), node);
                        }
                    }
                    _ => {
                        whole.insert(name.to_owned(), node);
                    }
                }
            }
        }
        Some(whole)
    }
}

fn flatten<'m, 'v>(spec: &'m BTreeMap<String, Node<'v>>, of: &'m str) -> impl Iterator<Item = (&'m str, &'m Node<'v>)> {
    spec.iter().filter_map(move |(name, node)| Some((name.strip_prefix(of)?.strip_prefix('/')?, node)))
}

fn spec_pointer(spec: &BTreeMap<String, Node<'_>>) -> String {
    spec.values().next().map(|node| node.pointer.clone()).unwrap_or_default()
}
