//! One request of the node agent: a packet of [`culvert_zds`] in, what is to be done out, with a namespace that can be entered.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use culvert_sys::limits;
use culvert_sys::netns::Netns;
use culvert_sys::seqpacket::Packet;
use culvert_zds::{Lost, Pod, Request as Said};

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
    #[error(transparent)]
    NoRequest(culvert_zds::Error),
    #[error(
        "the namespace of the pod could not be taken: this process may have {limit} files open, and has; raise its limit \
         (LimitNOFILE, ulimit -n)"
    )]
    NoDescriptorLeft { limit: u64 },
    #[error("the descriptor is not usable")]
    NotANamespace(#[source] std::io::Error),
}

impl Request {
    /// Reads a packet; descriptors of a packet that is refused are closed.
    pub(super) fn read(packet: Packet) -> Result<Self, Error> {
        let lost = match (packet.truncated, packet.lost_fds) {
            (true, _) => Lost::Bytes,
            (false, true) => Lost::Descriptors,
            (false, false) => Lost::Nothing,
        };
        let packet = culvert_zds::Packet { bytes: &packet.bytes, descriptors: packet.fds, lost };
        Ok(match Said::read(packet)? {
            Said::Add { uid, pod, netns } => Self::Add { uid, offered: offered(pod, netns)? },
            Said::Keep { uid } => Self::Keep { uid },
            Said::Delete { uid } => Self::Delete { uid },
            Said::SnapshotSent => Self::SnapshotSent,
        })
    }
}

impl From<culvert_zds::Error> for Error {
    fn from(error: culvert_zds::Error) -> Self {
        if error == culvert_zds::Error::LostDescriptors {
            // A limit of 0 is what a kernel that does not say has.
            return Self::NoDescriptorLeft { limit: limits::open_files().unwrap_or_default() };
        }
        Self::NoRequest(error)
    }
}

fn offered(pod: Pod, netns: OwnedFd) -> Result<Offered, Error> {
    let netns = Arc::new(Netns::from_fd(netns).map_err(Error::NotANamespace)?);
    let Pod { name, namespace, service_account, probes, left_out } = pod;
    if left_out > 0 {
        tracing::warn!(pod = name, namespace, left_out, "some facts of kubelet's probes make no sense");
    }
    let probes = Probes::new(probes.ports, probes.from);
    Ok(Offered { pod: PodInfo { name, namespace, service_account }, netns, probes })
}
