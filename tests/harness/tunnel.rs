//! The other end of a tunnel, as far as the TLS handshake and a little beyond: to see who is let in, and who is thrown out.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use culvert_lab::Pod;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use super::endpoint::Groups;
use super::pki::Owned;
use super::talk::SOON;

/// How HTTP/2 begins (RFC 9113, section 3.4), with empty settings.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A tunnel that was let in.
pub(crate) struct Tunnel(StreamOwned<ClientConnection, TcpStream>);

/// Makes a TLS handshake with whoever is at `to`, and waits until the first word comes through the tunnel.
///
/// # Errors
/// When we are not let in, or cannot agree.
pub(crate) fn knock(
    from: &Pod,
    to: impl Into<SocketAddr>,
    with: &Owned,
    groups: Groups,
) -> io::Result<Tunnel> {
    let config = client_config(with.chain.clone(), with.key.clone_key(), groups);
    let tls = ClientConnection::new(config, peer_name()).unwrap();
    let mut stream = StreamOwned::new(tls, from.connect(to, SOON)?);
    stream.write_all(PREFACE)?;
    stream.flush()?;
    let mut first = [0; 1];
    stream.read_exact(&mut first)?;
    Ok(Tunnel(stream))
}

/// As a client that shows a certificate and takes anybody's.
pub(crate) fn client_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    groups: Groups,
) -> Arc<ClientConfig> {
    let provider = groups.provider();
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_client_auth_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// Nobody looks at it, but there must be one.
pub(crate) fn peer_name() -> ServerName<'static> {
    ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST))
}

impl Tunnel {
    /// The certificate the other end has shown, as DER.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().and_then(<[_]>::first).map(|leaf| leaf.to_vec()).unwrap_or_default()
    }

    /// Waits until the other end closes it.
    ///
    /// # Errors
    /// `WouldBlock` when it is still open after the deadline.
    pub(crate) fn wait_for_end(&mut self, deadline: Duration) -> io::Result<()> {
        self.0.sock.set_read_timeout(Some(deadline))?;
        let mut rest = [0; 1024];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // Reset, or cut off without a word.
                Err(_) => return Ok(()),
            }
        }
    }

    /// Whether a request is answered; here a ping.
    pub(crate) fn is_alive(&mut self) -> bool {
        const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0culverts";
        let sent = self.0.write_all(PING).and_then(|()| self.0.flush());
        let mut seen = Vec::new();
        while sent.is_ok() && !seen.windows(8).any(|bytes| bytes == b"culverts") {
            let mut more = [0; 1024];
            match self.0.read(&mut more) {
                Ok(0) | Err(_) => return false,
                Ok(length) => seen.extend_from_slice(&more[..length]),
            }
        }
        sent.is_ok()
    }
}

/// Takes anybody for the one it wants.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
