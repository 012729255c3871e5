//! Who may do what: grants with their conditions.

mod condition;
mod index;
mod transfers;
mod usage;

use std::rc::Rc;

use serde_json::{Map, Value};

pub(crate) use self::condition::ClaimCondition;
use self::index::Index;
pub(crate) use self::transfers::{SessionBytes, Transfers};
pub(crate) use self::usage::{AfterRule, CallRule, RuleId, UsageRules};
use crate::commands::read::Command;
use crate::commands::router::CommandId;
use crate::document::{At, Errors, Object, command_pattern, duration, each, name, nearest, one_of, pattern, string};
use crate::primitives::pattern::Pattern;
use crate::rules::credential::Credentials;
use crate::token::claims::Claims;

/// One grant: whoever meets all its conditions may use its commands.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) name: Rc<str>,
    pub(crate) when: When,
    /// Sorted.
    pub(crate) allow: Vec<CommandId>,
    /// Seconds; tightens the session's own.
    pub(crate) max_lifetime: Option<u64>,
    /// What may be carried under it; everything without.
    pub(crate) transfers: Option<Transfers>,
    /// How often, and after which others, its commands may be called.
    pub(crate) usage: UsageRules,
    /// Is it for programs alone? Then it is for nobody who shows the marks of a browser.
    pub(crate) machine: bool,
    /// What its requests are given in the place of what all are.
    pub(crate) credentials: Credentials,
}

/// Conditions, all of which must hold.
#[derive(Debug)]
pub(crate) struct When {
    pub(crate) issuer: Option<String>,
    pub(crate) subject: Option<Pattern>,
    pub(crate) session: Option<Pattern>,
    pub(crate) agent: Option<Pattern>,
    pub(crate) claims: Vec<ClaimCondition>,
}

/// All grants of a policy, in the document's order.
#[derive(Debug)]
pub(crate) struct Grants {
    all: Vec<Grant>,
    index: Index,
}

impl Grants {
    pub(crate) fn new(all: Vec<Grant>) -> Self {
        Self { index: Index::of(&all), all }
    }

    pub(crate) fn all(&self) -> &[Grant] {
        &self.all
    }

    /// Places of the grants whose conditions hold.
    pub(crate) fn holding(&self, claims: &Claims, payload: &Map<String, Value>) -> Vec<usize> {
        let mut places = self.index.candidates(claims, payload);
        places.retain(|place| self.all.get(*place).is_some_and(|grant| grant.holds_for(claims, payload)));
        places
    }
}

impl Grant {
    fn holds_for(&self, claims: &Claims, all: &Map<String, Value>) -> bool {
        let When { issuer, subject, session, agent, claims: conditions } = &self.when;
        issuer.as_ref().is_none_or(|issuer| *issuer == claims.issuer)
            && subject.as_ref().is_none_or(|pattern| pattern.matches(&claims.subject))
            && session.as_ref().is_none_or(|pattern| pattern.matches(&claims.session))
            // The grant is for who acts now, the outermost hop; whom it acts for are facts of the past (RFC 8693 §4.1).
            && agent.as_ref().is_none_or(|pattern| claims.agents.first().is_some_and(|agent| pattern.matches(agent)))
            && conditions.iter().all(|condition| condition.holds(all))
    }

    /// Names what is counted under it.
    pub(crate) fn identify(&mut self, policy: &str) {
        self.usage.identify(policy, &self.name);
        if let Some(transfers) = &mut self.transfers {
            transfers.identify(policy, &self.name);
        }
    }

    /// Is anything counted under it, of a session?
    pub(crate) fn counts(&self) -> bool {
        !self.usage.is_empty() || self.transfers.is_some_and(|transfers| transfers.session.is_some())
    }

    pub(crate) fn allows(&self, command: CommandId) -> bool {
        self.allow.binary_search(&command).is_ok()
    }
}

