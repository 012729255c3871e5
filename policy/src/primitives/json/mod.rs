//! Strict JSON: no duplicate members at any depth, a depth bound of our own, nothing after the value.
//!
//! Bodies have more rules ([`parse_strict`]), and a canonical form ([`canonical::canonical`]).
//!
//! `serde_json` parses; its `Value` keeps the last of two members of one name, so that two readers of one token could
//! see two tokens. RFC 7519 §4 lets us refuse them.

mod body;
pub(crate) mod canonical;
mod numbers;
mod pick;
#[cfg(test)]
mod suite;

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::primitives::json::body::{Names, Rules, Wrong};

pub(crate) use body::{StrictError, fold, parse_strict};
pub(crate) use pick::{element, member, parse_items};

/// Why a text is not acceptable JSON, with the place that `serde_json` gives.
#[derive(Debug)]
pub(crate) struct JsonError(serde_json::Error);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses the whole of `text`, at most `depth` containers deep.
pub(crate) fn parse(text: &[u8], depth: usize) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth, rules: None }.deserialize(&mut deserializer).map_err(JsonError)?;
    deserializer.end().map_err(JsonError)?;
    Ok(value)
}

/// Parses an object.
pub(crate) fn parse_object(text: &[u8], depth: usize) -> Option<Map<String, Value>> {
    match parse(text, depth) {
        Ok(Value::Object(map)) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

#[derive(Clone, Copy)]
struct Strict<'r> {
    depth: usize,
    /// The further rules for a body.
    rules: Option<&'r Rules>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(self.refuse(Wrong::Depth)),
        }
    }

    fn refuse<E: serde::de::Error>(self, wrong: Wrong) -> E {
        if let Some(rules) = self.rules {
            rules.note(wrong);
        }
        E::custom(wrong)
    }

    fn judge<E: serde::de::Error>(self, judge: impl FnOnce(&Rules) -> Result<(), Wrong>) -> Result<(), E> {
        self.rules.map_or(Ok(()), judge).map_err(|wrong| self.refuse(wrong))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.judge(Rules::count)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if self.rules.is_some()
            && let Some(integer) = numbers::as_integer(value)
        {
            return Ok(Value::Number(integer.into()));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| self.refuse(Wrong::Range))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.judge(|rules| rules.text(value))?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.judge(|rules| rules.text(&value))?;
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        let mut names = Names::default();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(match self.rules {
                    // Documents and tokens: whoever wrote the name wants to find it.
                    None => A::Error::custom(format_args!("duplicate member {name:?}")),
                    Some(_) => self.refuse(Wrong::Duplicate),
                });
            }
            self.judge(|rules| rules.name(&name, &mut names))?;
            map.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}

/// Appends a string. Nearly always it is the text itself: a document of 100,000 revocations has half a million of them, and a
/// record two dozen.
pub(crate) fn push_string(text: &str, out: &mut String) {
    if text.bytes().all(|byte| (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// One line of JSON in the making. Written member by member and not from a tree or by derive: the record is the largest piece
/// of work of an allowed request, and nearly all of it is the same each time.
pub(crate) struct Line(pub(crate) String);

impl Line {
    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, json: &str) {
        self.0.push_str(json);
    }

    /// `json`, then a string.
    pub(crate) fn member(&mut self, json: &str, text: &str) {
        self.raw(json);
        push_string(text, &mut self.0);
    }

    /// `json`, then a number.
    pub(crate) fn number(&mut self, json: &str, number: u64) {
        self.raw(json);
        self.0.push_str(itoa::Buffer::new().format(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        parse(text.as_bytes(), 4).is_ok()
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth_and_however_escaped() {
        assert!(accepts(r#"{"exp":1,"a":{"exp":2}}"#));
        assert!(!accepts(r#"{"exp":1,"exp":2}"#));
        assert!(!accepts(r#"{"exp":1,"e\u0078p":2}"#));
        assert!(!accepts(r#"{"a":[{"b":1,"b":1}]}"#));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(accepts("[[[[1]]]]"));
        assert!(!accepts("[[[[[1]]]]]"));
        assert!(!accepts(&"[".repeat(100_000)));
    }

    #[test]
    fn one_value_and_nothing_else() {
        assert!(accepts(" {} "));
        for wrong in ["", "{} {}", "{}x", "{\"a\":1e400}", "{\"a\":01}", "{\"a\":NaN}", "{a:1}", "{\"a\":1,}", "\u{feff}{}"] {
            assert!(!accepts(wrong), "{wrong}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}", 4).is_err());
    }
}
