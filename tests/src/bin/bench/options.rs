//! What can be asked of a run.

use crate::rows::Row;
use std::path::PathBuf;

/// How it is used.
pub(crate) const USAGE: &str = "usage: bench [--rounds N] [--requests N] [--only NAME] [--wasm FILE]
  --rounds N     alternating rounds (20)
  --requests N   requests of a round, a tenth of it where each token is new (2000)
  --only NAME    rows whose name contains NAME, and those that they are compared with; may be given again
  --wasm FILE    another build of the filter";

/// The options, defaults filled in.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) requests: usize,
    pub(crate) wasm: Option<PathBuf>,
    only: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { rounds: 20, requests: 2000, wasm: None, only: Vec::new() };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name}: no such option, or no value"))?;
            let number = || value.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{name} {value}: no number"));
            match name.as_str() {
                "--rounds" => options.rounds = number()?,
                "--requests" => options.requests = number()?,
                "--only" => options.only.push(value),
                "--wasm" => options.wasm = Some(PathBuf::from(value)),
                _ => return Err(format!("{name}: no such option")),
            }
        }
        if options.rows().len() < 2 {
            return Err(format!("no such row; there are: {}", Row::ALL.map(Row::name).join("; ")));
        }
        Ok(options)
    }

    /// Requests of a round where each token is new: RSA tokens take a millisecond each to mint.
    pub(crate) fn cold_requests(&self) -> usize {
        (self.requests / 10).max(20)
    }

    /// The rows that were asked for, no filter, and the native ones that ratios need.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let asked = |row: &Row| self.only.is_empty() || self.only.iter().any(|part| row.name().contains(part));
        let wanted: Vec<Row> = Row::ALL.into_iter().filter(asked).collect();
        let needed =
            |row: &Row| *row == Row::NoFilter || wanted.contains(row) || wanted.iter().any(|one| one.native() == Some(*row));
        Row::ALL.into_iter().filter(needed).collect()
    }
}
