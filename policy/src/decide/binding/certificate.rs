//! Is the peer of the connection whom the token names?

use super::BindingError;
use crate::http::peer::Peer;
use crate::primitives::ascii::hex;
use crate::token::confirmation::Thumbprint;

/// Is it this very certificate? The thumbprint says all that a chain would, so that a proxy which cannot tell whether it
/// validated (Envoy before 1.39) will do; one that says it did not will not.
pub(super) fn has_certificate(peer: Option<&Peer<'_>>, expected: &Thumbprint) -> Result<(), BindingError> {
    let peer = peer.ok_or(BindingError::NoCertificate)?;
    if peer.validated == Some(false) {
        return Err(BindingError::NotValidated);
    }
    let shown = peer.certificate_sha256.and_then(unhex).ok_or(BindingError::NoCertificate)?;
    if shown == *expected { Ok(()) } else { Err(BindingError::OtherCertificate) }
}

/// Is the peer this workload? A name in a certificate is worth what its validation is: without a word on that it is nobody's.
pub(super) fn has_spiffe_id(peer: Option<&Peer<'_>>, expected: &str) -> Result<(), BindingError> {
    if !expected.starts_with("spiffe://") {
        return Err(BindingError::NoSpiffeId);
    }
    let peer = peer.ok_or(BindingError::NoCertificate)?;
    if peer.validated != Some(true) {
        return Err(BindingError::NotValidated);
    }
    if peer.uri_san == Some(expected.as_bytes()) { Ok(()) } else { Err(BindingError::OtherSpiffeId) }
}

fn unhex(text: &[u8]) -> Option<Thumbprint> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?)).collect();
    bytes?.try_into().ok()
}
