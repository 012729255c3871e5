//! The outermost members of a cases file.

use super::{
    builder::Builder,
    fetches,
    plan::{Clock, Plan},
    read::{Errors, Node},
    request::Requests,
    tokens::Tokens,
};
use crate::source::{Document, Finding, Findings, PolicyDocument};
use jiff::Timestamp;
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::Path,
};

const KNOWN: [&str; 9] = ["version", "policy", "at", "workers", "env", "tokens", "requests", "fetches", "cases"];
const HELP: &str = "a cases file has `version: 1`, `policy:`, `at:` and `cases:`";
const OF_A_POLICY: &str = "name the cases.yaml beside it, whose `policy:` names this file; `policy-host test --help` shows a small one, `policy-host check` reads a policy";

/// The most workers that a case needs to show that there is more than one; each costs a compiled VM.
const MOST_WORKERS: u64 = 16;

/// Reads the policy at a path; `None` when there is no such file.
pub type ReadPolicy<'r> = &'r dyn Fn(&Path) -> Option<Result<PolicyDocument, Findings>>;

/// Resolves a cases file that lies in `folder`, and the policy that it names.
///
/// # Errors
/// All mistakes in either file, each with its place.
pub fn resolve(document: &Document, folder: &Path, clock: Clock, policies: ReadPolicy<'_>) -> Result<Plan, Findings> {
    let errors = Errors::new(document);
    let plan = read(document, folder, clock, policies, &errors);
    let broken = !errors.is_empty();
    let mut list = errors.into_list();
    list.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
    match (Findings::new(list), plan) {
        (None, Some(plan)) if !broken => Ok(plan),
        (Some(findings), _) => Err(findings),
        (None, _) => Err(document.finding("", "cannot be read as a cases file", Some(HELP.to_owned())).into()),
    }
}

fn read(document: &Document, folder: &Path, clock: Clock, policies: ReadPolicy<'_>, errors: &Errors<'_>) -> Option<Plan> {
    let root = Node::root(document.value());
    if let Some(members) = document.value().as_object().filter(|members| !members.contains_key("cases"))
        && ["commands", "grants"].iter().all(|name| members.contains_key(*name))
    {
        root.wrong(errors, "is a policy, not a cases file", OF_A_POLICY);
        return None;
    }
    let members = root.members(errors, &KNOWN)?;
    let required = |name: &str| {
        let node = members.get(name);
        if node.is_none() {
            root.wrong(errors, format!("`{name}` is missing"), HELP);
        }
        node
    };
    let (version, policy, at, cases) = (required("version"), required("policy"), required("at"), required("cases"));
    if let Some(version) = version.filter(|node| node.value.as_u64() != Some(1)) {
        version.wrong(errors, "must be 1, the only version that there is", "");
    }
    let written = at?.text(errors).and_then(|text| text.parse::<Timestamp>().ok());
    if written.is_none() {
        at?.wrong(errors, "must be an instant", "RFC 3339: `2026-11-23T10:00:00Z`");
    }
    let at = match clock {
        Clock::AsWritten => written?,
        Clock::Now(now) => written.map(|_| now)?,
    };
    let policy_path = folder.join(policy?.text(errors)?);
    let policy_document = read_policy(policy?, &policy_path, policies, errors)?;
    let policy = policy_document.value();
    let tokens = Tokens::read(members.get("tokens"), policy, at, errors);
    let mut with_keys = policy.clone();
    tokens.add_keys_to(&mut with_keys);
    let workers = members.get("workers").map_or(Some(1), |node| node.whole_number(errors, 1, MOST_WORKERS))?;
    let mut published = tokens.published(policy);
    if let Some(node) = members.get("fetches") {
        published.script(&fetches::read(node, &published, errors)?);
    }
    let builder = Builder {
        published: RefCell::new(published),
        requests: Requests::read(members.get("requests"), tokens, policy, errors),
        policy: with_keys,
        at,
        workers,
        generation: Cell::new(policy.get("generation").and_then(Value::as_u64).unwrap_or(0)),
    };
    let cases = builder.cases(cases?, errors);
    Some(Plan {
        name: document.source().name.clone(),
        policy_path,
        policy_json: builder.policy.to_string().into_bytes(),
        env: members.get("env").map_or(Some(BTreeMap::new()), |node| env(node, errors))?,
        workers: usize::try_from(workers).ok()?,
        at,
        published: builder.published.into_inner(),
        cases,
    })
}

/// The policy that the cases are about; its own mistakes are shown at their places, in its own file.
fn read_policy(node: &Node<'_>, path: &Path, policies: ReadPolicy<'_>, errors: &Errors<'_>) -> Option<PolicyDocument> {
    let all = |findings: Findings| findings.list().iter().cloned().for_each(|finding: Finding| errors.push(finding));
    let Some(read) = policies(path) else {
        node.wrong(errors, format!("there is no file {}", path.display()), "the path is relative to the cases file");
        return None;
    };
    let document = read.map_err(all).ok()?;
    document.compile().map_err(all).ok()?;
    Some(document)
}

fn env(node: &Node<'_>, errors: &Errors<'_>) -> Option<BTreeMap<String, String>> {
    node.any_members(errors)?.into_iter().map(|(name, node)| Some((name.to_owned(), node.text(errors)?.to_owned()))).collect()
}
