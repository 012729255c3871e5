//! The session token that a request carries, among all places where it may be.

use crate::http::head::Headers;
use crate::primitives::reason::Reason;

/// A header that may carry the token: raw, or after an authentication scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Lower case.
    pub(crate) header: String,
    pub(crate) scheme: Option<Scheme>,
}

/// Authentication schemes for bearer (RFC 6750 §2.1) and proof-of-possession tokens (RFC 9449 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    DPoP,
}

impl Scheme {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
        }
    }
}

/// A token, and how it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'h> {
    pub(crate) text: &'h [u8],
    pub(crate) scheme: Option<Scheme>,
}

/// The token that a request carries, among all places where it may be.
pub(crate) fn token<'h>(headers: &'h Headers<'h>, sources: &[Source]) -> Result<Presented<'h>, Reason> {
    let mut found = None;
    for source in sources {
        let mut all = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(source.header.as_bytes()));
        let Some((_, value)) = all.next() else { continue };
        // Whatever they hold: which of two `authorization` fields counts is a matter of opinion.
        if all.next().is_some() {
            return Err(Reason::TokenAmbiguous);
        }
        let token = match source.scheme {
            None => value,
            Some(scheme) => match credentials(value, scheme)? {
                Some(token) => token,
                None => continue,
            },
        };
        if found.is_some() {
            return Err(Reason::TokenAmbiguous);
        }
        found = Some(Presented { text: token, scheme: source.scheme });
    }
    found.ok_or(Reason::TokenMissing)
}

/// The credentials of this scheme in a field. Envoy joins repeated `authorization` fields with a comma, so that a list in
/// which the scheme occurs at all is more than one token, whichever scheme comes first.
fn credentials(value: &[u8], scheme: Scheme) -> Result<Option<&[u8]>, Reason> {
    if value.contains(&b',') && names_scheme(value, scheme) {
        return Err(Reason::TokenAmbiguous);
    }
    Ok(after_scheme(value, scheme.name()))
}

/// Does the scheme begin the field, or anything in it that follows a comma?
pub(crate) fn names_scheme(value: &[u8], scheme: Scheme) -> bool {
    let begins = |part: &[u8]| after_scheme(part.trim_ascii(), scheme.name()).is_some();
    // Nearly always there is no comma, which is found out at once; splitting asks of each byte whether it is one.
    begins(value) || (value.contains(&b',') && value.split(|byte| *byte == b',').any(begins))
}

/// What may be white space to somebody: no byte of a token is.
pub(crate) fn is_blank(byte: &u8) -> bool {
    *byte <= b' ' || *byte >= 0x7f
}

/// The credentials after a scheme (RFC 9110 §11.4: the scheme's case does not matter, spaces follow it).
pub(crate) fn after_scheme<'v>(value: &'v [u8], scheme: &str) -> Option<&'v [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    if !name.eq_ignore_ascii_case(scheme.as_bytes()) {
        return None;
    }
    match rest.first() {
        None => Some(rest),
        // One space by the standard; servers that split at any white space read the others, too, those of Latin-1 and Unicode among them.
        Some(byte) if is_blank(byte) => Some(rest.trim_ascii_start()),
        Some(_) => None,
    }
}
