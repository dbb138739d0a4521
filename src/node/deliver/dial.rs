//! Dials TCP connections from inside a pod's network namespace, as the pod or as the client it speaks for.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::netns::Netns;
use culvert_sys::tcp::{self, Ports, Window};
use tokio::net::{TcpSocket, TcpStream};

use crate::config::SocketConfig;

/// How long a connection attempt may take.
pub(crate) const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// Among how many ports the kernel looks for a free one, and among how many then if there was none. A thread that serves all pods
/// does nothing else meanwhile: what one pod has used up shall cost the others little. Where 99 of 100 ports are taken, the second
/// window is used for every other connection and the third for none; where all are, it is not long until that is known.
const WIDTHS: [u16; 3] = [64, 1024, 4096];

/// How often a port beside those of clients is tried before the kernel chooses.
const BESIDE: usize = 4;

/// Makes connections in one network namespace.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    /// `None`: the namespace of this process.
    netns: Option<Arc<Netns>>,
    socket: SocketConfig,
    /// What connections are made from there, if the kernel tells.
    ports: Option<Ports>,
}

/// Who is at the other end of a connection, and so what they make of its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FarEnd {
    /// Takes FIN for the end of what was said to it: unless that is said, it is told of a break, also by the kernel when this process
    /// is killed.
    Application,
    /// Knows by other means whether all has come.
    Protocol,
}

