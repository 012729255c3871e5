//! The policy's commands, as documents write them.

use std::rc::Rc;

use serde_json::Value;

use crate::commands::mcp;
use crate::commands::mcp::endpoint::{Endpoint, EndpointId};
use crate::commands::router::{CommandId, Conflict, Form, Part, Route, Router};
use crate::document::{At, Errors, Object, boolean, each, name, one_of, string, text};
use crate::http::host::HostPattern;
use crate::http::path::{CanonicalPath, Spellings};
use crate::http::rpc::Forms;
use crate::primitives::limits;

/// A command by name.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: Rc<str>,
    /// Needs no session and never gets a credential.
    pub(crate) unmediated: bool,
    /// It is found in a body: nothing can be said of it before a session is known.
    pub(crate) in_body: bool,
    #[cfg(any(test, feature = "hold-for-tests"))]
    pub(crate) needs: Needs,
}

/// What a request of the command waits for: what no document can ask for yet, but in the tests' build.
#[cfg(any(test, feature = "hold-for-tests"))]
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) body: Option<NeedsBody>,
}

#[cfg(any(test, feature = "hold-for-tests"))]
#[derive(Debug)]
pub(crate) struct NeedsBody {
    pub(crate) most_bytes: usize,
    /// The text that permits it.
    pub(crate) has: String,
}

/// The commands of a policy, and what finds them.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// In the order of their names.
    pub(crate) all: Vec<Command>,
    pub(crate) router: Router,
    pub(crate) endpoints: Vec<Rc<Endpoint>>,
}

/// One matcher of a command.
enum Matcher {
    /// The command is in the head.
    Head(Vec<(Vec<Part>, Route)>),
    Mcp(Box<mcp::read::Matcher>),
}

/// An endpoint in the making.
struct Building {
    parts: Vec<Part>,
    hosts: Vec<HostPattern>,
    endpoint: Endpoint,
}

/// Reads the member `commands`.
pub(crate) fn read(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Commands> {
    let Some(members) = value.as_object() else {
        let help = "write each command under its name: `{orders.list: {http: {methods: [GET], path: /v1/orders}}}`";
        errors.add_with_help(at, "must be an object of commands by name", help);
        return None;
    };
    let mut reading = Reading { commands: Vec::with_capacity(members.len()), router: Router::default(), endpoints: Vec::new() };
    for (key, matchers) in members {
        let at = at.member(key);
        let Some(key) = name(&Value::String(key.clone()), &at, errors).map(str::to_owned) else { continue };
        let Ok(id) = u32::try_from(reading.commands.len()).map(CommandId) else { continue };
        reading.commands.push(Command {
            name: key.as_str().into(),
            unmediated: false,
            in_body: false,
            #[cfg(any(test, feature = "hold-for-tests"))]
            needs: Needs::default(),
        });
        #[cfg(any(test, feature = "hold-for-tests"))]
        let (matchers, needs) = read_needs(matchers, &at, errors);
        #[cfg(any(test, feature = "hold-for-tests"))]
        if let Some(command) = reading.commands.last_mut() {
            command.needs = needs;
        }
        let add = |value: &Value, at: &At<'_>, errors: &mut Errors| {
            reading.add(read_matcher(value, at, errors, id, &key)?, id, at, errors);
            Some(())
        };
        if matchers.is_array() {
            each(matchers, &at, errors, add);
        } else {
            let mut add = add;
            add(matchers, &at, errors);
        }
    }
    let Reading { commands, router, endpoints } = reading;
    let endpoints = endpoints.into_iter().map(|building| Rc::new(building.endpoint)).collect();
    Some(Commands { all: commands, router, endpoints })
}

/// What has been read so far.
struct Reading {
    commands: Vec<Command>,
    router: Router,
    endpoints: Vec<Building>,
}

