//! The edit itself: splices for a text of YAML or JSON at the place of `revoked` and `generation`, everything else left as it is.
//! Whoever calls reads the result anew: what is written in a way that this does not know comes out wrong, and is refused there.

use super::{
    Entry,
    change::Plan,
    splice::{Splice, before, line_break, line_end, line_start, whole_lines},
};
use crate::source::{Document, push_member, quoted};
use std::ops::Range;

/// What changes the policy at `policy` in the document's text. `None` when the text has a form that cannot be edited.
pub(super) fn edit(document: &Document, policy: &str, plan: &Plan) -> Option<Vec<Splice>> {
    let editor = Editor { document, text: &document.source().text, policy, in_quotes: false };
    let first = editor.document.children(policy).first().and_then(|child| document.key_span(child))?;
    // JSON, or YAML written like it: new keys look like the others.
    let in_quotes = editor.text.get(first)?.starts_with('"');
    Editor { in_quotes, ..editor }.splices(plan)
}

#[derive(Clone, Copy)]
struct Editor<'d> {
    document: &'d Document,
    text: &'d str,
    policy: &'d str,
    in_quotes: bool,
}

impl Editor<'_> {
    fn splices(&self, plan: &Plan) -> Option<Vec<Splice>> {
        let mut splices = Vec::new();
        let mut new_members: Vec<(&str, Vec<String>)> = Vec::new();
        match self.member("generation") {
            Some(generation) => splices.push(Splice::replace(self.document.span(&generation)?, plan.generation.to_string())),
            None => new_members.push(("generation", vec![plan.generation.to_string()])),
        }
        let new: Vec<String> = plan.add.iter().map(|entry| self.entry(entry)).collect();
        match self.member("revoked") {
            Some(list) => splices.extend(self.list(&list, &new, &plan.remove)?),
            None if new.is_empty() => return None,
            None => new_members.push(("revoked", new)),
        }
        if self.document.is_flow(self.policy) {
            let written = new_members.into_iter().map(|(name, values)| match name {
                "revoked" => format!("{}: [{}]", self.key(name), values.join(", ")),
                _ => format!("{}: {}", self.key(name), values.concat()),
            });
            splices.extend(self.append_flow(self.policy, &written.collect::<Vec<_>>())?);
        } else {
            for (name, values) in new_members {
                splices.push(self.block_member(name, &values)?);
            }
        }
        Some(splices)
    }

    /// The pointer of a member of the policy that is there.
    fn member(&self, name: &str) -> Option<String> {
        let mut pointer = self.policy.to_owned();
        push_member(&mut pointer, name);
        self.document.value().pointer(&pointer).map(|_| pointer)
    }

    fn key(&self, name: &str) -> String {
        if self.in_quotes { quoted(name) } else { name.to_owned() }
    }

    fn entry(&self, entry: &Entry) -> String {
        let members = entry.members();
        let members: Vec<String> = members.iter().map(|(name, text)| format!("{}: {}", self.key(name), quoted(text))).collect();
        format!("{{{}}}", members.join(", "))
    }

    /// A new member of a block: `generation` after `name`, `revoked` at the end.
    fn block_member(&self, name: &str, values: &[String]) -> Option<Splice> {
        let children = self.document.children(self.policy);
        let after = match name {
            "generation" => self.member("name")?,
            _ => children.last()?.clone(),
        };
        let indent = self.indent(self.document.key_span(children.first()?)?.start)?;
        let line = line_break(self.text);
        let key = self.key(name);
        let text = match name {
            "revoked" => {
                let items: String = values.iter().map(|value| format!("{line}{indent}  - {value}")).collect();
                format!("{line}{indent}{key}:{items}")
            }
            _ => format!("{line}{indent}{key}: {}", values.concat()),
        };
        Some(Splice::insert(line_end(self.text, self.document.span(&after)?.end), text))
    }

    /// The spaces that put a line under what stands at this byte; a block in a list begins on the line of its dash.
    fn indent(&self, at: usize) -> Option<String> {
        let before = before(self.text, at);
        before.chars().all(|c| matches!(c, ' ' | '-')).then(|| " ".repeat(before.len()))
    }

    /// Members or items after the last one in braces or brackets.
    fn append_flow(&self, container: &str, written: &[String]) -> Option<Vec<Splice>> {
        if written.is_empty() {
            return Some(Vec::new());
        }
        let children = self.document.children(container);
        let Some(last) = children.last() else {
            let open = self.document.span(container)?.start + 1;
            return Some(vec![Splice::insert(open, written.join(", "))]);
        };
        let start = self.document.key_span(last).unwrap_or(self.document.span(last)?).start;
        let end = self.document.span(last)?.end;
        let closer = self.document.span(container)?.end - 1;
        let one_a_line = before(self.text, start).trim().is_empty() && self.text.get(end..closer)?.contains('\n');
        if !one_a_line {
            return Some(vec![Splice::insert(end, format!(", {}", written.join(", ")))]);
        }
        let indent = before(self.text, start);
        let line = line_break(self.text);
        let has_comma = self.text.get(end..)?.trim_start().starts_with(',');
        let comma = (!has_comma).then(|| Splice::insert(end, ","));
        let lines = format!("{line}{indent}{}", written.join(&format!(",{line}{indent}")));
        Some(comma.into_iter().chain([Splice::insert(line_end(self.text, end), lines)]).collect())
    }

    fn list(&self, list: &str, add: &[String], remove: &[usize]) -> Option<Vec<Splice>> {
        let items = self.document.children(list);
        let spans: Vec<Range<usize>> = items.iter().map(|item| self.document.span(item)).collect::<Option<_>>()?;
        let flow = self.document.is_flow(list);
        let mut splices = if flow { self.remove_flow(&spans, remove)? } else { self.remove_block(list, &spans, remove)? };
        if flow {
            splices.extend(self.append_flow(list, add)?);
        } else if !add.is_empty() {
            let dash = " ".repeat(self.dash_column(list)?);
            let line = line_break(self.text);
            let end = line_end(self.text, spans.last()?.end);
            let items: String = add.iter().map(|entry| format!("{line}{dash}- {entry}")).collect();
            splices.push(Splice::insert(end, items));
        }
        Some(splices)
    }

    /// How far a block list's dashes are from the margin.
    fn dash_column(&self, list: &str) -> Option<usize> {
        let item = self.document.span(self.document.children(list).first()?)?.start;
        let mut before = before(self.text, item);
        let mut line = line_start(self.text, item);
        // The first dash may stand alone on a line above its item, with a remark behind it.
        while !before.trim_start().starts_with('-') {
            let end = line.checked_sub(1)?;
            line = line_start(self.text, end);
            before = self.text.get(line..end)?;
        }
        before.find('-').filter(|dash| before.get(..*dash).is_some_and(|blank| blank.bytes().all(|byte| byte == b' ')))
    }

    /// Items of a block list go with their lines, and what is remarked at the end of these.
    fn remove_block(&self, list: &str, spans: &[Range<usize>], remove: &[usize]) -> Option<Vec<Splice>> {
        let column = self.dash_column(list)?;
        let mut splices = Vec::new();
        for index in remove {
            let span = spans.get(*index)?;
            splices.push(Splice::remove(whole_lines(self.text, &(self.dash(span.start, column)?..span.end))));
        }
        if remove.len() == spans.len() {
            // Nothing after `revoked:` would be null.
            let key = self.document.key_span(list)?.end;
            let colon = self.text.get(key..)?.find(':')?;
            splices.push(Splice::insert(key + colon + 1, " []"));
        }
        Some(splices)
    }

    /// The dash of the item that begins at this byte: on its line, or on one above it.
    fn dash(&self, item: usize, column: usize) -> Option<usize> {
        let mut line = line_start(self.text, item);
        loop {
            let text = self.text.get(line..)?;
            if text.get(..column).is_some_and(|before| before.trim().is_empty()) && text.get(column..)?.starts_with('-') {
                return Some(line + column);
            }
            line = line_start(self.text, line.checked_sub(1)?);
        }
    }

    /// Items in brackets go with one comma each.
    fn remove_flow(&self, spans: &[Range<usize>], remove: &[usize]) -> Option<Vec<Splice>> {
        let mut splices = Vec::new();
        for index in remove {
            let span = spans.get(*index)?;
            match self.comma(span.end) {
                Some(comma) if self.text.get(span.end..comma)?.trim().is_empty() => splices.push(self.cut(span.start..comma + 1)),
                Some(comma) => splices.extend([self.cut(span.clone()), self.cut(comma..comma + 1)]),
                None => {
                    let kept = (0..*index).rev().find(|earlier| remove.binary_search(earlier).is_err());
                    let comma = kept.and_then(|kept| self.comma(spans.get(kept)?.end));
                    splices.extend(comma.map(|comma| self.cut(comma..comma + 1)));
                    splices.push(self.cut(span.clone()));
                }
            }
        }
        Some(splices)
    }

    /// The comma after an item, if one comes before the bracket.
    fn comma(&self, from: usize) -> Option<usize> {
        let mut in_comment = false;
        for (at, byte) in self.text.bytes().enumerate().skip(from) {
            match byte {
                b'\n' => in_comment = false,
                _ if in_comment => {}
                b'#' => in_comment = true,
                b',' => return Some(at),
                b' ' | b'\t' | b'\r' => {}
                _ => return None,
            }
        }
        None
    }

    /// Takes out what has lines of its own with these lines, and anything else with the blanks beside it.
    fn cut(&self, range: Range<usize>) -> Splice {
        let after = self.text.get(range.end..line_end(self.text, range.end)).unwrap_or_default();
        let remark = after.trim_start();
        if before(self.text, range.start).trim().is_empty() && (remark.is_empty() || remark.starts_with('#')) {
            return Splice::remove(whole_lines(self.text, &range));
        }
        // `#` begins a comment only after a blank.
        let blanks = if remark.starts_with('#') { 0 } else { after.len() - remark.len() };
        Splice::remove(range.start..range.end + blanks)
    }
}
