//! A request as the filter will see it, whatever file it was read from.

use chaperone_policy::Peer;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Header fields in their order; bytes, as a client may send anything.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// A request head, its body, and what the proxy knows about its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:path`, with the query.
    pub path: Vec<u8>,
    /// `:authority`.
    pub authority: Vec<u8>,
    /// `:scheme`.
    pub scheme: Vec<u8>,
    /// The other fields.
    pub headers: Headers,
    /// The whole body, empty when there is none.
    pub body: Vec<u8>,
    /// Trailer fields, empty when there are none.
    pub trailers: Headers,
    /// The client's address; port 0 when it is not known. A proxy has always some: without another one it is 127.0.0.1.
    pub source_address: Option<SocketAddr>,
    /// SHA-256 of the client's certificate in hex.
    pub client_certificate_sha256: Option<String>,
    /// The first URI in the client certificate's subject alternative names.
    pub peer_uri_san: Option<String>,
}

/// Whoever does not say comes from here.
pub(crate) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Request {
    /// A request without fields, body or trailers.
    #[must_use]
    pub fn new(method: &str, authority: &str, path: &str) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            authority: authority.into(),
            scheme: b"https".to_vec(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            source_address: Some(LOCAL),
            client_certificate_sha256: None,
            peer_uri_san: None,
        }
    }

    /// The head as Envoy hands it to a filter: pseudo-headers first (RFC 9113 §8.3), names in lower case.
    #[must_use]
    pub fn head(&self) -> Headers {
        let pseudo =
            [(":authority", &self.authority), (":path", &self.path), (":method", &self.method), (":scheme", &self.scheme)];
        let pseudo = pseudo.into_iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone()));
        pseudo.chain(lower(&self.headers)).collect()
    }

    /// The trailers with their names in lower case.
    #[must_use]
    pub fn lower_trailers(&self) -> Headers {
        lower(&self.trailers).collect()
    }

    /// Does something follow the head, trailers included?
    #[must_use]
    pub fn has_body(&self) -> bool {
        !self.body.is_empty() || !self.trailers.is_empty()
    }

    /// The client's certificate as the filter reads it of the connection, which the proxy has validated; `None` when there is none.
    #[must_use]
    pub fn peer(&self) -> Option<Peer<'_>> {
        let Self { client_certificate_sha256: sha256, peer_uri_san: uri, .. } = self;
        (sha256.is_some() || uri.is_some()).then(|| Peer {
            certificate_sha256: Some(sha256.as_deref().unwrap_or_default().as_bytes()),
            uri_san: uri.as_deref().map(str::as_bytes),
            validated: Some(true),
        })
    }
}

/// An address with or without a port.
pub(crate) fn parse_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0)))
}

fn lower(headers: &Headers) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
}
