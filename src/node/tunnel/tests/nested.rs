//! Tunnels inside tunnels, through a gateway that passes on what it does not understand.

use culvert_core::hbone::Baggage;

use super::*;
use crate::ledger::tunnels::Way;
use crate::tunnel::client::NotCarried;
use crate::tunnel::pool::{Met, Nested};

/// A gateway in front of a server, and what it passes on at the moment.
struct Abroad {
    net: Net,
    gateway: Server,
    passing: Arc<AtomicUsize>,
    pool: Pool,
}

/// Passes on to an address what it is asked for, whatever that is.
fn leading_to(to: SocketAddr, passing: Arc<AtomicUsize>) -> impl far::Responds {
    move |offer: Offer| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let passing = Arc::clone(&passing);
        Box::pin(async move {
            let Ok(server) = TcpStream::connect(to).await else { return offer.refuse(503, None) };
            passing.fetch_add(1, Ordering::SeqCst);
            if let Some(carried) = offer.accept(None, server, &Arc::default()) {
                // How it ends is what the tests look at from the other side.
                let _ = carried.await;
            }
            passing.fetch_sub(1, Ordering::SeqCst);
        })
    }
}

impl Abroad {
    async fn start() -> Self {
        let authority = TestAuthority::new("one");
        let (taking, taken) = mpsc::unbounded_channel();
        let respond = giving_to(taking, Buffers::Usual);
        let server = Server::presenting(authority.good(&account("web")), respond).await;
        let passing = Arc::default();
        let certificate = authority.good(&account("gateway"));
        let gateway = Server::presenting(certificate, leading_to(server.address, Arc::clone(&passing))).await;
        let (listed, identities) = (Tunnels::default(), Identities::new(authority.clone(), Trust::default()));
        let pool = pool_listed(identities, config(&[]).tunnel, listed.clone());
        let (key, buffers) = (key(&server), Buffers::Usual);
        Self { net: Net { server, taken, pool: pool.clone(), listed, key, buffers }, gateway, passing, pool }
    }

    fn nested(&self) -> Nested {
        let gateway = Key { expected: vec![account("gateway")], ..key(&self.gateway) };
        Nested { gateway, connect: connect(), behind: vec![account("web")], connect_behind: connect() }
    }

    async fn carry(&self, nested: Nested) -> Result<(Caller, Met), NotCarried> {
        let (socket, near) = pair(Buffers::Usual).await;
        culvert_sys::tcp::reset_on_close(&near).unwrap();
        let (moved, way) = (Arc::default(), (nested, ESTABLISH_DEADLINE));
        let carried = soon(self.pool.carry_through(way, (near.into(), Vec::new()), &moved)).await;
        carried.map(|(carried, met)| (App { socket, carried, moved }, met))
    }

    /// One more connection.
    async fn connect(&mut self) -> (Caller, Callee) {
        let (caller, met) = self.carry(self.nested()).await.unwrap();
        assert_eq!((met.identity, met.baggage), (account("web"), Baggage::default()));
        (caller, soon(self.net.taken.recv()).await.unwrap().callee)
    }

    /// Waits until the gateway has nothing left of any connection.
    async fn is_quiet(&self) {
        until("the gateway is done", || self.passing.load(Ordering::SeqCst) == 0).await;
    }
}

#[tokio::test]
async fn bytes_go_through_and_only_the_applications_are_counted() {
    let mut abroad = Abroad::start().await;
    let (mut caller, mut callee) = abroad.connect().await;
    let (question, answer) = (noise(1, 3_000_000), noise(2, 2_000_000));
    let (asked, answered) = (question.clone(), answer.clone());
    let called = tokio::spawn(async move {
        let mut heard = vec![0; asked.len()];
        soon(callee.socket.read_exact(&mut heard)).await.unwrap();
        assert!(heard == asked, "it is what was said");
        callee.says(answered).await;
        callee.ends().await;
        callee
    });
    caller.says(&question).await;
    caller.ends().await;
    caller.hears_all(&answer).await;
    assert_eq!((caller.moved.forth.bytes(), caller.moved.back.bytes()), (3_000_000, 2_000_000));
    let callee = soon(called).await.unwrap();
    assert_eq!(caller.result().await, Ok(()));
    assert_eq!(callee.result().await, Ok(()));
    abroad.is_quiet().await;
}

#[tokio::test]
async fn the_gateways_tunnel_is_shared_and_what_is_inside_is_not() {
    let mut abroad = Abroad::start().await;
    let mut open = Vec::new();
    for number in 0..5 {
        let (mut caller, mut callee) = abroad.connect().await;
        caller.says(format!("caller {number}")).await;
        callee.hears(format!("caller {number}")).await;
        open.push((caller, callee));
    }
    assert_eq!((abroad.gateway.tunnels(), abroad.net.server.tunnels()), (1, 5));
    drop(open);
    abroad.is_quiet().await;
}

