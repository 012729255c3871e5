//! `policy-host check`: is this a policy that the filter would take?

use super::{Exit, Format, output};
use clap::Args;
use policy_host::source::{Findings, PolicyDocument};
use std::path::PathBuf;

/// Check a policy: every mistake with its line and what to write instead.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host check examples/agent-orders/policy.yaml

Exits with 0 when the filter would take the policy (warnings or not), with 3 when it would not.")]
pub(crate) struct Check {
    /// A policy (YAML or JSON), or an Envoy file with one in it; - is stdin.
    policy: PathBuf,
    /// How to write the result: json is a list of {file, line, column, pointer, severity, message, help}.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

impl Check {
    pub(crate) fn run(&self) -> Exit {
        let checked = PolicyDocument::read(&self.policy).and_then(|document| {
            let policy = document.compile()?;
            Ok((document, policy))
        });
        let (document, policy) = match checked {
            Ok(checked) => checked,
            Err(findings) => return self.wrong(&findings),
        };
        let warnings = document.warnings();
        match self.format {
            Format::Json => {
                let list = warnings.as_ref().map_or_else(|| "[]".to_owned(), |warnings| format!("{:#}", warnings.json()));
                output::result(&format!("{list}\n"))
            }
            Format::Human => {
                if let Some(warnings) = &warnings {
                    output::invalid(warnings);
                }
                let revision = policy.revision().and_then(|revision| revision.get(..12)).unwrap_or_default();
                output::result(&format!(
                    "{}: a valid policy: {}@{revision}, {}, {}\n",
                    document.file_name(),
                    policy.name().unwrap_or_default(),
                    output::count(policy.command_names().count(), "command"),
                    output::count(policy.grant_names().count(), "grant"),
                ))
            }
        }
    }

    fn wrong(&self, findings: &Findings) -> Exit {
        match self.format {
            Format::Json => {
                let written = output::result(&format!("{:#}\n", findings.json()));
                if written == Exit::Fine { Exit::Invalid } else { written }
            }
            Format::Human => {
                let exit = output::invalid(findings);
                output::diagnostic(&output::count(findings.list().len(), "error"));
                exit
            }
        }
    }
}
