//! Both ends of tunnels against each other, over real TCP and TLS on loopback.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::net::TcpListener;

use super::client::Establish;
use super::pool::{Opened, Pool};
use super::server::{self, Offer};
use super::*;
use crate::config::{Config, Environment, TunnelConfig};
use crate::deliver::dial::Dialer;
use crate::deliver::splice::{Moved, spliced_until};
use crate::deliver::tcp;
use crate::drain::{self, Drain, Guard};
use crate::identity::testing::{TestAuthority, TestLists, account, leaf};
use crate::identity::{Certificate, Identities, Refused, Trust};
use crate::stream::{Broken, Sink as _, Source as _};
use crate::tasks::Tasks;

fn config(set: &[(&'static str, &'static str)]) -> Config {
    let base = [("LOCAL_XDS", "workloads: []"), ("CA_ADDRESS", "unused:1"), ("PACKET_MARK", "0")];
    Config::read(&Environment::of(base.iter().chain(set).copied())).unwrap_or_else(|error| panic!("{error}"))
}

/// What a server does with an offer.
#[derive(Clone, Copy)]
enum Answer {
    Echo,
    Status(u16),
    /// Takes the stream and never reads from it.
    Hold,
    /// Takes the stream and lets go of it at once.
    Drop,
    /// Sends this much, ends, and takes nothing.
    Send(usize),
    /// Ends at once, and reads all only when it is told to.
    ReadLater(&'static ReadLater),
}

/// When to read, and how much there was.
struct ReadLater {
    now: tokio::sync::Notify,
    read: tokio::sync::Notify,
    bytes: AtomicUsize,
}

/// A server of tunnels under the identity `web`.
struct Server {
    address: SocketAddr,
    tunnels: Arc<AtomicUsize>,
    drains: Arc<Mutex<VecDeque<Drain>>>,
    _tasks: Arc<Tasks>,
}

impl Server {
    async fn start(authority: &TestAuthority, answer: Answer) -> Self {
        Self::presenting(authority.good(&account("web")), answer).await
    }

    async fn presenting(certificate: Certificate, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tunnels, drains, tasks) = (Arc::default(), Arc::default(), Arc::new(Tasks::default()));
        let server = Self { address, tunnels, drains, _tasks: Arc::clone(&tasks) };
        let certificate = Arc::new(certificate);
        let (count, drains) = (Arc::clone(&server.tunnels), Arc::clone(&server.drains));
        let connections = Arc::new(Tasks::default());
        tasks.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (drain, guard) = drain::channel();
                drains.lock().unwrap().push_back(drain);
                connections.spawn(serve(tcp, Arc::clone(&certificate), answer, guard));
            }
        });
        server
    }

    fn tunnels(&self) -> usize {
        self.tunnels.load(Ordering::SeqCst)
    }
}

async fn serve(tcp: tokio::net::TcpStream, certificate: Arc<Certificate>, answer: Answer, guard: Guard) {
    let config = config(&[]).tunnel;
    if let Ok(accepted) = server::accept(tcp, &certificate, &config).await {
        // How a tunnel ends is what the tests look at from the other side.
        let _ = accepted.serve(guard, move |offer| respond(offer, answer)).await;
    }
}

async fn respond(offer: Offer, answer: Answer) {
    if let Answer::Status(status) = answer {
        return offer.refuse(status);
    }
    let Some(mut stream) = offer.accept(None) else { return };
    match answer {
        Answer::Echo => {
            while let Ok(Some(bytes)) = stream.source.read().await {
                stream.sink.write(bytes).await.unwrap();
            }
            stream.sink.finish().await.unwrap();
        }
        Answer::Send(bytes) => {
            stream.sink.write(Bytes::from(vec![7; bytes])).await.unwrap();
            stream.sink.finish().await.unwrap();
        }
        Answer::ReadLater(later) => {
            stream.sink.finish().await.unwrap();
            later.now.notified().await;
            while let Ok(Some(bytes)) = stream.source.read().await {
                later.bytes.fetch_add(bytes.len(), Ordering::SeqCst);
            }
            later.read.notify_one();
        }
        Answer::Hold => drop(stream.sink.broken().await),
        Answer::Drop | Answer::Status(_) => {}
    }
}

fn pool(authority: &TestAuthority, tunnel: TunnelConfig) -> Pool {
    pool_trusting(authority, Trust::default(), tunnel)
}

fn pool_trusting(authority: &TestAuthority, trust: Trust, tunnel: TunnelConfig) -> Pool {
    pool_of(Identities::new(authority.clone(), trust), tunnel)
}

