//! What a node says: hello, and one answer to each request.

use culvert_proto::zds::{Ack, Version, WorkloadResponse, ZdsHello, workload_response};
use prost::Message as _;

use crate::{Error, Packet};

/// In bytes. Agents read answers into [`PACKET_LIMIT`](crate::PACKET_LIMIT); this leaves room for the encoding.
const LONGEST_REASON: usize = 1_000;

/// The first packet of a node.
#[must_use]
pub fn hello() -> Vec<u8> {
    ZdsHello { version: Version::V1.into() }.encode_to_vec()
}

/// Reads the first packet of a node.
///
/// # Errors
/// It is no hello, or one of another version.
pub fn introduced<D>(packet: Packet<'_, D>) -> Result<(), Error> {
    let hello = ZdsHello::decode(plain(packet)?)?;
    if hello.version == i32::from(Version::V1) { Ok(()) } else { Err(Error::Version(hello.version)) }
}

/// The answer to a request: done, or why not, as much of it as agents read.
#[must_use]
pub fn answer(done: Result<(), String>) -> Vec<u8> {
    let mut error = match done {
        Ok(()) => String::new(),
        // No words at all would mean that it was done.
        Err(error) if error.is_empty() => "no reason is known".to_owned(),
        Err(error) => error,
    };
    if error.len() > LONGEST_REASON {
        let end = (0..=LONGEST_REASON).rev().find(|&end| error.is_char_boundary(end)).unwrap_or(0);
        error.truncate(end);
    }
    let payload = Some(workload_response::Payload::Ack(Ack { error }));
    WorkloadResponse { payload }.encode_to_vec()
}

/// Reads the answer to a request: done, or the node's words why not.
///
/// # Errors
/// It is no answer.
pub fn answered<D>(packet: Packet<'_, D>) -> Result<Result<(), String>, Error> {
    let response = WorkloadResponse::decode(plain(packet)?)?;
    let Some(workload_response::Payload::Ack(ack)) = response.payload else { return Err(Error::NoAnswer) };
    Ok(if ack.error.is_empty() { Ok(()) } else { Err(ack.error) })
}

/// The bytes of a packet that is nothing but bytes.
fn plain<D>(packet: Packet<'_, D>) -> Result<&[u8], Error> {
    let (bytes, descriptors) = packet.whole()?;
    if descriptors.is_empty() { Ok(bytes) } else { Err(Error::NoDescriptor(descriptors.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lost, PACKET_LIMIT};

    fn packet(bytes: &[u8]) -> Packet<'_, ()> {
        Packet { bytes, descriptors: Vec::new(), lost: Lost::Nothing }
    }

    #[test]
    fn only_version_1_is_spoken() {
        assert_eq!(hello(), [0x08, 0x01]);
        assert_eq!(introduced(packet(&hello())), Ok(()));
        assert_eq!(introduced(packet(&[])), Err(Error::Version(0)));
        assert_eq!(introduced(packet(&[0x08, 0x02])), Err(Error::Version(2)));
        assert!(matches!(introduced(packet(&[0xff])), Err(Error::Undecodable(_))));
    }

    #[test]
    fn answers_are_told_from_other_packets() {
        assert_eq!(answered(packet(&[0x0a, 0x00])), Ok(Ok(())));
        assert_eq!(answered(packet(&[0x0a, 0x03, 0x0a, 0x01, b'e'])), Ok(Err("e".into())));
        assert_eq!(answered(packet(&[])), Err(Error::NoAnswer));
        assert_eq!(answered(Packet { lost: Lost::Bytes, ..packet(&[0x0a, 0]) }), Err(Error::TooLong));
        let lost = Packet { lost: Lost::Descriptors, ..packet(&[0x0a, 0]) };
        assert_eq!(answered(lost), Err(Error::LostDescriptors));
        let carrying = Packet { descriptors: vec![()], ..packet(&[0x0a, 0]) };
        assert_eq!(answered(carrying), Err(Error::NoDescriptor(1)));
    }

    #[test]
    fn reasons_are_cut_to_what_agents_read() {
        assert_eq!(answer(Ok(())), [0x0a, 0x00]);
        for reason in ["x".repeat(5_000), "x".to_owned() + &"ä".repeat(5_000), "😀".repeat(5_000)] {
            let bytes = answer(Err(reason.clone()));
            assert!(bytes.len() < PACKET_LIMIT, "{}", bytes.len());
            let read = answered(packet(&bytes)).unwrap().unwrap_err();
            assert!(reason.starts_with(&read) && read.len() > LONGEST_REASON - 4);
        }
        assert!(answered(packet(&answer(Err(String::new())))).unwrap().is_err(), "no reason is no success");
    }
}