impl Reading {
    fn add(&mut self, matcher: Matcher, command: CommandId, at: &At<'_>, errors: &mut Errors) {
        match matcher {
            Matcher::Head(routes) => routes.into_iter().for_each(|(parts, route)| self.route(&parts, route, at, errors)),
            Matcher::Mcp(matcher) => {
                if let Some(command) = self.commands.get_mut(command.0 as usize) {
                    command.in_body = true;
                }
                let known = self.endpoints.iter().position(|known| known.parts == matcher.parts && known.hosts == matcher.hosts);
                let place = known.unwrap_or(self.endpoints.len());
                if known.is_none() {
                    let Ok(id) = u32::try_from(place).map(EndpointId) else { return };
                    let (parts, hosts) = (matcher.parts.clone(), matcher.hosts.clone());
                    let route = Route { command, form: Form::Mcp(id), hosts: hosts.clone(), permit: Spellings::default() };
                    self.route(&parts, route, at, errors);
                    self.endpoints.push(Building { parts, hosts, endpoint: Endpoint::default() });
                }
                let Some(building) = self.endpoints.get_mut(place) else { return };
                if let Err((told, other)) = matcher.put_into(&mut building.endpoint) {
                    let message = if other == command {
                        format!("`{told}` stands twice in it")
                    } else {
                        format!("`{told}` is a part of the command `{}` as well", named(&self.commands, other))
                    };
                    errors.add_with_help(at, message, "name it once, or in matchers that differ in `versions`");
                }
            }
        }
    }

    fn route(&mut self, parts: &[Part], route: Route, at: &At<'_>, errors: &mut Errors) {
        let help = match route.form {
            Form::Grpc(_) => "name the method in one of them: neither a form nor a host tells commands of gRPC apart",
            Form::Http { .. } | Form::Mcp(_) => "make one path strictly more specific, or tell them apart by method or host",
        };
        match self.router.insert(parts, route) {
            Ok(()) => {}
            Err(Conflict::Meets(other)) => errors.add_with_help(
                at,
                format!("the same request could also be the command `{}`", named(&self.commands, other)),
                help,
            ),
            Err(Conflict::Spells(other)) => errors.add_with_help(
                at,
                format!("the command `{}` spells a part of this path with other escapes", named(&self.commands, other)),
                "write both with the same escapes: servers differ in whether they are one",
            ),
        }
    }
}

fn named(commands: &[Command], id: CommandId) -> &str {
    commands.get(id.0 as usize).map_or("", |command| &command.name)
}

/// `{matchers: …, needs: {body: {most_bytes, has}}}` in the place of the matchers.
#[cfg(any(test, feature = "hold-for-tests"))]
fn read_needs<'v>(value: &'v Value, at: &At<'_>, errors: &mut Errors) -> (&'v Value, Needs) {
    let Some((needs, matchers)) = value.get("needs").zip(value.get("matchers")) else { return (value, Needs::default()) };
    let body = needs.get("body").map(|body| NeedsBody {
        most_bytes: body.get("most_bytes").and_then(Value::as_u64).and_then(|most| most.try_into().ok()).unwrap_or(0),
        has: body.get("has").and_then(Value::as_str).unwrap_or_default().to_owned(),
    });
    if body.as_ref().is_some_and(|body| body.has.is_empty()) {
        errors.add(at, "`needs.body` wants `most_bytes` and `has`");
    }
    (matchers, Needs { body })
}

fn read_matcher(value: &Value, at: &At<'_>, errors: &mut Errors, command: CommandId, name: &str) -> Option<Matcher> {
    let mut object = Object::open(value, at, errors)?;
    let http = object.optional("http", errors, |value, at, errors| read_http(value, at, errors, command));
    let grpc = object.optional("grpc", errors, |value, at, errors| read_grpc(value, at, errors, command));
    let mcp = object.optional("mcp", errors, |value, at, errors| mcp::read::read(value, at, errors, command, name.into()));
    let help = "remove it, and the command with it where it has no other matcher: what it asks for would not be enforced";
    object.unsupported_but("sql", help, errors);
    let kinds = ["http", "grpc", "mcp", "sql"].into_iter().filter(|kind| object.has(kind)).count();
    object.finish(errors);
    if kinds != 1 {
        let help = match kinds {
            0 => "write `http: {methods: […], path: …}`, `grpc: {service: …, methods: […]}` or `mcp: {path: …, tools: […]}`",
            _ => "write several matchers as a list",
        };
        errors.add_with_help(at, "must have exactly one of `http`, `grpc` and `mcp`", help);
        return None;
    }
    http.or(grpc).map(Matcher::Head).or(mcp.map(Box::new).map(Matcher::Mcp))
}

