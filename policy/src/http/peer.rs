//! What a connection shows: the peer's certificate, as the proxy has it.

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
    /// Says whether anything at all is wanted.
    #[must_use]
    pub fn any(self) -> bool {
        let Self { certificate_sha256, uri_san } = self;
        certificate_sha256 || uri_san
    }
}
