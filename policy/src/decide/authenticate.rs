//! From a token's text to a session: whose it is, whether its signature holds, what its claims say.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::decide::context::Context;
use crate::decide::trace::{CheckStep, Identity, Trace};
use crate::http::head::Source;
use crate::primitives::address::Address;
use crate::primitives::reason::Reason;
use crate::primitives::time::Timestamp;
use crate::rules::issuers::Issuer;
use crate::rules::policy::{Policy, Rules};
use crate::state::fetch::Sources;
use crate::state::pace::Payer;
use crate::state::session::{Authenticated, Session};
use crate::state::sessions::StateKey;
use crate::state::verified::Verified;
use crate::state::worker::Worker;
use crate::token::actor::Actor;
use crate::token::claims::Claims;
use crate::token::jws::{Header, Jws};
use crate::token::keys::VerificationKey;

/// Runs the checks from `token_malformed` to `claims_invalid` on a token; `source` is where it comes from.
pub(crate) fn authenticate(
    policy: &Rc<Policy>,
    rules: &Rules,
    worker: &mut Worker,
    token: &[u8],
    source: Source<'_>,
    context: &Context<'_>,
    trace: &mut impl Trace,
) -> Result<Authenticated, Reason> {
    let now = worker.latest();
    if let Some(verified) = worker.tokens.get(token)
        && let Some(session) = reauthenticate(policy, rules, &worker.sources, &verified, now, trace)?
    {
        worker.tokens.hits += 1;
        return Ok(Authenticated { token: verified, session });
    }
    let most = rules.allowances.token_bytes;
    let parsed = Jws::parse_within(token, most);
    trace.saw(|| CheckStep::form(token, most, parsed.as_ref().err()));
    let jws = parsed.map_err(|_| Reason::TokenMalformed)?;
    let (name, issuer, keys) = find_keys(rules, &worker.sources, &jws.header, &jws.payload, trace)?;
    let allowance = rules.allowances.verifications_per_second;
    trace.saw(|| CheckStep::Pace { allowance });
    // What it claims to be is only asked for who pays.
    let claimed = issuer.claims.session(&jws.payload).and_then(|session| worker.tallies.find(name, session));
    let payer = Payer { address: Address::read(source.address()), session: claimed.as_deref() };
    let (mut by_key, mut by_name, mut tried) = (None, false, 0);
    for key in keys {
        if !worker.pace.take(allowance, &payer, now) {
            return Err(Reason::Overloaded);
        }
        if tried == 0 {
            worker.tokens.misses += 1;
            trace.saw(|| CheckStep::Signature);
        }
        tried += 1;
        by_name |= key.is_called(jws.header.key_id.as_deref());
        if context.verifier.verify(key, jws.signed, &jws.signature) {
            by_key = Some(key.fingerprint());
            break;
        }
    }
    worker.pace.came_to(by_key.is_some(), tried, &payer, now);
    let Some(fingerprint) = by_key else {
        if !by_name {
            // It may be by a key that has been published since.
            worker.sources.miss_key(issuer);
        }
        return Err(Reason::SignatureInvalid);
    };
    let session = Rc::new(open_session(rules, &jws.payload, name, issuer, now, trace)?);
    let tally = Rc::clone(worker.tally(&session));
    tally.came_from(payer.address);
    let verified = Rc::new(Verified::new(token, fingerprint, session.claims.expires));
    verified.remember(policy, worker.sources.epoch(), &session);
    worker.tokens.keep(&verified, &tally, now);
    Ok(Authenticated { token: verified, session })
}

/// The same checks for a token whose signature has been verified before; `None` when that was under a key that the issuer no
/// longer has by that name.
pub(crate) fn reauthenticate(
    policy: &Rc<Policy>,
    rules: &Rules,
    sources: &Sources,
    verified: &Verified,
    now: Timestamp,
    trace: &mut impl Trace,
) -> Result<Option<Rc<Session>>, Reason> {
    if let Some(session) = verified.session_under(policy, sources.epoch()) {
        return Ok(Some(session));
    }
    // Perhaps of a policy that took longer ones.
    let jws = verified.read_within(rules.allowances.token_bytes).map_err(|_| Reason::TokenMalformed)?;
    // Another policy, or other keys: the signature still holds if the issuer still has that very key, everything else is judged anew.
    let (name, issuer, mut keys) = find_keys(rules, sources, &jws.header, &jws.payload, trace)?;
    if !keys.any(|key| key.fingerprint() == verified.fingerprint) {
        return Ok(None);
    }
    let session = Rc::new(open_session(rules, &jws.payload, name, issuer, now, trace)?);
    verified.remember(policy, sources.epoch(), &session);
    Ok(Some(session))
}

