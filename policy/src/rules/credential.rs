//! The upstream's credential: a template over the proxy's environment, filled in for requests that are allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use crate::document::{At, Errors, Object, text};
use crate::primitives::coded::is_in;
use crate::primitives::limits;
use crate::rules::issuers::read_header_name;

/// A text that must not be seen: a credential, or a part of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// For what is made of it; never for what is shown.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where the credential goes and what it is made of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    /// Lower case.
    pub(crate) header: String,
    parts: Vec<Part>,
    /// How the audit record names it: the variables, never their values.
    pub(crate) reference: Rc<str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Environment(String),
}

impl Credential {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        object.unsupported_but(
            "exchange",
            "write `header` and `value` in its place, for example `{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}`",
            errors,
        );
        if object.has("exchange") {
            return None;
        }
        let header = object.required("header", "for example `header: authorization`", errors, read_header_name);
        let parts =
            object.required("value", "for example `value: \"Bearer ${env:ORDERS_TOKEN}\"`", errors, |value, at, errors| {
                const HELP: &str = "write \"Bearer ${env:ORDERS_TOKEN}\" and give the proxy that environment variable";
                let parsed = parse(text(value, at, errors, HELP)?);
                if parsed.is_none() {
                    // Without the text itself: somebody may have put the credential here.
                    errors.add_with_help(at, "must hold `${env:NAME}`, and no credential itself", HELP);
                }
                parsed
            });
        object.finish(errors);
        Some(Self::new(header?, parts?))
    }

    /// A bearer token that the proxy itself shows to whom it asks.
    pub(crate) fn read_bearer(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        const HELP: &str = "write \"${env:SSF_TOKEN}\", without `Bearer`, and give the proxy that environment variable";
        let text = text(value, at, errors, HELP)?;
        let parsed = parse(&format!("Bearer {text}")).filter(|_| !text.contains(' '));
        if parsed.is_none() {
            errors.add_with_help(at, "must hold `${env:NAME}`, and no credential itself", HELP);
        }
        Some(Self::new("authorization".to_owned(), parsed?))
    }

    fn new(header: String, parts: Vec<Part>) -> Self {
        let names = parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Environment(name) => Some(format!("env:{name}")),
        });
        let reference = names.collect::<Vec<_>>().join(",").into();
        Self { header, parts, reference }
    }

    /// The header's value; `None` when a variable is absent, empty, or no text for a header (RFC 9110 §5.5).
    pub(crate) fn fill(&self, environment: &BTreeMap<String, Secret>) -> Option<Filled> {
        let mut value = String::new();
        let (mut first, mut more) = (None, Vec::new());
        for part in &self.parts {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Environment(name) => {
                    let text = variable(environment, name)?;
                    // Where it has its scheme in it, a target may show what comes behind that alone.
                    let scheme = text.split_once(' ').filter(|(_, rest)| rest.len() >= limits::ECHO_LEAST);
                    let start = value.len() + scheme.map_or(0, |(scheme, _)| scheme.len() + 1);
                    value.push_str(text);
                    if value.len() - start >= limits::ECHO_LEAST {
                        match first {
                            None => first = Some((start, value.len())),
                            Some(_) => more.push((start, value.len())),
                        }
                    }
                }
            }
        }
        let good = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
        let first = first.or_else(|| (value.len() >= limits::ECHO_LEAST).then_some((0, value.len())));
        good.then_some(Filled { value: Secret(value), first, more })
    }

    /// Is the text what [`Credential::fill`] makes, all of it? Without making it: asked of each field of each request.
    pub(crate) fn is(&self, text: &[u8], environment: &BTreeMap<String, Secret>) -> bool {
        let mut rest = text;
        for part in &self.parts {
            let part = match part {
                Part::Text(text) => text.as_str(),
                Part::Environment(name) => match variable(environment, name) {
                    Some(value) => value,
                    None => return false,
                },
            };
            match rest.strip_prefix(part.as_bytes()) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

fn variable<'e>(environment: &'e BTreeMap<String, Secret>, name: &str) -> Option<&'e str> {
    environment.get(name).map(|secret| secret.0.trim()).filter(|text| !text.is_empty())
}

/// A credential as one request is given it.
#[derive(Debug)]
pub(crate) struct Filled {
    value: Secret,
    /// From where to where in it stands what is looked for in a text: each variable's value that is long enough, or else all of
    /// it, if that is. Nearly always one, so that it takes no allocation.
    first: Option<(usize, usize)>,
    more: Vec<(usize, usize)>,
}

