//! DPoP proofs (RFC 9449): a signed statement that whoever presents the token has its key, for this request and no other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{BindingError, Evidence};
use crate::decide::context::Context;
use crate::http::credentials::Scheme;
use crate::http::head::values;
use crate::http::names::PROOF_HEADER;
use crate::http::origin::{self, Origin};
use crate::primitives::limits;
use crate::rules::policy::Rules;
use crate::state::pace::Payer;
use crate::state::proofs::{ProofId, Untaken, proof_id};
use crate::state::worker::Worker;
use crate::token::claims::NumericDate;
use crate::token::confirmation::Thumbprint;
use crate::token::jws::Jws;
use crate::token::keys::{VerificationKey, thumbprint};

/// Checks that the request carries one good proof by the key that the token names (RFC 9449 §4.3). What costs nothing comes
/// first: a thief who makes up proofs uses up no signature checks, for he does not know a key of this thumbprint.
pub(super) fn check(
    rules: &Rules,
    evidence: &Evidence<'_>,
    expected: &Thumbprint,
    worker: &mut Worker,
    context: &Context<'_>,
) -> Result<(), BindingError> {
    let (skew, latest) = (rules.session.clock_skew, worker.latest());
    if evidence.token.scheme != Some(Scheme::DPoP) {
        return Err(BindingError::OtherScheme);
    }
    let mut proofs = values(evidence.headers, PROOF_HEADER);
    let (Some(text), None) = (proofs.next(), proofs.next()) else { return Err(BindingError::NotOneProof) };
    let (jws, key) = open(text, expected)?;
    let oldest = latest.seconds().saturating_sub(limits::DPOP_PROOF_SECONDS.saturating_add(skew));
    let (id, issued) = is_for(&jws.payload, evidence, &rules.session.bind.origins, expected)?;
    if issued.down < oldest {
        return Err(BindingError::ProofOld);
    }
    // The clock itself, as for tokens: one that went ahead and came back must not take early what was made for later.
    if issued.up > context.now.seconds().saturating_add(skew) {
        return Err(BindingError::ProofAhead);
    }
    let issued = issued.down;
    worker.proofs.is_new(&id, issued, oldest, latest).map_err(|untaken| match untaken {
        Untaken::Old => BindingError::ProofOld,
        Untaken::Replayed => BindingError::ProofReplayed,
        Untaken::NoRoom => BindingError::NoRoom,
    })?;
    let payer = Payer { address: evidence.address, session: Some(evidence.tally) };
    if !worker.pace.take(rules.allowances.verifications_per_second, &payer, latest) {
        return Err(BindingError::NoPace);
    }
    let held = context.verifier.verify(&key, jws.signed, &jws.signature);
    worker.pace.came_to(held, 1, &payer, latest);
    if !held {
        return Err(BindingError::ProofForged);
    }
    worker.proofs.take(id, issued);
    Ok(())
}

/// The proof's form, and its key: the only key in a JOSE header that is ever looked at, and only against a thumbprint that
/// the issuer has signed.
fn open<'t>(text: &'t [u8], expected: &Thumbprint) -> Result<(Jws<'t>, VerificationKey), BindingError> {
    if text.len() > limits::DPOP_PROOF_BYTES {
        return Err(BindingError::ProofMalformed);
    }
    let (jws, header) = Jws::parse_with_header(text, limits::DPOP_PROOF_BYTES).map_err(|_| BindingError::ProofMalformed)?;
    let algorithm = jws.header.algorithm.filter(|_| !jws.header.critical).ok_or(BindingError::ProofMalformed)?;
    if jws.header.typ.as_deref() != Some("dpop+jwt") {
        return Err(BindingError::ProofMalformed);
    }
    let jwk = header.get("jwk").ok_or(BindingError::ProofMalformed)?;
    let named = jwk.as_object().and_then(thumbprint).ok_or(BindingError::ProofMalformed)?;
    if named != *expected {
        return Err(BindingError::OtherKey);
    }
    let key = VerificationKey::embedded(jwk, algorithm).ok_or(BindingError::ProofMalformed)?;
    Ok((jws, key))
}

