//! Connections with client certificates: a certificate authority for one test, what it gives out, and a client that shows it.

use crate::client::{Call, Connection, Reply};
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use sha2::{Digest as _, Sha256};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        client::Resumption,
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName},
    },
};

/// Whom every certificate of a server is for.
const SERVER: &str = "orders.example";

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("randomness");
        let mut params = CertificateParams::default();
        // A name of its own: of two certificates with one name the one would seem to have issued itself.
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A client's certificate with this URI, as an X.509-SVID has it.
    ///
    /// # Panics
    /// When the URI is none.
    #[must_use]
    pub fn client(&self, uri: &str) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A server's certificate for this name or address.
    ///
    /// # Panics
    /// When the name is none.
    #[must_use]
    pub fn server(&self, name: &str) -> Identity {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Its own certificate, as a file of authorities has it.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    fn issue(&self, mut params: CertificateParams, purpose: ExtendedKeyUsagePurpose) -> Identity {
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Identity { certificate, key: key.serialize_der() }
    }

    /// The listener of the shipped bootstrap with TLS, as a setting to exchange: its own lines, and those with TLS.
    /// `context` goes into the `DownstreamTlsContext`, `validation` into its `validation_context`.
    #[must_use]
    pub fn listener(&self, context: &str, validation: &str) -> (&'static str, String) {
        const PLAIN: &str = "      filter_chains:\n        - filters:\n";
        let Identity { certificate, key } = self.server(SERVER);
        let text = |label: &str, der: &[u8]| format!("inline_string: {:?}", pem(label, der));
        let (certificate, key) = (text("CERTIFICATE", &certificate), text("PRIVATE KEY", &key));
        let authority = text("CERTIFICATE", &self.certificate);
        let tls = format!(
            "      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              {context}
              common_tls_context:
                alpn_protocols: [http/1.1]
                tls_certificates: [{{ certificate_chain: {{ {certificate} }}, private_key: {{ {key} }} }}]
                validation_context: {{ trusted_ca: {{ {authority} }}{validation} }}
          filters:
"
        );
        (PLAIN, tls)
    }

    /// A client of servers of this authority, that shows this identity or none. It resumes sessions where the server lets it.
    ///
    /// # Panics
    /// When the identity is not usable.
    #[must_use]
    pub fn connector(&self, identity: Option<&Identity>) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => builder
                .with_client_auth_cert(vec![certificate.clone()], PrivatePkcs8KeyDer::from(key.clone()).into())
                .expect("key and certificate belong together"),
        };
        config.resumption = Resumption::in_memory_sessions(8);
        Client(Arc::new(config))
    }
}

impl Identity {
    /// The certificate, and its key as PKCS #8.
    pub(crate) fn parts(&self) -> (&CertificateDer<'static>, &[u8]) {
        (&self.certificate, &self.key)
    }

    /// As a token's `cnf` has it (RFC 8705 §3.1).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.certificate))
    }
}

/// A client with its certificate, and the TLS sessions that it remembers.
#[derive(Clone)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// Sends a call on a connection of its own, and says whether that took up an earlier session.
    ///
    /// # Errors
    /// When the handshake fails, or there is no answer.
    pub async fn send(&self, to: SocketAddr, call: &Call) -> Result<(Reply, bool), crate::client::Error> {
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::try_from(SERVER)?;
        let stream = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(tokio_rustls::rustls::HandshakeKind::Resumed);
        Ok((Connection::over(stream).await?.send(call).await?, resumed))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
