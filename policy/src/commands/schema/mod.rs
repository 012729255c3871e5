//! What arguments are held to: a stated part of JSON Schema 2020-12. What it does not know it refuses, when the policy is taken.

mod narrow;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::{Map, Number, Value};

use crate::primitives::json::{canonical, fold};
use crate::primitives::limits;

/// A schema that values are held to.
#[derive(Debug)]
pub(crate) struct Schema {
    node: Node,
    /// The properties that it names anywhere: without their case, and as they are written.
    names: BTreeMap<String, BTreeSet<String>>,
}

/// What breaks which rule. Never the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Where in the value, as a JSON pointer (RFC 6901).
    pub(crate) pointer: String,
    /// The rule in words, such as `must be at most 100`.
    pub(crate) rule: String,
}

#[derive(Debug)]
enum Node {
    /// `true`, or no rule at all.
    Any,
    /// `false`.
    Never,
    Rules(Box<Rules>),
}

/// One schema object. Each part holds for values of its own type alone, as the standard has it.
#[derive(Debug, Default)]
struct Rules {
    /// As the author wrote it.
    source: Value,
    types: Option<Types>,
    /// `enum` and `const`.
    values: Option<Vec<Value>>,
    numbers: Numbers,
    texts: Texts,
    lists: Lists,
    objects: Objects,
    all: Vec<Node>,
    any: Vec<Node>,
    one: Vec<Node>,
    not: Option<Node>,
}

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Types(u8);

impl Types {
    const NULL: Self = Self(1);
    const BOOLEAN: Self = Self(2);
    const INTEGER: Self = Self(4);
    /// Integers are numbers, too.
    const NUMBER: Self = Self(4 | 8);
    const STRING: Self = Self(16);
    const ARRAY: Self = Self(32);
    const OBJECT: Self = Self(64);
    const NAMES: [(&str, Self); 7] = [
        ("null", Self::NULL),
        ("boolean", Self::BOOLEAN),
        ("integer", Self::INTEGER),
        ("number", Self::NUMBER),
        ("string", Self::STRING),
        ("array", Self::ARRAY),
        ("object", Self::OBJECT),
    ];

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            // `1.0` is an integer (§4.2.1 of the core, §6.1.1 of validation).
            Value::Number(number) if is_whole(number) => Self::INTEGER,
            Value::Number(_) => Self(8),
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn words(self) -> Vec<&'static str> {
        let named = Self::NAMES.into_iter().filter(|(_, types)| self.0 & types.0 == types.0);
        let number = self.0 & Self::NUMBER.0 == Self::NUMBER.0;
        named.filter(|(_, types)| !number || *types != Self::INTEGER).map(|(name, _)| name).collect()
    }
}

#[derive(Debug, Default)]
struct Numbers {
    least: Option<f64>,
    most: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    /// A whole number.
    multiple_of: Option<u64>,
}

#[derive(Debug, Default)]
struct Texts {
    /// In code points.
    least: Option<usize>,
    most: Option<usize>,
    pattern: Option<Regex>,
}

#[derive(Debug, Default)]
struct Lists {
    least: Option<usize>,
    most: Option<usize>,
    unique: bool,
    first: Vec<Node>,
    items: Option<Node>,
}

#[derive(Debug, Default)]
struct Objects {
    least: Option<usize>,
    most: Option<usize>,
    properties: BTreeMap<String, Node>,
    required: Vec<String>,
    additional: Option<Node>,
}

impl Schema {
    fn new(node: Node) -> Self {
        let mut names = BTreeMap::new();
        if let Node::Rules(rules) = &node {
            name_properties(&rules.source, &mut names);
        }
        Self { node, names }
    }

    /// Says whether a value keeps to it, and if not, what breaks which rule.
    pub(crate) fn check(&self, value: &Value) -> Result<(), Violation> {
        self.check_case(value, &mut String::new())?;
        self.node.check(value, &mut String::new())
    }

