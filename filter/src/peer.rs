//! The peer's certificate and address, as the proxy has them: asked for only where a policy looks at it, for each question is a host call.

use std::cell::OnceCell;

use chaperone_policy::{AskSource, Peer, PeerWanted};

use crate::hostcalls;

/// What the proxy says of it.
pub(crate) struct PeerProperties {
    certificate_sha256: Option<Vec<u8>>,
    uri_san: Option<Vec<u8>>,
    validated: Option<bool>,
}

impl PeerProperties {
    /// `None` when nobody wants to know, or there is no certificate. What the proxy does not answer is not there.
    pub(crate) fn read(wanted: PeerWanted) -> Option<Self> {
        if !wanted.any() || !is_true(&property("connection\0mtls")?) {
            return None;
        }
        let ask = |wanted: bool, path| if wanted { property(path) } else { None };
        Some(Self {
            // No such property before Envoy 1.39. A call that fails is no word for it, either.
            validated: match hostcalls::get_property("connection\0peer_certificate_valid") {
                Ok(None) => None,
                Ok(Some(value)) => Some(is_true(&value)),
                Err(hostcalls::Failed) => Some(false),
            },
            certificate_sha256: ask(wanted.certificate_sha256, "connection\0sha256_peer_certificate_digest"),
            uri_san: ask(wanted.uri_san, "connection\0uri_san_peer_certificate"),
        })
    }

    pub(crate) fn peer(&self) -> Peer<'_> {
        Peer {
            certificate_sha256: self.certificate_sha256.as_deref(),
            uri_san: self.uri_san.as_deref(),
            validated: self.validated,
        }
    }
}

/// The peer's address: asked for once, and only if the core wants to know.
#[derive(Default)]
pub(crate) struct SourceAddress(OnceCell<Option<Vec<u8>>>);

impl AskSource for SourceAddress {
    fn address(&self) -> Option<&[u8]> {
        self.0.get_or_init(|| property("source\0address")).as_deref()
    }
}

fn property(path: &str) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
}

/// A boolean property: one byte.
fn is_true(value: &[u8]) -> bool {
    value == [1]
}
