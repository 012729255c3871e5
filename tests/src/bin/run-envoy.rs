//! `make run-envoy`: the first example on real Envoy, until Ctrl-C. Also the set-up that `make test` wants done beforehand.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for people, and a failure to start is its last word")]

use chaperone_tests::{
    access_log::AccessLog,
    demo,
    envoy::{Envoy, Setup},
    install,
    upstream::Upstream,
    wasm,
};
use std::{process::ExitCode, time::Duration};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run().await,
        ["install"] => println!("{}", install::envoy().display()),
        ["build-trapping"] => println!("{}", wasm::trapping().display()),
        _ => {
            eprintln!("usage: run-envoy [install | build-trapping]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

async fn run() {
    let (policy, lines) = demo::demo();
    let upstream = Upstream::start().await;
    let setup = Setup {
        name: "run-envoy",
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: upstream.address(),
        workers: 2,
        credential: ("ORDERS_TOKEN", "the-api-credential"),
        other_settings: &[],
    };
    let envoy = Envoy::start(setup).await;
    println!("Envoy serves {} at http://{}, with two workers.", demo::EXAMPLE, envoy.address());
    println!("In another terminal, within ten minutes:");
    for line in &lines {
        println!("\n# {}: {}\n{}", line.status, line.what, line.curl(envoy.address()));
    }
    let ecds = envoy.dir().join("ecds").join("ecds.yaml");
    let ecds = ecds.display();
    println!("\n# revoke the first line's session while Envoy runs, and try that line again");
    println!("sed 's/s-2041/{}/' {ecds} > {ecds}.next && mv {ecds}.next {ecds}", demo::SESSION);
    println!("\nEach request's record follows, as in {}. Ctrl-C ends it all.\n", envoy.access_log().display());
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
            println!(
                "{} {}\n  {}",
                entry.line["response_code"],
                entry.details(),
                entry.line["session_audit"].as_str().unwrap_or("no record: Envoy answered without the filter")
            );
            shown += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