fn pool_of(identities: Identities, tunnel: TunnelConfig) -> Pool {
    let socket = config(&[]).socket;
    Pool::new(Establish { identities, dialer: Dialer::new(None, socket), config: tunnel })
}

fn key(server: &Server) -> Key {
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Key { identity: account("client"), expected: vec![account("web")], peer: server.address, source }
}

fn connect() -> Connect {
    Connect {
        authority: "10.0.0.1:80".into(),
        baggage: String::new(),
        forwarded: "for=\"10.0.0.2:4000\"".into(),
        traceparent: String::new(),
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("in time")
}

async fn open(pool: &Pool, key: &Key) -> Result<Opened, Error> {
    soon(pool.open(key, &connect())).await
}

async fn echoes(opened: &mut Opened, text: &'static str) {
    opened.stream.sink.write(Bytes::from_static(text.as_bytes())).await.unwrap();
    assert_eq!(soon(opened.stream.source.read()).await.unwrap().unwrap(), text);
}

#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_ends() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let mut opened = open(&pool, &key(&server)).await.unwrap();
    echoes(&mut opened, "hello").await;
    opened.stream.sink.finish().await.unwrap();
    assert_eq!(soon(opened.stream.source.read()).await, Ok(None));
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_tunnel() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (pool, key) = (pool.clone(), key.clone());
        callers.spawn(async move { open(&pool, &key).await.unwrap() });
    }
    let all = soon(callers.join_all()).await;
    assert_eq!((all.len(), server.tunnels()), (50, 1));
}

#[tokio::test]
async fn a_full_tunnel_is_joined_by_another_and_used_again_when_streams_end() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[("POOL_MAX_STREAMS_PER_CONNECTION", "2")]).tunnel);
    let key = key(&server);
    let mut open_now = Vec::new();
    for expected in [1, 1, 2, 2, 3] {
        open_now.push(open(&pool, &key).await.unwrap());
        assert_eq!(server.tunnels(), expected);
    }
    open_now.drain(0..2);
    open_now.push(open(&pool, &key).await.unwrap());
    open_now.push(open(&pool, &key).await.unwrap());
    assert_eq!(server.tunnels(), 3);
}

#[tokio::test]
async fn different_keys_never_share() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let first = key(&server);
    let other_source = Key { source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), ..first.clone() };
    let other_identity = Key { identity: account("other"), ..first.clone() };
    let other_expected = Key { expected: vec![account("web"), account("more")], ..first.clone() };
    let keys = [first, other_source, other_identity, other_expected];
    let mut opened = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        opened.push(open(&pool, key).await.unwrap());
        assert_eq!(server.tunnels(), i + 1);
    }
}

#[tokio::test]
async fn a_peer_with_another_identity_is_refused_in_the_handshake() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let key = Key { expected: vec![account("db")], ..key(&server) };
    let error = open(&pool, &key).await.unwrap_err();
    assert!(matches!(error, Error::Peer { source: Refused::Identity { .. }, .. }), "{error}");
    assert_eq!(error.flag(), Flag::TlsFailure);
}

#[tokio::test]
async fn a_peer_of_another_authority_is_refused() {
    let (ours, theirs) = (TestAuthority::new("ours"), TestAuthority::new("theirs"));
    let server = Server::start(&theirs, Answer::Echo).await;
    let error = open(&pool(&ours, config(&[]).tunnel), &key(&server)).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_status_other_than_200_is_an_error_that_names_it() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Status(401)).await;
    let error = open(&pool(&authority, config(&[]).tunnel), &key(&server)).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 401, .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_is_let_go_of_is_a_break() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Drop).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let mut opened = open(&pool, &key(&server)).await.unwrap();
    assert_eq!(soon(opened.stream.source.read()).await, Err(Broken::Reset));
}

#[tokio::test]
async fn a_lost_tunnel_is_a_break_and_not_an_end() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Hold).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let mut opened = open(&pool, &key(&server)).await.unwrap();
    drop(server);
    let result = soon(opened.stream.source.read()).await;
    assert!(matches!(result, Err(Broken::Reset | Broken::Lost(_))), "{result:?}");
}

#[tokio::test]
async fn after_a_goaway_the_next_stream_takes_a_new_tunnel_and_the_old_one_finishes() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut old = open(&pool, &key).await.unwrap();
    let drain = server.drains.lock().unwrap().pop_front().unwrap();
    let draining = tokio::spawn(drain.drain(Duration::from_secs(20)));
    soon(async {
        while server.tunnels() == 1 {
            drop(open(&pool, &key).await.unwrap());
        }
    })
    .await;
    echoes(&mut old, "still here").await;
    old.stream.sink.finish().await.unwrap();
    assert_eq!(soon(old.stream.source.read()).await, Ok(None));
    drop(old);
    assert!(soon(draining).await.unwrap(), "the drain ends by itself");
}

