//! The examples, as their READMEs tell them: every case through the filter, every shown command and record checked.

use policy_host::{
    cases::{Action, Clock, Plan, check},
    host::{LogSink, Module},
    replay::Filter,
};
use std::path::{Path, PathBuf};

const EXAMPLES: [&str; 2] = ["agent-orders", "elevated-engineer"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn filter() -> Module {
    let path = workspace().join("target/wasm32-wasip1/wasm/chaperone.wasm");
    Module::load(&path).unwrap_or_else(|error| panic!("{error}; `make wasm` builds it"))
}

#[test]
fn every_case_of_every_example_holds() {
    let module = filter();
    let mut wrong = Vec::new();
    for example in EXAMPLES {
        let path = workspace().join("examples").join(example).join("cases.yaml");
        let plan = Plan::read(&path, Clock::AsWritten).unwrap_or_else(|findings| panic!("{findings}"));
        for case in &plan.cases {
            let environment = plan.env.clone().into_iter().collect();
            let mut filter = Filter::start(&module, environment, plan.workers, plan.at, LogSink::discard()).unwrap();
            filter.configure(&plan.policy_json).unwrap();
            let mut worker = 0;
            for step in &case.steps {
                filter.set_time(step.at);
                match &step.action {
                    Action::Configure(policy) => filter.configure(policy).unwrap(),
                    Action::Send { request, expect } => {
                        worker += 1;
                        for mismatch in check(expect, &filter.send(worker, request)) {
                            wrong.push(format!("{example}: {}: {}: {mismatch}", case.name, step.name));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
