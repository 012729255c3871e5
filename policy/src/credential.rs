//! The upstream's credential: a template over the proxy's environment, filled in for requests that are allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use crate::document::{At, Errors, Object, string};
use crate::issuers::read_header_name;

/// A text that must not be seen: a credential, or a part of one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where the credential goes and what it is made of.
#[derive(Debug)]
pub(crate) struct Credential {
    /// Lower case.
    pub(crate) header: String,
    parts: Vec<Part>,
    /// How the audit record names it: the variables, never their values.
    pub(crate) reference: Rc<str>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Environment(String),
}

impl Credential {
    pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let mut object = Object::open(value, at, errors)?;
        object.unsupported("exchange", errors);
        if object.has("exchange") {
            return None;
        }
        let header = object.required("header", "for example `header: authorization`", errors, read_header_name);
        let parts =
            object.required("value", "for example `value: \"Bearer ${env:ORDERS_TOKEN}\"`", errors, |value, at, errors| {
                let parsed = parse(string(value, at, errors)?);
                if parsed.is_none() {
                    // Without the text itself: somebody may have put the credential here.
                    errors.add_with_help(
                        at,
                        "must hold `${env:NAME}`, and no credential itself",
                        "write \"Bearer ${env:ORDERS_TOKEN}\" and give the proxy that environment variable",
                    );
                }
                parsed
            });
        object.finish(errors);
        Some(Self::new(header?, parts?))
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
    pub(crate) fn fill(&self, environment: &BTreeMap<String, Secret>) -> Option<Vec<u8>> {
        let mut value = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => value.push_str(text),
                Part::Environment(name) => {
                    value.push_str(environment.get(name).map(|secret| secret.0.trim()).filter(|text| !text.is_empty())?)
                }
            }
        }
        value.bytes().all(|byte| (0x20..=0x7e).contains(&byte)).then_some(value.into_bytes())
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
        assert_eq!(credential.fill(&with("abc")).as_deref(), Some(b"Bearer abc".as_slice()));
        assert_eq!(credential.fill(&with("abc\n")).as_deref(), Some(b"Bearer abc".as_slice()));
        assert!(!format!("{:?}", with("hunter2")).contains("hunter2"));
        assert_eq!(credential.fill(&with("")), None);
        assert_eq!(credential.fill(&with("a\r\nx: y")), None);
        assert_eq!(credential.fill(&BTreeMap::new()), None);
        assert_eq!(&*credential.reference, "env:TOKEN");
        for wrong in ["Bearer abc", "${env:}", "${env:A", "${file:/x}", "${env:A}${x}", "${env:A-B}"] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }
}