impl Filled {
    /// The header's value.
    pub(crate) fn value(&self) -> &[u8] {
        self.value.0.as_bytes()
    }

    /// What is looked for anywhere in a text; nothing, where the credential is too short for that.
    pub(crate) fn in_part(&self) -> impl Iterator<Item = &[u8]> {
        self.first.iter().chain(&self.more).filter_map(|(start, end)| self.value().get(*start..*end))
    }

    /// Does a field's value show it?
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        match self.first {
            Some(_) => self.in_part().any(|sought| is_in(text, sought)),
            None => text.trim_ascii() == self.value(),
        }
    }
}

fn parse(text: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${env:") {
        let (name, after) = after.split_once('}')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        parts.push(Part::Text(before.to_owned()));
        parts.push(Part::Environment(name.to_owned()));
        rest = after;
    }
    let plain = |part: &Part| match part {
        Part::Text(text) => !text.contains('$') && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)),
        Part::Environment(_) => true,
    };
    if parts.is_empty() {
        return None;
    }
    parts.push(Part::Text(rest.to_owned()));
    parts.iter().all(plain).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_names_variables() {
        let credential = Credential::new("authorization".to_owned(), parse("Bearer ${env:TOKEN}").unwrap());
        let with = |value: &str| BTreeMap::from([("TOKEN".to_owned(), Secret::new(value.to_owned()))]);
        let fill = |environment: &BTreeMap<_, _>| credential.fill(environment).map(|filled| filled.value().to_vec());
        assert_eq!(fill(&with("abc")).as_deref(), Some(b"Bearer abc".as_slice()));
        assert_eq!(fill(&with("abc\n")).as_deref(), Some(b"Bearer abc".as_slice()));
        assert!(!format!("{:?} {:?}", with("hunter2"), credential.fill(&with("hunter2"))).contains("hunter2"));
        assert_eq!(fill(&with("")), None);
        assert_eq!(fill(&with("a\r\nx: y")), None);
        assert_eq!(fill(&BTreeMap::new()), None);
        assert_eq!(&*credential.reference, "env:TOKEN");
        for wrong in ["Bearer abc", "${env:}", "${env:A", "${file:/x}", "${env:A}${x}", "${env:A-B}"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_is_looked_for_is_each_value_that_is_long_enough() {
        let environment = |values: [(&str, &str); 2]| {
            BTreeMap::from(values.map(|(name, value)| (name.to_owned(), Secret::new(value.to_owned()))))
        };
        let sought = |template: &str, values| {
            let filled = Credential::new("x".to_owned(), parse(template).unwrap()).fill(&environment(values)).unwrap();
            filled.in_part().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        let long = [("A", "12345678"), ("B", "abcdefgh")];
        assert_eq!(sought("Bearer ${env:A}", long), ["12345678"]);
        assert_eq!(sought("${env:A}:${env:B}", long), ["12345678", "abcdefgh"]);
        // What is short would be found by accident: only with what stands around it, or as a whole value.
        assert_eq!(sought("Bearer ${env:A}", [("A", "1234567"), ("B", "")]), ["Bearer 1234567"]);
        assert_eq!(sought("${env:A}:${env:B}", [("A", "12345678"), ("B", "b")]), ["12345678"]);
        let short = Credential::new("x".to_owned(), parse("${env:A}").unwrap()).fill(&environment([("A", "1234567"), ("B", "")]));
        let short = short.unwrap();
        assert_eq!(short.in_part().count(), 0);
        assert!(short.is_in(b" 1234567") && !short.is_in(b"12345678"));
    }

    #[test]
    fn it_is_known_again_without_being_made() {
        let credential = Credential::new("authorization".to_owned(), parse("Bearer ${env:TOKEN}!").unwrap());
        let environment = BTreeMap::from([("TOKEN".to_owned(), Secret::new(" abc\n".to_owned()))]);
        assert!(credential.is(b"Bearer abc!", &environment));
        for other in [b"Bearer abc".as_slice(), b"Bearer abc!!", b"Bearer abd!", b"bearer abc!", b"", b"Bearer "] {
            assert!(!credential.is(other, &environment), "{other:?}");
        }
        assert!(!credential.is(b"Bearer abc!", &BTreeMap::new()));
    }
}