/// What a connection is made from, and to whom.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    to: SocketAddr,
    far: FarEnd,
    source: Option<SocketAddr>,
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
        let ports = match &netns {
            Some(netns) => netns.run(Ports::of_this_namespace).and_then(|ports| ports),
            None => Ports::of_this_namespace(),
        };
        Self { netns, socket, ports: ports.ok() }
    }

    /// How often a connection is probed of which one direction has ended.
    pub(crate) fn half_closed_probe(&self) -> Option<Duration> {
        self.socket.half_closed_probe
    }

    /// Connects with the pod's own address to something that knows by itself what is whole: a peer, or a nameserver.
    pub(crate) async fn connect(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        self.attempt(Attempt { to, far: FarEnd::Protocol, source: None }).await
    }

    /// Connects with the pod's own address to an application. Until its end is said, giving it up resets it.
    pub(crate) async fn connect_to_application(&self, to: SocketAddr) -> Result<TcpStream, Error> {
        self.attempt(Attempt { to, far: FarEnd::Application, source: None }).await
    }

    /// Connects to an application with the address of `client`, and with its port too when that is given (not 0) and free.
    ///
    /// A client at the destination's own address is not imitated: the kernel would talk to itself.
    pub(crate) async fn connect_as(&self, to: SocketAddr, client: SocketAddr) -> Result<TcpStream, Error> {
        if client.ip() == to.ip() {
            return self.connect_to_application(to).await;
        }
        let far = FarEnd::Application;
        match self.attempt(Attempt { to, far, source: Some(client) }).await {
            Err(error) if client.port() != 0 && error.port_is_taken() => {
                let source = Some(SocketAddr::new(client.ip(), 0));
                self.attempt(Attempt { to, far, source }).await
            }
            settled => settled,
        }
    }

    async fn attempt(&self, attempt: Attempt) -> Result<TcpStream, Error> {
        match attempt.source {
            None => self.within(attempt).await,
            Some(source) if source.port() == 0 => self.beside(attempt, source.ip()).await,
            Some(_) => self.once(attempt, None).await,
        }
    }

    /// From a client's address, and a port that the client would not choose. What it calls this pod from itself is in the same network
    /// namespace: with the same port, connection tracking takes both for one, and redirects ours or lets the client's pass.
    async fn beside(&self, attempt: Attempt, client: IpAddr) -> Result<TcpStream, Error> {
        for _ in 0..BESIDE {
            let Some(port) = self.ports.and_then(|ports| ports.beside(rand::random())) else { break };
            let source = Some(SocketAddr::new(client, port));
            match self.once(Attempt { source, ..attempt }, None).await {
                Err(error) if error.port_is_taken() => {}
                settled => return settled,
            }
        }
        self.within(attempt).await
    }

    /// From a port the kernel chooses, in one window after the other.
    async fn within(&self, attempt: Attempt) -> Result<TcpStream, Error> {
        let Some(ports) = self.ports else { return self.once(attempt, None).await };
        let [first, wider @ ..] = WIDTHS.map(|width| ports.window(width, rand::random()));
        let mut connected = self.once(attempt, Some(first)).await;
        for window in wider {
            match connected {
                Err(error) if error.port_is_taken() => connected = self.once(attempt, Some(window)).await,
                settled => return settled,
            }
        }
        connected
    }

    async fn once(&self, attempt: Attempt, window: Option<Window>) -> Result<TcpStream, Error> {
        let to = attempt.to;
        let socket = self.socket(attempt, window).map_err(|e| Error::Socket { to, source: Arc::new(e) })?;
        let connecting = TcpSocket::from_std_stream(socket).connect(to);
        let connected = tokio::time::timeout(CONNECT_DEADLINE, connecting).await;
        let connected = connected.map_err(|_| Error::TimedOut { to })?;
        connected.map_err(|e| Error::Refused { to, source: Arc::new(e) })
    }

    fn socket(&self, attempt: Attempt, window: Option<Window>) -> io::Result<std::net::TcpStream> {
        let Attempt { to, far, source } = attempt;
        let how = tcp::Dial { mark: self.socket.mark, source };
        let socket = match &self.netns {
            Some(netns) => netns.run(|| tcp::dial(to, &how))??,
            None => tcp::dial(to, &how)?,
        };
        if let Some(window) = window {
            tcp::look_within(&socket, window)?;
        }
        prepare(&socket, &self.socket)?;
        if far == FarEnd::Application {
            tcp::reset_on_close(&socket)?;
        }
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;
    use crate::config::{Config, Environment};

    fn config() -> Config {
        let set = [("LOCAL_XDS", "{}"), ("CA_ADDRESS", "unused:1"), ("PACKET_MARK", "0")];
        Config::read(&Environment::of(set.into_iter())).unwrap()
    }

    #[tokio::test]
    async fn the_last_port_is_found_and_then_there_is_none() {
        const PORTS: u16 = 200;
        let netns = Arc::new(Netns::create().unwrap());
        let listener = netns.run(|| {
            assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
            let range = format!("40000 {}", 40_000 + PORTS - 1);
            fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
            TcpListener::bind("127.0.0.1:7070").unwrap()
        });
        let listener = listener.unwrap();
        let dialer = Dialer::new(Some(netns), config().socket);
        let to = listener.local_addr().unwrap();
        let mut held = Vec::new();
        for _ in 0..PORTS {
            let connected = dialer.connect(to).await.unwrap();
            held.push((connected, listener.accept().unwrap()));
        }
        let mut ports: Vec<_> = held.iter().map(|(one, _)| one.local_addr().unwrap().port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, (40_000..40_000 + PORTS).collect::<Vec<_>>());
        assert!(dialer.connect(to).await.unwrap_err().port_is_taken());
    }

    #[tokio::test]
    async fn the_port_of_who_is_imitated_is_none_it_would_choose_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (to, client) = (listener.local_addr().unwrap(), "127.0.0.2:0".parse().unwrap());
        let dialer = Dialer::new(None, config().socket);
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        for _ in 0..20 {
            let connected = dialer.connect_as(to, client).await.unwrap();
            let from = connected.local_addr().unwrap();
            assert!(from.ip() == client.ip() && (1024..first).contains(&from.port()), "{from}");
        }
    }

    /// What an application reads at the end of a connection that was given up.
    fn read_by(application: &TcpListener) -> io::Result<usize> {
        use std::io::Read as _;
        let (mut stream, _) = application.accept()?;
        stream.set_read_timeout(Some(CONNECT_DEADLINE))?;
        stream.read(&mut [0; 1])
    }

    #[tokio::test]
    async fn what_was_given_up_is_no_end_for_an_application() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (to, client) = (listener.local_addr().unwrap(), "127.0.0.2:0".parse().unwrap());
        let dialer = Dialer::new(None, config().socket);
        drop(dialer.connect(to).await.unwrap());
        assert_eq!(read_by(&listener).unwrap(), 0);
        drop(dialer.connect_to_application(to).await.unwrap());
        assert_eq!(read_by(&listener).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        drop(dialer.connect_as(to, client).await.unwrap());
        assert_eq!(read_by(&listener).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let ended = dialer.connect_to_application(to).await.unwrap();
        tcp::end_sending(&ended).unwrap();
        drop(ended);
        assert_eq!(read_by(&listener).unwrap(), 0);
    }
}
