//! How a record looks, by version: where the plaintext lies in it, and what is authenticated besides.

use serde::{Deserialize, Serialize};

use super::{HEAD, MOST_PLAIN, Protection, TAG, content};

/// The record layer of a TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layer {
    /// RFC 8446 §5.2: the content type is encrypted with the content.
    Tls13,
    /// RFC 5246 §6.2.3.3 with AES-GCM (RFC 5288): part of the nonce is in the record.
    Tls12,
}

/// Octets of the nonce that TLS 1.2 puts into each record.
const EXPLICIT: usize = 8;

/// Both versions write 0x0303 (RFC 8446 §5.1).
const VERSION: [u8; 2] = [3, 3];

impl Layer {
    /// Octets of a record before its plaintext.
    #[must_use]
    pub const fn before(self) -> usize {
        match self {
            Self::Tls13 => HEAD,
            Self::Tls12 => HEAD + EXPLICIT,
        }
    }

    /// Octets of a record after its plaintext.
    #[must_use]
    pub const fn after(self) -> usize {
        match self {
            Self::Tls13 => 1 + TAG,
            Self::Tls12 => TAG,
        }
    }

    /// The most octets of a record after its header (RFC 8446 §5.2, RFC 5246 §6.2.3).
    pub(super) const fn most_sealed(self) -> usize {
        match self {
            Self::Tls13 => MOST_PLAIN + 256,
            Self::Tls12 => MOST_PLAIN + EXPLICIT + TAG,
        }
    }

    /// Seals a record whose plaintext lies at [`Layer::before`] and is followed by room for [`Layer::after`].
    pub(super) fn seal(self, protection: &mut Protection, record: &mut [u8], kind: u8) {
        let sealed = u16::try_from(record.len() - HEAD).expect("a slot holds one record");
        let [high, low] = sealed.to_be_bytes();
        match self {
            Self::Tls13 => {
                record[..HEAD].copy_from_slice(&[content::APPLICATION, VERSION[0], VERSION[1], high, low]);
                let (head, rest) = record.split_at_mut(HEAD);
                let (text, tag) = rest.split_at_mut(rest.len() - TAG);
                let last = text.len() - 1;
                text[last] = kind;
                tag.copy_from_slice(&protection.cipher.seal(protection.nonce(), head, text));
            }
            Self::Tls12 => {
                record[..HEAD].copy_from_slice(&[kind, VERSION[0], VERSION[1], high, low]);
                let nonce = protection.nonce();
                record[HEAD..HEAD + EXPLICIT].copy_from_slice(&nonce[4..]);
                let (text, tag) =
                    record[HEAD + EXPLICIT..].split_at_mut(usize::from(sealed) - EXPLICIT - TAG);
                let associated = associated(protection.sequence(), kind, text.len());
                tag.copy_from_slice(&protection.cipher.seal(nonce, &associated, text));
            }
        }
        protection.advance();
    }

    /// Opens a whole record in place. The result says what it is and where in the record its content lies.
    pub(super) fn open(
        self,
        protection: &mut Protection,
        record: &mut [u8],
    ) -> Result<(u8, std::ops::Range<usize>), Unopened> {
        let opened = match self {
            Self::Tls13 => open_13(protection, record),
            Self::Tls12 => open_12(protection, record),
        };
        protection.advance();
        opened
    }
}

/// Why a record was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It is too short to be sealed.
    Short,
    /// It is not the peer's, or was changed on the way.
    Forged,
    /// There is nothing in it, not even a content type (RFC 8446 §5.4).
    Typeless,
    /// Its content is longer than it may be.
    TooLong,
}

fn open_13(protection: &Protection, record: &mut [u8]) -> Result<(u8, std::ops::Range<usize>), Unopened> {
    let (head, sealed) = record.split_at_mut(HEAD);
    if sealed.len() <= TAG {
        return Err(Unopened::Short);
    }
    protection.cipher.open(protection.nonce(), head, sealed).map_err(|_| Unopened::Forged)?;
    let inner = &sealed[..sealed.len() - TAG];
    // Padding counts, and so does the type (RFC 8446 §5.4).
    if inner.len() > MOST_PLAIN + 1 {
        return Err(Unopened::TooLong);
    }
    let end = inner.iter().rposition(|octet| *octet != 0).ok_or(Unopened::Typeless)?;
    Ok((inner[end], HEAD..HEAD + end))
}

fn open_12(protection: &Protection, record: &mut [u8]) -> Result<(u8, std::ops::Range<usize>), Unopened> {
    let kind = record[0];
    let (head, sealed) = record.split_at_mut(HEAD + EXPLICIT.min(record.len() - HEAD));
    let length = sealed.len().checked_sub(TAG).ok_or(Unopened::Short)?;
    let mut nonce = protection.nonce();
    nonce[4..].copy_from_slice(&head[HEAD..]);
    let associated = associated(protection.sequence(), kind, length);
    protection.cipher.open(nonce, &associated, sealed).map_err(|_| Unopened::Forged)?;
    let start = HEAD + EXPLICIT;
    Ok((kind, start..start + length))
}

/// What TLS 1.2 authenticates besides the content (RFC 5246 §6.2.3.3).
fn associated(sequence: u64, kind: u8, length: usize) -> [u8; 13] {
    let mut associated = [0; 13];
    associated[..8].copy_from_slice(&sequence.to_be_bytes());
    associated[8..11].copy_from_slice(&[kind, VERSION[0], VERSION[1]]);
    let length = u16::try_from(length).expect("a record is shorter than its length field can say");
    associated[11..].copy_from_slice(&length.to_be_bytes());
    associated
}
