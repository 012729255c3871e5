//! Why a body is refused, and the error objects of JSON-RPC that tell of it.

use serde_json::{Value, json};

use crate::commands::mcp::message::Id;
use crate::commands::mcp::version::Version;
use crate::primitives::json::{StrictError, push_string};

/// The code of a denial by policy; which reason it has stands in `data`.
///
/// JSON-RPC 2.0 §5.1 keeps -32768 to -32000 for itself and for servers, and the specification has the last hundred (2026-07-28,
/// *Error Codes*): -32000 to -32019 are what SDKs have used, such as -32001 for a timeout, and no new code may be there; -32020
/// to -32099 are its own. Codes for other purposes are to be outside, where -1 is a user who rejected (2025-11-25, *Sampling*).
pub(crate) const POLICY_DENIAL: i32 = -31_403;

const PARSE_ERROR: i32 = -32_700;
const INVALID_REQUEST: i32 = -32_600;
const INVALID_PARAMS: i32 = -32_602;
const HEADER_MISMATCH: i32 = -32_020;
const UNSUPPORTED_VERSION: i32 = -32_022;

/// Why a body has no single reading. HTTP status 400 in each case. Nothing of the body is in it but a version that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No strict JSON.
    NotJson(StrictError),
    /// No message of JSON-RPC as the protocol version has them.
    Malformed(&'static str),
    /// The parameters of a method that is known are not those that it has.
    Params(&'static str),
    /// The headers say something else than the body, or not what they must.
    HeaderMismatch(&'static str),
    /// A protocol version that is not known. Letters, digits, `.` and `-`, at most 32 bytes.
    UnsupportedVersion { requested: String },
}

/// A refused body, with the `id` of its message as far as there is one: an answer that has it reaches whoever waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) id: Option<Id>,
    pub(crate) fault: Fault,
}

impl Fault {
    /// | Code | For |
    /// |---|---|
    /// | -32700 | JSON that is not strict |
    /// | -32600 | no message, or one that the version does not have |
    /// | -32602 | parameters of another form |
    /// | -32020 | headers that differ from the body (`HeaderMismatch`) |
    /// | -32022 | a version that is not known (`UnsupportedProtocolVersion`) |
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::NotJson(_) => PARSE_ERROR,
            Self::Malformed(_) => INVALID_REQUEST,
            Self::Params(_) => INVALID_PARAMS,
            Self::HeaderMismatch(_) => HEADER_MISMATCH,
            Self::UnsupportedVersion { .. } => UNSUPPORTED_VERSION,
        }
    }

    /// One line for people.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::NotJson(error) => format!("Parse error: {error}"),
            Self::Malformed(what) => format!("Invalid request: {what}"),
            Self::Params(what) => format!("Invalid params: {what}"),
            Self::HeaderMismatch(what) => format!("Header mismatch: {what}"),
            Self::UnsupportedVersion { .. } => "Unsupported protocol version".to_owned(),
        }
    }

    /// The `data` of the error, which the specification has for an unsupported version alone; `supported` are the versions
    /// that the endpoint takes.
    pub(crate) fn data(&self, supported: &[Version]) -> Option<Value> {
        match self {
            Self::UnsupportedVersion { requested } => {
                let supported: Vec<&str> = supported.iter().map(|version| version.as_str()).collect();
                Some(json!({"supported": supported, "requested": requested}))
            }
            Self::NotJson(_) | Self::Malformed(_) | Self::Params(_) | Self::HeaderMismatch(_) => None,
        }
    }
}

/// An error answer. Without an `id` the member is left out, as the specification has it, and not `null`, which its types lack.
pub(crate) fn error_answer(id: Option<&Id>, code: i32, message: &str, data: Option<&Value>) -> String {
    let mut out = String::from("{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        out.push_str(",\"id\":");
        id.push_json(&mut out);
    }
    out.push_str(",\"error\":{\"code\":");
    out.push_str(itoa::Buffer::new().format(code));
    out.push_str(",\"message\":");
    push_string(message, &mut out);
    if let Some(data) = data {
        out.push_str(",\"data\":");
        out.push_str(&data.to_string());
    }
    out.push_str("}}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_answer_has_the_id_that_it_is_for_or_none() {
        let data = json!({"reason": "command_not_granted"});
        assert_eq!(
            error_answer(Some(&Id::Text("a\"\n".into())), POLICY_DENIAL, "Denied", Some(&data)),
            r#"{"jsonrpc":"2.0","id":"a\"\n","error":{"code":-31403,"message":"Denied","data":{"reason":"command_not_granted"}}}"#
        );
        assert_eq!(
            error_answer(Some(&Id::Number(-7)), -32_600, "x", None),
            r#"{"jsonrpc":"2.0","id":-7,"error":{"code":-32600,"message":"x"}}"#
        );
        assert_eq!(error_answer(None, -32_700, "x", None), r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}"#);
    }

    /// The example of 2026-07-28, *Protocol Version Negotiation*.
    #[test]
    fn an_unsupported_version_is_told_with_those_that_are_supported() {
        let fault = Fault::UnsupportedVersion { requested: "1900-01-01".into() };
        let data = fault.data(&[Version::V2026_07_28, Version::V2025_11_25]);
        let answer: Value =
            serde_json::from_str(&error_answer(Some(&Id::Number(1)), fault.code(), &fault.message(), data.as_ref())).unwrap();
        let wanted = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32022, "message": "Unsupported protocol version",
            "data": {"supported": ["2026-07-28", "2025-11-25"], "requested": "1900-01-01"}}});
        assert_eq!(answer, wanted);
    }

    #[test]
    fn each_fault_has_its_code_and_the_policys_is_outside_of_all_that_is_reserved() {
        let json = crate::primitives::json::parse_strict(b"{", 4).unwrap_err();
        let faults = [
            Fault::NotJson(json),
            Fault::Malformed(""),
            Fault::Params(""),
            Fault::HeaderMismatch(""),
            Fault::UnsupportedVersion { requested: String::new() },
        ];
        assert_eq!(faults.map(|fault| fault.code()), [-32_700, -32_600, -32_602, -32_020, -32_022]);
        assert!(!(-32_768..=-32_000).contains(&POLICY_DENIAL) && POLICY_DENIAL != -1);
    }
}
