//! Capture: the listeners of a pod, and what they accept.
//!
//! Out comes a [`Captured`]: who is calling, and whom they wanted. Nothing is decided here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use culvert_sys::limits;
use culvert_sys::netns::Netns;
use culvert_sys::tcp::{self, Listen, Transparent};
use tokio::net::TcpStream;

use crate::config::SocketConfig;
use crate::deliver::dial::prepare;

mod accept;

/// Outbound connections of the pod arrive here, redirected.
pub(crate) const OUTBOUND: u16 = 15001;
/// Inbound plain connections to the pod arrive here, redirected.
pub(crate) const INBOUND_PLAIN: u16 = 15006;
/// Tunnels to the pod are dialled here directly.
pub(crate) const INBOUND_TUNNEL: u16 = 15008;

/// An accepted connection.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) stream: TcpStream,
    /// Who is calling.
    pub(crate) client: SocketAddr,
    /// Whom they wanted: the original destination when the connection was redirected, else the address dialled.
    pub(crate) destination: SocketAddr,
}

/// The open listeners of one pod.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) outbound: Listener,
    pub(crate) inbound_plain: Listener,
    pub(crate) inbound_tunnel: Listener,
    /// Whether deliveries may carry the client's address.
    pub(crate) transparent: bool,
}

/// One open listener.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: tokio::net::TcpListener,
    /// Whether what it accepts was redirected here.
    plain: bool,
}

/// A pod whose listeners could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot enter the network namespace")]
    Enter(#[source] io::Error),
    #[error("cannot listen on port {port}; is another proxy serving this pod?")]
    Listen { port: u16, source: io::Error },
    #[error(
        "cannot listen on port {port}: this process may have {limit} files open, and has; raise its limit (LimitNOFILE, ulimit -n)"
    )]
    NoDescriptorLeft { port: u16, limit: u64, source: io::Error },
}

impl Error {
    /// Of a port that could not be listened on.
    pub(crate) fn listen(port: u16, source: io::Error) -> Self {
        match limits::open_files() {
            Ok(limit) if limits::is_for_lack_of_descriptors(&source) => {
                Self::NoDescriptorLeft { port, limit, source }
            }
            Ok(_) | Err(_) => Self::Listen { port, source },
        }
    }
}

