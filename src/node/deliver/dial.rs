//! Dials TCP connections from inside a pod's network namespace, as the pod or as the client it speaks for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::netns::Netns;
use culvert_sys::tcp;
use tokio::net::{TcpSocket, TcpStream};

use crate::config::SocketConfig;

/// How long a connection attempt may take.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Makes connections in one network namespace.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    /// `None`: the namespace of this process.
    netns: Option<Arc<Netns>>,
    socket: SocketConfig,
}

/// Why a connection did not come about.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot make a socket for {to} in the pod's network namespace")]
    Socket { to: SocketAddr, source: Arc<io::Error> },
    #[error("cannot connect to {to}")]
    Refused { to: SocketAddr, source: Arc<io::Error> },
    #[error("no answer from {to} within {CONNECT_DEADLINE:?} (connect deadline)")]
    TimedOut { to: SocketAddr },
    #[error("no answer from {to} within {patience:?} (attempt deadline)")]
    OutOfPatience { to: SocketAddr, patience: Duration },
}

impl Error {
    /// Whether the source port is in use, so that another may work.
    fn port_is_taken(&self) -> bool {
        match self {
            Self::Socket { source, .. } | Self::Refused { source, .. } => {
                matches!(source.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
            }
            Self::TimedOut { .. } | Self::OutOfPatience { .. } => false,
        }
    }
}

impl Dialer {
    pub(crate) fn new(netns: Option<Arc<Netns>>, socket: SocketConfig) -> Self {
        Self { netns, socket }
    }

    /// Connects with the pod's own address.
    pub(crate) async fn connect(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        self.attempt(to, None).await
    }

    /// Connects with the address of `client`, and with its port too when that is given (not 0) and free.
    ///
    /// A client at the destination's own address is not imitated: the kernel would talk to itself.
    pub(crate) async fn connect_as(&self, to: SocketAddr, client: SocketAddr) -> Result<TcpStream, Error> {
        if client.ip() == to.ip() {
            return self.connect(to).await;
        }
        match self.attempt(to, Some(client)).await {
            Err(error) if client.port() != 0 && error.port_is_taken() => {
                self.attempt(to, Some(SocketAddr::new(client.ip(), 0))).await
            }
            settled => settled,
        }
    }

    async fn attempt(&self, to: SocketAddr, source: Option<SocketAddr>) -> Result<TcpStream, Error> {
        let socket = self.socket(to, source).map_err(|e| Error::Socket { to, source: Arc::new(e) })?;
        let connecting = TcpSocket::from_std_stream(socket).connect(to);
        let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
        let connected = connected.map_err(|_| Error::TimedOut { to })?;
        connected.map_err(|e| Error::Refused { to, source: Arc::new(e) })
    }

    fn socket(&self, to: SocketAddr, source: Option<SocketAddr>) -> io::Result<std::net::TcpStream> {
        let how = tcp::Dial { mark: self.socket.mark, source };
        let socket = match &self.netns {
            Some(netns) => netns.run(|| tcp::dial(to, &how))??,
            None => tcp::dial(to, &how)?,
        };
        prepare(&socket, &self.socket)?;
        Ok(socket)
    }
}

/// Puts the keepalive settings on a socket.
pub(crate) fn prepare(socket: &impl std::os::fd::AsFd, config: &SocketConfig) -> io::Result<()> {
    if let Some(keepalive) = config.keepalive {
        tcp::keep_alive(socket, keepalive)?;
    }
    if let Some(timeout) = config.user_timeout {
        tcp::user_timeout(socket, timeout)?;
    }
    Ok(())
}
