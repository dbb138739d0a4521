//! TLS records under keys that a handshake has settled: sealed and opened in place.
//!
//! In go plaintext in a slot and records as they came; out come the same bytes, sealed or opened. A [`Keys`] knows the cipher
//! and the next keys; a [`Layer`] knows how a record looks (RFC 8446 §5.2, RFC 5246 §6.2.3 with RFC 5288). The handshake itself
//! and the certificates are somebody else's.

mod handshake;
mod incoming;
mod layer;
mod outgoing;

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, ZeroizeOnDrop};

pub use incoming::{Incoming, Opened};
pub use layer::Layer;
pub use outgoing::Outgoing;

/// The most plaintext of one record (RFC 8446 §5.1).
pub const MOST_PLAIN: usize = 16_384;

/// Octets of a record header.
pub const HEAD: usize = 5;

/// Octets of an AES-GCM tag.
pub const TAG: usize = 16;

/// Records that one AES-GCM key may protect: a margin below 2^24.5 (RFC 8446 §5.5).
const MOST_RECORDS: u64 = 1 << 24;

/// The ciphers of tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Suite {
    /// AES-128-GCM.
    Aes128Gcm,
    /// AES-256-GCM.
    Aes256Gcm,
}

/// The two directions of a connection, as we see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What we seal.
    Out,
    /// What we open.
    In,
}

/// The key of one direction, and the number of the next record under it. Wiped when dropped.
#[derive(Clone, Serialize, Deserialize, ZeroizeOnDrop)]
pub struct Secret {
    #[zeroize(skip)]
    suite: Suite,
    key: [u8; 32],
    iv: [u8; 12],
    sequence: u64,
}

impl Secret {
    /// `key` has 16 or 32 octets, as the suite needs; `None` when it has not.
    #[must_use]
    pub fn new(suite: Suite, key: &[u8], iv: [u8; 12], sequence: u64) -> Option<Self> {
        if key.len() != suite.key_length() {
            return None;
        }
        let mut whole = [0; 32];
        whole[..key.len()].copy_from_slice(key);
        let secret = Self { suite, key: whole, iv, sequence };
        whole.zeroize();
        Some(secret)
    }

    /// Which cipher it is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The key itself.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key[..self.suite.key_length()]
    }

    /// The nonce of the key's first record under TLS 1.3 (RFC 8446 §5.3), if that has been sent already.
    #[must_use]
    pub fn spent_nonce(&self) -> Option<[u8; 12]> {
        (self.sequence > 0).then_some(self.iv)
    }
}

impl fmt::Debug for Secret {
    /// Shows no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("suite", &self.suite)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Suite {
    fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm => 32,
        }
    }
}

/// An AEAD under one key.
pub trait Cipher: Send {
    /// Encrypts `text` in place and returns its tag.
    fn seal(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> [u8; TAG];

    /// Decrypts in place what is before the tag that ends `text`.
    ///
    /// # Errors
    /// When it was not sealed with this key, nonce and associated data. `text` is then of no use.
    fn open(&self, nonce: [u8; 12], associated: &[u8], text: &mut [u8]) -> Result<(), Forged>;
}

/// A record that its sender has not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forged;

/// What the TLS library goes on doing after the handshake.
pub trait Keys: Send {
    /// The cipher for a secret.
    fn cipher(&self, secret: &Secret) -> Box<dyn Cipher>;

    /// The next key of a direction (RFC 8446 §7.2); `None` when there is none.
    fn next(&mut self, direction: Direction) -> Option<Secret>;

    /// Takes the body of a NewSessionTicket (RFC 8446 §4.6.1). What is wrong with it is no reason to end a connection.
    fn ticket(&mut self, body: &[u8]);
}

/// Keys that were derived before they are needed, the next one first: what a connection can go on with where the TLS library's
/// part of it cannot go.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ahead {
    /// For what we send.
    pub outgoing: Vec<Secret>,
    /// For what the peer sends.
    pub incoming: Vec<Secret>,
}

/// An alert description (RFC 8446 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert(pub u8);

impl Alert {
    /// The orderly end.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// A message that does not belong here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record that cannot be opened.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// A record that is too long.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// A message that cannot be read.
    pub const DECODE_ERROR: Self = Self(50);
    /// Something of ours failed.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// The user gave up; close_notify follows.
    const USER_CANCELED: Self = Self(90);
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            90 => "user_canceled",
            109 => "missing_extension",
            116 => "certificate_required",
            120 => "no_application_protocol",
            other => return write!(f, "alert {other}"),
        };
        f.write_str(name)
    }
}

/// The content types of records (RFC 8446 §5.1).
mod content {
    pub(super) const ALERT: u8 = 21;
    pub(super) const HANDSHAKE: u8 = 22;
    pub(super) const APPLICATION: u8 = 23;
}

/// The cipher of one direction and the number of the next record.
struct Protection {
    secret: Secret,
    cipher: Box<dyn Cipher>,
    /// Records protected with this key.
    used: u64,
}

impl Protection {
    fn new(secret: Secret, keys: &dyn Keys) -> Self {
        let cipher = keys.cipher(&secret);
        let used = secret.sequence;
        Self { secret, cipher, used }
    }

    /// The number of the record in hand.
    fn sequence(&self) -> u64 {
        self.secret.sequence
    }

    /// RFC 8446 §5.3.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.secret.iv;
        for (octet, sequence) in nonce[4..].iter_mut().zip(self.secret.sequence.to_be_bytes()) {
            *octet ^= sequence;
        }
        nonce
    }

    /// Goes on to the next record. Sequence numbers must not wrap (RFC 8446 §5.3): the limit on records is far below.
    fn advance(&mut self) {
        self.secret.sequence = self.secret.sequence.saturating_add(1);
        self.used += 1;
    }

    fn is_used_up(&self, most: u64) -> bool {
        self.used >= most
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.secret.fmt(f)
    }
}

#[cfg(test)]
pub(super) mod tests;
