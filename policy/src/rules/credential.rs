//! The upstream's credential: made of the proxy's environment or had for the session's token, and set on requests that are allowed.

mod exchange;
mod set;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

pub(crate) use self::exchange::{Grant, Proof, TokenExchange, Variable};
pub(crate) use self::set::Credentials;
use self::template::Template;
use crate::commands::router::CommandId;
use crate::document::{At, Errors, Object, text};
use crate::http::query::percent_encoded;
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
    pub(crate) carrier: Carrier,
    form: Form,
    /// How the audit record names it: the variables, never their values.
    pub(crate) reference: Rc<str>,
}

/// Where it goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A field of the head, its name in lower case.
    Header(String),
    /// A parameter of the query, for targets that take it nowhere else.
    Query(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Value(Template),
    /// RFC 7617.
    Basic {
        user: Template,
        password: Template,
    },
    /// `Bearer` (RFC 6750 §2.1) and what comes of it.
    Exchange(Rc<TokenExchange>),
}

const VALUE_HELP: &str = "write \"Bearer ${env:ORDERS_TOKEN}\" and give the proxy that environment variable";

impl Credential {
    /// One credential, and the commands that it is for, where it names any.
    pub(crate) fn read(
        value: &Value,
        at: &At<'_>,
        errors: &mut Errors,
        commands: impl FnOnce(&Value, &At<'_>, &mut Errors) -> Option<Vec<CommandId>>,
    ) -> Option<(Self, Option<Vec<CommandId>>)> {
        let mut object = Object::open(value, at, errors)?;
        let is_for = object.has("for");
        let commands = object.optional("for", errors, commands);
        let (in_header, in_query) = (object.has("header"), object.has("query"));
        let (is_basic, is_exchange) = (object.has("basic"), object.has("exchange"));
        let header = object.optional("header", errors, read_header_name).map(Carrier::Header);
        let query = object.optional("query", errors, read_parameter).map(Carrier::Query);
        let form = if is_exchange {
            if let Some(name) = ["value", "query", "basic"].into_iter().find(|name| object.has(name)) {
                let help = "the token that it gives is set as `authorization: Bearer …`, or in another `header`";
                errors.add_with_help(&at.member(name), format!("`{name}` does not go with `exchange`"), help);
            }
            object.optional("value", errors, |_, _, _| Some(()));
            object.optional("basic", errors, |_, _, _| Some(()));
            object.optional("exchange", errors, exchange::read).map(|exchange| Form::Exchange(Rc::new(exchange)))
        } else if is_basic {
            if let Some(name) = ["value", "query"].into_iter().find(|name| object.has(name)) {
                let help = "write `{basic: {user: reporting, password: \"${env:ORDERS_PASSWORD}\"}}`";
                errors.add_with_help(&at.member(name), format!("`{name}` does not go with `basic`"), help);
            }
            object.optional("value", errors, |_, _, _| Some(()));
            object.optional("basic", errors, read_basic)
        } else {
            object.required("value", VALUE_HELP, errors, read_value).map(Form::Value)
        };
        object.finish(errors);
        let carrier = match (in_header, in_query) {
            (true, true) => {
                errors.add_with_help(at, "must not have both `header` and `query`", "say where it goes: leave one of them out");
                None
            }
            (true, false) => header,
            (false, true) => query,
            (false, false) if is_basic || is_exchange => Some(Carrier::Header("authorization".to_owned())),
            (false, false) => {
                errors.add_with_help(at, "`header` is missing", "for example `header: authorization`");
                None
            }
        };
        // What it is for has been said, and wrongly: it is for nothing then, and not for everything.
        if is_for && commands.is_none() {
            return None;
        }
        Some((Self::new(carrier?, form?), commands))
    }

    /// A bearer token that the proxy itself shows to whom it asks.
    pub(crate) fn read_bearer(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        const HELP: &str = "write \"${env:SSF_TOKEN}\", without `Bearer`, and give the proxy that environment variable";
        let token = read_template(value, at, errors, HELP, true)?;
        if value.as_str().is_some_and(|text| text.contains(' ')) {
            errors.add_with_help(at, "must be a token alone", HELP);
            return None;
        }
        Some(Self::new(Carrier::Header("authorization".to_owned()), Form::Value(token.after("Bearer "))))
    }

    fn new(carrier: Carrier, form: Form) -> Self {
        let names = |template: &Template| template.variables().map(|name| format!("env:{name}")).collect::<Vec<_>>();
        let names = match &form {
            Form::Value(value) => names(value),
            Form::Basic { user, password } => [names(user), names(password)].concat(),
            Form::Exchange(exchange) => vec![exchange.reference()],
        };
        Self { carrier, form, reference: names.join(",").into() }
    }

    /// How it is had, where it is had for the session's token.
    pub(crate) fn exchange(&self) -> Option<&Rc<TokenExchange>> {
        match &self.form {
            Form::Exchange(exchange) => Some(exchange),
            Form::Value(_) | Form::Basic { .. } => None,
        }
    }

    /// The credential's text, with what was had for the session's token.
    pub(crate) fn of_token(self: &Rc<Self>, token: &str) -> Filled {
        let text = format!("{BEARER}{token}");
        let end = text.len();
        let mut filled = Filled { of: Rc::clone(self), text: Secret(text), end, first: None, more: Vec::new() };
        filled.seek(BEARER.len(), end);
        filled
    }

    /// The credential's text; `None` when a variable is absent, empty, or has in it what a field's value (RFC 9110 §5.5) or a user
    /// (RFC 7617 §2) cannot have, and of what is not made of variables.
    pub(crate) fn fill(self: &Rc<Self>, environment: &BTreeMap<String, Secret>) -> Option<Filled> {
        let mut filled = Filled { of: Rc::clone(self), text: Secret(String::new()), end: 0, first: None, more: Vec::new() };
        match &self.form {
            Form::Value(template) => {
                let mut text = String::new();
                template.fill(environment, &mut text, |value, start, end| {
                    // Where it has its scheme in it, a target may show what comes behind that alone.
                    let scheme = value.split_once(' ').filter(|(_, rest)| rest.len() >= limits::ECHO_LEAST);
                    filled.seek(start + scheme.map_or(0, |(scheme, _)| scheme.len() + 1), end);
                })?;
                filled.end = text.len();
                if filled.first.is_none() {
                    filled.seek(0, text.len());
                }
                filled.text = Secret(text);
                if let Carrier::Query(_) = self.carrier {
                    let encoded = percent_encoded(filled.value());
                    if encoded.as_bytes() != filled.value() {
                        filled.seek_also(&encoded);
                    }
                }
            }
            Form::Basic { user, password } => {
                let mut pair = String::new();
                user.fill(environment, &mut pair, |_, _, _| {})?;
                let ends = pair.len();
                pair.push(':');
                password.fill(environment, &mut pair, |_, _, _| {})?;
                let (user, password) = (pair.get(..ends)?, pair.get(ends + 1..)?);
                if user.contains(':') || pair.chars().any(char::is_control) {
                    return None;
                }
                filled.text.0.push_str(BASIC);
                STANDARD.encode_string(&pair, &mut filled.text.0);
                filled.end = filled.text.0.len();
                filled.seek(BASIC.len(), filled.end);
                filled.seek_also(password);
            }
            Form::Exchange(_) => return None,
        }
        filled.value().iter().all(|byte| (0x20..=0x7e).contains(byte)).then_some(filled)
    }

    /// Is the text what [`Credential::fill`] makes, all of it?
    pub(crate) fn is(self: &Rc<Self>, text: &[u8], environment: &BTreeMap<String, Secret>) -> bool {
        match &self.form {
            Form::Value(template) => template.is(text, environment),
            Form::Basic { .. } => {
                text.starts_with(BASIC.as_bytes()) && self.fill(environment).is_some_and(|filled| filled.value() == text)
            }
            // The worker knows what it has got of it.
            Form::Exchange(_) => false,
        }
    }

    /// The field that it goes into, its name in lower case.
    pub(crate) fn header(&self) -> Option<&str> {
        match &self.carrier {
            Carrier::Header(name) => Some(name),
            Carrier::Query(_) => None,
        }
    }
}

const BASIC: &str = "Basic ";
pub(crate) const BEARER: &str = "Bearer ";

/// A credential as one request is given it.
#[derive(Debug)]
pub(crate) struct Filled {
    pub(crate) of: Rc<Credential>,
    /// The value, and after it what else is looked for.
    text: Secret,
    /// Where the value ends.
    end: usize,
    /// From where to where in it stands what is looked for in a text: each variable's value that is long enough, or else all of
    /// it, if that is. Nearly always one, so that it takes no allocation.
    first: Option<(usize, usize)>,
    more: Vec<(usize, usize)>,
}

impl Filled {
    /// The value, as it is before anything is done to it for its place.
    pub(crate) fn value(&self) -> &[u8] {
        self.text.0.as_bytes().get(..self.end).unwrap_or_default()
    }

