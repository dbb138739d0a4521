//! A routing socket (`rtnetlink(7)`) inside a namespace: one request, its answers, its outcome.
//!
//! In go messages of `netlink-packet-route`; out come the answers, or the kernel's refusal as an `io::Error`. What the
//! messages say is for [`crate::policy_route`].

use std::io;
use std::time::Duration;

use culvert_sys::netns::Netns;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

/// How long the kernel may take for one answer. It answers while the request is being sent; only a lost answer waits.
const DEADLINE: Duration = Duration::from_secs(2);

/// A socket that stays in the namespace it was made in.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// What one packet of answers said about the request as a whole.
enum Progress {
    More,
    Done,
}

impl Netlink {
    pub(crate) fn open(netns: &Netns) -> io::Result<Self> {
        let socket = netns.run(|| Socket::new(NETLINK_ROUTE))??;
        setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(DEADLINE.as_secs().cast_signed(), 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends a request that changes something and waits for its outcome.
    pub(crate) fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.request(message, flags | NLM_F_ACK, |_| {})
    }

    /// Sends a request and hands each answer to `each`.
    pub(crate) fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        loop {
            let (answers, _) = self.socket.recv_from_full().map_err(named)?;
            if let Progress::Done = self.read(&answers, &mut each)? {
                return Ok(());
            }
        }
    }

    fn read(&self, mut answers: &[u8], each: &mut impl FnMut(RouteNetlinkMessage)) -> io::Result<Progress> {
        while !answers.is_empty() {
            let buffer = NetlinkBuffer::new_checked(answers).map_err(io::Error::other)?;
            let (sequence, length) = (buffer.sequence_number(), buffer.length() as usize);
            // An object this library cannot decode is not one we made.
            let decoded = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answers);
            answers = answers.get(length.next_multiple_of(4)..).unwrap_or_default();
            let (true, Ok(message)) = (sequence == self.sequence, decoded) else { continue };
            match message.payload {
                NetlinkPayload::InnerMessage(message) => each(message),
                NetlinkPayload::Done(answer) => return outcome(answer.code),
                NetlinkPayload::Error(answer) => return outcome(answer.raw_code()),
                NetlinkPayload::Overrun(_) => return Err(io::Error::other("the kernel lost an answer")),
                NetlinkPayload::Noop | _ => {}
            }
        }
        Ok(Progress::More)
    }
}

fn outcome(code: i32) -> io::Result<Progress> {
    if code == 0 { Ok(Progress::Done) } else { Err(io::Error::from_raw_os_error(code.wrapping_neg())) }
}

/// Says that a wait ended, where the system call only says "try again".
fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer within 2 s");
    }
    error
}
