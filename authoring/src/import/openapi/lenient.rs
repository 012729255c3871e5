//! A document as other programs write it, into a value: where a policy must be strict, a description of somebody else's API is taken
//! as it comes. Keys may be numbers (`200:`), a member may be there twice (the first counts), tags and anchors mean nothing, and an
//! alias is `null`: following them could make a small file endless, and paths are hardly ever written so.

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

/// Deeper than schemas of real APIs are nested.
const MAX_DEPTH: usize = 256;

enum Open {
    Object(Map<String, Value>, Option<String>),
    List(Vec<Value>),
}

/// Parses YAML or JSON.
///
/// # Errors
/// When it is neither: the line, and what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Value, (usize, String)> {
    if text.trim_start().starts_with('{') {
        // A YAML flow mapping may begin so, too.
        if let Ok(value) = serde_json::from_str(text) {
            return Ok(value);
        }
    }
    let mut stack: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| (error.marker().line(), format!("not YAML: {}", error.info())))?;
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => None,
            Event::StreamEnd => return Err((1, "is empty".to_owned())),
            Event::Alias(_) => Some(Value::Null),
            Event::Scalar(text, _, _, _) => Some(Value::String(text.into_owned())),
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Object(Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => stack.pop().map(|open| match open {
                Open::Object(members, _) => Value::Object(members),
                Open::List(items) => Value::Array(items),
            }),
        };
        if stack.len() > MAX_DEPTH {
            return Err((span.start.line(), format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let Some(value) = done else { continue };
        match stack.last_mut() {
            // One document is enough.
            None => return Ok(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Object(_, key @ None)) => *key = Some(value.as_str().unwrap_or_default().to_owned()),
            Some(Open::Object(members, key @ Some(_))) => {
                members.entry(key.take().unwrap_or_default()).or_insert(value);
            }
        }
    }
    Err((1, "is empty".to_owned()))
}
