//! YAML events into values and the spans of their nodes, document by document.

use super::{
    Finding, Findings, MAX_DEPTH, MAX_DOCUMENTS, MAX_FINDINGS, Severity, Source,
    anchors::{self, Anchors},
    found::is_around_policies,
    node_spans::{NodeSpan, NodeSpans},
    push_index, push_member, scalar, template,
};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Value};
use std::{ops::Range, sync::Arc};

/// An open object or list.
enum Open {
    Object { members: Map<String, Value>, key: Option<(String, Range<usize>)> },
    List(Vec<Value>),
}

struct Frame {
    open: Open,
    pointer: String,
    key: Option<Range<usize>>,
    start: usize,
    anchor: usize,
}

/// One document of a text.
pub(super) struct Parsed {
    pub(super) value: Value,
    pub(super) spans: NodeSpans,
    /// What others may write around a policy, and nobody within one: what two readers would see differently.
    pub(super) loose: Vec<Finding>,
    /// Where the document begins.
    pub(super) start: Range<usize>,
}

/// The most of what only others may write: more than a chart of ten thousand objects has.
const MAX_LOOSE: usize = 100_000;

struct Builder<'s> {
    source: &'s Arc<Source>,
    /// Byte offset of each character, when the text is not ASCII: the parser counts characters.
    offsets: Option<Vec<usize>>,
    stack: Vec<Frame>,
    anchors: Anchors,
    /// Of the present document.
    root: Option<Value>,
    spans: NodeSpans,
    loose: Vec<Finding>,
    start: Range<usize>,
    /// How much is loose in the documents before.
    loose_before: usize,
    documents: Vec<Parsed>,
    findings: Vec<Finding>,
}

