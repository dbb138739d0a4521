//! The applications of the server's pod, one for each kind of load.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::{COLD, COLD_PORTS, ECHO, IDLE, SHORT, SINK, SOURCE, bulk, connect, echo, idle, socket};

/// What the server writes when all listen.
pub(crate) const READY: &str = "ready";
/// How many answer short connections: more than there are clients.
const ANSWERERS: usize = 16;

type Serve = fn(TcpStream) -> io::Result<()>;

/// Serves until the process is killed.
pub(crate) fn run() -> io::Result<()> {
    culvert_sys::limits::raise_open_files()?;
    let mut threads = Vec::new();
    for (port, serve) in [(ECHO, echo::serve as Serve), (SINK, bulk::sink), (SOURCE, bulk::source)] {
        let listener = socket::listen(port)?;
        threads.push(thread::spawn(move || thread_for_each(&listener, serve)));
    }
    threads.extend(answerers(SHORT, ANSWERERS)?);
    for port in COLD..COLD + COLD_PORTS {
        threads.extend(answerers(port, 1)?);
    }
    let listener = socket::listen(IDLE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    threads.push(thread::spawn(move || runtime.block_on(idle::serve(listener))));
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    out.flush()?;
    threads.into_iter().try_for_each(joined)
}

/// Threads that share a listener: no thread is started for a connection.
fn answerers(port: u16, count: usize) -> io::Result<Vec<JoinHandle<io::Result<()>>>> {
    let listener = Arc::new(socket::listen(port)?);
    let answer = |listener: Arc<TcpListener>| {
        thread::spawn(move || {
            loop {
                // A client that went away has counted it as a failure.
                let _ = connect::serve(socket::accept(&listener)?);
            }
        })
    };
    Ok((0..count).map(|_| answer(Arc::clone(&listener))).collect())
}

fn thread_for_each(listener: &TcpListener, serve: Serve) -> io::Result<()> {
    loop {
        let stream = socket::accept(listener)?;
        thread::Builder::new().spawn(move || {
            if let Err(error) = serve(stream) {
                eprintln!("a connection failed: {error}");
            }
        })?;
    }
}

fn joined(thread: JoinHandle<io::Result<()>>) -> io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}
