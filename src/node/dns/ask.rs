//! Asking other servers, one message at a time, from inside the pod.
//!
//! In go a message and whom to ask; out comes what one of them answered, as it came. Nothing is kept, and nothing in the
//! messages is understood but what tells that one is an answer to the other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use culvert_sys::netns::Netns;
use culvert_sys::udp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::message::Transport;
use super::wire;
use crate::deliver::dial::{self, Dialer};

/// The servers to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upstream {
    /// In the order in which they are asked.
    pub(super) servers: Arc<[SocketAddr]>,
    /// How long one has to answer.
    pub(super) timeout: Duration,
    /// How often all are asked; over TCP once, which itself tries again.
    pub(super) attempts: u32,
}

impl Upstream {
    fn attempts(&self, transport: Transport) -> u32 {
        match transport {
            Transport::Udp => self.attempts,
            Transport::Tcp => 1,
        }
    }

    /// How long a server has to answer. Over TCP it is asked once, and has the time of all attempts if there are no others.
    fn patience(&self, transport: Transport) -> Duration {
        let servers = u32::try_from(self.servers.len().max(1)).unwrap_or(u32::MAX);
        match transport {
            Transport::Udp => self.timeout,
            Transport::Tcp => self.timeout.max(self.timeout * self.attempts / servers),
        }
    }
}

/// How long a query may take in all.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);
/// How long the server a client has chosen has to answer, and how often it is asked: clients wait for 5 s, and then choose.
const CHOSEN_TIMEOUT: Duration = Duration::from_secs(2);
const CHOSEN_ATTEMPTS: u32 = 2;
/// How long it has to answer what is sent only once.
pub(super) const ONCE_TIMEOUT: Duration = Duration::from_secs(4);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("no nameserver is known that could be asked; add one to /etc/resolv.conf of the node")]
    NobodyToAsk,
    #[error("{server} did not answer within {after:?} (nameserver deadline)")]
    Silent { server: SocketAddr, after: Duration },
    #[error("nobody answered within {QUERY_DEADLINE:?} (query deadline)")]
    TooLate,
    #[error("too many queries of this pod wait for others already")]
    TooMany,
    #[error("asking was given up; the proxy of the pod ends, or see its log")]
    GivenUp,
    #[error("what was answered cannot be read")]
    Unreadable,
    #[error("whom the query was for is not known, and it must not go to anybody else; try again")]
    NotKnown,
    #[error("cannot ask {server}")]
    Unreachable { server: SocketAddr, source: Arc<io::Error> },
    #[error("cannot ask {server}")]
    Connect { server: SocketAddr, source: dial::Error },
}

impl Error {
    /// The server that did not answer, if it is the fault of one.
    pub(super) fn server(&self) -> Option<SocketAddr> {
        match self {
            Self::Silent { server, .. } | Self::Unreachable { server, .. } | Self::Connect { server, .. } => {
                Some(*server)
            }
            Self::NobodyToAsk
            | Self::TooLate
            | Self::TooMany
            | Self::GivenUp
            | Self::Unreadable
            | Self::NotKnown => None,
        }
    }
}

impl Upstream {
    /// The server the client has chosen.
    pub(super) fn chosen(server: SocketAddr) -> Self {
        Self { servers: Arc::new([server]), timeout: CHOSEN_TIMEOUT, attempts: CHOSEN_ATTEMPTS }
    }
}

/// Asks from inside a pod.
#[derive(Debug, Clone)]
pub(super) struct Messenger {
    /// `None`: the namespace of this process.
    pub(super) netns: Option<Arc<Netns>>,
    pub(super) mark: Option<u32>,
    pub(super) dialer: Dialer,
}

impl Messenger {
    /// Asks the servers in their order until one says something about the question. When none does, what one of them said
    /// about itself is better than nothing.
    pub(super) async fn ask(
        &self,
        upstream: &Upstream,
        query: &[u8],
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let asking = self.ask_all(upstream, query, transport);
        timeout(QUERY_DEADLINE, asking).await.unwrap_or(Err(Error::TooLate))
    }

    async fn ask_all(
        &self,
        upstream: &Upstream,
        query: &[u8],
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let mut last = Error::NobodyToAsk;
        let after = upstream.patience(transport);
        for _ in 0..upstream.attempts(transport) {
            let mut complaint = None;
            for server in upstream.servers.iter().copied() {
                match self.ask_one(server, after, query, transport).await {
                    Ok(answer) if wire::is_settled(&answer) => return Ok(answer),
                    Ok(answer) => complaint = Some(answer),
                    Err(error) => last = error,
                }
            }
            if let Some(complaint) = complaint {
                return Ok(complaint);
            }
        }
        Err(last)
    }

    async fn ask_one(
        &self,
        server: SocketAddr,
        after: Duration,
        query: &[u8],
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        let answer = self.send(server, after, query, transport).await?;
        if transport == Transport::Tcp || !wire::is_truncated(&answer) {
            return Ok(answer);
        }
        // What was cut is better than nothing, also where TCP gets no answer.
        let whole = self.send(server, after, query, Transport::Tcp).await;
        Ok(whole.unwrap_or(answer))
    }

    /// Sends a message to one server, once, and waits for the answer.
    pub(super) async fn send(
        &self,
        server: SocketAddr,
        after: Duration,
        message: &[u8],
        transport: Transport,
    ) -> Result<Vec<u8>, Error> {
        // A number of its own, from a port of its own: whoever wants to answer in the server's place has to guess both.
        let mut message = message.to_vec();
        wire::set_id(&mut message, rand::random());
        let asking = async {
            match transport {
                Transport::Udp => self.over_udp(server, &message).await,
                Transport::Tcp => self.over_tcp(server, &message).await,
            }
        };
        timeout(after, asking).await.unwrap_or(Err(Error::Silent { server, after }))
    }

    async fn over_udp(&self, server: SocketAddr, query: &[u8]) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::Unreachable { server, source: Arc::new(source) };
        let socket = self.udp_socket(server).map_err(failed)?;
        socket.send(query).await.map_err(failed)?;
        loop {
            socket.readable().await.map_err(failed)?;
            match receive(&socket) {
                Ok(answer) if wire::answers(&answer, query) => return Ok(answer),
                // Somebody guesses, or an answer to another question was late.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn udp_socket(&self, server: SocketAddr) -> io::Result<UdpSocket> {
        let dial = || udp::dial(server, self.mark);
        let socket = match &self.netns {
            Some(netns) => netns.run(dial)??,
            None => dial()?,
        };
        UdpSocket::from_std(socket)
    }

    async fn over_tcp(&self, server: SocketAddr, query: &[u8]) -> Result<Vec<u8>, Error> {
        let connected = self.dialer.connect(server).await;
        let mut stream = connected.map_err(|source| Error::Connect { server, source })?;
        let exchange = async {
            stream.write_all(&framed(query)?).await?;
            loop {
                let length = stream.read_u16().await?;
                let mut answer = vec![0; length.into()];
                stream.read_exact(&mut answer).await?;
                if wire::answers(&answer, query) {
                    return Ok(answer);
                }
            }
        };
        exchange.await.map_err(|source| Error::Unreachable { server, source: Arc::new(source) })
    }
}

/// Reads a datagram that is there, however long. The room for it is not part of any task.
fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut buffer = [0; u16::MAX as usize];
    let length = socket.try_recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}

/// A message as it is sent over TCP: behind its length (RFC 1035 §4.2.2).
pub(super) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok([&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests;
