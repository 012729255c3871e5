//! Comments that allow a lint where it is meant: `# check: allow command_unused`, beside the place or on the lines above it.

use super::Lint;
use crate::source::{Document, Finding, Severity};
use chaperone_policy::nearest_name;
use std::ops::Range;

const MARK: &str = "# check: allow ";

/// Takes out what a comment allows.
pub(super) fn permit(file: &Document, found: &mut Vec<Finding>) {
    let text = &file.source().text;
    if !text.contains(MARK) {
        return;
    }
    found.retain(|finding| match (finding.severity, &finding.range) {
        (Severity::Warning(lint), Some(range)) => !lines_for(text, range.start).any(|line| allows(line, lint)),
        (Severity::Warning(_) | Severity::Error | Severity::Note, _) => true,
    });
}

/// Takes out what a comment allows, and asks about comments that allow what there is not.
pub(super) fn apply(file: &Document, found: &mut Vec<Finding>) {
    permit(file, found);
    let text = &file.source().text;
    for (offset, _) in text.match_indices(MARK) {
        for (name, at) in listed(text, offset + MARK.len()) {
            if Lint::from_code(name).is_none() {
                let near = nearest_name(name, Lint::ALL.into_iter().map(Lint::code));
                found.push(Finding {
                    severity: Severity::Warning(Lint::AllowUnknown),
                    range: Some(at),
                    ..file.finding(
                        "",
                        format!("`{name}` is no lint"),
                        Some(near.map_or_else(
                            || "write the name that stands with the warning".to_owned(),
                            |near| format!("did you mean `{near}`?"),
                        )),
                    )
                });
            }
        }
    }
}

/// The line of this byte, and the lines of comment right above it.
fn lines_for(text: &str, offset: usize) -> impl Iterator<Item = &str> {
    let start = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let own = text.get(start..).and_then(|rest| rest.lines().next());
    let above = text.get(..start).unwrap_or_default().lines().rev().take_while(|line| line.trim_start().starts_with('#'));
    own.into_iter().chain(above)
}

fn allows(line: &str, lint: Lint) -> bool {
    line.find(MARK).is_some_and(|at| listed(line, at + MARK.len()).iter().any(|(name, _)| *name == lint.code()))
}

/// The names after the mark, with commas between them; what follows is free text.
fn listed(text: &str, from: usize) -> Vec<(&str, Range<usize>)> {
    let rest = text.get(from..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let mut names = Vec::new();
    let mut at = from;
    for word in rest.split(' ') {
        let name = word.trim_end_matches([',', ':', ';']);
        if !name.is_empty() {
            names.push((name, at..at + name.len()));
        }
        at += word.len() + 1;
        if !word.is_empty() && !word.ends_with(',') {
            break;
        }
    }
    names
}
