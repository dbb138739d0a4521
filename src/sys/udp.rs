//! UDP sockets with the options capture needs.
//!
//! Every function makes its socket in the namespace of the calling thread: wrap calls in [`crate::netns::Netns::run`].

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Socket, Type};

/// How to open a socket that is bound to an address.
#[derive(Debug, Clone, Copy)]
pub struct Bind {
    /// Where.
    pub address: SocketAddr,
    /// `SO_MARK` of what is sent.
    pub mark: Option<u32>,
    /// `SO_REUSEPORT`: lets the next process bind while this one drains.
    pub reuse_port: bool,
}

/// Opens a non-blocking socket that takes datagrams from everybody. An IPv6 address takes IPv6 alone.
///
/// # Errors
/// When the address is taken or not there (`AddrNotAvailable`), or an option is refused.
pub fn bind(how: &Bind) -> io::Result<UdpSocket> {
    let socket = open(how.address, how.mark)?;
    if how.address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(how.reuse_port)?;
    socket.bind(&how.address.into())?;
    Ok(socket.into())
}

/// Opens a non-blocking socket that talks to `destination` alone, from a port the kernel draws.
///
/// # Errors
/// When there is no way to the destination, or an option is refused.
pub fn dial(destination: SocketAddr, mark: Option<u32>) -> io::Result<UdpSocket> {
    let socket = open(destination, mark)?;
    socket.connect(&destination.into())?;
    Ok(socket.into())
}

/// Whether a socket could not be made because the kernel, or the namespace, has no IPv6 (`ipv6(7)`; `disable_ipv6` takes
/// `::1` away).
#[must_use]
pub fn is_for_lack_of_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [nix::libc::EAFNOSUPPORT, nix::libc::EADDRNOTAVAIL].into_iter().any(|lack| code == Some(lack))
}

/// The number of a network interface, by its name.
///
/// # Errors
/// When there is no such interface in the namespace of the calling thread.
pub fn interface_index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

fn open(address: SocketAddr, mark: Option<u32>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
    if let Some(mark) = mark {
        socket.set_mark(mark)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(reuse_port: bool) -> UdpSocket {
        bind(&Bind { address: "127.0.0.1:0".parse().unwrap(), mark: None, reuse_port }).unwrap()
    }

    #[test]
    fn the_next_process_may_bind_too() {
        let first = bound(true);
        let address = first.local_addr().unwrap();
        bind(&Bind { address, mark: None, reuse_port: true }).unwrap();
        let refused = bind(&Bind { address, mark: None, reuse_port: false }).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_kernel_without_ipv6_and_a_namespace_without_it_are_told_from_a_port_that_is_taken() {
        let error = |code| io::Error::from_raw_os_error(code);
        // What socket(2) says of a family the kernel does not have.
        let family = Domain::from(nix::libc::AF_DECnet);
        let missing = Socket::new(family, Type::DGRAM, None).unwrap_err();
        assert!(is_for_lack_of_ipv6(&missing), "{missing}");
        assert!(is_for_lack_of_ipv6(&error(nix::libc::EADDRNOTAVAIL)));
        assert!(!is_for_lack_of_ipv6(&error(nix::libc::EADDRINUSE)));
        assert!(!is_for_lack_of_ipv6(&error(nix::libc::EACCES)));
    }

    #[test]
    fn interfaces_have_numbers() {
        assert_eq!(interface_index("lo").unwrap(), 1);
        assert!(interface_index("no-such-one").is_err());
    }

    #[test]
    fn a_dialled_socket_hears_its_destination_alone() {
        let (server, stranger) = (bound(false), bound(false));
        let client = dial(server.local_addr().unwrap(), None).unwrap();
        client.set_nonblocking(false).unwrap();
        client.send(b"hello").unwrap();
        server.set_nonblocking(false).unwrap();
        let mut buffer = [0; 16];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        stranger.send_to(b"forged", from).unwrap();
        server.send_to(b"true", from).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"true");
    }
}
