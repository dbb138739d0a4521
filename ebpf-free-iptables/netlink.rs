//! A netlink socket (`netlink(7)`) inside a namespace: one question, its answers, its outcome.
//!
//! In go messages, of `netlink-packet-route` or as bytes; out come the answers, or the kernel's refusal as an `io::Error`.
//! What the messages say is for [`crate::policy_route`], [`crate::nft`] and [`crate::fingerprint`].

use std::io;
use std::time::Duration;

use culvert_sys::netns::Netns;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkDeserializable as _, NetlinkHeader, NetlinkSerializable as _,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// How long the kernel may take for one answer. It answers while the request is being sent; only a lost answer waits.
const DEADLINE: Duration = Duration::from_secs(2);
/// How often something is read that keeps changing meanwhile.
const MOST_READINGS: usize = 16;
/// Length of the header of a message.
const HEADER: usize = 16;

/// A socket that stays in the namespace it was made in.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// What is asked: the kind of the message, flags, and what comes after the header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'q> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) body: &'q [u8],
}

/// One answer: the kind of the message, and what comes after the header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) kind: u16,
    pub(crate) body: &'a [u8],
}

/// What one packet of answers said about the request as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

impl Netlink {
    /// For links, addresses, routes and policy rules (`rtnetlink(7)`).
    pub(crate) fn routing(netns: &Netns) -> io::Result<Self> {
        Self::open(netns, NETLINK_ROUTE)
    }

    /// For packet filters.
    pub(crate) fn netfilter(netns: &Netns) -> io::Result<Self> {
        Self::open(netns, NETLINK_NETFILTER)
    }

    fn open(netns: &Netns, protocol: isize) -> io::Result<Self> {
        let socket = netns.run(|| Socket::new(protocol))??;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(DEADLINE.as_secs().cast_signed(), 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes the kernel apply what a question for a list narrows it down to. Old kernels cannot: they list everything.
    pub(crate) fn filter_strictly(&self) {
        // Best effort: whoever asks has to look at the answers anyway.
        let _ = self.socket.set_netlink_get_strict_chk(true);
    }

    /// Sends a request that changes something and waits for its outcome.
    pub(crate) fn change(&mut self, message: &RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.request(message, flags | NLM_F_ACK, |_| {})
    }

    /// Sends a request and hands each answer to `each`.
    pub(crate) fn request(
        &mut self,
        message: &RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let mut body = vec![0; message.buffer_len()];
        message.serialize(&mut body);
        self.ask(Question { kind: message.message_type(), flags, body: &body }, |answer| {
            let mut header = NetlinkHeader::default();
            header.message_type = answer.kind;
            // An object this library cannot decode is not one we made.
            if let Ok(message) = RouteNetlinkMessage::deserialize(&header, answer.body) {
                each(message);
            }
        })
    }

    /// Sends a question, for a list or with `NLM_F_ACK`, and hands each answer to `each`.
    ///
    /// A list that changed while it was read is `Interrupted`, and what was handed over is worth nothing.
    pub(crate) fn ask(&mut self, question: Question<'_>, mut each: impl FnMut(Answer<'_>)) -> io::Result<()> {
        self.sequence += 1;
        self.socket.send_to(&question.bytes(self.sequence), &SocketAddr::new(0, 0), 0)?;
        let mut torn = false;
        loop {
            let (answers, _) = self.socket.recv_from_full().map_err(named)?;
            if self.read(&answers, &mut torn, &mut each)? == Progress::Done {
                return if torn { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) };
            }
        }
    }

    fn read(
        &self,
        mut answers: &[u8],
        torn: &mut bool,
        each: &mut impl FnMut(Answer<'_>),
    ) -> io::Result<Progress> {
        while !answers.is_empty() {
            let buffer = NetlinkBuffer::new_checked(answers).map_err(io::Error::other)?;
            let length = buffer.length() as usize;
            answers = answers.get(length.next_multiple_of(4)..).unwrap_or_default();
            if buffer.sequence_number() != self.sequence {
                continue;
            }
            *torn |= buffer.flags() & NLM_F_DUMP_INTR != 0;
            match buffer.message_type() {
                NLMSG_DONE | NLMSG_ERROR => return outcome(buffer.payload()),
                NLMSG_OVERRUN => return Err(io::Error::other("the kernel lost an answer")),
                NLMSG_NOOP => {}
                kind => each(Answer { kind, body: buffer.payload() }),
            }
        }
        Ok(Progress::More)
    }
}

impl Question<'_> {
    fn bytes(self, sequence: u32) -> Vec<u8> {
        let length = HEADER + self.body.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(u32::try_from(length).expect("questions are short").to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | self.flags).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.body);
        bytes
    }
}

/// Reads something again when it has changed while it was read.
pub(crate) fn consistently<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..MOST_READINGS {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    Err(io::Error::other("it keeps changing while it is read"))
}

/// The number at the beginning of the last message: a negative one is the kernel's refusal.
fn outcome(body: &[u8]) -> io::Result<Progress> {
    let code = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 { Ok(Progress::Done) } else { Err(io::Error::from_raw_os_error(code.wrapping_neg())) }
}

/// Says that a wait ended, where the system call only says "try again".
fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer within 2 s");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_while_it_was_read_is_read_again() {
        let mut readings = 0;
        let read = consistently(|| {
            readings += 1;
            if readings < 3 { Err(io::ErrorKind::Interrupted.into()) } else { Ok(readings) }
        });
        assert_eq!(read.unwrap(), 3);
        let endless = consistently(|| Err::<(), _>(io::ErrorKind::Interrupted.into()));
        assert_eq!(endless.unwrap_err().to_string(), "it keeps changing while it is read");
        let refused = consistently(|| Err::<(), _>(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_kernels_refusal_is_an_error_of_the_system() {
        let mut netlink = Netlink::routing(&Netns::create().unwrap()).unwrap();
        let nonsense = Question { kind: 0x0fff, flags: NLM_F_ACK, body: &[0; 4] };
        let error = netlink.ask(nonsense, |_| {}).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::EOPNOTSUPP as i32), "{error}");
    }
}
