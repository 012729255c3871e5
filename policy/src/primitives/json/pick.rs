//! One value out of a text, as it is written there.

use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::primitives::json::parse;

/// The items of a list that is the member `name` of an object; other members may be anything. An item that [`parse`] does not take
/// is `null`. `None` where there is no such list, or two.
pub(crate) fn parse_items(text: &[u8], name: &str, depth: usize) -> Option<Vec<Value>> {
    let items: Vec<&RawValue> = serde_json::from_str(member(text, name)?.get()).ok()?;
    Some(items.into_iter().map(|item| parse(item.get().as_bytes(), depth).unwrap_or(Value::Null)).collect())
}

/// The member `name` of an object; `None` where there is no object, no such member, or two.
pub(crate) fn member<'t>(text: &'t [u8], name: &str) -> Option<&'t RawValue> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = deserializer.deserialize_map(Member { name }).ok()??;
    deserializer.end().ok()?;
    Some(value)
}

/// The item of a list; `None` where there is no list or no such item.
pub(crate) fn element(text: &[u8], index: usize) -> Option<&RawValue> {
    let items: Vec<&RawValue> = serde_json::from_slice(text).ok()?;
    items.get(index).copied()
}

struct Member<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut value = None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.name {
                members.next_value::<IgnoredAny>()?;
            } else if value.replace(members.next_value::<&RawValue>()?).is_some() {
                return Err(A::Error::custom(format_args!("duplicate member {name:?}")));
            }
        }
        Ok(value)
    }
}
