//! The results of a run, for people and for programs.

mod human;
mod json;
mod junit;

use chaperone_authoring::cases::{Case, Coverage, Plan, Ran};
use std::time::Duration;

pub use human::Palette;

/// The results of one run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Each file with its cases and what became of them, in the file's order.
    pub files: Vec<(Plan, Vec<Ran>)>,
    /// What of each policy was reached, in the order in which the files name them. Empty when not all cases ran: it would
    /// say nothing.
    pub coverage: Vec<Coverage>,
    /// How long the run took.
    pub took: Duration,
}

/// How many cases came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// As expected.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// The filter died.
    pub trapped: usize,
}

impl Report {
    /// `all`: did every case of the files run?
    #[must_use]
    pub fn new(files: Vec<(Plan, Vec<Ran>)>, all: bool, took: Duration) -> Self {
        let mut coverage: Vec<Coverage> = Vec::new();
        for (plan, ran) in files.iter().filter(|_| all) {
            let index = coverage.iter().position(|found| found.policy == plan.policy_path).unwrap_or(coverage.len());
            if index == coverage.len() {
                coverage.push(Coverage::of(plan));
            }
            if let Some(found) = coverage.get_mut(index) {
                ran.iter().for_each(|ran| found.add(ran));
            }
        }
        Self { files, coverage, took }
    }

    /// How many cases came out how, in all files.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(self.files.iter().flat_map(|(_, ran)| ran))
    }

    fn cases(&self) -> impl Iterator<Item = (&Plan, impl Iterator<Item = (&Case, &Ran)>)> {
        self.files.iter().map(|(plan, ran)| (plan, plan.cases.iter().zip(ran)))
    }
}

impl Counts {
    fn of<'r>(ran: impl IntoIterator<Item = &'r Ran>) -> Self {
        let mut counts = Self::default();
        for ran in ran {
            let slot = match (&ran.trap, ran.failures.is_empty()) {
                (Some(_), _) => &mut counts.trapped,
                (None, false) => &mut counts.failed,
                (None, true) => &mut counts.passed,
            };
            *slot += 1;
        }
        counts
    }

    /// All of them.
    #[must_use]
    pub fn total(self) -> usize {
        self.passed + self.failed + self.trapped
    }
}

/// What a failure is about: the case, and the step where it has several.
fn title(case: &Case, step: usize, name: &str) -> String {
    if case.steps.len() == 1 || name == case.name {
        return case.name.clone();
    }
    let number = format!("step {}", step + 1);
    if name == number { format!("{}, {number}", case.name) } else { format!("{}, {number}: {name}", case.name) }
}
