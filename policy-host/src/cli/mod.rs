//! The verbs, one file each, and what they have in common: exit codes, where results and diagnostics go.

mod check;
mod endings;
mod explain;
mod import;
mod in_order;
mod init;
mod key;
mod lanes;
mod lines;
mod output;
mod progress;
mod render;
mod replay;
mod revoke;
mod schema;
mod serve;
mod test;
mod token;
mod wasm;
mod which;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Write and test Chaperone policies on a laptop, with the filter that enforces them.
#[derive(Debug, Parser)]
#[command(
    name = "policy-host",
    version,
    after_help = "Exit codes: 0 fine, 1 failed, 2 usage, 3 invalid policy or input, 4 the filter trapped.
Results go to stdout, diagnostics to stderr."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Check),
    Explain(explain::Explain),
    #[command(subcommand)]
    Import(import::Import),
    Init(init::Init),
    #[command(subcommand)]
    Render(render::Render),
    Replay(replay::Replay),
    Revoke(revoke::Revoke),
    Schema(schema::Schema),
    Serve(serve::Serve),
    Test(test::Test),
    #[command(subcommand)]
    Token(token::Token),
}

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All is as it should be.
    Fine = 0,
    /// The work could not be done: a file cannot be written, a port is taken.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// A policy or an input is wrong.
    Invalid = 3,
    /// The filter trapped.
    Trapped = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Human,
    /// For programs.
    Json,
}

pub(crate) fn run() -> Exit {
    let parsed = folded(Cli::command()).try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when this fails.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine };
        }
    };
    match cli.verb {
        Verb::Check(check) => check.run(),
        Verb::Explain(explain) => explain.run(),
        Verb::Import(import) => import.run(),
        Verb::Init(init) => init.run(),
        Verb::Render(render) => render.run(),
        Verb::Replay(replay) => replay.run(),
        Verb::Revoke(revoke) => revoke.run(),
        Verb::Schema(schema) => schema.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Test(test) => test.run(),
        Verb::Token(token) => token.run(),
    }
}

/// The texts below the options are broken where the source's lines end, and clap breaks each of these lines once more where it is
/// too long for the terminal. So the lines of a paragraph are one; what is indented, and what it comes after, stays as it is.
fn folded(command: Command) -> Command {
    let text = command.get_after_help().map(|text| paragraphs(&text.to_string()));
    let command = match text {
        Some(text) => command.after_help(text),
        None => command,
    };
    command.mut_subcommands(folded)
}

fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let begins = line.is_empty() || line.starts_with(' ');
        let before = out.rsplit('\n').next().unwrap_or_default();
        let goes_on = !begins && !before.is_empty() && !before.starts_with(' ');
        if goes_on {
            out.push(' ');
        } else if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line);
    }
    out
}
