//! Header maps as Envoy keeps them, and the form in which they cross the guest's boundary.

use super::MapType;

/// Header fields in order: name and value, as bytes. Names are lower case; pseudo headers come first.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// Most bytes of a serialized map that the host accepts from a guest (`PROXY_WASM_HOST_PAIRS_MAX_BYTES`).
const PAIRS_MAX_BYTES: usize = 1024 * 1024;
/// Most pairs of a serialized map that the host accepts from a guest (`PROXY_WASM_HOST_PAIRS_MAX_COUNT`).
const PAIRS_MAX_COUNT: usize = 1024;

/// Whose map it is: Envoy keeps other headers as single values on requests than on responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
    /// Trailers: nothing is kept as a single value but gRPC's own.
    Trailers,
}

#[derive(Clone, Debug)]
pub(super) struct HeaderMap {
    entries: Headers,
    direction: Direction,
}

impl HeaderMap {
    /// A map as it arrives from the wire: lower-cased, repeated single-valued headers joined.
    pub(super) fn incoming(direction: Direction, headers: Headers) -> Self {
        let mut map = Self { entries: Vec::with_capacity(headers.len() + 8), direction };
        for (name, value) in headers {
            map.insert(name, value);
        }
        map
    }

    pub(super) fn into_entries(self) -> Headers {
        self.entries
    }

    pub(super) fn entries(&self) -> &Headers {
        &self.entries
    }

    /// The first value only: that is all the ABI can say.
    pub(super) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let name = self.canonical(name);
        self.entries.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice())
    }

    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        self.insert(name.to_vec(), value.to_vec());
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        let name = self.canonical(name);
        self.entries.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Envoy removes every value and adds the new one at the end.
    pub(super) fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    pub(super) fn replace_all(&mut self, pairs: Vec<(&[u8], &[u8])>) {
        self.entries.clear();
        for (name, value) in pairs {
            self.add(name, value);
        }
    }

    /// Bytes of names and values, which is what `proxy_get_header_map_size` answers.
    pub(super) fn byte_size(&self) -> u32 {
        let bytes: usize = self.entries.iter().map(|(n, v)| n.len() + v.len()).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn insert(&mut self, mut name: Vec<u8>, value: Vec<u8>) {
        name.make_ascii_lowercase();
        if self.direction == Direction::Request && name == b"host" {
            name = b":authority".to_vec();
        }
        if single_valued(self.direction, &name)
            && let Some((_, present)) = self.entries.iter_mut().find(|(n, _)| *n == name)
        {
            present.push(b',');
            present.extend_from_slice(&value);
            return;
        }
        if name.first() == Some(&b':') {
            let at = self.entries.iter().take_while(|(n, _)| n.first() == Some(&b':')).count();
            self.entries.insert(at, (name, value));
        } else {
            self.entries.push((name, value));
        }
    }

    /// On requests Envoy knows `host` as another name of `:authority`.
    fn canonical<'a>(&self, name: &'a [u8]) -> &'a [u8] {
        if self.direction == Direction::Request && name.eq_ignore_ascii_case(b"host") { b":authority" } else { name }
    }
}

/// Header fields as a filter sees them when these have come over the wire: names in lower case, `host` as `:authority`, what
/// Envoy keeps as a single value joined.
#[must_use]
pub fn as_received(map: MapType, headers: Headers) -> Headers {
    let direction = match map {
        MapType::RequestHeaders => Direction::Request,
        MapType::ResponseHeaders => Direction::Response,
        MapType::RequestTrailers
        | MapType::ResponseTrailers
        | MapType::GrpcInitialMetadata
        | MapType::GrpcTrailingMetadata
        | MapType::HttpCallHeaders
        | MapType::HttpCallTrailers => Direction::Trailers,
    };
    HeaderMap::incoming(direction, headers).into_entries()
}

/// Envoy's "inline" headers: it keeps one value, and a further one is appended after a comma.
/// From `envoy/http/header_map.h`, and the ones that the full Envoy binary's extensions register (seen on 1.40.0).
fn single_valued(direction: Direction, name: &[u8]) -> bool {
    let both = matches!(
        name,
        b"connection"
            | b"content-type"
            | b"content-length"
            | b"keep-alive"
            | b"proxy-connection"
            | b"x-request-id"
            | b"transfer-encoding"
            | b"upgrade"
            | b"via"
            | b"x-envoy-attempt-count"
            | b"x-envoy-decorator-operation"
    );
    match direction {
        Direction::Request => {
            both || matches!(
                name,
                b":authority"
                    | b":method"
                    | b":path"
                    | b":scheme"
                    | b":protocol"
                    | b"authorization"
                    | b"expect"
                    | b"grpc-timeout"
                    | b"te"
                    | b"user-agent"
                    | b"x-client-trace-id"
                    | b"x-envoy-external-address"
                    | b"x-envoy-original-path"
                    | b"x-envoy-original-host"
                    | b"x-envoy-internal"
                    | b"x-forwarded-client-cert"
                    | b"x-forwarded-for"
                    | b"x-forwarded-host"
                    | b"x-forwarded-port"
                    | b"x-forwarded-proto"
                    | b"accept"
                    | b"if-match"
                    | b"pragma"
                    | b"referer"
                    | b"accept-encoding"
                    | b"cache-control"
                    | b"origin"
                    | b"access-control-request-method"
                    | b"access-control-request-headers"
            )
        }
        Direction::Response => {
            both || matches!(
                name,
                b":status"
                    | b"date"
                    | b"grpc-message"
                    | b"grpc-status"
                    | b"location"
                    | b"server"
                    | b"cache-control"
                    | b"etag"
                    | b"content-encoding"
                    | b"vary"
            )
        }
        Direction::Trailers => matches!(name, b"grpc-message" | b"grpc-status"),
    }
}

