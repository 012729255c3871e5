//! Schemas as documents write them.

use std::collections::BTreeMap;

use regex_lite::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{Lists, Node, Numbers, Objects, Rules, Schema, Texts, Types, equal};
use crate::document::{At, Errors, Object, boolean, each, list, nearest, one_of, string, text, whole_number};
use crate::primitives::limits;

/// What says something to people and nothing to us.
const NOTES: [&str; 10] =
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$id", "$schema"];

/// Keywords that hold for values of some types alone.
const OF_TYPES: [(&str, Types); 18] = [
    ("minimum", Types::NUMBER),
    ("maximum", Types::NUMBER),
    ("exclusiveMinimum", Types::NUMBER),
    ("exclusiveMaximum", Types::NUMBER),
    ("multipleOf", Types::NUMBER),
    ("minLength", Types::STRING),
    ("maxLength", Types::STRING),
    ("pattern", Types::STRING),
    ("minItems", Types::ARRAY),
    ("maxItems", Types::ARRAY),
    ("uniqueItems", Types::ARRAY),
    ("prefixItems", Types::ARRAY),
    ("items", Types::ARRAY),
    ("minProperties", Types::OBJECT),
    ("maxProperties", Types::OBJECT),
    ("properties", Types::OBJECT),
    ("required", Types::OBJECT),
    ("additionalProperties", Types::OBJECT),
];

impl Schema {
    /// Reads the schema of a tool's arguments, which are an object.
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let node = node(value, at, errors)?;
        let takes_objects = match &node {
            Node::Any => true,
            Node::Never => false,
            Node::Rules(rules) => rules.types.is_none_or(|types| types.has(Types::OBJECT)),
        };
        if !takes_objects {
            errors.add_with_help(
                at,
                "no arguments can keep to it: they are an object",
                "write `type: object`, with `properties`",
            );
            return None;
        }
        Some(Self::new(node))
    }
}

