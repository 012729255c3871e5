//! Which files have been saved since they were last looked at.
//!
//! Files are asked for their times, ten times a second, rather than watched through the kernel: editors save by rename or by
//! truncating and writing, folders come over a network or from another machine, and all of that changes a file's time.
//! A few dozen files cost a few dozen microseconds.

use super::files;
use chaperone_authoring::source::Findings;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

/// How often files are looked at.
const EVERY: Duration = Duration::from_millis(100);
/// A file that is being written is read when it has been left alone for this long.
const SETTLE: Duration = Duration::from_millis(30);
/// A file that is written to without end is read all the same.
const MOST_SETTLES: u32 = 10;

/// What of a file tells that it was saved; `None` where there is no file.
type Stamp = Option<(SystemTime, u64)>;

/// Cases files and what they depend on, as they were when they were last looked at.
pub struct Watch {
    paths: Vec<PathBuf>,
    /// Changes mean that everything is to be run again.
    filter: PathBuf,
    filter_stamp: Stamp,
    /// By cases file: its stamp, its policy and that one's.
    seen: BTreeMap<PathBuf, (Stamp, Option<PathBuf>, Stamp)>,
    /// Why there are no files, when there are none.
    lost: Option<String>,
}

/// What has happened.
#[derive(Debug)]
pub enum Change {
    /// These cases files, or their policies, were saved.
    Cases(Vec<PathBuf>),
    /// The filter was built anew: all cases files.
    Filter(Vec<PathBuf>),
    /// The files are gone.
    Lost(Findings),
}

impl Watch {
    /// Watches what is at these paths, and the filter. Everything is new at first.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, filter: PathBuf) -> Self {
        let filter_stamp = stamp(&filter);
        Self { paths, filter, filter_stamp, seen: BTreeMap::new(), lost: None }
    }

    /// How many cases files there are.
    #[must_use]
    pub fn files(&self) -> usize {
        self.seen.len()
    }

    /// Waits until something has changed.
    pub fn wait(&mut self) -> Change {
        loop {
            let started = Instant::now();
            if let Some(change) = self.look() {
                return change;
            }
            // Where looking takes long, for a folder is huge, most of the time is still the machine's own.
            thread::sleep(EVERY.max(started.elapsed() * 4));
        }
    }

    fn look(&mut self) -> Option<Change> {
        let files = match files::find(&self.paths) {
            Ok(files) => files,
            Err(findings) => {
                let text = findings.to_string();
                self.seen.clear();
                return (self.lost.replace(text.clone()) != Some(text)).then_some(Change::Lost(findings));
            }
        };
        self.lost = None;
        self.seen.retain(|path, _| files.contains(path));
        let filter_stamp = stamp(&self.filter);
        if filter_stamp != self.filter_stamp && filter_stamp.is_some() {
            self.filter_stamp = settled(&self.filter);
            files.iter().for_each(|path| self.note(path));
            return Some(Change::Filter(files));
        }
        let changed: Vec<PathBuf> = files.into_iter().filter(|path| self.has_changed(path)).collect();
        changed.iter().for_each(|path| self.note(path));
        (!changed.is_empty()).then_some(Change::Cases(changed))
    }

    fn has_changed(&self, path: &Path) -> bool {
        self.seen.get(path).is_none_or(|(cases, policy, policy_stamp)| {
            *cases != stamp(path) || policy.as_ref().is_some_and(|policy| stamp(policy) != *policy_stamp)
        })
    }

    /// Remembers a file as it is before it is read: what is saved after that is seen the next time.
    fn note(&mut self, path: &Path) {
        let first = !self.seen.contains_key(path);
        let cases = if first { stamp(path) } else { settled(path) };
        let policy = policy_of(path);
        let policy_stamp = policy.as_ref().and_then(|policy| if first { stamp(policy) } else { settled(policy) });
        self.seen.insert(path.to_owned(), (cases, policy, policy_stamp));
    }
}

/// The policy that a cases file names, whatever else is wrong with either.
fn policy_of(path: &Path) -> Option<PathBuf> {
    let document = crate::files::document(path).ok()?;
    Some(path.parent()?.join(document.value().get("policy")?.as_str()?))
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// The stamp once it holds still.
fn settled(path: &Path) -> Stamp {
    let mut now = stamp(path);
    for _ in 0..MOST_SETTLES {
        thread::sleep(SETTLE);
        let next = stamp(path);
        if next == now {
            break;
        }
        now = next;
    }
    now
}
