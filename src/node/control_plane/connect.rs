//! TCP connections to the control plane, and to whoever else this process reports to, marked like every connection the proxy makes where rules redirect all others.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use culvert_sys::tcp::{self, Keepalive};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Uri;

use super::CONNECT_DEADLINE;

const KEEPALIVE: Keepalive =
    Keepalive { time: Duration::from_secs(300), interval: Duration::from_secs(75), retries: 9 };

/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// Connects to the host of a URL: to the first of its addresses that answers, all under one deadline.
pub(crate) async fn connect(url: Uri, mark: Option<u32>) -> io::Result<TokioIo<TcpStream>> {
    let deadline = Instant::now() + CONNECT_DEADLINE;
    let connected = async {
        let addresses = addresses(&url).await?;
        any_of(&addresses, mark, deadline).await
    };
    let connected =
        timeout_at(deadline, connected).await.unwrap_or_else(|_| Err(timed_out(CONNECT_DEADLINE)));
    connected.map(TokioIo::new)
}

async fn addresses(url: &Uri) -> io::Result<Vec<SocketAddr>> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(HTTPS);
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{host} cannot be looked up: {error}"))),
    }
}

/// Each address gets its share of the time that is left: one that is silent does not keep the others from being tried.
async fn any_of(addresses: &[SocketAddr], mark: Option<u32>, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (address, still) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / still;
        let connected = timeout_at(Instant::now() + share, one(*address, mark)).await;
        match connected.unwrap_or_else(|_| Err(timed_out(share))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

async fn one(address: SocketAddr, mark: Option<u32>) -> io::Result<TcpStream> {
    let socket = tcp::dial(address, &tcp::Dial { mark, source: None })?;
    tcp::keep_alive(&socket, KEEPALIVE)?;
    TcpSocket::from_std_stream(socket).connect(address).await
}

fn timed_out(after: Duration) -> io::Error {
    let text = format!("no TCP connection within {after:?} (connect deadline)");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(400)
    }

    /// A listener that takes no more connections, and what fills its queue.
    async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = any_of(&[address], None, Instant::now() + Duration::from_millis(100)).await {
            queued.push(stream);
        }
        (address, listener, queued)
    }

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken() {
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let (silent, _listener, _queued) = silent().await;
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = (open.local_addr().unwrap(), open);
        for addresses in [&[open.0][..], &[closed, open.0], &[silent, open.0], &[silent, closed, open.0]] {
            let stream = any_of(addresses, None, soon()).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), open.0, "{addresses:?}");
        }
    }

    #[tokio::test]
    async fn the_last_address_that_failed_is_named() {
        let (silent, _listener, _queued) = silent().await;
        let error = any_of(&[silent], None, soon()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains(&silent.to_string()), "{error}");
        assert_eq!(any_of(&[], None, soon()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
