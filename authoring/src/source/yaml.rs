//! YAML events into a value and the spans of its nodes.

use super::{
    Finding, Findings, MAX_DEPTH, MAX_FINDINGS, Severity, Source,
    node_spans::{NodeSpan, NodeSpans},
    push_index, push_member, scalar,
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
}

struct Builder<'s> {
    source: &'s Arc<Source>,
    /// Byte offset of each character, when the text is not ASCII: the parser counts characters.
    offsets: Option<Vec<usize>>,
    stack: Vec<Frame>,
    root: Option<Value>,
    documents: usize,
    spans: NodeSpans,
    findings: Vec<Finding>,
}

pub(super) fn parse(source: &Arc<Source>) -> Result<(Value, NodeSpans), Findings> {
    let text = &source.text;
    let offsets = (!text.is_ascii()).then(|| text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect());
    let mut builder = Builder {
        source,
        offsets,
        stack: Vec::new(),
        root: None,
        documents: 0,
        spans: NodeSpans::default(),
        findings: Vec::new(),
    };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let at = builder.offset(error.marker().index());
                builder.find(at..at, format!("not YAML: {}", error.info()), None);
                break;
            }
        }
        if builder.findings.len() >= MAX_FINDINGS || builder.stack.len() > MAX_DEPTH {
            break;
        }
    }
    let Builder { root, spans, findings, .. } = builder;
    match (Findings::new(findings), root) {
        (Some(findings), _) => Err(findings),
        (None, Some(value)) => Ok((value, spans)),
        (None, None) => Err(Finding {
            severity: Severity::Error,
            source: Arc::clone(source),
            range: Some(0..0),
            pointer: String::new(),
            message: "is empty".to_owned(),
            help: None,
        }
        .into()),
    }
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) {
        let range = self.offset(span.start.index())..self.offset(span.end.index());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents == 2 {
                    self.find(range, "a second document in one file", Some("keep one document a file, without `---` between"));
                }
            }
            Event::Alias(_) => {
                self.find(range.clone(), "an alias (`*name`): what it repeats cannot be seen here", Some("write the value out"));
                self.scalar(Value::Null, range);
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_node(anchor, tag.is_some(), &range);
                self.text(&text, style, range);
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain_node(anchor, tag.is_some(), &range);
                self.open(Open::List(Vec::new()), &range);
            }
            Event::MappingStart(anchor, tag) => {
                self.plain_node(anchor, tag.is_some(), &range);
                self.open(Open::Object { members: Map::new(), key: None }, &range);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(range.end),
        }
    }

    fn plain_node(&mut self, anchor: usize, tagged: bool, range: &Range<usize>) {
        if anchor != 0 {
            self.find(range.clone(), "an anchor (`&name`)", Some("write the value out wherever it is needed"));
        }
        if tagged {
            self.find(range.clone(), "a tag (`!name`): types are not chosen here", Some("remove the tag; quotes make a string"));
        }
    }

    fn text(&mut self, text: &str, style: ScalarStyle, range: Range<usize>) {
        let resolved = match style {
            ScalarStyle::Plain => scalar::resolve(text),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                Ok(Value::String(text.to_owned()))
            }
        };
        let value = resolved.unwrap_or_else(|(message, help)| {
            self.find(range.clone(), message, Some(help));
            Value::Null
        });
        self.scalar(value, range);
    }

    /// A finished scalar: a key where one is due, else a value.
    fn scalar(&mut self, value: Value, range: Range<usize>) {
        if !self.key_is_due() {
            return self.value(value, range, false);
        }
        let Value::String(name) = value else {
            self.find(range.clone(), "a key that is not a string", Some("put it in quotes"));
            return self.set_key(String::new(), range);
        };
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

    fn open(&mut self, open: Open, range: &Range<usize>) {
        if self.key_is_due() {
            self.find(range.clone(), "a key that is a list or an object", Some("keys are strings"));
            self.set_key(String::new(), range.clone());
        }
        if self.stack.len() >= MAX_DEPTH {
            self.find(range.clone(), format!("nested more than {MAX_DEPTH} levels deep"), None);
        }
        let (pointer, key) = self.next_place();
        self.stack.push(Frame { open, pointer, key, start: range.start });
    }

    fn close(&mut self, end: usize) {
        let Some(frame) = self.stack.pop() else { return };
        let value = match frame.open {
            Open::Object { members, .. } => Value::Object(members),
            Open::List(items) => Value::Array(items),
        };
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

    fn find(&mut self, range: Range<usize>, message: impl Into<String>, help: Option<&str>) {
        let (pointer, _) = self.next_place();
        self.findings.push(Finding {
            severity: Severity::Error,
            source: Arc::clone(self.source),
            range: Some(range),
            pointer,
            message: message.into(),
            help: help.map(str::to_owned),
        });
    }
}
