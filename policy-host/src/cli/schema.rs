//! `policy-host schema`: for editors.

use super::{Exit, output};
use chaperone_authoring::schema;
use clap::{Args, ValueEnum};

/// Print the JSON Schema of policies or of cases files, with which an editor completes and checks them.
#[derive(Debug, Args)]
#[command(after_help = "Example: policy-host schema policy > policy.schema.json

An editor with a YAML language server takes it from the file's first line: # yaml-language-server: $schema=policy.schema.json")]
pub(crate) struct Schema {
    /// Of what.
    #[arg(value_enum, default_value = "policy")]
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The policy document.
    Policy,
    /// cases.yaml
    Cases,
}

impl Schema {
    pub(crate) fn run(&self) -> Exit {
        let schema = match self.what {
            What::Policy => schema::policy(),
            What::Cases => schema::cases(),
        };
        output::result(&format!("{schema:#}\n"))
    }
}
