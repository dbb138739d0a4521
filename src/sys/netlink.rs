//! Netlink messages and their attributes, read one after the other (`netlink(7)`).
//!
//! In go the bytes the kernel has sent, out come pieces of them. What is cut off, or claims to be longer or shorter than it can be, ends
//! the reading and is never a panic.

use std::io;

/// Length of the header of a message.
pub(crate) const HEADER: usize = 16;

// linux/netlink.h
/// Asks for something.
pub(crate) const REQUEST: u16 = 0x1;
/// Asks for all there is.
pub(crate) const DUMP: u16 = 0x300;
/// The list has changed while it was made.
pub(crate) const INTERRUPTED: u16 = 0x10;
/// A refusal, or an acknowledgement.
pub(crate) const ERROR: u16 = 2;
/// The end of a list.
pub(crate) const DONE: u16 = 3;
/// Something was lost.
pub(crate) const OVERRUN: u16 = 4;
/// The bits of an attribute's kind that are not flags.
const KIND: u16 = 0x3fff;

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Takes the first message off, and the padding behind it.
    pub(crate) fn split(packet: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = usize::try_from(long(packet, 0)?).ok()?;
        let body = packet.get(HEADER..length)?;
        let message =
            Self { kind: short(packet, 4)?, flags: short(packet, 6)?, sequence: long(packet, 8)?, body };
        Some((message, packet.get(length.next_multiple_of(4)..).unwrap_or_default()))
    }

    /// The number of the error in an [`ERROR`] or [`DONE`]: negative when there is one.
    pub(crate) fn code(&self) -> Option<i32> {
        long(self.body, 0).map(u32::cast_signed)
    }

    /// The error in it.
    pub(crate) fn failure(&self) -> io::Error {
        let of_system = |code: i32| io::Error::from_raw_os_error(code.wrapping_neg());
        self.code().map_or_else(|| io::ErrorKind::InvalidData.into(), of_system)
    }
}

/// The content of the first attribute of a kind.
pub(crate) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, kind) = (usize::from(short(attributes, 0)?), short(attributes, 2)?);
        let content = attributes.get(4..length)?;
        if kind & KIND == wanted {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// The beginning of a request of `length` octets.
pub(crate) fn header(length: usize, kind: u16, flags: u16, sequence: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&u32::try_from(length).expect("a request is short").to_ne_bytes());
    header[4..6].copy_from_slice(&kind.to_ne_bytes());
    header[6..8].copy_from_slice(&flags.to_ne_bytes());
    header[8..12].copy_from_slice(&sequence.to_ne_bytes());
    header
}

/// A number of two octets.
pub(crate) fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// A number of four octets.
pub(crate) fn long(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_off_one_after_the_other() {
        let mut packet = header(HEADER + 5, 20, INTERRUPTED, 7).to_vec();
        packet.extend(b"hello\0\0\0");
        packet.extend(header(HEADER, DONE, 0, 8));
        let (first, rest) = Message::split(&packet).unwrap();
        assert_eq!(first, Message { kind: 20, flags: INTERRUPTED, sequence: 7, body: b"hello" });
        let (second, rest) = Message::split(rest).unwrap();
        assert_eq!((second.kind, second.sequence, second.code(), rest.len()), (DONE, 8, None, 0));
        for cut in 0..HEADER + 5 {
            assert_eq!(Message::split(&packet[..cut]), None, "cut to {cut}");
        }
    }

    #[test]
    fn a_message_that_claims_less_than_its_header_is_none() {
        for length in [0, 4, 15, 17] {
            assert_eq!(Message::split(&header(length, DONE, 0, 0)), None, "{length}");
        }
    }

    #[test]
    fn an_error_is_the_systems() {
        let mut packet = header(HEADER + 4, ERROR, 0, 0).to_vec();
        packet.extend((-nix::libc::ENOENT).to_ne_bytes());
        let (message, _) = Message::split(&packet).unwrap();
        assert_eq!(message.failure().kind(), io::ErrorKind::NotFound);
        assert_eq!(Message { body: &[], ..message }.failure().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn an_attribute_that_says_it_has_no_length_ends_the_search() {
        assert_eq!(attribute(&[0, 0, 1, 0, 0, 0, 0, 0], 1), None);
        assert_eq!(attribute(&[], 1), None);
        assert_eq!(
            attribute(&[5, 0, 2, 0, 9, 0, 0, 0, 5, 0, 1, 0x80, 7], 1),
            Some(&[7][..]),
            "flags and padding"
        );
    }
}
