//! What a request asks for: commands, and with which arguments, where a token's own list can bind a command to those. No command
//! goes without its arguments from here on, so that none is allowed by its name alone.

use std::rc::Rc;

use crate::commands::read::Command;
use crate::commands::router::CommandId;
use crate::primitives::digest::TextSha256;
use crate::rules::policy::Rules;

/// A command by its name, under whatever policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) command: Rc<str>,
    /// The digest of the arguments' canonical form (RFC 8785); `None` where they are not known, or it has none.
    pub(crate) arguments: Option<TextSha256>,
}

impl Asked {
    /// The same under these rules; `None` where they do not have the command.
    pub(crate) fn under<'r>(&self, rules: &'r Rules) -> Option<AskedUnder<'r>> {
        let (id, command) = rules.command(&self.command)?;
        Some(AskedUnder { id, command, arguments: self.arguments })
    }
}

/// A command of a policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedUnder<'r> {
    pub(crate) id: CommandId,
    pub(crate) command: &'r Command,
    pub(crate) arguments: Option<TextSha256>,
}

impl AskedUnder<'_> {
    /// The same whatever becomes of the policy.
    pub(crate) fn named(&self) -> Asked {
        Asked { command: Rc::clone(&self.command.name), arguments: self.arguments }
    }
}

/// What a request asks for: one command nearly always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commands {
    One(Option<Asked>),
    Several(Rc<[Asked]>),
}

impl Commands {
    /// All that a body asks for.
    pub(crate) fn of(asked: Vec<Asked>) -> Self {
        match <[Asked; 1]>::try_from(asked) {
            Ok([one]) => Self::One(Some(one)),
            Err(several) => Self::Several(several.into()),
        }
    }

    /// The command that the head alone says, without arguments.
    pub(crate) fn of_head(command: Option<Rc<str>>) -> Self {
        Self::One(command.map(|command| Asked { command, arguments: None }))
    }

    pub(crate) fn all(&self) -> &[Asked] {
        match self {
            Self::One(one) => one.as_slice(),
            Self::Several(several) => several,
        }
    }
}
