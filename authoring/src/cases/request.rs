//! `requests:` and inline requests: shorthand resolved, token in its header.

use super::{
    read::{Errors, Members, Node, expand, unknown_name},
    tokens::{LONGEST_LIKENESS, Tokens},
};
use crate::request::{Headers, Request, parse_address};
use serde_json::Value;
use std::collections::BTreeMap;

/// `get: /path` and its like. TRACE and CONNECT are here for policies to be seen refusing them.
const SHORTHANDS: [&str; 9] = ["get", "head", "post", "put", "patch", "delete", "options", "trace", "connect"];
const OTHERS: [&str; 13] = [
    "like",
    "token",
    "method",
    "path",
    "host",
    "scheme",
    "headers",
    "body",
    "chunks",
    "trailers",
    "source_address",
    "client_certificate_sha256",
    "peer_uri_san",
];

/// Names that may stand in a request, for whoever mixes a request's members with its own.
pub(super) fn known_members() -> impl Iterator<Item = &'static str> {
    SHORTHANDS.into_iter().chain(OTHERS)
}

/// A request, and the lengths of the pieces in which its body arrives, when it does not come in one.
pub(super) type Sent = (Request, Vec<usize>);

/// All named requests of a file, and what inline ones fall back to.
pub(super) struct Requests<'v> {
    named: Members<'v>,
    tokens: Tokens<'v>,
    /// Where the policy looks for a token first.
    carrier: (String, String),
    /// The host of a request that names none.
    host: String,
}

/// The members of a request before anything is made of them.
type Spec<'v> = BTreeMap<&'v str, Node<'v>>;

impl<'v> Requests<'v> {
    pub(super) fn read(node: Option<&Node<'v>>, tokens: Tokens<'v>, policy: &Value, errors: &Errors<'_>) -> Self {
        let named = node.and_then(|node| node.any_members(errors)).unwrap_or_default();
        let requests = Self { named, tokens, carrier: crate::token::carrier(policy), host: first_host(policy) };
        for node in requests.named.values() {
            requests.whole(node, errors);
        }
        requests
    }

