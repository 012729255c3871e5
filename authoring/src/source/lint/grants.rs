//! Grants that reach further than they seem to, and grants that reach nobody.

use super::{Lint, Linter, beginning, items, named_by, naming::Naming, patterns};
use crate::source::seconds;
use chaperone_policy::Pattern;
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeSet};

/// What bounds one message, and what all of a session's.
const TOTALS: [(&str, &str); 2] =
    [("max_request_bytes", "max_session_request_bytes"), ("max_response_bytes", "max_session_response_bytes")];

/// What of a grant decides whether it is used.
pub(super) struct Grant<'p> {
    pub(super) pointer: String,
    pub(super) name: &'p str,
    pub(super) conditions: Vec<Condition<'p>>,
    allow: Vec<&'p str>,
    pub(super) commands: BTreeSet<&'p str>,
    max_lifetime: Option<i64>,
    transfers: Option<&'p Value>,
}

/// A condition of a grant, as it is written and as it is meant.
pub(super) struct Condition<'p> {
    /// `subject`, `claim role`.
    about: String,
    text: Cow<'p, str>,
    /// `None` where the policy is refused for it.
    pattern: Option<Pattern>,
}

impl Linter<'_> {
    pub(super) fn grants(&mut self) {
        let policy = self.policy;
        let grants = grants(policy);
        let lifetime = policy.pointer("/session/max_lifetime").and_then(Value::as_str).and_then(seconds);
        for grant in &grants {
            let wide = grant.is_wide();
            if wide && !grant.conditions.is_empty() {
                self.warn(
                    Lint::WhenWide,
                    &format!("{}/when", grant.pointer),
                    format!("`{}` is for {}: nobody in particular", grant.name, grant.whom()),
                    "name a subject, an agent or a claim, such as `subject: \"agent-*\"` or `claims: {role: support}`",
                );
            }
            for (index, allowed) in grant.allow.iter().enumerate() {
                let pointer = format!("{}/allow/{index}", grant.pointer);
                let commands = || {
                    let pattern = Pattern::parse(allowed);
                    let named = |name: &&str| pattern.as_ref().is_some_and(|pattern| pattern.matches(name));
                    let named: Vec<&str> = grant.commands.iter().copied().filter(named).collect();
                    format!("list what is needed: {}", named.join(", "))
                };
                if *allowed == "*" {
                    let message = format!("`{}` allows every command, those to come included", grant.name);
                    self.warn(Lint::AllowEverything, &pointer, message, commands());
                } else if allowed.ends_with('*') && !grant.names_somebody() {
                    let message = format!("a new command under `{allowed}` is granted at once to {}", grant.whom());
                    self.warn(Lint::AllowPattern, &pointer, message, commands());
                }
            }
            self.lifetime(grant, lifetime);
            self.upgrades(grant);
            self.totals(grant);
        }
        self.unneeded(&grants);
        self.never_matched();
    }

    /// Texts that look like patterns and match less than they seem to, or nothing.
    fn never_matched(&mut self) {
        for (pointer, issuer) in items(self.policy, "/tokens/issuers") {
            let Some(text) = issuer.get("issuer").and_then(Value::as_str) else { continue };
            if text.contains(['*', '{', '}']) {
                self.warn(
                    Lint::PatternUnmatched,
                    &format!("{pointer}/issuer"),
                    format!("an issuer is compared as plain text: no token's `iss` is `{text}`"),
                    "write `iss` as the tokens have it, and one entry for each issuer",
                );
            }
        }
        for (pointer, grant) in items(self.policy, "/grants") {
            let Some(text) = grant.pointer("/when/subject").and_then(Value::as_str) else { continue };
            let pointer = format!("{pointer}/when/subject");
            if text.contains(['{', '}']) {
                self.warn(
                    Lint::PatternUnmatched,
                    &pointer,
                    format!("`{text}` is compared as plain text: nothing is put in place of `{{…}}`"),
                    "write the value itself, or end the beginning before it with `*`",
                );
            } else if stops_before_a_branch(text) {
                let beginning = text.trim_end_matches('*');
                self.warn(
                    Lint::PatternUnmatched,
                    &pointer,
                    format!(
                        "`*` does not cross a `/`: `{text}` does not cover the branch of `repo:OWNER/NAME:ref:refs/heads/main`"
                    ),
                    format!("write `{beginning}**` for all that begins so, or the subject as the tokens have it"),
                );
            }
        }
    }

    fn lifetime(&mut self, grant: &Grant<'_>, session: Option<i64>) {
        let (Some(mine), Some(session)) = (grant.max_lifetime, session) else { return };
        if mine >= session {
            self.warn(
                Lint::LifetimeNotTightened,
                &format!("{}/max_lifetime", grant.pointer),
                "the session ends no later than this anyway",
                "write less than session.max_lifetime, or remove it",
            );
        }
    }

    /// What follows an upgrade has no form that could be told from a file.
    fn upgrades(&mut self, grant: &Grant<'_>) {
        let denied = |name: &str| grant.transfers.and_then(|rules| rules.get(name)).is_some_and(|rule| rule == "deny");
        let Some(rule) = ["uploads", "downloads"].into_iter().find(|name| denied(name)) else { return };
        let commands = self.policy.get("commands");
        let upgrades = |name: &&&str| commands.and_then(|all| all.get(**name)).is_some_and(takes_upgrades);
        let Some(command) = grant.commands.iter().find(upgrades) else { return };
        self.warn(
            Lint::UpgradeNotCarried,
            &format!("{}/transfers/{rule}", grant.pointer),
            format!("`{command}` cannot be upgraded under this grant: what follows an upgrade cannot be told from a file"),
            format!("move `{command}` to a grant that bounds its bytes instead (`max_request_bytes`, `max_response_bytes`)"),
        );
    }

    /// Bounds of one message that are no less than what a session may send or get in all.
    fn totals(&mut self, grant: &Grant<'_>) {
        let number = |name: &str| grant.transfers.and_then(|rules| rules.get(name)).and_then(Value::as_f64);
        for (one, total) in TOTALS {
            if let (Some(bytes), Some(all)) = (number(one), number(total))
                && bytes >= all
            {
                self.warn(
                    Lint::TransfersMoot,
                    &format!("{}/transfers/{one}", grant.pointer),
                    format!("it keeps nothing back: the session has no more than that in all (`{total}`)"),
                    format!("write less than `{total}`, or remove it"),
                );
            }
        }
    }

    /// Grants without which the same would be allowed for as long.
    fn unneeded(&mut self, grants: &[Grant<'_>]) {
        let open = patterns(self.policy.get("unmediated"));
        let naming = Naming::of(grants);
        for (index, grant) in grants.iter().enumerate() {
            let mediated = |name: &&str| !open.iter().any(|pattern| pattern.matches(name));
            if !grant.commands.is_empty() && !grant.commands.iter().any(mediated) {
                self.warn(
                    Lint::GrantUnmediated,
                    &format!("{}/allow", grant.pointer),
                    format!("`{}` allows only what is unmediated: nobody needs it", grant.name),
                    "take the commands out of `unmediated`, or remove the grant",
                );
                continue;
            }
            let others = naming.all_of(grant);
            let others = others.into_iter().filter(|(other, _)| *other != index).filter(|(_, other)| other.includes(grant));
            let longer =
                |other: &Grant<'_>| other.max_lifetime.is_none_or(|end| grant.max_lifetime.is_some_and(|mine| end >= mine));
            let mut repeats = others.clone().filter(|(place, other)| *place < index && longer(other));
            if let Some((_, other)) = repeats.next() {
                self.warn(
                    Lint::GrantRepeated,
                    &format!("{}/name", grant.pointer),
                    format!("`{}` is never used: `{}` allows all of it, to all whom it names", grant.name, other.name),
                    "remove it, or let it allow what the other does not",
                );
                continue;
            }
            let mut carrying = others.clone().filter(|(_, other)| other.transfers.is_none() && longer(other));
            // A total is of the grant that allows a request, whatever others would carry.
            let only_of_one = grant.transfers.is_some_and(|rules| !TOTALS.iter().any(|(_, total)| rules.get(total).is_some()));
            if let Some((_, other)) = carrying.next().filter(|_| only_of_one) {
                self.warn(
                    Lint::TransfersMoot,
                    &format!("{}/transfers", grant.pointer),
                    format!("it keeps nothing back: `{}` allows the same and carries everything", other.name),
                    format!("take these commands out of `{}`, or remove `{}`", other.name, other.name),
                );
            }
            let mut outlasting = others.filter(|(place, other)| *place > index && grant.max_lifetime.is_some() && longer(other));
            if let Some((_, other)) = outlasting.next() {
                self.warn(
                    Lint::LifetimeMoot,
                    &format!("{}/max_lifetime", grant.pointer),
                    format!("nothing ends then: `{}` goes on allowing the same", other.name),
                    format!("take these commands out of `{}`, or remove `{}`", other.name, grant.name),
                );
            }
        }
    }
}