/// All documents of the text; none when it is empty.
pub(super) fn parse(source: &Arc<Source>) -> Result<Vec<Parsed>, Findings> {
    let text = &source.text;
    let offsets = (!text.is_ascii()).then(|| text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect());
    let mut builder = Builder {
        source,
        offsets,
        stack: Vec::new(),
        anchors: Anchors::default(),
        root: None,
        spans: NodeSpans::default(),
        loose: Vec::new(),
        start: 0..0,
        loose_before: 0,
        documents: Vec::new(),
        findings: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let at = builder.offset(error.marker().index());
                match template::unquoted_path(text, at) {
                    Some((range, message, help)) => builder.find(range, message, Some(&help)),
                    None => builder.find(at..at, format!("not YAML: {}", error.info()), None),
                }
                break;
            }
        }
        if builder.findings.len() >= MAX_FINDINGS || builder.stack.len() > MAX_DEPTH || builder.documents.len() > MAX_DOCUMENTS {
            break;
        }
    }
    let Builder { documents, mut findings, loose, .. } = builder;
    if findings.is_empty() {
        return Ok(documents);
    }
    // Of a file that is nothing but the policy all mistakes are shown at once; around one, these are none.
    let loose = match documents.as_slice() {
        [] => loose.as_slice(),
        [only] if !is_around_policies(&only.value) => only.loose.as_slice(),
        [..] => &[],
    };
    let room = MAX_FINDINGS.saturating_sub(findings.len());
    findings.extend(loose.iter().take(room).cloned());
    findings.sort_by_key(|finding| finding.range.as_ref().map(|range| range.start));
    Err(template::instead(source, findings))
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) {
        let range = self.offset(span.start.index())..self.offset(span.end.index());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd => {}
            Event::DocumentStart(_) => {
                if self.documents.len() == MAX_DOCUMENTS {
                    let message = format!("more than {MAX_DOCUMENTS} documents in one file");
                    self.find(range.clone(), message, Some("take those that belong to the policy"));
                }
                self.start = range;
            }
            Event::DocumentEnd => self.document(),
            Event::Alias(anchor) => self.alias(anchor, range),
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_node(anchor, tag.is_some(), &range);
                self.text(&text, style, anchor, range);
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_node(anchor, tag.is_some(), &range);
                self.open(Open::List(Vec::new()), anchor, &range);
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_node(anchor, tag.is_some(), &range);
                self.open(Open::Object { members: Map::new(), key: None }, anchor, &range);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
        }
    }

    fn document(&mut self) {
        self.anchors.forget();
        self.loose_before += self.loose.len();
        self.documents.push(Parsed {
            value: self.root.take().unwrap_or_default(),
            spans: std::mem::take(&mut self.spans),
            loose: std::mem::take(&mut self.loose),
            start: self.start.clone(),
        });
    }

    /// What an alias repeats is known, so that what is around a policy can be read; the policy itself has none.
    fn alias(&mut self, anchor: usize, range: Range<usize>) {
        self.loosely(range.clone(), "an alias (`*name`): what it repeats cannot be seen here", "write the value out");
        match self.anchors.repeat(anchor, MAX_DEPTH.saturating_sub(self.stack.len())) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) if !self.key_is_due() => self.value(value, range, true),
            Ok(value) => self.scalar(value, None, range),
            Err(message) => {
                self.find(range.clone(), message, Some("write the value out"));
                self.scalar(Value::Null, None, range);
            }
        }
    }

    fn plain_node(&mut self, anchor: usize, tagged: bool, range: &Range<usize>) {
        if anchor != 0 {
            self.loosely(range.clone(), "an anchor (`&name`)", "write the value out wherever it is needed");
        }
        if tagged {
            self.loosely(range.clone(), "a tag (`!name`): types are not chosen here", "remove the tag; quotes make a string");
        }
    }

    fn text(&mut self, text: &str, style: ScalarStyle, anchor: usize, range: Range<usize>) {
        let resolved = match style {
            ScalarStyle::Plain => scalar::resolve(text),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                Ok(Value::String(text.to_owned()))
            }
        };
        let value = resolved.unwrap_or_else(|(message, help)| {
            self.loosely(range.clone(), message, help);
            Value::String(text.to_owned())
        });
        if anchor != 0 {
            self.anchors.define(anchor, &value);
        }
        self.scalar(value, Some(text), range);
    }

    /// A finished scalar: a key where one is due, else a value. Without its text it comes from an alias.
    fn scalar(&mut self, value: Value, text: Option<&str>, range: Range<usize>) {
        if !self.key_is_due() {
            return self.value(value, range, false);
        }
        let name = match (value, text) {
            (Value::String(name), _) => name,
            (Value::Null | Value::Bool(_) | Value::Number(_), Some(text)) => {
                self.loosely(range.clone(), "a key that is not a string", "put it in quotes");
                text.to_owned()
            }
            (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_), _) => {
                self.find(range.clone(), "a key that is a list or an object", Some("keys are strings"));
                String::new()
            }
        };
        if name == anchors::MERGE {
            self.loosely(range.clone(), "a merge key (`<<`): what it brings cannot be seen here", "write the members out");
        }
        if let Some(Frame { open: Open::Object { members, .. }, pointer, .. }) = self.stack.last()
            && members.contains_key(&name)
        {
            let mut first = pointer.clone();
            push_member(&mut first, &name);
            let line = self.spans.get(&first).and_then(|p| p.key.clone()).map_or(0, |key| self.source.line_column(key.start).0);
            self.find(range.clone(), format!("`{name}` is here twice; the first is on line {line}"), Some("keep one of them"));
        }
        self.set_key(name, range);
    }

    fn key_is_due(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { open: Open::Object { key: None, .. }, .. }))
    }

    fn set_key(&mut self, name: String, range: Range<usize>) {
        if let Some(Frame { open: Open::Object { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some((name, range));
        }
    }

    fn open(&mut self, open: Open, anchor: usize, range: &Range<usize>) {
        if self.key_is_due() {
            self.find(range.clone(), "a key that is a list or an object", Some("keys are strings"));
            self.set_key(String::new(), range.clone());
        }
        if self.stack.len() >= MAX_DEPTH {
            self.find(range.clone(), format!("nested more than {MAX_DEPTH} levels deep"), None);
        }
        let (pointer, key) = self.next_place();
        self.stack.push(Frame { open, pointer, key, start: range.start, anchor });
    }

    fn close(&mut self, end: usize) {
        let Some(frame) = self.stack.pop() else { return };
        let value = match frame.open {
            Open::Object { members, .. } => Value::Object(anchors::merged(members)),
            Open::List(items) => Value::Array(items),
        };
        if frame.anchor != 0 {
            self.anchors.define(frame.anchor, &value);
        }
        self.spans.insert(frame.pointer, NodeSpan { key: frame.key, value: frame.start..end.max(frame.start), container: true });
        self.put(value);
    }

    fn value(&mut self, value: Value, range: Range<usize>, container: bool) {
        let (pointer, key) = self.next_place();
        self.spans.insert(pointer, NodeSpan { key, value: range, container });
        self.put(value);
    }

    /// Pointer and key of the node that comes next.
    fn next_place(&self) -> (String, Option<Range<usize>>) {
        let Some(frame) = self.stack.last() else { return (String::new(), None) };
        let mut pointer = frame.pointer.clone();
        match &frame.open {
            Open::Object { key: Some((name, range)), .. } => {
                push_member(&mut pointer, name);
                (pointer, Some(range.clone()))
            }
            Open::Object { key: None, .. } => (pointer, None),
            Open::List(items) => {
                push_index(&mut pointer, items.len());
                (pointer, None)
            }
        }
    }

    fn put(&mut self, value: Value) {
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            Some(Open::Object { members, key }) => {
                if let Some((name, _)) = key.take() {
                    members.insert(name, value);
                }
            }
            Some(Open::List(items)) => items.push(value),
            None if self.root.is_none() => self.root = Some(value),
            None => {}
        }
    }

    fn offset(&self, characters: usize) -> usize {
        match &self.offsets {
            Some(offsets) => offsets.get(characters).copied().unwrap_or(self.source.text.len()),
            None => characters.min(self.source.text.len()),
        }
    }

    /// A mistake wherever it stands.
    fn find(&mut self, range: Range<usize>, message: impl Into<String>, help: Option<&str>) {
        let finding = self.finding(range, message, help);
        self.findings.push(finding);
    }

    /// A mistake in a policy, and nobody's business around one.
    fn loosely(&mut self, range: Range<usize>, message: impl Into<String>, help: &str) {
        if self.loose_before + self.loose.len() >= MAX_LOOSE {
            return self.find(range, "more anchors, tags and the like than are read", Some("is this the right file?"));
        }
        let finding = self.finding(range, message, Some(help));
        self.loose.push(finding);
    }

    fn finding(&self, range: Range<usize>, message: impl Into<String>, help: Option<&str>) -> Finding {
        let (pointer, _) = self.next_place();
        Finding {
            severity: Severity::Error,
            source: Arc::clone(self.source),
            range: Some(range),
            pointer,
            message: message.into(),
            help: help.map(str::to_owned),
        }
    }
}
