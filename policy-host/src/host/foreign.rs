//! Envoy's foreign function `verify_signature`, with its restrictions and its words.
//!
//! One public key, RSA for PKCS #1 v1.5 or ECDSA with DER signatures; no PSS, no HMAC, and Ed25519 keys that can be read but not
//! used. Envoy reads more than this host does: RSA keys of more than 4096 bits, the curves P-224 and P-521.

use super::Status;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{
    Pkcs1v15Sign, RsaPublicKey,
    pkcs8::{
        AssociatedOid, Document, ObjectIdentifier, SubjectPublicKeyInfoRef,
        der::{Decode, SliceReader},
    },
    sha2::{Digest, Sha224, Sha256, Sha384, Sha512},
};
use sha1::Sha1;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// RFC 8410 §3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Answers that are remembered, which are short (an error about a hash has its name in it): every VM tries the crypto when it is
/// configured, and verifies the tokens of its cases anew.
const REMEMBERED: usize = 4096;
const REMEMBERED_BYTES: usize = 64;

/// Answers by the SHA-256 of what was asked: key, signature and text.
#[derive(Default)]
struct Remembered(HashMap<[u8; 32], Vec<u8>>);

impl Remembered {
    fn keep(&mut self, asked: [u8; 32], answer: Vec<u8>) {
        // Forgetting only costs time.
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        if answer.len() <= REMEMBERED_BYTES {
            self.0.insert(asked, answer);
        }
    }
}

/// As [`verify`], or as it was answered before in this process: the answer is about these bytes alone.
pub(super) fn verify_signature(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    static ANSWERS: Mutex<Option<Remembered>> = Mutex::new(None);
    // Whoever held the lock and panicked left a map that is whole.
    let answers = || ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let asked: [u8; 32] = Sha256::digest(arguments).into();
    if let Some(known) = answers().get_or_insert_default().0.get(&asked) {
        return Ok(known.clone());
    }
    let answer = verify(arguments)?;
    answers().get_or_insert_default().keep(asked, answer.clone());
    Ok(answer)
}

/// Envoy's `VerifySignatureArguments` in; its `VerifySignatureResult` out, both as protobuf.
fn verify(arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = Arguments::read(arguments).ok_or(Status::BadArgument)?;
    let key = arguments.key().ok_or(Status::BadArgument)?;
    Ok(match key.verify(arguments.hash_function, arguments.signature, arguments.text) {
        Ok(()) => vec![RESULT << 3, 1],
        Err(error) => [&[ERROR << 3 | BYTES, u8::try_from(error.len()).unwrap_or(u8::MAX)], error.as_bytes()].concat(),
    })
}

const RESULT: u8 = 1;
const ERROR: u8 = 2;
/// The wire type of what has a length.
const BYTES: u8 = 2;

#[derive(Default)]
struct Arguments<'a> {
    hash_function: &'a str,
    public_key: &'a [u8],
    public_key_pem: &'a str,
    signature: &'a [u8],
    text: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// As protobuf reads it: of a repeated field the last one counts, unknown ones are passed over.
    fn read(mut message: &'a [u8]) -> Option<Self> {
        let mut arguments = Self::default();
        while !message.is_empty() {
            let tag = varint(&mut message)?;
            let value = match tag & 7 {
                0 => {
                    varint(&mut message)?;
                    continue;
                }
                1 => take(&mut message, 8)?,
                2 => {
                    let length = usize::try_from(varint(&mut message)?).ok()?;
                    take(&mut message, length)?
                }
                5 => take(&mut message, 4)?,
                _ => return None,
            };
            match (tag >> 3, tag & 7) {
                (0, _) => return None,
                (1, 2) => arguments.hash_function = std::str::from_utf8(value).ok()?,
                (2, 2) => arguments.public_key = value,
                (3, 2) => arguments.signature = value,
                (4, 2) => arguments.text = value,
                (5, 2) => arguments.public_key_pem = std::str::from_utf8(value).ok()?,
                _ => {}
            }
        }
        Some(arguments)
    }

    /// Exactly one key.
    fn key(&self) -> Option<PublicKey> {
        match (self.public_key, self.public_key_pem) {
            (der, "") if !der.is_empty() => PublicKey::read(der),
            ([], pem) if !pem.is_empty() => PublicKey::read(Document::from_pem(pem).ok()?.1.as_bytes()),
            _ => None,
        }
    }
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let byte = *take(from, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << (place * 7);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

enum PublicKey {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Rsa(RsaPublicKey),
    Ed25519,
}

impl PublicKey {
    /// A `SubjectPublicKeyInfo` in DER. As in BoringSSL, what follows it does not matter.
    fn read(der: &[u8]) -> Option<Self> {
        let info = SubjectPublicKeyInfoRef::decode(&mut SliceReader::new(der).ok()?).ok()?;
        if info.algorithm.oid == ED25519 {
            return Some(Self::Ed25519);
        }
        let p256 = || info.clone().try_into().ok().map(Self::P256);
        let p384 = || info.clone().try_into().ok().map(Self::P384);
        let rsa = || info.clone().try_into().ok().map(Self::Rsa);
        p256().or_else(p384).or_else(rsa)
    }

    fn verify(&self, hash: &str, signature: &[u8], text: &[u8]) -> Result<(), String> {
        match hash.to_ascii_lowercase().as_str() {
            "sha1" => self.verify_with::<Sha1>(signature, text),
            "sha224" => self.verify_with::<Sha224>(signature, text),
            "sha256" => self.verify_with::<Sha256>(signature, text),
            "sha384" => self.verify_with::<Sha384>(signature, text),
            "sha512" => self.verify_with::<Sha512>(signature, text),
            _ => Err(format!("{hash} is not supported.")),
        }
    }

    fn verify_with<H: Digest + AssociatedOid>(&self, signature: &[u8], text: &[u8]) -> Result<(), String> {
        let digest = H::digest(text);
        let holds = match self {
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&widened::<32>(&digest), &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&widened::<48>(&digest), &signature).is_ok()),
            Self::Rsa(key) => key.verify(Pkcs1v15Sign::new::<H>(), &digest, signature).is_ok(),
            Self::Ed25519 => return Err("Failed to initialize digest verify.".to_owned()),
        };
        if holds { Ok(()) } else { Err("Failed to verify digest. Error code: 0".to_owned()) }
    }
}

/// A digest that is shorter than the curve is the same number with zeros before it; the library refuses very short ones.
fn widened<const SIZE: usize>(digest: &[u8]) -> Vec<u8> {
    [&vec![0; SIZE.saturating_sub(digest.len())], digest].concat()
}

#[cfg(test)]
mod tests;