#[tokio::test]
async fn a_stream_nobody_reads_does_not_stop_the_others() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let (pool, key) = (pool(&authority, config(&[]).tunnel), key(&server));
    let mut stuck = open(&pool, &key).await.unwrap();
    let mut lively = open(&pool, &key).await.unwrap();
    // Nobody reads the echo: it fills both windows of this stream, and then the writer stands still.
    let chunk = Bytes::from(vec![0; 1 << 20]);
    while tokio::time::timeout(Duration::from_millis(500), stuck.stream.sink.write(chunk.clone()))
        .await
        .is_ok()
    {}
    echoes(&mut lively, "quick").await;
    assert_eq!(server.tunnels(), 1);
}

#[tokio::test]
async fn a_tunnel_without_streams_is_let_go() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[("POOL_UNUSED_RELEASE_TIMEOUT", "100ms")]).tunnel);
    let key = key(&server);
    let mut opened = open(&pool, &key).await.unwrap();
    echoes(&mut opened, "one").await;
    let drain = server.drains.lock().unwrap().pop_front().unwrap();
    // The guard of a tunnel's serving task is gone exactly when the tunnel is.
    let gone = tokio::spawn(drain.drain(Duration::from_secs(20)));
    drop(opened);
    assert!(soon(gone).await.unwrap());
    open(&pool, &key).await.unwrap();
    assert_eq!(server.tunnels(), 2);
}

