//! Which credential a command is given.

use std::rc::Rc;

use serde_json::Value;

use super::Credential;
use crate::commands::read::Command;
use crate::commands::router::CommandId;
use crate::document::{At, Errors, each};
use crate::rules::grants::read_allowed;

/// The credentials of a policy, or of one of its grants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Credentials(Vec<For>);

/// A credential, and the commands that it is for; `None`: all that no other is for.
#[derive(Debug, PartialEq, Eq)]
struct For {
    credential: Rc<Credential>,
    commands: Option<Vec<CommandId>>,
}

impl Credentials {
    /// One credential, or a list of them.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, commands: &[Command]) -> Option<Self> {
        let read = |value: &Value, at: &At<'_>, errors: &mut Errors| {
            let (credential, named) = Credential::read(value, at, errors, |value, at, errors| {
                let named = each(value, at, errors, |value, at, errors| read_allowed(value, at, errors, commands))?;
                Some(named.into_iter().flatten().collect())
            })?;
            Some(For { credential: Rc::new(credential), commands: named })
        };
        let all = if value.is_array() { each(value, at, errors, read)? } else { vec![read(value, at, errors)?] };
        for (index, one) in all.iter().enumerate() {
            if let Some(what) = all.iter().take(index).find_map(|other| one.meets(other, commands)) {
                errors.add_with_help(
                    &at.item(index),
                    format!("another of these is for {what} as well"),
                    "name each command in one `for`, and leave `for` out of one item at the most",
                );
            }
        }
        Some(Self(all))
    }

    /// What a command is given; what is no command is given what is for all.
    pub(crate) fn of(&self, command: Option<CommandId>) -> Option<&Rc<Credential>> {
        let named =
            |one: &&For| one.commands.as_ref().is_some_and(|named| command.is_some_and(|command| named.contains(&command)));
        let found = self.0.iter().find(named).or_else(|| self.0.iter().find(|one| one.commands.is_none()));
        found.map(|one| &one.credential)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Rc<Credential>> {
        self.0.iter().map(|one| &one.credential)
    }
}

impl For {
    /// What both are for.
    fn meets(&self, other: &Self, commands: &[Command]) -> Option<String> {
        match (&self.commands, &other.commands) {
            (None, None) => Some("all commands".to_owned()),
            (Some(mine), Some(others)) => {
                let both = mine.iter().find(|command| others.contains(command))?;
                commands.get(both.0 as usize).map(|command| format!("`{}`", command.name))
            }
            (None, Some(_)) | (Some(_), None) => None,
        }
    }
}
