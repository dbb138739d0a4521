//! The applications at both ends.

use tokio::net::TcpSocket;

use super::*;

/// An application, whose connection is carried by a tunnel.
#[derive(Debug)]
pub(super) struct App<C> {
    pub(super) socket: TcpStream,
    pub(super) carried: C,
    pub(super) moved: Arc<Moved>,
}

/// One that connects.
pub(super) type Caller = App<Opened>;
/// One that is connected to.
pub(super) type Callee = App<Carried>;

/// What came of a connection.
pub(super) trait Settles {
    async fn settles(self) -> Result<(), Early>;
}

impl Settles for Opened {
    async fn settles(self) -> Result<(), Early> {
        self.carried.await
    }
}

impl Settles for Carried {
    async fn settles(self) -> Result<(), Early> {
        self.await
    }
}

impl<C> App<C> {
    pub(super) async fn says(&mut self, what: impl AsRef<[u8]>) {
        soon(self.socket.write_all(what.as_ref())).await.unwrap();
    }

    pub(super) async fn hears(&mut self, what: impl AsRef<[u8]>) {
        let mut heard = vec![0; what.as_ref().len()];
        soon(self.socket.read_exact(&mut heard)).await.unwrap();
        assert!(heard == what.as_ref(), "it is what was said");
    }

    /// Ends its direction: FIN.
    pub(super) async fn ends(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// This comes, and then the end.
    pub(super) async fn hears_all(&mut self, what: impl AsRef<[u8]>) {
        let mut all = Vec::new();
        soon(self.socket.read_to_end(&mut all)).await.unwrap();
        assert_eq!(all.len(), what.as_ref().len());
        assert!(all == what.as_ref(), "it is what was said");
    }

    pub(super) async fn hears_the_end(&mut self) {
        self.hears_all("").await;
    }

    /// Nothing comes but a reset.
    pub(super) async fn hears_a_reset(&mut self) {
        self.hears_a_reset_after("").await;
    }

    /// This comes, and then a reset.
    pub(super) async fn hears_a_reset_after(&mut self, what: impl AsRef<[u8]>) {
        let mut all = Vec::new();
        let error = soon(self.socket.read_to_end(&mut all)).await.expect_err("it is reset, not ended");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(all.len(), what.as_ref().len());
        assert!(all == what.as_ref(), "it is what was said");
    }

    /// A reset that shows while nothing is read or written.
    pub(super) async fn notices_a_reset(&self) {
        let ready = soon(self.socket.ready(tokio::io::Interest::ERROR)).await.unwrap();
        assert!(ready.is_error());
    }

    /// Resets its connection; what carries it is left.
    pub(super) fn resets(self) -> C {
        culvert_sys::tcp::reset_on_close(&self.socket).unwrap();
        self.carried
    }

    /// Waits until the kernel has given to the node what was said.
    pub(super) async fn has_been_heard(&self) {
        let left = || culvert_sys::tcp::unsent(&self.socket).unwrap();
        until("the node takes what is said", || left() == 0).await;
    }
}

impl<C: Settles> App<C> {
    /// What came of it.
    pub(super) async fn result(self) -> Result<(), Early> {
        soon(self.carried.settles()).await
    }
}

impl Caller {
    pub(super) async fn echoes(&mut self, text: &str) {
        self.says(text).await;
        self.hears(text).await;
    }
}

/// How large the kernel's buffers of an application's connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Buffers {
    /// As large as it likes.
    Usual,
    /// Smaller than the windows of a stream that moves a lot.
    Small,
    /// As small as it lets them be.
    Tiny,
}

impl Buffers {
    pub(super) fn socket(self) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        let size = match self {
            Self::Usual => return socket,
            Self::Small => 64 * 1024,
            Self::Tiny => 4096,
        };
        socket.set_send_buffer_size(size).unwrap();
        socket.set_recv_buffer_size(size).unwrap();
        socket
    }

    /// What it accepts has such buffers, too.
    pub(super) fn listener(self) -> TcpListener {
        let socket = self.socket();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        socket.listen(256).unwrap()
    }
}

/// Two ends of one TCP connection.
pub(super) async fn pair(buffers: Buffers) -> (TcpStream, TcpStream) {
    let listener = buffers.listener();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(buffers.socket().connect(address), listener.accept());
    let ends = (dialled.unwrap(), accepted.unwrap().0);
    // As those have that the node carries.
    culvert_sys::tcp::send_at_once(&ends.1).unwrap();
    ends
}

/// An application connects.
pub(super) async fn open(pool: &Pool, key: &Key) -> Result<Caller, Error> {
    carry(pool, key, pair(Buffers::Usual).await).await
}

/// An application that has connected already, and may have said something, is carried.
pub(super) async fn carry(
    pool: &Pool,
    key: &Key,
    (socket, near): (TcpStream, TcpStream),
) -> Result<Caller, Error> {
    let moved = Arc::default();
    let carried = begin(pool, key, near, &moved).await?;
    Ok(App { socket, carried, moved })
}

/// Has the node's end of an application's connection carried.
pub(super) async fn begin(
    pool: &Pool,
    key: &Key,
    near: TcpStream,
    moved: &Arc<Moved>,
) -> Result<Opened, Error> {
    // A captured connection has this from its listener.
    culvert_sys::tcp::reset_on_close(&near).unwrap();
    let way = (key, ESTABLISH_DEADLINE * 2);
    let carried = soon(pool.carry(way, connect(), (near.into(), Vec::new()), moved)).await;
    carried.map_err(|not_carried| not_carried.error)
}
