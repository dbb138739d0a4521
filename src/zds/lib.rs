//! The node agent protocol (ZDS), a packet at a time: which pods a node is to serve, and what it answers.
//!
//! In go the bytes of a packet and whatever came beside them as descriptors; out come a [`Request`] (agent to node), or a hello and
//! answers ([`hello`], [`answer`], node to agent), or why the packet is none. And the other way: what is said goes in, bytes come out.
//!
//! Descriptors are of any type here: what is refused drops them, and what they stand for is looked at by whoever opens them.
//! Deliberately absent: sockets, and what is done about a request.

mod answer;
mod request;

pub use answer::{answer, answered, hello, introduced};
pub use request::{MOST_PROBE_PORTS, Pod, Probes, Request};

/// The largest packet either side reads. The limits of names, and those of probes, keep every request below it.
pub const PACKET_LIMIT: usize = 1024;

/// A packet as it came.
#[derive(Debug)]
pub struct Packet<'p, D> {
    /// As many bytes as were read.
    pub bytes: &'p [u8],
    /// The descriptors that came with it.
    pub descriptors: Vec<D>,
    /// What of it was lost on the way.
    pub lost: Lost,
}

/// What is missing of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Nothing.
    Nothing,
    /// Bytes, for want of room.
    Bytes,
    /// Descriptors, because the process may have no more.
    Descriptors,
}

/// Why a packet is not what the protocol has at that point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than anybody reads.
    #[error("the packet is longer than {PACKET_LIMIT} bytes")]
    TooLong,
    /// The process may have no more of them.
    #[error("descriptors of the packet could not be taken")]
    LostDescriptors,
    /// It is no message of the protocol.
    #[error("the packet cannot be decoded")]
    Undecodable(#[from] prost::DecodeError),
    /// A newer agent asks for something else.
    #[error("the request is of a kind this version does not know")]
    UnknownKind,
    /// A pod has one namespace.
    #[error("AddWorkload must carry exactly one descriptor, got {0}")]
    OneDescriptor(usize),
    /// Nothing else has one.
    #[error("only AddWorkload may carry descriptors, got {0}")]
    NoDescriptor(usize),
    /// It is not known who the pod is.
    #[error("AddWorkload of {0} names no workload")]
    NoInfo(String),
    /// The node speaks something else.
    #[error("protocol version {0} is not known; this agent speaks version 1")]
    Version(i32),
    /// Something other than an answer.
    #[error("the packet is no answer")]
    NoAnswer,
}

impl<'p, D> Packet<'p, D> {
    /// The bytes and the descriptors of a packet of which nothing was lost.
    fn whole(self) -> Result<(&'p [u8], Vec<D>), Error> {
        match self.lost {
            Lost::Nothing => Ok((self.bytes, self.descriptors)),
            Lost::Bytes => Err(Error::TooLong),
            Lost::Descriptors => Err(Error::LostDescriptors),
        }
    }
}
