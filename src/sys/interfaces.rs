//! The addresses of a network namespace's interfaces, asked of the kernel through `rtnetlink(7)`.
//!
//! In goes a namespace, out come addresses one after the other: a namespace may have any number, put there by whoever rules in
//! it, and who looks for one of them need not hold them all. Addresses that mean nothing beyond the host or the link are left out.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Netns;

/// How long the kernel may take for one packet of answers. It has them ready when the request has been sent.
const DEADLINE: Duration = Duration::from_secs(2);

/// The kernel fills at most 32 KiB when there is room for that.
const PACKET: usize = 32 << 10;

/// The addresses of one namespace, as the kernel lists them. After an error there are no more.
#[derive(Debug)]
pub struct Addresses {
    socket: Socket,
    buffer: Vec<u8>,
    read: VecDeque<IpAddr>,
    finished: bool,
}

/// Asks for the addresses of all interfaces in the namespace.
///
/// # Errors
/// When the namespace cannot be entered, or the process is out of descriptors.
pub fn addresses(netns: &Netns) -> io::Result<Addresses> {
    let open = || Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(ROUTE)));
    // The socket stays in the namespace it was made in.
    let socket = netns.run(open)??;
    socket.set_read_timeout(Some(DEADLINE))?;
    // Nobody but the kernel can send to it then.
    nix::sys::socket::connect(socket.as_raw_fd(), &nix::sys::socket::NetlinkAddr::new(0, 0))?;
    socket.send(&request())?;
    Ok(Addresses { socket, buffer: vec![0; PACKET], read: VecDeque::new(), finished: false })
}

/// Brings the loopback interface of a namespace up, which is down in a new one.
///
/// # Errors
/// When the namespace cannot be entered, or without `CAP_NET_ADMIN` in it.
pub fn raise_loopback(netns: &Netns) -> io::Result<()> {
    let open = || Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(ROUTE)));
    let mut socket = netns.run(open)??;
    socket.set_read_timeout(Some(DEADLINE))?;
    nix::sys::socket::connect(socket.as_raw_fd(), &nix::sys::socket::NetlinkAddr::new(0, 0))?;
    socket.send(&raise(LOOPBACK))?;
    let mut answer = [0; 4096];
    let length = socket.read(&mut answer).map_err(named)?;
    let refused = refusal(&answer[..length]);
    if refused.raw_os_error() == Some(0) { Ok(()) } else { Err(refused) }
}

/// A `nlmsghdr` and an `ifinfomsg`: family, type, index, flags, and which flags to change.
fn raise(index: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(LINK_REQUEST);
    message.extend((LINK_REQUEST as u32).to_ne_bytes());
    message.extend(SET_LINK.to_ne_bytes());
    message.extend((REQUEST | ACKNOWLEDGE).to_ne_bytes());
    message.extend([0; 12]);
    message.extend(index.to_ne_bytes());
    message.extend([UP.to_ne_bytes(), UP.to_ne_bytes()].concat());
    message
}

impl Iterator for Addresses {
    type Item = io::Result<IpAddr>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.read.is_empty() && !self.finished {
            if let Err(error) = self.receive() {
                self.finished = true;
                return Some(Err(error));
            }
        }
        self.read.pop_front().map(Ok)
    }
}

impl Addresses {
    fn receive(&mut self) -> io::Result<()> {
        let length = (&self.socket).read(&mut self.buffer).map_err(named)?;
        let mut packet = &self.buffer[..length];
        if packet.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !packet.is_empty() {
            let (message, rest) = split(packet, HEADER).ok_or(io::ErrorKind::InvalidData)?;
            packet = rest;
            match Answer::of(message)? {
                Answer::Address(address) => self.read.extend(address),
                Answer::End => self.finished = true,
            }
        }
        Ok(())
    }
}

/// Says that a wait ended, where the system call only says "try again".
fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return io::Error::new(io::ErrorKind::TimedOut, "the kernel did not answer within 2 s");
    }
    error
}

const NETLINK: i32 = nix::libc::AF_NETLINK;
const ROUTE: i32 = nix::libc::NETLINK_ROUTE;

// linux/netlink.h, linux/rtnetlink.h and linux/if_addr.h
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const SET_LINK: u16 = 16;
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const INTERRUPTED: u16 = 0x10;
const DUMP: u16 = 0x300;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const SCOPE_LINK: u8 = 253;

/// Length of the header of a netlink message, and with that of the fixed part of an address message behind it.
const HEADER: usize = 16;
const HEADERS: usize = 24;
/// With an `ifinfomsg` behind the header.
const LINK_REQUEST: usize = HEADER + 16;
/// Every namespace numbers its loopback interface so.
const LOOPBACK: u32 = 1;
const UP: u32 = nix::libc::IFF_UP as u32;

/// The message that asks for all addresses of all interfaces and families.
fn request() -> [u8; HEADERS] {
    let mut message = [0; HEADERS];
    message[0] = HEADERS as u8;
    message[4..6].copy_from_slice(&GET_ADDRESS.to_ne_bytes());
    message[6..8].copy_from_slice(&(REQUEST | DUMP).to_ne_bytes());
    message
}

/// What one message says.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// An address, if it is one that others can reach.
    Address(Option<IpAddr>),
    End,
}

