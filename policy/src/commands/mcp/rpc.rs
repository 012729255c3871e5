//! Errors of JSON-RPC 2.0 (§5.1), as denied callers get them.

use serde_json::{Value, json};

use crate::primitives::reason::Reason;

/// An error object. `id` is `null` where it is not known.
pub(crate) fn error(id: Option<Value>, code: i64, message: &str, data: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message, "data": data}}).to_string()
}

/// Of JSON-RPC 2.0 §5.1: `Method not found`.
pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;

/// The code of a denial: outside of what JSON-RPC and MCP keep for themselves (−32768 to −32000), one for each HTTP status. The
/// reason itself is in `data`.
pub(crate) fn code(reason: Reason) -> i64 {
    -31_000 - i64::from(reason.status())
}
