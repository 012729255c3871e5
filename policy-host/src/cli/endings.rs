//! `policy-host revoke --from-log`: reading the log, and saying what is in it.

use super::{Exit, lines::Lines, output};
use chaperone_authoring::revoke::{Endings, LogLine};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A proxy's access log, read to its end.
pub(crate) struct FromLog {
    path: PathBuf,
    endings: Endings,
    /// Lines that could not be read; what the others say is revoked all the same.
    bad: u64,
    exit: Exit,
}

impl FromLog {
    pub(crate) fn read(path: &Path) -> Result<Self, Exit> {
        let mut lines = Lines::open(path)?;
        let mut endings = Endings::default();
        while let Some(line) = lines.next(LogLine::parse)? {
            if let Some(line) = line.content {
                endings.add(line);
            }
        }
        let (bad, empty) = (lines.bad_lines(), lines.is_empty());
        let exit = lines.finish("and may have ended sessions");
        let path = path.to_owned();
        // Silence must mean that nothing was ended, not that this was some other file.
        if !endings.are_of_a_filter() && !empty {
            output::diagnostic(&format!(
                "policy-host: {}: no line has a record of the filter in `session_audit`: is this the proxy's access log?",
                path.display()
            ));
            return Err(Exit::Invalid);
        }
        Ok(Self { path, endings, bad, exit })
    }

    pub(crate) fn endings(&self) -> &Endings {
        &self.endings
    }

    /// Says what is in the log and not of this policy.
    pub(crate) fn say_others(&self, policy: &str) {
        let others: Vec<String> = self.endings.others(policy).map(|(name, count)| format!("{name}: {count}")).collect();
        if !others.is_empty() {
            output::diagnostic(&format!(
                "policy-host: {}: sessions ended under policies of other names are left alone ({})",
                self.path.display(),
                others.join(", ")
            ));
        }
    }

    /// The same for programs.
    pub(crate) fn json(&self, policy: &str) -> Value {
        json!({
            "records": self.endings.records(),
            "ended": self.endings.of(policy).len(),
            "ended_elsewhere": self.endings.others(policy).map(|(_, count)| count).sum::<usize>(),
            "unreadable_lines": self.bad,
        })
    }

    /// How it went, when everything else went like this.
    pub(crate) fn exit(&self, exit: Exit) -> Exit {
        if exit == Exit::Fine { self.exit } else { exit }
    }
}
