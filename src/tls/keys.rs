//! The keys of a connection after its handshake.
//!
//! In go what rustls keeps of a finished handshake, or what another process has derived from it; out come [`Keys`] for the
//! engine.

use std::fmt;

use culvert_core::tunnel::record::{Ahead, Cipher, Direction, Keys, Secret, Suite};
use rustls::ConnectionTrafficSecrets;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;

use crate::aead;

/// The keys of a connection whose handshake this process has done.
#[derive(Debug)]
pub struct TrafficKeys(Kernel);

/// What rustls keeps of a connection once it is no longer asked to protect its records.
pub(crate) enum Kernel {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// The keys of a connection that comes from another process: those that were derived there, and no more.
///
/// Each is wiped as soon as it is given away, and those that are left when this is dropped.
#[derive(Debug)]
pub struct InheritedKeys {
    /// The next one last, as in `incoming`.
    outgoing: Vec<Secret>,
    incoming: Vec<Secret>,
}

// === impl TrafficKeys ===

impl TrafficKeys {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self(kernel)
    }
}

impl Keys for TrafficKeys {
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher> {
        aead::cipher(secret)
    }

    /// Gives nothing under TLS 1.2, which has no key updates.
    fn next(&mut self, direction: Direction) -> Option<Secret> {
        let next = match (&mut self.0, direction) {
            (Kernel::Client(kernel), Direction::Out) => kernel.update_tx_secret(),
            (Kernel::Client(kernel), Direction::In) => kernel.update_rx_secret(),
            (Kernel::Server(kernel), Direction::Out) => kernel.update_tx_secret(),
            (Kernel::Server(kernel), Direction::In) => kernel.update_rx_secret(),
        };
        secret(next.ok()?)
    }

    fn ticket(&mut self, body: &[u8]) {
        // Only clients are sent tickets. One that cannot be used is one resumption less.
        if let Kernel::Client(kernel) = &mut self.0 {
            let _ = kernel.handle_new_session_ticket(body);
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "Client",
            Self::Server(_) => "Server",
        })
    }
}

/// The secret of one direction as rustls gives it, with the number of the next record; `None` for a cipher that is not ours.
///
/// Under TLS 1.2 the initialization vector is the salt, and then where the explicit nonces start: each is that, xor the record's
/// number (RFC 5288 §3 leaves the choice to the sender).
pub(crate) fn secret((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Option<Secret> {
    let (suite, key, iv) = match &secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { .. } | _ => return None,
    };
    Secret::new(suite, key.as_ref(), iv.as_ref().try_into().ok()?, sequence)
}

// === impl InheritedKeys ===

impl From<Ahead> for InheritedKeys {
    fn from(Ahead { mut outgoing, mut incoming }: Ahead) -> Self {
        outgoing.reverse();
        incoming.reverse();
        Self { outgoing, incoming }
    }
}

impl Keys for InheritedKeys {
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher> {
        aead::cipher(secret)
    }

    fn next(&mut self, direction: Direction) -> Option<Secret> {
        let secrets = match direction {
            Direction::Out => &mut self.outgoing,
            Direction::In => &mut self.incoming,
        };
        // What is moved out stays behind in memory; what is cut off is wiped.
        let next = secrets.last().cloned();
        secrets.truncate(secrets.len().saturating_sub(1));
        next
    }

    /// Does nothing: what a ticket belongs to stayed in the process that did the handshake.
    fn ticket(&mut self, _: &[u8]) {}
}
