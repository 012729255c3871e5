//! `policy-host explain`: each check of one request in order, with what it saw, and what would have allowed it.

use super::{Exit, Format, output, replay, wasm, which::Which};
use chaperone_authoring::{
    explain::{Checked, Explained, Verdict},
    outcome::{Decision, Outcome},
    recorded::Line,
    source::{Finding, Findings, Severity, Source},
};
use chaperone_policy::{CallsSeen, CheckStep, GrantSeen};
use clap::Args;
use jiff::Timestamp;
use policy_host::{
    explain::{ExplainError, explain},
    files,
};
use serde_json::json;
use std::{fmt::Write as _, io::stdout, path::PathBuf, sync::Arc};

/// Explain one decision: each check in order, with what it saw, and the grant that was nearest to allowing it.
#[derive(Debug, Args)]
#[command(after_help = r#"Example:
  echo '{"method":"GET","path":"/v1/orders","authority":"orders.example","headers":[]}' |
    policy-host explain --policy examples/agent-orders/policy.yaml -

The request is one JSON object, as a line of replay's input is (`policy-host replay --help`): `claims` are signed by a key of
this run, a token of your own goes into `headers`. The decision is the filter's. No token, key, credential or query is shown.

Exits with 0 when the request is allowed, with 1 when it is denied."#)]
pub(crate) struct Explain {
    /// A policy, or an Envoy file or Kubernetes manifests with one in them.
    #[arg(long, value_name = "POLICY")]
    policy: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The filter, when it is not the one that this workspace built.
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// How to write the explanation.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
    /// A request; - is stdin.
    request: PathBuf,
}

impl Explain {
    pub(crate) fn run(&self) -> Exit {
        self.explained().unwrap_or_else(|exit| exit)
    }

    fn explained(&self) -> Result<Exit, Exit> {
        let policy = self.which.valid(&self.policy)?;
        let (name, text) = files::text(&self.request).map_err(|findings| output::invalid(&findings))?;
        let line = Line::parse(text.trim_end()).map_err(|bad| {
            let source = Arc::new(Source::new(name, text.clone()));
            let range = Some(bad.offset..bad.offset);
            let finding = Finding {
                severity: Severity::Error,
                source,
                range,
                pointer: String::new(),
                message: bad.message,
                help: bad.help,
            };
            output::invalid(&Findings::from(finding))
        })?;
        let (method, path) = (line.exchange.request.method.clone(), line.exchange.request.path.clone());
        let module = wasm::load(self.wasm.as_ref())?;
        let environment = wasm::environment(policy.value());
        let explained = explain(module, policy.value(), environment, wasm::log(), line, Timestamp::now());
        let (outcome, explained) = explained.map_err(|error| match &error {
            ExplainError::Replay(error) => replay::stopped(error),
            ExplainError::Trapped(_) | ExplainError::Disagreement { .. } => {
                output::diagnostic(&format!("policy-host: {error}"));
                Exit::Trapped
            }
        })?;
        let text = match self.format {
            Format::Human => shown(&outcome, &explained, &method, &path, Paint(output::colours(&stdout()))),
            Format::Json => listed(&outcome, &explained),
        };
        Ok(match (output::result(&text), outcome.decision) {
            (Exit::Fine, Decision::Deny) => Exit::Failed,
            (written, Decision::Allow | Decision::Deny) => written,
        })
    }
}

fn listed(outcome: &Outcome, explained: &Explained) -> String {
    let Explained { decision: _, reason: _, command, checks, grants, nearest, advice } = explained;
    let report = json!({
        "decision": outcome.decision, "reason": outcome.reason, "status": outcome.status, "client_reason": outcome.client_reason,
        "command": command, "session": outcome.session,
        "checks": checks, "grants": grants, "nearest": nearest, "advice": advice,
    });
    format!("{report:#}\n")
}

/// Colours, where somebody looks at them.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn mark(self, verdict: Verdict) -> String {
        let (mark, colour) = match verdict {
            Verdict::Passed => ("✓", "32"),
            Verdict::Observed => ("!", "33"),
            Verdict::Failed => ("✗", "31"),
        };
        if self.0 { format!("\u{1b}[{colour}m{mark}\u{1b}[0m") } else { mark.to_owned() }
    }

    fn holds(self, holds: bool) -> String {
        self.mark(if holds { Verdict::Passed } else { Verdict::Failed })
    }
}

