//! The token's own lists of commands: a claim of the policy's choice, and RFC 9396 details.

use serde_json::{Map, Value};

use super::fault::{Claim, Found, Invalid, Wanted};
use super::paths::ClaimPath;
use crate::primitives::limits;
use crate::primitives::pattern::Pattern;

/// The token's own lists of commands; each that is there must hold a command for it to be in the token.
#[derive(Debug, Default)]
pub(crate) struct CommandLists {
    claim: Option<Vec<Pattern>>,
    details: Option<Vec<Pattern>>,
}

impl CommandLists {
    pub(super) fn read(all: &Map<String, Value>, path: &ClaimPath, audiences: &[String]) -> Result<Self, Invalid> {
        let claim = path.descend(all).map_err(|found| Wanted::Commands.but(Claim::Commands, found))?;
        let claim = claim.map(|value| patterns(value).map_err(|found| Wanted::Commands.but(Claim::Commands, found)));
        let details = all.get("authorization_details").map(|details| {
            let named = Claim::Named("authorization_details");
            authorization_details(details, audiences).map_err(|found| Wanted::Details.but(named, found))
        });
        Ok(Self { claim: claim.transpose()?, details: details.transpose()?.flatten() })
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.claim.is_none() && self.details.is_none()
    }

    /// The lists as they were written: the claim's, and that of the details.
    pub(crate) fn texts(&self) -> [Option<Vec<String>>; 2] {
        [&self.claim, &self.details].map(|list| list.as_ref().map(|list| list.iter().map(Pattern::to_string).collect()))
    }

    pub(crate) fn hold(&self, command: &str) -> bool {
        [&self.claim, &self.details].into_iter().flatten().all(|list| list.iter().any(|pattern| pattern.matches(command)))
    }
}

/// A list of patterns, or a text of them as `scope` has it (RFC 6749 §3.3).
fn patterns(value: &Value) -> Result<Vec<Pattern>, Found> {
    let parse = |(place, text): (usize, Option<&str>)| text.and_then(Pattern::parse).ok_or(Found::Item(place));
    match value {
        Value::Array(items) if items.len() > limits::TOKEN_COMMANDS => Err(Found::Many(items.len())),
        Value::Array(items) => items.iter().map(Value::as_str).enumerate().map(parse).collect(),
        Value::String(text) => {
            let words = || text.split(' ').filter(|word| !word.is_empty());
            match words().nth(limits::TOKEN_COMMANDS) {
                Some(_) => Err(Found::Many(words().count())),
                // A scope that is no name of a command is for somebody else. To leave it out takes nothing from anybody.
                None => Ok(words().filter_map(Pattern::parse).collect()),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(Found::is(value)),
    }
}

/// The commands of RFC 9396 details: elements of type `chaperone` list them as `actions`, each for the `locations` it names
/// (our audiences) or for all. Elements of other types are for others. A member that we do not know could narrow what the
/// element allows, so it makes the token invalid.
fn authorization_details(value: &Value, audiences: &[String]) -> Result<Option<Vec<Pattern>>, Found> {
    let elements = value.as_array().ok_or_else(|| Found::is(value))?;
    let mut ours = None;
    for (place, element) in elements.iter().enumerate() {
        let wrong = Found::Item(place);
        let members = element.as_object().ok_or(wrong)?;
        if members.get("type").and_then(Value::as_str).ok_or(wrong)? != "chaperone" {
            continue;
        }
        if members.keys().any(|name| !matches!(name.as_str(), "type" | "actions" | "locations")) {
            return Err(wrong);
        }
        let actions = members.get("actions").filter(|actions| actions.is_array()).ok_or(wrong)?;
        let actions = patterns(actions).map_err(|_| wrong)?;
        let here = match members.get("locations") {
            None => true,
            Some(locations) => {
                let locations = locations.as_array().ok_or(wrong)?;
                locations.iter().filter_map(Value::as_str).any(|location| audiences.iter().any(|audience| audience == location))
            }
        };
        let list: &mut Vec<Pattern> = ours.get_or_insert_default();
        if here {
            list.extend(actions);
        }
    }
    Ok(ours)
}
