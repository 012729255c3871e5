//! Why a request is allowed or denied: decided by the filter, explained by the core that it is built from, and refused where the
//! two do not agree.

use crate::{
    host::{LogSink, Module},
    replay::{Replay, ReplayError},
};
use chaperone_authoring::{
    explain::{self, Explained},
    outcome::{Decision, Outcome},
    recorded::Line,
};
use chaperone_policy::Reason;
use jiff::Timestamp;
use serde_json::Value;
use std::fmt;

/// Why nothing is explained.
#[derive(Debug)]
pub enum ExplainError {
    /// The filter did not decide.
    Replay(ReplayError),
    /// The filter died of this.
    Trapped(String),
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
            Self::Trapped(trap) => f.write_str(trap),
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

/// What the filter's record calls a request that is no command (OCSF asks for a text there).
const NO_COMMAND: &str = "unknown";

/// Decides one request: what the filter did, and why. `text` is the line that was parsed.
///
/// # Errors
/// When the filter does not start, traps, or does not agree with the core.
pub fn explain(
    module: Module,
    policy: &Value,
    environment: Vec<(String, String)>,
    log: LogSink,
    mut line: Line,
    now: Timestamp,
) -> Result<(Outcome, Explained), ExplainError> {
    // It is the request that is explained: what became of its answer would stand in the place of what was decided about it.
    line.exchange.reply = None;
    let mut run = Replay::new(module, policy, environment.clone(), log)?;
    let at = line.at.unwrap_or(now);
    // Signed once: the filter and the core are shown the very same token.
    let request = *run.exchange(line.clone())?.request;
    let outcome = run.decide_line(1, line, at)?;
    if let Some(trap) = outcome.trap {
        return Err(ExplainError::Trapped(trap));
    }
    let core = explain::explain(run.policy(), run.published(), environment, &request, at);
    let said = |decision: Decision, reason: Option<&str>| format!("{} {}", decision.word(), reason.unwrap_or_default());
    let filter = said(outcome.decision, outcome.reason.as_deref());
    let native = said(core.decision, core.reason.map(Reason::code));
    if filter != native || outcome.command.as_deref() != Some(core.command.as_deref().unwrap_or(NO_COMMAND)) {
        let with = |said: &str, command: &Option<String>| format!("{} {}", said.trim_end(), command.as_deref().unwrap_or("-"));
        return Err(ExplainError::Disagreement { filter: with(&filter, &outcome.command), core: with(&native, &core.command) });
    }
    Ok((outcome, core))
}
