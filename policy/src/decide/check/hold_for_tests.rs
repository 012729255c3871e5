//! Two needs that a document can ask for in the tests' build alone, so that waiting is tried in a real proxy before anything
//! that ships waits: a body that must have a text in it, and a credential that comes after a while.

use super::Findings;
use crate::commands::read::Command;
use crate::commands::router::CommandId;
use crate::decide::need::{Given, Need};
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;

pub(super) fn body_is_missing(command: Option<(CommandId, &Command)>, given: &Given<'_>) -> Result<Option<Need>, Reason> {
    let Some(wanted) = command.and_then(|(_, command)| command.needs.body.as_ref()) else { return Ok(None) };
    match given {
        Given::Nothing => Ok(Some(Need::Body { most_bytes: wanted.most_bytes })),
        Given::Body(body) if body.bytes().windows(wanted.has.len()).any(|part| part == wanted.has.as_bytes()) => Ok(None),
        Given::Body(_) => Err(Reason::UnknownCommand),
        Given::TooLarge => Err(Reason::Overloaded),
        Given::Gone => Err(Reason::AmbiguousRequest),
    }
}

pub(super) fn credential_is_missing(
    command: Option<(CommandId, &Command)>,
    latest: Timestamp,
    findings: &Findings,
) -> Option<Need> {
    let after = command.and_then(|(_, command)| command.needs.credential_after)?;
    let waited = findings.held_since.is_some_and(|since| latest.since(since).as_secs() >= after);
    (!waited).then_some(Need::Credential)
}
