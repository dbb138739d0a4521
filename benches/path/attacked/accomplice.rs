//! Who helps an attacker: answers each first byte of a connection with a little or with a lot, and keeps the connection.
//!
//! One thread, which gives way to everybody else, as the attacker does.

use std::io::{self, Write as _};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use culvert_sys::{limits, priority};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Where it listens.
pub(super) const PORT: u16 = 7200;
/// What it writes when it does.
pub(super) const READY: &str = "ready";
/// The byte that asks for a lot.
pub(super) const LOT: u8 = b'l';
/// A lot: so little that 15,000 of them do not fill the kernel's memory for sockets, and more than a frame.
const BULK: usize = 20_000;
const BACKLOG: i32 = 4096;

/// Serves until the process is killed.
pub(crate) fn run() -> io::Result<()> {
    priority::give_way()?;
    limits::raise_open_files()?;
    let listener = listen()?;
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(listener))
}

fn listen() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(answer(stream));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// How it ends does not matter.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    loop {
        match stream.read_u8().await? {
            LOT => stream.write_all(&[LOT; BULK]).await?,
            byte => stream.write_u8(byte).await?,
        }
    }
}