fn read_http(value: &Value, at: &At<'_>, errors: &mut Errors, command: CommandId) -> Option<Vec<(Vec<Part>, Route)>> {
    let mut object = Object::open(value, at, errors)?;
    let methods = object
        .required("methods", "for example `methods: [GET]`", errors, |value, at, errors| each(value, at, errors, read_method));
    let path = object.required("path", "for example `path: /v1/orders/{id}`", errors, read_path);
    let hosts = object.optional("hosts", errors, |value, at, errors| each(value, at, errors, read_host));
    let permit = object.optional("permit", errors, |value, at, errors| each(value, at, errors, read_spelling));
    let upgrade = object.optional("upgrade", errors, boolean).unwrap_or(false);
    let body = object.optional("body", errors, boolean);
    if upgrade && body == Some(false) {
        errors.add_with_help(
            &at.member("body"),
            "no body, and yet `upgrade: true`: after an upgrade anything may follow",
            "remove one of them",
        );
    }
    object.finish(errors);
    let parts = path?;
    let mut spellings = Spellings::default();
    permit.into_iter().flatten().for_each(|spelling| spellings.add(spelling));
    if !spellings.is_empty() && !parts.contains(&Part::Capture) {
        errors.add_with_help(
            &at.member("permit"),
            "permits nothing: it holds inside `{captures}` of whole segments only",
            "remove it, or capture a whole segment",
        );
    }
    let form = Form::Http { methods: methods?, upgrade, body };
    Some(vec![(parts, Route { command, form, hosts: hosts.unwrap_or_default(), permit: spellings })])
}

fn read_grpc(value: &Value, at: &At<'_>, errors: &mut Errors, command: CommandId) -> Option<Vec<(Vec<Part>, Route)>> {
    let mut object = Object::open(value, at, errors)?;
    let service = object.required("service", "for example `service: users.v1.Users`", errors, name);
    let methods =
        object.required("methods", "for example `methods: [Get]`", errors, |value, at, errors| each(value, at, errors, name));
    let named = object.optional("forms", errors, |value, at, errors| each(value, at, errors, read_form));
    object.finish(errors);
    let service = service?;
    let mut forms = Forms::default();
    named.unwrap_or_else(|| vec![Forms::GRPC]).into_iter().for_each(|form| forms.add(form));
    let route = |method: &str| {
        let route = Route { command, form: Form::Grpc(forms), hosts: Vec::new(), permit: Spellings::default() };
        (grpc_path(service, method), route)
    };
    Some(methods?.into_iter().map(route).collect())
}

