//! One request of the node agent: bytes and descriptors in, a checked value out.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use culvert_proto::zds::{AddWorkload, WorkloadRequest, workload_request::Payload};
use culvert_sys::netns::Netns;
use culvert_sys::seqpacket::Packet;
use prost::Message as _;

use crate::proxy::PodInfo;

/// What the agent wants.
#[derive(Debug)]
pub(super) enum Request {
    Add { uid: String, pod: PodInfo, netns: Arc<Netns> },
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
        let pod =
            PodInfo { name: info.name, namespace: info.namespace, service_account: info.service_account };
        Ok(Self::Add { uid: add.uid, pod, netns })
    }
}

fn without(fds: Vec<OwnedFd>, request: Request) -> Result<Request, Error> {
    if fds.is_empty() { Ok(request) } else { Err(Error::NoDescriptor(fds.len())) }
}
