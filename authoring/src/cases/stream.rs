//! `reply:` of an upstream, and what is expected of a stream that was opened.

use super::{
    expect::reason,
    plan::{Reply, StreamState},
    read::{Errors, Node},
    request::{Requests, chunks},
};

const STATES: &str = "`open`, `closed` or `{cut: reason}`";

/// `{status, headers?, chunks?, trailers?}`.
pub(super) fn reply(node: &Node<'_>, requests: &Requests<'_>, errors: &Errors<'_>) -> Option<Reply> {
    let members = node.members(errors, &["status", "headers", "chunks", "trailers"])?;
    let status = members.get("status").map_or(Some(200), |node| node.whole_number(errors, 200, 599))?;
    let fields = |name: &str| members.get(name).map(|node| requests.headers(node, errors));
    let lower =
        |fields: crate::request::Headers| fields.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    Some(Reply {
        status: u16::try_from(status).ok()?,
        headers: lower(fields("headers").unwrap_or(Some(Vec::new()))?),
        chunks: members.get("chunks").map_or(Some(Vec::new()), |node| chunks(node, errors))?,
        trailers: fields("trailers").map_or(Some(None), |fields| fields.map(|fields| Some(lower(fields))))?,
    })
}

/// `open`, `closed` or `{cut: reason}`.
pub(super) fn state(node: &Node<'_>, errors: &Errors<'_>) -> Option<StreamState> {
    match node.value.as_str() {
        Some("open") => return Some(StreamState::Open),
        Some("closed") => return Some(StreamState::Closed),
        Some(_) => {
            node.wrong(errors, "is no state of a stream", STATES);
            return None;
        }
        None => {}
    }
    if !node.value.is_object() {
        node.wrong(errors, "is no state of a stream", STATES);
        return None;
    }
    let members = node.members(errors, &["cut"])?;
    match members.get("cut") {
        Some(cut) => Some(StreamState::Cut(reason(cut, errors)?)),
        None => {
            node.wrong(errors, "says nothing of the stream", STATES);
            None
        }
    }
}
