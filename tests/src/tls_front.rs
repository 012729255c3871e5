//! TLS in front of a server of plain text, with a certificate that a test chooses.

use crate::mtls::Identity;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};

/// A running front; it ends when dropped.
pub struct TlsFront {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl TlsFront {
    /// Shows this identity and forwards to `plain`.
    ///
    /// # Panics
    /// When the identity is not usable, or loopback has no free port.
    pub async fn start(identity: &Identity, plain: SocketAddr) -> Self {
        let (certificate, key) = identity.parts();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], PrivatePkcs8KeyDer::from(key.to_vec()).into())
            .expect("key and certificate belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Who does not want this certificate goes away, which is nothing to report.
                    let Ok(mut secure) = acceptor.accept(socket).await else { return };
                    let Ok(mut behind) = TcpStream::connect(plain).await else { return };
                    copy_bidirectional(&mut secure, &mut behind).await.ok();
                });
            }
        });
        Self { address, serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
