//! One request of the node agent: bytes and descriptors in, a checked value out.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use culvert_proto::zds::{AddWorkload, WorkloadInfo, WorkloadRequest, workload_request::Payload};
use culvert_sys::limits;
use culvert_sys::netns::Netns;
use culvert_sys::seqpacket::Packet;
use prost::Message as _;

use crate::admission::Probes;
use crate::pods::Offered;
use crate::proxy::PodInfo;

/// What the agent wants.
#[derive(Debug)]
pub(super) enum Request {
    Add { uid: String, offered: Offered },
    Keep { uid: String },
    Delete { uid: String },
    SnapshotSent,
}

/// Why a packet is no request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the packet was cut off at 1024 bytes")]
    Truncated,
    #[error("the packet is not a WorkloadRequest")]
    Undecodable(#[from] prost::DecodeError),
    #[error("the request is of a kind this version does not know")]
    UnknownKind,
    #[error("AddWorkload must carry exactly one descriptor, got {0}")]
    OneDescriptor(usize),
    #[error("only AddWorkload may carry descriptors, got {0}")]
    NoDescriptor(usize),
    #[error(
        "the namespace of the pod could not be taken: this process may have {limit} files open, and has; raise its limit \
         (LimitNOFILE, ulimit -n)"
    )]
    NoDescriptorLeft { limit: u64 },
    #[error("AddWorkload of {0} names no workload")]
    NoInfo(String),
    #[error("the descriptor is not usable")]
    NotANamespace(#[source] std::io::Error),
}

impl Request {
    /// Reads a packet; descriptors of a packet that is refused are closed.
    pub(super) fn read(packet: Packet) -> Result<Self, Error> {
        if packet.truncated {
            return Err(Error::Truncated);
        }
        if packet.lost_fds {
            // A limit of 0 is what a kernel that does not say has.
            return Err(Error::NoDescriptorLeft { limit: limits::open_files().unwrap_or_default() });
        }
        let payload = WorkloadRequest::decode(packet.bytes.as_slice())?.payload.ok_or(Error::UnknownKind)?;
        match payload {
            Payload::Add(add) => Self::add(add, packet.fds),
            Payload::Keep(keep) => without(packet.fds, Self::Keep { uid: keep.uid }),
            Payload::Del(delete) => without(packet.fds, Self::Delete { uid: delete.uid }),
            Payload::SnapshotSent(_) => without(packet.fds, Self::SnapshotSent),
        }
    }

    fn add(add: AddWorkload, mut fds: Vec<OwnedFd>) -> Result<Self, Error> {
        let count = fds.len();
        let (Some(fd), 1) = (fds.pop(), count) else { return Err(Error::OneDescriptor(count)) };
        let netns = Arc::new(Netns::from_fd(fd).map_err(Error::NotANamespace)?);
        let info = add.workload_info.ok_or_else(|| Error::NoInfo(add.uid.clone()))?;
        let probes = probes(&info);
        let pod =
            PodInfo { name: info.name, namespace: info.namespace, service_account: info.service_account };
        Ok(Self::Add { uid: add.uid, offered: Offered { pod, netns, probes } })
    }
}

/// What makes no sense is left out, and so lets nobody in; the pod is served all the same.
fn probes(info: &WorkloadInfo) -> Probes {
    let port = |port: &u32| u16::try_from(*port).ok().filter(|port| *port != 0);
    let ports: BTreeSet<u16> = info.probe_ports.iter().filter_map(port).collect();
    let from: Vec<IpAddr> = info.host_addresses.iter().filter_map(|bytes| address(bytes)).collect();
    if ports.len() < info.probe_ports.len() || from.len() < info.host_addresses.len() {
        let WorkloadInfo { name, namespace, probe_ports, host_addresses, .. } = info;
        tracing::warn!(
            pod = name,
            namespace,
            ?probe_ports,
            ?host_addresses,
            "some facts of kubelet's probes make no sense"
        );
    }
    Probes::new(ports, from)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn without(fds: Vec<OwnedFd>, request: Request) -> Result<Request, Error> {
    if fds.is_empty() { Ok(request) } else { Err(Error::NoDescriptor(fds.len())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_ports_and_addresses_of_either_family() {
        let v6: IpAddr = "fd00::1".parse().unwrap();
        let IpAddr::V6(bytes) = v6 else { unreachable!() };
        let info = WorkloadInfo {
            probe_ports: vec![8080, 65_535],
            host_addresses: vec![vec![10, 0, 0, 1], bytes.octets().to_vec()],
            ..WorkloadInfo::default()
        };
        assert_eq!(probes(&info), Probes::new([8080, 65_535].into(), [IpAddr::from([10, 0, 0, 1]), v6]));
    }

    #[test]
    fn facts_that_make_no_sense_let_nobody_in() {
        let info = WorkloadInfo {
            probe_ports: vec![0, 65_536, 65_536 + 8080, u32::MAX],
            host_addresses: vec![vec![], vec![10, 0, 0], vec![1; 5], vec![1; 17]],
            ..WorkloadInfo::default()
        };
        assert_eq!(probes(&info), Probes::default());
    }
}