/// The checks that cost no signature: `token_unsupported`, `issuer_unknown`, `audience_mismatch`, `keys_unavailable`,
/// `key_unknown`.
fn find_keys<'r, T: Trace>(
    rules: &'r Rules,
    sources: &'r Sources,
    header: &'r Header,
    payload: &Map<String, Value>,
    trace: &mut T,
) -> Result<(&'r str, &'r Issuer, impl Iterator<Item = &'r VerificationKey> + use<'r, T>), Reason> {
    let issuer = payload.get("iss").and_then(Value::as_str).and_then(|name| rules.tokens.issuers.get_key_value(name));
    trace.saw(|| CheckStep::kind(header, issuer.map(|(_, issuer)| issuer)));
    let algorithm = header.algorithm.filter(|_| !header.critical).ok_or(Reason::TokenUnsupported)?;
    if let Some((_, issuer)) = issuer {
        let type_fits = issuer.types.as_ref().is_none_or(|types| header.typ.as_ref().is_some_and(|typ| types.contains(typ)));
        if !issuer.algorithms.contains(&algorithm) || !type_fits || tells_events(header, payload) {
            return Err(Reason::TokenUnsupported);
        }
    }
    trace.saw(|| CheckStep::issuer(payload, issuer.is_some()));
    let (name, issuer) = issuer.ok_or(Reason::IssuerUnknown)?;
    let audience = issuer.claims.audience(payload);
    trace.saw(|| CheckStep::audience(audience, &issuer.audiences));
    let ours = |value: &Value| value.as_str().is_some_and(|audience| issuer.audiences.iter().any(|known| known == audience));
    let for_us = match audience {
        Some(Value::Array(audiences)) => audiences.iter().any(ours),
        Some(audience) => ours(audience),
        None => false,
    };
    if !for_us {
        return Err(Reason::AudienceMismatch);
    }
    let keys = sources.keys_of(issuer);
    trace.saw(|| CheckStep::Key { key_id: header.key_id.clone(), algorithm: algorithm.name(), at_hand: keys.is_some() });
    let keys = keys.ok_or(Reason::KeysUnavailable)?;
    let mut candidates = keys.candidates(header.key_id.as_deref(), algorithm).peekable();
    if candidates.peek().is_none() {
        sources.miss_key(issuer);
        return Err(Reason::KeyUnknown);
    }
    Ok((name, issuer, candidates))
}

/// Is it something else that an issuer signs, a security event token or a logout token? It is no session token, whatever types the
/// policy takes (RFC 8417 §4.6, RFC 8725 §3.12).
fn tells_events(header: &Header, payload: &Map<String, Value>) -> bool {
    header.typ.as_deref() == Some("secevent+jwt") || payload.contains_key("events")
}

/// The check of what is signed, `claims_invalid`; and what the policy makes of it.
fn open_session(
    rules: &Rules,
    payload: &Map<String, Value>,
    name: &str,
    issuer: &Issuer,
    now: Timestamp,
    trace: &mut impl Trace,
) -> Result<Session, Reason> {
    let claims = Claims::read(payload, name, &issuer.audiences, &issuer.claims);
    let status = issuer.status.as_ref().map_or(Ok(None), |status| status.reference(payload));
    trace.saw(|| {
        let fault = claims.as_ref().err().or(status.as_ref().err()).map(|invalid| issuer.claims.explain(invalid));
        let identity = claims.as_ref().ok().filter(|_| fault.is_none()).map(Identity::of);
        CheckStep::Claims { identity, fault }
    });
    let (Ok(claims), Ok(status)) = (claims, status) else { return Err(Reason::ClaimsInvalid) };
    let revoked = rules.revoked.find(&claims).map(|because| because.map(str::to_owned));
    let grants = rules.grants.holding(&claims, payload);
    trace.session(rules, &claims, payload, now);
    let (key, actor) = (StateKey::default(), Actor::of(&claims));
    let (heard, told, tally) = (Cell::new(0), OnceCell::new(), OnceCell::new());
    let listens = issuer.events.is_some();
    Ok(Session { claims, revoked, status, grants, key, actor, listens, heard, told, tally })
}
