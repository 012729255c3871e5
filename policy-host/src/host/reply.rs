//! A response that the filter, or the host in its place, gives itself: how Envoy writes it.

use super::Headers;

/// A local reply as the filter asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status, as the filter gave it.
    pub status: u32,
    /// Response code details, for the access log. Never sent.
    pub details: String,
    /// Extra headers, lower-cased.
    pub headers: Headers,
    /// Body; for a gRPC request it becomes `grpc-message`.
    pub body: Vec<u8>,
    /// gRPC status, when the filter named a known one. Otherwise Envoy derives it from the HTTP status.
    pub grpc_status: Option<u32>,
}

/// A response: headers from `:status` on, and the whole body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// Headers, `:status` first.
    pub headers: Headers,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// The number in `:status`, 0 when there is none.
    #[must_use]
    pub fn status(&self) -> u16 {
        status_of(&self.headers)
    }
}

pub(super) fn status_of(headers: &[(Vec<u8>, Vec<u8>)]) -> u16 {
    headers
        .iter()
        .find(|(name, _)| name == b":status")
        .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok())
        .unwrap_or(0)
}

impl LocalReply {
    /// What FAIL_CLOSED answers in place of a dead VM.
    #[must_use]
    pub fn failed_vm() -> Self {
        Self { status: 503, details: "wasm_fail_stream".into(), headers: Vec::new(), body: Vec::new(), grpc_status: Some(14) }
    }

    /// What Envoy answers while a filter has no configuration yet.
    #[must_use]
    pub fn no_configuration() -> Self {
        Self { status: 500, details: "filter_config_not_found".into(), headers: Vec::new(), body: Vec::new(), grpc_status: None }
    }

    /// The response as Envoy sends it, before the filter's own response callbacks see it.
    /// `grpc`: the request's content type was gRPC; `head`: its method was HEAD.
    #[must_use]
    pub fn response(&self, grpc: bool, head: bool) -> Response {
        let mut headers: Headers = vec![(b":status".to_vec(), self.status.to_string().into_bytes())];
        headers.extend(self.headers.iter().cloned());
        if grpc {
            return self.grpc_response(headers, head);
        }
        headers.retain(|(name, _)| name != b"content-length");
        if self.body.is_empty() {
            headers.retain(|(name, _)| name != b"content-type");
            return Response { headers, body: Vec::new() };
        }
        headers.push((b"content-length".to_vec(), self.body.len().to_string().into_bytes()));
        if !headers.iter().any(|(name, _)| name == b"content-type") {
            headers.push((b"content-type".to_vec(), b"text/plain".to_vec()));
        }
        let body = if head { Vec::new() } else { self.body.clone() };
        Response { headers, body }
    }

    /// Trailers-only: HTTP 200, and the status in `grpc-status`.
    fn grpc_response(&self, mut headers: Headers, head: bool) -> Response {
        set(&mut headers, b":status", b"200");
        set(&mut headers, b"content-type", b"application/grpc");
        if !headers.iter().any(|(name, value)| name == b"grpc-status" && !value.is_empty()) {
            let status = self.grpc_status.unwrap_or_else(|| grpc_status_of(self.status));
            set(&mut headers, b"grpc-status", status.to_string().as_bytes());
        }
        if !self.body.is_empty() && !head {
            set(&mut headers, b"grpc-message", &percent_encoded(&self.body));
        }
        headers.retain(|(name, _)| name != b"content-length");
        Response { headers, body: Vec::new() }
    }
}

fn set(headers: &mut Headers, name: &[u8], value: &[u8]) {
    if let Some((_, present)) = headers.iter_mut().find(|(n, _)| n == name) {
        *present = value.to_vec();
    } else {
        headers.push((name.to_vec(), value.to_vec()));
    }
}

/// Envoy's table, `Grpc::Utility::httpToGrpcStatus`.
pub(super) fn grpc_status_of(http: u32) -> u32 {
    match http {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Percent-encoding of a gRPC message: visible ASCII but `%` stays (gRPC over HTTP/2, "Status-Message").
fn percent_encoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// Is this the content type of a gRPC request? (`application/grpc`, alone or with `+…`.)
pub(crate) fn is_grpc(content_type: &[u8]) -> bool {
    content_type.strip_prefix(b"application/grpc").is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &str) -> LocalReply {
        LocalReply {
            status: 403,
            details: String::new(),
            headers: vec![(b"x-a".to_vec(), b"1".to_vec())],
            body: body.into(),
            grpc_status: None,
        }
    }

    fn text(response: &Response) -> Vec<String> {
        response.headers.iter().map(|(n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect()
    }

    #[test]
    fn plain() {
        let response = reply("no").response(false, false);
        assert_eq!(text(&response), [":status: 403", "x-a: 1", "content-length: 2", "content-type: text/plain"]);
        assert_eq!(response.body, b"no");
        assert_eq!(text(&reply("").response(false, false)), [":status: 403", "x-a: 1"]);
        assert!(reply("no").response(false, true).body.is_empty());
    }

    #[test]
    fn grpc() {
        let response = reply("nö%").response(true, false);
        assert_eq!(
            text(&response),
            [":status: 200", "x-a: 1", "content-type: application/grpc", "grpc-status: 7", "grpc-message: n%C3%B6%25"]
        );
        assert!(response.body.is_empty());
        assert!(is_grpc(b"application/grpc+proto") && is_grpc(b"application/grpc"));
        assert!(!is_grpc(b"application/grpc-web") && !is_grpc(b"text/plain"));
    }
}
