//! The sockets of the load generator: blocking, without Nagle's delay, and never waiting for ever.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// What takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Length of the accept queue.
const BACKLOG: i32 = 4096;

/// Connects. The time-out for writing holds for connecting too (`SO_SNDTIMEO`, `socket(7)`): one system call less than
/// with poll(2).
pub(super) fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    connect_from(None, to)
}

/// Connects, from a port of the caller's choice if there is one.
pub(super) fn connect_from(port: Option<u16>, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(port) = port {
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(any(to), port).into())?;
    }
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&to.into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

fn any(to: SocketAddr) -> IpAddr {
    if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Listens on all addresses.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes the next connection.
pub(super) fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
