//! Connections that do nothing: opened and used once, kept, and used once more at the end to prove that they lived.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use culvert_process::signal::Stop;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::echo::exchange;
use super::tally::Tally;
use super::{OPENED, socket};

/// How many connect at once.
const OPENERS: usize = 8;

/// Opens the connections, says so on stdout, and keeps them until the process is asked to end.
pub(super) fn run(to: SocketAddr, connections: usize) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stop = runtime.block_on(async { Stop::listen() })?;
    let (mut streams, mut tally) = (Vec::with_capacity(connections), Tally::default());
    for opened in open_all(to, connections)? {
        match opened {
            Ok(stream) => streams.push(stream),
            Err(error) => tally.failed(error),
        }
    }
    let mut out = io::stdout();
    writeln!(out, "{OPENED} {}", streams.len())?;
    out.flush()?;
    runtime.block_on(stop.asked());
    for stream in &mut streams {
        match exchange(stream, b"2", &mut [0]) {
            Ok(()) => tally.done_untimed(),
            Err(error) => tally.failed(error),
        }
    }
    Ok(tally)
}

fn open_all(to: SocketAddr, connections: usize) -> io::Result<Vec<io::Result<TcpStream>>> {
    let some = |opener: usize| {
        let share = connections / OPENERS + usize::from(opener < connections % OPENERS);
        (0..share).map(|_| open(to)).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS).map(|opener| scope.spawn(move || some(opener))).collect();
        let mut all = Vec::with_capacity(connections);
        for opener in openers {
            all.extend(opener.join().map_err(|_| io::Error::other("an opener panicked"))?);
        }
        Ok(all)
    })
}

fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = socket::connect(to)?;
    exchange(&mut stream, b"1", &mut [0])?;
    Ok(stream)
}

/// The server's side: a task for each connection, all on one thread.
pub(super) async fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(echo(accepted?.0));
            }
            // A connection that ended needs no further care.
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn echo(mut stream: tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
    }
}
