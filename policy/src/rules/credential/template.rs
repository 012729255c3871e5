//! A text with variables of the proxy's environment in it.

use std::collections::BTreeMap;

use super::Secret;

/// Texts and variables, one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Environment(String),
}

impl Template {
    /// `Bearer ${env:NAME}`; `None` for what is no template, or has text in it that no header could have.
    pub(super) fn parse(text: &str) -> Option<Self> {
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
        parts.push(Part::Text(rest.to_owned()));
        let plain = |part: &Part| match part {
            Part::Text(text) => !text.contains('$') && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)),
            Part::Environment(_) => true,
        };
        parts.iter().all(plain).then_some(Self(parts))
    }

    /// The same behind a text.
    pub(super) fn after(mut self, text: &str) -> Self {
        self.0.insert(0, Part::Text(text.to_owned()));
        self
    }

    /// Names of its variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Environment(name) => Some(name.as_str()),
        })
    }

    /// The variable that it is, with nothing around it.
    pub(super) fn whole_variable(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Text(before), Part::Environment(name), Part::Text(after)] if before.is_empty() && after.is_empty() => {
                Some(name)
            }
            _ => None,
        }
    }

    /// Writes it, and tells from where to where each variable's value stands; `None` when one is absent or empty.
    pub(super) fn fill(
        &self,
        environment: &BTreeMap<String, Secret>,
        into: &mut String,
        mut stands: impl FnMut(&str, usize, usize),
    ) -> Option<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => into.push_str(text),
                Part::Environment(name) => {
                    let value = variable(environment, name)?;
                    let start = into.len();
                    into.push_str(value);
                    stands(value, start, into.len());
                }
            }
        }
        Some(())
    }

    /// Is the text what [`Self::fill`] writes, all of it? Without writing it: asked of each field of each request.
    pub(super) fn is(&self, text: &[u8], environment: &BTreeMap<String, Secret>) -> bool {
        let mut rest = text;
        for part in &self.0 {
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

/// `None` where it is absent or empty.
pub(super) fn variable<'e>(environment: &'e BTreeMap<String, Secret>, name: &str) -> Option<&'e str> {
    environment.get(name).map(|secret| secret.expose().trim()).filter(|text| !text.is_empty())
}