    pub(super) fn tokens(&self) -> &Tokens<'v> {
        &self.tokens
    }

    /// `send: name` or `send: {…}`.
    pub(super) fn sent(&self, node: &Node<'v>, errors: &Errors<'_>) -> Option<Sent> {
        match node.value.as_str() {
            Some(name) => self.whole(self.by_name(node, name, errors)?, errors),
            None => self.whole(node, errors),
        }
    }

    fn by_name(&self, node: &Node<'_>, name: &str, errors: &Errors<'_>) -> Option<&Node<'v>> {
        let found = self.named.get(name);
        if found.is_none() {
            unknown_name(node, errors, "request", name, self.named.keys().copied());
        }
        found
    }

    fn whole(&self, node: &Node<'v>, errors: &Errors<'_>) -> Option<Sent> {
        let known: Vec<&str> = known_members().collect();
        let members = node.members(errors, &known)?;
        self.build(node, members, errors)
    }

    /// A request from members that are already known to be a request's.
    pub(super) fn build(&self, node: &Node<'v>, members: Spec<'v>, errors: &Errors<'_>) -> Option<Sent> {
        let spec = self.with_likeness(node, members, errors)?;
        let text = |name: &str| spec.get(name).map(|node| node.text(errors));
        let optional = |name: &str| text(name).flatten().map(str::to_owned);
        let (method, path) = method_and_path(node, &spec, errors)?;
        let mut request = Request::new(&method, text("host").unwrap_or(Some(&self.host))?, &path);
        if let Some(scheme) = text("scheme") {
            request.scheme = scheme?.into();
        }
        if let Some(token) = spec.get("token").filter(|node| !node.value.is_null()) {
            let name = token.text(errors)?;
            if name != "none" && !self.tokens.names().any(|known| known == name) {
                unknown_name(token, errors, "token", name, self.tokens.names());
            } else if let Some(text) = self.tokens.get(name) {
                let (header, prefix) = &self.carrier;
                request.headers.push((header.clone().into_bytes(), format!("{prefix}{text}").into_bytes()));
            }
        }
        if let Some(node) = spec.get("headers") {
            request.headers.extend(self.headers(node, errors)?);
        }
        if let Some(node) = spec.get("trailers") {
            request.trailers = self.headers(node, errors)?;
        }
        if let Some(body) = text("body") {
            request.body = body?.into();
        }
        let mut pieces = Vec::new();
        if let Some(node) = spec.get("chunks") {
            if spec.contains_key("body") {
                node.wrong(errors, "stands beside `body`", "keep one: `chunks` is a body in pieces");
                return None;
            }
            let chunks = chunks(node, errors)?;
            pieces = chunks.iter().map(Vec::len).collect();
            request.body = chunks.concat();
        }
        if let Some(node) = spec.get("source_address") {
            request.source_address = parse_address(node.text(errors)?);
            if request.source_address.is_none() {
                node.wrong(errors, "must be an IP address", "with or without a port: `192.0.2.7:49152`");
            }
        }
        request.client_certificate_sha256 = optional("client_certificate_sha256");
        request.peer_uri_san = optional("peer_uri_san");
        Some((request, pieces))
    }

    /// Lays the members over those of the request that they are like.
    fn with_likeness(&self, node: &Node<'v>, members: Spec<'v>, errors: &Errors<'_>) -> Option<Spec<'v>> {
        let mut layers = vec![members];
        while let Some(like) = layers.last().and_then(|top| top.get("like")).cloned() {
            if layers.len() == LONGEST_LIKENESS {
                node.wrong(errors, "is like itself in the end", "end the chain of `like`");
                return None;
            }
            let base = self.by_name(&like, like.text(errors)?, errors)?;
            layers.push(base.any_members(errors)?);
        }
        let mut whole = Spec::new();
        for layer in layers.into_iter().rev() {
            // A body replaces the body beneath it, and a method the method, in whichever form.
            if layer.contains_key("body") || layer.contains_key("chunks") {
                whole.remove("body");
                whole.remove("chunks");
            }
            if layer.keys().any(|name| SHORTHANDS.contains(name) || *name == "method") {
                whole.retain(|name, _| !SHORTHANDS.contains(name) && *name != "method" && *name != "path");
            }
            whole.extend(layer);
        }
        Some(whole)
    }

    /// A list of pairs, or an object when no name is twice; `${token:NAME}` in a value is that token.
    pub(super) fn headers(&self, node: &Node<'v>, errors: &Errors<'_>) -> Option<Headers> {
        let mut headers = Headers::new();
        let mut put = |name: &str, value: &Node<'v>| {
            let token = |reference: &str| self.tokens.get(reference.strip_prefix("token:")?);
            let text = expand(value.text(errors)?, token).map_err(|name| {
                value.wrong(errors, format!("`${{{name}}}` is not known here"), "`${token:NAME}` with a name from `tokens`");
            });
            headers.push((name.as_bytes().to_vec(), text.ok()?.into_bytes()));
            Some(())
        };
        if node.value.is_object() {
            for (name, value) in node.any_members(errors)? {
                put(name, &value)?;
            }
            return Some(headers);
        }
        for pair in node.items(errors)? {
            match pair.items(errors)?.as_slice() {
                [name, value] => put(name.text(errors)?, value)?,
                _ => pair.wrong(errors, "must be a name and a value", "`[x-name, value]`"),
            }
        }
        Some(headers)
    }
}

/// The pieces of a body, none of them empty: a proxy hands on no empty piece.
pub(super) fn chunks(node: &Node<'_>, errors: &Errors<'_>) -> Option<Vec<Vec<u8>>> {
    let piece = |node: &Node<'_>| {
        let text = node.text(errors)?;
        if text.is_empty() {
            node.wrong(errors, "is an empty piece", "remove it");
            return None;
        }
        Some(text.as_bytes().to_vec())
    };
    node.items(errors)?.iter().map(piece).collect()
}

fn method_and_path(node: &Node<'_>, spec: &Spec<'_>, errors: &Errors<'_>) -> Option<(String, String)> {
    let short: Vec<_> = spec.iter().filter(|(name, _)| SHORTHANDS.contains(name)).collect();
    match (short.as_slice(), spec.get("method"), spec.get("path")) {
        ([(method, path)], None, None) => Some((method.to_ascii_uppercase(), path.text(errors)?.to_owned())),
        ([], Some(method), Some(path)) => Some((method.text(errors)?.to_owned(), path.text(errors)?.to_owned())),
        ([], None, None) => {
            node.wrong(errors, "names no method and path", "`get: /path`, or `method:` and `path:`");
            None
        }
        ([], Some(_), None) | ([], None, Some(_)) => {
            node.wrong(errors, "`method` and `path` go together", "add the other one, or write `get: /path`");
            None
        }
        _ => {
            node.wrong(errors, "names its method more than once", "keep one");
            None
        }
    }
}

/// The first host that a command of the policy asks for.
fn first_host(policy: &Value) -> String {
    fn walk(value: &Value) -> Option<&str> {
        match value {
            Value::Object(members) => {
                let host = members.get("hosts").and_then(Value::as_array).and_then(|hosts| hosts.first()?.as_str());
                host.filter(|host| !host.contains('*')).or_else(|| members.values().find_map(walk))
            }
            Value::Array(items) => items.iter().find_map(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
    policy.get("commands").and_then(walk).unwrap_or("localhost").to_owned()
}
