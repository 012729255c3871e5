//! Keys for one run: one for each issuer of a policy, put beside the issuer's own keys in memory, never in a file.

use super::{KeyError, TestKey};
use chaperone_policy::{Accepted, Algorithm, KeyUse};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Mutex,
};

/// The keys that this process has made, by issuer; those that no policy is ever given are nobody's. A run is a process, and
/// an RSA key takes up to a second to make: too long for each time that a file is saved.
static MADE: Mutex<BTreeMap<(Option<String>, Algorithm), TestKey>> = Mutex::new(BTreeMap::new());

fn made(issuer: Option<&str>, alg: Algorithm) -> Result<TestKey, KeyError> {
    // Whoever held the lock and panicked left a map that is whole.
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match made.entry((issuer.map(str::to_owned), alg)) {
        Entry::Occupied(entry) => Ok(entry.get().clone()),
        Entry::Vacant(entry) => Ok(entry.insert(TestKey::generate(alg)?).clone()),
    }
}

/// The keys of one run. A policy that [`RunKeys::add_to`] was applied to accepts what they sign, and still accepts what
/// its issuers' own keys sign.
#[derive(Debug, Default, Clone)]
pub struct RunKeys {
    issuers: BTreeMap<(String, Algorithm), TestKey>,
    strangers: BTreeMap<Algorithm, TestKey>,
}

impl RunKeys {
    /// One key for each issuer, of the cheapest algorithm that the issuer lists.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn for_policy(policy: &Value) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        for issuer in issuers(policy) {
            if let (Some(name), Some(alg)) = (name(issuer), preferred(issuer)) {
                keys.key(name, alg)?;
            }
        }
        Ok(keys)
    }

    /// This key for each issuer that accepts its algorithm, and no other.
    #[must_use]
    pub fn only(policy: &Value, key: &TestKey) -> Self {
        let mut keys = Self::default();
        for issuer in issuers(policy).filter(|issuer| accepted(issuer).algorithms.contains(&key.alg())) {
            if let Some(name) = name(issuer) {
                keys.issuers.insert((name.to_owned(), key.alg()), key.clone());
            }
        }
        keys
    }

    /// The run's key of this issuer and algorithm, made when it is first asked for.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn key(&mut self, issuer: &str, alg: Algorithm) -> Result<&TestKey, KeyError> {
        match self.issuers.entry((issuer.to_owned(), alg)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(made(Some(issuer), alg)?)),
        }
    }

    /// A key that no policy is ever given.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn stranger(&mut self, alg: Algorithm) -> Result<&TestKey, KeyError> {
        match self.strangers.entry(alg) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(made(None, alg)?)),
        }
    }

    /// Puts the public halves into the policy: each beside the keys of its issuer, where that lists the algorithm.
    pub fn add_to(&self, policy: &mut Value) {
        let Some(issuers) = policy.pointer_mut("/tokens/issuers").and_then(Value::as_array_mut) else { return };
        for issuer in issuers {
            let Some(name) = name(issuer).map(str::to_owned) else { continue };
            let accepted = accepted(issuer);
            let Some(set) = issuer.pointer_mut("/keys/jwks/keys").and_then(Value::as_array_mut) else { continue };
            for ((of, alg), key) in &self.issuers {
                let jwk = key.public_jwk_for(accepted.key_use);
                if *of == name && accepted.algorithms.contains(alg) && !set.contains(&jwk) {
                    set.push(jwk);
                }
            }
        }
    }

    /// The keys of this run that the issuer's entry in a policy accepts.
    pub(crate) fn of_issuer(&self, issuer: &Value) -> Vec<TestKey> {
        let (name, accepted) = (name(issuer), accepted(issuer));
        let its = self.issuers.iter().filter(|((of, alg), _)| Some(of.as_str()) == name && accepted.algorithms.contains(alg));
        its.map(|(_, key)| key.clone()).collect()
    }

    /// The key that signs for the issuer; `None` when its entry is none.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn signer(&mut self, issuer: &Value) -> Result<Option<TestKey>, KeyError> {
        if let Some(key) = self.of_issuer(issuer).into_iter().next() {
            return Ok(Some(key));
        }
        let (Some(name), Some(alg)) = (name(issuer), preferred(issuer)) else { return Ok(None) };
        self.key(name, alg).cloned().map(Some)
    }

    /// Signs claims as their `iss` would: with the run's key of that issuer, or a stranger's when the policy does not
    /// know the issuer, with the `typ` that the policy asks for.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn sign(&mut self, policy: &Value, iss: Option<&str>, payload: &[u8]) -> Result<String, KeyError> {
        let issuer = iss.and_then(|iss| find(policy, iss));
        let header = header_for(issuer);
        let key = match (iss, issuer.and_then(preferred)) {
            (Some(iss), Some(alg)) => self.key(iss, alg)?,
            (Some(_) | None, _) => self.stranger(Algorithm::Es256)?,
        };
        Ok(key.sign_claims(Value::Object(header), payload))
    }
}

/// The issuer's entry in the policy.
pub(crate) fn find<'p>(policy: &'p Value, iss: &str) -> Option<&'p Value> {
    issuers(policy).find(|issuer| name(issuer) == Some(iss))
}

/// The cheapest algorithm that the issuer lists: RSA keys take a second to make.
pub(crate) fn preferred(issuer: &Value) -> Option<Algorithm> {
    let accepted = accepted(issuer);
    Algorithm::ALL.into_iter().find(|alg| accepted.algorithms.contains(alg))
}

/// The header members that the issuer's entry asks for.
pub(crate) fn header_for(issuer: Option<&Value>) -> Map<String, Value> {
    let mut header = Map::new();
    if let Some(typ) = issuer.and_then(|issuer| issuer.pointer("/types/0")).and_then(Value::as_str) {
        header.insert("typ".to_owned(), json!(typ));
    }
    header
}

/// The header of the policy's first place for tokens, and what stands before the token in it.
#[must_use]
pub fn carrier(policy: &Value) -> (String, String) {
    let first = policy.pointer("/tokens/from/0");
    let text = |name: &str| first.and_then(|from| from.get(name)).and_then(Value::as_str);
    match (text("header"), text("scheme")) {
        (Some(header), Some(scheme)) => (header.to_owned(), format!("{scheme} ")),
        (Some(header), None) => (header.to_owned(), String::new()),
        (None, _) => ("authorization".to_owned(), "Bearer ".to_owned()),
    }
}

fn issuers(policy: &Value) -> impl Iterator<Item = &Value> {
    policy.pointer("/tokens/issuers").and_then(Value::as_array).into_iter().flatten()
}

fn name(issuer: &Value) -> Option<&str> {
    issuer.get("issuer").and_then(Value::as_str)
}

/// Which keys the issuer's entry takes.
pub(crate) fn accepted(issuer: &Value) -> Accepted {
    let listed = issuer.get("algorithms").and_then(Value::as_array).into_iter().flatten();
    let key_use = issuer.pointer("/keys/use").and_then(Value::as_str).and_then(KeyUse::from_name);
    Accepted { algorithms: listed.filter_map(|alg| alg.as_str()?.parse().ok()).collect(), key_use: key_use.unwrap_or_default() }
}