pub(super) fn grants(policy: &Value) -> Vec<Grant<'_>> {
    let names = super::names(policy);
    items(policy, "/grants")
        .map(|(pointer, grant)| {
            let allow: Vec<&str> =
                grant.get("allow").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
            Grant {
                pointer,
                name: grant.get("name").and_then(Value::as_str).unwrap_or_default(),
                conditions: grant.get("when").map(conditions).unwrap_or_default(),
                commands: named_by(&names, &patterns(grant.get("allow"))),
                allow,
                max_lifetime: grant.get("max_lifetime").and_then(Value::as_str).and_then(seconds),
                transfers: grant.get("transfers"),
            }
        })
        .collect()
}

/// Has one of the command's matchers `upgrade: true`?
fn takes_upgrades(command: &Value) -> bool {
    let one = |matcher: &Value| matcher.pointer("/http/upgrade") == Some(&Value::Bool(true));
    one(command) || command.as_array().into_iter().flatten().any(one)
}

fn conditions(when: &Value) -> Vec<Condition<'_>> {
    let mut all = Vec::new();
    for (name, value) in when.as_object().into_iter().flatten() {
        if name == "claims" {
            let by_name = value.as_object().into_iter().flatten();
            all.extend(by_name.filter_map(|(claim, value)| Some(Condition::new(format!("claim {claim}"), value.as_str()?))));
            all.extend(value.as_array().into_iter().flatten().filter_map(claim_condition));
        } else if let Some(text) = value.as_str() {
            all.push(Condition::new(name.clone(), text));
        }
    }
    all
}

