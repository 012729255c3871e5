//! What a guest can read about a request besides its headers, in Envoy's attribute names and encodings.

use super::headers::HeaderMap;
use super::reply::grpc_status_of;
use super::state::{HostState, Stream};
use super::{Headers, MapType, Status};
use std::net::SocketAddr;

/// What the embedder knows about a request and its connection.
#[derive(Clone, Debug, Default)]
pub struct Properties {
    /// `source.address` (with the port) and `source.port`.
    pub source: Option<SocketAddr>,
    /// `destination.address` and `destination.port`.
    pub destination: Option<SocketAddr>,
    /// `connection.id`.
    pub connection_id: u64,
    /// The downstream TLS connection, if there is one.
    pub tls: Option<Tls>,
    /// `request.protocol`: `HTTP/1.1` or `HTTP/2`.
    pub protocol: Option<&'static str>,
    /// `xds.route_name`.
    pub route_name: Option<String>,
    /// `xds.cluster_name`.
    pub cluster_name: Option<String>,
    /// Anything else by its dotted path (`metadata.x`), read before all others.
    pub extra: Vec<(String, Vec<u8>)>,
}

/// A downstream TLS connection. `connection.mtls` holds when the peer showed a certificate.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// `connection.tls_version`.
    pub version: Option<String>,
    /// `connection.requested_server_name`.
    pub server_name: Option<String>,
    /// The peer's certificate.
    pub peer: Option<PeerCertificate>,
}

/// The peer's certificate.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificate {
    /// `connection.sha256_peer_certificate_digest`: hex.
    pub sha256_digest: String,
    /// `connection.uri_san_peer_certificate`: the first one.
    pub uri_san: Option<String>,
    /// `connection.dns_san_peer_certificate`: the first one.
    pub dns_san: Option<String>,
    /// `connection.subject_peer_certificate`.
    pub subject: Option<String>,
    /// `connection.peer_certificate_valid`.
    pub valid: bool,
}

type Found = Option<Vec<u8>>;

/// Writes the property's bytes into `out`.
pub(super) fn read(state: &HostState, path: &[u8], out: &mut Vec<u8>) -> Result<(), Status> {
    let mut parts = path.split(|&byte| byte == 0).filter(|part| !part.is_empty());
    let Some(first) = parts.next() else { return Err(Status::SerializationFailure) };
    let second = parts.next();
    let third = parts.next();
    let found = match first {
        b"plugin_name" => state.plugin().map(|plugin| plugin.name.clone().into_bytes()),
        b"plugin_root_id" => state.plugin().map(|plugin| plugin.root_id.clone().into_bytes()),
        b"plugin_vm_id" => Some(state.settings.vm_id.clone().into_bytes()),
        _ => state.stream().and_then(|stream| of_stream(stream, path, first, second, third)),
    };
    // All of a group at once: Envoy has it, and cannot write it down.
    if second.is_none() && matches!(first, b"request" | b"response" | b"connection" | b"source" | b"destination" | b"upstream") {
        return Err(if state.stream().is_some() { Status::SerializationFailure } else { Status::NotFound });
    }
    out.extend_from_slice(&found.ok_or(Status::NotFound)?);
    Ok(())
}

fn of_stream(stream: &Stream, path: &[u8], first: &[u8], second: Option<&[u8]>, third: Option<&[u8]>) -> Found {
    if let Some((_, value)) = stream.properties.extra.iter().find(|(dotted, _)| same_path(dotted, path)) {
        return Some(value.clone());
    }
    match (first, second) {
        (b"request", Some(field)) => request(stream, field, third),
        (b"response", Some(field)) => response(stream, field, third),
        (b"source", Some(field)) => address(stream.properties.source, field),
        (b"destination", Some(field)) => address(stream.properties.destination, field),
        (b"connection", Some(field)) => connection(&stream.properties, field),
        (b"connection_id", None) => Some(integer(stream.properties.connection_id)),
        (b"xds", Some(b"route_name")) => text(stream.properties.route_name.as_deref()),
        (b"xds", Some(b"cluster_name")) => text(stream.properties.cluster_name.as_deref()),
        (b"filter_state", Some(key)) => filter_state(stream, key.strip_prefix(b"wasm.")?),
        (name, None) => filter_state(stream, name),
        _ => None,
    }
}

fn same_path(dotted: &str, path: &[u8]) -> bool {
    dotted.len() == path.len() && dotted.bytes().zip(path).all(|(a, &b)| a == b || (a == b'.' && b == 0))
}

fn filter_state(stream: &Stream, key: &[u8]) -> Found {
    stream.filter_state.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone())
}

