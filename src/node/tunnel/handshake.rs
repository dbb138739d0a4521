//! TLS handshakes on sockets: [`culvert_tls`] decides, this reads and writes.

use std::io;
use std::time::Instant;

use culvert_core::tunnel::http2::{Limits, Role};
use culvert_core::tunnel::{Engine, Settled};
use culvert_tls::{Agreed, Established, Handshake, Progress};
use rustls::{AlertDescription, CipherSuite, NamedGroup, PeerIncompatible};

use super::socket::Socket;

/// A connection whose ends know each other.
#[derive(Debug)]
pub(super) struct Secured {
    pub(super) socket: Socket,
    pub(super) agreed: Agreed,
    established: Box<Established>,
    /// The last flight of the handshake, which travels with the first frames.
    unsent: Vec<u8>,
}

/// What a handshake has agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreement {
    suite: CipherSuite,
    group: Option<NamedGroup>,
}

impl Agreement {
    pub(super) fn of(agreed: &Agreed) -> Self {
        Self { suite: agreed.suite, group: agreed.group }
    }

    /// The version of TLS: a suite is of one alone.
    pub(crate) fn version(self) -> &'static str {
        if self.cipher().starts_with("TLS13_") { "TLSv1_3" } else { "TLSv1_2" }
    }

    /// The cipher suite.
    pub(crate) fn cipher(self) -> &'static str {
        self.suite.as_str().unwrap_or("unknown")
    }

    /// The group of the key exchange; one with `MLKEM` in its name is post-quantum. None where no keys were exchanged (TLS 1.2, resumed).
    pub(crate) fn group(self) -> Option<&'static str> {
        self.group.map(|group| group.as_str().unwrap_or("unknown"))
    }

    /// TLS 1.3 with a key exchange that is post-quantum.
    #[cfg(test)]
    pub(crate) const POST_QUANTUM: Self =
        Self { suite: CipherSuite::TLS13_AES_256_GCM_SHA384, group: Some(NamedGroup::X25519MLKEM768) };
}

/// Why the ends do not know each other.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the peer closed the connection during the handshake")]
    Closed,
    #[error("{}", cause(.0))]
    Tls(#[source] culvert_tls::Error),
}

/// What to do about a peer whose TLS is too old.
const TOO_OLD: &str = "the peer speaks no version of TLS that is on here; let it speak TLS 1.3, or allow TLS 1.2 with \
     TLS12_ENABLED=true";

/// The reason itself: that it was a handshake, the reader knows.
fn cause(error: &culvert_tls::Error) -> String {
    let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    if is_too_old(error) { format!("{TOO_OLD} ({cause})") } else { cause }
}

/// Whether the ends have no version of TLS in common. Since 1.3 is always on here, the peer's are older.
fn is_too_old(error: &culvert_tls::Error) -> bool {
    use PeerIncompatible::{
        ServerDoesNotSupportTls12Or13, ServerTlsVersionIsDisabledByOurConfig,
        SupportedVersionsExtensionRequired, Tls12NotOffered, Tls12NotOfferedOrEnabled,
    };
    let culvert_tls::Error::Tls(error) = error else { return false };
    matches!(
        error,
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(
                ServerDoesNotSupportTls12Or13
                    | ServerTlsVersionIsDisabledByOurConfig
                    | SupportedVersionsExtensionRequired
                    | Tls12NotOffered
                    | Tls12NotOfferedOrEnabled
            )
    )
}

/// Bytes read at a time: most flights fit.
const READ: usize = 4096;

/// Does a handshake. The caller sets the deadline.
pub(super) async fn run(mut socket: Socket, handshake: Handshake) -> Result<Secured, Error> {
    let mut input = vec![0; READ];
    let mut output = Vec::new();
    let mut progress = handshake.receive(&[], &mut output);
    loop {
        match progress {
            Ok(Progress::Done(mut established)) => {
                let agreed = established.agreed.clone();
                established.rest.shrink_to_fit();
                return Ok(Secured { socket, agreed, established, unsent: output });
            }
            Ok(Progress::More(handshake)) => {
                socket.write_all(&output).await?;
                output.clear();
                let read = socket.read(&mut input).await?;
                if read == 0 {
                    return Err(Error::Closed);
                }
                progress = handshake.receive(&input[..read], &mut output);
            }
            Err(error) => {
                // The alert is a courtesy: that it may not arrive changes nothing.
                let _ = socket.write_all(&output).await;
                return Err(Error::Tls(error));
            }
        }
    }
}

impl Secured {
    /// Begins HTTP/2 on it. The last value is what the peer has sent of it already.
    pub(super) fn begin(self, role: Role, limits: Limits) -> (Socket, Engine, Vec<u8>) {
        let Established { layer, outgoing, incoming, keys, rest, .. } = *self.established;
        let settled = Settled { layer, outgoing, incoming, keys: Box::new(keys) };
        let mut engine = Engine::new(role, limits, settled, Instant::now());
        engine.send_first(self.unsent);
        (self.socket, engine, rest)
    }
}
