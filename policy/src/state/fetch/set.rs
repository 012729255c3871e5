//! A security event token (RFC 8417) of the Shared Signals Framework: who it is from and for, and what it ends. The formats of what it
//! names are those of RFC 9493.

use std::cell::Cell;

use serde_json::{Map, Value};

use super::{Failure, signed};
use crate::primitives::limits;
use crate::primitives::time::Timestamp;
use crate::rules::issuers::{Issuer, Keys};
use crate::state::told::{Ending, EventKind, Named};
use crate::token::claims::NumericDate;
use crate::token::keys::{KeySet, VerifySignature};

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";

/// What a token must fit.
pub(super) struct Expected<'e> {
    pub(super) name: &'e str,
    pub(super) issuer: &'e Issuer,
    pub(super) keys: &'e KeySet,
    pub(super) audience: &'e str,
    pub(super) now: Timestamp,
    /// Checks of signatures that may still be made.
    pub(super) checks: &'e Cell<usize>,
}

/// Why a token ends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It cannot be said yet: it is to come again. Its key may be published by then.
    KeyUnknown,
    /// The same: there are too many at once.
    Later,
    /// It never will, and the transmitter is told.
    Refused(Refusal),
}

/// Why a token is refused, as RFC 8935 §2.4 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no security event token, or not as its events must be.
    Malformed,
    /// It is of another issuer.
    Issuer,
    /// It is for somebody else.
    Audience,
    /// It is signed by an algorithm that is not accepted, or a key that the document does not have.
    Key,
    /// Its signature does not hold.
    Signature,
    /// What it names cannot be found in any session here, so that it would end nothing.
    Unmapped,
}

impl Refusal {
    /// The error code for the transmitter.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed | Self::Unmapped => "invalid_request",
            Self::Issuer => "invalid_issuer",
            Self::Audience => "invalid_audience",
            Self::Key => "invalid_key",
            Self::Signature => "authentication_failed",
        }
    }

    /// What is wrong, in a few words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed => "not a security event token, or not as its events must be",
            Self::Issuer => "of another issuer",
            Self::Audience => "for somebody else",
            Self::Key => "signed by no key of the issuer",
            Self::Signature => "its signature is invalid",
            Self::Unmapped => "what it names cannot be found in a session",
        }
    }
}

/// What the token ends that is known to the transmitter by this `jti`; nothing, where its events are none that end anything.
///
/// `exp` and `sub` are none of its claims and are not looked at (RFC 8417 §2.2): what has happened does not become untrue.
pub(super) fn read(id: &str, text: &str, expected: &Expected<'_>, verifier: &dyn VerifySignature) -> Result<Vec<Ending>, Fault> {
    let Expected { name, issuer, keys, audience, now, checks } = *expected;
    let malformed = Fault::Refused(Refusal::Malformed);
    // The type is what keeps a session token from passing as an event (RFC 8417 §2.3).
    let jws = signed::parse(text.as_bytes(), "secevent+jwt", limits::EVENT_TOKEN_BYTES).map_err(|_| malformed)?;
    let claims = &jws.payload;
    if claims.get("iss").and_then(Value::as_str) != Some(name) {
        return Err(Fault::Refused(Refusal::Issuer));
    }
    let for_us = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        one => one.is_some_and(|one| one == audience),
    };
    if !for_us {
        return Err(Fault::Refused(Refusal::Audience));
    }
    // What may be published yet is a key, and no algorithm.
    let may_come = matches!(issuer.keys, Keys::Endpoint(_))
        && jws.header.algorithm.is_some_and(|algorithm| issuer.algorithms.contains(&algorithm));
    let unknown = if may_come { Fault::KeyUnknown } else { Fault::Refused(Refusal::Key) };
    let candidates = signed::candidates(&jws, issuer, keys).map_err(|_| unknown)?;
    checks.set(checks.get().checked_sub(candidates.len()).ok_or(Fault::Later)?);
    let signer = signed::signer(&jws, &candidates, verifier);
    signer.map_err(|_: Failure| Fault::Refused(Refusal::Signature))?;
    if claims.get("jti").and_then(Value::as_str) != Some(id) {
        return Err(malformed);
    }
    let issued = claims.get("iat").and_then(NumericDate::read).ok_or(malformed)?;
    // One of next year would end every session until then.
    if issued.up > now.seconds().saturating_add(limits::EVENT_AHEAD) {
        return Err(malformed);
    }
    let events = claims.get("events").and_then(Value::as_object).filter(|events| !events.is_empty()).ok_or(malformed)?;
    let mut endings = Vec::new();
    for (uri, event) in events {
        let event = event.as_object().ok_or(malformed)?;
        // Of others, and of those about the stream itself, there is nothing to do.
        let Some(kind) = kind(uri) else { continue };
        let subject = claims.get("sub_id").or_else(|| event.get("subject")).and_then(Value::as_object).ok_or(malformed)?;
        let named = named(kind, subject, name).ok_or(Fault::Refused(Refusal::Unmapped))?;
        // What has been issued since is as it should be. Within one second nobody can say.
        let happened =
            event.get("event_timestamp").and_then(NumericDate::read).map_or(issued.down, |at| at.down.min(issued.down));
        let of_tokens = kind == EventKind::TokenClaimsChange;
        let before = match named {
            Named::Session(_) => of_tokens,
            Named::Token(_) => false,
            Named::Subject(_) | Named::Everyone => true,
        };
        let before = before.then(|| happened.saturating_add(1));
        endings.push(Ending { named, before, of_tokens: of_tokens && before.is_some(), event: kind, id: id.to_owned() });
    }
    Ok(endings)
}

