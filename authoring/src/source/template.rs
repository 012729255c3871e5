//! What stands in a text that is not YAML yet, or not quite: a template that nobody has rendered, a path without quotes.

use super::{Finding, Findings, Severity, Source};
use std::{ops::Range, sync::Arc};

/// Words that begin actions of Go's templates, as Helm's charts have them; others begin with a field, a variable or a comment.
const WORDS: [&str; 23] = [
    "if", "else", "end", "range", "with", "define", "template", "block", "include", "tpl", "toYaml", "toJson", "required",
    "default", "quote", "printf", "lookup", "fail", "nindent", "indent", "and", "or", "not",
];

/// An error of the reader that a path in braces explains: what to point at, what is wrong, what to write instead.
///
/// `None` when something else is wrong at this byte.
pub(super) fn unquoted_path(text: &str, at: usize) -> Option<(Range<usize>, String, String)> {
    let (before, after) = (text.get(..at)?, text.get(at..)?);
    let start = before.rfind([' ', '\t', '\n', ',', '[', '{', '"', '\'']).map_or(0, |found| found + 1);
    if !after.starts_with('{') || !before.get(start..)?.starts_with('/') {
        return None;
    }
    let mut open = 0_usize;
    let end = after.find(|character: char| match character {
        '{' => {
            open += 1;
            false
        }
        '}' if open == 0 => true,
        '}' => {
            open -= 1;
            false
        }
        ']' => open == 0,
        other => other == ',' || other.is_whitespace(),
    });
    let end = at + end.unwrap_or(after.len());
    let path = text.get(start..end)?;
    // `path: /v1/{id}`: with the name that it has there.
    let key = before.get(..start)?.trim_end().strip_suffix(':').and_then(|key| key.rsplit([' ', '{', ',', '\n']).next());
    let key = key.map_or_else(String::new, |key| format!("{key}: "));
    let message = format!("`{path}` wants quotes: within braces or brackets, a plain text ends where a brace begins");
    Some((start..end, message, format!("write `{key}\"{path}\"`")))
}

/// What to do with a template.
pub(super) const RENDER: &str = "render it first: `helm template CHART | policy-host check -`";

/// These mistakes, or that the text is a template, where one of them is beside an action: texts may hold templates that are not
/// for whoever reads the file, and mistakes that are none of theirs.
pub(super) fn instead(source: &Arc<Source>, findings: Vec<Finding>) -> Findings {
    let beside = |finding: &Finding| beside(&source.text, finding.range.as_ref()?.start);
    let rendered = findings.iter().find_map(beside).map(|range| unrendered(source, range));
    rendered.or_else(|| Findings::new(findings)).unwrap_or_else(|| Finding::about_file(&source.name, "is not YAML", None).into())
}

/// An action on the line of this byte, or on those next to it.
fn beside(text: &str, at: usize) -> Option<Range<usize>> {
    let (before, after) = (text.get(..at)?, text.get(at..)?);
    let start = before.rmatch_indices('\n').nth(1).map_or(0, |(line, _)| line + 1);
    let end = after.match_indices('\n').nth(1).map_or(text.len(), |(line, _)| at + line);
    action(text.get(start..end)?).map(|range| start + range.start..start + range.end)
}

/// That the text is a template, with its action.
fn unrendered(source: &Arc<Source>, range: Range<usize>) -> Findings {
    let shown = source.text.get(range.clone()).unwrap_or_default();
    Finding {
        severity: Severity::Error,
        source: Arc::clone(source),
        message: format!("is a template (`{shown}`): what it will be is known when it is rendered"),
        range: Some(range),
        pointer: String::new(),
        help: Some(RENDER.to_owned()),
    }
    .into()
}

/// The first action of a template outside of comments and quotes; `None` when the text is no template.
pub(super) fn action(text: &str) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (at, _) in line.match_indices("{{") {
            let (before, inside) = (line.get(..at)?, line.get(at + 2..)?);
            let inside = inside.strip_prefix('-').unwrap_or(inside).trim_start();
            let (word, _) = inside.split_at(inside.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(inside.len()));
            let begins = inside.starts_with(['.', '$']) || inside.starts_with("/*") || WORDS.contains(&word);
            let in_comment = before.trim_start().starts_with('#') || before.contains(" #");
            let in_quotes = before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1;
            if begins && !in_comment && !in_quotes {
                let end = line.get(at..)?.find("}}").map_or(line.trim_end().len(), |end| at + end + 2);
                return Some(start + at..start + end);
            }
        }
        start += line.len();
    }
    None
}
