//! Sockets made inside a namespace and used from any thread: a socket stays where it was made.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use culvert_sys::netns::Netns;
use socket2::{Domain, Socket, Type};

/// Length of the accept queue of listeners.
const BACKLOG: i32 = 1024;

/// Connects from inside a namespace. Reads and writes on the stream have the same deadline, so that no test hangs.
///
/// # Errors
/// What the kernel says, such as `ConnectionRefused`; `TimedOut` after the deadline.
pub fn connect(netns: &Netns, to: impl Into<SocketAddr>, deadline: Duration) -> io::Result<TcpStream> {
    connect_from(netns, None, to.into(), deadline)
}

/// Like [`connect`], from an address and port of the caller's choice.
///
/// # Errors
/// Also when the address is not the namespace's, or the port is taken.
pub fn connect_from(
    netns: &Netns,
    from: Option<SocketAddr>,
    to: SocketAddr,
    deadline: Duration,
) -> io::Result<TcpStream> {
    let socket = netns.run(|| Socket::new(Domain::for_address(to), Type::STREAM, None))??;
    if let Some(from) = from {
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
    }
    socket.connect_timeout(&to.into(), deadline)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(deadline))?;
    socket.set_write_timeout(Some(deadline))?;
    Ok(socket.into())
}

/// Listens inside a namespace, on all its addresses of both families. Port 0 lets the kernel choose.
///
/// # Errors
/// When the port is taken.
pub fn listen(netns: &Netns, port: u16) -> io::Result<TcpListener> {
    let socket = netns.run(|| Socket::new(Domain::IPV6, Type::STREAM, None))??;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A UDP socket inside a namespace that talks to one address, with a deadline on reads.
///
/// # Errors
/// When there is no route.
pub fn udp(netns: &Netns, to: impl Into<SocketAddr>, deadline: Duration) -> io::Result<UdpSocket> {
    let to = to.into();
    let socket = netns.run(|| Socket::new(Domain::for_address(to), Type::DGRAM, None))??;
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(deadline))?;
    Ok(socket.into())
}
