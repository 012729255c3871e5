//! JSON (RFC 8259) into a value and the spans of its nodes. YAML readers get JSON's escapes wrong.

use super::{
    Finding, Findings, MAX_DEPTH, Severity, Source,
    node_spans::{NodeSpan, NodeSpans},
    push_index, push_member,
    yaml::Parsed,
};
use serde_json::{Map, Value};
use std::{ops::Range, sync::Arc};

pub(super) fn parse(source: &Arc<Source>) -> Result<Parsed, Findings> {
    let mut reader = Reader { source, bytes: source.text.as_bytes(), at: 0, pointer: String::new(), spans: NodeSpans::default() };
    let result = reader.value(None, 0).and_then(|value| {
        reader.space();
        if reader.at < reader.bytes.len() {
            Err(reader.error(reader.at..reader.at, "something after the end of the document"))
        } else {
            Ok(value)
        }
    });
    match result {
        Ok(value) => Ok(Parsed { value, spans: reader.spans, loose: Vec::new(), start: 0..0 }),
        Err(finding) => Err((*finding).into()),
    }
}

type Read<T> = Result<T, Box<Finding>>;

struct Reader<'s> {
    source: &'s Arc<Source>,
    bytes: &'s [u8],
    at: usize,
    pointer: String,
    spans: NodeSpans,
}

impl Reader<'_> {
    fn value(&mut self, key: Option<Range<usize>>, depth: usize) -> Read<Value> {
        self.space();
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(self.error(start..start, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.error(start..start, "the document ends where a value should be")),
        };
        let container = value.is_object() || value.is_array();
        self.spans.insert(self.pointer.clone(), NodeSpan { key, value: start..self.at, container });
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        let mut members = Map::new();
        self.at += 1;
        self.space();
        while self.peek() != Some(b'}') {
            if !members.is_empty() {
                self.expect(b',', "`,` or `}`")?;
                self.space();
            }
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.error(start..start, "a member's name in double quotes should be here"));
            }
            let name = self.string()?;
            let key = start..self.at;
            if members.contains_key(&name) {
                let mut finding = self.error(key, format!("`{name}` is here twice"));
                finding.help = Some("keep one of them".to_owned());
                return Err(finding);
            }
            self.space();
            self.expect(b':', "`:`")?;
            let parent = self.pointer.len();
            push_member(&mut self.pointer, &name);
            let value = self.value(Some(key), depth + 1)?;
            self.pointer.truncate(parent);
            members.insert(name, value);
            self.space();
        }
        self.at += 1;
        Ok(Value::Object(members))
    }

    fn list(&mut self, depth: usize) -> Read<Value> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        while self.peek() != Some(b']') {
            if !items.is_empty() {
                self.expect(b',', "`,` or `]`")?;
            }
            let parent = self.pointer.len();
            push_index(&mut self.pointer, items.len());
            items.push(self.value(None, depth + 1)?);
            self.pointer.truncate(parent);
            self.space();
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    /// Finds the closing quote; serde_json knows the escapes.
    fn string(&mut self) -> Read<String> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(b'\n') | None => {
                    return Err(self.error(start..self.at.min(self.bytes.len()), "a string without its closing quote"));
                }
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let text = self.bytes.get(start..self.at).unwrap_or_default();
        serde_json::from_slice(text)
            .map_err(|_| self.error(start..self.at, "a string with a wrong escape or a control character"))
    }

    /// A number, `true`, `false` or `null`: up to the next delimiter.
    fn word(&mut self) -> Read<Value> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|b| !matches!(b, b',' | b']' | b'}' | b':' | b'"' | b'{' | b'[') && !b.is_ascii_whitespace())
        {
            self.at += 1;
        }
        let word = self.bytes.get(start..self.at).unwrap_or_default();
        serde_json::from_slice(word).map_err(|_| self.error(start..self.at, "not a JSON value"))
    }

    fn expect(&mut self, byte: u8, what: &str) -> Read<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(self.error(self.at..self.at, format!("{what} should be here")))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn error(&self, range: Range<usize>, message: impl Into<String>) -> Box<Finding> {
        Box::new(Finding {
            severity: Severity::Error,
            source: Arc::clone(self.source),
            range: Some(range),
            pointer: self.pointer.clone(),
            message: message.into(),
            help: None,
        })
    }
}
