//! A policy as JSON in a text of another file: the changed text put back in the form in which the old one stands there.

use super::splice::{self, Splice, before, line_break};
use crate::source::{Document, quoted};

/// The file's text with the text at `pointer` replaced. `None` when it stands there in a form that cannot hold the new one.
pub(super) fn embed(file: &Document, pointer: &str, new: &str) -> Option<String> {
    let text = &file.source().text;
    let span = file.span(pointer)?;
    let written = text.get(span.clone())?;
    let replacement = match written.chars().next()? {
        '\'' if !new.contains('\n') => format!("'{}'", new.replace('\'', "''")),
        '\'' | '"' => quoted(new),
        // A block: JSON cannot stand in YAML as a plain text.
        _ => {
            let header = text.get(file.key_span(pointer)?.end..span.start)?;
            let folded = header.trim_start().strip_prefix(':')?.trim_start().starts_with('>');
            if folded && (written.contains('\n') || new.trim_end().contains('\n')) {
                return None;
            }
            let indent = before(text, span.start);
            new.trim_end().lines().collect::<Vec<_>>().join(&format!("{}{indent}", line_break(text)))
        }
    };
    splice::apply(text, vec![Splice::replace(span, replacement)])
}