fn read_form(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Forms> {
    const WORDS: &[(&str, Forms)] = &[
        ("grpc", Forms::GRPC),
        ("grpc_web", Forms::GRPC_WEB),
        ("grpc_web_text", Forms::GRPC_WEB_TEXT),
        ("connect", Forms::CONNECT),
        ("connect_get", Forms::CONNECT_GET),
    ];
    one_of(value, at, errors, WORDS)
}

/// The path of a gRPC method; names need no escapes.
pub(crate) fn grpc_path(service: &str, method: &str) -> Vec<Part> {
    [service, method].map(|text| Part::Literal { canonical: text.into(), decoded: text.into() }).into()
}

fn read_method(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<String> {
    const HELP: &str = "write one method in capital letters, such as `GET`";
    let text = text(value, at, errors, HELP)?;
    if matches!(text, "TRACE" | "CONNECT") {
        errors.add_with_help(at, format!("{text} is always refused"), "take it out");
        return None;
    }
    if text == "*" {
        let help = "list the methods: `methods: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS]` are all that most services have";
        errors.add_with_help(at, "`*` is not a method: no command takes methods that it does not name", help);
        return None;
    }
    if !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
        let help = if text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
            format!("methods are case-sensitive (RFC 9110 §9.1): write `{}`", text.to_ascii_uppercase())
        } else {
            HELP.to_owned()
        };
        errors.add_with_help(at, format!("`{text}` is not a method"), help);
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn read_host(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<HostPattern> {
    let text = string(value, at, errors)?;
    let parsed = HostPattern::parse(text);
    if parsed.is_none() {
        let help = if text == "*" {
            "leave `hosts` out: then any host will do"
        } else if text.contains('*') {
            "`*` is the whole first label and stands for exactly one, with two labels or more after it: `*.tenant.example`"
        } else {
            "write the bare name, such as `orders.example`; the port never matters"
        };
        errors.add_with_help(at, format!("`{text}` is not a host name"), help);
    }
    parsed
}

fn read_spelling(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Spellings> {
    const WORDS: &[(&str, Spellings)] = &[
        ("encoded_slash", Spellings::ENCODED_SLASH),
        ("semicolon", Spellings::SEMICOLON),
        ("double_slash", Spellings::DOUBLE_SLASH),
        ("double_encoding", Spellings::DOUBLE_ENCODING),
    ];
    one_of(value, at, errors, WORDS)
}

/// A path pattern: literal segments, `{id}` for one segment, `{id}:verb` for one with this end, `{*rest}` at the end for the
/// remaining ones.
pub(super) fn read_path(value: &Value, at: &At<'_>, errors: &mut Errors) -> Option<Vec<Part>> {
    let text = text(value, at, errors, "write a path that begins with `/`, such as `/v1/orders`")?;
    let parsed = parse_path(text);
    if let Err((message, help)) = &parsed {
        errors.add_with_help(at, format!("`{text}` {message}"), *help);
    }
    parsed.ok()
}

pub(crate) fn parse_path(text: &str) -> Result<Vec<Part>, (&'static str, &'static str)> {
    let Some(inner) = text.strip_prefix('/') else {
        return Err(("is not an absolute path", "begin with `/`"));
    };
    let count = inner.split('/').count();
    let mut parts = Vec::with_capacity(count);
    let mut names: Vec<&str> = Vec::new();
    for (index, part) in inner.split('/').enumerate() {
        let Some((capture, end)) = part.strip_prefix('{').and_then(|part| part.split_once('}')) else {
            parts.push(parse_literal(part, index + 1 == count)?);
            continue;
        };
        let (name, rest) = capture.strip_prefix('*').map_or((capture, false), |name| (name, true));
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(("has a capture without a proper name", "write `{id}` or, at the end, `{*rest}`"));
        }
        if names.contains(&name) {
            return Err(("names two captures alike", "give each its own name"));
        }
        if rest && index + 1 != count {
            return Err(("has `{*rest}` before its end", "`{*rest}` takes all that is left, so it stands last"));
        }
        names.push(name);
        parts.push(match (rest, end) {
            (true, "") => Part::Rest,
            (true, _) => return Err(("has an end after `{*rest}`", "`{*rest}` takes all that is left; an end follows `{id}`")),
            (false, "") => Part::Capture,
            (false, end) => parse_end(end)?,
        });
    }
    Ok(parts)
}

/// What stands in a segment after its capture.
fn parse_end(text: &str) -> Result<Part, (&'static str, &'static str)> {
    match parse_literal(text, false)? {
        Part::Literal { decoded, .. } if decoded.len() > limits::END_BYTES => {
            Err(("has an end of more than 64 bytes after a capture", "shorten it, or capture the whole segment"))
        }
        Part::Literal { canonical, decoded } => Ok(Part::End { canonical, decoded }),
        other @ (Part::End { .. } | Part::Capture | Part::Rest) => Ok(other),
    }
}

fn parse_literal(text: &str, last: bool) -> Result<Part, (&'static str, &'static str)> {
    const PLAIN: &str = "write the path as clients send it, without query, empty or dot segments";
    if matches!(text, "*" | "**") {
        return Err((
            "has a segment that is neither literal nor a capture",
            if last { "write `{*rest}` for all that is left, or `{id}` for one segment" } else { "write `{id}` for one segment" },
        ));
    }
    if text.contains(['{', '}', '*', '?']) {
        return Err((
            "has a segment that is neither literal nor a capture",
            "a capture begins a segment, and a fixed end may follow it: `/{id}/`, `/{model}:run`; `*` and `?` have no meaning here",
        ));
    }
    if text.is_empty() && !last {
        return Err(("has an empty segment", PLAIN));
    }
    let text = format!("/{text}");
    let mut path = CanonicalPath::parse(text.as_bytes()).map_err(|_| ("is ambiguous", PLAIN))?;
    match (path.spellings().is_empty(), path.segments.pop()) {
        (true, Some(segment)) => {
            Ok(Part::Literal { canonical: segment.canonical.into_owned(), decoded: segment.decoded.into_owned() })
        }
        (false, _) | (true, None) => Err(("is ambiguous", PLAIN)),
    }
}