#[tokio::test]
async fn a_tunnel_inside_a_tunnel_is_listed_with_what_carries_it() {
    let mut abroad = Abroad::start().await;
    let (caller, callee) = abroad.connect().await;
    let listed = abroad.net.listed.clone();
    let inner = listed.find(caller.carried.place.tunnel().id).unwrap();
    let Way::Through { gateway, tunnel } = inner.way else { panic!("{inner:?}") };
    let outer = listed.find(tunnel).unwrap();
    assert_eq!((gateway, outer.peer(), listed.open()), (abroad.gateway.address, Some(gateway), 2));
    assert_eq!((&inner.peer_identity, &outer.peer_identity), (&account("web"), &account("gateway")));
    drop((caller, callee));
    until("the inner one has gone", || listed.open() == 1).await;
    abroad.is_quiet().await;
}

#[tokio::test]
async fn resets_go_through_in_both_directions() {
    let mut abroad = Abroad::start().await;
    let (mut caller, mut callee) = abroad.connect().await;
    callee.says("last words").await;
    callee.has_been_heard().await;
    let carried = callee.resets();
    caller.hears_a_reset_after("last words").await;
    assert_eq!(caller.result().await, Err(Early::Server(Broken::Reset(Reset::Application))));
    drop(carried);

    let (caller, mut callee) = abroad.connect().await;
    let carried = caller.resets();
    callee.hears_a_reset().await;
    drop((carried, callee));
    abroad.is_quiet().await;
}

#[tokio::test]
async fn what_a_gateway_cuts_off_never_looks_complete() {
    let mut abroad = Abroad::start().await;
    let (mut caller, mut callee) = abroad.connect().await;
    callee.says("half of it").await;
    caller.hears("half of it").await;
    abroad.gateway.drain().cut().await;
    caller.hears_a_reset().await;
    callee.hears_a_reset().await;
    assert!(matches!(caller.result().await, Err(Early::Server(Broken::Tunnel(_)))));
}

#[tokio::test]
async fn whoever_is_behind_the_gateway_must_be_expected() {
    let abroad = Abroad::start().await;
    let nested = Nested { behind: vec![account("db")], ..abroad.nested() };
    let NotCarried { error, again, .. } = abroad.carry(nested).await.unwrap_err();
    let Error::Behind { gateway, source } = error else { panic!("{error}") };
    assert_eq!(gateway, abroad.gateway.address);
    assert!(matches!(*source, Error::Peer { .. }), "{source}");
    assert_eq!(source.flag(), Flag::TlsFailure);
    assert!(again.is_some(), "the application has not been heard yet");
    abroad.is_quiet().await;
}

#[tokio::test]
async fn a_gateway_must_be_who_is_expected_and_lead_somewhere() {
    let abroad = Abroad::start().await;
    let mut nested = abroad.nested();
    nested.gateway.expected = vec![account("web")];
    let NotCarried { error, again, .. } = abroad.carry(nested).await.unwrap_err();
    assert!(matches!(error, Error::Peer { .. }), "{error}");
    assert!(again.is_some());

    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let authority = TestAuthority::new("one");
    let certificate = authority.good(&account("gateway"));
    let gateway = Server::presenting(certificate, leading_to(nowhere, Arc::default())).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let abroad = Abroad { gateway, pool, ..abroad };
    let NotCarried { error, again, .. } = abroad.carry(abroad.nested()).await.unwrap_err();
    let Error::Behind { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::Status { status: 503, .. }), "{source}");
    assert!(again.is_some());
}

#[tokio::test]
async fn whoever_is_silent_behind_the_gateway_is_not_waited_for_any_longer_than_the_gateway() {
    const PATIENCE: Duration = Duration::from_secs(1);
    let abroad = Abroad::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = TestAuthority::new("one");
    let certificate = authority.good(&account("gateway"));
    let leads = leading_to(silent.local_addr().unwrap(), Arc::default());
    let gateway = Server::presenting(certificate, leads).await;
    let abroad = Abroad { gateway, pool: pool(&authority, config(&[]).tunnel), ..abroad };
    let (socket, near) = pair(Buffers::Usual).await;
    let way = (abroad.nested(), PATIENCE);
    let carried = soon(abroad.pool.carry_through(way, (near.into(), Vec::new()), &Arc::default())).await;
    let NotCarried { error, again, .. } = carried.unwrap_err();
    let Error::Behind { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::OutOfPatience { patience: PATIENCE, .. }), "{source}");
    assert!(again.is_some());
    drop((socket, silent));
}

#[tokio::test]
async fn a_refusal_behind_the_gateway_says_where_it_comes_from() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, |offer: Offer| async { offer.refuse(401, None) }).await;
    let abroad = Abroad::start().await;
    let certificate = authority.good(&account("gateway"));
    let gateway = Server::presenting(certificate, leading_to(server.address, Arc::default())).await;
    let abroad = Abroad { gateway, pool: pool(&authority, config(&[]).tunnel), ..abroad };
    let NotCarried { error, again, .. } = abroad.carry(abroad.nested()).await.unwrap_err();
    let Error::Behind { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::Status { status: 401, .. }), "{source}");
    assert!(again.is_none(), "it was heard and refused");
}
