//! How often the commands of a grant may be called, and after which others.

use std::rc::Rc;

use serde_json::Value;

use super::read_allowed;
use crate::commands::read::Command;
use crate::commands::router::CommandId;
use crate::document::{At, Errors, Object, duration, each, string, whole_number};
use crate::primitives::digest::{beginning, hash};
use crate::primitives::limits;

/// A rule, or a command that one asks for: the beginning of a SHA-256 over what it is called. Compared only.
pub(crate) type RuleId = [u8; 8];

/// The members `calls` and `after` of a grant.
#[derive(Debug, Default)]
pub(crate) struct UsageRules {
    pub(crate) calls: Vec<CallRule>,
    pub(crate) after: Vec<AfterRule>,
}

/// So many calls of these commands together, in so much time.
#[derive(Debug)]
pub(crate) struct CallRule {
    pub(crate) commands: Chosen,
    pub(crate) count: u16,
    /// Seconds; `None` for as long as the session.
    pub(crate) within: Option<u64>,
    /// What it is counted under.
    pub(crate) id: RuleId,
}

/// These commands only after another.
#[derive(Debug)]
pub(crate) struct AfterRule {
    pub(crate) commands: Chosen,
    pub(crate) needs: CommandId,
    needs_name: Rc<str>,
    /// Seconds; `None` for as long as the session.
    pub(crate) within: Option<u64>,
    /// What the call of the other is noted under.
    pub(crate) id: RuleId,
}

/// Some of a grant's commands.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// As the document writes them, sorted.
    written: Vec<String>,
    /// Sorted.
    ids: Vec<CommandId>,
}

impl Chosen {
    pub(crate) fn hold(&self, command: CommandId) -> bool {
        self.ids.binary_search(&command).is_ok()
    }
}

impl UsageRules {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.after.is_empty()
    }

    /// Names what is counted: by the policy, the grant and the rule as it is written but for its count, so that another count goes
    /// on with what has been counted. What was called is noted for all grants of a policy.
    pub(crate) fn identify(&mut self, policy: &str, grant: &str) {
        for CallRule { commands, within, id, .. } in &mut self.calls {
            let within = within.map(u64::to_be_bytes);
            let within = within.as_ref().map_or(&[][..], |within| within);
            let mut parts = vec![b"calls".as_slice(), policy.as_bytes(), grant.as_bytes(), within];
            parts.extend(commands.written.iter().map(|written| written.as_bytes()));
            *id = beginning(&hash(&parts));
        }
        for AfterRule { needs_name, id, .. } in &mut self.after {
            *id = beginning(&hash(&[b"called", policy.as_bytes(), needs_name.as_bytes()]));
        }
    }
}

/// Reads both members. `allow`: the grant's commands, sorted.
pub(super) fn read(
    object: &mut Object<'_, '_>,
    errors: &mut Errors,
    commands: &[Command],
    allow: Option<&[CommandId]>,
) -> UsageRules {
    let calls = object.optional("calls", errors, |value, at, errors| {
        few(value, at, errors);
        each(value, at, errors, |value, at, errors| read_calls(value, at, errors, commands, allow))
    });
    let after = object.optional("after", errors, |value, at, errors| {
        few(value, at, errors);
        each(value, at, errors, |value, at, errors| read_after(value, at, errors, commands, allow))
    });
    let (calls, after) = (calls.unwrap_or_default(), after.unwrap_or_default());
    for (place, rule) in calls.iter().enumerate() {
        let same = |other: &CallRule| other.commands.written == rule.commands.written && other.within == rule.within;
        if calls.iter().take(place).any(same) {
            let at = object.place().member("calls");
            errors.add_with_help(&at, "two rules count the same commands in the same time", "leave the one with the lower count");
        }
    }
    UsageRules { calls, after }
}