fn shown(outcome: &Outcome, explained: &Explained, method: &[u8], path: &[u8], paint: Paint) -> String {
    let Explained { decision: _, reason: _, command, checks, grants, nearest, advice } = explained;
    let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let request = clean(&format!("{} {}", String::from_utf8_lossy(method), String::from_utf8_lossy(path)));
    let mut text = match (&outcome.reason, outcome.status, outcome.decision) {
        (Some(reason), Some(status), _) => format!("{request}: deny {reason}, status {status}\n\n"),
        (Some(reason), None, Decision::Allow) => format!("{request}: allow, with {reason} observed\n\n"),
        (_, _, decision) => format!("{request}: {}\n\n", decision.word()),
    };
    for Checked { verdict, seen } in checks {
        if matches!((seen, verdict), (CheckStep::Pace { .. } | CheckStep::Body { .. } | CheckStep::Room { .. }, Verdict::Passed))
        {
            // One request is never too many, and the run has lifted the limit of the pace.
            continue;
        }
        let (name, saw) = described(seen);
        let _ = writeln!(text, "  {} {name:<15} {}", paint.mark(*verdict), clean(&saw));
        if let CheckStep::Grants { .. } = seen {
            let command = command.as_deref().unwrap_or_default();
            grants.iter().for_each(|grant| draw_grant(&mut text, grant, command, paint));
        }
    }
    let reached: Vec<&str> = checks.iter().map(|checked| described(&checked.seen).0).collect();
    // What counts comes last of all, and is not in the order.
    let after = ORDER.iter().rposition(|name| reached.contains(name)).map_or(0, |place| place + 1);
    // Of a command in the head there is no message to look into.
    let left = ORDER.get(after..).unwrap_or_default().iter().copied();
    let left: Vec<&str> = left.filter(|name| !OF_BODIES.contains(name)).collect();
    let unmediated = checks.iter().any(|checked| matches!(checked.seen, CheckStep::Lookup { unmediated: true, .. }));
    if unmediated {
        text.push_str("\nThe command is unmediated: no session is asked for, and no credential is given.\n");
    } else if !left.is_empty() && outcome.reason.is_some() {
        let _ = writeln!(text, "\nnot reached: {}", left.join(", "));
    }
    if let Some(nearest) = nearest {
        let known = checks.iter().any(|checked| matches!(checked.seen, CheckStep::Claims { identity: Some(_), .. }));
        let _ = writeln!(text, "\nnearest grant: {}", nearest.grant);
        for condition in &nearest.failing {
            let seen = seen_as(&condition.seen);
            let is = if known { format!(", and is {}", clean(&seen)) } else { String::new() };
            let _ = writeln!(text, "  {} must be {}{is}", condition.about, condition.wanted);
        }
        for stopped in &nearest.stopped {
            let _ = writeln!(text, "  {}", clean(stopped));
        }
        if nearest.ended {
            text.push_str("  its max_lifetime has gone by since the session's start\n");
        }
        if nearest.failing.is_empty() && !nearest.ended {
            text.push_str("  its conditions hold: the denial is about something else\n");
        }
    }
    if let Some(advice) = advice {
        let _ = writeln!(text, "\nto allow it: {advice}");
    }
    text
}

fn draw_grant(text: &mut String, grant: &GrantSeen, command: &str, paint: Paint) {
    let allows = grant.allow.iter().any(|allowed| allowed == command);
    let holds = allows && !grant.ended && grant.conditions.iter().all(|condition| condition.holds);
    let why = match (allows, grant.ended) {
        (false, _) => format!("does not allow {command}"),
        (true, true) => "allows it, and has run out for this session".to_owned(),
        (true, false) if grant.machine => "allows it to programs".to_owned(),
        (true, false) => "allows it".to_owned(),
    };
    let _ = writeln!(text, "      {} {}: {why}", paint.holds(holds), grant.name);
    for condition in &grant.conditions {
        let seen = clean(&seen_as(&condition.seen));
        let _ = writeln!(text, "          {} {} {}: {seen}", paint.holds(condition.holds), condition.about, condition.wanted);
    }
}

fn seen_as(seen: &[String]) -> String {
    if seen.is_empty() { "absent".to_owned() } else { seen.join(", ") }
}

/// The checks by the names that people see, in their order.
const ORDER: [&str; 29] = [
    "request",
    "path",
    "which command",
    "direct",
    "token",
    "token's form",
    "token's kind",
    "issuer",
    "audience",
    "key",
    "pace",
    "signature",
    "claims",
    "binding",
    "not before",
    "expiry",
    "lifetime",
    "revocation",
    "status list",
    "message",
    "command",
    "token's list",
    "grants",
    "arguments",
    "handle",
    "transfers",
    "credential",
    "body",
    "room",
];

