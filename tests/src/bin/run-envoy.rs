//! `make run-envoy`: the first example on real Envoy, until Ctrl-C. Also the set-up that `make test` wants done beforehand.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for people; a failure to start is its last word, and JSON without a member is null"
)]

use chaperone_tests::{
    access_log::AccessLog,
    command::policy_host,
    envoy::{Envoy, Setup},
    install, root,
    upstream::Upstream,
    wasm,
};
use jiff::Timestamp;
use policy_host::{demo::Demo, files};
use std::{
    io::{Write, stdout},
    process::ExitCode,
    time::Duration,
};

/// From the workspace's root.
const EXAMPLE: &str = "examples/agent-orders/policy.yaml";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run().await,
        ["install"] => println!("{}", install::envoy().display()),
        ["build-for-tests"] => println!("{}", wasm::for_tests().display()),
        _ => {
            eprintln!("usage: run-envoy [install | build-for-tests]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

async fn run() {
    let document = files::policy(&root().join(EXAMPLE)).expect("the first example is a valid document");
    let demo = Demo::new(document.value(), Timestamp::now()).expect("randomness");
    let policy = serde_json::from_slice(&demo.policy_json).expect("a policy is JSON");
    let upstream = Upstream::start().await;
    let setup = Setup {
        name: "run-envoy",
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: upstream.address(),
        workers: 2,
        environment: &[("ORDERS_TOKEN", "demo-credential-of-the-upstream")],
        other_settings: &[],
    };
    let envoy = Envoy::start(setup).await;
    println!("Envoy serves {EXAMPLE} at http://{}, with two workers.", envoy.address());
    println!("Sessions of the next 15 minutes; paste into another terminal:\n\n{}", demo.lines(envoy.address()));
    println!("# then revoke the first one's session while Envoy runs, and send it again");
    let (policy_host, ecds) = (policy_host().display(), envoy.ecds_file());
    println!("{policy_host} revoke --session s-1 --because 'it was a try' {}\n", ecds.display());
    println!("Each request's record follows, as in {}. Ctrl-C ends it all.", envoy.access_log().display());
    let log = AccessLog(envoy.access_log());
    tokio::select! {
        () = print_records(&log) => {}
        stopped = tokio::signal::ctrl_c() => stopped.expect("the signal can be waited for"),
    }
}

async fn print_records(log: &AccessLog) {
    let mut shown = 0;
    loop {
        for entry in log.entries().iter().skip(shown) {
            let record = if entry.record.is_null() {
                "no record: Envoy answered without the filter".to_owned()
            } else {
                entry.record.to_string()
            };
            // Whoever read this has gone (`make run-envoy | head`): so do we.
            if writeln!(stdout(), "{} {}\n  {record}", entry.line["response_code"], entry.details()).is_err() {
                return;
            }
            shown += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
