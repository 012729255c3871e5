//! What a connection shows: the peer's certificate, as the proxy has it.

use super::Fault;
use super::confirmation::Thumbprint;
use crate::path::hex;

/// The certificate that the peer showed in the TLS handshake of its connection, and so has the private key of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'h> {
    /// SHA-256 over its DER form, in hex.
    pub certificate_sha256: Option<&'h [u8]>,
    /// The first URI of its subject alternative names.
    pub uri_san: Option<&'h [u8]>,
    /// Has the proxy validated it? `None` when the proxy cannot say.
    pub validated: Option<bool>,
}

/// What of a [`Peer`] a policy looks at: the rest need not be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerWanted {
    /// [`Peer::certificate_sha256`], and whether it is validated.
    pub certificate_sha256: bool,
    /// [`Peer::uri_san`], and whether it is validated.
    pub uri_san: bool,
}

impl PeerWanted {
    /// Anything at all.
    #[must_use]
    pub fn any(self) -> bool {
        let Self { certificate_sha256, uri_san } = self;
        certificate_sha256 || uri_san
    }
}

/// Is it this very certificate? The thumbprint says all that a chain would, so that a proxy which cannot tell whether it
/// validated (Envoy before 1.39) will do; one that says it did not will not.
pub(super) fn has_certificate(peer: Option<&Peer<'_>>, expected: &Thumbprint) -> Result<(), Fault> {
    let peer = peer.ok_or(Fault::NoCertificate)?;
    if peer.validated == Some(false) {
        return Err(Fault::NotValidated);
    }
    let shown = peer.certificate_sha256.and_then(unhex).ok_or(Fault::NoCertificate)?;
    if shown == *expected { Ok(()) } else { Err(Fault::OtherCertificate) }
}

/// Is the peer this workload? A name in a certificate is worth what its validation is: without a word on that it is nobody's.
pub(super) fn has_spiffe_id(peer: Option<&Peer<'_>>, expected: &str) -> Result<(), Fault> {
    if !expected.starts_with("spiffe://") {
        return Err(Fault::NoSpiffeId);
    }
    let peer = peer.ok_or(Fault::NoCertificate)?;
    if peer.validated != Some(true) {
        return Err(Fault::NotValidated);
    }
    if peer.uri_san == Some(expected.as_bytes()) { Ok(()) } else { Err(Fault::OtherSpiffeId) }
}

fn unhex(text: &[u8]) -> Option<Thumbprint> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?)).collect();
    bytes?.try_into().ok()
}
