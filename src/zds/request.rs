//! What an agent asks of a node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use culvert_proto::zds::{
    AddWorkload, DelWorkload, KeepWorkload, SnapshotSent, WorkloadInfo, WorkloadRequest,
    workload_request::Payload,
};
use prost::Message as _;

use crate::{Error, Packet};

/// The most ports of one pod that nodes are told of; the lowest. Kubelet is not let in to others.
pub const MOST_PROBE_PORTS: usize = 32;

/// How many addresses a packet has room for besides the longest names.
const MOST_HOST_ADDRESSES: usize = 4;

/// Something a node is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<D> {
    /// Serve a pod.
    Add {
        /// The UID of the pod.
        uid: String,
        /// What it is.
        pod: Pod,
        /// Its network namespace.
        netns: D,
    },
    /// Go on with whatever is done for a pod.
    Keep {
        /// The UID of the pod.
        uid: String,
    },
    /// A pod is gone.
    Delete {
        /// The UID of the pod.
        uid: String,
    },
    /// Pods that were not named are gone.
    SnapshotSent,
}

/// What a node has to know of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Whose identity it has.
    pub service_account: String,
    /// Who may come in without one.
    pub probes: Probes,
    /// How much was said of its probes that makes no sense, and so lets nobody in.
    pub left_out: usize,
}

/// What kubelet does to a pod, which the node lets in in plaintext.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probes {
    /// Where to.
    pub ports: BTreeSet<u16>,
    /// The addresses the host uses towards the pod.
    pub from: Vec<IpAddr>,
}

impl<D> Request<D> {
    /// Reads a packet. Descriptors of one that is refused are dropped.
    ///
    /// # Errors
    /// It is no request.
    pub fn read(packet: Packet<'_, D>) -> Result<Self, Error> {
        let (bytes, descriptors) = packet.whole()?;
        match WorkloadRequest::decode(bytes)?.payload.ok_or(Error::UnknownKind)? {
            Payload::Add(add) => Self::add(add, descriptors),
            Payload::Keep(keep) => without(&descriptors, Self::Keep { uid: keep.uid }),
            Payload::Del(delete) => without(&descriptors, Self::Delete { uid: delete.uid }),
            Payload::SnapshotSent(_) => without(&descriptors, Self::SnapshotSent),
        }
    }

    fn add(add: AddWorkload, mut descriptors: Vec<D>) -> Result<Self, Error> {
        let count = descriptors.len();
        let (Some(netns), 1) = (descriptors.pop(), count) else { return Err(Error::OneDescriptor(count)) };
        let info = add.workload_info.ok_or_else(|| Error::NoInfo(add.uid.clone()))?;
        Ok(Self::Add { uid: add.uid, pod: info.into(), netns })
    }

    /// The packet, without the descriptor that goes with it.
    pub fn encode(&self) -> Vec<u8> {
        let payload = match self {
            Self::Add { uid, pod, .. } => {
                Payload::Add(AddWorkload { uid: uid.clone(), workload_info: Some(info(pod)) })
            }
            Self::Keep { uid } => Payload::Keep(KeepWorkload { uid: uid.clone() }),
            Self::Delete { uid } => Payload::Del(DelWorkload { uid: uid.clone() }),
            Self::SnapshotSent => Payload::SnapshotSent(SnapshotSent {}),
        };
        WorkloadRequest { payload: Some(payload) }.encode_to_vec()
    }
}

impl Probes {
    /// Whether there is more of it than a packet has room for.
    #[must_use]
    pub fn are_too_many(&self) -> bool {
        self.ports.len() > MOST_PROBE_PORTS || self.from.len() > MOST_HOST_ADDRESSES
    }
}

fn without<D, R>(descriptors: &[D], request: R) -> Result<R, Error> {
    if descriptors.is_empty() { Ok(request) } else { Err(Error::NoDescriptor(descriptors.len())) }
}

/// What makes no sense is left out, and so lets nobody in; the pod is served all the same.
impl From<WorkloadInfo> for Pod {
    fn from(info: WorkloadInfo) -> Self {
        let WorkloadInfo { name, namespace, service_account, probe_ports, host_addresses } = info;
        let said = probe_ports.len() + host_addresses.len();
        let port = |port: u32| u16::try_from(port).ok().filter(|port| *port != 0);
        let ports: Vec<u16> = probe_ports.into_iter().filter_map(port).collect();
        let from: Vec<IpAddr> = host_addresses.iter().filter_map(|bytes| address(bytes)).collect();
        let left_out = said - ports.len() - from.len();
        let probes = Probes { ports: ports.into_iter().collect(), from };
        Self { name, namespace, service_account, probes, left_out }
    }
}

