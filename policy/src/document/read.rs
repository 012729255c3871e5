//! Typed readers over strict JSON: each gives a value, or adds a located error and gives none.

use serde_json::{Map, Value};

use super::errors::Errors;
use crate::primitives::limits;
use crate::primitives::pattern::Pattern;
use crate::primitives::time::parse_seconds;

/// A place in the document: the way from its root, borrowed from the readers on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'p> {
    parent: Option<&'p At<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Member(&'p str),
    /// A member that cannot be left out.
    Needed(&'p str),
    Item(usize),
}

impl<'p> At<'p> {
    pub(crate) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    pub(crate) fn member(&'p self, name: &'p str) -> At<'p> {
        At { parent: Some(self), step: Step::Member(name) }
    }

    /// The same place, of a member that cannot be left out: no help may say so.
    pub(crate) fn needed(self) -> Self {
        match self.step {
            Step::Member(name) => Self { step: Step::Needed(name), ..self },
            Step::Root | Step::Needed(_) | Step::Item(_) => self,
        }
    }

    pub(crate) fn item(&'p self, index: usize) -> At<'p> {
        At { parent: Some(self), step: Step::Item(index) }
    }

    fn is_needed(&self) -> bool {
        matches!(self.step, Step::Needed(_) | Step::Item(_))
    }

    /// The JSON pointer (RFC 6901).
    pub(crate) fn pointer(&self) -> String {
        let mut pointer = self.parent.map(At::pointer).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Member(name) | Step::Needed(name) => {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
            }
            Step::Item(index) => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
        }
        pointer
    }
}

/// The members of an object, taken one by one; what is left at the end is unknown, and an error.
pub(crate) struct Object<'v, 'p> {
    at: &'p At<'p>,
    members: &'v Map<String, Value>,
    known: Vec<&'static str>,
    /// Known as well, and no name to write: what this version cannot enforce.
    unsupported: Vec<&'static str>,
}

impl<'v, 'p> Object<'v, 'p> {
    pub(crate) fn open(value: &'v Value, at: &'p At<'p>, errors: &mut Errors) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self { at, members, known: Vec::new(), unsupported: Vec::new() }),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                errors.add_with_help(
                    at,
                    format!("must be an object, not {}", kind(other)),
                    "write what it holds as members, each with its name: `{name: value}`",
                );
                None
            }
        }
    }

    /// Reads the member if it is there. `None` when it is absent, or wrong and reported.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        errors: &mut Errors,
        read: impl FnOnce(&'v Value, &At<'_>, &mut Errors) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.members.get(name)?;
        read(value, &self.at.member(name), errors)
    }

    /// Reads the member; its absence is an error with `help`.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        help: &str,
        errors: &mut Errors,
        read: impl FnOnce(&'v Value, &At<'_>, &mut Errors) -> Option<T>,
    ) -> Option<T> {
        if !self.members.contains_key(name) {
            errors.add_with_help(self.at, format!("`{name}` is missing"), help);
        }
        self.optional(name, errors, |value, at, errors| read(value, &at.needed(), errors))
    }

    /// A member of the documented format that this version cannot enforce: to accept it in silence would be a lie. `help` says what
    /// to do instead.
    pub(crate) fn unsupported_but(&mut self, name: &'static str, help: &str, errors: &mut Errors) {
        self.unsupported.push(name);
        if self.members.contains_key(name) {
            errors.add_with_help(&self.at.member(name), format!("`{name}` is not supported by this version"), help);
        }
    }

    pub(crate) fn place(&self) -> &At<'_> {
        self.at
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Reports every member that nobody asked for, with the nearest name that would have been known.
    pub(crate) fn finish(self, errors: &mut Errors) {
        self.finish_with(errors, &[]);
    }

    /// The same, with a help for names that have another meaning elsewhere.
    pub(crate) fn finish_with(self, errors: &mut Errors, elsewhere: &[(&str, &str)]) {
        for name in self.members.keys() {
            if !self.known.contains(&name.as_str()) && !self.unsupported.contains(&name.as_str()) {
                let said = elsewhere.iter().find(|(other, _)| other == name).map(|(_, instead)| (*instead).to_owned());
                let near = || {
                    let meant = nearest(name, self.known.iter().copied())?;
                    // Two members of one name would be the next mistake.
                    let is_there = self.members.contains_key(meant);
                    Some(if is_there {
                        format!("did you mean `{meant}`? It is here, too: remove one of them")
                    } else {
                        format!("did you mean `{meant}`?")
                    })
                };
                let help = said.or_else(near).unwrap_or_else(|| format!("remove it; known here: {}", self.known.join(", ")));
                errors.add_with_help(&self.at.member(name), format!("unknown member `{name}`"), help);
            }
        }
    }
}

