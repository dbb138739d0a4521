//! Ports to listen on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct Error {
    /// Where.
    pub address: SocketAddr,
    /// The kernel's refusal.
    pub source: io::Error,
}

/// Listens on one address. Connections are accepted by the runtime this is called in.
///
/// # Errors
/// When the address is taken, or not this host's.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    listen().map_err(|source| Error { address, source })
}

/// Listens on all addresses: of both families, or of IPv4 alone where there is no IPv6.
///
/// # Errors
/// When the port is taken.
pub fn listen_everywhere(port: u16) -> Result<TcpListener, Error> {
    match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(Error { source, .. }) if source.kind() != io::ErrorKind::AddrInUse => {
            listen((Ipv4Addr::UNSPECIFIED, port).into())
        }
        settled => settled,
    }
}
