//! The host that a request is for.

use std::borrow::Cow;

/// The host of an authority (RFC 3986 §3.2), in lower case and without its port; `None` when it is no plain host.
pub(crate) fn host_of(authority: &[u8]) -> Option<Cow<'_, str>> {
    let text = std::str::from_utf8(authority).ok()?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if !text.bytes().all(good) {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(literal) => {
            let (address, after) = literal.split_once(']')?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (text.get(..address.len() + 2)?, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port_is_plain = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    // `orders.example.` is the same host, spelled from the root (RFC 3986 §3.2.2).
    let host = host.strip_suffix('.').unwrap_or(host);
    let capitals = host.bytes().any(|byte| byte.is_ascii_uppercase());
    port_is_plain.then(|| if capitals { host.to_ascii_lowercase().into() } else { host.into() })
}
