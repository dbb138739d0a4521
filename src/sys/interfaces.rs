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

use crate::netlink::{self, DONE, DUMP, ERROR, HEADER, INTERRUPTED, Message, OVERRUN, REQUEST, attribute};
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
    let (answer, _) = Message::split(&answer[..length]).ok_or(io::ErrorKind::InvalidData)?;
    if answer.kind == ERROR && answer.code() == Some(0) { Ok(()) } else { Err(answer.failure()) }
}

/// A `nlmsghdr` and an `ifinfomsg`: family, type, index, flags, and which flags to change.
fn raise(index: u32) -> Vec<u8> {
    let mut message = netlink::header(LINK_REQUEST, SET_LINK, REQUEST | ACKNOWLEDGE, 0).to_vec();
    message.extend([0; 4]);
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
            let (message, rest) = Message::split(packet).ok_or(io::ErrorKind::InvalidData)?;
            packet = rest;
            match Answer::of(&message)? {
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

// linux/rtnetlink.h and linux/if_addr.h
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const SET_LINK: u16 = 16;
const ACKNOWLEDGE: u16 = 0x4;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const SCOPE_LINK: u8 = 253;

/// Length of the fixed part of an address message.
const FIXED: usize = 8;
/// With an `ifinfomsg` behind the header.
const LINK_REQUEST: usize = HEADER + 16;
/// Every namespace numbers its loopback interface so.
const LOOPBACK: u32 = 1;
const UP: u32 = nix::libc::IFF_UP as u32;

/// The message that asks for all addresses of all interfaces and families.
fn request() -> Vec<u8> {
    let mut message = netlink::header(HEADER + FIXED, GET_ADDRESS, REQUEST | DUMP, 0).to_vec();
    message.extend([0; FIXED]);
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
    fn of(message: &Message<'_>) -> io::Result<Self> {
        if message.flags & INTERRUPTED != 0 {
            return Err(io::Error::other("the addresses changed while they were being listed"));
        }
        match message.kind {
            NEW_ADDRESS => Ok(Self::Address(reachable(message.body))),
            DONE => Ok(Self::End),
            ERROR => Err(message.failure()),
            OVERRUN => Err(io::Error::other("the kernel lost an answer")),
            _ => Ok(Self::Address(None)),
        }
    }
}

fn reachable(message: &[u8]) -> Option<IpAddr> {
    let scope = *message.get(3)?;
    let attributes = message.get(FIXED..)?;
    // Between two points, ADDRESS is that of the other end.
    let address = ip(attribute(attributes, LOCAL).or_else(|| attribute(attributes, ADDRESS))?)?;
    let local = address.is_loopback() || address.is_unspecified() || address.is_multicast();
    (scope < SCOPE_LINK && !local).then_some(address)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
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
        let mut body = vec![0; FIXED];
        body.extend(8u16.to_ne_bytes());
        body.extend(LOCAL.to_ne_bytes());
        body.extend([192, 0, 2, 7]);
        let of = |body| Answer::of(&Message { kind: NEW_ADDRESS, flags: 0, sequence: 0, body }).unwrap();
        assert_eq!(of(&body), Answer::Address(Some([192, 0, 2, 7].into())));
        for cut in 0..body.len() {
            assert_eq!(of(&body[..cut]), Answer::Address(None), "cut to {cut}");
        }
    }

    #[test]
    fn a_list_that_changed_under_way_is_not_taken_for_whole() {
        let message = Message { kind: DONE, flags: 0, sequence: 0, body: &[] };
        assert_eq!(Answer::of(&message).unwrap(), Answer::End);
        assert!(Answer::of(&Message { flags: INTERRUPTED, ..message }).is_err());
    }
}
