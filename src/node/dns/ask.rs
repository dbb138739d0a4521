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
    /// How often all are asked.
    pub(super) attempts: u32,
}

/// How long a query may take in all.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);
/// How long the server a client has chosen has to answer, and how often it is asked: clients wait for 5 s, and then choose.
const CHOSEN_TIMEOUT: Duration = Duration::from_secs(2);
const CHOSEN_ATTEMPTS: u32 = 2;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no nameserver is known that could be asked; add one to /etc/resolv.conf of the node")]
    NobodyToAsk,
    #[error("{server} did not answer within {after:?} (nameserver deadline)")]
    Silent { server: SocketAddr, after: Duration },
    #[error("nobody answered within {QUERY_DEADLINE:?} (query deadline)")]
    TooLate,
    #[error("{} queries of this pod wait for others already", super::others::WAITING)]
    TooMany,
    #[error("what was answered cannot be read")]
    Unreadable,
    #[error("cannot ask {server}")]
    Unreachable { server: SocketAddr, source: io::Error },
    #[error("cannot ask {server}")]
    Connect { server: SocketAddr, source: dial::Error },
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
        for _ in 0..upstream.attempts {
            let mut complaint = None;
            for server in upstream.servers.iter().copied() {
                match self.ask_one(server, upstream.timeout, query, transport).await {
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
        // A number of its own, from a port of its own: whoever wants to answer in the server's place has to guess both.
        let mut query = query.to_vec();
        wire::set_id(&mut query, rand::random());
        let asking = async {
            match transport {
                Transport::Udp => self.over_udp(server, &query, after / 2).await,
                Transport::Tcp => self.over_tcp(server, &query).await,
            }
        };
        timeout(after, asking).await.unwrap_or(Err(Error::Silent { server, after }))
    }

    async fn over_udp(&self, server: SocketAddr, query: &[u8], rest: Duration) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::Unreachable { server, source };
        let socket = self.udp_socket(server).map_err(failed)?;
        socket.send(query).await.map_err(failed)?;
        let answer = loop {
            socket.readable().await.map_err(failed)?;
            match receive(&socket) {
                Ok(answer) if wire::answers(&answer, query) => break answer,
                // Somebody guesses, or an answer to another question was late.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
        };
        drop(socket);
        if !wire::is_truncated(&answer) {
            return Ok(answer);
        }
        // What was cut is better than nothing, also where TCP gets no answer.
        let whole = timeout(rest, self.over_tcp(server, query)).await;
        Ok(whole.ok().and_then(Result::ok).unwrap_or(answer))
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
        exchange.await.map_err(|source| Error::Unreachable { server, source })
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
