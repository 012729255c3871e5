//! A policy, or a file with one, as a text of another file: its change made in the form in which the text stands there.

use super::splice::{self, Splice, before, line_break};
use crate::source::{Block, Document, quoted};

/// What is to be changed in the file so that the text at `pointer` is changed so. `None` when it stands there in a form that cannot
/// hold what is new.
pub(super) fn embed(file: &Document, pointer: &str, old: &str, changes: Vec<Splice>) -> Option<Vec<Splice>> {
    let text = &file.source().text;
    if let Some(block) = Block::of(file, pointer) {
        // Line by line, so that everything else of the block stays as it is.
        let line = format!("{}{}", line_break(text), " ".repeat(block.indent));
        let change = |change: Splice| Some(Splice::replace(block.range(&change.range)?, change.text.replace('\n', &line)));
        return changes.into_iter().map(change).collect();
    }
    let new = splice::apply(old, changes)?;
    let span = file.span(pointer)?;
    let written = text.get(span.clone())?;
    let replacement = match written.chars().next()? {
        '\'' if !new.contains('\n') => format!("'{}'", new.replace('\'', "''")),
        '\'' | '"' => quoted(&new),
        // A folded block of one line: JSON cannot stand in YAML as a plain text.
        _ => {
            let header = text.get(file.key_span(pointer)?.end..span.start)?;
            let folded = header.trim_start().strip_prefix(':')?.trim_start().starts_with('>');
            if !folded || written.contains('\n') || new.trim_end().contains('\n') || !before(text, span.start).trim().is_empty() {
                return None;
            }
            new.trim_end().to_owned()
        }
    };
    Some(vec![Splice::replace(span, replacement)])
}
