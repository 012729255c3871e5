//! The host that a request is for, and the hosts that a command names.

use std::borrow::Cow;

/// The longest name that DNS has (RFC 1035 §2.3.4), as text.
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;

/// Hosts that a command names, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// It names this host alone.
    Exact(String),
    /// `*.tenant.example` names every host of one label before this end: `.tenant.example`.
    OneLabelBefore(String),
}

impl HostPattern {
    /// Reads a host as policies write it; `None` when a policy with it would be refused.
    ///
    /// At least two labels follow a `*.`: whoever registers a name could be at `*.com`. The last of them is no number, since
    /// `*.0.0.1` would name addresses.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let Some(after) = lower.strip_prefix('*') else {
            return (host_of(text.as_bytes())? == lower).then_some(Self::Exact(lower));
        };
        let labels: Vec<&str> = after.strip_prefix('.')?.split('.').collect();
        let number = labels.last().is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
        let plain = labels.len() >= 2 && labels.iter().all(|label| is_label(label)) && lower.len() <= NAME_BYTES && !number;
        plain.then(|| Self::OneLabelBefore(after.to_owned()))
    }

    /// Says whether it names this host, which is in lower case and without port.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::OneLabelBefore(end) => host.len() <= NAME_BYTES && host.strip_suffix(end.as_str()).is_some_and(is_label),
        }
    }

    /// Says whether it names every host that `narrow` names.
    #[must_use]
    pub fn covers(&self, narrow: &Self) -> bool {
        match narrow {
            Self::Exact(host) => self.matches(host),
            Self::OneLabelBefore(_) => self == narrow,
        }
    }
}

fn is_label(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_BYTES).contains(&text.len()) && text.bytes().all(good)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_label() {
        let tenants = HostPattern::parse("*.Tenant.example").unwrap();
        for host in ["a.tenant.example", "a-1.tenant.example", "_x.tenant.example"] {
            assert!(tenants.matches(host), "{host}");
        }
        let long = format!("{}.tenant.example", "a".repeat(64));
        for host in [
            "tenant.example",
            ".tenant.example",
            "a.b.tenant.example",
            "a.tenant.example.",
            "atenant.example",
            "*.tenant.example",
            "a].tenant.example",
            "a..tenant.example",
            "a.tenant.example.evil.example",
            "127.0.0.1",
            "[::1]",
            "",
            &long,
        ] {
            assert!(!tenants.matches(host), "{host}");
        }
    }

    #[test]
    fn no_host_is_longer_than_a_name_of_dns() {
        let end = format!("{}example", format!("{}.", "a".repeat(61)).repeat(3));
        let tenants = HostPattern::parse(&format!("*.{end}")).unwrap();
        let host = |bytes: usize| format!("{}.{end}", "b".repeat(bytes - 1 - end.len()));
        assert!(tenants.matches(&host(NAME_BYTES)));
        assert!(!tenants.matches(&host(NAME_BYTES + 1)));
    }

    #[test]
    fn a_star_stands_alone_at_the_beginning_of_three_labels_at_the_least() {
        let long = format!("*.{}.example", "a.".repeat(150));
        for wrong in [
            "*",
            "*.",
            "*.com",
            "*.example.",
            "*.a.example.",
            "*..example",
            "a.*.b",
            "a*.b.example",
            "*a.b.example",
            "*.*.example",
            "a.b.*",
            "*.0.0.1",
            "*.b.0x7f",
            "*.a.example:443",
            "*.\u{e9}.example",
            "**.a.example",
            &long,
        ] {
            assert_eq!(HostPattern::parse(wrong), None, "{wrong}");
        }
        assert!(HostPattern::parse("*.co.uk").is_some(), "which names anybody may register is not known here");
    }
}
