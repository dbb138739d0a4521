//! Connections that do not come about.

use super::app::begin;
use culvert_core::hbone::ProxyStatus;

use super::*;
use crate::identity::Refused;

#[tokio::test]
async fn a_peer_with_another_identity_is_refused_in_the_handshake() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let key = Key { expected: vec![account("db")], ..key(&server) };
    let error = open(&pool, &key).await.unwrap_err();
    assert!(matches!(error, Error::Peer { source: Refused::Identity { .. }, .. }), "{error}");
    assert_eq!(error.flag(), Flag::TlsFailure);
}

#[tokio::test]
async fn a_peer_of_another_authority_is_refused() {
    let (ours, theirs) = (TestAuthority::new("ours"), TestAuthority::new("theirs"));
    let server = Server::start(&theirs, echo).await;
    let error = open(&pool(&ours, config(&[]).tunnel), &key(&server)).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_status_other_than_200_is_an_error_that_names_it() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, |offer: Offer| async { offer.refuse(401, None) }).await;
    let error = open(&pool(&authority, config(&[]).tunnel), &key(&server)).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 401, .. }), "{error}");
}

#[tokio::test]
async fn a_peer_that_refuses_says_why() {
    let authority = TestAuthority::new("one");
    let why = ProxyStatus { error: Kind::ConnectionRefused, details: "workload_refused" };
    let refuse = move |offer: Offer| async move { offer.refuse(503, Some(why)) };
    let server = Server::start(&authority, refuse).await;
    let error = open(&pool(&authority, config(&[]).tunnel), &key(&server)).await.unwrap_err();
    assert_eq!((error.reason(), error.told()), ("refused_by_peer", Some("connection_refused")));
    let said =
        "status 503 (it could not pass the connection on); culvert: connection_refused (workload_refused)";
    assert!(error.to_string().ends_with(said), "{error}");
    let behind = Error::Behind { gateway: server.address, source: Box::new(error) };
    assert_eq!(behind.told(), Some("connection_refused"), "also through a gateway");
}

#[tokio::test]
async fn an_offer_nobody_answers_is_a_failure_and_the_caller_is_reset() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, |offer| async { drop(offer) }).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let (mut socket, near) = pair(Buffers::Usual).await;
    let error = begin(&pool, &key(&server), near, &Arc::default()).await.unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    let read = soon(socket.read(&mut [0; 1])).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stalled_peer_costs_its_callers_one_deadline_and_others_nothing() {
    let authority = TestAuthority::new("one");
    let server = Server::start(&authority, echo).await;
    let pool = pool(&authority, config(&[]).tunnel);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stalled = key_of(silent.local_addr().unwrap());
    let started = tokio::time::Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (pool, stalled) = (pool.clone(), stalled.clone());
        callers.spawn(async move { open(&pool, &stalled).await });
    }
    open(&pool, &key(&server)).await.unwrap().echoes("not touched").await;
    assert!(started.elapsed() < ESTABLISH_DEADLINE, "{:?}", started.elapsed());
    for result in soon(callers.join_all()).await {
        assert!(matches!(result, Err(Error::EstablishTimedOut { .. })));
    }
    assert!(started.elapsed() < ESTABLISH_DEADLINE + Duration::from_secs(5), "{:?}", started.elapsed());
}
