//! `policy-host render`: a policy in the form in which a proxy takes it.

use super::{Exit, output, wasm};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use policy_host::{cases::with_generation, source::PolicyDocument};
use std::path::PathBuf;

/// The shipped file, so that what is printed here is what the tests run.
const ECDS: &str = include_str!("../../../envoy/ecds.yaml");

/// Print a policy in the form in which a proxy takes it.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example: policy-host render ecds --policy policy.yaml --wasm /etc/envoy/chaperone.wasm")]
pub(crate) enum Render {
    Ecds(Ecds),
}

/// The file that Envoy watches (envoy/ecds.yaml), with the policy in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: policy-host render ecds --policy policy.yaml --wasm /etc/envoy/chaperone.wasm > ecds.yaml.next && mv ecds.yaml.next ecds.yaml

The policy's `generation` becomes the current time in seconds: Envoy may not tell a filter about bytes that it has seen before."
)]
pub(crate) struct Ecds {
    /// A policy, or an Envoy file with one in it.
    #[arg(long, value_name = "POLICY")]
    policy: PathBuf,
    /// Where Envoy finds the filter.
    #[arg(long, value_name = "FILE")]
    wasm: PathBuf,
}

impl Render {
    pub(crate) fn run(&self) -> Exit {
        match self {
            Self::Ecds(ecds) => ecds.run(),
        }
    }
}

impl Ecds {
    fn run(&self) -> Exit {
        let document = match PolicyDocument::read(&self.policy).and_then(|document| document.compile().map(|_| document)) {
            Ok(document) => document,
            Err(findings) => return output::invalid(&findings),
        };
        let generation = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
        let policy = with_generation(document.value().to_string().as_bytes(), generation);
        let variables = serde_json::json!(wasm::credential_variables(document.value())).to_string();
        let text = ECDS.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect::<String>();
        let text = text
            .replace("[\"${CREDENTIAL_ENV}\"]", &variables)
            .replace("${WASM}", &self.wasm.display().to_string())
            .replace("${POLICY_JSON}", &String::from_utf8_lossy(&policy));
        output::result(text.trim_start())
    }
}