/// Any schema at all.
pub(super) fn node(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Node> {
    let mut left = limits::SCHEMA_NODES;
    read(value, at, errors, &mut left, 0)
}

fn read(value: &Value, at: &At<'_>, errors: &mut Errors, left: &mut usize, depth: usize) -> Option<Node> {
    match left.checked_sub(1) {
        Some(fewer) if depth < limits::SCHEMA_DEPTH => *left = fewer,
        Some(_) | None => {
            let help = format!("say less: {} schemas within one, {} deep", limits::SCHEMA_NODES, limits::SCHEMA_DEPTH);
            errors.add_with_help(at, "a schema that is too large", help);
            return None;
        }
    }
    if let Value::Bool(takes) = value {
        return Some(if *takes { Node::Any } else { Node::Never });
    }
    let mut object = Object::open(value, at, errors)?;
    let mut sub = |value: &Value, at: &At<'_>, errors: &mut Errors| read(value, at, errors, left, depth + 1);
    let types = object.optional("type", errors, read_types);
    let known = object.optional("enum", errors, |value, at, errors| each(value, at, errors, |value, _, _| Some(value.clone())));
    let only = object.optional("const", errors, |value, _, _| Some(vec![value.clone()]));
    let numbers = Numbers {
        least: object.optional("minimum", errors, number),
        most: object.optional("maximum", errors, number),
        above: object.optional("exclusiveMinimum", errors, number),
        below: object.optional("exclusiveMaximum", errors, number),
        multiple_of: object.optional("multipleOf", errors, |value, at, errors| {
            // Of a fraction a double is hardly ever a multiple.
            const HELP: &str = "write a whole number of 1 or more";
            let of = whole_number(value, at, errors, HELP)?;
            if of == 0 {
                errors.add_with_help(at, "nothing is a multiple of 0", HELP);
            }
            Some(of)
        }),
    };
    let texts = Texts {
        least: object.optional("minLength", errors, count),
        most: object.optional("maxLength", errors, count),
        pattern: object.optional("pattern", errors, read_pattern),
    };
    let lists = Lists {
        least: object.optional("minItems", errors, count),
        most: object.optional("maxItems", errors, count),
        unique: object.optional("uniqueItems", errors, boolean).unwrap_or(false),
        first: object.optional("prefixItems", errors, |value, at, errors| each(value, at, errors, &mut sub)).unwrap_or_default(),
        items: object.optional("items", errors, &mut sub),
    };
    let objects = Objects {
        least: object.optional("minProperties", errors, count),
        most: object.optional("maxProperties", errors, count),
        properties: object
            .optional("properties", errors, |value, at, errors| read_properties(value, at, errors, &mut sub))
            .unwrap_or_default(),
        required: object
            .optional("required", errors, |value, at, errors| {
                list(value, at, errors, |value, at, errors| string(value, at, errors).map(str::to_owned))
            })
            .unwrap_or_default(),
        additional: object.optional("additionalProperties", errors, &mut sub),
    };
    let mut several = |name, errors: &mut Errors| {
        object.optional(name, errors, |value, at, errors| each(value, at, errors, &mut sub)).unwrap_or_default()
    };
    let (all, any, one) = (several("allOf", errors), several("anyOf", errors), several("oneOf", errors));
    let not = object.optional("not", errors, &mut sub);
    for name in NOTES {
        object.optional(name, errors, |_, _, _| Some(()));
    }
    object.finish_with(
        errors,
        &[
            ("format", "write a `pattern`: `format` is a note by the standard, and would hold nothing"),
            ("$ref", "write the schema out in its place"),
            ("$defs", "write each schema out where it is used"),
            ("patternProperties", "name the members under `properties`"),
            ("if", "write the cases as `anyOf`"),
        ],
    );
    let values = match (known, only) {
        (Some(known), Some(only)) => Some(known.into_iter().filter(|value| only.iter().any(|only| equal(only, value))).collect()),
        (known, only) => known.or(only),
    };
    let rules = Rules { source: value.clone(), types, values, numbers, texts, lists, objects, all, any, one, not };
    if let (Some(types), Some(members)) = (types, value.as_object()) {
        fits_types(members, types, at, errors);
    }
    can_be_met(&rules, at, errors);
    Some(Node::Rules(Box::new(rules)))
}

fn read_types(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Types> {
    if value.is_array() {
        let types = each(value, at, errors, |value, at, errors| one_of(value, at, errors, &Types::NAMES))?;
        return Some(types.into_iter().fold(Types(0), |all, one| Types(all.0 | one.0)));
    }
    one_of(value, at, errors, &Types::NAMES)
}

fn read_properties(
    value: &Value,
    at: &At<'_>,
    errors: &mut Errors,
    mut sub: impl FnMut(&Value, &At<'_>, &mut Errors) -> Option<Node>,
) -> Option<BTreeMap<String, Node>> {
    let Some(members) = value.as_object() else {
        errors.add_with_help(
            at,
            "must be an object of schemas by name",
            "write `properties: {limit: {type: integer, maximum: 100}}`",
        );
        return None;
    };
    Some(members.iter().filter_map(|(name, value)| Some((name.clone(), sub(value, &at.member(name), errors)?))).collect())
}

/// A pattern that is found anywhere in a text, as the standard has it. In linear time: there is no looking around, and no referring
/// back.
fn read_pattern(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Regex> {
    let pattern = text(value, at, errors, "write a regular expression, such as `^[a-z]+$`")?;
    if pattern.len() > limits::PATTERN_BYTES {
        let help = format!("shorten it to {} bytes", limits::PATTERN_BYTES);
        errors.add_with_help(at, "a regular expression that is too long", help);
        return None;
    }
    // What is not of ECMA-262 (§21.2) or means another thing there, and agents may be shown it.
    let other = ["(?", "\\z", "\\A", "[[:"].iter().any(|part| pattern.replace("(?:", "(").contains(part));
    match RegexBuilder::new(pattern).size_limit(limits::PATTERN_PROGRAM_BYTES).build() {
        Ok(regex) if !other => Some(regex),
        Ok(_) | Err(_) => {
            let help =
                "write it without looking around, referring back, flags, `\\p{…}` and large repetitions, and close what it opens";
            errors.add_with_help(at, format!("`{pattern}` is not a regular expression that is known here"), help);
            None
        }
    }
}

fn number(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<f64> {
    let number = value.as_f64();
    if number.is_none() {
        errors.add_with_help(at, "must be a number", "write a number, without quotes");
    }
    number
}

fn count(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<usize> {
    whole_number(value, at, errors, "write a whole number of 0 or more").and_then(|count| usize::try_from(count).ok())
}

/// What holds for other types alone is not what its author meant.
fn fits_types(members: &Map<String, Value>, types: Types, at: &At<'_>, errors: &mut Errors) {
    for (name, of) in OF_TYPES {
        if members.contains_key(name) && !types.has(of) {
            let message = format!("`{name}` says nothing of type {}", types.words().join(" or "));
            let help = format!("remove it, or write `type: {}`", of.words().join(" or "));
            errors.add_with_help(&at.member(name), message, help);
        }
    }
}

/// What no value keeps to would deny every call, and its author would not know why.
fn can_be_met(rules: &Rules, at: &At<'_>, errors: &mut Errors) {
    let Rules { numbers, texts, lists, objects, values, types, .. } = rules;
    let low = numbers.least.into_iter().chain(numbers.above).fold(f64::NEG_INFINITY, f64::max);
    let high = numbers.most.into_iter().chain(numbers.below).fold(f64::INFINITY, f64::min);
    let open = numbers.above == Some(low) || numbers.below == Some(high);
    let over = |least: Option<usize>, most: Option<usize>| least.zip(most).is_some_and(|(least, most)| least > most);
    let empty = low > high
        || low == high && open
        || over(texts.least, texts.most)
        || over(lists.least, lists.most)
        || over(objects.least, objects.most)
        || values
            .as_ref()
            .is_some_and(|values| !values.iter().any(|value| types.is_none_or(|types| types.has(Types::of(value)))));
    if empty {
        errors.add_with_help(at, "no value can keep to it", "let some value be within all of its bounds, and of its type");
    }
    for name in &objects.required {
        let node = objects.properties.get(name).or(objects.additional.as_ref());
        if matches!(node, Some(Node::Never)) {
            let known = nearest(name, objects.properties.keys().map(String::as_str)).filter(|near| near != name);
            let help =
                known.map_or_else(|| format!("name `{name}` under `properties`"), |near| format!("did you mean `{near}`?"));
            errors.add_with_help(&at.member("required"), format!("`{name}` is required, and must not be there"), help);
        }
    }
}
