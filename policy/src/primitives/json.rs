//! Strict JSON: no duplicate members at any depth, a depth bound of our own, nothing after the value.
//!
//! `serde_json` parses; its `Value` keeps the last of two members of one name, so that two readers of one token could
//! see two tokens. RFC 7519 §4 lets us refuse them.

mod body;
mod canonical;

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::primitives::ascii::is_visible_but;

pub(crate) use self::body::{BodyFault, parse_body};
pub(crate) use self::canonical::canonical;

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
    let value = Strict { depth, twins: None }.deserialize(&mut deserializer).map_err(JsonError)?;
    deserializer.end().map_err(JsonError)?;
    Ok(value)
}

/// The items of a list that is the member `name` of an object; other members may be anything. An item that [`parse`] does not take
/// is `null`. `None` where there is no such list, or two.
pub(crate) fn parse_items(text: &[u8], name: &str, depth: usize) -> Option<Vec<Value>> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let items = deserializer.deserialize_map(Items { name }).ok()??;
    deserializer.end().ok()?;
    Some(items.into_iter().map(|item| parse(item.get().as_bytes(), depth).unwrap_or(Value::Null)).collect())
}

/// Parses an object.
pub(crate) fn parse_object(text: &[u8], depth: usize) -> Option<Map<String, Value>> {
    match parse(text, depth) {
        Ok(Value::Object(map)) => Some(map),
        Ok(_) | Err(_) => None,
    }
}

struct Items<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut items = None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.name {
                members.next_value::<IgnoredAny>()?;
            } else if items.replace(members.next_value::<Vec<&RawValue>>()?).is_some() {
                return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
            }
        }
        Ok(items)
    }
}

#[derive(Clone, Copy)]
struct Strict<'c> {
    depth: usize,
    /// Members that differ in case alone are refused, too, and so are more values than are left.
    twins: Option<&'c Cell<usize>>,
}

impl Strict<'_> {
    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        let Some(left) = self.twins else { return Ok(()) };
        left.set(left.get().checked_sub(1).ok_or_else(|| E::custom("too many values"))?);
        Ok(())
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => Err(E::custom("nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
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
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
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
        let mut folded = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
            }
            if self.twins.is_some() && !folded.insert(fold(&name)) {
                return Err(A::Error::custom("two members that differ in case alone"));
            }
            map.insert(name, members.next_value_seed(inner)?);
        }
        Ok(Value::Object(map))
    }
}

/// A text without its case: upper first, so that `ſ` and the Kelvin sign are the letters that simple case folding makes of them, as
/// Go's `encoding/json` does, and a final sigma is a sigma.
pub(crate) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Appends a string. Nearly always it is the text itself: a document of 100,000 revocations has half a million of them, and a
/// record two dozen.
pub(crate) fn push_string(text: &str, out: &mut String) {
    if is_visible_but(text.as_bytes(), true, [b'"', b'\\']) {
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
    /// Text that is JSON already. Never a part of its caller: a record has some thirty of these, and one after the other their copies
    /// are more code than all else that writes it.
    #[inline(never)]
    pub(crate) fn raw(&mut self, json: &str) {
        self.0.push_str(json);
    }

    /// `json`, then a string.
    #[inline(never)]
    pub(crate) fn member(&mut self, json: &str, text: &str) {
        self.raw(json);
        push_string(text, &mut self.0);
    }

    /// `json`, then a number.
    #[inline(never)]
    pub(crate) fn number(&mut self, json: &str, number: u64) {
        self.raw(json);
        self.raw(itoa::Buffer::new().format(number));
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
