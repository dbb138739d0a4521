//! The records the peer sends.

use std::ops::Range;

use super::handshake::{Message, Messages};
use super::layer::Unopened;
use super::{Alert, Direction, HEAD, Keys, Layer, Protection, Secret, content};
use crate::tunnel::Fault;

/// Opens records.
#[derive(Debug)]
pub struct Incoming {
    layer: Layer,
    protection: Protection,
    messages: Messages,
    /// Records in a row that moved nothing forward.
    pointless: u32,
}

/// What a record was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Application data, by its place in the record.
    Data(Range<usize>),
    /// Something between the two TLS implementations, dealt with.
    Nothing,
    /// The peer changed its keys and wants us to do the same.
    WantsUpdate,
    /// The peer sends no more (RFC 8446 §6.1).
    End,
}

/// Empty records, tickets and key updates in a row that are one too many.
const MOST_POINTLESS: u32 = 64;

impl Incoming {
    /// Opens what comes from the next record on.
    #[must_use]
    pub fn new(layer: Layer, secret: Secret, keys: &dyn Keys) -> Self {
        let protection = Protection::new(secret, keys);
        Self { layer, protection, messages: Messages::default(), pointless: 0 }
    }

    /// The length of the record that begins `input`; `None` when its header is not all there.
    ///
    /// # Errors
    /// When it is longer than a record can be.
    pub fn length(&self, input: &[u8]) -> Result<Option<usize>, Fault> {
        let Some([_, _, _, high, low]) = input.first_chunk::<HEAD>() else { return Ok(None) };
        let sealed = usize::from(u16::from_be_bytes([*high, *low]));
        if sealed > self.layer.most_sealed() {
            return Err(fault(Alert::RECORD_OVERFLOW, "a record longer than allowed"));
        }
        Ok(Some(HEAD + sealed))
    }

    /// Opens one whole record in place.
    ///
    /// # Errors
    /// When the peer breaks the rules, or says that it gives up.
    pub fn open(&mut self, record: &mut [u8], keys: &mut dyn Keys) -> Result<Opened, Fault> {
        if self.layer == Layer::Tls13 && record[0] != content::APPLICATION {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "a record that is not encrypted"));
        }
        let (kind, place) = self.layer.open(&mut self.protection, record).map_err(unopened)?;
        if kind != content::HANDSHAKE && !self.messages.is_between() {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "a handshake message that was interrupted"));
        }
        match kind {
            content::APPLICATION if !place.is_empty() => {
                self.pointless = 0;
                return Ok(Opened::Data(place));
            }
            content::APPLICATION => {}
            content::HANDSHAKE => return self.handshake(record.get(place).unwrap_or_default(), keys),
            content::ALERT => return self.alert(record.get(place).unwrap_or_default()),
            _ => return Err(fault(Alert::UNEXPECTED_MESSAGE, "a record of unknown type")),
        }
        self.count_pointless()?;
        Ok(Opened::Nothing)
    }

    fn handshake(&mut self, content: &[u8], keys: &mut dyn Keys) -> Result<Opened, Fault> {
        self.count_pointless()?;
        if content.is_empty() {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "an empty handshake record"));
        }
        if self.layer == Layer::Tls12 {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "a renegotiation"));
        }
        self.messages.take(content);
        let mut opened = Opened::Nothing;
        while let Some(message) = self.messages.next()? {
            match message {
                Message::Ticket(body) => keys.ticket(body),
                Message::KeyUpdate { wants_ours } => {
                    if wants_ours {
                        opened = Opened::WantsUpdate;
                    }
                    self.update(keys)?;
                }
            }
        }
        Ok(opened)
    }

    fn update(&mut self, keys: &mut dyn Keys) -> Result<(), Fault> {
        // The key changes with the record, so the message must end it (RFC 8446 §5.1).
        if !self.messages.is_between() {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "a key update that does not end its record"));
        }
        let next = keys.next(Direction::In).ok_or(Fault::KeysUsedUp)?;
        self.protection = Protection::new(next, keys);
        Ok(())
    }

    fn alert(&mut self, content: &[u8]) -> Result<Opened, Fault> {
        let &[_, description] = content else {
            return Err(fault(Alert::DECODE_ERROR, "an alert that is not two octets"));
        };
        // The level means nothing (RFC 8446 §6).
        match Alert(description) {
            Alert::CLOSE_NOTIFY => Ok(Opened::End),
            Alert::USER_CANCELED => {
                self.count_pointless()?;
                Ok(Opened::Nothing)
            }
            other => Err(Fault::Alert(other)),
        }
    }

    fn count_pointless(&mut self) -> Result<(), Fault> {
        self.pointless += 1;
        if self.pointless > MOST_POINTLESS {
            return Err(fault(Alert::UNEXPECTED_MESSAGE, "too many records without content"));
        }
        Ok(())
    }

    /// For another process to go on with: the secret, and the part of a handshake message that is there.
    pub(in crate::tunnel) fn into_parts(self) -> (Secret, Vec<u8>) {
        (self.protection.secret, self.messages.into_rest())
    }

    /// Goes on in the middle of a handshake message.
    pub(in crate::tunnel) fn resume(&mut self, rest: &[u8]) {
        self.messages.take(rest);
    }
}

fn unopened(why: Unopened) -> Fault {
    match why {
        Unopened::Short => fault(Alert::BAD_RECORD_MAC, "a record too short to be sealed"),
        Unopened::Forged => fault(Alert::BAD_RECORD_MAC, "a record that cannot be opened"),
        Unopened::Typeless => fault(Alert::UNEXPECTED_MESSAGE, "a record of padding alone"),
        Unopened::TooLong => fault(Alert::RECORD_OVERFLOW, "a record with more content than allowed"),
    }
}

fn fault(alert: Alert, what: &'static str) -> Fault {
    Fault::Tls { alert, what }
}
