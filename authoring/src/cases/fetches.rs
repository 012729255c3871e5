//! `fetches:`: what the policy has fetched, where the run's own answers are not what a case is about.

use super::read::{Errors, Node};
use crate::published::{Kind, Published, Script};
use chaperone_policy::nearest_name;
use std::collections::BTreeMap;

/// The largest index that an entry may have: a list of a megabyte with one bit for each.
const MOST_ENTRIES: u64 = 8 * 1024 * 1024 - 1;

/// By URL. Only what some policy of the file has fetched up to here can be scripted.
pub(super) fn read(node: &Node<'_>, published: &Published, errors: &Errors<'_>) -> Option<BTreeMap<String, Script>> {
    let mut scripts = BTreeMap::new();
    let mut whole = true;
    for (url, node) in node.any_members(errors)? {
        let Some((_, kind)) = published.urls().find(|(known, _)| *known == url) else {
            let known: Vec<&str> = published.urls().map(|(url, _)| url).collect();
            let help = nearest_name(url, known.iter().copied()).map_or_else(
                || if known.is_empty() { "it has nothing fetched".to_owned() } else { format!("one of: {}", known.join(", ")) },
                |near| format!("did you mean `{near}`?"),
            );
            node.wrong(errors, format!("unknown URL `{url}`: the policy has nothing fetched from there"), &help);
            whole = false;
            continue;
        };
        match script(&node, kind, errors) {
            Some(script) => drop(scripts.insert(url.to_owned(), script)),
            None => whole = false,
        }
    }
    whole.then_some(scripts)
}

fn script(node: &Node<'_>, kind: Kind, errors: &Errors<'_>) -> Option<Script> {
    let known: &[&str] = match kind {
        Kind::Keys => &["status", "body", "keys"],
        Kind::List => &["status", "body", "revoked"],
        Kind::Events => &["status", "body"],
        Kind::Token => &["status", "body"],
    };
    let members = node.members(errors, known)?;
    let body = members.get("body").map_or(Some(""), |body| body.text(errors))?.to_owned();
    let alone = members.len() == 1;
    match (members.get("status"), members.get("keys"), members.get("revoked")) {
        (Some(status), None, None) => Some(Script::Plain(u16::try_from(status.whole_number(errors, 200, 599)?).ok()?, body)),
        (None, Some(keys), None) if alone => match keys.text(errors)? {
            "own" => Some(Script::Own),
            "other" => Some(Script::OtherKeys),
            _ => {
                keys.wrong(
                    errors,
                    "is no key set",
                    "`own`: those that sign the file's tokens; `other`: one that signs nothing here",
                );
                None
            }
        },
        (None, None, Some(revoked)) if alone => {
            let entries = revoked.items(errors)?.into_iter();
            let entries = entries.map(|entry| usize::try_from(entry.whole_number(errors, 0, MOST_ENTRIES)?).ok());
            Some(Script::Revoked(entries.collect::<Option<_>>()?))
        }
        _ => {
            let one = match kind {
                Kind::Keys => "`{status: 503}`, `{status: 200, body: …}` or `{keys: other}`",
                Kind::List => "`{status: 503}`, `{status: 200, body: …}` or `{revoked: [7]}`",
                Kind::Events => "`{status: 503}` or `{status: 200, body: …}`",
                Kind::Token => "`{status: 503}` or `{status: 200, body: …}`",
            };
            node.wrong(errors, "must be one answer", one);
            None
        }
    }
}