/// How long to wait before listeners of a pod that could not be opened are tried again.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Opens listeners again and again, with growing pauses, until that works. `open` is told the pause that follows when it does not;
/// for the `first` attempt, which was made already, that was [`FIRST_PAUSE`].
pub(crate) async fn open_at_last<T>(first: Option<T>, open: impl Fn(Duration) -> Option<T>) -> T {
    let (mut opened, mut pause) = (first, FIRST_PAUSE);
    loop {
        if let Some(opened) = opened {
            return opened;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        opened = open(pause);
    }
}

impl Listener {
    /// Opens the port for tunnels alone, in the current network namespace.
    pub(crate) fn open_tunnel(socket: &SocketConfig) -> Result<Self, Error> {
        let (listener, _) = listen(INBOUND_TUNNEL, socket)?;
        Self::of(INBOUND_TUNNEL, listener)
    }

    fn of(port: u16, listener: TcpListener) -> Result<Self, Error> {
        let listener = tokio::net::TcpListener::from_std(listener);
        listener
            .map(|listener| Self { listener, plain: is_plain(port) })
            .map_err(|source| Error::listen(port, source))
    }
}

impl Listeners {
    /// Opens all three in `netns` (`None`: the current one), or none.
    pub(crate) fn open(netns: Option<&Netns>, socket: SocketConfig) -> Result<Self, Error> {
        let (outbound, inbound_plain, inbound_tunnel) = match netns {
            Some(netns) => netns.run(|| listen_all(&socket)).map_err(Error::Enter)??,
            None => listen_all(&socket)?,
        };
        let transparent = inbound_tunnel.1 && inbound_plain.1;
        Ok(Self {
            outbound: Listener::of(OUTBOUND, outbound.0)?,
            inbound_plain: Listener::of(INBOUND_PLAIN, inbound_plain.0)?,
            inbound_tunnel: Listener::of(INBOUND_TUNNEL, inbound_tunnel.0)?,
            transparent,
        })
    }
}

type Opened = (TcpListener, bool);

fn listen_all(socket: &SocketConfig) -> Result<(Opened, Opened, Opened), Error> {
    Ok((listen(OUTBOUND, socket)?, listen(INBOUND_PLAIN, socket)?, listen(INBOUND_TUNNEL, socket)?))
}

fn listen(port: u16, socket: &SocketConfig) -> Result<Opened, Error> {
    let how = Listen {
        address: tcp::wildcard(port, socket.ipv6),
        mark: socket.mark,
        reuse_port: socket.reuse_port,
        transparent: socket.transparent,
    };
    let opened = tcp::listen(&how).and_then(|opened| pass_on(&opened.0, port, socket).map(|()| opened));
    opened.map_err(|source| Error::listen(port, source))
}

/// Sets what every accepted socket is to have: they inherit it from the listener, which saves the calls for each.
fn pass_on(listener: &TcpListener, port: u16, socket: &SocketConfig) -> io::Result<()> {
    if is_plain(port) {
        tcp::reset_on_close(listener)?;
    }
    tcp::send_at_once(listener)?;
    prepare(listener, socket)
}

/// Opens listeners on the loopback address, of both families where the pod has them, in the namespace the calling thread is in.
/// What they accept is an application's own connection.
pub(crate) fn listen_on_loopback(port: u16, socket: &SocketConfig) -> Result<Vec<TcpListener>, Error> {
    let listen = |ip: IpAddr| {
        let (mark, reuse_port) = (socket.mark, socket.reuse_port);
        let how = Listen { address: (ip, port).into(), mark, reuse_port, transparent: Transparent::Never };
        let (listener, _) = tcp::listen(&how)?;
        pass_on(&listener, port, socket).map(|()| listener)
    };
    let failed = |source| Error::listen(port, source);
    let mut opened = vec![listen(Ipv4Addr::LOCALHOST.into()).map_err(failed)?];
    if socket.ipv6 {
        match listen(Ipv6Addr::LOCALHOST.into()) {
            Ok(more) => opened.push(more),
            Err(error) if culvert_sys::udp::is_for_lack_of_ipv6(&error) => {
                tracing::debug!(%error, port, "not listening on IPv6 in this pod");
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(opened)
}

/// Whether what a port accepts is an application's own connection, which must not seem to end in order before it was served.
fn is_plain(port: u16) -> bool {
    port != INBOUND_TUNNEL
}

impl Listener {
    /// Takes a listener whose connections may have been redirected to it.
    pub(crate) fn of_redirected(listener: TcpListener) -> io::Result<Self> {
        Ok(Self { listener: tokio::net::TcpListener::from_std(listener)?, plain: true })
    }

    /// Takes a listener whose connections are for itself.
    pub(crate) fn of_direct(listener: TcpListener) -> io::Result<Self> {
        Ok(Self { listener: tokio::net::TcpListener::from_std(listener)?, plain: false })
    }
}

/// Finds out whom an accepted connection wanted; `None` when it is gone already.
fn captured(stream: TcpStream, client: SocketAddr, plain: bool) -> Option<Captured> {
    let redirected = if plain { tcp::original_destination(&stream) } else { None };
    let destination = match redirected {
        Some(destination) => destination,
        None => match stream.local_addr() {
            Ok(dialled) => tcp::canonical(dialled),
            Err(error) => {
                tracing::debug!(%client, %error, "a connection was gone before it was looked at");
                return None;
            }
        },
    };
    Some(Captured { stream, client: tcp::canonical(client), destination })
}

#[cfg(test)]
mod tests;