/// Checks of commands in bodies alone.
const OF_BODIES: [&str; 3] = ["message", "arguments", "handle"];

/// A check's name, and what it saw.
fn described(seen: &CheckStep) -> (&'static str, String) {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    match seen {
        CheckStep::Request { method, authority, path } => ("request", format!("{method} {path} at {authority}")),
        CheckStep::Path { canonical } => ("path", canonical.clone()),
        CheckStep::Lookup { command, form, unmediated } => {
            let form = form.map_or_else(String::new, |form| format!(", called as {form}"));
            ("which command", format!("{}{form}{}", or_none(command), if *unmediated { ", unmediated" } else { "" }))
        }
        CheckStep::Token { places } => {
            let place = |place: &chaperone_policy::TokenLocation| {
                let scheme = place.scheme.map_or_else(String::new, |scheme| format!(" ({scheme})"));
                format!("{}{scheme}: {}", place.header, output::count(place.fields as u64, "field"))
            };
            ("token", places.iter().map(place).collect::<Vec<_>>().join(", "))
        }
        CheckStep::Form { bytes, most, fault } => {
            let fault = fault.as_ref().map_or_else(String::new, |why| format!("; {why}"));
            ("token's form", format!("{bytes} bytes, up to {most}{fault}"))
        }
        CheckStep::Kind { algorithm, kind, critical, accepted, types } => {
            let types = if types.is_empty() { "any type".to_owned() } else { types.join(", ") };
            let critical = if *critical { ", crit" } else { "" };
            let has = format!("{}, typ {}{critical}", algorithm.unwrap_or("another algorithm"), or_none(kind));
            // What is accepted is said by issuer, and this one is not in the policy.
            let accepted = if accepted.is_empty() {
                "no issuer to say what is accepted".to_owned()
            } else {
                format!("accepted: {}; {types}", accepted.join(", "))
            };
            ("token's kind", format!("{has}; {accepted}"))
        }
        CheckStep::Issuer { issuer, known } => {
            ("issuer", format!("{}{}", or_none(issuer), if *known { "" } else { ", not in the policy" }))
        }
        CheckStep::Audience { audiences, accepted } => {
            ("audience", format!("{}; accepted: {}", seen_as(audiences), accepted.join(", ")))
        }
        CheckStep::Key { key_id, algorithm, at_hand } => {
            let keys = if *at_hand { "" } else { "; no keys have been fetched" };
            ("key", format!("kid {}, {algorithm}{keys}", or_none(key_id)))
        }
        CheckStep::Pace { allowance } => ("pace", format!("up to {allowance} signature checks a second")),
        CheckStep::Signature => ("signature", "over header and claims".to_owned()),
        CheckStep::Claims { identity, fault } => (
            "claims",
            identity.as_ref().map_or_else(
                || fault.clone().unwrap_or_default(),
                |who| {
                    let agents =
                        if who.agents.is_empty() { String::new() } else { format!(", agent {}", who.agents.join(" for ")) };
                    let token = who.token_id.as_ref().map_or_else(String::new, |id| format!(", token {id}"));
                    format!("session {}, subject {}{agents}{token}", who.session, who.subject)
                },
            ),
        ),
        CheckStep::Binding { required, confirmation, fault } => {
            let asked = if required.is_empty() { "none asked for".to_owned() } else { required.join(", ") };
            let cnf = if confirmation.is_empty() { String::new() } else { format!("; cnf {}", confirmation.join(", ")) };
            let fault = fault.map_or_else(String::new, |why| format!(": {why}"));
            ("binding", format!("{asked}{cnf}{fault}"))
        }
        CheckStep::Begin { now, not_before, issued, started, clock_skew } => {
            let not_before = not_before.map_or_else(String::new, |at| format!(", nbf {}", instant(at)));
            (
                "not before",
                format!(
                    "now {}{not_before}, iat {}, started {}{}",
                    instant(*now),
                    instant(*issued),
                    instant(*started),
                    skew(*clock_skew)
                ),
            )
        }
        CheckStep::Expiry { now, expires, clock_skew } => {
            ("expiry", format!("now {}, exp {}{}", instant(*now), instant(*expires), skew(*clock_skew)))
        }
        CheckStep::Lifetime { token, session, longest } => {
            ("lifetime", format!("of the token {token}s, of the session so far {session}s; at most {longest}s"))
        }
        CheckStep::Revocation { named, because } => (
            "revocation",
            match (named, because) {
                (false, _) => "no entry names it".to_owned(),
                (true, Some(because)) => format!("an entry names it, because: {because}"),
                (true, None) => "an entry names it".to_owned(),
            },
        ),
        CheckStep::State { stopped } => ("state", stopped.map_or("it goes on", |_| "it was ended").to_owned()),
        CheckStep::Status { list, index, value } => (
            "status list",
            match (list, index, value) {
                (Some(list), Some(index), Some(0)) => format!("entry {index} of {list}: valid"),
                (Some(list), Some(index), Some(value)) => format!("entry {index} of {list}: {value}, not valid"),
                (Some(list), Some(index), None) => format!("entry {index} of {list}: nothing is at hand that says"),
                (None, ..) | (_, None, _) => "none to be asked".to_owned(),
            },
        ),
        CheckStep::Message { bytes, fault } => {
            let length = bytes.map_or_else(|| "not read".to_owned(), |bytes| format!("{bytes} bytes"));
            ("message", fault.as_ref().map_or(length.clone(), |fault| format!("{length}: {fault}")))
        }
        CheckStep::Arguments { command, place, rule } => {
            let place = if place.is_empty() { "they" } else { place };
            ("arguments", format!("of {command}: {place} {rule}"))
        }
        CheckStep::Handle { kind } => ("handle", format!("{kind}: not given to this session")),
        CheckStep::Command { command } => ("command", or_none(command)),
        CheckStep::TokenCommands { claim, details, arguments, required, listed: _ } => {
            let list = |name: &str, list: &Option<Vec<String>>| list.as_ref().map(|list| format!("{name} [{}]", list.join(", ")));
            let lists: Vec<String> =
                [list("claim", claim), list("authorization_details", details)].into_iter().flatten().collect();
            let none = if *required { "none, and the policy requires one" } else { "none, and the policy requires none" };
            let asked = arguments.as_ref().map_or_else(String::new, |digest| format!("; asked with arguments_sha256 {digest}"));
            ("token's list", if lists.is_empty() { none.to_owned() } else { format!("{}{asked}", lists.join("; ")) })
        }
        CheckStep::Direct { kind } => ("direct", format!("{kind}: the target's own credential")),
        CheckStep::Grants { granted_by, ends, browser } => (
            "grants",
            match (granted_by, ends, browser) {
                (Some(grant), Some(ends), _) => format!("{grant}, until {}", instant(*ends)),
                (Some(grant), None, _) => grant.clone(),
                (None, _, Some(mark)) => format!("none allows it to a browser ({mark})"),
                (None, _, None) => "none allows it".to_owned(),
            },
        ),
        CheckStep::Transfer { rules, upload, ranged, bytes, broken } => {
            if rules.is_empty() {
                return ("transfers", "no rules".to_owned());
            }
            let rules = rules.join(", ");
            let upload = upload.map_or_else(String::new, |sign| format!("; an upload, by its {sign}"));
            let part = if *ranged { "; asks for a part of a file" } else { "" };
            let broken = broken.map_or_else(String::new, |rule| format!(": {rule}"));
            ("transfers", format!("{rules}; {}{upload}{part}{broken}", output::count(*bytes, "byte")))
        }
        CheckStep::Calls { counted, stopped } => ("calls", calls(counted, *stopped)),
        CheckStep::Credential { reference, available } => {
            ("credential", format!("{reference}, {}", if *available { "there" } else { "not there" }))
        }
        CheckStep::Body { there, accepted } => {
            let takes = if *accepted { "one is accepted" } else { "the command has none" };
            ("body", format!("{}; {takes}", if *there { "there is one" } else { "none" }))
        }
        CheckStep::Room { of, taken, most } => {
            let of = match *of {
                "session" => "of the session",
                "address" => "without a session, from its address",
                _ => "without a session",
            };
            ("room", format!("{taken} of {most} streams under way {of}"))
        }
    }
}

fn calls(counted: &[CallsSeen], stopped: Option<&str>) -> String {
    let rule = |seen: &CallsSeen| {
        let CallsSeen { before, calls, most, within } = seen;
        let within = within.map_or_else(|| "of the session".to_owned(), |within| format!("in the last {within}s"));
        format!("{before} of {most} {within}, and {calls} now")
    };
    let mut texts: Vec<String> = counted.iter().map(rule).collect();
    texts.extend(stopped.map(str::to_owned));
    if texts.is_empty() { "what has to come before has".to_owned() } else { texts.join("; ") }
}

fn instant(seconds: u64) -> String {
    let known = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    known.map_or_else(|| seconds.to_string(), |at| at.to_string())
}

fn skew(seconds: u64) -> String {
    if seconds == 0 { String::new() } else { format!(", give or take {seconds}s") }
}

/// What a terminal would obey is shown, not sent: claims and paths are what somebody wrote.
fn clean(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}
