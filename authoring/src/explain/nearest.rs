//! The grant that is nearest to allowing a command: the fewest of its conditions would have to be met besides.

use chaperone_policy::{ConditionSeen, GrantSeen, Pattern};
use serde::Serialize;

/// A grant that allows the command, and what is in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Nearest {
    /// Its name.
    pub grant: String,
    /// Conditions that do not hold.
    pub failing: Vec<ConditionSeen>,
    /// For each of them whose `*` a `/` stopped: where, and what to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
    /// It has run out for this session.
    pub ended: bool,
}

/// Which `/` stopped the condition's `*`; `None` when none did.
fn stopped(condition: &ConditionSeen) -> Option<String> {
    let ConditionSeen { about, wanted, seen, holds } = condition;
    let pattern = Pattern::parse_across(wanted).filter(|_| !holds && about != "issuer")?;
    let before = seen.iter().find_map(|text| pattern.stopped_after(text))?;
    let place = if before.is_empty() { "at its beginning".to_owned() } else { format!("after `{before}`") };
    let write = if wanted == "*" { "write a beginning and `**`" } else { "write `**`" };
    Some(format!("`{wanted}` does not cross the `/` {place}; {write}"))
}

pub(super) fn find(command: &str, grants: &[GrantSeen]) -> Option<Nearest> {
    let allowing = grants.iter().filter(|grant| grant.allow.iter().any(|allowed| allowed == command));
    let nearest = allowing.map(|grant| Nearest {
        grant: grant.name.clone(),
        stopped: grant.conditions.iter().filter_map(stopped).collect(),
        failing: grant.conditions.iter().filter(|condition| !condition.holds).cloned().collect(),
        ended: grant.ended,
    });
    // The first of those equally near, as the document has them.
    nearest.min_by_key(|nearest| nearest.failing.len() + usize::from(nearest.ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, allow: &str, holds: &[bool], ended: bool) -> GrantSeen {
        let condition = |holds: &bool| ConditionSeen { about: "subject".into(), wanted: "x".into(), seen: vec![], holds: *holds };
        GrantSeen {
            name: name.into(),
            allow: vec![allow.into()],
            max_lifetime: None,
            machine: false,
            ended,
            conditions: holds.iter().map(condition).collect(),
        }
    }

    #[test]
    fn the_slash_that_stopped_a_star_is_named() {
        let seen = |wanted: &str, seen: &str| {
            stopped(&ConditionSeen { about: "subject".into(), wanted: wanted.into(), seen: vec![seen.into()], holds: false })
        };
        assert_eq!(
            seen("repo:acme/ledger:*", "repo:acme/ledger:ref:refs/heads/main").as_deref(),
            Some("`repo:acme/ledger:*` does not cross the `/` after `ref:refs`; write `**`")
        );
        assert_eq!(seen("*", "/x").as_deref(), Some("`*` does not cross the `/` at its beginning; write a beginning and `**`"));
        assert_eq!(seen("repo:acme/ledger:*", "repo:acme/other:ref:refs/heads/main"), None);
    }

    #[test]
    fn the_fewest_obstacles_win_and_other_commands_do_not_count() {
        let grants = [
            grant("far", "a", &[false, false], false),
            grant("near", "a", &[true, false], false),
            grant("as near", "a", &[true], true),
            grant("other", "b", &[true], false),
        ];
        let nearest = find("a", &grants).unwrap();
        assert_eq!((nearest.grant.as_str(), nearest.failing.len(), nearest.ended), ("near", 1, false));
        assert_eq!(find("c", &grants), None);
    }
}