fn few(value: &Value, at: &At<'_>, errors: &mut Errors) {
    if value.as_array().is_some_and(|items| items.len() > limits::CALL_RULES) {
        let message = format!("more than {} rules", limits::CALL_RULES);
        errors.add_with_help(at, message, "name several commands in one rule, or write a grant for some of them");
    }
}

fn read_calls(
    value: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    commands: &[Command],
    allow: Option<&[CommandId]>,
) -> Option<CallRule> {
    let mut object = Object::open(value, at, errors)?;
    let chosen = object.required("commands", "for example `commands: [tickets.close]`", errors, |value, at, errors| {
        choose(value, at, errors, commands, allow)
    });
    let count = object.required("count", "for example `count: 10`", errors, |value, at, errors| {
        const HELP: &str = "write a whole number from 1 to 10000, for example `count: 10`";
        let count = whole_number(value, at, errors, HELP)?;
        let fitting = u16::try_from(count).ok().filter(|count| (1..=limits::CALLS_COUNTED).contains(count));
        if fitting.is_none() {
            errors.add_with_help(at, format!("must be from 1 to {}", limits::CALLS_COUNTED), HELP);
        }
        fitting
    });
    let within = object.optional("within", errors, read_within);
    object.finish(errors);
    Some(CallRule { commands: chosen?, count: count?, within, id: RuleId::default() })
}

fn read_after(
    value: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    commands: &[Command],
    allow: Option<&[CommandId]>,
) -> Option<AfterRule> {
    let mut object = Object::open(value, at, errors)?;
    let chosen = object.required("commands", "for example `commands: [tickets.close]`", errors, |value, at, errors| {
        choose(value, at, errors, commands, allow)
    });
    let needs = object.required("needs", "for example `needs: tickets.read`", errors, |value, at, errors| {
        let text = string(value, at, errors)?;
        let place = commands.binary_search_by(|command| (*command.name).cmp(text)).ok();
        let Some(place) = place else {
            let help = "name one of `commands`, in full";
            errors.add_with_help(at, format!("`{text}` is not a command"), help);
            return None;
        };
        Some((CommandId(u32::try_from(place).ok()?), Rc::clone(&commands.get(place)?.name)))
    });
    let within = object.optional("within", errors, read_within);
    object.finish(errors);
    let (commands, (needs, needs_name)) = (chosen?, needs?);
    if commands.hold(needs) {
        errors.add_with_help(
            at,
            format!("`{needs_name}` would have to be called before itself"),
            "take it out of `commands`, or name another in `needs`",
        );
    }
    Some(AfterRule { commands, needs, needs_name, within, id: RuleId::default() })
}

fn read_within(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<u64> {
    let seconds = duration(value, at, errors)?;
    if !(1..=limits::CALLS_SECONDS).contains(&seconds) {
        errors.add_with_help(at, "must be from 1s to 1d", "for example `within: 1m`; leave it out for as long as the session");
        return None;
    }
    Some(seconds)
}

/// Entries as in `allow`, each of which names something that the grant allows.
fn choose(value: &Value, at: &At<'_>, errors: &mut Errors, commands: &[Command], allow: Option<&[CommandId]>) -> Option<Chosen> {
    let chosen = each(value, at, errors, |value, at, errors| {
        let mut named = read_allowed(value, at, errors, commands)?;
        let any = !named.is_empty();
        // What it allows may be wrong, and has been said to be.
        named.retain(|id| allow.is_none_or(|allow| allow.contains(id)));
        let text = value.as_str()?.to_owned();
        if any && named.is_empty() {
            errors.add_with_help(at, format!("`{text}` is nothing that this grant allows"), "add it to `allow`, or remove it");
        }
        Some((text, named))
    })?;
    let (mut written, ids): (Vec<String>, Vec<Vec<CommandId>>) = chosen.into_iter().unzip();
    let mut ids = ids.concat();
    written.sort_unstable();
    written.dedup();
    ids.sort_unstable();
    ids.dedup();
    Some(Chosen { written, ids })
}
