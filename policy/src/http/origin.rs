//! Where a proof is for (RFC 9449 §4.2, `htu`): an origin of the policy's list and a path. What the request's own `Host` says
//! is the client's word, and takes no part.

use crate::http::host::host_of;
use crate::http::path::CanonicalPath;

/// Scheme, host and port in their one spelling (RFC 3986 §6.2.2.1 and §6.2.3): `https://orders.example`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl Origin {
    /// Reads an origin and nothing else.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::of(scheme, authority)
    }

    fn of(scheme: &str, authority: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        // Neither user information nor an escape gets past this.
        let host = host_of(authority.as_bytes()).filter(|host| !host.is_empty())?;
        let after = authority.rsplit_once(']').map_or(authority, |(_, after)| after);
        let port = match after.split_once(':') {
            None | Some((_, "")) => default,
            Some((_, port)) => port.parse::<u16>().ok()?,
        };
        let port = if port == default { String::new() } else { format!(":{port}") };
        Some(Self(format!("{scheme}://{host}{port}")))
    }
}

/// Is `htu` this path at one of these origins? Query and fragment do not count (RFC 9449 §4.3).
pub(crate) fn names(htu: &str, origins: &[Origin], path: &CanonicalPath<'_>) -> bool {
    let bare = htu.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = bare.split_once("://") else { return false };
    let (authority, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let rest = if rest.is_empty() { "/" } else { rest };
    let (Some(origin), Ok(theirs)) = (Origin::of(scheme, authority), CanonicalPath::parse(rest.as_bytes())) else { return false };
    let canonical = |path: &CanonicalPath<'_>| path.segments.iter().map(|segment| segment.canonical.to_vec()).collect::<Vec<_>>();
    origins.contains(&origin) && canonical(&theirs) == canonical(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        let read = |text: &str| Origin::read(text).map(|origin| origin.0);
        for (text, origin) in [
            ("https://orders.example", "https://orders.example"),
            ("HTTPS://Orders.Example", "https://orders.example"),
            ("https://orders.example:443", "https://orders.example"),
            ("https://orders.example:", "https://orders.example"),
            ("https://orders.example:8443", "https://orders.example:8443"),
            ("https://orders.example:0443", "https://orders.example"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            assert_eq!(read(text).as_deref(), Some(origin), "{text}");
        }
        for text in [
            "",
            "orders.example",
            "https://",
            "https://:443",
            "ftp://orders.example",
            "https://orders.example/",
            "https://orders.example/v1",
            "https://orders.example?x",
            "https://a@orders.example",
            "https://orders.example:x",
            "https://orders.example:99999",
            "https://orders.example:443:443",
            "https://*.example",
            "https://orders%2eexample",
            "//orders.example",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn htu_is_compared_in_canonical_form_without_its_query() {
        let origins = [Origin::read("https://orders.example").unwrap()];
        let names = |htu: &str, path: &str| names(htu, &origins, &CanonicalPath::parse(path.as_bytes()).unwrap());
        for (htu, path) in [
            ("https://orders.example/v1/orders", "/v1/orders"),
            ("https://orders.example/v1/orders", "/v1/orders?limit=1"),
            ("https://orders.example/v1/orders?x=/y#z", "/v1/orders"),
            ("HTTPS://ORDERS.example:443/v1/%6frders", "/v1/orders"),
            ("https://orders.example/v1/%c3%a9", "/v1/%C3%A9"),
            ("https://orders.example", "/"),
            ("https://orders.example?x", "/"),
        ] {
            assert!(names(htu, path), "{htu} {path}");
        }
        for (htu, path) in [
            ("https://orders.example/v1/orders/", "/v1/orders"),
            ("https://orders.example/V1/orders", "/v1/orders"),
            ("https://orders.example/v1/orders/7", "/v1/orders"),
            ("https://orders.example/v1/x/../orders", "/v1/orders"),
            ("https://orders.example//v1/orders", "/v1/orders"),
            ("https://orders.example/v1%2Forders", "/v1/orders"),
            ("http://orders.example/v1/orders", "/v1/orders"),
            ("https://orders.example:8443/v1/orders", "/v1/orders"),
            ("https://evil.example/v1/orders", "/v1/orders"),
            ("https://orders.example@evil.example/v1/orders", "/v1/orders"),
            ("https://orders.example\\@evil.example/v1/orders", "/v1/orders"),
            ("https://evil.example#@orders.example/v1/orders", "/v1/orders"),
            ("/v1/orders", "/v1/orders"),
            ("", "/"),
        ] {
            assert!(!names(htu, path), "{htu} {path}");
        }
    }
}