    /// What is looked for anywhere in a text; nothing, where the credential is too short for that.
    pub(crate) fn in_part(&self) -> impl Iterator<Item = &[u8]> {
        self.first.iter().chain(&self.more).filter_map(|(start, end)| self.text.0.as_bytes().get(*start..*end))
    }

    /// Does a field's value show it?
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        match self.first {
            Some(_) => self.in_part().any(|sought| is_in(text, sought)),
            None => text.trim_ascii() == self.value(),
        }
    }

    fn seek(&mut self, start: usize, end: usize) {
        if end - start >= limits::ECHO_LEAST {
            match self.first {
                None => self.first = Some((start, end)),
                Some(_) => self.more.push((start, end)),
            }
        }
    }

    fn seek_also(&mut self, text: &str) {
        let start = self.text.0.len();
        self.text.0.push_str(text);
        self.seek(start, self.text.0.len());
    }
}

fn read_value(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Template> {
    read_template(value, at, errors, VALUE_HELP, true)
}

/// `secret`: it must hold a variable.
fn read_template(value: &Value, at: &At<'_>, errors: &mut Errors, help: &str, secret: bool) -> Option<Template> {
    let parsed = Template::parse(text(value, at, errors, help)?);
    let parsed = parsed.filter(|template| !secret || template.variables().next().is_some());
    if parsed.is_none() {
        // Without the text itself: somebody may have put the credential here.
        let message =
            if secret { "must hold `${env:NAME}`, and no credential itself" } else { "must be a text, or hold `${env:NAME}`" };
        errors.add_with_help(at, message, help);
    }
    parsed
}

fn read_basic(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Form> {
    const USER: &str = "write `user: reporting`, or `user: \"${env:ORDERS_USER}\"`";
    const PASSWORD: &str = "write `password: \"${env:ORDERS_PASSWORD}\"` and give the proxy that environment variable";
    let mut object = Object::open(value, at, errors)?;
    let user = object.required("user", USER, errors, |value, at, errors| {
        let user = read_template(value, at, errors, USER, false);
        if value.as_str().is_some_and(|text| text.replace("${env:", "").contains(':')) {
            errors.add_with_help(at, "a user has no colon in it (RFC 7617 §2)", USER);
        }
        user
    });
    let password =
        object.required("password", PASSWORD, errors, |value, at, errors| read_template(value, at, errors, PASSWORD, true));
    object.finish(errors);
    Some(Form::Basic { user: user?, password: password? })
}

fn read_parameter(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "name a parameter such as `query: api_key`: letters, digits, `-`, `.` and `_`";
    let text = text(value, at, errors, HELP)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if text.len() > limits::IDENTIFIER_BYTES || !text.bytes().all(good) {
        errors.add_with_help(at, format!("`{text}` cannot be the parameter"), HELP);
        return None;
    }
    Some(text.to_owned())
}
