//! Tunnels whose peer is not to be trusted any more.

use super::far::Responds as _;
use super::*;
use crate::identity::Refused;
use crate::identity::testing::{TestLists, leaf};
use crate::limits::Turnstile;

#[tokio::test]
async fn a_tunnel_to_a_revoked_server_is_torn_down_and_not_made_again() {
    let authority = TestAuthority::new("one");
    let (lists, trust) = TestLists::new();
    let (bad, good) = (authority.good(&account("web")), authority.good(&account("web")));
    let revoked = leaf(&bad);
    let [bad, good] = [Server::presenting(bad, echo).await, Server::presenting(good, echo).await];
    let pool = pool_trusting(&authority, trust, config(&[]).tunnel);
    let mut on_bad = open(&pool, &key(&bad)).await.unwrap();
    let mut on_good = open(&pool, &key(&good)).await.unwrap();
    on_bad.echoes("before").await;

    lists.publish(&authority.revoking(&[&revoked]));
    on_bad.hears_a_reset().await;
    let early = on_bad.result().await.unwrap_err();
    assert_eq!(early, Early::Server(Broken::Revoked));
    assert_eq!(early.to_string(), "server: connection closed: peer certificate revoked by CRL");
    let error = open(&pool, &key(&bad)).await.unwrap_err();
    assert!(matches!(error, Error::Peer { source: Refused::Revoked, .. }), "{error}");
    assert_eq!(error.flag(), Flag::CertRevoked);
    on_good.echoes("not touched").await;
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
    let (taking, mut taken) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let accepted =
            server::accept(tcp, &certificate, &config(&[]).tunnel, &Tunnels::default(), of_a_pod())
                .await
                .unwrap();
        let (_drain, guard) = drain::channel();
        let respond = giving_to(taking, Buffers::Usual);
        accepted.serve(&Turnstile::default(), guard, move |offer| respond.respond(offer)).await
    });
    let revoked = leaf(&client);
    let pool = pool_of(identities, config(&[]).tunnel);
    let mut caller = open(&pool, &key_of(address)).await.unwrap();
    let mut callee = soon(taken.recv()).await.unwrap().callee;
    lists.publish(&authority.revoking(&[&revoked]));
    callee.hears_a_reset().await;
    assert_eq!(callee.result().await, Err(Early::Client(Broken::Revoked)));
    assert!(soon(serving).await.unwrap().unwrap_err().contains("revoked"));
    caller.hears_a_reset().await;
    assert!(matches!(caller.result().await, Err(Early::Server(_))));
}
