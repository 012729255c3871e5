//! Conditions on the claims of a token that have no meaning of their own here: `when.claims`.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use crate::document::{At, Errors, Object, as_whole_number, each, kind, pattern};
use crate::primitives::pattern::Pattern;
use crate::token::claims::ClaimPath;

/// A condition on one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimCondition {
    pub(crate) subject: Subject,
    pub(crate) pattern: Pattern,
}

/// What a condition looks at: a claim, and what of it. A claim of another form meets no condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) path: ClaimPath,
    pub(crate) form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// The text, or each text in a list: `claims: {NAME: …}`.
    TextOrItems,
    /// Each word of the text, or each text in a list: `claims: {scope: …}`, which is a list with spaces by RFC 8693 §4.2.
    WordsOrItems,
    /// The text: `is` with a text.
    Text,
    /// Each text in a list: `contains`.
    Items,
    /// Each word of a text, as `scope` has them (RFC 6749 §3.3): `word`.
    Words,
    /// A boolean or a whole number, as JSON writes it: `is` with one.
    Scalar,
}

impl ClaimCondition {
    pub(crate) fn holds(&self, all: &Map<String, Value>) -> bool {
        self.subject.texts(all).any(|text| self.pattern.matches(&text))
    }
}

impl Subject {
    /// The texts of which one must be as the condition wants it.
    pub(crate) fn texts<'v>(&self, all: &'v Map<String, Value>) -> impl Iterator<Item = Cow<'v, str>> + use<'v> {
        let claim = self.path.find(all);
        let text = claim.and_then(Value::as_str);
        let items = claim.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let (text, items, words, scalar) = match self.form {
            Form::TextOrItems => (text, items, None, None),
            Form::WordsOrItems => (None, items, text, None),
            Form::Text => (text, [].as_slice(), None, None),
            Form::Items => (None, items, None, None),
            Form::Words => (None, [].as_slice(), text, None),
            Form::Scalar => (None, [].as_slice(), None, claim.and_then(scalar)),
        };
        let words = words.into_iter().flat_map(|text| text.split(' ')).filter(|word| !word.is_empty());
        let borrowed = text.into_iter().chain(items.iter().filter_map(Value::as_str)).chain(words);
        borrowed.map(Cow::Borrowed).chain(scalar.map(Cow::Owned))
    }
}

/// A boolean, or a whole number within what a double holds: a claim of 5.0 is 5.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(_) => as_whole_number(value).map(|number| number.to_string()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What is asked of the claim, as an author would say it.
impl fmt::Display for ClaimCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.form {
            Form::TextOrItems | Form::Text | Form::Scalar => write!(f, "{}", self.pattern),
            Form::Items => write!(f, "contains {}", self.pattern),
            Form::Words | Form::WordsOrItems => write!(f, "word {}", self.pattern),
        }
    }
}

/// Reads `claims` of a grant's `when`: an object of texts by the claim's name, or a list of conditions.
pub(super) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Vec<ClaimCondition>> {
    const HELP: &str = "write `claims: {role: support}`, or `claims: [{claim: [realm_access, roles], contains: reader}]`";
    match value {
        Value::Object(members) if !members.is_empty() => {
            let read = |(name, value): (&String, &Value)| {
                let path = ClaimPath::of(&[name]);
                let pattern = by_name(name, value, &at.member(name), errors)?;
                let form = if name == "scope" { Form::WordsOrItems } else { Form::TextOrItems };
                Some(ClaimCondition { subject: Subject { path, form }, pattern })
            };
            Some(members.iter().filter_map(read).collect())
        }
        Value::Array(items) if !items.is_empty() => each(value, at, errors, read_one),
        Value::Array(_) => {
            errors.add_with_help(at, "must not be an empty list", HELP);
            None
        }
        Value::Object(_) => {
            errors.add_with_help(at, "must name a claim", HELP);
            None
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            errors.add_with_help(at, format!("must be an object or a list of conditions, not {}", kind(value)), HELP);
            None
        }
    }
}

const SCALARS: &str = "no condition can ask for such a number: have the issuer write a text, and name that";

/// The text that a claim must have or hold.
fn by_name(name: &str, value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Pattern> {
    let help = match value {
        Value::String(_) => return pattern(value, at, errors),
        Value::Number(_) if as_whole_number(value).is_none() => SCALARS.to_owned(),
        Value::Bool(_) | Value::Number(_) => {
            format!("write the conditions as a list: `claims: [{{claim: {name}, is: {value}}}]`")
        }
        Value::Array(_) => format!("write a condition for each as a list: `claims: [{{claim: {name}, contains: …}}]`"),
        Value::Object(_) => format!("write the way to the claim as a list: `claims: [{{claim: [{name}, …], contains: …}}]`"),
        Value::Null => "write the text that it must have".to_owned(),
    };
    errors.add_with_help(at, format!("must be a string here, not {}", kind(value)), help);
    None
}

fn read_one(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<ClaimCondition> {
    let mut object = Object::open(value, at, errors)?;
    let path = object.required("claim", "for example `claim: scope`, or `claim: [realm_access, roles]`", errors, ClaimPath::read);
    let is = object.optional("is", errors, |value, at, errors| match value {
        Value::Bool(_) => Some((Form::Scalar, Pattern::Exact(value.to_string()))),
        Value::Number(_) => match as_whole_number(value) {
            Some(number) => Some((Form::Scalar, Pattern::Exact(number.to_string()))),
            None => {
                errors.add_with_help(at, "must be a text, a boolean or a whole number from 0 to 2^53", SCALARS);
                None
            }
        },
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => Some((Form::Text, pattern(value, at, errors)?)),
    });
    let contains = object.optional("contains", errors, pattern).map(|pattern| (Form::Items, pattern));
    let word = object.optional("word", errors, pattern).map(|pattern| (Form::Words, pattern));
    let asked = ["is", "contains", "word"].into_iter().filter(|name| object.has(name)).count();
    object.finish(errors);
    if asked != 1 {
        errors.add_with_help(
            at,
            "must have exactly one of `is`, `contains` and `word`",
            "write one: `is` for the whole claim, `contains` for an item of a list, `word` for a word of a text; write two conditions for two",
        );
    }
    let (form, pattern) = is.or(contains).or(word)?;
    if form == Form::Words && pattern.to_string().contains(' ') {
        errors.add_with_help(&at.member("word"), "a word has no spaces in it", "write a condition for each word");
    }
    Some(ClaimCondition { subject: Subject { path: path?, form }, pattern })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_is_asked_for_up_to_what_a_double_holds() {
        for (value, text) in [(json!(5), "5"), (json!(5.0), "5"), (json!(1_u64 << 53), "9007199254740992"), (json!(-0.0), "0")] {
            assert_eq!(scalar(&value).as_deref(), Some(text), "{value}");
        }
        for value in [json!((1_u64 << 53) + 1), json!(9_007_199_254_740_994.0), json!(5.5), json!(-1), json!(1e300), json!("5")] {
            assert_eq!(scalar(&value), None, "{value}");
        }
    }
}
