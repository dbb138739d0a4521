//! TCP connections to the control plane, marked like every connection the proxy makes where rules redirect all others.

use std::io;
use std::time::Duration;

use culvert_sys::tcp::{self, Keepalive};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tonic::transport::Uri;

use super::CONNECT_DEADLINE;

const KEEPALIVE: Keepalive =
    Keepalive { time: Duration::from_secs(300), interval: Duration::from_secs(75), retries: 9 };

/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// Connects to the host of a URL: to the first of its addresses that answers, all under one deadline.
pub(super) async fn connect(url: Uri, mark: Option<u32>) -> io::Result<TokioIo<TcpStream>> {
    let connected = tokio::time::timeout(CONNECT_DEADLINE, any_address(&url, mark)).await;
    let timed_out = || {
        let text = format!("no TCP connection within {CONNECT_DEADLINE:?} (connect deadline)");
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    connected.unwrap_or_else(|_| Err(timed_out())).map(TokioIo::new)
}

async fn any_address(url: &Uri, mark: Option<u32>) -> io::Result<TcpStream> {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    for address in lookup_host((host, url.port_u16().unwrap_or(HTTPS))).await? {
        let socket = tcp::dial(address, &tcp::Dial { mark, source: None })?;
        tcp::keep_alive(&socket, KEEPALIVE)?;
        match TcpSocket::from_std_stream(socket).connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
