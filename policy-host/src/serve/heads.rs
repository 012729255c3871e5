//! Header blocks between the HTTP library and the filter, with what Envoy's connection manager does to them in between.

use super::{REQUEST_HEADERS_MAX_BYTES, REQUEST_HEADERS_MAX_COUNT};
use crate::host::Headers;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::{request, response, uri};
use hyper::{Method, StatusCode, Uri, Version};
use std::net::IpAddr;

/// Headers of a connection, not of a request (RFC 9110 §7.6.1), which end at each hop.
const HOP_BY_HOP: &[&[u8]] = &[b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"];
/// Envoy answers 400 when a client tries to have these removed through `connection`.
const NEVER_NOMINATED: &[&[u8]] = &[b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"];

/// Why a request does not even reach the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) status: u16,
    pub(super) details: &'static str,
}

/// A request's headers as the filter sees them, and whether the client asks for another protocol.
pub(super) struct FilterHead {
    pub(super) headers: Headers,
    pub(super) upgrade: bool,
}

pub(super) fn from_request(parts: &request::Parts, peer: IpAddr) -> Result<FilterHead, Rejected> {
    let h2 = parts.version == Version::HTTP_2;
    let bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if parts.headers.len() > REQUEST_HEADERS_MAX_COUNT || bytes > REQUEST_HEADERS_MAX_BYTES {
        return Err(Rejected { status: 431, details: "request_headers_too_large" });
    }
    match parts.version {
        Version::HTTP_2 => {}
        Version::HTTP_11 if known_to_http1(parts.method.as_str()) => {}
        Version::HTTP_11 => return Err(Rejected { status: 400, details: "http1.codec_error" }),
        _ => return Err(Rejected { status: 426, details: "low_version" }),
    }
    let nominated = nominated(&parts.headers)?;
    let upgrade = nominated.iter().any(|name| name == "upgrade") && parts.headers.contains_key("upgrade");
    let mut headers = pseudo_headers(parts)?;
    let mut cookies: Vec<u8> = Vec::new();
    for (name, value) in &parts.headers {
        let (name, value) = (name.as_str(), value.as_bytes());
        match name {
            // It is `:authority` by now.
            "host" => {}
            // This proxy says 100 itself.
            "expect" if value.eq_ignore_ascii_case(b"100-continue") => {}
            // Nobody vouches for it: Envoy's default `forward_client_cert_details: SANITIZE`.
            "x-forwarded-client-cert" => {}
            // This proxy's own to say, as its `use_remote_address` has it.
            "x-forwarded-for" | "x-forwarded-proto" | "x-envoy-external-address" => {}
            "connection" if upgrade => headers.push((name.into(), b"upgrade".to_vec())),
            "upgrade" if upgrade => headers.push((name.into(), value.to_vec())),
            "te" if value.split(|&b| b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(b"trailers")) => {
                headers.push((name.into(), b"trailers".to_vec()));
            }
            "te" | "upgrade" => {}
            // HTTP/2 may split one cookie header into many fields (RFC 9113 §8.2.3).
            "cookie" if h2 => {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
            }
            name if HOP_BY_HOP.contains(&name.as_bytes()) || nominated.iter().any(|n| n == name) => {}
            name => headers.push((name.into(), value.to_vec())),
        }
    }
    if !cookies.is_empty() {
        headers.push((b"cookie".to_vec(), cookies));
    }
    let mut hops: Vec<&[u8]> = parts.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect();
    let peer = peer.to_string();
    hops.push(peer.as_bytes());
    headers.push((b"x-forwarded-for".to_vec(), hops.join(&b',')));
    headers.push((b"x-forwarded-proto".to_vec(), b"http".to_vec()));
    headers.push((b"x-envoy-external-address".to_vec(), peer.into_bytes()));
    Ok(FilterHead { headers, upgrade })
}

/// Over HTTP/1.1 Envoy knows these methods and refuses all others (`allow_custom_methods` is off).
fn known_to_http1(method: &str) -> bool {
    const KNOWN: &str = " ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE \
        NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK \
        UNSUBSCRIBE ";
    KNOWN.split_ascii_whitespace().any(|known| known == method)
}

/// The fields that `connection` names: they end here too.
fn nominated(headers: &HeaderMap) -> Result<Vec<String>, Rejected> {
    let mut names = Vec::new();
    for value in headers.get_all("connection") {
        for name in value.as_bytes().split(|&byte| byte == b',') {
            let name = name.trim_ascii().to_ascii_lowercase();
            if name.first() == Some(&b':') || NEVER_NOMINATED.contains(&name.as_slice()) {
                return Err(Rejected { status: 400, details: "http1.connection_header_rejected" });
            }
            names.push(String::from_utf8_lossy(&name).into_owned());
        }
    }
    Ok(names)
}

fn pseudo_headers(parts: &request::Parts) -> Result<Headers, Rejected> {
    let mut headers: Headers = Vec::with_capacity(parts.headers.len() + 4);
    // Neither `GET http://other/x`, which may name another host than the Host header does, nor `OPTIONS *` is a path: refused as
    // envoy/bootstrap.yaml has it (`allow_absolute_url: false`).
    let starred = parts.uri.path() == "*";
    if starred || parts.version == Version::HTTP_11 && parts.uri.scheme().is_some() {
        return Err(Rejected { status: 404, details: "absolute_path_rejected" });
    }
    // Several Host headers Envoy joins like any other header that it keeps once, and leaves it to filters and routes not to
    // know such a host.
    let hosts: Vec<&[u8]> = parts.headers.get_all("host").iter().map(HeaderValue::as_bytes).collect();
    let authority = match parts.uri.authority() {
        Some(authority) => authority.as_str().as_bytes().to_vec(),
        None if hosts.is_empty() => return Err(Rejected { status: 400, details: "missing_host_header" }),
        None => hosts.join(&b','),
    };
    headers.push((b":authority".to_vec(), authority));
    if parts.method != Method::CONNECT {
        let path = parts.uri.path_and_query().map_or("/", uri::PathAndQuery::as_str);
        // The library reads `GET x` as naming an authority.
        let no_path = parts.uri.scheme().is_none() && parts.uri.authority().is_some();
        if no_path || !path.is_ascii() {
            return Err(Rejected { status: 400, details: "http1.codec_error" });
        }
        // As the client wrote it, like envoy/bootstrap.yaml has it: what is ambiguous is for the filter to refuse.
        headers.push((b":path".to_vec(), path.as_bytes().to_vec()));
    }
    headers.push((b":method".to_vec(), parts.method.as_str().as_bytes().to_vec()));
    headers.push((b":scheme".to_vec(), b"http".to_vec()));
    Ok(headers)
}

/// What the filter let through, as a request for upstream: method, target with the request's own authority, fields.
/// `None`: the filter left something that is no HTTP.
pub(super) fn to_request(headers: &Headers) -> Option<request::Parts> {
    let pseudo = |wanted: &[u8]| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice());
    let uri = Uri::builder().scheme("http").authority(pseudo(b":authority")?).path_and_query(pseudo(b":path")?).build().ok()?;
    let method = Method::from_bytes(pseudo(b":method")?).ok()?;
    let mut request = hyper::Request::builder().method(method).uri(uri).body(()).ok()?;
    *request.headers_mut() = fields(headers)?;
    Some(request.into_parts().0)
}

pub(super) fn from_response(parts: &response::Parts) -> Headers {
    let mut headers: Headers = Vec::with_capacity(parts.headers.len() + 1);
    headers.push((b":status".to_vec(), parts.status.as_str().as_bytes().to_vec()));
    headers.extend(from_fields(&parts.headers).into_iter().filter(|(name, _)| {
        let ends_here = HOP_BY_HOP.contains(&name.as_slice()) || name == b"upgrade";
        !ends_here
    }));
    headers
}

/// `None`: the filter left something that is no HTTP.
pub(super) fn to_response(headers: &Headers) -> Option<response::Parts> {
    let (_, status) = headers.iter().find(|(name, _)| name == b":status")?;
    let mut response = hyper::Response::builder().status(StatusCode::from_bytes(status).ok()?).body(()).ok()?;
    *response.headers_mut() = fields(headers)?;
    Some(response.into_parts().0)
}

pub(super) fn from_fields(fields: &HeaderMap) -> Headers {
    fields.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec())).collect()
}

/// All but pseudo headers.
pub(super) fn fields(headers: &Headers) -> Option<HeaderMap> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter().filter(|(name, _)| name.first() != Some(&b':')) {
        map.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
    }
    Some(map)
}
