//! What the issuers of a policy publish in a run, where no issuer is: the run's own keys at each `keys.endpoint`, and lists in
//! which every token is valid at each `status` URI, unless a script says otherwise; and what its token endpoints answer.

use crate::source::exchanges;
use crate::token::{KeyError, RunKeys, TestKey, accepted, jwks_for, packed, status_list};
use chaperone_policy::{Algorithm, Answer, Fetch, KeyUse, Policy, RustCrypto, Worker};
use serde_json::{Value, json};
use std::{collections::BTreeMap, rc::Rc};

/// Entries of a list that nobody has scripted: as many as a log's tokens may name.
const ENTRIES: usize = 1 << 20;

/// What is published, by `https` URL.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pages: BTreeMap<String, Page>,
    scripts: BTreeMap<String, Script>,
    stranger: Option<TestKey>,
}

/// What stands at a URL of the policy.
#[derive(Debug, Clone)]
enum Page {
    Keys { keys: Vec<TestKey>, key_use: KeyUse },
    List { key: TestKey, most_bytes: usize },
    Events,
    Token,
}

/// What a script has a URL answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Script {
    /// What it answers by itself.
    Own,
    /// This status and body.
    Plain(u16, String),
    /// A key set without the run's keys: with one that signs nothing here.
    OtherKeys,
    /// A status list in which these entries are not valid.
    Revoked(Vec<usize>),
}

/// What a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An issuer's keys.
    Keys,
    /// A status list.
    List,
    /// A stream of security events, without any.
    Events,
    /// Tokens for those of sessions.
    Token,
}

impl Published {
    /// What the issuers of this policy publish, with these keys.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn of(policy: &Value, keys: &mut RunKeys) -> Result<Self, KeyError> {
        let mut published = Self::default();
        published.cover(policy, keys)?;
        Ok(published)
    }

    /// Publishes what this policy names besides.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn cover(&mut self, policy: &Value, keys: &mut RunKeys) -> Result<(), KeyError> {
        for issuer in policy.pointer("/tokens/issuers").and_then(Value::as_array).into_iter().flatten() {
            let text = |pointer: &str| issuer.pointer(pointer).and_then(Value::as_str);
            if let (Some(authority), Some(path)) = (text("/keys/endpoint/authority"), text("/keys/endpoint/path")) {
                let page = Page::Keys { keys: keys.of_issuer(issuer), key_use: accepted(issuer).key_use };
                self.pages.insert(format!("https://{authority}{path}"), page);
                self.stranger.get_or_insert(keys.stranger(Algorithm::Es256)?.clone());
            }
            if let (Some(authority), Some(path)) = (text("/events/authority"), text("/events/path")) {
                self.pages.insert(format!("https://{authority}{path}"), Page::Events);
            }
            let uris = issuer.pointer("/status/uris").and_then(Value::as_array).into_iter().flatten();
            let most = issuer.pointer("/status/max_bytes").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
            for uri in uris.filter_map(Value::as_str) {
                if let Some(key) = keys.signer(issuer)? {
                    let most_bytes = most.unwrap_or(chaperone_policy::limits::STATUS_LIST_BYTES);
                    self.pages.insert(uri.to_owned(), Page::List { key, most_bytes });
                }
            }
        }
        for (_, exchange) in exchanges(policy) {
            let text = |name: &str| exchange.get(name).and_then(Value::as_str);
            if let (Some(authority), Some(path)) = (text("authority"), text("path")) {
                self.pages.insert(format!("https://{authority}{path}"), Page::Token);
            }
        }
        Ok(())
    }

    /// Lays a script over what is published.
    pub fn script(&mut self, scripts: &BTreeMap<String, Script>) {
        self.scripts.extend(scripts.iter().map(|(url, script)| (url.clone(), script.clone())));
    }

    /// The URLs that the policy has fetched, and what they are for.
    pub fn urls(&self) -> impl Iterator<Item = (&str, Kind)> {
        self.pages.iter().map(|(url, page)| {
            let kind = match page {
                Page::Keys { .. } => Kind::Keys,
                Page::List { .. } => Kind::List,
                Page::Events => Kind::Events,
                Page::Token => Kind::Token,
            };
            (url.as_str(), kind)
        })
    }

    /// Is there nothing that a policy would have fetched?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// What this URL answers at this instant, in Unix seconds; `None` when nobody is there.
    #[must_use]
    pub fn answer(&self, url: &str, now: u64) -> Option<(u16, String)> {
        let page = self.pages.get(url)?;
        let body = match (self.scripts.get(url).unwrap_or(&Script::Own), page) {
            (Script::Plain(status, body), _) => return Some((*status, body.clone())),
            (Script::Own | Script::OtherKeys | Script::Revoked(_), Page::Events) => r#"{"sets":{}}"#.to_owned(),
            (Script::Own | Script::OtherKeys | Script::Revoked(_), Page::Token) => token(),
            (Script::OtherKeys, Page::Keys { key_use, .. }) => jwks_for(&self.stranger, *key_use).to_string(),
            (Script::Own | Script::Revoked(_), Page::Keys { keys, key_use }) => jwks_for(keys, *key_use).to_string(),
            (Script::Revoked(revoked), Page::List { key, .. }) => {
                list(key, url, &packed(1, revoked.iter().map(|index| (*index, 1)).chain([(ENTRIES - 1, 0)])), now)
            }
            (Script::Own | Script::OtherKeys, Page::List { key, most_bytes }) => {
                list(key, url, &vec![0; (ENTRIES / 8).min(*most_bytes)], now)
            }
        };
        Some((200, body))
    }

    /// Fetches for the core itself whatever is due.
    pub fn fetch_for(&self, worker: &mut Worker, policy: &Rc<Policy>, now: chaperone_policy::Timestamp) {
        worker.hold_for(&[Rc::clone(policy)]);
        // Lists wait for keys.
        for _ in 0..2 {
            let due = worker.due(policy, now).fetches;
            self.fetch(worker, due, now);
        }
    }

    /// Fetches for the core itself what a request has begun to wait for.
    pub fn fetch_wanted(&self, worker: &mut Worker, now: chaperone_policy::Timestamp) {
        let wanted = worker.wanted().fetches;
        self.fetch(worker, wanted, now);
    }

    fn fetch(&self, worker: &mut Worker, fetches: Vec<Fetch>, now: chaperone_policy::Timestamp) {
        for fetch in fetches {
            let answer = self.answer(&format!("https://{}{}", fetch.authority, fetch.path), now.seconds());
            let answer = match &answer {
                Some((status, body)) => Answer::Response { status: *status, body: body.as_bytes() },
                None => Answer::Nothing,
            };
            worker.fetched(fetch.ticket, answer, now, &RustCrypto);
        }
    }
}

/// What an endpoint gives that nobody has scripted.
fn token() -> String {
    json!({
        "access_token": "exchanged", "token_type": "Bearer", "expires_in": 300,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    })
    .to_string()
}

fn list(key: &TestKey, uri: &str, packed: &[u8], now: u64) -> String {
    let claims = [("iat", json!(now)), ("ttl", json!(60))];
    status_list(key, uri, 1, packed, claims.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}