fn info(pod: &Pod) -> WorkloadInfo {
    let Probes { ports, from } = &pod.probes;
    WorkloadInfo {
        name: pod.name.clone(),
        namespace: pod.namespace.clone(),
        service_account: pod.service_account.clone(),
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

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Lost, PACKET_LIMIT};

    fn add(text: impl Fn(usize) -> String, probes: Probes) -> Request<()> {
        let (name, namespace, service_account) = (text(253), text(63), text(253));
        let pod = Pod { name, namespace, service_account, probes, left_out: 0 };
        Request::Add { uid: text(253), pod, netns: () }
    }

    fn read(bytes: &[u8], descriptors: usize) -> Result<Request<()>, Error> {
        Request::read(Packet { bytes, descriptors: vec![(); descriptors], lost: Lost::Nothing })
    }

    fn told(request: &Request<()>) -> Pod {
        let Request::Add { pod, .. } = read(&request.encode(), 1).unwrap() else { panic!("not an add") };
        pod
    }

    #[test]
    fn requests_have_the_bytes_of_the_protocol() {
        let uid = || "u".to_owned();
        for (request, bytes) in [
            (Request::SnapshotSent, &[0x1a, 0x00][..]),
            (Request::Keep { uid: uid() }, &[0x2a, 0x03, 0x0a, 0x01, b'u']),
            (Request::Delete { uid: uid() }, &[0x12, 0x03, 0x12, 0x01, b'u']),
        ] {
            assert_eq!(request.encode(), bytes);
            assert_eq!(read(bytes, 0), Ok(request));
        }
    }

    #[test]
    fn the_longest_pod_fits_into_a_packet() {
        let from = (0..100u16).map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])).collect();
        let probes = Probes { ports: (60_000..61_000).collect(), from };
        assert!(probes.are_too_many());
        let add = add(|length| "x".repeat(length), probes);
        let Probes { ports, from } = told(&add).probes;
        assert_eq!((ports.len(), from.len()), (32, 4));
        assert!(add.encode().len() < PACKET_LIMIT, "{}", add.encode().len());
    }

    #[test]
    fn probes_are_told_of_in_fields_of_our_own() {
        let from = vec![[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()];
        let probes = Probes { ports: [80, 8080].into(), from };
        assert!(!probes.are_too_many());
        let probed = add(|_| "x".into(), probes.clone());
        assert_eq!(told(&probed).probes, probes);
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
    fn facts_that_make_no_sense_let_nobody_in() {
        let info = WorkloadInfo {
            probe_ports: vec![0, 65_536, 65_536 + 8080, u32::MAX, 65_535],
            host_addresses: vec![vec![], vec![10, 0, 0], vec![1; 5], vec![1; 17], vec![10, 0, 0, 1]],
            ..WorkloadInfo::default()
        };
        let probes = Probes { ports: [65_535].into(), from: vec![[10, 0, 0, 1].into()] };
        assert_eq!(Pod::from(info), Pod { probes, left_out: 8, ..Pod::default() });
    }

    #[test]
    fn a_pod_comes_with_its_namespace_and_nothing_else_comes_with_anything() {
        let add = add(|_| "x".into(), Probes::default()).encode();
        assert_eq!(read(&add, 0), Err(Error::OneDescriptor(0)));
        assert_eq!(read(&add, 2), Err(Error::OneDescriptor(2)));
        for bytes in [&[0x1a, 0x00][..], &[0x2a, 0x00], &[0x12, 0x00]] {
            assert_eq!(read(bytes, 1), Err(Error::NoDescriptor(1)));
        }
        assert_eq!(read(&[0x0a, 0x00], 1), Err(Error::NoInfo(String::new())));
        assert_eq!(read(&[], 0), Err(Error::UnknownKind));
        assert_eq!(read(&[0x22, 0x00], 0), Err(Error::UnknownKind));
    }

    #[test]
    fn of_a_packet_that_is_not_whole_nothing_is_believed() {
        for (lost, error) in [(Lost::Bytes, Error::TooLong), (Lost::Descriptors, Error::LostDescriptors)] {
            let packet = Packet { bytes: &[0x1a, 0x00], descriptors: Vec::<()>::new(), lost };
            assert_eq!(Request::read(packet), Err(error));
        }
    }
}
