//! Applications that answer in a pod: one thread that accepts, one for each connection.
//!
//! Each connection has a deadline for every read and write, and is cut when the server stops.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use culvert_sys::tcp;
use socket2::SockRef;

use crate::Error;
use crate::bulk;
use crate::error::Doing as _;
use crate::pod::Pod;

/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// Time before accepting is tried again after a failure.
const BREATH: Duration = Duration::from_millis(10);
/// How many callers are remembered.
const REMEMBERED: usize = 10_000;
/// Connection threads do little; tests make thousands of them.
const STACK: usize = 512 * 1024;

/// What an application does with each connection.
#[derive(Clone)]
pub enum Behaviour {
    /// Sends back what comes, and closes its half after the caller closed theirs.
    Echo,
    /// Sends one line, `NAME CALLER` (pod name, and the caller's address as the application sees it), closes its
    /// half, and waits for the caller's end.
    WhoAmI,
    /// Sends that many bytes of the [`bulk`] pattern, closes its half, and waits for the caller's end.
    Source(u64),
    /// Reads to the end, then sends the [`bulk::Digest`] of what came as one line.
    Sink,
    /// Reads that many bytes, then resets the connection.
    ResetAfter(usize),
    /// Accepts, then neither reads nor writes until the server stops.
    Silent,
    /// Does what a function does; the connection closes when it returns, whether or not it has dropped the stream.
    Custom(Handler),
}

/// What a [`Behaviour::Custom`] application does with a connection.
pub type Handler = Arc<dyn Fn(TcpStream) -> io::Result<()> + Send + Sync>;

impl Behaviour {
    /// An application of the caller's own.
    pub fn custom(handler: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::Custom(Arc::new(handler))
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("Echo"),
            Self::WhoAmI => f.write_str("WhoAmI"),
            Self::Source(bytes) => write!(f, "Source({bytes})"),
            Self::Sink => f.write_str("Sink"),
            Self::ResetAfter(bytes) => write!(f, "ResetAfter({bytes})"),
            Self::Silent => f.write_str("Silent"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}

/// An application in a pod. Cheap to clone; it runs until it is stopped, or the lab that serves it is dropped.
#[derive(Debug, Clone)]
pub struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pod: String,
    port: u16,
    behaviour: Behaviour,
    listener: TcpListener,
    connections: Mutex<Connections>,
    stopping: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    stopped: bool,
    accepted: u64,
    callers: Vec<SocketAddr>,
    open: BTreeMap<u64, TcpStream>,
}

impl Server {
    /// Starts one that runs until it is [stopped](Self::stop), and does not end with any lab.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(pod: &Pod, port: u16, behaviour: Behaviour) -> Result<Self, Error> {
        let doing = || format!("serve on port {port} of pod {}", pod.name());
        let listener = pod.listen(port).doing(doing)?;
        let port = listener.local_addr().doing(doing)?.port();
        let pod = pod.name().to_owned();
        let (connections, stopping) = (Mutex::default(), Condvar::new());
        let server = Self(Arc::new(Inner { pod, port, behaviour, listener, connections, stopping }));
        let inner = Arc::clone(&server.0);
        thread::Builder::new().name("lab-server".into()).spawn(move || inner.accept()).doing(doing)?;
        Ok(server)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.connections().accepted
    }

    /// Who called, as the application saw it, in order; of the first ten thousand.
    #[must_use]
    pub fn callers(&self) -> Vec<SocketAddr> {
        self.0.connections().callers.clone()
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.0.connections().open.len()
    }

    /// Stops listening and cuts all open connections.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Inner {
    fn accept(self: &Arc<Self>) {
        while !self.connections().stopped {
            let Ok((stream, caller)) = self.listener.accept() else {
                // Out of descriptors, or stopped; the former may pass.
                thread::sleep(BREATH);
                continue;
            };
            let caller = tcp::canonical(caller);
            let Some(number) = self.register(&stream, caller) else { continue };
            let inner = Arc::clone(self);
            let serve = move || {
                // How a connection ends is for the caller to see and for the test to judge.
                let _ = inner.serve(stream, caller);
                inner.connections().open.remove(&number);
            };
            let started = thread::Builder::new().name("lab-connection".into()).stack_size(STACK).spawn(serve);
            if started.is_err() {
                self.connections().open.remove(&number);
            }
        }
    }

    /// Remembers a connection, so that it can be cut; not once the server has stopped.
    fn register(&self, stream: &TcpStream, caller: SocketAddr) -> Option<u64> {
        let kept = stream.try_clone().ok()?;
        let mut connections = self.connections();
        if connections.stopped {
            return None;
        }
        connections.accepted += 1;
        let number = connections.accepted;
        if connections.callers.len() < REMEMBERED {
            connections.callers.push(caller);
        }
        connections.open.insert(number, kept);
        Some(number)
    }

    fn serve(&self, mut stream: TcpStream, caller: SocketAddr) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        match &self.behaviour {
            Behaviour::Echo => echo(&mut stream),
            Behaviour::WhoAmI => {
                writeln!(stream, "{} {caller}", self.pod)?;
                finish(&mut stream)
            }
            Behaviour::Source(bytes) => {
                bulk::send(&mut stream, *bytes)?;
                finish(&mut stream)
            }
            Behaviour::Sink => {
                let digest = bulk::receive(&mut stream)?;
                writeln!(stream, "{digest}")
            }
            Behaviour::ResetAfter(bytes) => {
                stream.read_exact(&mut vec![0; *bytes])?;
                tcp::reset_on_close(&stream)
            }
            Behaviour::Silent => {
                // Dropped when this returns: the connection stays open as long as the wait lasts.
                let wait = self.stopping.wait_timeout_while(self.connections(), SILENCE, |all| !all.stopped);
                drop(wait);
                Ok(())
            }
            Behaviour::Custom(handler) => handler(stream),
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut connections = self.connections();
        connections.stopped = true;
        self.stopping.notify_all();
        // Makes accept(2) return; a socket that is not connected cannot be shut down otherwise.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
        for stream in connections.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(&mut stream.try_clone()?, stream)?;
    stream.shutdown(Shutdown::Write)
}

/// Closes the sending half and waits for the caller's end: closing at once would reset callers that still send.
fn finish(stream: &mut TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    io::copy(stream, &mut io::sink()).map(|_| ())
}