/// Headers are there only while Envoy holds them for this filter: in their own callback, and in the log.
fn request(stream: &Stream, field: &[u8], third: Option<&[u8]>) -> Found {
    let headers = if stream.logging { stream.log_of_request() } else { stream.request_headers.as_ref() };
    let headers = headers.filter(|_| stream.logging || stream.map(MapType::RequestHeaders).is_some());
    let header = |name: &[u8]| headers.and_then(|map| map.get(name)).map(<[u8]>::to_vec);
    match field {
        b"path" => header(b":path"),
        b"url_path" => header(b":path").map(|path| path.split(|&b| b == b'?').next().unwrap_or_default().to_vec()),
        b"query" => header(b":path").map(|path| path.splitn(2, |&b| b == b'?').nth(1).unwrap_or_default().to_vec()),
        b"host" => header(b":authority"),
        b"scheme" => header(b":scheme"),
        b"method" => header(b":method"),
        b"referer" => header(b"referer"),
        b"useragent" => header(b"user-agent"),
        b"id" => header(b"x-request-id"),
        b"headers" => joined(headers?.entries(), third?),
        b"protocol" => text(stream.properties.protocol),
        b"time" => Some(integer(stream.started)),
        b"size" => Some(integer(stream.info.request_bytes)),
        b"total_size" => Some(integer(stream.info.request_bytes + headers.map_or(0, |headers| u64::from(headers.byte_size())))),
        b"duration" if stream.logging => Some(integer(stream.info.duration_nanoseconds)),
        _ => None,
    }
}

fn response(stream: &Stream, field: &[u8], third: Option<&[u8]>) -> Found {
    let headers = |live: &Option<HeaderMap>, logged: &Option<HeaderMap>| -> Option<Headers> {
        Some(if stream.logging { logged.as_ref()? } else { live.as_ref()? }.entries().clone())
    };
    let one = |map: Option<Headers>, name: &[u8]| map?.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
    match field {
        b"code" => stream.info.response_code.map(|code| integer(u64::from(code))),
        b"code_details" => text(stream.info.response_code_details.as_deref()),
        b"flags" => Some(integer(stream.info.response_flags)),
        b"size" | b"total_size" => Some(integer(stream.info.response_bytes)),
        b"grpc_status" => {
            let trailer = one(headers(&stream.response_trailers, &stream.logged_trailers), b"grpc-status");
            let value = trailer.or_else(|| one(headers(&stream.response_headers, &stream.logged_response), b"grpc-status"));
            match value {
                Some(value) => Some(integer(std::str::from_utf8(&value).ok()?.parse().ok()?)),
                // Without one, Envoy derives it from the HTTP status, whatever the request was.
                None => Some(integer(u64::from(grpc_status_of(u32::from(stream.info.response_code?))))),
            }
        }
        b"headers" => joined(&headers(&stream.response_headers, &stream.logged_response)?, third?),
        b"trailers" => joined(&headers(&stream.response_trailers, &stream.logged_trailers)?, third?),
        _ => None,
    }
}

fn connection(properties: &Properties, field: &[u8]) -> Found {
    let tls = properties.tls.as_ref();
    let peer = tls.and_then(|tls| tls.peer.as_ref());
    match field {
        b"id" => Some(integer(properties.connection_id)),
        b"mtls" => Some(vec![u8::from(peer.is_some())]),
        b"tls_version" => text(tls?.version.as_deref()),
        b"requested_server_name" => text(Some(tls.and_then(|tls| tls.server_name.as_deref()).unwrap_or_default())),
        b"sha256_peer_certificate_digest" => text(Some(peer?.sha256_digest.as_str())),
        b"uri_san_peer_certificate" => text(peer?.uri_san.as_deref()),
        b"dns_san_peer_certificate" => text(peer?.dns_san.as_deref()),
        b"subject_peer_certificate" => text(peer?.subject.as_deref()),
        b"peer_certificate_valid" => Some(vec![u8::from(peer.is_some_and(|peer| peer.valid))]),
        _ => None,
    }
}

fn address(address: Option<SocketAddr>, field: &[u8]) -> Found {
    match field {
        b"address" => Some(address?.to_string().into_bytes()),
        b"port" => Some(integer(u64::from(address?.port()))),
        _ => None,
    }
}

/// All values of a header, as Envoy's expressions see it: joined with commas.
fn joined(headers: &Headers, name: &[u8]) -> Found {
    let values: Vec<&[u8]> =
        headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice()).collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

fn text(value: Option<&str>) -> Found {
    value.map(|text| text.as_bytes().to_vec())
}

/// Integers, times and durations (nanoseconds) are 8 bytes, little-endian.
fn integer(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}