/// The known name that `name` was probably meant to be; `None` when it is near none of them.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// What JSON a value is, in words for a message: `a string`, `an object`.
#[must_use]
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A text of any form, but not an empty one.
pub(crate) fn string<'v>(value: &'v Value, at: &At<'_>, errors: &mut Errors) -> Option<&'v str> {
    let help = match value {
        Value::String(_) => "write a text between the quotes",
        // YAML and Envoy's Struct both turn an unquoted 0123 into another value than its author wrote.
        Value::Number(_) | Value::Bool(_) => "put it in quotes",
        Value::Null | Value::Array(_) | Value::Object(_) => "write one text here",
    };
    text(value, at, errors, help)
}

/// A text of a form that `help` says: quotes alone would not make one of a number.
pub(crate) fn text<'v>(value: &'v Value, at: &At<'_>, errors: &mut Errors, help: &str) -> Option<&'v str> {
    match value {
        Value::String(text) if text.is_empty() => {
            errors.add_with_help(at, "must not be empty", help);
            None
        }
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            errors.add_with_help(at, format!("must be a string, not {}", kind(value)), help);
            None
        }
    }
}

/// A string that names something and is shown in headers and records: visible ASCII, bounded.
pub(crate) fn name<'v>(value: &'v Value, at: &At<'_>, errors: &mut Errors) -> Option<&'v str> {
    let text = string(value, at, errors)?;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.len() > limits::IDENTIFIER_BYTES || !text.bytes().all(good) {
        let help = format!("use letters, digits, `.`, `_` and `-`, at most {} of them", limits::IDENTIFIER_BYTES);
        errors.add_with_help(at, format!("`{text}` is not a name"), help);
        return None;
    }
    Some(text)
}

pub(crate) fn boolean(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<bool> {
    let found = value.as_bool();
    if found.is_none() {
        let message = format!("must be true or false, not {}", kind(value));
        errors.add_with_help(at, message, "write `true` or `false`, without quotes");
    }
    found
}

/// A whole number from 0 to 2^53, also written `5.0`: Envoy's Struct carries every number as a double. `help` says which ones
/// will do.
pub(crate) fn whole_number(value: &Value, at: &At<'_>, errors: &mut Errors, help: &str) -> Option<u64> {
    let found = as_whole_number(value);
    if found.is_none() {
        errors.add_with_help(at, "must be a whole number from 0 to 2^53", help);
    }
    found
}

/// `None` when it is none from 0 to 2^53.
pub(crate) fn as_whole_number(value: &Value) -> Option<u64> {
    const LARGEST: u64 = 1 << 53;
    let found = value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: whole and within 0..=2^53")]
        let whole = (float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float)).then_some(float as u64);
        whole
    });
    found.filter(|number| *number <= LARGEST)
}