/// Is it for this request and this token? Gives the proof's id and its `iat`.
fn is_for(
    claims: &Map<String, Value>,
    evidence: &Evidence<'_>,
    origins: &[Origin],
    key: &Thumbprint,
) -> Result<(ProofId, NumericDate), BindingError> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).ok_or(BindingError::ProofMalformed);
    let jti = text("jti")?;
    if jti.is_empty() || jti.len() > limits::IDENTIFIER_BYTES {
        return Err(BindingError::ProofMalformed);
    }
    let issued = claims.get("iat").and_then(NumericDate::read).ok_or(BindingError::ProofMalformed)?;
    if text("htm")?.as_bytes() != evidence.method {
        return Err(BindingError::OtherMethod);
    }
    if !origin::names(text("htu")?, origins, evidence.path) {
        return Err(BindingError::OtherTarget);
    }
    if text("ath")? != URL_SAFE_NO_PAD.encode(Sha256::digest(evidence.token.text)) {
        return Err(BindingError::OtherToken);
    }
    Ok((proof_id(key, jti), issued))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde_json::json;

    use super::*;
    use crate::http::credentials::Presented;
    use crate::http::path::CanonicalPath;
    use crate::primitives::address::Address;
    use crate::primitives::time::Timestamp;
    use crate::rules::policy::Policy;
    use crate::state::tally::Tally;
    use crate::token::keys::RustCrypto;

    const NOW: u64 = 1_562_262_618;

    /// The request of RFC 9449 §7.1 (figure 12), one part of it changed.
    fn published(now: u64, change: impl FnOnce(&mut String, &mut Evidence<'_>, &mut Thumbprint)) -> Result<(), BindingError> {
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
        let document = json!({"version": 1, "name": "p", "session": {"max_lifetime": "15m", "bind": ["dpop"],
            "dpop": {"origins": ["https://resource.example.org"]}}, "commands": {}, "grants": [],
            "tokens": {"from": [{"header": "authorization", "scheme": "DPoP"}], "issuers": [{"issuer": "i", "audiences": ["a"],
                "algorithms": ["ES256"], "keys": {"endpoint": {"cluster": "c", "authority": "i", "path": "/"}}}]}});
        let policy = Rc::new(Policy::compile(document.to_string().as_bytes()).unwrap());
        let path = CanonicalPath::parse(b"/protectedresource").unwrap();
        let token = Presented { text: token, scheme: Some(Scheme::DPoP) };
        let (address, tally) = (Address::Unknown, Tally::default());
        let mut evidence = Evidence { peer: None, headers: &[], method: b"GET", path: &path, token, address, tally: &tally };
        let mut proof = PROOF.to_owned();
        change(&mut proof, &mut evidence, &mut key);
        let headers = [(b"dpop".as_slice(), proof.as_bytes())];
        let context = Context { now: Timestamp::from_seconds(now), newest: &policy, verifier: &RustCrypto };
        let mut worker = Worker::new([0; 16], [0; 32], Default::default());
        worker.observe(context.now);
        check(policy.rules().unwrap(), &Evidence { headers: &headers, ..evidence }, &key, &mut worker, &context)
    }

    #[test]
    fn the_published_proof_holds_for_its_request_alone() {
        assert_eq!(published(NOW, |_, _, _| {}), Ok(()));
        assert_eq!(published(NOW, |_, evidence, _| evidence.method = b"POST"), Err(BindingError::OtherMethod));
        assert_eq!(published(NOW, |_, evidence, _| evidence.token.text = b"x"), Err(BindingError::OtherToken));
        assert_eq!(published(NOW, |_, evidence, _| evidence.token.scheme = Some(Scheme::Bearer)), Err(BindingError::OtherScheme));
        assert_eq!(published(NOW, |_, _, key| key[0] ^= 1), Err(BindingError::OtherKey));
        assert_eq!(
            published(NOW, |proof, _, _| *proof = proof.replace("LjA", "LjB")),
            Err(BindingError::ProofMalformed),
            "loose bits"
        );
        assert_eq!(published(NOW, |proof, _, _| *proof = proof.replace(".2oW9", ".2oW8")), Err(BindingError::ProofForged));
        let at = |seconds| published(seconds, |_, _, _| {});
        assert_eq!(at(1_562_262_678), Ok(()));
        assert_eq!(at(1_562_262_679), Err(BindingError::ProofOld));
        assert_eq!(at(1_562_262_617), Err(BindingError::ProofAhead));
    }
}
