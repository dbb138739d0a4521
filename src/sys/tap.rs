//! Reads every packet that passes an interface, or any of a namespace (`packet(7)`): the witness of the demo and of the tests.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

use crate::netns::Netns;

/// Bytes of packets, with the kernel's own overhead, that can wait to be read.
const ROOM: usize = 64 << 20;

/// A socket that receives a copy of each packet of one interface, or all, in both directions.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
}

impl Tap {
    /// Opens a tap on `interface` inside `netns`.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW` and `CAP_NET_ADMIN`, or when there is no such interface.
    pub fn open(netns: &Netns, interface: &str) -> io::Result<Self> {
        netns.run(|| Self::bound_to(nix::net::if_::if_nametoindex(interface)?))?
    }

    /// Opens a tap on all interfaces of `netns`, those that are made later included. What is forwarded shows at each interface it
    /// passes.
    ///
    /// # Errors
    /// Without `CAP_NET_RAW` and `CAP_NET_ADMIN`.
    pub fn open_all(netns: &Netns) -> io::Result<Self> {
        const ALL: u32 = 0;
        netns.run(|| Self::bound_to(ALL))?
    }

    fn bound_to(index: u32) -> io::Result<Self> {
        // No protocol until it is bound: packets of other interfaces must not get in meanwhile.
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        // Room for bursts, beyond net.core.rmem_max: a tap that drops packets proves nothing.
        setsockopt(&socket, sockopt::RcvBufForce, &ROOM)?;
        socket.bind(&link_address(index))?;
        Ok(Self { socket })
    }

    /// The next packet, link header included, or `None` when none came within `wait`.
    ///
    /// # Errors
    /// When the interface went away.
    pub fn next(&self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 128 * 1024];
        match self.socket.recv(&mut buffer) {
            Ok(length) => Ok(Some(initialized(&buffer[..length]))),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How many packets the kernel could not queue for this tap since the last call.
    ///
    /// # Errors
    /// When the kernel does not answer.
    #[expect(unsafe_code, reason = "getsockopt for PACKET_STATISTICS has no safe wrapper")]
    pub fn dropped(&self) -> io::Result<u32> {
        use std::os::fd::AsRawFd as _;
        let mut stats = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: `stats` and `length` are valid for writes of the sizes passed, and live across the call.
        let result = unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut length,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(stats.tp_drops) }
    }
}

#[expect(unsafe_code, reason = "sockaddr_ll has no safe constructor")]
fn link_address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_storage is large enough and aligned for sockaddr_ll, a plain structure of integers.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET as u16;
    link.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    link.sll_ifindex = index as i32;
    // SAFETY: the storage holds an initialized sockaddr_ll of exactly this length.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

#[expect(unsafe_code, reason = "recv fills uninitialized memory")]
fn initialized(bytes: &[MaybeUninit<u8>]) -> Vec<u8> {
    // SAFETY: recv wrote every byte of the slice it was given back the length of; MaybeUninit<u8> has the layout of u8.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<u8>(), bytes.len()) }.to_vec()
}