/// A duration in whole seconds, written `15m`.
pub(crate) fn duration(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<u64> {
    const HELP: &str = "write a whole number and a unit: `30s`, `15m`, `8h` or `1d`";
    let parsed = match value {
        Value::String(text) => parse_seconds(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    };
    // Nothing in a session is measured in centuries; the bound keeps later sums far from overflow.
    let parsed = parsed.filter(|seconds| *seconds <= limits::LATEST_SECONDS);
    if parsed.is_none() {
        errors.add_with_help(at, "must be a duration", HELP);
    }
    parsed
}

/// One of a closed list of words.
pub(crate) fn one_of<T: Copy>(value: &Value, at: &At<'_>, errors: &mut Errors, words: &[(&'static str, T)]) -> Option<T> {
    let known = || words.iter().map(|(word, _)| *word);
    let listed = || format!("known here: {}", known().collect::<Vec<_>>().join(", "));
    let text = text(value, at, errors, &listed())?;
    if let Some((_, found)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*found);
    }
    let help = nearest(text, known()).map_or_else(listed, |near| format!("did you mean `{near}`?"));
    errors.add_with_help(at, format!("`{text}` is not known here"), help);
    None
}

/// Each item of a list, read; wrong items are reported and left out.
pub(crate) fn list<'v, T>(
    value: &'v Value,
    at: &At<'_>,
    errors: &mut Errors,
    mut read: impl FnMut(&'v Value, &At<'_>, &mut Errors) -> Option<T>,
) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => {
            Some(items.iter().enumerate().filter_map(|(index, item)| read(item, &at.item(index), errors)).collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            let help = match other {
                Value::String(_) | Value::Object(_) => "put it between `[` and `]`",
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => "list what it holds: `[…]`",
            };
            errors.add_with_help(at, format!("must be a list, not {}", kind(other)), help);
            None
        }
    }
}

/// A [`list`] with at least one item: for conditions, where what an empty one matches is a matter of opinion.
pub(crate) fn each<'v, T>(
    value: &'v Value,
    at: &At<'_>,
    errors: &mut Errors,
    read: impl FnMut(&'v Value, &At<'_>, &mut Errors) -> Option<T>,
) -> Option<Vec<T>> {
    if value.as_array().is_some_and(Vec::is_empty) {
        let help = if at.is_needed() {
            "say what it holds: it cannot be empty, nor be left out"
        } else {
            "leave the member out, or say what it holds"
        };
        errors.add_with_help(at, "must not be an empty list", help);
        return None;
    }
    list(value, at, errors, read)
}

pub(crate) fn strings<'v>(value: &'v Value, at: &At<'_>, errors: &mut Errors) -> Option<Vec<&'v str>> {
    each(value, at, errors, string)
}

/// A [`Pattern`] of texts that may have a `/`.
pub(crate) fn pattern(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Pattern> {
    let text = string(value, at, errors)?;
    let parsed = Pattern::parse_across(text);
    if parsed.is_none() {
        let help = match text.split_once('*') {
            Some(("", "*")) => {
                "`**` alone would be everybody: write what the text begins with before it, or name an `issuer`".into()
            }
            Some((beginning, _)) if !beginning.is_empty() && beginning.len() < limits::IDENTIFIER_BYTES - 1 => {
                format!("`*` stands only at the end: write `{beginning}*`, or `{beginning}**` to go beyond a `/`")
            }
            _ => format!("`*` stands only at the end, after a beginning; at most {} bytes", limits::IDENTIFIER_BYTES),
        };
        errors.add_with_help(at, format!("`{text}` is not a pattern"), help);
    }
    parsed
}

/// A [`Pattern`] of commands, whose names have no `/`.
pub(crate) fn command_pattern(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Pattern> {
    let text = string(value, at, errors)?;
    let parsed = Pattern::parse(text);
    if parsed.is_none() {
        let help = match text.strip_suffix("**").filter(|beginning| !beginning.contains('*')) {
            Some(beginning) => format!("the names of commands have no `/`: write `{beginning}*`"),
            None => format!("`*` stands only at the end; at most {} bytes", limits::IDENTIFIER_BYTES),
        };
        errors.add_with_help(at, format!("`{text}` is not a pattern of commands"), help);
    }
    parsed
}