/// Bytes of the serialized form.
pub(super) fn pairs_size(entries: &[(Vec<u8>, Vec<u8>)]) -> usize {
    4 + entries.iter().map(|(n, v)| 8 + n.len() + 1 + v.len() + 1).sum::<usize>()
}

/// Appends the serialized form: the count, then all lengths, then names and values with a NUL after each.
pub(super) fn write_pairs(entries: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<u8>) {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    out.reserve(pairs_size(entries));
    out.extend_from_slice(&length(entries.len()));
    for (name, value) in entries {
        out.extend_from_slice(&length(name.len()));
        out.extend_from_slice(&length(value.len()));
    }
    for (name, value) in entries {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
}

/// Reads the serialized form. What is malformed or too large reads as no pairs at all, as in Envoy.
pub(super) fn read_pairs(bytes: &[u8]) -> Vec<(&[u8], &[u8])> {
    try_read_pairs(bytes).unwrap_or_default()
}

fn try_read_pairs(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    if bytes.len() > PAIRS_MAX_BYTES {
        return None;
    }
    let (count, rest) = split_u32(bytes)?;
    if count > PAIRS_MAX_COUNT {
        return None;
    }
    let (mut lengths, mut text) = rest.split_at_checked(count * 8)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_length, rest) = split_u32(lengths)?;
        let (value_length, rest) = split_u32(rest)?;
        lengths = rest;
        let (name, rest) = split_text(text, name_length)?;
        let (value, rest) = split_text(rest, value_length)?;
        text = rest;
        pairs.push((name, value));
    }
    text.is_empty().then_some(pairs)
}

fn split_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*number)).ok()?, rest))
}

fn split_text(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(length)?;
    Some((text, rest.strip_prefix(&[0])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(pairs: &[(&str, &str)]) -> Headers {
        pairs.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect()
    }

    #[test]
    fn pairs_survive_the_boundary() {
        let headers = owned(&[(":path", "/"), ("x-a", ""), ("x-a", "2")]);
        let mut bytes = Vec::new();
        write_pairs(&headers, &mut bytes);
        assert_eq!(bytes.len(), pairs_size(&headers));
        let read: Headers = read_pairs(&bytes).into_iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        assert_eq!(read, headers);
    }

    #[test]
    fn malformed_pairs_read_as_none() {
        let mut bytes = Vec::new();
        write_pairs(&owned(&[("a", "b")]), &mut bytes);
        for end in 0..bytes.len() {
            assert!(read_pairs(&bytes[..end]).is_empty(), "cut at {end}");
        }
        bytes.push(0);
        assert!(read_pairs(&bytes).is_empty(), "bytes left over");
        assert!(read_pairs(&1025_u32.to_le_bytes()).is_empty());
        assert!(read_pairs(&u32::MAX.to_le_bytes()).is_empty());
    }

    #[test]
    fn envoy_joins_what_it_keeps_once_and_keeps_the_rest_apart() {
        let map = HeaderMap::incoming(
            Direction::Request,
            owned(&[
                ("X-A", "1"),
                ("Authorization", "Bearer a"),
                ("x-a", "2"),
                ("authorization", "Bearer b"),
                ("Host", "h"),
                (":path", "/"),
            ]),
        );
        assert_eq!(
            *map.entries(),
            owned(&[(":authority", "h"), (":path", "/"), ("x-a", "1"), ("authorization", "Bearer a,Bearer b"), ("x-a", "2")])
        );
        assert_eq!(map.get(b"X-A"), Some(&b"1"[..]));
        assert_eq!(map.get(b"host"), Some(&b"h"[..]));
    }

    #[test]
    fn replace_leaves_one_value() {
        let mut map = HeaderMap::incoming(Direction::Response, owned(&[("x-a", "1"), ("x-b", "1"), ("x-a", "2")]));
        map.replace(b"X-a", b"3");
        assert_eq!(*map.entries(), owned(&[("x-b", "1"), ("x-a", "3")]));
        map.remove(b"X-B");
        assert_eq!(*map.entries(), owned(&[("x-a", "3")]));
    }
}
