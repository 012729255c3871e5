//! Envoy's own cors filter for pages in browsers (Fetch standard, "CORS protocol"): it answers their preflights, which bring no
//! session, and lets them read answers, denials included.

use super::Rendered;
use chaperone_authoring::source::quoted;
use serde_json::Value;
use std::{collections::BTreeSet, net::Ipv6Addr, str::FromStr};

/// Pages that may call the proxy from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<Origin>,
    credentials: bool,
}

/// Where a page comes from, as browsers write it (RFC 6454 §6.2), or `*` for anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

const ANY: &str = "*";

impl FromStr for Origin {
    type Err = String;

    /// What a browser would never send is refused: it is compared byte by byte, and would let nobody in.
    fn from_str(text: &str) -> Result<Self, String> {
        const WRITE: &str = "write it as a browser does, https://app.example or http://localhost:3000";
        if text == ANY {
            return Ok(Self(ANY.to_owned()));
        }
        if text == "null" {
            return Err("that is what every sandboxed page and every local file is: name the site that has the page".to_owned());
        }
        if text.contains([',', ' ']) {
            return Err(format!("one origin at a time: repeat --cors; {WRITE}"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("no scheme: {WRITE}"))?;
        let good_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
        if text.contains('*') {
            return Err(format!("no patterns: name each origin; {WRITE}"));
        }
        if let Some(origin) = rest.find(['/', '?', '#', '@']).and_then(|_| lenient(scheme, rest)) {
            return Err(format!("an origin is a scheme, a host and a port alone: write {origin}"));
        }
        if !good_scheme || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("browsers write it in lower case: {}", text.to_ascii_lowercase()));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good_host = match address {
            // As it is written by everybody who follows RFC 5952.
            Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|parsed| parsed.to_string() == address),
            None => {
                !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            }
        };
        if !good_host {
            return Err(format!("`{host}` is no host (one with other letters is written xn--…): {WRITE}"));
        }
        if let Some(port) = port {
            let number: u16 = port.parse().map_err(|_| format!("`{port}` is no port"))?;
            if number.to_string() != port || number == 0 {
                return Err(format!("`{port}` is no port as a browser writes it"));
            }
            if matches!((scheme, number), ("https", 443) | ("http", 80)) {
                return Err(format!("browsers leave the usual port out: write {scheme}://{host}"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

/// The origin in something longer, if there is one.
fn lenient(scheme: &str, rest: &str) -> Option<String> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let Origin(origin) = format!("{scheme}://{host}").to_ascii_lowercase().parse().ok()?;
    Some(origin)
}

impl Cors {
    /// `credentials`: browsers may send client certificates and cookies along.
    ///
    /// # Errors
    /// When anybody's page could do so.
    pub fn new(origins: Vec<Origin>, credentials: bool) -> Result<Self, String> {
        let any = origins.iter().any(|Origin(origin)| origin == ANY);
        if any && credentials {
            return Err(
                "`*` with credentials would let every page there is call with the certificate of whoever looks at it: name each origin, such as --cors https://app.example"
                    .to_owned(),
            );
        }
        if any && origins.len() > 1 {
            return Err("`*` is every origin: leave the others out, or better `*`".to_owned());
        }
        Ok(Self { origins, credentials })
    }

    /// The first item of `http_filters`.
    pub(super) fn filter() -> &'static str {
        r#"                  # Before the filter, as a preflight (OPTIONS, origin, access-control-request-method) brings no session: it is answered here and
                  # goes no further, without a record. Whatever else comes is judged, and denials get the headers with which a page may read them.
                  - name: envoy.filters.http.cors
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors
"#
    }

    /// A member of the virtual host.
    pub(super) fn policy(&self, rendered: &Rendered) -> String {
        let origins: Vec<String> = self
            .origins
            .iter()
            .map(|Origin(origin)| format!("                              - exact: {}\n", quoted(origin)))
            .collect();
        let list = |items: BTreeSet<String>| quoted(&items.into_iter().collect::<Vec<_>>().join(", "));
        let credentials = match self.credentials {
            true => {
                "                          allow_credentials: true       # client certificates; cookies come along, and are no session\n"
            }
            false => "",
        };
        format!(
            r#"                      typed_per_filter_config:
                        envoy.filters.http.cors:
                          "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy
                          # Compared as they are. A preflight of any other origin goes on to the filter, which denies it.
                          allow_origin_string_match:
{origins}{credentials}                          allow_methods: {methods}     # those of the policy's commands
                          allow_headers: {headers}     # add what your pages send besides
                          expose_headers: {exposed}     # what a page may read of an answer
                          max_age: "600"                    # seconds for which a browser asks no more; each request is judged all the same
"#,
            origins = origins.concat(),
            methods = list(methods(&rendered.policy)),
            headers = list(headers(&rendered.policy)),
            exposed = quoted(&exposed(&rendered.policy, &rendered.prefix)),
        )
    }
}

fn commands(policy: &Value) -> impl Iterator<Item = &Value> {
    let all = policy.get("commands").and_then(Value::as_object).into_iter().flat_map(|commands| commands.values());
    // A command is one matcher or a list of them.
    all.flat_map(|command| command.as_array().map_or_else(|| std::slice::from_ref(command), Vec::as_slice))
}

/// Does a command take calls in one of these forms?
fn has_form(command: &Value, words: &[&str]) -> bool {
    let forms = command.pointer("/grpc/forms").and_then(Value::as_array);
    forms.into_iter().flatten().any(|form| form.as_str().is_some_and(|form| words.contains(&form)))
}

const GRPC_WEB: &[&str] = &["grpc_web", "grpc_web_text"];
const CONNECT: &[&str] = &["connect", "connect_get"];

/// What a page may use: calls of methods of services are POST, but for one form of Connect.
fn methods(policy: &Value) -> BTreeSet<String> {
    let of_command = |command: &Value| -> Vec<String> {
        let methods = command.pointer("/http/methods").and_then(Value::as_array);
        match methods {
            Some(methods) => methods.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            None if has_form(command, &["connect_get"]) => vec!["GET".to_owned(), "POST".to_owned()],
            None => vec!["POST".to_owned()],
        }
    };
    commands(policy).flat_map(of_command).collect()
}

/// What a page may read of an answer: who asks, and the status of a call that has no body (connectrpc.com/docs/cors).
fn exposed(policy: &Value, prefix: &str) -> String {
    let own = format!("{prefix}audit-id, www-authenticate");
    let is_web = commands(policy).any(|command| has_form(command, GRPC_WEB));
    if is_web { format!("{own}, grpc-status, grpc-message, grpc-status-details-bin") } else { own }
}

/// What brings the session, and what is no plain form.
fn headers(policy: &Value) -> BTreeSet<String> {
    let from = policy.pointer("/tokens/from").and_then(Value::as_array);
    let named = from.into_iter().flatten().filter_map(|source| source.get("header")?.as_str());
    let mut headers: BTreeSet<String> = named.map(str::to_ascii_lowercase).collect();
    if from.is_none() {
        headers.insert("authorization".to_owned());
    }
    let bind = policy.pointer("/session/bind").and_then(Value::as_array);
    if bind.into_iter().flatten().any(|bound| bound == "dpop") {
        headers.insert("dpop".to_owned());
    }
    headers.insert("content-type".to_owned());
    // What clients of these forms send by themselves (connectrpc.com/docs/cors).
    for (words, sent) in [
        (GRPC_WEB, ["grpc-timeout", "x-grpc-web", "x-user-agent"]),
        (CONNECT, ["connect-protocol-version", "connect-timeout-ms", "x-user-agent"]),
    ] {
        if commands(policy).any(|command| has_form(command, words)) {
            headers.extend(sent.map(str::to_owned));
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_writes() {
        for good in ["https://app.example", "http://localhost:3000", "https://[::1]:8443", "https://xn--bcher-kva.example", "*"] {
            assert_eq!(good.parse(), Ok(Origin(good.to_owned())));
        }
        for (bad, said) in [
            ("app.example", "no scheme"),
            ("", "no scheme"),
            ("null", "sandboxed"),
            ("https://", "`` is no host"),
            ("https://app.example/", "write https://app.example"),
            ("https://app.example/page", "write https://app.example"),
            ("https://me@app.example", "write https://app.example"),
            ("https://App.example", "https://app.example"),
            ("HTTPS://app.example", "https://app.example"),
            ("https://*.app.example", "name each origin"),
            ("https://app.example:443", "write https://app.example"),
            ("http://app.example:80", "write http://app.example"),
            ("https://app.example:0443", "no port as"),
            ("https://app.example:0", "no port as"),
            ("https://app.example:x", "`x` is no port"),
            ("https://bücher.example", "xn--"),
            ("https://app.example, https://b.example", "repeat --cors"),
            ("https:///page", "`/page` is no host"),
            ("HTTPS://app.example/", "write https://app.example"),
            ("https://[0:0::1]", "no host"),
            ("https://app.example\n", "no host"),
        ] {
            let error = bad.parse::<Origin>().unwrap_err();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }

    #[test]
    fn a_page_gets_where_a_command_takes_it() {
        let methods = |forms| {
            let call = serde_json::json!({"grpc": {"service": "s.S", "methods": ["M"], "forms": forms}});
            let found = methods(&serde_json::json!({"commands": {"call": [call]}}));
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(methods(["grpc_web", "connect"]), "POST");
        assert_eq!(methods(["grpc_web", "connect_get"]), "GET POST");
    }

    #[test]
    fn anybodys_page_gets_no_credentials() {
        let origins = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<Origin>>();
        assert!(Cors::new(origins(&["*"]), true).unwrap_err().contains("name each origin"));
        assert!(Cors::new(origins(&["https://app.example", "*"]), true).is_err());
        assert!(Cors::new(origins(&["https://app.example", "*"]), false).is_err());
        assert!(Cors::new(origins(&["*"]), false).is_ok());
        assert!(Cors::new(origins(&["https://app.example"]), true).is_ok());
    }
}
