//! Why a request is allowed or denied: decided by the filter, explained by the core that it is built from, and refused where the
//! two do not agree.

mod advice;
mod nearest;
mod verdict;

pub use nearest::Nearest;
pub use verdict::{Checked, Verdict};

use crate::{
    host::{LogSink, Module},
    published::Published,
    replay::{Decision, Line, Outcome, Replay, ReplayError, Request, peer},
};
use chaperone_policy::{CheckStep, Context, Exchange, GrantSeen, Head, LocalState, Policy, Reason, RustCrypto, Secret, Worker};
use jiff::Timestamp;
use serde_json::Value;
use std::{fmt, rc::Rc};

/// A decision with its reasons.
#[derive(Debug)]
pub struct Explained {
    /// What the filter did.
    pub outcome: Outcome,
    /// The command that the request is.
    pub command: Option<String>,
    /// Each check in order, with what it saw and how it went; those that were not reached are not here.
    pub checks: Vec<Checked>,
    /// All grants, and how the session stands to them.
    pub grants: Vec<GrantSeen>,
    /// The grant that is nearest to allowing the command, where it was denied and some grant allows it at all.
    pub nearest: Option<Nearest>,
    /// What would have to change, where it was denied.
    pub advice: Option<String>,
}

/// Why nothing is explained.
#[derive(Debug)]
pub enum ExplainError {
    /// The filter did not decide.
    Replay(ReplayError),
    /// The filter decided one thing and the core another: one of them is not what this was built from.
    Disagreement {
        /// What the filter decided.
        filter: String,
        /// What the core decided.
        core: String,
    },
}

impl fmt::Display for ExplainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay(error) => error.fmt(f),
            Self::Disagreement { filter, core } => write!(
                f,
                "the filter decided `{filter}`, and the core in this program `{core}`: they are not of the same version, or one is wrong"
            ),
        }
    }
}

impl std::error::Error for ExplainError {}

impl From<ReplayError> for ExplainError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}

/// Decides one request and explains the decision. `text` is the line that was parsed.
///
/// # Errors
/// When the filter does not start, or does not agree with the core.
pub fn explain(
    module: Module,
    policy: &Value,
    environment: Vec<(String, String)>,
    log: LogSink,
    (line, text): (Line, &str),
    now: Timestamp,
) -> Result<Explained, ExplainError> {
    let mut run = Replay::new(module, policy, environment.clone(), log)?;
    let at = line.at.unwrap_or(now);
    // Signed once: the filter and the core are shown the very same token.
    let request = run.request(line.clone())?;
    let outcome = run.decide_line(1, line, text, at)?;
    if outcome.trap.is_some() {
        return Ok(Explained { outcome, command: None, checks: Vec::new(), grants: Vec::new(), nearest: None, advice: None });
    }
    let core = ask_core(run.policy(), run.published(), environment, &request, at);
    let said = |decision: Decision, reason: Option<&str>| format!("{} {}", decision.word(), reason.unwrap_or_default());
    let filter = said(outcome.decision, outcome.reason.as_deref());
    let native = said(core.decision, core.reason.map(Reason::code));
    if filter != native || outcome.command.as_deref() != Some(core.command.as_deref().unwrap_or(NO_COMMAND)) {
        let with = |said: &str, command: &Option<String>| format!("{} {}", said.trim_end(), command.as_deref().unwrap_or("-"));
        return Err(ExplainError::Disagreement { filter: with(&filter, &outcome.command), core: with(&native, &core.command) });
    }
    let denied = core.decision == Decision::Deny || core.reason.is_some();
    let nearest = core.command.as_deref().filter(|_| denied).and_then(|command| nearest::find(command, &core.grants));
    let advice = core.reason.map(|reason| advice::about(reason, core.command.as_deref(), &core.seen, nearest.as_ref()));
    let checks = verdict::judge(core.seen, core.reason, core.decision);
    Ok(Explained { outcome, command: core.command, checks, grants: core.grants, nearest, advice })
}

/// What the filter's record calls a request that is no command (OCSF asks for a text there).
const NO_COMMAND: &str = "unknown";

/// What the core says.
struct Native {
    decision: Decision,
    reason: Option<Reason>,
    command: Option<String>,
    seen: Vec<CheckStep>,
    grants: Vec<GrantSeen>,
}

fn ask_core(
    policy: &Value,
    published: &Published,
    environment: Vec<(String, String)>,
    request: &Request,
    at: Timestamp,
) -> Native {
    // A policy that does not compile is none here, as it is in the filter.
    let policy = Rc::new(Policy::compile(policy.to_string().as_bytes()).unwrap_or_else(|_| Policy::deny_all()));
    let environment = environment.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
    let mut worker = Worker::new([0; 16], [0; 32], environment);
    worker.share(Rc::new(LocalState::default()));
    let owned = request.head();
    let fields: Vec<(&[u8], &[u8])> = owned.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
    let source = request.source_address.map(|address| address.to_string());
    let properties = request.properties();
    let head = Head {
        headers: &fields,
        source_address: source.as_deref().map(str::as_bytes),
        body: request.has_body(),
        peer: peer(&properties),
    };
    let now = chaperone_policy::Timestamp::from_nanos(u64::try_from(at.as_nanosecond()).unwrap_or(0));
    published.fetch_for(&mut worker, &policy, now);
    let mut exchange = Exchange::begin(Rc::clone(&policy));
    let context = Context { now, newest: &policy, verifier: &RustCrypto };
    let (decision, explanation) = exchange.explain(&head, &mut worker, &context);
    let decision = match decision {
        chaperone_policy::Decision::Forward(_) => Decision::Allow,
        // What waits has not been let through.
        chaperone_policy::Decision::Refuse(_) | chaperone_policy::Decision::Hold(_) => Decision::Deny,
    };
    let command = explanation
        .seen
        .iter()
        .find_map(|seen| if let CheckStep::Lookup { command, .. } = seen { Some(command.clone()) } else { None });
    let reason = exchange.reason();
    Native { decision, reason, command: command.flatten(), seen: explanation.seen, grants: explanation.grants }
}
