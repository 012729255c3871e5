//! What an issuer signs besides session tokens: with the same keys, of one type and none other.

use super::Failure;
use crate::rules::issuers::Issuer;
use crate::token::jws::Jws;
use crate::token::keys::{KeySet, VerificationKey, VerifySignature};

/// Takes a token of this type apart; nothing in it is trusted yet.
pub(super) fn parse<'t>(text: &'t [u8], typ: &str, most: usize) -> Result<Jws<'t>, Failure> {
    let jws = Jws::parse_within(text, most).map_err(|_| Failure::Malformed)?;
    if jws.header.typ.as_deref() != Some(typ) || jws.header.critical {
        return Err(Failure::Malformed);
    }
    Ok(jws)
}

/// The keys of the issuer that it may be signed by, one at least.
pub(super) fn candidates<'k>(jws: &Jws<'_>, issuer: &Issuer, keys: &'k KeySet) -> Result<Vec<&'k VerificationKey>, Failure> {
    let algorithm = jws.header.algorithm.filter(|algorithm| issuer.algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or(Failure::KeyUnknown)?;
    let candidates: Vec<_> = keys.candidates(jws.header.key_id.as_deref(), algorithm).collect();
    if candidates.is_empty() { Err(Failure::KeyUnknown) } else { Ok(candidates) }
}

/// The one by which it is.
pub(super) fn signer<'k>(
    jws: &Jws<'_>,
    candidates: &[&'k VerificationKey],
    verifier: &dyn VerifySignature,
) -> Result<&'k VerificationKey, Failure> {
    candidates.iter().copied().find(|key| verifier.verify(key, jws.signed, &jws.signature)).ok_or(Failure::SignatureInvalid)
}