#[tokio::test]
async fn a_stalled_peer_costs_its_callers_one_deadline_and_others_nothing() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stalled = Key { peer: silent.local_addr().unwrap(), ..key(&server) };
    let started = tokio::time::Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (pool, stalled) = (pool.clone(), stalled.clone());
        callers.spawn(async move { open(&pool, &stalled).await });
    }
    let mut opened = open(&pool, &key(&server)).await.unwrap();
    echoes(&mut opened, "not touched").await;
    assert!(started.elapsed() < ESTABLISH_DEADLINE, "{:?}", started.elapsed());
    for result in soon(callers.join_all()).await {
        assert!(matches!(result, Err(Error::EstablishTimedOut { .. })));
    }
    assert!(started.elapsed() < ESTABLISH_DEADLINE + Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_answer_is_delivered_whole_when_the_peer_takes_no_more() {
    const LENGTH: usize = 3_000_000;
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Send(LENGTH)).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let opened = open(&pool, &key(&server)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (app, near) = tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let near = tcp::split(near.unwrap().0);
    let splice = tokio::spawn(async move {
        let far = (opened.stream.source, opened.stream.sink);
        spliced_until(near, far, &Moved::default(), std::future::pending::<()>()).await
    });
    // The app never ends its own side, and reads slower than the peer sends.
    let mut app = app.unwrap();
    let (mut piece, mut total) = ([0; 4096], 0);
    loop {
        match soon(tokio::io::AsyncReadExt::read(&mut app, &mut piece)).await.unwrap() {
            0 => break,
            read => total += read,
        }
    }
    assert_eq!(total, LENGTH);
    assert!(soon(splice).await.unwrap().is_ok());
}

#[tokio::test]
async fn what_arrived_is_delivered_after_the_tunnel_has_closed() {
    const LENGTH: usize = 2_000_000;
    static LATER: ReadLater = ReadLater {
        now: tokio::sync::Notify::const_new(),
        read: tokio::sync::Notify::const_new(),
        bytes: AtomicUsize::new(0),
    };
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::ReadLater(&LATER)).await;
    let (pool, key) =
        (pool(&authority, config(&[("POOL_UNUSED_RELEASE_TIMEOUT", "50ms")]).tunnel), key(&server));
    let mut opened = open(&pool, &key).await.unwrap();
    opened.stream.sink.write(Bytes::from(vec![7; LENGTH])).await.unwrap();
    opened.stream.sink.finish().await.unwrap();
    assert_eq!(soon(opened.stream.source.read()).await, Ok(None));
    drop(opened);
    // The pool brings up another tunnel only when the first one is closed.
    soon(async {
        while server.tunnels() == 1 {
            drop(open(&pool, &key).await.unwrap());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    LATER.now.notify_waiters();
    soon(LATER.read.notified()).await;
    assert_eq!(LATER.bytes.load(Ordering::SeqCst), LENGTH);
}

#[tokio::test]
async fn tunnels_that_only_finish_old_streams_do_not_use_up_the_tries_of_new_ones() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, Answer::Echo).await;
    let pool = pool(&authority, config(&[("POOL_MAX_STREAMS_PER_CONNECTION", "2")]).tunnel);
    let key = key(&server);
    let mut old = Vec::new();
    for _ in 0..12 {
        old.push(open(&pool, &key).await.unwrap());
    }
    // Six tunnels, each with a stream and a free place.
    let mut old: Vec<Opened> = old.into_iter().step_by(2).collect();
    let drains: Vec<Drain> = server.drains.lock().unwrap().drain(..).collect();
    let draining: Vec<_> =
        drains.into_iter().map(|drain| tokio::spawn(drain.drain(Duration::from_secs(20)))).collect();
    // Long enough for each GOAWAY to arrive before an echo does.
    for _ in 0..20 {
        for opened in &mut old {
            echoes(opened, "still here").await;
        }
    }
    open(&pool, &key).await.unwrap();
    draining.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_tunnel_to_a_revoked_server_is_torn_down_and_not_made_again() {
    let authority = TestAuthority::new("one");
    let (lists, trust) = TestLists::new();
    let (bad, good) = (authority.good(&account("web")), authority.good(&account("web")));
    let revoked = leaf(&bad);
    let [bad, good] =
        [Server::presenting(bad, Answer::Echo).await, Server::presenting(good, Answer::Echo).await];
    let pool = pool_trusting(&authority, trust, config(&[]).tunnel);
    let mut on_bad = open(&pool, &key(&bad)).await.unwrap();
    let mut on_good = open(&pool, &key(&good)).await.unwrap();
    echoes(&mut on_bad, "before").await;

    lists.publish(&authority.revoking(&[&revoked]));
    let read = soon(on_bad.stream.source.read()).await;
    assert_eq!(read, Err(Broken::Revoked));
    assert_eq!(read.unwrap_err().to_string(), "connection closed: peer certificate revoked by CRL");
    assert_eq!(soon(on_bad.stream.sink.broken()).await, Broken::Revoked);
    let error = open(&pool, &key(&bad)).await.unwrap_err();
    assert!(matches!(error, Error::Peer { source: Refused::Revoked, .. }), "{error}");
    assert_eq!(error.flag(), Flag::CertRevoked);
    echoes(&mut on_good, "not touched").await;
    assert_eq!((bad.tunnels(), good.tunnels()), (2, 1));
}

#[tokio::test]
async fn a_tunnel_from_a_revoked_client_is_torn_down() {
    let authority = TestAuthority::new("one");
    let (lists, trust) = TestLists::new();
    let certificate = authority.good(&account("web")).trusting(&trust);
    let identities = Identities::new(authority.clone(), Trust::default());
    let client = identities.certificate(&account("client")).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (broke, mut broken) = tokio::sync::mpsc::channel(1);
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let accepted = server::accept(tcp, &certificate, &config(&[]).tunnel).await.unwrap();
        let (_drain, guard) = drain::channel();
        let each = move |offer: Offer| {
            let broke = broke.clone();
            async move {
                let mut stream = offer.accept(None).unwrap();
                broke.send(stream.source.read().await).await.unwrap();
            }
        };
        accepted.serve(guard, each).await
    });
    let revoked = leaf(&client);
    let pool = pool_of(identities, config(&[]).tunnel);
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let key = Key { identity: account("client"), expected: vec![account("web")], peer: address, source };
    let mut opened = open(&pool, &key).await.unwrap();
    lists.publish(&authority.revoking(&[&revoked]));
    assert_eq!(soon(broken.recv()).await, Some(Err(Broken::Revoked)));
    assert!(soon(serving).await.unwrap().unwrap_err().contains("revoked"));
    assert!(soon(opened.stream.source.read()).await.is_err());
}

#[tokio::test]
async fn after_a_certificate_has_expired_old_streams_go_on_and_new_ones_need_a_new_tunnel() {
    let authority = TestAuthority::new("one");
    let brief = authority.brief(&account("web"), Duration::from_secs(3));
    let server = Server::presenting(brief, Answer::Echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let mut old = open(&pool, &key(&server)).await.unwrap();
    let refused = soon(async {
        loop {
            match open(&pool, &key(&server)).await {
                Ok(mut opened) => {
                    echoes(&mut opened, "new").await;
                    opened.stream.sink.finish().await.unwrap();
                    assert_eq!(opened.stream.source.read().await, Ok(None));
                }
                Err(error) => return error,
            }
        }
    });
    let error = refused.await;
    assert_eq!(error.flag(), Flag::TlsFailure, "the new handshake sees that it is expired: {error}");
    echoes(&mut old, "still here").await;
}
