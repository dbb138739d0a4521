//! A plain TCP relay, the practical ceiling of any proxy: it takes redirected connections, dials where they were going,
//! and copies both ways, with half-closes passed on. No cryptography, no policy, no pool.

use std::io;

use culvert_sys::tcp::{self, Dial, Listen, Transparent};
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The buffer of each direction.
const BUFFER: usize = 256 * 1024;
/// As many as the other proxies get.
const WORKERS: usize = 2;

/// How a relay is told what to do.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Where redirected connections arrive.
    #[arg(long)]
    pub(crate) port: u16,
    /// The mark of its own packets.
    #[arg(long)]
    pub(crate) mark: u32,
}

/// Relays until the process is killed.
pub(crate) fn run(options: Options) -> io::Result<()> {
    culvert_sys::limits::raise_open_files()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(accept_all(options))
}

async fn accept_all(options: Options) -> io::Result<()> {
    let address = tcp::wildcard(options.port, false);
    let listen = Listen { address, mark: None, reuse_port: false, transparent: Transparent::Never };
    let (listener, _) = tcp::listen(&listen)?;
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks ends both its halves; there is nobody to tell.
        tokio::spawn(relay(stream, options.mark));
    }
}

async fn relay(mut from: TcpStream, mark: u32) -> io::Result<()> {
    from.set_nodelay(true)?;
    let Some(destination) = tcp::original_destination(&from) else {
        return Err(io::Error::other("the connection was not redirected"));
    };
    let socket = tcp::dial(destination, &Dial { mark: Some(mark), source: None })?;
    let mut to = TcpSocket::from_std_stream(socket).connect(destination).await?;
    let ((from_read, from_write), (to_read, to_write)) = (from.split(), to.split());
    tokio::try_join!(copy(from_read, to_write), copy(to_read, from_write))?;
    Ok(())
}

/// Copies one direction to its end, and passes the end on. The buffer is made when the first bytes are there, and is not
/// cleared: a short connection touches no more of it than it sends.
async fn copy(from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
    from.readable().await?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        match from.try_read_buf(&mut buffer) {
            Ok(0) => return to.shutdown().await,
            Ok(_) => to.write_all(&buffer).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => from.readable().await?,
            Err(error) => return Err(error),
        }
        buffer.clear();
    }
}
