//! The token's own lists of commands: a claim of the policy's choice, and RFC 9396 details.

use serde_json::{Map, Value};

use super::fault::{Claim, Found, Invalid, Wanted};
use super::paths::ClaimPath;
use crate::primitives::digest::TextSha256;
use crate::primitives::limits;
use crate::primitives::pattern::Pattern;

/// The token's own lists of commands; each that is there must hold a command for it to be in the token.
#[derive(Debug, Default)]
pub(crate) struct CommandLists {
    claim: Option<Vec<Pattern>>,
    details: Option<Vec<Detail>>,
}

/// An element of RFC 9396 details.
#[derive(Debug)]
struct Detail {
    actions: Vec<Pattern>,
    /// It is good for arguments of this digest alone.
    arguments: Option<TextSha256>,
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
        let text = |action: &Pattern, arguments: Option<TextSha256>| match arguments {
            Some(arguments) => format!("{action} with {ARGUMENTS} {arguments}"),
            None => action.to_string(),
        };
        let detail = |detail: &Detail| detail.actions.iter().map(|action| text(action, detail.arguments)).collect::<Vec<_>>();
        [
            self.claim.as_ref().map(|list| list.iter().map(Pattern::to_string).collect()),
            self.details.as_ref().map(|list| list.iter().flat_map(detail).collect()),
        ]
    }

    /// Does each list hold the command with arguments of this digest? With `None`, for what has no arguments that are known, only
    /// what is not bound by them.
    pub(crate) fn hold(&self, command: &str, arguments: Option<TextSha256>) -> bool {
        self.all_hold(command, |bound| bound.is_none() || bound == arguments)
    }

    /// Does each list hold the command with some arguments or other? That is good for a list of what there is, and for no call.
    pub(crate) fn hold_with_some(&self, command: &str) -> bool {
        self.all_hold(command, |_| true)
    }

    fn all_hold(&self, command: &str, fits: impl Fn(Option<TextSha256>) -> bool) -> bool {
        let names = |list: &Vec<Pattern>| list.iter().any(|pattern| pattern.matches(command));
        let allows = |detail: &Detail| fits(detail.arguments) && names(&detail.actions);
        self.claim.as_ref().is_none_or(names) && self.details.as_ref().is_none_or(|list| list.iter().any(allows))
    }
}

/// The member of a detail that binds it to arguments, called as in the record and in denials.
pub(crate) const ARGUMENTS: &str = "arguments_sha256";

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
/// (our audiences) or for all, and for arguments of the digest it names or for any. Elements of other types are for others. A
/// member that we do not know, or cannot read, could narrow what the element allows, so it makes the token invalid.
fn authorization_details(value: &Value, audiences: &[String]) -> Result<Option<Vec<Detail>>, Found> {
    let elements = value.as_array().ok_or_else(|| Found::is(value))?;
    let mut ours = None;
    for (place, element) in elements.iter().enumerate() {
        let wrong = Found::Item(place);
        let members = element.as_object().ok_or(wrong)?;
        if members.get("type").and_then(Value::as_str).ok_or(wrong)? != "chaperone" {
            continue;
        }
        if members.keys().any(|name| !matches!(name.as_str(), "type" | "actions" | "locations" | ARGUMENTS)) {
            return Err(wrong);
        }
        let actions = members.get("actions").filter(|actions| actions.is_array()).ok_or(wrong)?;
        let actions = patterns(actions).map_err(|_| wrong)?;
        let arguments =
            members.get(ARGUMENTS).map(|written| written.as_str().and_then(TextSha256::parse).ok_or(wrong)).transpose()?;
        let here = match members.get("locations") {
            None => true,
            Some(locations) => {
                let locations = locations.as_array().ok_or(wrong)?;
                locations.iter().filter_map(Value::as_str).any(|location| audiences.iter().any(|audience| audience == location))
            }
        };
        let list: &mut Vec<Detail> = ours.get_or_insert_default();
        if here {
            list.push(Detail { actions, arguments });
        }
    }
    Ok(ours)
}