fn kind(uri: &str) -> Option<EventKind> {
    match (uri.strip_prefix(CAEP), uri.strip_prefix(RISC)) {
        (Some("session-revoked"), _) => Some(EventKind::SessionRevoked),
        (Some("token-claims-change"), _) => Some(EventKind::TokenClaimsChange),
        (Some("credential-change"), _) => Some(EventKind::CredentialChange),
        (_, Some("account-disabled")) => Some(EventKind::AccountDisabled),
        _ => None,
    }
}

/// What a subject identifier names in our terms; `None` where it is nothing that our sessions have.
///
/// Of a complex one (SSF 1.0 §3.2) it is the session or the user, whichever the event is about. What narrows it further, such as a
/// device, no session here knows of: more is ended then, never less.
fn named(kind: EventKind, subject: &Map<String, Value>, issuer: &str) -> Option<Named> {
    let of_session = matches!(kind, EventKind::SessionRevoked | EventKind::TokenClaimsChange);
    if text(subject, "format")? != "complex" {
        return simple(subject, issuer, kind == EventKind::SessionRevoked);
    }
    let member = |name: &str, is_session| simple(subject.get(name)?.as_object()?, issuer, is_session);
    let (session, user) = (|| member("session", true), || member("user", false));
    if of_session { session().or_else(user) } else { user().or_else(session) }
}

/// `opaque` is the session or the subject, as the issuer itself names it.
fn simple(subject: &Map<String, Value>, issuer: &str, is_session: bool) -> Option<Named> {
    let ours = || text(subject, "iss").filter(|named| *named == issuer);
    match text(subject, "format")? {
        "iss_sub" => ours().and(text(subject, "sub")).map(|sub| Named::Subject(sub.to_owned())),
        "jwt_id" => ours().and(text(subject, "jti")).map(|jti| Named::Token(jti.to_owned())),
        "opaque" => {
            let id = text(subject, "id")?.to_owned();
            Some(if is_session { Named::Session(id) } else { Named::Subject(id) })
        }
        "aliases" => {
            let several = subject.get("identifiers")?.as_array()?;
            several
                .iter()
                .filter_map(Value::as_object)
                .filter(|one| text(one, "format") != Some("aliases"))
                .find_map(|one| simple(one, issuer, is_session))
        }
        _ => None,
    }
}

/// As long as a claim of ours may be.
fn text<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    members.get(name)?.as_str().filter(|text| (1..=limits::IDENTIFIER_BYTES).contains(&text.len()))
}
