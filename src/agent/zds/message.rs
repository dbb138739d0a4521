//! Requests as packets, and a node's packets as what they say. Pure; descriptors travel beside the bytes.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use culvert_proto::zds::{
    AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, Version, WorkloadInfo, WorkloadRequest,
    WorkloadResponse, ZdsHello, workload_request, workload_response,
};
use culvert_sys::seqpacket::Packet;
use prost::Message as _;

use crate::pod::Uid;
use crate::table::{Enrolled, MOST_PROBE_PORTS, Probes};

/// The largest packet either side reads. The limits of names, and those of probes, keep every request below it.
pub(crate) const PACKET_LIMIT: usize = 1024;

/// How many addresses a packet has room for besides the longest names.
const MOST_HOST_ADDRESSES: usize = 4;

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
                Payload::Add(AddWorkload { uid: uid.as_str().into(), workload_info: Some(info(pod)) })
            }
            Self::Keep(uid) => Payload::Keep(KeepWorkload { uid: uid.as_str().into() }),
            Self::Delete(uid) => Payload::Del(DelWorkload { uid: uid.as_str().into() }),
            Self::SnapshotSent => Payload::SnapshotSent(SnapshotSent {}),
        };
        WorkloadRequest { payload: Some(payload) }.encode_to_vec()
    }

    /// Whether there is more to say of the pod's probes than a packet has room for.
    pub(crate) fn leaves_out(&self) -> bool {
        match self {
            Self::Add(_, pod) => {
                let Probes { ports, from } = &pod.probes;
                ports.len() > MOST_PROBE_PORTS || from.len() > MOST_HOST_ADDRESSES
            }
            Self::Keep(_) | Self::Delete(_) | Self::SnapshotSent => false,
        }
    }

    /// The pod it is about.
    pub(crate) fn uid(&self) -> Option<&Uid> {
        match self {
            Self::Add(uid, _) | Self::Keep(uid) | Self::Delete(uid) => Some(uid),
            Self::SnapshotSent => None,
        }
    }

    /// The descriptor that goes with the packet.
    pub(crate) fn netns(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Add(_, pod) => Some(pod.netns.as_fd()),
            Self::Keep(_) | Self::Delete(_) | Self::SnapshotSent => None,
        }
    }
}

fn info(pod: &Enrolled) -> WorkloadInfo {
    let Probes { ports, from } = &pod.probes;
    let workload = pod.workload.clone();
    WorkloadInfo {
        name: workload.name,
        namespace: workload.namespace,
        service_account: workload.service_account,
        probe_ports: ports.iter().take(MOST_PROBE_PORTS).map(|port| u32::from(*port)).collect(),
        host_addresses: from.iter().take(MOST_HOST_ADDRESSES).copied().map(bytes).collect(),
    }
}

fn bytes(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
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
    if !packet.fds.is_empty() || packet.lost_fds {
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
        Packet { bytes: bytes.to_vec(), fds: Vec::new(), truncated: false, lost_fds: false }
    }

    #[test]
    fn requests_have_the_bytes_of_the_protocol() {
        assert_eq!(Request::SnapshotSent.encode(), [0x1a, 0x00]);
        assert_eq!(Request::Keep("u".into()).encode(), [0x2a, 0x03, 0x0a, 0x01, b'u']);
        assert_eq!(Request::Delete("u".into()).encode(), [0x12, 0x03, 0x12, 0x01, b'u']);
    }

    fn add(text: impl Fn(usize) -> String, probes: Probes) -> Request {
        let workload = Workload { name: text(253), namespace: text(63), service_account: text(253) };
        let netns = Arc::new(Netns::current().unwrap());
        Request::Add(text(253).as_str().into(), Arc::new(Enrolled::new(workload, netns, probes)))
    }

    fn told(request: &Request) -> WorkloadInfo {
        let request = WorkloadRequest::decode(&request.encode()[..]).unwrap();
        let Some(workload_request::Payload::Add(add)) = request.payload else { panic!("not an add") };
        add.workload_info.unwrap()
    }

    #[test]
    fn the_longest_pod_fits_into_a_packet() {
        let from = (0..100u16).map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])).collect();
        let add = add(|length| "x".repeat(length), Probes { ports: (60_000..61_000).collect(), from });
        assert!(add.leaves_out());
        assert_eq!((told(&add).probe_ports.len(), told(&add).host_addresses.len()), (32, 4));
        assert!(add.encode().len() < PACKET_LIMIT, "{}", add.encode().len());
    }

    #[test]
    fn probes_are_told_of_in_fields_of_our_own() {
        let from = vec![[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()];
        let probed = add(|_| "x".into(), Probes { ports: [80, 8080].into(), from });
        let info = told(&probed);
        assert_eq!(info.probe_ports, [80, 8080]);
        assert_eq!(info.host_addresses[0], [10, 0, 0, 1]);
        assert_eq!(info.host_addresses[1].len(), 16);
        assert!(!probed.leaves_out());
        // Packed numbers of field 1000, and bytes of field 1001.
        let bytes = probed.encode();
        for part in [&[0xc2, 0x3e, 3, 80, 0x90, 0x3f][..], &[0xca, 0x3e, 4, 10, 0, 0, 1]] {
            assert!(bytes.windows(part.len()).any(|at| at == part), "{bytes:02x?}");
        }
        // Who knows nothing of it gets what there always was.
        let plain = add(|_| "x".into(), Probes::default()).encode();
        assert_eq!(plain, [10, 14, 10, 1, 120, 18, 9, 10, 1, 120, 18, 1, 120, 26, 1, 120]);
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