/// Reads one item of `grants`. `several_issuers`: then a subject alone names nobody, and each grant names its issuer.
pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors, commands: &[Command], issuers: &[&str]) -> Option<Grant> {
    let mut object = Object::open(value, at, errors)?;
    let grant_name = object.required("name", "for example `name: agents`: the audit record names the grant", errors, name);
    let when = object.required(
        "when",
        "say whom the grant is for, such as `when: {subject: \"agent-*\"}`",
        errors,
        |value, at, errors| read_when(value, at, errors, issuers),
    );
    let allow = object.required("allow", "say what is allowed, such as `allow: [orders.read]`", errors, |value, at, errors| {
        each(value, at, errors, |value, at, errors| read_allowed(value, at, errors, commands))
    });
    let max_lifetime = object.optional("max_lifetime", errors, |value, at, errors| {
        let seconds = duration(value, at, errors)?;
        if seconds == 0 {
            errors.add_with_help(at, "a grant of no time", "leave the grant out");
        }
        Some(seconds)
    });
    let transfers = object.optional("transfers", errors, transfers::read);
    let allow = allow.map(|allow| {
        let mut allow: Vec<CommandId> = allow.into_iter().flatten().collect();
        allow.sort_unstable();
        allow.dedup();
        allow
    });
    let machine = object.optional("use", errors, |value, at, errors| one_of(value, at, errors, &[("machine", true)]));
    let credentials = object.optional("credential", errors, |value, at, errors| Credentials::read(value, at, errors, commands));
    let usage = usage::read(&mut object, errors, commands, allow.as_deref());
    object.finish(errors);
    Some(Grant {
        name: grant_name?.into(),
        when: when?,
        allow: allow?,
        max_lifetime,
        transfers,
        usage,
        machine: machine.unwrap_or(false),
        credentials: credentials.unwrap_or_default(),
    })
}

fn read_when(value: &Value, at: &At<'_>, errors: &mut Errors, issuers: &[&str]) -> Option<When> {
    let mut object = Object::open(value, at, errors)?;
    if value.as_object().is_some_and(Map::is_empty) {
        let help = "name a subject, an agent, an issuer or claims, such as `{subject: \"agent-*\"}`";
        errors.add_with_help(at, "an empty `when` would be everybody", help);
    }
    let issuer = object.optional("issuer", errors, |value, at, errors| {
        let text = string(value, at, errors)?;
        if !issuers.contains(&text) {
            let help = nearest(text, issuers.iter().copied())
                .map_or("list it under `tokens.issuers`".to_owned(), |near| format!("did you mean `{near}`?"));
            errors.add_with_help(at, format!("`{text}` is not an issuer of this policy"), help);
        }
        Some(text.to_owned())
    });
    if issuers.len() > 1 && !object.has("issuer") {
        let help = format!(
            "with several issuers the same subject can be two; say whose is meant: `issuer: {}`",
            issuers.join("`, or `issuer: ")
        );
        errors.add_with_help(at, "`issuer` is missing", help);
    }
    let subject = object.optional("subject", errors, pattern);
    let session = object.optional("session", errors, pattern);
    let agent = object.optional("agent", errors, pattern);
    let claims = object.optional("claims", errors, condition::read);
    object.finish(errors);
    Some(When { issuer, subject, session, agent, claims: claims.unwrap_or_default() })
}

/// The commands that one entry of `unmediated` names.
pub(crate) fn read_unmediated(value: &Value, at: &At<'_>, errors: &mut Errors, commands: &[Command]) -> Option<Vec<CommandId>> {
    let named = read_allowed(value, at, errors, commands)?;
    let found = named.iter().filter_map(|id| commands.get(id.0 as usize)).find(|command| command.in_body);
    if let Some(command) = found {
        // Nobody's bodies are kept before it is known whose they are.
        errors.add_with_help(
            at,
            format!("the command `{}` is found in a body, and needs a session", command.name),
            "take it out, and grant it",
        );
    }
    Some(named)
}

/// The commands that one entry of `allow` or `unmediated` names: a name, or a beginning and `*`.
pub(crate) fn read_allowed(value: &Value, at: &At<'_>, errors: &mut Errors, commands: &[Command]) -> Option<Vec<CommandId>> {
    let pattern = command_pattern(value, at, errors)?;
    // They are in the order of their names: those that begin alike stand together.
    let (Pattern::Exact(beginning) | Pattern::Prefix(beginning) | Pattern::Across(beginning)) = &pattern;
    let first = commands.partition_point(|command| *command.name < **beginning);
    let alike = (0..).map(CommandId).zip(commands).skip(first).take_while(|(_, command)| command.name.starts_with(beginning));
    let named: Vec<CommandId> = alike.filter(|(_, command)| pattern.matches(&command.name)).map(|(id, _)| id).collect();
    if named.is_empty() {
        let text = value.as_str().unwrap_or_default();
        let names = || commands.iter().map(|command| &*command.name);
        let help = nearest(text, names()).map_or_else(
            || match names().next() {
                Some(_) => format!("the commands are {}", names().take(20).collect::<Vec<_>>().join(", ")),
                None => "name it under `commands` first".to_owned(),
            },
            |near| format!("did you mean `{near}`?"),
        );
        errors.add_with_help(at, format!("`{text}` names no command"), help);
    }
    Some(named)
}
