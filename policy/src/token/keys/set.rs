//! The keys of one issuer (RFC 7517 §5), in a document or as the issuer publishes them.

use std::fmt;

use serde_json::Value;

use super::jwk::{self, KeyFault};
use super::{Accepted, Algorithm, KeyFingerprint, VerificationKey};
use crate::document::{At, Errors, kind};
use crate::primitives::limits;

/// The keys of one issuer: none stands there twice, and no two of one algorithm have the same `kid`. Equal when the same keys
/// have the same names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct KeySet(Vec<VerificationKey>);

/// A key of a published set that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedKey {
    place: usize,
    id: Option<String>,
    fault: KeyFault,
}

impl DroppedKey {
    /// Says whether it is a key for another purpose or for somebody else, so that nothing is wrong with it.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.fault.foreign
    }

    /// Returns its place in the list `keys`, from 0.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }
}

impl fmt::Display for DroppedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]", self.place)?;
        if let Some(id) = &self.id {
            write!(f, " (`kid` {})", shown(id))?;
        }
        write!(f, ": {}", shown(&self.fault.text))
    }
}

/// What an issuer wrote, for a line of a log: of one line, and short.
fn shown(text: &str) -> String {
    let one_line = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    text.chars().take(200).map(one_line).collect()
}

impl KeySet {
    /// Reads the set of a document. Keys for others are passed over as in a published one; a key with a mistake in it is an
    /// error, and so is a set without any key for us.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, accepted: &Accepted) -> Option<Self> {
        const HELP: &str = "a JWK Set is an object with a list of keys (RFC 7517 §5): write `jwks: {keys: [{kty: …}]}`";
        let place = at.member("keys");
        let items = match value {
            Value::Object(members) => match members.get("keys") {
                Some(Value::Array(items)) if !items.is_empty() => items,
                Some(Value::Array(_)) => {
                    errors.add_with_help(&place, "must not be an empty list", "list the issuer's public keys");
                    return None;
                }
                Some(other) => {
                    errors.add_with_help(&place, format!("must be a list, not {}", kind(other)), HELP);
                    return None;
                }
                None => {
                    errors.add_with_help(at, "`keys` is missing", HELP);
                    return None;
                }
            },
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                errors.add_with_help(at, format!("must be an object, not {}", kind(other)), HELP);
                return None;
            }
        };
        let (set, dropped) = Self::sort_out(items, accepted);
        let none_left = set.0.is_empty() && dropped.iter().all(DroppedKey::is_foreign);
        for DroppedKey { place: index, fault, .. } in dropped.iter().filter(|dropped| none_left || !dropped.is_foreign()) {
            let item = place.item(*index);
            let member = fault.member.map(|name| item.member(name));
            let at = member.as_ref().filter(|_| has_member(items.get(*index), fault)).unwrap_or(&item);
            match &fault.help {
                Some(help) => errors.add_with_help(at, fault.text.clone(), help.clone()),
                None => errors.add(at, fault.text.clone()),
            }
        }
        Some(set)
    }

    /// Takes what can be used of a published set, and says of the rest why it is not: one odd key must not keep the keys alive
    /// that the issuer has withdrawn with it.
    pub(crate) fn sort_out(items: &[Value], accepted: &Accepted) -> (Self, Vec<DroppedKey>) {
        let mut taken: Vec<(usize, VerificationKey)> = Vec::new();
        let mut dropped = Vec::new();
        let id_of = |place: usize| items.get(place).and_then(|key| key.get("kid")).and_then(Value::as_str).map(str::to_owned);
        let mut drop = |place: usize, fault: KeyFault| dropped.push(DroppedKey { place, id: id_of(place), fault });
        // Names that two different keys have.
        let mut ambiguous: Vec<(String, Algorithm)> = Vec::new();
        for (place, item) in items.iter().enumerate() {
            if taken.len() >= limits::KEY_SET_KEYS {
                drop(place, KeyFault::one_too_many());
                continue;
            }
            let key = match jwk::read(item, accepted) {
                Ok(key) => key,
                Err(fault) => {
                    drop(place, fault);
                    continue;
                }
            };
            let same = |known: &VerificationKey| known.algorithm == key.algorithm && known.id == key.id;
            if taken.iter().any(|(_, known)| *known == key) {
                continue;
            }
            match &key.id {
                Some(id) if taken.iter().any(|(_, known)| same(known)) => ambiguous.push((id.clone(), key.algorithm)),
                None if taken.iter().filter(|(_, known)| same(known)).count() >= limits::KEY_TRIALS => {
                    drop(place, KeyFault::never_tried(key.algorithm));
                    continue;
                }
                Some(_) | None => {}
            }
            taken.push((place, key));
        }
        let is_ambiguous = |key: &VerificationKey| {
            ambiguous.iter().any(|(id, algorithm)| key.id.as_ref() == Some(id) && key.algorithm == *algorithm)
        };
        taken.retain(|(place, key)| {
            let clear = !is_ambiguous(key);
            if !clear {
                drop(*place, KeyFault::ambiguous(key.algorithm));
            }
            clear
        });
        dropped.sort_by_key(|dropped| dropped.place);
        (Self(taken.into_iter().map(|(_, key)| key).collect()), dropped)
    }

    /// Is this very key among them?
    pub(crate) fn has(&self, key: KeyFingerprint) -> bool {
        self.0.iter().any(|known| known.fingerprint == key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that can have signed a token with this `kid` and `alg`: the one with both or, where there is none, those without a
    /// `kid` (RFC 7517 §4.5 leaves it to the issuer); and where the token has none, all of the algorithm. Never more than
    /// [`limits::KEY_TRIALS`].
    pub(crate) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &VerificationKey> + Clone {
        let named = self.0.iter().any(|key| key.algorithm == algorithm && key.is_called(id));
        let fits = move |key: &&VerificationKey| {
            let by_id = id.is_none() || if named { key.id.as_deref() == id } else { key.id.is_none() };
            key.algorithm == algorithm && by_id
        };
        self.0.iter().filter(fits).take(limits::KEY_TRIALS)
    }
}

fn has_member(item: Option<&Value>, fault: &KeyFault) -> bool {
    fault.member.is_some_and(|name| item.is_some_and(|item| item.get(name).is_some()))
}

/// What a document's set says besides its keys, for whoever checks the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNote {
    /// A key that is not for this issuer's tokens, and why.
    PassedOver(usize, String),
    /// An RSA key whose exponent is below 65537.
    SmallExponent(usize),
}

/// Says what is noteworthy of the keys of a document's set (`keys.jwks.keys`) that is without errors.
#[must_use]
pub fn key_notes(items: &[Value], accepted: &Accepted) -> Vec<KeyNote> {
    let (set, dropped) = KeySet::sort_out(items, accepted);
    // Where no key is left it is an error that there is none.
    let passed = dropped.iter().filter(|dropped| set.len() > 0 && dropped.is_foreign());
    let passed = passed.map(|dropped| KeyNote::PassedOver(dropped.place, dropped.fault.text.clone().into_owned()));
    let is_taken = |place: &usize| !dropped.iter().any(|dropped| dropped.place == *place);
    let small = items.iter().enumerate().filter(|(_, item)| jwk::has_small_exponent(item)).map(|(place, _)| place);
    passed.chain(small.filter(is_taken).map(KeyNote::SmallExponent)).collect()
}
