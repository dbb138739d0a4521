//! Requests about enrolled pods as packets of [`culvert_zds`], and a node's packets as what they say. Descriptors travel beside the bytes.

use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use culvert_sys::seqpacket::Packet;
use culvert_zds::{Error, Lost, Pod, Request as Said};

use crate::pod::Uid;
use crate::table::Enrolled;

/// Something a node is told.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Add(Uid, Arc<Enrolled>),
    Keep(Uid),
    Delete(Uid),
    SnapshotSent,
}

impl Request {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = |uid: &Uid| uid.as_str().to_owned();
        match self {
            Self::Add(uid, pod) => Said::Add { uid: text(uid), pod: described(pod), netns: () },
            Self::Keep(uid) => Said::Keep { uid: text(uid) },
            Self::Delete(uid) => Said::Delete { uid: text(uid) },
            Self::SnapshotSent => Said::SnapshotSent,
        }
        .encode()
    }

    /// Whether there is more to say of the pod's probes than a packet has room for.
    pub(crate) fn leaves_out(&self) -> bool {
        match self {
            Self::Add(_, pod) => pod.probes.are_too_many(),
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

fn described(pod: &Enrolled) -> Pod {
    let workload = pod.workload.clone();
    Pod {
        name: workload.name,
        namespace: workload.namespace,
        service_account: workload.service_account,
        probes: pod.probes.clone(),
        left_out: 0,
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
    culvert_zds::introduced(came(packet))
}

/// Reads the answer to a request: done, or the node's words why not.
pub(crate) fn answer(packet: &Packet) -> Result<Result<(), String>, Error> {
    culvert_zds::answered(came(packet))
}

fn came(packet: &Packet) -> culvert_zds::Packet<'_, BorrowedFd<'_>> {
    let lost = match (packet.truncated, packet.lost_fds) {
        (true, _) => Lost::Bytes,
        (false, true) => Lost::Descriptors,
        (false, false) => Lost::Nothing,
    };
    let descriptors = packet.fds.iter().map(|fd| fd.as_fd()).collect();
    culvert_zds::Packet { bytes: &packet.bytes, descriptors, lost }
}

#[cfg(test)]
mod tests {
    use culvert_sys::netns::Netns;
    use culvert_zds::Probes;

    use super::*;
    use crate::pod::Workload;

    fn packet() -> Packet {
        Packet { bytes: vec![0x0a, 0x00], fds: Vec::new(), truncated: false, lost_fds: false }
    }

    #[test]
    fn a_pod_is_told_of_as_it_is_enrolled() {
        let text = |text: &str| text.to_owned();
        let workload =
            Workload { name: text("web-0"), namespace: text("shop"), service_account: text("web") };
        let probes = Probes { ports: [80].into(), from: vec![[10, 0, 0, 1].into()] };
        let netns = Arc::new(Netns::current().unwrap());
        let enrolled = Enrolled::new(workload, netns, probes.clone());
        let add = Request::Add("u".into(), Arc::new(enrolled));
        assert!(add.netns().is_some() && !add.leaves_out());
        let bytes = add.encode();
        let told = culvert_zds::Packet { bytes: &bytes, descriptors: vec![()], lost: Lost::Nothing };
        let pod = Pod {
            name: text("web-0"),
            namespace: text("shop"),
            service_account: text("web"),
            probes,
            left_out: 0,
        };
        assert_eq!(Said::read(told), Ok(Said::Add { uid: text("u"), pod, netns: () }));
        for (request, said) in [
            (Request::Keep("u".into()), Said::Keep { uid: text("u") }),
            (Request::Delete("u".into()), Said::Delete { uid: text("u") }),
            (Request::SnapshotSent, Said::SnapshotSent),
        ] {
            let bytes = request.encode();
            let told = culvert_zds::Packet { bytes: &bytes, descriptors: Vec::new(), lost: Lost::Nothing };
            assert_eq!(Said::<()>::read(told), Ok(said));
        }
    }

    #[test]
    fn what_the_kernel_says_of_a_packet_counts() {
        assert_eq!(answer(&packet()), Ok(Ok(())));
        assert_eq!(answer(&Packet { truncated: true, ..packet() }), Err(Error::TooLong));
        assert_eq!(answer(&Packet { lost_fds: true, ..packet() }), Err(Error::LostDescriptors));
        let fds = vec![std::fs::File::open("/dev/null").unwrap().into()];
        assert_eq!(answer(&Packet { fds, ..packet() }), Err(Error::NoDescriptor(1)));
        assert_eq!(hello(&Packet { bytes: vec![0x08, 0x01], ..packet() }), Ok(()));
    }
}
