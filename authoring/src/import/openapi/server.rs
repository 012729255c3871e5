//! Where an API is served: the base path that its paths are beneath, and the host.

use serde_json::Value;

/// A server of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// Without a slash at the end; empty for the root.
    pub(super) base: String,
    /// Without the port; `None` when the document is served from wherever it stands itself.
    pub(super) host: Option<String>,
}

/// `servers` (OpenAPI 3.x): one at `/` where there is none.
pub(super) fn of_three(servers: Option<&Value>) -> Vec<Server> {
    let listed = servers.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let all: Vec<Server> = listed.iter().filter_map(|server| Some(of_url(&filled(server)?))).collect();
    if all.is_empty() { vec![Server { base: String::new(), host: None }] } else { all }
}

/// `host` and `basePath` (Swagger 2.0).
pub(super) fn of_two(document: &Value) -> Server {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let base = text("basePath").unwrap_or_default().trim_end_matches('/').to_owned();
    Server { base, host: text("host").and_then(bare) }
}

/// The URL of a server with the defaults of its variables.
fn filled(server: &Value) -> Option<String> {
    let mut url = server.get("url")?.as_str()?.to_owned();
    for (name, variable) in server.get("variables").and_then(Value::as_object).into_iter().flatten() {
        if let Some(default) = variable.get("default").and_then(Value::as_str) {
            url = url.replace(&format!("{{{name}}}"), default);
        }
    }
    Some(url)
}

fn of_url(url: &str) -> Server {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = match url.split_once("://").map(|(_, rest)| rest).or_else(|| url.strip_prefix("//")) {
        Some(rest) => rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, "")),
        None => ("", url),
    };
    let base = path.trim_end_matches('/');
    let base = if base.is_empty() || base.starts_with('/') { base.to_owned() } else { format!("/{base}") };
    Server { base, host: bare(host) }
}

/// An authority without user and port.
fn bare(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(_) => host.split_inclusive(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}
