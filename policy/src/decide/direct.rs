//! How a caller shows that it is no session's: with the target's own credential, or with the marks of a browser.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::http::credentials::{after_scheme, is_blank};
use crate::http::edits::same_name;
use crate::http::head::{Headers, begins};
use crate::primitives::json;
use crate::primitives::limits;
use crate::rules::upstream::Direct;

/// The first of these credentials that the caller shows.
pub(crate) fn shown<'r>(headers: &Headers<'_>, refused: &'r [Direct]) -> Option<&'r Direct> {
    let authorization = |is_it: fn(&[u8]) -> bool| {
        let fields = headers.iter().filter(|(name, _)| same_name(name, "authorization"));
        // Envoy joins repeated fields with a comma.
        fields.flat_map(|(_, value)| value.split(|byte| *byte == b',')).any(|part| is_it(trimmed(part)))
    };
    refused.iter().find(|direct| match direct {
        Direct::Basic => authorization(|part| after_scheme(part, "Basic").is_some()),
        Direct::OpaqueBearer => authorization(|part| after_scheme(part, "Bearer").is_some_and(is_opaque)),
        Direct::Header(name) => headers.iter().any(|(found, _)| same_name(found, name)),
    })
}

/// Without what may be white space to the target, before it.
fn trimmed(part: &[u8]) -> &[u8] {
    let start = part.iter().position(|byte| !is_blank(byte)).unwrap_or(part.len());
    part.get(start..).unwrap_or_default().trim_ascii_end()
}

/// Not three parts of which the first is a JOSE header: a JSON object with an algorithm (RFC 7515 §4.1.1).
fn is_opaque(token: &[u8]) -> bool {
    let mut parts = token.split(|byte| *byte == b'.');
    let header = parts.next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| json::parse(&header, limits::TOKEN_JSON_DEPTH).ok());
    parts.count() != 2 || header.is_none_or(|header| header.get("alg").is_none())
}

/// What browsers send, and programs do not: a person uses what was given to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// `sec-fetch-site` and the like (Fetch Metadata), but for `-mode: cors`: Node's own `fetch` sends that, and nothing beside it, as
    /// no browser does.
    FetchMetadata,
    /// `sec-ch-ua` and what begins so (User-Agent Client Hints).
    ClientHints,
    /// `origin` (RFC 6454 §7).
    Origin,
    /// `cookie` (RFC 6265).
    Cookie,
    /// `upgrade-insecure-requests`, which goes with a navigation.
    Navigation,
}

impl Mark {
    /// As records name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FetchMetadata => "sec-fetch",
            Self::ClientHints => "sec-ch-ua",
            Self::Origin => "origin",
            Self::Cookie => "cookie",
            Self::Navigation => "upgrade-insecure-requests",
        }
    }

    /// That a field of a head is.
    pub(crate) fn of(name: &[u8], value: &[u8]) -> Option<Self> {
        let begins = |known: &str| begins(name, known);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match name.first()?.to_ascii_lowercase() {
            b's' if begins("sec-fetch-") => {
                let of_node = is("sec-fetch-mode") && value.trim_ascii().eq_ignore_ascii_case(b"cors");
                (!of_node).then_some(Self::FetchMetadata)
            }
            b's' if begins("sec-ch-ua") => Some(Self::ClientHints),
            b'o' if is("origin") => Some(Self::Origin),
            b'c' if is("cookie") => Some(Self::Cookie),
            b'u' if is("upgrade-insecure-requests") => Some(Self::Navigation),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(headers: &Headers<'_>, refused: &[Direct]) -> Option<String> {
        shown(headers, refused).map(|direct| direct.name().to_owned())
    }

    #[test]
    fn a_credential_of_the_targets_own_is_seen_in_any_spelling() {
        let all = [Direct::Basic, Direct::OpaqueBearer, Direct::Header("x-api-key".to_owned())];
        let of = |value: &str| seen(&[(b"authorization", value.as_bytes())], &all);
        // A session's token, here {"alg":"ES256"}.
        for token in ["Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "DPoP eyJhbGciOiJFUzI1NiJ9.e30.c2ln", "Digest x", "Basics x", ""] {
            assert_eq!(of(token), None, "{token}");
        }
        for basic in ["Basic dTpw", "basic dTpw", "BASIC\tdTpw", "Basic", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln, Basic dTpw"] {
            assert_eq!(of(basic).as_deref(), Some("basic"), "{basic}");
        }
        for opaque in
            ["Bearer sk-live-1", "bearer x", "Bearer", "Bearer a.b.c", "Bearer e30.e30.c2ln", "Bearer eyJhbGciOiJFUzI1NiJ9.e30"]
        {
            assert_eq!(of(opaque).as_deref(), Some("opaque_bearer"), "{opaque}");
        }
        // What is white space to somebody.
        let blank: [&[u8]; 5] =
            [b"Basic\x0bdTpw", b"Basic\x0cdTpw", b"Basic\x85dTpw", b"\xa0Basic dTpw", "Basic\u{2003}dTpw".as_bytes()];
        for value in blank {
            assert_eq!(seen(&[(b"authorization", value)], &all).as_deref(), Some("basic"), "{value:?}");
        }
        assert_eq!(seen(&[(b"authorization", b"Bearer\xa0sk-live-1")], &all).as_deref(), Some("opaque_bearer"));
        for name in [b"x-api-key".as_slice(), b"X-API-Key", b"x_api_key"] {
            assert_eq!(seen(&[(name, b"")], &all).as_deref(), Some("x-api-key"));
        }
        assert_eq!(seen(&[(b"x-api-key2", b""), (b"proxy-authorization", b"Basic x")], &all), None);
        assert_eq!(seen(&[(b"authorization", b"Basic x"), (b"x-api-key", b"")], &[]), None);
    }

    #[test]
    fn a_browser_is_known_by_what_no_program_sends() {
        let marks: [(&[u8], &[u8], Option<&str>); 12] = [
            (b"Sec-Fetch-Site", b"same-origin", Some("sec-fetch")),
            (b"sec-fetch-dest", b"empty", Some("sec-fetch")),
            (b"sec-fetch-user", b"?1", Some("sec-fetch")),
            (b"sec-fetch-mode", b" Navigate", Some("sec-fetch")),
            (b"sec-fetch-storage-access", b"active", Some("sec-fetch")),
            (b"sec-ch-ua-platform", b"\"Linux\"", Some("sec-ch-ua")),
            (b"Origin", b"null", Some("origin")),
            (b"cookie", b"", Some("cookie")),
            (b"upgrade-insecure-requests", b"1", Some("upgrade-insecure-requests")),
            // Node's fetch.
            (b"sec-fetch-mode", b"cors", None),
            (b"user-agent", b"Mozilla/5.0", None),
            (b"sec-websocket-key", b"x", None),
        ];
        for (name, value, mark) in marks {
            assert_eq!(Mark::of(name, value).map(Mark::name), mark, "{name:?}");
        }
    }
}
