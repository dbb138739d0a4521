//! Requests as packets, and a node's packets as what they say. Pure; descriptors travel beside the bytes.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use culvert_proto::zds::{
    AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, Version, WorkloadInfo, WorkloadRequest,
    WorkloadResponse, ZdsHello, workload_request, workload_response,
};
use culvert_sys::seqpacket::Packet;
use prost::Message as _;

use crate::pod::Uid;
use crate::table::Enrolled;

/// The largest packet either side reads. The limits of the pods file keep every request below it.
pub(crate) const PACKET_LIMIT: usize = 1024;

/// Something a node is told.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Add(Uid, Arc<Enrolled>),
    Keep(Uid),
    Delete(Uid),
    SnapshotSent,
}

/// A packet that is not what the protocol has at that point.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the packet is longer than {PACKET_LIMIT} bytes")]
    TooLong,
    #[error("the packet carries descriptors")]
    Descriptors,
    #[error("the packet cannot be decoded")]
    Undecodable(#[from] prost::DecodeError),
    #[error("protocol version {0} is not known; this agent speaks version 1")]
    Version(i32),
    #[error("the packet is no answer")]
    NoAnswer,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        use workload_request::Payload;
        let payload = match self {
            Self::Add(uid, pod) => {
                let workload = pod.workload.clone();
                let info = WorkloadInfo {
                    name: workload.name,
                    namespace: workload.namespace,
                    service_account: workload.service_account,
                    ..WorkloadInfo::default()
                };
                Payload::Add(AddWorkload { uid: uid.as_str().into(), workload_info: Some(info) })
            }
            Self::Keep(uid) => Payload::Keep(KeepWorkload { uid: uid.as_str().into() }),
            Self::Delete(uid) => Payload::Del(DelWorkload { uid: uid.as_str().into() }),
            Self::SnapshotSent => Payload::SnapshotSent(SnapshotSent {}),
        };
        WorkloadRequest { payload: Some(payload) }.encode_to_vec()
    }

    /// The descriptor that goes with the packet.
    pub(crate) fn netns(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Add(_, pod) => Some(pod.netns.as_fd()),
            Self::Keep(_) | Self::Delete(_) | Self::SnapshotSent => None,
        }
    }
}

/// For logs and errors.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(uid, pod) => write!(f, "add {} ({uid})", pod.workload),
            Self::Keep(uid) => write!(f, "keep {uid}"),
            Self::Delete(uid) => write!(f, "delete {uid}"),
            Self::SnapshotSent => f.write_str("end of snapshot"),
        }
    }
}

/// Reads a node's first packet.
pub(crate) fn hello(packet: &Packet) -> Result<(), Error> {
    let hello = ZdsHello::decode(plain(packet)?)?;
    if hello.version == i32::from(Version::V1) { Ok(()) } else { Err(Error::Version(hello.version)) }
}

/// Reads the answer to a request: done, or the node's words why not.
pub(crate) fn answer(packet: &Packet) -> Result<Result<(), String>, Error> {
    let response = WorkloadResponse::decode(plain(packet)?)?;
    let Some(workload_response::Payload::Ack(ack)) = response.payload else { return Err(Error::NoAnswer) };
    Ok(if ack.error.is_empty() { Ok(()) } else { Err(ack.error) })
}

fn plain(packet: &Packet) -> Result<&[u8], Error> {
    if packet.truncated {
        return Err(Error::TooLong);
    }
    if !packet.fds.is_empty() {
        return Err(Error::Descriptors);
    }
    Ok(&packet.bytes)
}

#[cfg(test)]
mod tests {
    use culvert_sys::netns::Netns;

    use super::*;
    use crate::pod::Workload;

    fn packet(bytes: &[u8]) -> Packet {
        Packet { bytes: bytes.to_vec(), fds: Vec::new(), truncated: false }
    }

    #[test]
    fn requests_have_the_bytes_of_the_protocol() {
        assert_eq!(Request::SnapshotSent.encode(), [0x1a, 0x00]);
        assert_eq!(Request::Keep("u".into()).encode(), [0x2a, 0x03, 0x0a, 0x01, b'u']);
        assert_eq!(Request::Delete("u".into()).encode(), [0x12, 0x03, 0x12, 0x01, b'u']);
    }

    #[test]
    fn the_longest_pod_fits_into_a_packet() {
        let text = |length| "x".repeat(length);
        let workload = Workload { name: text(253), namespace: text(63), service_account: text(253) };
        let netns = Arc::new(Netns::current().unwrap());
        let add = Request::Add(text(253).as_str().into(), Arc::new(Enrolled { workload, netns }));
        assert!(add.encode().len() < PACKET_LIMIT, "{}", add.encode().len());
    }

    #[test]
    fn only_version_1_is_spoken() {
        hello(&packet(&[0x08, 0x01])).unwrap();
        assert!(matches!(hello(&packet(&[])), Err(Error::Version(0))));
        assert!(matches!(hello(&packet(&[0x08, 0x02])), Err(Error::Version(2))));
        assert!(matches!(hello(&packet(&[0xff])), Err(Error::Undecodable(_))));
    }

    #[test]
    fn answers_are_told_from_other_packets() {
        assert_eq!(answer(&packet(&[0x0a, 0x00])).unwrap(), Ok(()));
        assert_eq!(answer(&packet(&[0x0a, 0x03, 0x0a, 0x01, b'e'])).unwrap(), Err("e".into()));
        assert!(matches!(answer(&packet(&[])), Err(Error::NoAnswer)));
        assert!(matches!(answer(&Packet { truncated: true, ..packet(&[0x0a, 0]) }), Err(Error::TooLong)));
        let fds = vec![std::fs::File::open("/dev/null").unwrap().into()];
        assert!(matches!(answer(&Packet { fds, ..packet(&[0x0a, 0]) }), Err(Error::Descriptors)));
    }
}
