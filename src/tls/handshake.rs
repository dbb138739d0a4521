//! Handshakes: from the first byte to keys.
//!
//! In go a configuration and what the peer sends, cut anywhere; out come what it is to be sent and, once, [`Established`]. The
//! state is handed from call to call, so that nothing can be asked of a handshake that is over.
//!
//! rustls is shown one record at a time. What follows the peer's last handshake record it never sees, so it cannot keep it.

mod input;
mod side;

use std::sync::Arc;

use culvert_core::tunnel::record::{Layer, Secret};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, CommonState, HandshakeKind, NamedGroup, ServerConfig, SupportedCipherSuite,
};

use crate::keys::{self, TrafficKeys};
use input::Input;
use side::{Side, Step};

/// A handshake that is not over.
#[derive(Debug)]
pub struct Handshake {
    side: Side,
    input: Input,
}

/// What came of some input.
#[derive(Debug)]
pub enum Progress {
    /// The peer has more to say.
    More(Handshake),
    /// The handshake is over.
    Done(Box<Established>),
}

/// What a handshake has settled.
#[derive(Debug)]
pub struct Established {
    /// How records look.
    pub layer: Layer,
    /// What we seal with, from the next record on.
    pub outgoing: Secret,
    /// What we open with, from the first record in `rest` on.
    pub incoming: Secret,
    /// What comes after these secrets.
    pub keys: TrafficKeys,
    /// What the peer sent after its part of the handshake: the start of its records, cut anywhere.
    pub rest: Vec<u8>,
    /// What is no secret.
    pub agreed: Agreed,
}

/// What two ends have agreed on, and who the other one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The peer's certificate and those it sent along, also when an earlier connection is resumed; none when it was not asked.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// The application protocol.
    pub alpn: Option<Vec<u8>>,
    /// Whether an earlier connection's secrets were used.
    pub resumed: bool,
    /// The cipher suite, by its TLS name.
    pub suite: CipherSuite,
    /// How the keys were exchanged; `None` when they were not (TLS 1.2, resumed).
    pub group: Option<NamedGroup>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The two ends did not agree, or one did not trust the other.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// The peer sends a message that is too long, or in too many records.
    #[error("the peer's TLS handshake needs more than {MOST_HELD} octets at once")]
    TooMuch,
    /// The configuration keeps the keys to itself.
    #[error("the TLS configuration does not give its secrets away: enable_secret_extraction must be set")]
    SecretsKept,
    /// The configuration lets data through that anybody can replay.
    #[error("the TLS configuration has early data on, which can be replayed: it must be off")]
    EarlyData,
    /// What was agreed on is not for tunnels.
    #[error(
        "{0:?} was agreed on, and tunnels use AES-GCM only: no other suite may be in the TLS configuration"
    )]
    Suite(CipherSuite),
}

/// What may be kept of a message that is not all there: the longest that rustls takes is 64 KiB, and it comes in records of up
/// to 18 KiB, of which the last may end beyond it.
const MOST_HELD: usize = 96 * 1024;

impl Handshake {
    /// Opens a connection to a server. The first call of [`receive`](Self::receive), without any bytes, says what to send.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, Error> {
        suitable(config.enable_secret_extraction, config.enable_early_data)?;
        Ok(Self { side: Side::client(config, name).map_err(Error::Tls)?, input: Input::default() })
    }

    /// Awaits a client.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        suitable(config.enable_secret_extraction, config.max_early_data_size > 0)?;
        Ok(Self { side: Side::server(config).map_err(Error::Tls)?, input: Input::default() })
    }

    /// Takes what came from the peer, and puts what it must be sent behind what is in `output`.
    ///
    /// # Errors
    /// When there will be no keys. `output` then ends with the alert that tells the peer why, if it is to be told.
    pub fn receive(mut self, bytes: &[u8], output: &mut Vec<u8>) -> Result<Progress, Error> {
        self.input.extend(bytes);
        loop {
            let more = self.input.offer();
            if let Err(error) = self.proceed(output) {
                self.side.last_words(output);
                return Err(Error::Tls(error));
            }
            if !self.side.common().is_handshaking() {
                return self.settle().map(|established| Progress::Done(Box::new(established)));
            }
            if !more {
                break;
            }
        }
        if self.input.held() > MOST_HELD {
            return Err(Error::TooMuch);
        }
        Ok(Progress::More(self))
    }

    /// Lets rustls do what it can with what it is offered.
    fn proceed(&mut self, output: &mut Vec<u8>) -> Result<(), rustls::Error> {
        loop {
            let (read, step) = self.side.step(self.input.offered(), output);
            self.input.discard(read);
            match step? {
                Step::Again => {}
                Step::Waits => return Ok(()),
            }
        }
    }

    fn settle(self) -> Result<Established, Error> {
        let (layer, agreed) =
            agreed(self.side.common()).ok_or(Error::Tls(rustls::Error::HandshakeNotComplete))?;
        let (secrets, kernel) = self.side.into_kernel().map_err(Error::Tls)?;
        let secret = |secrets| keys::secret(secrets).ok_or(Error::Suite(agreed.suite));
        Ok(Established {
            layer,
            outgoing: secret(secrets.tx)?,
            incoming: secret(secrets.rx)?,
            keys: TrafficKeys::new(kernel),
            rest: self.input.into_rest(),
            agreed,
        })
    }
}

fn suitable(gives_secrets: bool, takes_early_data: bool) -> Result<(), Error> {
    if !gives_secrets {
        return Err(Error::SecretsKept);
    }
    if takes_early_data {
        return Err(Error::EarlyData);
    }
    Ok(())
}

/// `None` while a handshake is under way.
fn agreed(connection: &CommonState) -> Option<(Layer, Agreed)> {
    let suite = connection.negotiated_cipher_suite()?;
    let layer = match suite {
        SupportedCipherSuite::Tls13(_) => Layer::Tls13,
        SupportedCipherSuite::Tls12(_) => Layer::Tls12,
    };
    let agreed = Agreed {
        peer_certificates: connection.peer_certificates().unwrap_or_default().to_vec(),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: connection.handshake_kind()? == HandshakeKind::Resumed,
        suite: suite.suite(),
        group: connection.negotiated_key_exchange_group().map(SupportedKxGroup::name),
    };
    Some((layer, agreed))
}
