//! `policy-host check`: is this a policy that the filter would take, and one that a reviewer would?

use super::{Exit, Format, output, which::Which};
use chaperone_authoring::source::{Findings, Lint, Target};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use policy_host::files;
use std::path::PathBuf;

/// Check a policy: every mistake, and what a reviewer would ask about, each with its line and what to write instead.
#[derive(Debug, Args)]
#[command(after_help = help())]
pub(crate) struct Check {
    /// A policy (YAML or JSON), or an Envoy file or Kubernetes manifests with one in them; - is stdin.
    policy: PathBuf,
    #[command(flatten)]
    which: Which,
    /// The file that this one is to replace: warns of what would be lost, such as open streams that nothing newer judges.
    #[arg(long, value_name = "OLD")]
    against: Option<PathBuf>,
    /// What the policy is for: istio and envoy-gateway know their limits. By default what its manifest is for, else envoy.
    #[arg(long, value_enum)]
    target: Option<For>,
    /// Note the ways round a session that a policy with a credential leaves open, too: where they lead is the target's to say.
    #[arg(long)]
    ways_round: bool,
    /// Exit with 1 when there are warnings.
    #[arg(long)]
    deny_warnings: bool,
    /// How to write the result: json is a list of {file, line, column, pointer, severity, code, message, help}.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum For {
    Envoy,
    Istio,
    EnvoyGateway,
}

fn help() -> String {
    let names: Vec<&str> = Lint::ALL.into_iter().map(Lint::code).collect();
    format!(
        "Example: policy-host check examples/agent-orders/policy.yaml
  policy-host check next.yaml --against /etc/envoy/ecds/ecds.yaml
  helm template ./chart | policy-host check -
  kubectl get wasmplugin -A -o yaml | policy-host check - --policy-name agent-orders

Exits with 0 when the filter would take the policy (with warnings: 1 under --deny-warnings), with 3 when it would not.
Notes (--ways-round) never do that.
An Envoy bootstrap that takes its policy from elsewhere is checked for what keeps one caller from filling the proxy.
A comment allows a warning where it is meant, beside it or on the lines right above it:
  # check: allow command_unused

The warnings by name: {}.",
        names.join(", ")
    )
}

impl Check {
    pub(crate) fn run(&self) -> Exit {
        let file = match files::documents(&self.policy) {
            Ok(file) => file,
            Err(findings) => return self.report(Some(&findings), ""),
        };
        // Whoever names a policy, or has one to compare with, means that there is one; none is what a bootstrap has.
        let policy_meant = self.against.is_some() || self.which.name().is_some();
        if let Some(found) = (!policy_meant).then(|| file.wiring_alone()).flatten() {
            let said = format!("{}: wires a filter whose policy comes from elsewhere\n", file.file_name());
            return self.report(found.as_ref(), &said);
        }
        let document = match file.policy(self.which.name()) {
            Ok(document) => document,
            Err(findings) => return self.report(Some(&findings), ""),
        };
        let old = self.against.as_deref().map(|old| self.which.policy(old).and_then(|old| old.compile().map(|_| old)));
        let old = match old {
            None => None,
            Some(Ok(old)) => Some(old),
            Some(Err(findings)) => return self.report(Some(&findings), ""),
        };
        let target = self.target.map(|target| match target {
            For::Envoy => Target::Envoy,
            For::Istio => Target::Istio,
            For::EnvoyGateway => Target::EnvoyGateway,
        });
        let (policy, findings) = document.check(target, Timestamp::now());
        // What a broken policy would lose is not known.
        let old = old.filter(|_| policy.is_some());
        let lost = old.and_then(|old| document.against(&old, Timestamp::now()));
        let findings = if self.ways_round { findings } else { findings.and_then(Findings::without_notes) };
        let findings = match (findings, lost) {
            (Some(findings), Some(lost)) => Some(findings.and(lost)),
            (findings, lost) => findings.or(lost),
        };
        let valid = policy.map(|policy| {
            let revision = policy.revision().and_then(|revision| revision.get(..12)).unwrap_or_default();
            format!(
                "{}: a valid policy: {}@{revision}, {}, {}\n",
                document.file_name(),
                policy.name().unwrap_or_default(),
                output::count(policy.command_names().count(), "command"),
                output::count(policy.grant_names().count(), "grant"),
            )
        });
        self.report(findings.as_ref(), &valid.unwrap_or_default())
    }

    fn report(&self, findings: Option<&Findings>, valid: &str) -> Exit {
        let errors = findings.map_or(0, Findings::errors);
        let warnings = findings.map_or(0, Findings::warnings);
        let notes = findings.map_or(0, |findings| findings.list().len()) - errors - warnings;
        let written = match self.format {
            Format::Json => {
                let list = findings.map_or_else(|| "[]".to_owned(), |findings| format!("{:#}", findings.json()));
                output::result(&format!("{list}\n"))
            }
            Format::Human => {
                if let Some(findings) = findings {
                    output::invalid(findings);
                    let counts =
                        [(errors, "error"), (warnings, "warning"), (notes, "note")].into_iter().filter(|(number, _)| *number > 0);
                    let counts: Vec<String> = counts.map(|(number, what)| output::count(number, what)).collect();
                    let denied = self.deny_warnings && errors == 0 && warnings > 0;
                    let why = if denied { "; --deny-warnings makes that a failure" } else { "" };
                    output::diagnostic(&format!("{}{why}", counts.join(", ")));
                }
                output::result(valid)
            }
        };
        match written {
            Exit::Fine if errors > 0 => Exit::Invalid,
            Exit::Fine if warnings > 0 && self.deny_warnings => Exit::Failed,
            written @ (Exit::Fine | Exit::Failed | Exit::Usage | Exit::Invalid | Exit::Trapped) => written,
        }
    }
}