impl Answer {
    fn of(message: &[u8]) -> io::Result<Self> {
        let (kind, flags) = (number(message, 4), number(message, 6));
        if flags.is_some_and(|flags| flags & INTERRUPTED != 0) {
            return Err(io::Error::other("the addresses changed while they were being listed"));
        }
        match kind {
            Some(NEW_ADDRESS) => Ok(Self::Address(reachable(message))),
            Some(DONE) => Ok(Self::End),
            Some(ERROR) => Err(refusal(message)),
            Some(OVERRUN) => Err(io::Error::other("the kernel lost an answer")),
            _ => Ok(Self::Address(None)),
        }
    }
}

fn refusal(message: &[u8]) -> io::Error {
    let code = message.get(HEADER..HEADER + 4).and_then(|code| code.try_into().ok());
    code.map_or(io::ErrorKind::InvalidData.into(), |code| {
        io::Error::from_raw_os_error(i32::from_ne_bytes(code).wrapping_neg())
    })
}

fn reachable(message: &[u8]) -> Option<IpAddr> {
    let scope = *message.get(HEADER + 3)?;
    let attributes = message.get(HEADERS..)?;
    // Between two points, ADDRESS is that of the other end.
    let address = ip(find(attributes, LOCAL).or_else(|| find(attributes, ADDRESS))?)?;
    let local = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    (scope < SCOPE_LINK && !local).then_some(address)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Takes the first message off, and the padding behind it.
fn split(packet: &[u8], least: usize) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(packet.get(..4)?.try_into().ok()?);
    let length = usize::try_from(length).ok().filter(|length| *length >= least)?;
    let message = packet.get(..length)?;
    Some((message, packet.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The content of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, kind) = (usize::from(number(attributes, 0)?), number(attributes, 2)?);
        let content = attributes.get(4..length)?;
        if kind == wanted {
            return Some(content);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn ip_in(netns: &Netns, args: &str) {
        let run = || Command::new("ip").args(args.split(' ')).status();
        assert!(netns.run(run).unwrap().unwrap().success(), "ip {args}");
    }

    fn listed(netns: &Netns) -> Vec<String> {
        let mut all: Vec<_> = addresses(netns).unwrap().map(|address| address.unwrap().to_string()).collect();
        all.sort();
        all
    }

    #[test]
    fn the_addresses_of_a_namespace_are_its_own_and_those_others_can_reach() {
        let (netns, other) = (Netns::create().unwrap(), Netns::create().unwrap());
        ip_in(&netns, "link set lo up");
        assert_eq!(listed(&netns), Vec::<String>::new());
        ip_in(&netns, "address add 192.0.2.7/24 dev lo");
        ip_in(&netns, "address add 192.0.2.9 peer 192.0.2.10 dev lo");
        ip_in(&netns, "address add 169.254.3.4/16 scope link dev lo");
        ip_in(&netns, "address add 2001:db8::7/64 dev lo");
        ip_in(&other, "address add 192.0.2.8/24 dev lo");
        assert_eq!(listed(&netns), ["192.0.2.7", "192.0.2.9", "2001:db8::7"]);
        assert_eq!(listed(&other), ["192.0.2.8"]);
    }

    #[test]
    fn the_loopback_interface_of_a_new_namespace_can_be_used_once_it_is_up() {
        let netns = Netns::create().unwrap();
        let listener = netns.run(|| std::net::TcpListener::bind("127.0.0.1:80")).unwrap().unwrap();
        let connect = || netns.run(|| std::net::TcpStream::connect("127.0.0.1:80")).unwrap();
        assert!(connect().is_err());
        raise_loopback(&netns).unwrap();
        connect().unwrap();
        raise_loopback(&netns).unwrap();
        drop(listener);
    }

    #[test]
    fn more_addresses_than_fit_into_one_packet_are_all_listed() {
        let netns = Netns::create().unwrap();
        let add = |n: u32| format!("address add 198.18.{}.{}/32 dev lo\n", n / 250, n % 250);
        let script = std::env::temp_dir().join(format!("culvert-addresses-{}", std::process::id()));
        std::fs::write(&script, (0..1500).map(add).collect::<String>()).unwrap();
        ip_in(&netns, &format!("-batch {}", script.display()));
        std::fs::remove_file(&script).unwrap();
        assert_eq!(listed(&netns).len(), 1500);
    }

    #[test]
    fn an_answer_that_is_cut_off_names_no_address() {
        let mut message = vec![0; HEADERS];
        message[4..6].copy_from_slice(&NEW_ADDRESS.to_ne_bytes());
        message.extend(8u16.to_ne_bytes());
        message.extend(LOCAL.to_ne_bytes());
        message.extend([192, 0, 2, 7]);
        assert_eq!(Answer::of(&message).unwrap(), Answer::Address(Some([192, 0, 2, 7].into())));
        for cut in 6..message.len() {
            assert_eq!(Answer::of(&message[..cut]).unwrap(), Answer::Address(None), "cut to {cut}");
        }
    }

    #[test]
    fn a_list_that_changed_under_way_is_not_taken_for_whole() {
        let mut message = [0; HEADERS];
        message[4..6].copy_from_slice(&DONE.to_ne_bytes());
        assert_eq!(Answer::of(&message).unwrap(), Answer::End);
        message[6..8].copy_from_slice(&INTERRUPTED.to_ne_bytes());
        assert!(Answer::of(&message).is_err());
    }

    #[test]
    fn a_message_that_claims_less_than_its_header_is_refused() {
        for length in [0, 4, 15, 17] {
            let mut packet = [0; HEADER];
            packet[0] = length;
            assert_eq!(split(&packet, HEADER), None, "{length}");
        }
    }
}
