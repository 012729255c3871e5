//! What can be asked of a run.

use crate::rows::{Row, Setup};
use std::path::PathBuf;

/// How it is used.
pub(crate) const USAGE: &str =
    "usage: bench [--rounds N] [--requests N] [--connections N] [--only NAME] [--wasm FILE] [--before FILE]
  --rounds N     alternating rounds (40)
  --requests N   requests of a round, a twentieth of it where each token is new (2000)
  --connections N
                 connections, each with one request at a time; may be given again (4 and 32: Envoy finds several events when it
                 wakes, as under real load)
  --only NAME    rows whose name contains NAME, and those that they are compared with; may be given again
  --wasm FILE    another build of the filter
  --before FILE  an earlier build of it, in rows of its own: what a change costs, in the same rounds";

/// The options, defaults filled in.
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) requests: u32,
    pub(crate) connections: Vec<usize>,
    pub(crate) wasm: Option<PathBuf>,
    pub(crate) before: Option<PathBuf>,
    only: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { rounds: 40, requests: 2000, connections: Vec::new(), wasm: None, before: None, only: Vec::new() };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name}: no such option, or no value"))?;
            let number = || value.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{name} {value}: no number"));
            match name.as_str() {
                "--rounds" => options.rounds = number()?,
                "--requests" => {
                    options.requests = u32::try_from(number()?).map_err(|_| format!("--requests {value}: too many"))?
                }
                "--connections" => options.connections.push(number()?),
                "--only" => options.only.push(value),
                "--wasm" => options.wasm = Some(PathBuf::from(value)),
                "--before" => options.before = Some(PathBuf::from(value)),
                _ => return Err(format!("{name}: no such option")),
            }
        }
        if options.connections.is_empty() {
            options.connections = vec![4, 32];
        }
        if options.rows().len() < 2 {
            return Err(format!("no such row; there are: {}", Row::ALL.map(Row::name).join("; ")));
        }
        Ok(options)
    }

    /// Requests of a round where each token is new: RSA tokens take a millisecond each to mint.
    pub(crate) fn cold_requests(&self) -> u32 {
        (self.requests / 20).max(20)
    }

    /// The rows that were asked for, no filter, and the native ones that ratios need.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let there = |row: &Row| !matches!(row.setup(), Setup::Before | Setup::ColdBefore(_)) || self.before.is_some();
        let asked = |row: &Row| there(row) && (self.only.is_empty() || self.only.iter().any(|part| row.name().contains(part)));
        let wanted: Vec<Row> = Row::ALL.into_iter().filter(asked).collect();
        let needed =
            |row: &Row| *row == Row::NoFilter || wanted.contains(row) || wanted.iter().any(|one| one.compared().contains(row));
        Row::ALL.into_iter().filter(needed).collect()
    }
}
