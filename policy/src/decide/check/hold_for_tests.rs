//! A need that a document can ask for in the tests' build alone: a body that must have a text in it, for commands that are no
//! protocol's.

use crate::commands::read::Command;
use crate::commands::router::CommandId;
use crate::decide::need::{Given, Need};
use crate::primitives::reason::Reason;

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