/// One of the list form: conditions of different forms say nothing about each other.
fn claim_condition(condition: &Value) -> Option<Condition<'_>> {
    let (form, wanted) = ["is", "contains", "word"].into_iter().find_map(|form| Some((form, condition.get(form)?)))?;
    let claim = match condition.get("claim")? {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            other.as_str()?.to_owned()
        }
    };
    let about = format!("claim {claim} {form}");
    Some(match wanted {
        Value::String(text) => Condition::new(about, text),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            let text = other.to_string();
            Condition { about, pattern: Some(Pattern::Exact(text.clone())), text: text.into() }
        }
    })
}

impl<'p> Condition<'p> {
    fn new(about: String, text: &'p str) -> Self {
        // An issuer is one of those that the policy lists, and no pattern.
        let pattern = if about == "issuer" { Some(Pattern::Exact(text.to_owned())) } else { Pattern::parse_across(text) };
        Self { about, text: text.into(), pattern }
    }

    /// What it is about and the text before its `*`: of what it covers, the text begins so.
    pub(super) fn key(&self) -> Option<(&str, &str)> {
        Some((&self.about, beginning(self.pattern.as_ref()?)))
    }

    /// Does it hold whenever the other one does?
    fn covers(&self, narrow: &Self) -> bool {
        let patterns = self.pattern.as_ref().zip(narrow.pattern.as_ref());
        self.about == narrow.about && patterns.is_some_and(|(wide, narrow)| wide.covers(narrow))
    }
}

