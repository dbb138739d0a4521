//! Hearing that something changes in a namespace, when it does.
//!
//! In goes a namespace; out comes a [`Watch`], which is readable when the kernel has announced a change of `nf_tables`
//! rules, policy rules, routes, addresses or links. What has changed, and whether it matters, is for the one who is told:
//! compare fingerprints ([`Iptables::fingerprint`](crate::Iptables::fingerprint)). Own changes are announced too.
//!
//! Legacy tables have no announcements: whoever has rules there has to look from time to time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use culvert_sys::netns::Netns;
use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{MsgFlags, recv};

/// `NFNLGRP_NFTABLES`.
const RULES: [u32; 1] = [7];
/// `RTNLGRP_LINK`; `_IPV4_IFADDR`, `_IPV4_ROUTE` and `_IPV4_RULE`; the same for IPv6.
const ROUTING: [u32; 7] = [1, 5, 7, 8, 9, 11, 19];
/// Of bytes, for what is announced and not yet read. One announcement is kept whatever its size, and the kernel says when it
/// has lost some: more is not needed to know that something has changed. The kernel rounds this up to the least it has.
const BUFFER: usize = 1;
/// Announcements of each kind that are read at once. Whoever makes them without end must not keep the reader.
const MOST_AT_ONCE: usize = 1024;

/// The announcements of one namespace, which it keeps alive as long as it lives.
///
/// Three descriptors: the kernel announces packet rules and routing on sockets of their own, and the third makes them one to
/// wait for.
#[derive(Debug)]
pub struct Watch {
    sockets: [Socket; 2],
    either: Epoll,
}

/// What has been announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// Nothing since the last time.
    Nothing,
    /// Something, or more than can be told: announcements were lost. There may be more to read.
    Something,
}

impl Watch {
    /// Listens from here on. What changed before is not announced, so take a fingerprint or verify after this.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the process is out of descriptors.
    pub fn open(netns: &Netns) -> io::Result<Self> {
        let sockets = [listen(netns, NETLINK_NETFILTER, &RULES)?, listen(netns, NETLINK_ROUTE, &ROUTING)?];
        let either = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for socket in &sockets {
            either.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        }
        Ok(Self { sockets, either })
    }

    /// Reads what has been announced. Does not wait.
    ///
    /// Nobody is woken again for what has been announced and not been read: go on until it is [`Changed::Nothing`] before you
    /// wait for more.
    ///
    /// # Errors
    /// When the kernel refuses to tell, for another reason than that it has lost announcements.
    pub fn drain(&self) -> io::Result<Changed> {
        let mut changed = Changed::Nothing;
        for socket in &self.sockets {
            for _ in 0..MOST_AT_ONCE {
                // Not even the beginning of it is looked at.
                match recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
                    Ok(_) | Err(Errno::ENOBUFS) => changed = Changed::Something,
                    Err(Errno::EAGAIN) => break,
                    Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(changed)
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.either.0.as_fd()
    }
}

/// For `tokio::io::unix::AsyncFd`.
impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

fn listen(netns: &Netns, protocol: isize, groups: &[u32]) -> io::Result<Socket> {
    let mut socket = netns.run(|| Socket::new(protocol))??;
    socket.set_rx_buf_sz(BUFFER)?;
    // A socket without an address is taken for the kernel's own, which is not told what the kernel does by itself.
    socket.bind_auto()?;
    for group in groups {
        socket.add_membership(*group)?;
    }
    Ok(socket)
}
