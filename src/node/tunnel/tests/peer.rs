//! A far node that does what a test tells it to, frame by frame, with nothing of ours in it but the certificate.

use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// One tunnel, as its server sees it.
pub(super) struct Peer {
    tls: TlsStream<TcpStream>,
    /// Whether it has answered anything.
    spoken: bool,
}

/// A frame (RFC 9113 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const ACK: u8 = 1;

pub(super) const NO_ERROR: u32 = 0;
pub(super) const REFUSED_STREAM: u32 = 7;

/// Takes data before it has answered.
pub(super) const EARLY: &[u8] = &[0xf0, 0xc0, 0, 0, 0, 1];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Peer {
    /// Accepts a tunnel and sends these SETTINGS.
    pub(super) async fn accept(listener: &TcpListener, certificate: &Certificate, settings: &[u8]) -> Self {
        let (tcp, _) = soon(listener.accept()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let tls = soon(TlsAcceptor::from(certificate.server_config()).accept(tcp)).await.unwrap();
        let mut peer = Self { tls, spoken: false };
        let mut preface = vec![0; PREFACE.len()];
        soon(peer.tls.read_exact(&mut preface)).await.unwrap();
        assert_eq!(preface, PREFACE);
        peer.sends(SETTINGS, 0, 0, settings).await;
        peer
    }

    pub(super) async fn sends(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.tls.write_all(&frame).await.unwrap();
        self.tls.flush().await.unwrap();
    }

    /// Says yes to a stream.
    pub(super) async fn accepts(&mut self, stream: u32) {
        self.answers(stream, 0x88).await;
    }

    /// Answers with a status that is in the static table (RFC 7541 appendix A).
    pub(super) async fn answers(&mut self, stream: u32, status: u8) {
        // The first block says that no table is used, as the client wants it (RFC 7541 §4.2).
        let block: &[u8] =
            if std::mem::replace(&mut self.spoken, true) { &[status] } else { &[0x20, status] };
        self.sends(HEADERS, END_HEADERS, stream, block).await;
    }

    pub(super) async fn resets(&mut self, stream: u32, code: u32) {
        self.sends(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Looks at no stream above `last`.
    pub(super) async fn leaves(&mut self, last: u32) {
        self.sends(GOAWAY, 0, 0, &[last.to_be_bytes(), NO_ERROR.to_be_bytes()].concat()).await;
    }

    /// The next frame, whatever it is.
    pub(super) async fn any_frame(&mut self) -> Frame {
        let mut head = [0; 9];
        soon(self.tls.read_exact(&mut head)).await.unwrap();
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        soon(self.tls.read_exact(&mut payload)).await.unwrap();
        Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload }
    }

    /// The next frame that is about a stream. SETTINGS and PING are answered meanwhile.
    pub(super) async fn frame(&mut self) -> Frame {
        loop {
            let frame = self.any_frame().await;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.sends(SETTINGS, ACK, 0, &[]).await,
                (PING, 0) => self.sends(PING, ACK, 0, &frame.payload).await,
                (SETTINGS | PING | WINDOW_UPDATE, _) => {}
                _ => return frame,
            }
        }
    }

    /// The next stream that is asked for.
    pub(super) async fn asked(&mut self) -> u32 {
        let frame = self.frame().await;
        assert_eq!((frame.kind, frame.flags), (HEADERS, END_HEADERS), "{frame:?}");
        frame.stream
    }

    /// This comes on a stream, in frames as they may be; says whether the last one was the end.
    pub(super) async fn hears(&mut self, stream: u32, what: &[u8]) -> bool {
        let mut all = Vec::new();
        loop {
            let frame = self.frame().await;
            assert_eq!((frame.kind, frame.stream), (DATA, stream), "{frame:?}");
            all.extend(frame.payload);
            if all.len() >= what.len() {
                assert!(all == what, "it is what was said");
                return frame.flags & END_STREAM != 0;
            }
        }
    }

    /// Waits until the other end has seen all that was sent; returns what it has said meanwhile.
    pub(super) async fn is_heard(&mut self) -> Vec<Frame> {
        self.sends(PING, 0, 0, b"heard it").await;
        let mut others = Vec::new();
        loop {
            let frame = self.any_frame().await;
            match (frame.kind, frame.flags & ACK) {
                (PING, ACK) => return others,
                (SETTINGS, 0) => self.sends(SETTINGS, ACK, 0, &[]).await,
                (SETTINGS | WINDOW_UPDATE, _) => {}
                _ => others.push(frame),
            }
        }
    }

    /// Resets the TCP connection.
    pub(super) fn breaks(self) {
        let tcp = self.tls.into_inner().0;
        culvert_sys::tcp::reset_on_close(&tcp).unwrap();
    }

    /// Closes the TCP connection; TLS says nothing.
    pub(super) fn closes(self) {
        drop(self.tls);
    }
}

/// A pool, and where its tunnels go.
pub(super) struct Script {
    pub(super) pool: Pool,
    pub(super) key: Key,
    pub(super) listener: TcpListener,
    pub(super) certificate: Certificate,
}

impl Script {
    pub(super) async fn new() -> Self {
        let authority = TestAuthority::new("one");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let key = key_of(listener.local_addr().unwrap());
        let pool = pool(&authority, config(&[]).tunnel);
        Self { pool, key, listener, certificate: authority.good(&account("web")) }
    }

    /// The next tunnel.
    pub(super) async fn tunnel(&self, settings: &[u8]) -> Peer {
        Peer::accept(&self.listener, &self.certificate, settings).await
    }

    /// A tunnel with one connection, whose client knows the SETTINGS.
    pub(super) async fn established(&self, settings: &[u8]) -> (Peer, Caller) {
        let serve = async {
            let mut peer = self.tunnel(settings).await;
            let stream = peer.asked().await;
            peer.accepts(stream).await;
            assert_eq!(peer.is_heard().await, []);
            peer
        };
        let (peer, caller) = tokio::join!(serve, open(&self.pool, &self.key));
        (peer, caller.unwrap())
    }

    /// An application connects.
    pub(super) async fn calls(&self) -> Calling {
        let (socket, near) = pair(Buffers::Usual).await;
        let (pool, key, moved) = (self.pool.clone(), self.key.clone(), Arc::default());
        let counted = Arc::clone(&moved);
        let carried = tokio::spawn(async move { app::begin(&pool, &key, near, &counted).await });
        Calling { socket, carried, moved }
    }
}

/// An application that is not connected yet.
pub(super) struct Calling {
    pub(super) socket: TcpStream,
    carried: tokio::task::JoinHandle<Result<Opened, Error>>,
    pub(super) moved: Arc<Moved>,
}

impl Calling {
    pub(super) async fn says(&mut self, what: impl AsRef<[u8]>) {
        soon(self.socket.write_all(what.as_ref())).await.unwrap();
    }

    pub(super) async fn connected(self) -> Caller {
        let carried = soon(self.carried).await.unwrap().unwrap();
        App { socket: self.socket, carried, moved: self.moved }
    }

    /// It is not, and is told so.
    pub(super) async fn refused(mut self) -> Error {
        let error = soon(self.carried).await.unwrap().unwrap_err();
        let read = soon(self.socket.read(&mut [0; 1])).await.expect_err("it is reset, not ended");
        assert_eq!(read.kind(), io::ErrorKind::ConnectionReset);
        error
    }

    /// Resets its connection; why it was not carried is returned.
    pub(super) async fn resets(self) -> Error {
        culvert_sys::tcp::reset_on_close(&self.socket).unwrap();
        drop(self.socket);
        soon(self.carried).await.unwrap().unwrap_err()
    }
}
