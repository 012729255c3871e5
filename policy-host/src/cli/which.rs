//! Which policy of a file is meant: the flag that all verbs that read a POLICY share.

use super::{Exit, output};
use chaperone_authoring::source::{Findings, PolicyDocument};
use clap::Args;
use policy_host::files;
use std::path::Path;

/// Which policy is meant.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Which policy, where a file holds several: its `name`, or the name of the object that it is in (NAME or NAMESPACE/NAME).
    #[arg(long, value_name = "NAME")]
    policy_name: Option<String>,
}

impl Which {
    /// The name, where one was given.
    pub(crate) fn name(&self) -> Option<&str> {
        self.policy_name.as_deref()
    }

    /// The policy that is meant.
    pub(crate) fn policy(&self, path: &Path) -> Result<PolicyDocument, Findings> {
        files::policy_named(path, self.name())
    }

    /// The policy that is meant, if the filter would take it; what is wrong with it is shown.
    pub(crate) fn valid(&self, path: &Path) -> Result<PolicyDocument, Exit> {
        let document = self.policy(path).map_err(|findings| output::invalid(&findings))?;
        document.compile().map_err(|findings| output::invalid(&findings))?;
        Ok(document)
    }
}
