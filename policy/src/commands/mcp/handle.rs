//! What a server issued and a client sends back, and where it stands.

use std::fmt;
use std::ops::Range;

use crate::primitives::json::{element, member, push_string};

/// Something that a server issued and a client sends back: whoever has it can go on with what another began.
///
/// A pagination cursor is none. It opens nothing: whoever may list at all gets what the list has, at whatever page, and each item
/// is judged where it comes back. `progressToken`, a subscription's id and the `requestId` of a cancellation are the client's own
/// (a request of the stream that it holds), and so is the task of `notifications/tasks/status`, which a client sends of its own
/// tasks. The keys of `inputResponses` mean something within one `requestState` alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) kind: HandleKind,
    pub(crate) text: String,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HandleKind {
    /// The header `Mcp-Session-Id` of the versions before 2026-07-28; never in a body.
    Session,
    /// The header `Last-Event-ID` of a GET in those versions, which goes on with a stream; never in a body.
    Event,
    /// A task, by its `taskId`: of 2025-11-25, and of the extension for 2026-07-28 (SEP-2663).
    Task,
    /// `requestState`, which 2026-07-28 has clients send back when they repeat a request.
    RequestState,
}

/// Where a handle stands, to be written anew there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the body: the way down to a string.
    Body(Vec<Step>),
    /// In the header of this name, in lower case, as [`super::headers::encode_value`] writes it. The same handle is in the body, too.
    Header(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Member(&'static str),
    Index(usize),
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("kind", &self.kind).field("place", &self.place).finish_non_exhaustive()
    }
}

/// The body with other strings at some places, and every other byte as it was; `None` where there is nothing at one of the
/// places, or two name the same.
pub(crate) fn rewrite(body: &[u8], strings: &[(&[Step], &str)]) -> Option<Vec<u8>> {
    let mut edits = Vec::with_capacity(strings.len());
    for (place, text) in strings {
        edits.push((span(body, place)?, *text));
    }
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(body.len());
    let mut from = 0;
    for (span, text) in edits {
        out.extend_from_slice(body.get(from..span.start)?);
        let mut json = String::with_capacity(text.len() + 2);
        push_string(text, &mut json);
        out.extend_from_slice(json.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(body.get(from..)?);
    Some(out)
}

/// The bytes of the value at a place.
fn span(body: &[u8], place: &[Step]) -> Option<Range<usize>> {
    let mut value = body;
    for step in place {
        value = match step {
            Step::Member(name) => member(value, name)?,
            Step::Index(index) => element(value, *index)?,
        }
        .get()
        .as_bytes();
    }
    // Within `body`: what is borrowed from it.
    let start = value.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    Some(start..start + value.len())
}

#[cfg(test)]
mod tests {
    use super::Step::{Index, Member};
    use super::*;

    #[test]
    fn a_string_is_written_anew_where_it_stands_and_nothing_else() {
        let body = br#" [ {"a" : 1.50, "params":{ "task\u0049d" : "x\ty" , "z": [1e2 ]} } ,{"params":{"list":["p","q"]}}]"#;
        let first = [Index(0), Member("params"), Member("taskId")];
        let second = [Index(1), Member("params"), Member("list"), Index(1)];
        let wanted = br#" [ {"a" : 1.50, "params":{ "task\u0049d" : "n\"ew" , "z": [1e2 ]} } ,{"params":{"list":["p",""]}}]"#;
        let got = rewrite(body, &[(&second, ""), (&first, "n\"ew")]).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), String::from_utf8(wanted.to_vec()).unwrap());
        assert_eq!(rewrite(body, &[]).unwrap(), body);
    }

    #[test]
    fn nothing_is_written_where_nothing_stands() {
        let body = br#"{"a":["b"],"c":{}}"#;
        for place in
            [&[Member("x")][..], &[Member("a"), Index(1)], &[Member("a"), Member("b")], &[Member("c"), Index(0)], &[Index(0)]]
        {
            assert_eq!(rewrite(body, &[(place, "n")]), None, "{place:?}");
        }
        let twice = [Member("a"), Index(0)];
        assert_eq!(rewrite(body, &[(&twice, "n"), (&twice, "m")]), None);
        assert!(rewrite(body, &[(&twice, "n")]).is_some());
    }

    #[test]
    fn a_handle_does_not_show_itself() {
        for kind in [HandleKind::Session, HandleKind::Event, HandleKind::Task, HandleKind::RequestState] {
            let handle = Handle { kind, text: "s3cret".into(), place: Place::Body(vec![Member("taskId")]) };
            let shown = format!("{handle:?}");
            assert!(shown.contains(&format!("{kind:?}")) && !shown.contains("s3cret"), "{shown}");
        }
    }
}
