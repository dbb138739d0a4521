//! The thread the server runs on, its port, and its connections, which can be cut.
//!
//! The port can be closed and opened again while the server runs, with all it knows: to clients it was down.

use std::collections::BTreeMap;
use std::io;
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::Listener;
use culvert_sys::netns::Netns;
use socket2::{SockRef, Socket};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

/// Time before accepting is tried again after a failure.
const BREATH: Duration = Duration::from_millis(10);

/// How long its thread may take to end. One that does not is left behind: a test that waited for it would hang, and not say why.
const END: Duration = Duration::from_secs(10);

/// A server that runs until this value is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    port: Port,
    connections: Arc<Connections>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Where it listens.
#[derive(Debug)]
struct Port {
    netns: Option<Netns>,
    address: SocketAddr,
    /// The open listener, or none while callers are refused.
    listener: Mutex<Option<net::TcpListener>>,
    /// To the thread that accepts. Unbounded: it takes as many entries as a test opens the port.
    to_thread: mpsc::UnboundedSender<net::TcpListener>,
}

impl Running {
    /// Listens at an address, in a namespace if one is given, and answers from then on.
    pub(crate) fn start(netns: Option<Netns>, address: SocketAddr, router: Router) -> io::Result<Self> {
        let (to_thread, listeners) = mpsc::unbounded_channel();
        let mut port = Port { netns, address, listener: Mutex::default(), to_thread };
        port.address = port.open()?;
        let connections = Arc::new(Connections::default());
        let gate =
            Gate { address: port.address, listeners, current: None, connections: Arc::clone(&connections) };
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        // The runtime ends on its own thread: dropping it inside another one, as of a test, would panic.
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = axum::serve(gate, router) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = thread::Builder::new().name("api-server".into()).spawn(work)?;
        Ok(Self { port, connections, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// Closes the port and all connections: nobody is there any more.
    pub(crate) fn refuse(&self) {
        if let Some(listener) = self.port.listener().take() {
            // Makes the kernel refuse callers at once, although the thread has the socket as well.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
        self.connections.cut();
    }

    /// Opens the same port again; nothing happens when it is open.
    pub(crate) fn admit(&self) -> io::Result<()> {
        if self.port.listener().is_none() {
            self.port.open()?;
        }
        Ok(())
    }

    /// Closes all connections, whatever was going on.
    pub(crate) fn cut(&self) {
        self.connections.cut();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + END;
        while !thread.is_finished() {
            if Instant::now() > deadline {
                eprintln!("the API server at {} has not ended within {END:?}", self.address());
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // A panic of the thread has been printed; a test that fails for it says more than this would.
        let _ = thread.join();
    }
}

impl Port {
    fn open(&self) -> io::Result<SocketAddr> {
        let bind = || net::TcpListener::bind(self.address);
        let listener = match &self.netns {
            Some(netns) => netns.run(bind)??,
            None => bind()?,
        };
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        // The thread has ended only when the server is being dropped.
        let _ = self.to_thread.send(listener.try_clone()?);
        *self.listener() = Some(listener);
        Ok(address)
    }

    fn listener(&self) -> MutexGuard<'_, Option<net::TcpListener>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts from whichever listener is open.
struct Gate {
    address: SocketAddr,
    listeners: mpsc::UnboundedReceiver<net::TcpListener>,
    current: Option<TcpListener>,
    connections: Arc<Connections>,
}

impl Gate {
    async fn listener(&mut self) -> &TcpListener {
        while self.current.is_none() {
            match self.listeners.recv().await {
                Some(listener) => self.current = TcpListener::from_std(listener).ok(),
                // Nobody will open the port again; the thread is about to be stopped.
                None => std::future::pending().await,
            }
        }
        self.current.as_ref().expect("the loop ends with a listener")
    }
}

impl Listener for Gate {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let listener = self.listener().await;
            match listener.accept().await {
                Ok((stream, caller)) => {
                    if let Ok(connection) = self.connections.add(stream) {
                        return (connection, caller);
                    }
                }
                // Shut down: callers are refused until there is another one.
                Err(_) if !SockRef::from(listener).is_listener().unwrap_or(false) => self.current = None,
                // Out of descriptors, or a caller that has gone again.
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// The open connections by number.
#[derive(Debug, Default)]
struct Connections(Mutex<(u64, BTreeMap<u64, Socket>)>);

impl Connections {
    fn add(self: &Arc<Self>, stream: TcpStream) -> io::Result<Connection> {
        // A watch is many small writes, each of which somebody waits for.
        stream.set_nodelay(true)?;
        let handle = Socket::from(stream.as_fd().try_clone_to_owned()?);
        let (next, open) = &mut *self.lock();
        *next += 1;
        open.insert(*next, handle);
        Ok(Connection { stream, number: *next, all: Arc::clone(self) })
    }

    fn cut(&self) {
        for socket in self.lock().1.values() {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Socket>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that [`Connections`] knows as long as it is open.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    number: u64,
    all: Arc<Connections>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.lock().1.remove(&self.number);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