impl Grant<'_> {
    /// Conditions besides the issuer, which says whose word it is and not whom it is about.
    fn about(&self) -> impl Iterator<Item = &Condition<'_>> {
        self.conditions.iter().filter(|condition| condition.about != "issuer")
    }

    /// No condition names anybody, not even by a beginning that means something.
    fn is_wide(&self) -> bool {
        self.about().all(|condition| is_bare(&condition.text))
    }

    /// Some condition is a text, not a pattern.
    fn names_somebody(&self) -> bool {
        self.about().any(|condition| !condition.text.ends_with('*'))
    }

    fn whom(&self) -> String {
        let words: Vec<String> = self.about().map(|Condition { about, text, .. }| format!("every {about} `{text}`")).collect();
        if words.is_empty() { "everybody with a token".to_owned() } else { super::and(&words) }
    }

    /// Does it allow all that the other one allows?
    fn includes(&self, other: &Self) -> bool {
        // Rules of another form may let through what these do not, or not.
        let carries = self.transfers.is_none() || self.transfers == other.transfers;
        carries && self.commands.is_superset(&other.commands)
    }

    /// Does it name all whom the other one names?
    pub(super) fn is_for_all_of(&self, other: &Self) -> bool {
        self.conditions.iter().all(|wide| other.conditions.iter().any(|narrow| wide.covers(narrow)))
    }
}

/// Is it the beginning of a GitHub subject (`repo:OWNER/NAME:ref:refs/heads/main`) whose `*` stops before the branch?
fn stops_before_a_branch(pattern: &str) -> bool {
    const BRANCH: &str = "ref:refs/heads/";
    let beginning = pattern.strip_suffix('*').filter(|beginning| !beginning.ends_with('*'));
    let Some(after) = beginning.and_then(|beginning| beginning.strip_prefix("repo:")) else { return false };
    match after.split_once('/').map(|(_, name)| name.split_once(':')) {
        None | Some(None) => true,
        Some(Some((_, kind))) => kind != BRANCH && BRANCH.starts_with(kind),
    }
}

/// Does the pattern name nobody in particular? A text does, and so does a beginning that ends where a word does:
/// `agent-*`, `spiffe://shop/ns/web/*`; `a*` and `agent*` name whoever happens to be called so.
fn is_bare(pattern: &str) -> bool {
    match pattern.trim_end_matches('*') {
        beginning if beginning == pattern => false,
        beginning => beginning.len() < 3 || beginning.ends_with(|last: char| last.is_alphanumeric()),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_bare, stops_before_a_branch};

    #[test]
    fn a_star_that_stops_before_a_branch_is_seen() {
        for short in ["repo:*", "repo:acme/*", "repo:acme/ledger:*", "repo:acme/ledger:ref:*", "repo:acme/ledger:ref:refs/*"] {
            assert!(stops_before_a_branch(short), "{short}");
        }
        for meant in [
            "repo:acme/ledger:**",
            "repo:acme/ledger:ref:refs/heads/*",
            "repo:acme/ledger:environment:*",
            "agent-*",
            "repo:acme/ledger:x",
        ] {
            assert!(!stops_before_a_branch(meant), "{meant}");
        }
    }

    #[test]
    fn a_beginning_that_ends_with_a_word_names_somebody() {
        for bare in ["*", "a*", "a-*", "agent*", "agent**", "a-**"] {
            assert!(is_bare(bare), "{bare}");
        }
        for named in ["agent-*", "agent-7", "spiffe://shop/ns/web/*", "x"] {
            assert!(!is_bare(named), "{named}");
        }
    }
}
