//! A request as the host takes it.

use crate::host::{self, PeerCertificate, Properties, Tls};
use chaperone_authoring::request::{Headers, Request};
use std::sync::Arc;

/// What the proxy knows besides the request's fields.
impl From<&Request> for Properties {
    fn from(request: &Request) -> Self {
        let Request { client_certificate_sha256: sha256, peer_uri_san: uri, .. } = request;
        let peer = (sha256.is_some() || uri.is_some()).then(|| PeerCertificate {
            sha256_digest: sha256.clone().unwrap_or_default(),
            uri_san: uri.clone(),
            valid: true,
            ..PeerCertificate::default()
        });
        Self {
            source: request.source_address,
            tls: peer.map(|peer| Tls { peer: Some(peer), ..Tls::default() }),
            ..Self::default()
        }
    }
}

impl From<Request> for host::Request {
    fn from(request: Request) -> Self {
        let properties = Arc::new(Properties::from(&request));
        let Request { method, path, authority, scheme, mut headers, body, mut trailers, .. } = request;
        let pseudo = [(":authority", authority), (":path", path), (":method", method), (":scheme", scheme)];
        let mut all: Headers = Vec::with_capacity(pseudo.len() + headers.len());
        all.extend(pseudo.map(|(name, value)| (name.as_bytes().to_vec(), value)));
        lower_in_place(&mut headers);
        lower_in_place(&mut trailers);
        all.append(&mut headers);
        Self { headers: all, body, trailers: (!trailers.is_empty()).then_some(trailers), properties }
    }
}

fn lower_in_place(headers: &mut Headers) {
    headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
}
