//! Signatures checked by the proxy's own crypto, Envoy's foreign function `verify_signature`: a small part of what they cost in wasm.
//!
//! A host's answer is one of three things. `true`, in the only bytes that mean it: the signature holds. The very words that
//! this host had for a forged signature when the VM started: it does not hold. Anything else, a status or other words (a key
//! or a hash that it cannot use, nonsense): the host has not judged, and pure Rust does, which is never wrong, only slow.
//! A host that was wrong about a known signature at the start is not asked at all.
//!
//! It sits behind the core's own trait, not behind jsonwebtoken's process-wide provider: that one hands over a key that would
//! have to be encoded for each signature, and a policy's keys are encoded once.

use std::cell::Cell;

use chaperone_policy::{Algorithm, KnownAnswer, RustCrypto, VerificationKey, VerifySignature, known_answers};

use crate::hostcalls;
use crate::types::LogLevel;

const FUNCTION: &str = "verify_signature";
/// The protobuf answer `{result: true}`, and no error beside it.
const HOLDS: [u8; 2] = [0x08, 0x01];

/// Checks that were made since the VM began.
#[derive(Clone, Copy, Default)]
pub(crate) struct Verifications {
    pub(crate) host: u64,
    pub(crate) rust: u64,
}

/// The host's crypto where it has any, pure Rust for the rest.
pub(crate) struct HostCrypto {
    /// What the host answers about a forged signature. None: it is not to be asked.
    refusals: Vec<Vec<u8>>,
    made: Cell<Verifications>,
}

impl HostCrypto {
    /// Tries the host on known signatures, good and forged.
    pub(crate) fn checked() -> Self {
        let answers = known_answers();
        let refusals: Option<Vec<_>> = answers.iter().map(refusal).collect();
        let refusals = refusals.unwrap_or_default();
        if refusals.is_empty() {
            hostcalls::log(
                LogLevel::Info,
                "chaperone: the host verifies no signatures that could be relied on: they are verified in wasm",
            );
        }
        Self { refusals, made: Cell::default() }
    }

    pub(crate) fn made(&self) -> Verifications {
        self.made.get()
    }

    /// `None` when the host has not judged.
    fn ask(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> Option<bool> {
        if self.refusals.is_empty() {
            return None;
        }
        let answer = ask(key, message, signature)?;
        if answer == HOLDS {
            return Some(true);
        }
        self.refusals.contains(&answer).then_some(false)
    }
}

impl VerifySignature for HostCrypto {
    fn verify(&self, key: &VerificationKey, message: &[u8], signature: &[u8]) -> bool {
        let Some(der) = key.algorithm().signature_der(signature) else { return false };
        let mut made = self.made.get();
        let (verdict, count) = match self.ask(key, message, &der) {
            Some(verdict) => (verdict, &mut made.host),
            None => (RustCrypto.verify(key, message, signature), &mut made.rust),
        };
        *count += 1;
        self.made.set(made);
        verdict
    }
}

/// What the host says about a forgery of a known signature; `None` when it is wrong about that one or about the genuine one.
fn refusal(known: &KnownAnswer) -> Option<Vec<u8>> {
    let KnownAnswer { key, message, signature } = known;
    let mut forged = signature.clone();
    *forged.last_mut()? ^= 1;
    let mut other = message.to_vec();
    *other.last_mut()? ^= 1;
    let ask = |message: &[u8], signature: &[u8]| ask(key, message, &key.algorithm().signature_der(signature)?);
    let refusal = ask(message, &forged)?;
    (ask(message, signature)? == HOLDS && refusal != HOLDS && ask(&other, signature)? == refusal).then_some(refusal)
}

/// The host's answer; `None` when it gives none, or is not asked about such keys.
fn ask(key: &VerificationKey, message: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let arguments = arguments(hash(key.algorithm())?, key.spki()?, signature, message);
    hostcalls::call_foreign_function(FUNCTION, &arguments).ok()
}

/// The name of the algorithm's hash, where the host knows the algorithm.
fn hash(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::Es256 | Algorithm::Rs256 => Some("sha256"),
        Algorithm::Es384 | Algorithm::Rs384 => Some("sha384"),
        Algorithm::Rs512 => Some("sha512"),
        // Of a PS key the host would check PKCS #1 v1.5, an algorithm that the key is not for.
        Algorithm::EdDsa | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => None,
    }
}

/// Envoy's `VerifySignatureArguments`, a protobuf message.
fn arguments(hash: &str, key: &[u8], signature: &[u8], text: &[u8]) -> Vec<u8> {
    /// Wire type 2: a length, then as many bytes.
    const BYTES: u8 = 2;
    let fields = [(1_u8, hash.as_bytes()), (2, key), (3, signature), (4, text)];
    let mut message = Vec::with_capacity(fields.iter().map(|(_, value)| value.len() + 6).sum());
    for (number, value) in fields {
        message.push(number << 3 | BYTES);
        let mut length = value.len();
        while length > 0x7f {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(value);
    }
    message
}
