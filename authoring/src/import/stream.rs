//! JSON values of a document that is larger than memory, one after the other.

use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::{Deserializer, Error, value::RawValue};
use std::{fmt, io::Read};

/// How the entries of a file follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One a line.
    Lines,
    /// The items of one JSON array.
    Array,
    /// JSON objects over several lines each.
    Objects,
}

impl Framing {
    /// Tells by a file's first line that is not blank.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        let line = line.trim_ascii();
        let inner = line.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
        match (line.first(), inner) {
            // `[2026-…` is Envoy's text.
            (_, Some([] | [b'{' | b']', ..])) => Self::Array,
            (Some(b'{'), _) if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_err_and(|error| error.is_eof()) => {
                Self::Objects
            }
            _ => Self::Lines,
        }
    }
}

/// Reads the values of an array, or objects that follow each other, and gives out each one's text.
///
/// # Errors
/// When it is no JSON from some place on; what stands before has been given out.
pub fn each_value(input: impl Read, framing: Framing, mut take: impl FnMut(&str)) -> Result<(), Error> {
    let mut values = Deserializer::from_reader(input);
    match framing {
        Framing::Array => {
            values.deserialize_seq(Items(&mut take))?;
            values.end()
        }
        Framing::Objects | Framing::Lines => {
            for value in values.into_iter::<Box<RawValue>>() {
                take(value?.get());
            }
            Ok(())
        }
    }
}

struct Items<'f, F>(&'f mut F);

impl<'de, F: FnMut(&str)> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            (self.0)(item.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> (Vec<String>, bool) {
        let mut seen = Vec::new();
        let framing = Framing::of(text.lines().next().unwrap_or_default().as_bytes());
        let end = each_value(text.as_bytes(), framing, |value| {
            seen.push(value.chars().filter(|c| !c.is_whitespace()).collect());
        });
        (seen, end.is_ok())
    }

    #[test]
    fn arrays_and_objects_over_several_lines_are_read_one_by_one() {
        for text in [r#"[{"a":1},{"a":2}]"#, "[\n{\"a\":1},\n{\"a\":\n2}\n]\n", "{\n\"a\":1}\n{\n\"a\":2\n}"] {
            assert_eq!(values(text), (vec![r#"{"a":1}"#.to_owned(), r#"{"a":2}"#.to_owned()], true), "{text}");
        }
        assert_eq!(values("[\n]"), (vec![], true));
    }

    #[test]
    fn what_stands_before_a_mistake_is_given_out() {
        assert_eq!(values(r#"[{"a":1},{"a":"#), (vec![r#"{"a":1}"#.to_owned()], false));
        assert_eq!(values("[{}] x"), (vec!["{}".to_owned()], false));
    }

    #[test]
    fn lines_are_told_from_documents() {
        for (line, framing) in [
            ("{\"a\":1}", Framing::Lines),
            ("{", Framing::Objects),
            ("[", Framing::Array),
            ("[ {", Framing::Array),
            ("[2026-11-23T10:00:00Z] \"GET / HTTP/1.1\"", Framing::Lines),
            ("10.0.0.9 - -", Framing::Lines),
            ("{\"a\" 1", Framing::Lines),
        ] {
            assert_eq!(Framing::of(line.as_bytes()), framing, "{line}");
        }
    }
}
