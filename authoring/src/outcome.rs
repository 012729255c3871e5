//! What was decided about one request: a line of `replay`'s output, and what every driver of cases reports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

/// Let through or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// The request goes upstream.
    Allow,
    /// Nothing goes upstream.
    Deny,
}

impl Decision {
    /// The word in the output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// The decision about one request, member by member as the `replay` contract has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The line of the input, from 1; 0 where there are no lines.
    pub line: u64,
    /// Let through or not. A request that could not be judged counts as denied.
    pub decision: Decision,
    /// Why it was denied, or, under `allow`, what was only observed.
    pub reason: Option<String>,
    /// The status of the filter's own reply.
    pub status: Option<u16>,
    /// The name of the command, where the request is one.
    pub command: Option<String>,
    /// The session's id, where there is one.
    pub session: Option<String>,
    /// What goes upstream, pseudo-headers included; `None` when nothing does.
    pub upstream_headers: Option<Vec<(String, String)>>,
    /// The filter's own reply; `None` when it made none.
    pub response_headers: Option<Vec<(String, String)>>,
    /// The trap that killed the filter's VM.
    pub trap: Option<String>,
    /// What became of the target's answer, where the line has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The reason that the client was told, which is vaguer; not part of the contract's output.
    #[serde(skip)]
    pub client_reason: Option<String>,
    /// Bytes of the body that went upstream, where they were counted; not part of the contract's output.
    #[serde(skip)]
    pub upstream_bytes: Option<u64>,
    /// The body that the client got; not part of the contract's output.
    #[serde(skip)]
    pub response_body: Option<String>,
    /// Why the filter reset a stream that it had let through; not part of the contract's output.
    #[serde(skip)]
    pub cut: Option<String>,
    /// The filter's own record; not part of the contract's output.
    #[serde(skip)]
    pub record: Option<Value>,
}

/// What the client got of what the target answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The status; `None` when the stream was reset before any.
    pub status: Option<u16>,
    /// Header fields, pseudo-headers included.
    pub headers: Vec<(String, String)>,
    /// The body; what is no UTF-8 in it shows as U+FFFD.
    pub body: String,
    /// Entries of lists that were withheld, by the record.
    pub withheld: u64,
    /// Why it was cut, or refused in its place.
    pub cut: Option<String>,
}

impl Outcome {
    /// A denial of which nothing else is known.
    #[must_use]
    pub fn undecided(line: u64) -> Self {
        Self {
            line,
            decision: Decision::Deny,
            reason: None,
            status: None,
            command: None,
            session: None,
            upstream_headers: None,
            response_headers: None,
            trap: None,
            answer: None,
            client_reason: None,
            upstream_bytes: None,
            response_body: None,
            cut: None,
            record: None,
        }
    }
}

/// The reason that the client is told: in an RFC 9457 problem, in the data of a JSON-RPC error (or of the first of several), or at the
/// beginning of the message of gRPC's status or of an error of Connect, in a frame or in base64 where its form has them so.
#[must_use]
pub fn client_reason(body: &[u8]) -> Option<String> {
    // The first byte of a frame of trailers, three quarters of which the encoding shows.
    if let Some(trailers) = STANDARD.decode(body).ok().filter(|decoded| decoded.first() == Some(&0x80)) {
        return client_reason(&trailers);
    }
    let text = String::from_utf8_lossy(body);
    let text = match body.first() {
        Some(0x80) => text.split("grpc-message: ").nth(1)?,
        Some(0x02) => text.get(text.find('{')?..)?,
        Some(_) | None => &text,
    };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(errors)) => client_reason(errors.first()?.to_string().as_bytes()),
        Ok(told) => {
            let message = ["/message", "/error/message"].into_iter().find_map(|pointer| told.pointer(pointer)?.as_str());
            let named = ["/reason", "/error/data/reason"].into_iter().find_map(|pointer| told.pointer(pointer)?.as_str());
            named.or_else(|| message?.split_once(": ").map(|(code, _)| code)).map(str::to_owned)
        }
        Err(_) => text.split_once(": ").map(|(code, _)| code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_reason_is_found_in_every_form() {
        assert_eq!(client_reason(br#"{"status":401,"reason":"token_rejected"}"#).as_deref(), Some("token_rejected"));
        assert_eq!(client_reason(b"expired: the session has ended").as_deref(), Some("expired"));
        let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m","data":{"reason":"handle_foreign"}}}"#;
        assert_eq!(client_reason(error.as_bytes()).as_deref(), Some("handle_foreign"));
        assert_eq!(client_reason(format!("[{error}]").as_bytes()).as_deref(), Some("handle_foreign"));
        let of_connect = br#"{"code":"unauthenticated","message":"idle: not used"}"#;
        assert_eq!(client_reason(of_connect).as_deref(), Some("idle"));
        let end = br#"{"error":{"code":"unauthenticated","message":"idle: not used"}}"#;
        assert_eq!(client_reason(&[&[2, 0, 0, 0, 0xff][..], end].concat()).as_deref(), Some("idle"));
        let trailers = b"\x80\0\0\0\x2agrpc-status: 16\r\ngrpc-message: idle: not used\r\n";
        assert_eq!(client_reason(trailers).as_deref(), Some("idle"));
        assert_eq!(client_reason(STANDARD.encode(trailers).as_bytes()).as_deref(), Some("idle"));
        assert_eq!(client_reason(b""), None);
        assert_eq!(client_reason(b"{}"), None);
    }

    #[test]
    fn an_outcome_is_the_contracts_object_member_by_member() {
        let text = serde_json::to_string(&Outcome::undecided(3)).unwrap();
        assert_eq!(
            text,
            r#"{"line":3,"decision":"deny","reason":null,"status":null,"command":null,"session":null,"upstream_headers":null,"response_headers":null,"trap":null}"#
        );
    }
}
