//! DPoP proofs (RFC 9449): a signed statement that whoever presents the token has its key, for this request and no other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::confirmation::Thumbprint;
use super::origin::{self, Origin};
use super::replay::{ProofId, proof_id};
use super::{Fault, Machine, Shown};
use crate::issuers::Scheme;
use crate::keys::{VerificationKey, thumbprint};
use crate::limits;
use crate::request::values;
use crate::token::Jws;

/// The header that carries the proof, in lower case.
pub(crate) const HEADER: &str = "dpop";

/// Checks that the request carries one good proof by the key that the token names (RFC 9449 §4.3). What costs nothing comes
/// first: a thief who makes up proofs uses up no signature checks, for he does not know a key of this thumbprint.
pub(super) fn check(
    shown: &Shown<'_>,
    origins: &[Origin],
    skew: u64,
    expected: &Thumbprint,
    machine: &mut Machine<'_>,
) -> Result<(), Fault> {
    if shown.token.scheme != Some(Scheme::DPoP) {
        return Err(Fault::OtherScheme);
    }
    let mut proofs = values(shown.headers, HEADER);
    let (Some(text), None) = (proofs.next(), proofs.next()) else { return Err(Fault::NotOneProof) };
    let (jws, key) = open(text, expected)?;
    let oldest = shown.latest.seconds().saturating_sub(limits::DPOP_PROOF_SECONDS.saturating_add(skew));
    let (id, issued) = is_for(&jws.payload, shown, origins, expected)?;
    if issued < oldest {
        return Err(Fault::ProofOld);
    }
    // The clock itself, as for tokens: one that went ahead and came back must not take early what was made for later.
    if issued > shown.now.seconds().saturating_add(skew) {
        return Err(Fault::ProofAhead);
    }
    machine.proofs.is_new(&id, issued, oldest, shown.latest)?;
    if !machine.pace.take(machine.allowance, &machine.payer, shown.latest) {
        return Err(Fault::NoPace);
    }
    let held = machine.verifier.verify(&key, jws.signed, &jws.signature);
    machine.pace.came_to(held, &machine.payer, shown.latest);
    if !held {
        return Err(Fault::ProofForged);
    }
    machine.proofs.take(id, issued);
    Ok(())
}

/// The proof's form, and its key: the only key in a JOSE header that is ever looked at, and only against a thumbprint that
/// the issuer has signed.
fn open<'t>(text: &'t [u8], expected: &Thumbprint) -> Result<(Jws<'t>, VerificationKey), Fault> {
    if text.len() > limits::DPOP_PROOF_BYTES {
        return Err(Fault::ProofMalformed);
    }
    let (jws, header) = Jws::parse_with_header(text, limits::DPOP_PROOF_BYTES).map_err(|_| Fault::ProofMalformed)?;
    let algorithm = jws.header.algorithm.filter(|_| !jws.header.critical).ok_or(Fault::ProofMalformed)?;
    if jws.header.kind.as_deref() != Some("dpop+jwt") {
        return Err(Fault::ProofMalformed);
    }
    let jwk = header.get("jwk").ok_or(Fault::ProofMalformed)?;
    let named = jwk.as_object().and_then(thumbprint).ok_or(Fault::ProofMalformed)?;
    if named != *expected {
        return Err(Fault::OtherKey);
    }
    let key = VerificationKey::embedded(jwk, algorithm).ok_or(Fault::ProofMalformed)?;
    Ok((jws, key))
}

/// Is it for this request and this token? Gives the proof's id and its `iat`.
fn is_for(claims: &Map<String, Value>, shown: &Shown<'_>, origins: &[Origin], key: &Thumbprint) -> Result<(ProofId, u64), Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).ok_or(Fault::ProofMalformed);
    let jti = text("jti")?;
    if jti.is_empty() || jti.len() > limits::IDENTIFIER_BYTES {
        return Err(Fault::ProofMalformed);
    }
    let issued = claims.get("iat").and_then(Value::as_u64).filter(|at| *at <= limits::LATEST_SECONDS);
    let issued = issued.ok_or(Fault::ProofMalformed)?;
    if text("htm")?.as_bytes() != shown.method {
        return Err(Fault::OtherMethod);
    }
    if !origin::names(text("htu")?, origins, shown.path) {
        return Err(Fault::OtherTarget);
    }
    if text("ath")? != URL_SAFE_NO_PAD.encode(Sha256::digest(shown.token.text)) {
        return Err(Fault::OtherToken);
    }
    Ok((proof_id(key, jti), issued))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::binding::ProofMemory;
    use crate::keys::RustCrypto;
    use crate::pace::{Pace, Payer};
    use crate::path::CanonicalPath;
    use crate::request::Presented;
    use crate::time::Timestamp;

    /// The request of RFC 9449 §7.1 (figure 12), one part of it changed.
    fn published(change: impl FnOnce(&mut String, &mut Shown<'_>, &mut Thumbprint)) -> Result<(), Fault> {
        const PROOF: &str = concat!(
            "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZl",
            "dWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2lj",
            "OC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCw",
            "iYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y",
            "6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA",
        );
        let token = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
        let mut key: Thumbprint =
            URL_SAFE_NO_PAD.decode("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I").unwrap().try_into().unwrap();
        let origins = [Origin::read("https://resource.example.org").unwrap()];
        let path = CanonicalPath::parse(b"/protectedresource").unwrap();
        let now = Timestamp::from_seconds(1_562_262_618);
        let token = Presented { text: token, scheme: Some(Scheme::DPoP) };
        let mut shown = Shown { peer: None, headers: &[], method: b"GET", path: &path, token, now, latest: now };
        let mut proof = PROOF.to_owned();
        change(&mut proof, &mut shown, &mut key);
        let headers = [(b"dpop".as_slice(), proof.as_bytes())];
        let (mut proofs, mut pace) = (ProofMemory::default(), Pace::default());
        let payer = Payer { address: Address::Unknown, session: None };
        let mut machine = Machine { proofs: &mut proofs, pace: &mut pace, allowance: 1, payer, verifier: &RustCrypto };
        check(&Shown { headers: &headers, ..shown }, &origins, 0, &key, &mut machine)
    }

    #[test]
    fn the_published_proof_holds_for_its_request_alone() {
        assert_eq!(published(|_, _, _| {}), Ok(()));
        assert_eq!(published(|_, shown, _| shown.method = b"POST"), Err(Fault::OtherMethod));
        assert_eq!(published(|_, shown, _| shown.token.text = b"x"), Err(Fault::OtherToken));
        assert_eq!(published(|_, shown, _| shown.token.scheme = Some(Scheme::Bearer)), Err(Fault::OtherScheme));
        assert_eq!(published(|_, _, key| key[0] ^= 1), Err(Fault::OtherKey));
        assert_eq!(published(|proof, _, _| *proof = proof.replace("LjA", "LjB")), Err(Fault::ProofMalformed), "loose bits");
        assert_eq!(published(|proof, _, _| *proof = proof.replace(".2oW9", ".2oW8")), Err(Fault::ProofForged));
        let at = |seconds| {
            let at = Timestamp::from_seconds(seconds);
            published(|_, shown, _| (shown.now, shown.latest) = (at, at))
        };
        assert_eq!(at(1_562_262_678), Ok(()));
        assert_eq!(at(1_562_262_679), Err(Fault::ProofOld));
        assert_eq!(at(1_562_262_617), Err(Fault::ProofAhead));
    }
}
