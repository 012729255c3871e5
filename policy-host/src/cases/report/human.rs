//! For people: what failed, expected above seen, and what no case has touched.

use super::{Counts, Report, title};
use anstyle::{AnsiColor, Style};
use chaperone_authoring::cases::{Mismatch, Names};
use std::fmt::{Display, Write as _};

/// Which colours to use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Palette {
    good: Style,
    bad: Style,
    place: Style,
}

impl Palette {
    /// None at all.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// For a terminal.
    #[must_use]
    pub fn colours() -> Self {
        Self { good: AnsiColor::Green.on_default(), bad: AnsiColor::Red.on_default(), place: Style::new().bold() }
    }
}

/// Text in a style.
fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

impl Report {
    /// For people. Of several policies, what no case touches of each is a line of numbers, unless the names are wanted.
    #[must_use]
    pub fn human(&self, palette: Palette, names: bool) -> String {
        let mut out = String::new();
        for (plan, cases) in self.cases() {
            let cases: Vec<_> = cases.collect();
            let counts = Counts::of(cases.iter().map(|(_, ran)| *ran));
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}: {}", plan.name, summary(counts, palette));
            for (case, ran) in cases {
                for failure in &ran.failures {
                    let word = if failure.mismatches.is_empty() { "TRAPPED" } else { "FAILED" };
                    let about = title(case, failure.step, &failure.name);
                    let place = paint(palette.place, &failure.location);
                    let _ =
                        write!(out, "\n{} {place}: {about}\n{}", paint(palette.bad, word), diff(&failure.mismatches, palette));
                }
                if let Some(trap) = &ran.trap {
                    if ran.failures.iter().all(|failure| !failure.mismatches.is_empty()) {
                        let place = paint(palette.place, &case.location);
                        let _ = writeln!(out, "\n{} {place}: {}", paint(palette.bad, "TRAPPED"), case.name);
                    }
                    let _ = writeln!(out, "{}", indented(trap));
                }
            }
            if counts.passed < counts.total() {
                out.push('\n');
            }
        }
        if self.files.len() > 1 {
            let _ = writeln!(out, "{} files: {}", self.files.len(), summary(self.counts(), palette));
        }
        let names = names || self.coverage.len() < 2;
        let mut left_out = false;
        for coverage in &self.coverage {
            let parts = [("commands", &coverage.commands), ("grants", &coverage.grants), ("reasons", &coverage.reasons)];
            if !names {
                let count = |(what, names): (&'static str, &Names)| match names.untouched().count() {
                    0 => None,
                    number => Some(format!("{number} of {} {what}", names.known.len())),
                };
                let counts: Vec<String> = parts.into_iter().filter_map(count).collect();
                if !counts.is_empty() {
                    left_out = true;
                    let _ = writeln!(out, "no case touches, in {}: {}", coverage.policy.display(), counts.join(", "));
                }
                continue;
            }
            let untouched: Vec<_> = parts
                .iter()
                .map(|(what, names)| (what, names.untouched().collect::<Vec<_>>().join(", ")))
                .filter(|(_, names)| !names.is_empty())
                .collect();
            if !untouched.is_empty() {
                let _ = writeln!(out, "no case touches, in {}:", coverage.policy.display());
            }
            for (what, names) in untouched {
                let _ = writeln!(out, "  {what:<9} {names}");
            }
        }
        if left_out {
            out.push_str("(--untouched lists them)\n");
        }
        out
    }
}

fn summary(counts: Counts, palette: Palette) -> String {
    let Counts { passed, failed, trapped } = counts;
    let cases = format!("{} case{}", counts.total(), if counts.total() == 1 { "" } else { "s" });
    if passed == counts.total() {
        return format!("{cases} {}", paint(palette.good, "passed"));
    }
    let part = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let bad: Vec<String> = [part(failed, "failed"), part(trapped, "trapped")].into_iter().flatten().collect();
    format!("{cases}, {}", paint(palette.bad, bad.join(", ")))
}

/// Each difference, expected above seen, all in one column.
fn diff(mismatches: &[Mismatch], palette: Palette) -> String {
    let width = mismatches.iter().map(|mismatch| mismatch.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for Mismatch { what, expected, found } in mismatches {
        let expected = paint(palette.good, format!("- {}", visible(expected)));
        let found = paint(palette.bad, format!("+ {}", visible(found)));
        let _ = writeln!(out, "  {what:width$}  {expected}\n  {:width$}  {found}", "");
    }
    out
}

/// Values are a client's to choose, and a terminal obeys control characters.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
