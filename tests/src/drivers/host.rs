//! The .wasm in policy-host.

use super::{Ran, run};
use policy_host::{
    cases::{Case, Plan},
    host::{LogSink, Module},
    replay::Filter,
};
use std::cell::RefCell;

/// Runs a case in a VM of its own.
///
/// # Panics
/// When the filter does not start or refuses a policy that compiled.
#[must_use]
pub fn case(module: &Module, plan: &Plan, case: &Case) -> Ran {
    let filter = RefCell::new(start(module, plan));
    filter.borrow_mut().configure(&plan.policy_json).unwrap_or_else(|error| panic!("{}: {error}", plan.name));
    let send = |request: &_, at| {
        let mut filter = filter.borrow_mut();
        filter.set_time(at);
        filter.send(0, request)
    };
    let configure = |json: &[u8]| filter.borrow_mut().configure(json).unwrap_or_else(|error| panic!("{}: {error}", case.place));
    run(plan, case, send, configure)
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
