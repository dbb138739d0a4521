//! Handshake messages after the handshake (RFC 8446 §4.6): tickets and key updates. They may be spread over records.

use super::Alert;
use crate::tunnel::Fault;

/// Puts messages together.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// What of `bytes` was read.
    read: usize,
}

/// A message we understand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message<'m> {
    Ticket(&'m [u8]),
    KeyUpdate { wants_ours: bool },
}

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;

/// Type and length.
const HEAD: usize = 4;

/// A ticket has at most 2^16 octets of ticket, as many of extensions, and a little more.
const MOST: usize = 1 << 17;

impl Messages {
    /// Takes more of the content of handshake records.
    pub(super) fn take(&mut self, content: &[u8]) {
        self.forget_read();
        self.bytes.extend_from_slice(content);
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Result<Option<Message<'_>>, Fault> {
        self.forget_read();
        let Some([kind, l0, l1, l2]) = self.bytes.first_chunk::<HEAD>().copied() else { return Ok(None) };
        if !matches!(kind, NEW_SESSION_TICKET | KEY_UPDATE) {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "a handshake message after the handshake"));
        }
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        if length > MOST {
            return Err(fault(Alert::DECODE_ERROR, "a handshake message longer than any can be"));
        }
        let Some(body) = self.bytes.get(HEAD..HEAD + length) else { return Ok(None) };
        self.read = HEAD + length;
        match (kind, body) {
            (NEW_SESSION_TICKET, ticket) => Ok(Some(Message::Ticket(ticket))),
            (_, [asked @ (0 | 1)]) => Ok(Some(Message::KeyUpdate { wants_ours: *asked == 1 })),
            _ => Err(fault(Alert::DECODE_ERROR, "a key update that makes no sense")),
        }
    }

    /// Whether no message is half there.
    pub(super) fn is_between(&self) -> bool {
        self.read == self.bytes.len()
    }

    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.forget_read();
        self.bytes
    }

    fn forget_read(&mut self) {
        self.bytes.drain(..self.read);
        self.read = 0;
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

fn fault(alert: Alert, what: &'static str) -> Fault {
    Fault::Tls { alert, what }
}
