//! The .wasm in policy-host, as `policy-host test` runs it.

use super::{Ran, Seen};
use chaperone_authoring::cases::{Case, Plan};
use policy_host::{
    cases::Runner,
    host::{LogSink, Module},
    replay::Filter,
};

/// Runs a case in a proxy of its own.
#[must_use]
pub fn case(module: &Module, plan: &Plan, case: &Case) -> Ran {
    let ran = Runner::new(module.clone(), LogSink::discard()).case(plan, case);
    let mut mismatches: Vec<String> = Vec::new();
    for failure in &ran.failures {
        mismatches.extend(failure.mismatches.iter().map(|mismatch| format!("{}: {}: {mismatch}", failure.location, case.name)));
    }
    mismatches.extend(ran.trap.iter().map(|trap| format!("{}: {}: {trap}", case.location, case.name)));
    Ran { seen: ran.outcomes.iter().map(|(_, outcome)| Seen::under(plan, outcome)).collect(), mismatches }
}

/// A filter without a policy yet.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn start(module: &Module, plan: &Plan) -> Filter {
    let environment = plan.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Filter::start(module, environment, 1, plan.at, LogSink::discard()).unwrap_or_else(|trap| panic!("{}: {trap}", plan.name))
}