    /// To the schema `Limit` is a member like any other; a tool that takes either case for the other reads it as the `limit` that
    /// is bounded. Not a rule of the schema itself, for `not` would turn it around.
    fn check_case(&self, value: &Value, place: &mut String) -> Result<(), Violation> {
        match value {
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                let known = self.names.get(&fold(name));
                within(place, name, |place| match known.filter(|known| !known.contains(name)) {
                    Some(_) => broken(place, "must be spelled in the case that the policy names"),
                    None => self.check_case(value, place),
                })
            }),
            Value::Array(items) => {
                let mut items = items.iter().enumerate();
                items.try_for_each(|(index, item)| within(place, &index.to_string(), |place| self.check_case(item, place)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }
}

/// All names of properties in a schema as its author wrote it.
fn name_properties(source: &Value, names: &mut BTreeMap<String, BTreeSet<String>>) {
    match source {
        Value::Object(members) => {
            for name in members.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                names.entry(fold(name)).or_default().insert(name.clone());
            }
            members.values().for_each(|value| name_properties(value, names));
        }
        Value::Array(items) => items.iter().for_each(|item| name_properties(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl Node {
    /// `place` is the value's, and the same again afterwards.
    fn check(&self, value: &Value, place: &mut String) -> Result<(), Violation> {
        match self {
            Self::Any => Ok(()),
            Self::Never => broken(place, "must not be there"),
            Self::Rules(rules) => rules.check(value, place),
        }
    }

    fn takes(&self, value: &Value) -> bool {
        self.check(value, &mut String::new()).is_ok()
    }
}

fn broken<T>(place: &str, rule: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { pointer: place.to_owned(), rule: rule.into() })
}

impl Rules {
    fn check(&self, value: &Value, place: &mut String) -> Result<(), Violation> {
        if let Some(types) = self.types.filter(|types| !types.has(Types::of(value))) {
            return broken(place, format!("must be of type {}", types.words().join(" or ")));
        }
        if self.values.as_ref().is_some_and(|values| !values.iter().any(|known| equal(known, value))) {
            return broken(place, "must be one of the values that the policy lists");
        }
        match value {
            Value::Number(number) => self.numbers.check(number, place)?,
            Value::String(text) => self.texts.check(text, place)?,
            Value::Array(items) => self.lists.check(items, place)?,
            Value::Object(members) => self.objects.check(members, place)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.all.iter().try_for_each(|node| node.check(value, place))?;
        if !self.any.is_empty() && !self.any.iter().any(|node| node.takes(value)) {
            return broken(place, "must keep to one of the schemas of `anyOf` at least");
        }
        if !self.one.is_empty() && self.one.iter().filter(|node| node.takes(value)).count() != 1 {
            return broken(place, "must keep to exactly one of the schemas of `oneOf`");
        }
        if self.not.as_ref().is_some_and(|node| node.takes(value)) {
            return broken(place, "must not keep to the schema of `not`");
        }
        Ok(())
    }
}

impl Numbers {
    fn check(&self, number: &Number, place: &str) -> Result<(), Violation> {
        // Bodies have no numbers that are not doubles.
        let Some(number) = number.as_f64() else { return broken(place, "must be a number within the range of doubles") };
        if let Some(least) = self.least.filter(|least| number < *least) {
            return broken(place, format!("must be at least {least}"));
        }
        if let Some(most) = self.most.filter(|most| number > *most) {
            return broken(place, format!("must be at most {most}"));
        }
        if let Some(above) = self.above.filter(|above| number <= *above) {
            return broken(place, format!("must be more than {above}"));
        }
        if let Some(below) = self.below.filter(|below| number >= *below) {
            return broken(place, format!("must be less than {below}"));
        }
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let is_multiple = |of: u64| number.abs() <= 9_007_199_254_740_991.0 && number % of as f64 == 0.0;
        if let Some(of) = self.multiple_of.filter(|of| !is_multiple(*of)) {
            return broken(place, format!("must be a multiple of {of}"));
        }
        Ok(())
    }
}

impl Texts {
    fn check(&self, text: &str, place: &str) -> Result<(), Violation> {
        bounds(place, "characters", self.least, self.most, || text.chars().count())?;
        if self.pattern.is_some() && text.len() > limits::PATTERN_TEXT_BYTES {
            return broken(place, format!("must have at most {} bytes, to be matched", limits::PATTERN_TEXT_BYTES));
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            return broken(place, format!("must match {}", pattern.as_str()));
        }
        Ok(())
    }
}

impl Lists {
    fn check(&self, items: &[Value], place: &mut String) -> Result<(), Violation> {
        bounds(place, "items", self.least, self.most, || items.len())?;
        if self.unique {
            let mut seen = BTreeSet::new();
            if !items.iter().all(|item| seen.insert(canonical(item))) {
                return broken(place, "must have no item twice");
            }
        }
        for (index, item) in items.iter().enumerate() {
            let Some(node) = self.first.get(index).or(self.items.as_ref()) else { break };
            within(place, &index.to_string(), |place| node.check(item, place))?;
        }
        Ok(())
    }
}

impl Objects {
    fn check(&self, members: &Map<String, Value>, place: &mut String) -> Result<(), Violation> {
        bounds(place, "members", self.least, self.most, || members.len())?;
        if let Some(missing) = self.required.iter().find(|name| !members.contains_key(*name)) {
            return within(place, missing, |place| broken(place, "is missing"));
        }
        for (name, value) in members {
            let Some(node) = self.properties.get(name).or(self.additional.as_ref()) else { continue };
            within(place, name, |place| node.check(value, place))?;
        }
        Ok(())
    }
}

fn bounds(
    place: &str,
    of: &str,
    least: Option<usize>,
    most: Option<usize>,
    count: impl FnOnce() -> usize,
) -> Result<(), Violation> {
    if least.is_none() && most.is_none() {
        return Ok(());
    }
    let count = count();
    if let Some(least) = least.filter(|least| count < *least) {
        return broken(place, format!("must have at least {least} {of}"));
    }
    match most.filter(|most| count > *most) {
        Some(most) => broken(place, format!("must have at most {most} {of}")),
        None => Ok(()),
    }
}

fn within<T>(place: &mut String, step: &str, check: impl FnOnce(&mut String) -> T) -> T {
    let length = place.len();
    place.push('/');
    place.push_str(&step.replace('~', "~0").replace('/', "~1"));
    let result = check(place);
    place.truncate(length);
    result
}

/// §4.2.2 of the core: numbers are equal as numbers.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len() && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| equal(value, other)))
        }
        _ => one == other,
    }
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|number| number.fract() == 0.0)
}
